"""Logs as JSON, an object a line, each with the id of the request that it belongs to, which the client has as the header ``X-Request-ID``.

``log_config.json`` has uvicorn write so before the application is loaded, and what prints without a logger, such as a warning, does so too.
"""
from __future__ import annotations

import io
import json
import logging
import re
import sys
import time
import uuid
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any, TextIO

from proxied_artifacts import Application, Message, Receive, Send

HEADER = b"x-request-id"
# An id of a client, or of a proxy before this server, that is safe to write and to send back.
GIVEN = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
REQUEST: ContextVar[str] = ContextVar("request", default="")
ACCESS = logging.getLogger("mlops.mlflow.access")
# How a line begins that is an object of ours.
BEGIN = '{"time": "'


class JsonFormatter(logging.Formatter):
    """A line of the log as an object.

    >>> record = logging.LogRecord("mlflow", logging.WARNING, "", 0, "%s is late", ("run",), None)
    >>> record.created = 0.0
    >>> JsonFormatter().format(record)
    '{"time": "1970-01-01T00:00:00.000+00:00", "level": "WARNING", "logger": "mlflow", "message": "run is late"}'
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return it, on one line whatever the message has."""
        made = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        told: dict[str, Any] = {"time": made, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if REQUEST.get():
            told["request_id"] = REQUEST.get()
        told.update(getattr(record, "request", {}))
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told)


class JsonStream(io.TextIOBase):
    r"""A stream that makes an object of each line that is none yet.

    >>> output = io.StringIO()
    >>> print("a warning", file=JsonStream(output, "stderr"))
    >>> {key: value for key, value in json.loads(output.getvalue()).items() if key != "time"}
    {'level': 'INFO', 'logger': 'stderr', 'message': 'a warning'}
    >>> output.truncate(0), JsonStream(output, "stderr").write('{"time": "now"}\n'), output.getvalue().strip("\0")
    (0, 16, '{"time": "now"}\n')
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        super().__init__()
        self._stream, self._name, self._begun = stream, name, ""

    def write(self, text: str) -> int:
        """Write the lines that have ended."""
        if text.startswith(BEGIN) and text.endswith("\n"):
            self._stream.write(text)
            return len(text)
        *ended, self._begun = (self._begun + text).split("\n")
        for line in filter(None, ended):
            self._stream.write(JsonFormatter().format(logging.makeLogRecord({"name": self._name, "levelname": "INFO", "msg": line})) + "\n")
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def fileno(self) -> int:
        """The stream's own."""
        return self._stream.fileno()


def start() -> logging.Handler:
    """Have this process print nothing but objects; the handler of its logs."""
    if not isinstance(sys.stderr, JsonStream):
        sys.stdout, sys.stderr = JsonStream(sys.stdout, "stdout"), JsonStream(sys.stderr, "stderr")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    return handler


def everything_as_json() -> None:
    """Have what logs already, such as MLflow itself, log so, too."""
    named = [each for each in logging.Logger.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    for logger in (logging.getLogger(), *named):
        for handler in logger.handlers:
            handler.setFormatter(JsonFormatter())


def request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """Return the id of a request: that which it has, or a new one.

    >>> request_id([(b"x-request-id", b"from-the-proxy")]), len(request_id([(b"x-request-id", b"a b")])), len(request_id([]))
    ('from-the-proxy', 32, 32)
    """
    given = next((value for name, value in headers if name.lower() == HEADER), b"")
    return given.decode() if GIVEN.fullmatch(given) else uuid.uuid4().hex


class Logged:
    """An ASGI application around another, with a line in the log for each answer, in the place of uvicorn's. Queries are in no line."""

    def __init__(self, inner: Application) -> None:
        self._inner = inner

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass everything on, with the header added."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        began, identity, status = time.perf_counter(), request_id(scope["headers"]), None
        before = REQUEST.set(identity)

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                others = [(name, value) for name, value in message["headers"] if name.lower() != HEADER]
                message = {**message, "headers": [*others, (HEADER, identity.encode())]}
            await send(message)

        try:
            await self._inner(scope, receive, tell)
        finally:
            request = {
                "method": scope["method"], "path": scope["path"], "status": status, "seconds": round(time.perf_counter() - began, 4),
                "client": (scope.get("client") or [""])[0],
            }  # fmt: skip
            ACCESS.info("%s %s %s", scope["method"], scope["path"], status, extra={"request": request})
            REQUEST.reset(before)
