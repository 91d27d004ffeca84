"""The restic that the tests of backups use: built once from the Go proxy, and kept by its version beside the parts of the test hosts."""
from __future__ import annotations

from pathlib import Path

import cache
from parts import golang

WANTED = {
    "module": "github.com/restic/restic", "version": "v0.18.1", "package": "./cmd/restic",
    "variables": {"main.version": "0.18.1"},
}  # fmt: skip


def restic() -> Path:
    """The program, which is made where it is missing."""
    return cache.kept("parts/restic", WANTED, lambda folder: golang.build_program("restic", WANTED, folder)) / "restic"


if __name__ == "__main__":
    print(restic())
