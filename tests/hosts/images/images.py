"""The container images of the test hosts: those of k3s itself, and those that a deployment pulls, under the names that they have in public."""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cache
import debian
from command import progress
from images import archive, clients, envoy, keycloak, trees
from versions import VERSIONS


@dataclass(frozen=True)
class Recipe:
    """How an image is made: its names, what fills its tree, how it runs, the parts that are in it, and what else it depends on."""

    names: tuple[str, ...]
    fill: Callable[[Path], None]
    config: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    content: tuple[str, ...] = ()

    def inputs(self) -> list[object]:
        """All that the image depends on."""
        sources = [(Path(__file__).parent / name).read_text() for name in ("archive.py", "trees.py", "pause.c")]
        more = [self.content] if self.content else []
        return [self.names, dict(self.config), [_version(part) for part in self.parts], sources, VERSIONS["debian"], *more]


def _version(part: str) -> object:
    return VERSIONS["go"].get(part) or VERSIONS["wheel"].get(part) or VERSIONS["maven"][part]


def _tag(part: str) -> str:
    return str(_version(part)["version"]).removeprefix("v")  # type: ignore[index]


def _single(part: str, place: str) -> Callable[[Path], None]:
    def fill(tree: Path) -> None:
        trees.small(tree)
        trees.program(tree, part, place)

    return fill


def _with_shell(part: str, place: str) -> Callable[[Path], None]:
    def fill(tree: Path) -> None:
        trees.busybox(tree)
        trees.program(tree, part, place)

    return fill


def _client(name: str, fill: Callable[[Path], None], **environment: str) -> Recipe:
    """A program that uses MLflow, with what the role mlflow_clients says that its image needs."""
    content = clients.content(name)
    env = [archive.PATH, "LANG=C.UTF-8", *(f"{key}={value}" for key, value in environment.items())]
    version = content[0].partition("==")[2]
    return Recipe((f"docker.io/tests/{name}:{version}",), fill, {"Env": env, "User": "10001:0"}, (), content)


AIRGAP = {
    "pause": Recipe(("docker.io/rancher/mirrored-pause:3.6",), trees.pause, {"Entrypoint": ["/pause"], "User": "65535:65535"}),
    "busybox": Recipe(("docker.io/rancher/mirrored-library-busybox:1.37.0",), trees.busybox, {"Cmd": ["sh"]}),
    "coredns": Recipe(
        (f"docker.io/rancher/mirrored-coredns-coredns:{_tag('coredns')}",),
        _single("coredns", "usr/bin/coredns"),
        {"Entrypoint": ["/usr/bin/coredns"]},
        ("coredns",),
    ),
    "local-path-provisioner": Recipe(
        (f"docker.io/rancher/local-path-provisioner:v{_tag('local-path-provisioner')}",),
        _single("local-path-provisioner", "usr/bin/local-path-provisioner"),
        {"Cmd": ["local-path-provisioner"]},
        ("local-path-provisioner",),
    ),
    "traefik": Recipe(
        (f"docker.io/rancher/mirrored-library-traefik:{_tag('traefik')}",),
        _with_shell("traefik", "usr/local/bin/traefik"),
        {"Entrypoint": ["/usr/local/bin/traefik"], "ExposedPorts": {"80/tcp": {}}},
        ("traefik",),
    ),
}
SCENARIOS = {
    "postgres": Recipe(
        tuple(VERSIONS["images"]["postgres"]),
        trees.postgresql,
        {
            "Env": [f"{archive.PATH}:/usr/lib/postgresql/17/bin", "LANG=C.UTF-8", "PGDATA=/var/lib/postgresql/data", "PG_MAJOR=17"],
            "Cmd": ["postgres"],
            "StopSignal": "SIGINT",
            "ExposedPorts": {"5432/tcp": {}},
        },
    ),
    "python": Recipe(tuple(VERSIONS["images"]["python"]), trees.python, {"Env": [archive.PATH, "LANG=C.UTF-8"], "Cmd": ["python3"]}),
    "minio": Recipe(
        (f"quay.io/minio/minio:{VERSIONS['go']['minio']['variables']['github.com/minio/minio/cmd.ReleaseTag']}",),
        trees.minio,
        {"Entrypoint": ["/usr/bin/docker-entrypoint.sh"], "Cmd": ["minio"], "ExposedPorts": {"9000/tcp": {}}},
        ("minio", "mc"),
    ),
    "oauth2-proxy": Recipe(
        (f"quay.io/oauth2-proxy/oauth2-proxy:v{_tag('oauth2-proxy')}",),
        _single("oauth2-proxy", "bin/oauth2-proxy"),
        {"Entrypoint": ["/bin/oauth2-proxy"], "User": "65532:65532", "ExposedPorts": {"4180/tcp": {}}},
        ("oauth2-proxy",),
    ),
    "seaweedfs": Recipe(
        (f"docker.io/chrislusf/seaweedfs:{VERSIONS['wheel']['weed']['version']}",),
        _with_shell("weed", "usr/bin/weed"),
        {"Cmd": ["weed"], "ExposedPorts": {"8333/tcp": {}}},
        ("weed",),
    ),
}
#: Those of single stories, which are made when such a story asks for them.
ON_DEMAND = {
    "cloudnative-pg": Recipe(
        (f"ghcr.io/cloudnative-pg/cloudnative-pg:{_tag('cloudnative-pg')}",),
        trees.cloudnative_pg,
        {"Entrypoint": ["/manager"], "User": "65532:65532"},
        ("cloudnative-pg",),
    ),
    "cloudnative-postgres": Recipe(
        tuple(VERSIONS["images"]["cloudnative-postgres"]),
        lambda tree: trees.postgresql(tree, "26"),
        {"Env": [f"{archive.PATH}:/usr/lib/postgresql/17/bin", "LANG=C.UTF-8"], "User": "26"},
    ),
    "external-secrets": Recipe(
        (f"oci.external-secrets.io/external-secrets/external-secrets:v{_tag('external-secrets')}",),
        _single("external-secrets", "bin/external-secrets"),
        {"Entrypoint": ["/bin/external-secrets"], "User": "65534:65534"},
        ("external-secrets",),
    ),
    "openbao": Recipe(
        (f"quay.io/openbao/openbao:{_tag('bao')}",), _with_shell("bao", "bin/bao"), {"Entrypoint": ["/bin/bao"], "User": "65534:65534"}, ("bao",),
    ),
    "keycloak": Recipe(
        (f"quay.io/keycloak/keycloak:{VERSIONS['maven']['keycloak']['version']}",),
        keycloak.fill,
        {"Entrypoint": ["/opt/keycloak/bin/kc.sh"], "User": "1000", "Env": [archive.PATH, "LANG=C.UTF-8", "KC_RUN_IN_CONTAINER=true"]},
        ("keycloak",),
    ),
    "envoy": Recipe(
        (f"docker.io/envoyproxy/envoy:v{_tag('envoy')}",),
        envoy.fill,
        {"Entrypoint": ["/usr/local/bin/envoy"], "User": "65532:65532", "Env": [archive.PATH]},
        ("envoy",),
    ),
    "envoy-gateway": Recipe(
        (f"docker.io/envoyproxy/gateway:v{_tag('envoy-gateway')}",),
        _single("envoy-gateway", "usr/local/bin/envoy-gateway"),
        {"Entrypoint": ["/usr/local/bin/envoy-gateway"], "User": "65532:65532", "Env": [archive.PATH]},
        ("envoy-gateway",),
    ),
    "argo-controller": Recipe(
        (f"quay.io/argoproj/workflow-controller:{VERSIONS['go']['argo-controller']['version']}",),
        _single("argo-controller", "bin/workflow-controller"),
        {"Entrypoint": ["/bin/workflow-controller"], "User": "8737"},
        ("argo-controller",),
    ),
    "argoexec": Recipe(
        (f"quay.io/argoproj/argoexec:{VERSIONS['go']['argoexec']['version']}",),
        _single("argoexec", "bin/argoexec"),
        {"Entrypoint": ["/bin/argoexec"], "User": "8737", "Env": [archive.PATH]},
        ("argoexec",),
    ),
    "jupyterhub": _client("jupyterhub", clients.jupyterhub),
    "airflow": _client("airflow", clients.airflow, **clients.AIRFLOW),
}


def _made(recipe: Recipe, folder: Path) -> archive.Image:
    tree = folder / "tree"
    recipe.fill(tree)
    return archive.Image(recipe.names, tree, recipe.config)


def scenario_archive(name: str) -> Path:
    """The archive ``<name>.tar`` of one of the images that scenarios or single stories copy to hosts."""
    recipe = {**SCENARIOS, **ON_DEMAND}[name]

    def make(folder: Path) -> None:
        progress(f"making the image {recipe.names[0]}")
        archive.write([_made(recipe, folder)], folder / f"{name}.tar")
        trees.delete(folder / "tree")

    return cache.kept(f"images/{name}", recipe.inputs(), make) / f"{name}.tar"


def folder() -> Path:
    """A folder with the archives of all images that scenarios copy to hosts."""
    archives = [scenario_archive(name) for name in SCENARIOS]

    def make(target: Path) -> None:
        for source in archives:
            os.link(source, target / source.name)

    return cache.kept("images/all", [source.parent.name for source in archives], make)


def airgap_names() -> dict[str, str]:
    """What the images that k3s itself runs are called."""
    return {part: recipe.names[0] for part, recipe in AIRGAP.items()}


def airgap_archive() -> Path:
    """The archive of the images that k3s itself runs."""
    name = "k3s-airgap-images-amd64.tar.zst"
    debian.require("zstd")

    def make(folder: Path) -> None:
        progress("making the images of k3s")
        made = []
        for part, recipe in AIRGAP.items():
            (folder / part).mkdir()
            made.append(_made(recipe, folder / part))
        archive.write(made, folder / name)
        for part in AIRGAP:
            trees.delete(folder / part)

    return cache.kept("images/airgap", [recipe.inputs() for recipe in AIRGAP.values()], make) / name
