"""What the server logs as JSON, and what the client sees of it, under uvicorn's own configuration of logs."""
from __future__ import annotations

import asyncio
import io
import json
import logging
import logging.config
import sys
from pathlib import Path
from typing import Any

import json_logs
import pytest

CONFIG = Path(__file__).resolve().parents[3] / "roles/mlflow_server/files/log_config.json"
STORE = logging.getLogger("mlflow.store")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What was logged since it was asked for last, each line as an object."""
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    logging.config.dictConfig(json.loads(CONFIG.read_text()))
    output = io.StringIO()
    (access,), own = json_logs.ACCESS.handlers, logging.StreamHandler(output)
    assert isinstance(access, logging.StreamHandler)
    access.setStream(output)
    monkeypatch.setattr(STORE, "handlers", [own])
    monkeypatch.setattr(STORE, "propagate", False)
    json_logs.everything_as_json()

    def told() -> list[Any]:
        text = output.getvalue()
        output.seek(0)
        output.truncate()
        return [json.loads(line) for line in text.splitlines()]

    yield told
    json_logs.ACCESS.handlers.clear()


async def mlflow(scope: Any, receive: Any, send: Any) -> None:
    """An application that logs, answers, or fails."""
    STORE.warning("two\nlines of %s", scope["path"])
    if scope["path"] == "/fails":
        raise ValueError("why")
    await send({"type": "http.response.start", "status": 201, "headers": [(b"X-Request-Id", b"its own"), (b"x-frame-options", b"DENY")]})
    await send({"type": "http.response.body", "body": b"{}"})


def ask(path: str, *headers: tuple[bytes, bytes]) -> list[dict[str, Any]]:
    """The messages of an answer."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def receive() -> Any:
        raise AssertionError("nothing reads the body")

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"token=secret", "headers": [*headers], "client": ("10.0.0.9", 5)}
    asyncio.run(json_logs.Logged(mlflow)(scope, receive, send))
    return sent


def test_a_client_gets_the_id_that_all_lines_of_its_request_have(lines: Any) -> None:
    start, _body = ask("/api")
    told = dict(start["headers"])
    assert told.keys() == {b"x-request-id", b"x-frame-options"}
    identity = told[b"x-request-id"].decode()
    during, access = lines()
    assert (during["message"], during["level"], during["logger"]) == ("two\nlines of /api", "WARNING", "mlflow.store")
    assert during["request_id"] == access["request_id"] == identity
    assert {name: access[name] for name in ("method", "path", "status", "client")} == {
        "method": "GET", "path": "/api", "status": 201, "client": "10.0.0.9",
    }  # fmt: skip
    assert 0 <= access["seconds"] < 60
    assert "secret" not in json.dumps(access)
    STORE.warning("afterwards")
    assert "request_id" not in lines()[0]


@pytest.mark.parametrize(("given", "is_kept"), [(b"from-the-proxy", True), (b"a b", False), (b"", False), (b"x" * 129, False), (b"a\nb", False)])
def test_an_id_that_the_request_has_is_kept_if_it_is_one(lines: Any, given: bytes, is_kept: bool) -> None:
    start, _body = ask("/api", (b"X-Request-ID", given))
    identity = dict(start["headers"])[b"x-request-id"]
    assert (identity == given) is is_kept
    assert lines()[-1]["request_id"] == identity.decode()


def test_a_request_that_fails_is_logged_too(lines: Any) -> None:
    with pytest.raises(ValueError, match="why"):
        ask("/fails")
    assert lines()[-1]["status"] is None


def test_an_exception_is_part_of_its_line(lines: Any) -> None:
    try:
        raise ValueError("why")
    except ValueError:
        STORE.exception("it failed")
    (line,) = lines()
    assert line["message"] == "it failed"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: why")


def test_what_is_printed_is_an_object_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one thread prints in parts does not tear what another logs."""
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", output)
    handler = json_logs.start()
    assert json_logs.start().formatter is not None
    print("half a line, ", end="", file=sys.stderr)
    handler.handle(logging.makeLogRecord({"name": "a", "levelname": "ERROR", "msg": "logged"}))
    print("and the rest\n\nanother", file=sys.stderr)
    told = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [(each["logger"], each["message"]) for each in told] == [
        ("a", "logged"), ("stderr", "half a line, and the rest"), ("stderr", "another"),
    ]  # fmt: skip


def test_what_is_no_request_passes(lines: Any) -> None:
    seen: list[Any] = []

    async def inner(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope)

    async def nothing(*_words: Any) -> Any:
        raise AssertionError("nothing is asked for")

    asyncio.run(json_logs.Logged(inner)({"type": "lifespan"}, nothing, nothing))
    assert (seen, lines()) == ([{"type": "lifespan"}], [])
