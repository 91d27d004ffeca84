# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Who else listens on the ports of one process of the embedded stack."""
from __future__ import annotations

import os
import re
import socket
import time
from contextlib import closing
from pathlib import Path

#: Seconds.
PATIENCE = 3


def is_taken(port: int) -> bool:
    """Whether anything answers on the port."""
    with closing(socket.socket()) as connection:
        connection.settimeout(PATIENCE)
        return connection.connect_ex(("127.0.0.1", port)) == 0


def listeners(table: str, port: int) -> set[str]:
    r"""The sockets that listen on the port, by the kernel's table of them.

    >>> listeners("  sl  local_address rem_address   st\n"
    ...           "   0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1\n"
    ...           "   1: 0100007F:1388 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1\n"
    ...           "   2: 00000000:1389 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4713 1\n", 5000)
    {'socket:[4711]'}
    """
    rows = [line.split() for line in table.splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}


def holders(sockets: set[str]) -> dict[str, list[Path]]:
    """The processes that hold each of the sockets, as far as this user may look."""
    found: dict[str, list[Path]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            descriptors = os.listdir(process / "fd")
        except OSError:
            # Ended meanwhile, or another user's.
            continue
        for name in {link(process / "fd" / descriptor) for descriptor in descriptors} & sockets:
            found.setdefault(name, []).append(process)
    return found


def link(path: Path) -> str:
    """Where a link leads; empty if it is gone, as the descriptor of a folder that was just listed."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def is_own(process: Path, home: str, service: str) -> bool:
    """Whether the supervisor of the stack in ``home`` has started the process, or its parent, as ``service``."""
    try:
        environment = b"\0" + (process / "environ").read_bytes()
    except OSError:
        return False
    started_by = re.search(rb"\0SUPERVISOR_SERVER_URL=unix://([^\0]+)/run/supervisor.sock\0", environment)
    is_service = b"\0SUPERVISOR_PROCESS_NAME=" + os.fsencode(service) + b"\0" in environment
    return is_service and started_by is not None and os.path.normpath(os.fsdecode(started_by[1])) == home


def foreign(home: str, service: str, ports: list[int]) -> dict[int, str]:
    """Who else listens on which of the ports: the program, as far as it can be known."""
    tables = [path.read_text() for path in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")) if path.exists()]
    sockets = {port: set().union(*(listeners(table, port) for table in tables)) for port in ports if is_taken(port)}
    held = holders(set().union(*sockets.values())) if sockets else {}
    found = {}
    for port, of_port in sockets.items():
        processes = [process for each in of_port for process in held.get(each, [])]
        if not any(is_own(process, home, service) for process in processes):
            found[port] = program(processes)
    return found


def program(processes: list[Path]) -> str:
    """The first of the processes by its name, for messages."""
    try:
        return f"{(processes[0] / 'comm').read_text().strip()} ({processes[0].name})"
    except (IndexError, OSError):
        return "something else"


def taken(home: str, service: str, ports: list[int]) -> dict[int, str]:
    """Who else listens on which of the ports of 127.0.0.1. A process that is just ending gets three seconds."""
    home, deadline = os.path.normpath(home), time.monotonic() + PATIENCE
    while True:
        found = foreign(home, service, ports)
        if not found or time.monotonic() > deadline:
            return found
        ports = list(found)
        time.sleep(0.3)
