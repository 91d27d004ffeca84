"""How the embedded stack is doing: ``status.py HOME`` prints, as JSON, its processes, sizes, answer and backups, without a password.

Runs on the Python of a managed host with nothing else, as root or as the user whose stack it is.
"""
from __future__ import annotations

import base64
import http.client
import json
import os
import shlex
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
import xmlrpc.client
from pathlib import Path
from typing import Any

PARTS = {"databases": "postgresql", "artifacts": "artifacts", "S3": "artifact-store", "logs": "log", "dumps": "backups", "packages": "venv"}
PATIENCE = 10
API = "/api/2.0/mlflow/experiments/search?max_results=1"


class Socket(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def connect(self) -> None:
        """Connect to the path that stands for a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.host)


class Transport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """Return a connection to the socket, whatever the host."""
        connection = Socket("localhost")
        connection.host = self.path
        return connection


def processes(home: Path) -> list[dict[str, Any]]:
    """Return the processes that the supervisor knows, with their states and since when; none if there is no supervisor that answers."""
    proxy: Any = xmlrpc.client.ServerProxy("http://localhost", transport=Transport(str(home / "run/supervisor.sock")))
    try:
        found = proxy.supervisor.getAllProcessInfo()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return []
    return [{"name": each["name"], "state": each["statename"], "since": each["start"], "pid": each["pid"]} for each in found]


def size(folder: Path) -> int:
    """Return the bytes that a folder takes on its disk."""
    total = 0
    for place, _folders, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
            except OSError:
                continue
    return total


def client(home: Path) -> dict[str, str]:
    """Return the variables of clients; none if the server was never deployed."""
    try:
        words = shlex.split((home / "client.env").read_text(), comments=True)
    except OSError:
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)


def answer(variables: dict[str, str]) -> str:
    """Return why MLflow does not answer a request that needs the database; empty if it does."""
    request = urllib.request.Request(variables["MLFLOW_TRACKING_URI"] + API)
    if "MLFLOW_TRACKING_USERNAME" in variables:
        login = f"{variables['MLFLOW_TRACKING_USERNAME']}:{variables.get('MLFLOW_TRACKING_PASSWORD', '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE):
            return ""
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", error))


def backups(home: Path) -> dict[str, Any]:
    """Return what is noted of the last backup and drill, and whether a repository that is a folder is there."""
    try:
        state = dict(json.loads((home / "backup/state.json").read_text()))
    except (OSError, ValueError):
        return {}
    repository = str(state.get("repository", ""))
    is_gone = repository.startswith("/") and not Path(repository, "config").exists()
    return {**state, "gone": is_gone}


def status(home: Path) -> dict[str, Any]:
    """Return everything."""
    if not home.is_dir():
        return {"there": False}
    variables = client(home)
    uri = variables.get("MLFLOW_TRACKING_URI", "")
    return {
        "there": True, "uri": uri, "silence": answer(variables) if uri else "", "processes": processes(home), "backups": backups(home),
        "sizes": {what: size(home / name) for what, name in PARTS.items() if (home / name).is_dir()}, "free": shutil.disk_usage(home).free,
        "now": time.time(),
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(status(Path(os.path.normpath(sys.argv[1])))), end="")
