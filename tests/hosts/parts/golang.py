"""Builds programs from Go modules that the Go proxy serves."""
from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from command import HostsError, run

HYPERKUBE = Path(__file__).parent / "hyperkube"
KUBERNETES_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet")
MINIMUM = "1.26.5"  # kine asks for it


def _go(*words: str | Path, cwd: Path) -> str:
    """What the Go toolchain prints; without cgo, so that a program runs on any host, and behind whatever else the machine does."""
    if not shutil.which("go"):
        raise HostsError(f"there is no Go toolchain in PATH: install Go {MINIMUM} or later (https://go.dev/dl)")
    return run("nice", "go", *words, cwd=cwd, env={"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -buildvcs=false", "GOWORK": "off"})


def module_folder(module: str, version: str) -> Path:
    """The module's source, which is not to be written to."""
    found = json.loads(_go("mod", "download", "-json", f"{module}@{version}", cwd=Path("/")))
    return Path(found["Dir"])


def _linker(variables: Mapping[str, str]) -> str:
    return " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in variables.items())])


def without_imports(source: str, names: Sequence[str]) -> str:
    r"""The Go source without the imports for effect alone whose path ends with one of the names.

    >>> without_imports('\t_ "a/backend/gce"\n\t_ "a/backend/vxlan"\n', ["gce"])
    '\t_ "a/backend/vxlan"\n'
    """
    lines = source.splitlines(keepends=True)
    return "".join(line for line in lines if not re.match(rf'\t_ "\S+/({"|".join(names)})"$', line))


def build_program(name: str, wanted: Mapping[str, Any], folder: Path) -> None:
    """Build one entry of versions.toml's ``go`` as ``folder/name``, with the versions that the module's own go.mod and go.sum say."""
    source = folder / "source"
    shutil.copytree(module_folder(wanted["module"], wanted["version"]), source, copy_function=shutil.copyfile)
    for directory, _folders, _files in os.walk(source):
        Path(directory).chmod(0o755)
    for link, target in wanted.get("links", {}).items():
        (source / link).symlink_to(target)
    for file, names in wanted.get("omit", {}).items():
        (source / file).write_text(without_imports((source / file).read_text(), names))
    flags = ["-trimpath", "-tags", wanted.get("tags", ""), "-ldflags", _linker(wanted.get("variables", {}))]
    _go("build", *flags, "-o", folder / name, wanted["package"], cwd=source)
    shutil.rmtree(source)


def hyperkube_module(version: str, staging: str, upstream: str) -> str:
    r"""The go.mod of hyperkube, out of Kubernetes' own, whose staging modules are folders that are not served.

    >>> print(hyperkube_module("v1.34.4", "v0.34.4", "go 1.24.0\n\tk8s.io/api v0.0.0\n\tk8s.io/klog/v2 v2.130.1\n"))
    module hyperkube
    <BLANKLINE>
    go 1.24.0
    <BLANKLINE>
    require k8s.io/kubernetes v1.34.4
    require k8s.io/api v0.34.4
    <BLANKLINE>
    """
    go = re.search(r"^go \S+$", upstream, re.MULTILINE)
    if not go:
        raise HostsError("Kubernetes' go.mod has no line `go VERSION`")
    modules = re.findall(r"^\t(k8s\.io/\S+) v0\.0\.0$", upstream, re.MULTILINE)
    requirements = [f"require k8s.io/kubernetes {version}", *(f"require {name} {staging}" for name in modules)]
    return "\n".join(["module hyperkube", "", go[0], "", *requirements, ""])


def build_hyperkube(version: str, staging: str, release: str, folder: Path) -> None:
    """Build Kubernetes as one program that tells ``release`` as its version, with a link for each of its parts."""
    source = folder / "source"
    source.mkdir()
    shutil.copyfile(HYPERKUBE / "main.go", source / "main.go")
    upstream = (module_folder("k8s.io/kubernetes", version) / "go.mod").read_text()
    (source / "go.mod").write_text(hyperkube_module(version, staging, upstream))
    major, minor, _patch = version[1:].split(".")
    said = {"gitVersion": release, "gitMajor": major, "gitMinor": minor}
    linker = _linker({f"k8s.io/component-base/version.{name}": value for name, value in said.items()})
    _go("build", "-trimpath", "-ldflags", linker, "-o", folder / "hyperkube", ".", cwd=source)
    shutil.rmtree(source)
    for name in KUBERNETES_PROGRAMS:
        (folder / name).symlink_to("hyperkube")
