"""What the one executable file carries: the binaries, unpacked once as k3s does, the manifests and the names of the images."""
from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

from .layout import Layout

BINARIES = "payload/bin/"
MANIFESTS = "payload/manifests/"


def archive() -> zipfile.ZipFile:
    """The executable itself, which is a zip file behind one line."""
    return zipfile.ZipFile(sys.path[0])


def facts() -> dict[str, str]:
    """What is known since packing: version, hash, go, images (name to reference, in JSON)."""
    with archive() as file:
        known: dict[str, str] = json.loads(file.read("payload/facts.json"))
    return known


def image(name: str) -> str:
    """The reference of one of the stand-in's own images.

    Raises:
        KeyError: it has no such image.

    """
    images: dict[str, str] = json.loads(facts()["images"])
    return images[name]


def manifest(name: str) -> str:
    """The text of a shipped manifest."""
    with archive() as file:
        return file.read(MANIFESTS + name).decode()


def manifests() -> list[str]:
    """The names of the shipped manifests."""
    with archive() as file:
        return sorted(name[len(MANIFESTS):] for name in file.namelist() if name.startswith(MANIFESTS) and not name.endswith("/"))


def binaries(layout: Layout) -> Path:
    """The folder of the binaries; they are unpacked to data/HASH/bin where that has not been done."""
    data = layout.data / "data"
    folder = data / facts()["hash"]
    if not folder.is_dir():
        new = data / f".{folder.name}.{os.getpid()}"
        (new / "bin").mkdir(parents=True)
        with archive() as file:
            for member in file.infolist():
                if member.filename.startswith(BINARIES):
                    _unpack(file, member, new / "bin" / member.filename[len(BINARIES):])
        try:
            new.rename(folder)
        except OSError:  # another one was quicker
            shutil.rmtree(new)
    current = data / "current"
    if not current.is_symlink() or current.readlink() != folder:
        fresh = data / f".current.{os.getpid()}"
        fresh.symlink_to(folder)
        fresh.replace(current)
    return folder / "bin"


def _unpack(file: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    link = member.external_attr >> 16 & 0o170000 == 0o120000
    if link:
        target.symlink_to(file.read(member).decode())
        return
    with file.open(member) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    target.chmod(0o755)
