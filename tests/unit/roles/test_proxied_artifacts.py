"""What the server around MLflow's makes of its answers; MLflow's own is a small ASGI application here, for one that sends parts."""
from __future__ import annotations

import asyncio
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[3] / "roles" / "mlflow_server" / "files" / "proxied_artifacts.py"
SPEC = importlib.util.spec_from_file_location("proxied_artifacts", FILE)
assert SPEC is not None
assert SPEC.loader is not None
proxied_artifacts = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(proxied_artifacts)

TOLD = b'{"store_type": "SqlStore", "multipart_uploads_enabled": true, "multipart_downloads_enabled": true}'
PROXIED = {"store_type": "SqlStore", "multipart_uploads_enabled": False, "multipart_downloads_enabled": False}


async def mlflow(scope: Any, receive: Any, send: Any) -> None:
    """Answer anything with the same, in two parts."""
    headers = [(b"Content-Length", str(len(TOLD)).encode()), (b"x-frame-options", b"SAMEORIGIN")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": TOLD[:10], "more_body": True})
    await send({"type": "http.response.body", "body": TOLD[10:]})


def ask(path: str) -> list[dict[str, Any]]:
    """The messages of an answer."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(proxied_artifacts.Proxied(mlflow)({"type": "http", "path": path}, None, send))
    return sent


@pytest.mark.parametrize("path", ["/api/3.0/mlflow/server-info", "/prefix/ajax-api/3.0/mlflow/server-info"])
def test_server_info_advertises_nothing(path: str) -> None:
    start, body = ask(path)
    assert json.loads(body["body"]) == PROXIED
    assert start["headers"] == [(b"x-frame-options", b"SAMEORIGIN"), (b"content-length", str(len(body["body"])).encode())]


def test_every_other_answer_passes_as_it_is() -> None:
    assert b"".join(message.get("body", b"") for message in ask("/api/2.0/mlflow/runs/get")) == TOLD


@pytest.mark.parametrize("body", [b"Not Found", b"[1, 2]", b"", b"\xff"])
def test_a_body_that_is_no_object_passes_as_it_is(body: bytes) -> None:
    assert proxied_artifacts.unadvertised(body) == body
