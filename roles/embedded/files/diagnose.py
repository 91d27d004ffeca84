"""What is seen of an embedded stack, layer by layer, for a diagnosis: as JSON, without a secret. Writes nothing, and waits only seconds.

Runs on the Python of a managed host with nothing else, as root or as the user whose stack it is. What needs the stack's packages or its user is asked
of ``diagnose_inside.py``.
"""
from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from asking import asked
from status import backups, client, processes

#: How long everything may take that is asked of the stack's own Python, in seconds.
ALTOGETHER = 60
HEALTH, API, ARTIFACTS = "/health", "/api/2.0/mlflow/experiments/search?max_results=1", "/api/2.0/mlflow-artifacts/artifacts"
REVISION = re.compile(r'^revision(?:: str)? = "(\w+)"', re.M)
DOWN = re.compile(r"^down_revision.*$", re.M)


def disk(home: Path) -> dict[str, Any]:
    """Return the free bytes and files of the folder's disk, and whether it is read-only."""
    told = os.statvfs(home)
    return {"free": told.f_bavail * told.f_frsize, "files": told.f_favail if told.f_files else -1, "read_only": bool(told.f_flag & os.ST_RDONLY)}


def holders(port: int) -> Iterator[tuple[int, str]]:
    """Return the processes that listen on a port of this machine, as far as this user may see them."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{words[9]}]")
    for entry in Path("/proc").glob("[0-9]*") if sockets else ():
        with suppress(OSError):
            if any(os.readlink(each) in sockets for each in (entry / "fd").iterdir()):
                yield int(entry.name), (entry / "comm").read_text().strip()


def foreign(port: int, home: Path) -> str:
    """Return which process holds a port that is not of this stack; empty if there is none, or it cannot be seen."""
    for pid, name in holders(port):
        with suppress(OSError):
            if not f"{os.readlink(f'/proc/{pid}/cwd')}/".startswith(f"{home}/"):
                return f"{name} (process {pid})"
    return ""


def head(home: Path) -> str:
    """Return the revision of the schema that the installed MLflow has; empty if its migrations are not there."""
    made, built_on = set(), set()
    for file in home.glob("venv/lib/python3*/site-packages/mlflow/store/db_migrations/versions/*.py"):
        text = file.read_text(errors="replace")
        made |= set(REVISION.findall(text))
        built_on |= {word for line in DOWN.findall(text) for word in re.findall(r'"(\w+)"', line)}
    heads = made - built_on
    return heads.pop() if len(heads) == 1 else ""


def inside(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the stack's own Python sees as the stack's user; why it does not run under ``broken``."""
    home = settings["home"]
    command = [*settings["as_user"], f"{home}/venv/bin/python", "-c", settings["inside"], home]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ALTOGETHER, check=False, cwd="/")
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"broken": str(getattr(error, "strerror", "") or f"no answer within {ALTOGETHER} seconds")}
    if done.returncode:
        return {"broken": (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]}
    return dict(json.loads(done.stdout))


def seen(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything."""
    home = Path(settings["home"])
    if not home.is_dir():
        return {"there": False}
    variables = client(home)
    uri = variables.get("MLFLOW_TRACKING_URI", "")
    found = inside(settings)
    health = asked(uri, HEALTH, {}) if uri else {"status": 0, "says": "no address"}
    ports = {"postgresql": found.get("port", 0), "mlflow": int(uri.rpartition(":")[2]) if re.search(r":\d+$", uri) else 0}
    return {
        "there": True,
        "disk": disk(home),
        "inside": found,
        "processes": processes(home),
        "foreign": {name: foreign(port, home) if port else "" for name, port in ports.items()},
        "ports": ports,
        "head": head(home),
        "uri": uri,
        "health": health,
        # Who does not answer once is not asked again.
        **{name: asked(uri, path, variables) if health["status"] else health for name, path in (("api", API), ("artifacts", ARTIFACTS))},
        "backups": backups(home),
        "now": time.time(),
    }


def main(settings: Mapping[str, Any]) -> int:
    """Print it."""
    print(json.dumps(seen(settings)))
    return 0
