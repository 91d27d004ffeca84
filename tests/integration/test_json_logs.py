"""The log of a real server as JSON: each line can be read, and those of a request are found by the id that its client has seen."""
from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Any

from harness import Stack


def ask(stack: Stack, path: str, **headers: str) -> tuple[int, str]:
    """The status of an answer, and its request's id."""
    login = b64encode(f"{stack.tracking_username}:{stack.tracking_password}".encode()).decode()
    request = urllib.request.Request(f"{stack.tracking_uri}{path}", headers={"Authorization": f"Basic {login}", **headers})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return answer.status, answer.headers["X-Request-ID"]
    except urllib.error.HTTPError as error:
        return error.code, error.headers["X-Request-ID"]


def lines_of(stack: Stack, identity: str) -> list[dict[str, Any]]:
    """The lines of a request, as soon as it has ended."""
    log, deadline = Path(stack.python).parents[2] / "log/mlflow.log", time.monotonic() + 30
    while True:
        found = [json.loads(line) for line in log.read_text().splitlines() if identity in line]
        if any(line.get("status") for line in found) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def test_a_request_is_found_by_the_id_that_its_client_has_got(stack: Stack) -> None:
    status, identity = ask(stack, "/api/2.0/mlflow/experiments/get?experiment_id=987654321")
    (access,) = [line for line in lines_of(stack, identity) if "status" in line]
    assert (status, access["status"], access["path"]) == (404, 404, "/api/2.0/mlflow/experiments/get")
    assert access["seconds"] > 0
    assert "987654321" not in json.dumps(access)


def test_an_id_of_the_client_is_kept(stack: Stack) -> None:
    given = f"client-{time.time_ns()}"
    assert ask(stack, "/health", **{"X-Request-ID": given}) == (200, given)
    assert [line["path"] for line in lines_of(stack, given)] == ["/health"]


def test_each_line_is_an_object(stack: Stack) -> None:
    """From the first one of the process on."""
    lines = (Path(stack.python).parents[2] / "log/mlflow.log").read_text().splitlines()
    assert len(lines) > 5
    told = [json.loads(line) for line in lines]
    assert {"time", "level", "logger", "message"} <= set.intersection(*({*each} for each in told))
