"""MLflow's web application, telling clients that artifacts go through it.

Where MLflow stores artifacts in S3, its answer to ``server-info`` advertises ``multipart_uploads_enabled`` and
``multipart_downloads_enabled``, and clients since 3.17 then send and fetch large artifacts straight to and from the S3 server,
by presigned URLs. A client that cannot reach that server waits there until it gives up. MLflow has no setting for it.
"""
from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

ADVERTISED = ("multipart_uploads_enabled", "multipart_downloads_enabled")


def unadvertised(body: bytes) -> bytes:
    """The JSON of an answer to ``server-info`` with what is advertised there turned off; any other body as it is.

    >>> unadvertised(b'{"store_type": "SqlStore", "multipart_uploads_enabled": true}')
    b'{"store_type": "SqlStore", "multipart_uploads_enabled": false}'
    >>> unadvertised(b"Not Found")
    b'Not Found'
    """
    try:
        told = json.loads(body)
    except ValueError:
        return body
    if not isinstance(told, dict):
        return body
    return json.dumps({key: False if key in ADVERTISED else value for key, value in told.items()}).encode()


class Proxied:
    """An ASGI application around MLflow's, https://asgi.readthedocs.io/en/stable/specs/www.html."""

    def __init__(self, mlflow: Application) -> None:
        self._mlflow = mlflow

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass everything on as it is, but for the body of ``server-info``."""
        if scope["type"] != "http" or not scope["path"].endswith("/mlflow/server-info"):
            await self._mlflow(scope, receive, send)
            return
        start: Message = {}
        parts: list[bytes] = []

        async def hold(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            parts.append(message.get("body", b""))
            if message.get("more_body"):
                return
            body = unadvertised(b"".join(parts))
            headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
            await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
            await send({"type": "http.response.body", "body": body})

        await self._mlflow(scope, receive, hold)
