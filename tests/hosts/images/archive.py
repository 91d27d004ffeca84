"""Writes container images, each of one layer, as an archive that `ctr images import`, `buildah pull oci-archive:` and `docker load` read."""
from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from command import run

EPOCH = "1970-01-01T00:00:00Z"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """An image: its whole names, the tree that it holds, and how it runs, in the words of OCI's image configuration."""

    names: Sequence[str]
    tree: Path
    config: Mapping[str, Any] = field(default_factory=dict)


class _Blobs:
    """The blobs of an archive, by their digests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "blobs" / "sha256"
        self._folder.mkdir(parents=True)

    def add(self, source: Path, kind: str) -> dict[str, Any]:
        """Take the file in; its descriptor."""
        with source.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        size = source.stat().st_size
        source.rename(self._folder / digest)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": size}

    def add_json(self, content: object, kind: str) -> dict[str, Any]:
        """Take the object in; its descriptor."""
        source = self._folder / "unnamed"
        source.write_text(json.dumps(content, sort_keys=True))
        return self.add(source, kind)


def _add(image: Image, blobs: _Blobs, folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The entries of the image in OCI's index, one for each name, and in Docker's manifest."""
    layer = folder / "layer"
    run("tar", "--create", "--file", layer, "--numeric-owner", "--sort=name", "--mtime=@0", "--directory", image.tree, ".")
    layer_entry = blobs.add(layer, "application/vnd.oci.image.layer.v1.tar")
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": EPOCH,
        "config": {"Env": [PATH], "WorkingDir": "/", **image.config},
        "rootfs": {"type": "layers", "diff_ids": [layer_entry["digest"]]},
        "history": [{"created": EPOCH, "created_by": "tests/hosts"}],
    }
    config_entry = blobs.add_json(config, "application/vnd.oci.image.config.v1+json")
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = blobs.add_json({"schemaVersion": 2, "mediaType": kind, "config": config_entry, "layers": [layer_entry]}, kind)
    named = [{"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name} for name in image.names]
    docker = {"Config": _path(config_entry), "RepoTags": list(image.names), "Layers": [_path(layer_entry)]}
    return [{**manifest, "annotations": annotations} for annotations in named], docker


def _path(descriptor: Mapping[str, Any]) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")


def write(images: Sequence[Image], target: Path) -> None:
    """Write the images into the tar file ``target``, compressed where its name ends in .zst."""
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name) / "content"
        blobs = _Blobs(folder)
        entries = [_add(image, blobs, Path(name)) for image in images]
        manifests = [manifest for named, _docker in entries for manifest in named]
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests}
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (folder / "index.json").write_text(json.dumps(index))
        (folder / "manifest.json").write_text(json.dumps([docker for _named, docker in entries]))
        plain = Path(name) / "plain.tar"
        with tarfile.open(plain, "w", format=tarfile.PAX_FORMAT) as archive:
            for entry in ("oci-layout", "index.json", "manifest.json", "blobs"):
                archive.add(folder / entry, entry)
        shutil.rmtree(folder)
        if target.suffix == ".zst":
            run("nice", "zstd", "--quiet", "-T0", "-3", plain, "-o", target)
        else:
            plain.rename(target)
