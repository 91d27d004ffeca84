"""An OpenID Connect provider for the faults that a real one cannot be made to show at will. `test_login` has a real Keycloak, too."""
from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

Answer = tuple[int, dict[str, Any]]
PENDING: Answer = (400, {"error": "authorization_pending"})


class IdentityProvider:
    """Answers requests for tokens with ``answers`` in order, the last again and again; ``asked`` holds the forms that it got, by path."""

    def __init__(self, answers: Sequence[Answer], **document: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._document = document

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve on loopback until the block ends; the issuer."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, {**provider._own(issuer), **provider._document})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                provider.asked.append((self.path, {name: values[0] for name, values in parse_qs(body).items()}))
                if self.path == "/device":
                    address = f"{issuer}/confirm"
                    code = {"device_code": "the device", "user_code": "ABCD-EFGH", "verification_uri": address, "expires_in": 60, "interval": 0.01}
                    self._answer(200, code)
                elif self.path == "/revoke":
                    self._answer(200, {})
                else:
                    answers = provider.answers
                    self._answer(*(answers.pop(0) if len(answers) > 1 else answers[0]))

            def _answer(self, status: int, content: dict[str, Any]) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            issuer = f"http://127.0.0.1:{server.server_address[1]}"
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield issuer
            server.shutdown()

    @staticmethod
    def _own(issuer: str) -> dict[str, Any]:
        paths = {"device_authorization_endpoint": "/device", "token_endpoint": "/token", "revocation_endpoint": "/revoke"}
        return {"issuer": issuer, **{name: f"{issuer}{path}" for name, path in paths.items()}}
