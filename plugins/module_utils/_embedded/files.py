# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Files of the embedded stack, which belong to the user of its processes, and which nobody else may read."""
from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Mapping

_PRIVATE = 0o600


def differing(files: Mapping[str, str], owner: str) -> list[str]:
    """The paths of the files that do not have this content, owner and mode 0600."""
    uid = _uid(owner)
    return [path for path, content in files.items() if not _is_right(path, content.encode(), uid)]


def _is_right(path: str, content: bytes, uid: int | None) -> bool:
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) != _PRIVATE or found.st_uid != uid:
            return False
        with open(path, "rb") as file:
            return file.read() == content
    except OSError:
        return False


def _uid(owner: str) -> int | None:
    """The number of the user; nothing in check mode on a machine where a run would create him."""
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        return None


def make_folder(path: str, owner: str) -> None:
    """Create a folder with those above it that are missing, for ``owner`` alone."""
    if os.path.isdir(path):
        return
    make_folder(os.path.dirname(path), owner)
    os.mkdir(path, 0o700)
    _give(path, owner)


def write(path: str, content: str, owner: str) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut."""
    make_folder(os.path.dirname(path), owner)
    new = f"{path}.new"
    if os.path.lexists(new):
        os.unlink(new)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb") as file:
        file.write(content.encode())
        _give(new, owner)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def _give(path: str, owner: str) -> None:
    user = pwd.getpwnam(owner)
    if user.pw_uid != os.geteuid():
        os.chown(path, user.pw_uid, user.pw_gid)


def last_lines(path: str, size: int = 65536) -> list[str]:
    """The lines at the end of a file that may be large; none if it is not there."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def first_lines(folder: str) -> dict[str, str]:
    """The first line of each file in a folder, by the file's name; none if there is no folder."""
    if not os.path.isdir(folder):
        return {}
    found = {}
    for entry in os.scandir(folder):
        if entry.is_file():
            with open(entry.path, encoding="utf-8") as file:
                found[entry.name] = file.readline().rstrip("\n")
    return found


def owners(paths: list[str]) -> dict[str, str]:
    """The user that owns each of the paths that exist."""
    found = {}
    for path in paths:
        try:
            uid = os.lstat(path).st_uid
        except OSError:
            continue
        try:
            found[path] = pwd.getpwuid(uid).pw_name
        except KeyError:
            found[path] = str(uid)
    return found
