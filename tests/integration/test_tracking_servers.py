"""The test servers themselves: each is what it says it is, and leaves nothing behind."""
from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
import tracking_servers as module
from harness import Stack
from postgresql import private_postgresql
from tracking_servers import DEPLOYED, MATRIX, Flavour, Server, Servers

OPEN = Flavour("3.17.2", "sqlite")
EXPERIMENTS = "/api/2.0/mlflow/experiments/search?max_results=1"


def get(stack: Stack, path: str, password: str = "") -> tuple[int, str]:
    """Status and body of a GET as the administrator with ``password``, or as nobody."""
    headers = {"Authorization": "Basic " + base64.b64encode(f"{stack.tracking_username}:{password}".encode()).decode()} if password else {}
    with closing(http.client.HTTPConnection(urlsplit(stack.tracking_uri).netloc, timeout=60)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def processes(port: int) -> list[str]:
    """The command lines on this machine that name ``port``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        if re.search(rf"\b{port}\b", line):
            found.append(line)
    return found


def assert_gone(stack: Stack) -> None:
    port = urlsplit(stack.tracking_uri).port
    assert port
    with pytest.raises(ConnectionRefusedError):
        get(stack, "/health")
    assert processes(port) == []


def test_each_of_the_matrix(any_server: Server) -> None:
    stack, flavour = any_server.stack, any_server.flavour
    status, version = get(stack, "/version", stack.tracking_password)
    assert status == 200
    given = flavour == DEPLOYED and "MLFLOW_TEST_STACK" in os.environ
    assert given or (version, bool(stack.tracking_username)) == (flavour.version, flavour.auth)
    assert get(stack, EXPERIMENTS, stack.tracking_password)[0] == 200
    assert get(stack, EXPERIMENTS)[0] == (401 if stack.tracking_username else 200)
    assert get(stack, EXPERIMENTS, "not the password")[0] == (401 if stack.tracking_username else 200)
    with closing(any_server.client()) as client:
        assert client.get("/api/2.0/mlflow/experiments/get", experiment_id="0")["experiment"]["name"] == "Default"
    any_server.run.succeed("mlflow_registered_model", name="test servers")
    any_server.run.succeed("mlflow_registered_model", name="test servers", state="absent")


@pytest.mark.parametrize("flavour", [flavour for flavour in MATRIX if flavour.version != DEPLOYED.version], ids=str)
def test_nothing_stays(flavour: Flavour) -> None:
    with Servers() as servers:
        server = servers(flavour)
        assert servers(flavour) is server
        assert processes(urlsplit(server.stack.tracking_uri).port or 0)
    assert_gone(server.stack)


def test_workspaces(servers: Servers) -> None:
    server = servers(Flavour("3.17.2", "sqlite", auth=True, workspaces=True))
    with closing(server.client()) as client:
        names = [found["name"] for found in client.get("/api/3.0/mlflow/workspaces")["workspaces"]]
        assert "default" in names  # other tests make some


def test_a_server_that_does_not_come_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = []

    def command(*words: object) -> list[str]:
        ports.append(int(str(words[2])))
        return usual(*words)  # type: ignore[arg-type]

    usual = module._command
    monkeypatch.setattr(module, "_command", command)
    with Servers() as servers, pytest.raises(RuntimeError, match="(?s)MLflow 3.17.2-sqlite-open ended with code 1; the end of its log:.*nonsense"):
        servers(Flavour("3.17.2", "sqlite", env=(("MLFLOW_BACKEND_STORE_URI", "nonsense://x"),)))
    assert processes(ports[0]) == []


def test_a_port_that_is_taken(servers: Servers) -> None:
    taken = urlsplit(servers(OPEN).stack.tracking_uri).port or 0
    with Servers() as others, pytest.raises(RuntimeError, match=f"port {taken} of loopback cannot be used: Address already in use"):
        others(OPEN, taken)


def test_postgresql_drops_its_databases_and_ends() -> None:
    with private_postgresql(DEPLOYED.version) as postgresql:
        with postgresql.database("o'ne") as uri:
            plain = uri.replace("+psycopg2", "")
            psycopg2.connect(plain).close()
        with pytest.raises(psycopg2.OperationalError, match="does not exist"):
            psycopg2.connect(plain)
    with pytest.raises(psycopg2.OperationalError, match="refused"):
        psycopg2.connect(plain)


def test_the_command_line() -> None:
    command = [sys.executable, module.__file__, "start", "--auth", "--detach"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    stack = Stack(**json.loads(done.stdout))
    assert get(stack, "/version", stack.tracking_password) == (200, DEPLOYED.version)
    [number] = re.findall(r"kill (\d+) ends it", done.stderr)
    os.kill(int(number), signal.SIGTERM)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{number}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert_gone(stack)
