"""restic's image on the test hosts, made of the program that tests of backups use."""
from __future__ import annotations

import shutil
from pathlib import Path

from cluster import Cluster
from host_images import import_archive
from images import archive, trees
from restic import restic

#: By tag alone: an archive has no registry's digest.
IMAGE = "docker.io/restic/restic:0.18.1"


def provide(cluster: Cluster, folder: Path) -> None:
    """Provide restic's image on every host, made of a program and a shell as restic's own is."""
    tree = folder / "tree"
    trees.busybox(tree)
    (tree / "usr/bin").mkdir(parents=True, exist_ok=True)
    shutil.copy(restic(), tree / "usr/bin/restic")
    archive.write([archive.Image((IMAGE,), tree, {"Entrypoint": ["/usr/bin/restic"]})], folder / "restic.tar")
    trees.delete(tree)
    import_archive(cluster, folder / "restic.tar")
