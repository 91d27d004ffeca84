"""The tree of Keycloak's image. It is not in trees.py, on which the images of every host depend."""
from __future__ import annotations

import os
import shutil
from pathlib import Path

from images import trees
from parts import parts

#: Java's package asks for /proc, which the others do without. The mount ends with its command.
JAVA = "mount -t proc proc /proc && exec apt-get install --yes --quiet --no-install-recommends openjdk-21-jre-headless"


def fill(tree: Path) -> None:
    """Debian's Java, and the distribution in the folder of its user, 1000, as in Keycloak's own image."""
    trees._install(tree, ["ca-certificates"], after=[["sh", "-c", JAVA]])
    home = tree / "opt" / "keycloak"
    shutil.copytree(parts.maven("keycloak"), home)
    for path in [home, *home.rglob("*")]:
        os.chown(path, 1000, 0)
