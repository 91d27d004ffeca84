"""The processes of servers, and the CPU time that they have used, which does not depend on what else runs on the machine."""
from __future__ import annotations

import os
from pathlib import Path

from harness import Stack


def servers(stack: Stack) -> set[int]:
    """The supervisor of the deployed stack with everything under it, and the servers that this process has started."""
    supervisor = int((Path(stack.python).parents[2] / "run" / "supervisord.pid").read_text())
    return family(supervisor) | family(os.getpid()) - {os.getpid()}


def family(root: int) -> set[int]:
    """The process and its descendants."""
    parents = {pid: int(fields[1]) for pid, fields in _stat().items()}
    found, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        grown = bool(more)
        found |= more
    return found


def cpu(pids: set[int]) -> float:
    """The seconds of CPU that the processes, and children of theirs that have ended, have used."""
    ticks = sum(int(ticks) for pid, fields in _stat().items() if pid in pids for ticks in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat() -> dict[int, list[str]]:
    """The fields of /proc/PID/stat after the name, by process."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(entry.parent.name)] = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # has ended since
            continue
    return found
