"""The tree of Envoy's image. It is not in trees.py, on which the images of every host depend."""
from __future__ import annotations

from pathlib import Path

from images import trees


def fill(tree: Path) -> None:
    """Debian, whose C library Envoy needs and whose certificates it trusts, and the program."""
    trees._install(tree, ["ca-certificates"])
    trees.program(tree, "envoy", "usr/local/bin/envoy")
