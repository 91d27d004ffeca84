# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uses a folder as MLflow does, as the user that runs it: ``probe.py FOLDER``.

Writes a file and syncs it, renames it, reads it back, and deletes it. Prints one line of JSON, which becomes the container's termination
message: ``empty``, whether there are no artifacts yet, or, with status 1, the ``step`` that failed, its ``error`` (such as ``EACCES``), and whose
the folder is.
"""
from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
import uuid
from collections.abc import Iterable
from typing import Any

CONTENT = b"mlops.mlflow" * 4096
#: Where Kubernetes looks for what a container has to say; in the image of MLflow, every user may write to it.
TERMINATION_LOG = "/dev/termination-log"


class Failed(Exception):
    """A step that failed."""

    def __init__(self, step: str, error: str, message: str) -> None:
        super().__init__(step, error, message)
        self.step, self.error, self.message = step, error, message


class Step:
    """Turns the OSError of a block into Failed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Raise Failed in the place of OSError."""
        if isinstance(error, OSError):
            raise Failed(self._name, errno.errorcode.get(error.errno or 0, "EIO"), error.strerror or str(error)) from None


def has_artifacts(names: Iterable[str]) -> bool:
    """Return whether a folder with these entries has artifacts. What file systems and NAS servers have there of their own does not count.

    >>> has_artifacts([".snapshot", "lost+found", "@eaDir", "#recycle"]), has_artifacts([".snapshot", "1"])
    (False, True)
    """
    return any(name[0] not in ".@#" and name != "lost+found" for name in names)


def probe(folder: str) -> dict[str, Any]:
    """Do what MLflow does in the folder, and leave nothing behind. Raises Failed."""
    name = os.path.join(folder, f".mlops-mlflow-{uuid.uuid4().hex}")
    renamed = f"{name}-renamed"
    with Step("list"):
        empty = not has_artifacts(os.listdir(folder))
    try:
        with Step("create"):
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        try:
            with Step("write"):
                os.write(file, CONTENT)
            with Step("sync"):
                os.fsync(file)
        finally:
            with Step("close"):
                os.close(file)
        with Step("rename"):
            os.rename(name, renamed)
        with Step("read"), open(renamed, "rb") as again:
            found = again.read()
        if found != CONTENT:
            raise Failed("compare", "", f"{len(found)} bytes were read that differ from the {len(CONTENT)} that were written")
        with Step("delete"):
            os.unlink(renamed)
    finally:
        for left in (name, renamed):
            with contextlib.suppress(OSError):
                os.unlink(left)
    return {"empty": empty}


def seen(folder: str) -> dict[str, Any]:
    """Return whose the folder is, as far as that can be seen, and who asks."""
    found: dict[str, Any] = {"user": os.geteuid(), "groups": sorted({os.getegid(), *os.getgroups()})}
    with contextlib.suppress(OSError):
        state = os.stat(folder)
        found |= {"owner": state.st_uid, "group": state.st_gid, "mode": f"{stat.S_IMODE(state.st_mode):o}"}
        found["read_only"] = bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    return found


def main(folder: str) -> int:
    """Probe the folder, and say what came of it."""
    status = 0
    try:
        result = probe(folder)
    except Failed as failed:
        status, result = 1, {"step": failed.step, "error": failed.error, "message": failed.message, **seen(folder)}
    line = json.dumps(result, sort_keys=True)
    print(line)
    # Of a failure, Kubernetes takes the end of the log otherwise.
    with contextlib.suppress(OSError), open(TERMINATION_LOG, "w", encoding="utf-8") as log:
        log.write(line)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
