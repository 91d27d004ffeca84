"""A reverse proxy in front of a real server that spoils some of what passes through it."""
from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
#: What can befall a request. It reaches the server before ``lost``, ``truncated`` and ``late``, and not before the others.
FAULTS = ("dropped", "lost", "truncated", "late", "429", "500", "502", "502 carried out")


@dataclass
class Faults:
    """Spoils the writes whose numbers, counted from 1, ``plan`` has; ``uri`` is the address while it runs."""

    upstream: str
    plan: Mapping[int, str]
    delay: float = 3.0
    uri: str = ""
    met: list[str] = field(default_factory=list)
    requests: int = 0
    _writes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fault_of(self, method: str) -> str | None:
        """What befalls the next request."""
        with self._lock:
            self.requests += 1
            if method == "GET":
                return None
            self._writes += 1
            fault = self.plan.get(self._writes)
            if fault:
                self.met.append(fault)
            return fault

    @contextmanager
    def running(self) -> Iterator[Faults]:
        """Serve on a free port of loopback until the block ends."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"faults": self}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.uri = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    faults: Faults
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.faults.fault_of(self.command)
        if fault == "dropped":
            self.close_connection = True
        elif fault in ("429", "500", "502"):
            self._answer(int(fault), "text/html", PAGE)
        else:
            self._spoil(fault, *self._forward(body))

    def _spoil(self, fault: str | None, status: int, kind: str, content: bytes) -> None:
        if fault == "lost":
            self.close_connection = True
            return
        if fault == "late":
            time.sleep(self.faults.delay)
        if fault == "502 carried out":
            self._answer(502, "text/html", PAGE)
        elif fault == "truncated":
            self._answer(status, kind, content[: len(content) // 2], len(content))
            self.close_connection = True
        else:
            self._answer(status, kind, content)

    def _forward(self, body: bytes) -> tuple[int, str, bytes]:
        upstream = urlsplit(self.faults.upstream)
        connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=60)
        connection.request(self.command, self.path, body=body or None, headers=dict(self.headers.items()))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.getheader("Content-Type", ""), content

    def _answer(self, status: int, kind: str, content: bytes, length: int | None = None) -> None:
        try:
            self.send_response_only(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content) if length is None else length))
            self.end_headers()
            self.wfile.write(content)
        except OSError:  # the client has not waited
            self.close_connection = True

    do_GET = do_POST = do_PATCH = do_DELETE = _serve

    def log_message(self, *args: object) -> None:
        pass
