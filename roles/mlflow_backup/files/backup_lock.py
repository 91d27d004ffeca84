"""The lock of an embedded stack's backups, under which backups, drills, restores and maintenance run one at a time: ``backup_lock.py HOME``.

Prints a sentence if one of them is at work, and nothing otherwise. Runs on the Python of a managed host with nothing else.
"""
from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

LOCK = "backup/lock"
#: The lock of a deployment in a cluster, in the database of its experiments (pg_advisory_lock). Any number will do.
DATABASE_LOCK = 0x6D6C62616B
#: How long one waits for another, or for what an interrupted one has left running, in seconds.
PATIENCE = 600


def is_taken(file: IO[Any], kind: int) -> bool:
    """Whether a lock of the kind is to be had, and now held."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def at_work(home: Path) -> str:
    """Return what holds the lock, since when, and how to know it; empty if nothing does."""
    try:
        with (home / LOCK).open() as file:
            if is_taken(file, fcntl.LOCK_SH):
                return ""
            noted = file.read()
    except FileNotFoundError:
        return ""
    try:
        told = "{what} has been running since {since} (process {process}, or what it has started)".format(**json.loads(noted))
    except ValueError:
        told = "a backup has begun"  # and not noted yet what it is
    return f"embedded_home: '{home}' is in use, {told}; wait until it has ended, then run this again"


@contextmanager
def alone(home: Path, what: str, error: Callable[[str], Exception]) -> Iterator[int]:
    """Hold the lock. Every program that is given the descriptor holds it too, so that it is free when the last of them has ended."""
    (home / LOCK).parent.mkdir(mode=0o700, exist_ok=True)
    with (home / LOCK).open("a") as file:
        deadline = time.monotonic() + PATIENCE
        while not is_taken(file, fcntl.LOCK_EX):
            told = at_work(home)
            if told and time.monotonic() > deadline:
                raise error(told)
            time.sleep(0.5)
        file.truncate(0)
        file.write(json.dumps({"what": what, "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "process": os.getpid()}))
        file.flush()
        yield file.fileno()


if __name__ == "__main__":
    print(at_work(Path(sys.argv[1])), end="")
