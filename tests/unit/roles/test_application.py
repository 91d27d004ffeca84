"""What the server puts around an application of somebody else, which is a small ASGI application here."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest
from application import LikeMlflow, PasswordsAlone


async def plugin(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"of the plugin"})


def ask(path: str, kind: str = "http") -> tuple[int, bytes]:
    """The status and the body of an answer."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(LikeMlflow(plugin)({"type": kind, "path": path}, None, send))  # type: ignore[arg-type]
    start, body = sent
    return start["status"], body["body"]


@pytest.mark.parametrize(("path", "answer"), [
    ("/health", (200, b"OK")), ("/metrics", (404, b"Not Found")), ("/metrics/", (404, b"Not Found")),
    ("/health/ready", (200, b"of the plugin")), ("/", (200, b"of the plugin")), ("/api/2.0/metrics", (200, b"of the plugin")),
])
def test_it_is_alive_in_mlflow_s_words_and_tells_nobody_its_metrics(path: str, answer: tuple[int, bytes]) -> None:
    assert ask(path) == answer


def test_what_is_no_request_is_left_alone() -> None:
    assert ask("/metrics", "websocket") == (200, b"of the plugin")


@pytest.mark.parametrize(("path", "login", "passed"), [
    ("/api/2.0/mlflow/runs/search", b"Basic YWRtaW46eA==", True), ("/api/2.0/mlflow/runs/search", b"basic !", True),
    ("/api/2.0/mlflow/runs/search", b"Bearer a.b.c", False), ("/", b"Negotiate abc==", False), ("/", b"Basic", False), ("/", b"", False),
    ("/gateway/mlflow/v1/chat/completions", b"Bearer of-a-provider", True),
])
def test_a_login_without_a_name_is_none(path: str, login: bytes, passed: bool) -> None:
    seen: list[Any] = []

    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        seen.extend(scope["headers"])

    headers = [(b"host", b"mlflow"), (b"authorization", login)]
    scope: Any = {"type": "http", "path": path, "headers": headers}
    asyncio.run(PasswordsAlone(application)(scope, None, None))  # type: ignore[arg-type]
    assert seen == (headers if passed else headers[:1])
    assert scope["headers"] == headers
