"""The packages of an embedded stack as the role has installed them, kept for stacks whose tests are about something else.

pip takes 45 seconds of CPU for them, a copy two.
"""
from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from installations import CACHE, REQUIREMENTS

#: The file that names what the role installs by default (roles/python_env/vars/main.yml).
MARK = f".holds-{hashlib.sha1(REQUIREMENTS['3.17.2'].read_text().rstrip().encode()).hexdigest()}"


def keep(home: Path) -> None:
    """Copy the packages of a stack that the role has brought up, unless there is a copy."""
    if not (home / "venv" / MARK).exists():
        return
    with _copy() as copy:
        if not copy.exists():
            for other in copy.parent.glob(".holds-*"):
                shutil.rmtree(other)
            shutil.copytree(home / "venv", copy.with_suffix(".part"), symlinks=True)
            copy.with_suffix(".part").rename(copy)


def lend(home: Path) -> None:
    """Put the copy, if there is one, where a new stack has its packages. If it does not work there, the role replaces it."""
    with _copy() as copy:
        if home.exists() or not copy.exists():
            return
        home.mkdir(mode=0o700)
        # By this, the playbook that removes a stack knows it.
        (home / ".mlops-mlflow").mkdir(mode=0o700)
        shutil.copytree(copy, home / "venv", symlinks=True)
    own = str(home / "venv")
    old = (home / "venv" / MARK).read_text().strip()
    for program in (home / "venv/bin").iterdir():
        if program.is_file() and not program.is_symlink() and (code := program.read_bytes()).startswith(b"#!"):
            program.write_bytes(code.replace(old.encode(), own.encode()))
    (home / "venv" / MARK).write_text(f"{own}\n")


@contextmanager
def _copy() -> Iterator[Path]:
    folder = CACHE / "embedded-packages"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder / MARK
