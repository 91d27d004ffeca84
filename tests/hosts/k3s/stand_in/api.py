"""The API server, asked directly: what the stand-in polls is too frequent for a kubectl each."""
from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import K3sError


class ApiError(K3sError):
    """An answer that is no success; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """One kept-alive connection to an API server.

    Args:
        server: its address, https://HOST:PORT.
        authority: the PEM file of its CA; None asks without checking who answers, for the CA itself.
        certificate: path, without a suffix, of the client's certificate and key.
        token: the client's bearer token.

    """

    def __init__(self, server: str, authority: Path | None, certificate: Path | None = None, token: str = "") -> None:
        parts = urlsplit(server)
        if authority:
            self._context = ssl.create_default_context(cafile=str(authority))
        else:
            self._context = ssl.create_default_context()
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        if certificate:
            self._context.load_cert_chain(certificate.with_suffix(".crt"), certificate.with_suffix(".key"))
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._address = (parts.hostname or "", parts.port or 6443)
        self._connection: http.client.HTTPSConnection | None = None

    def raw(self, method: str, path: str, body: object = None, kind: str = "application/json") -> tuple[int, bytes]:
        """Ask, and return status and body. An idle connection that the server has closed is opened again.

        Raises:
            OSError, http.client.HTTPException: the server cannot be reached.

        """
        data = None if body is None else json.dumps(body)
        for fresh in (False, True):
            if self._connection is None or fresh:
                self._connection = http.client.HTTPSConnection(*self._address, timeout=15, context=self._context)
            try:
                self._connection.request(method, path, data, {**self._headers, "Content-Type": kind})
                answer = self._connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                self._connection = None
                if fresh:
                    raise
        raise AssertionError("unreachable")

    def json(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Any:
        """Ask, and return the answer's object.

        Raises:
            ApiError: the answer is no success.
            K3sError: the server cannot be reached.

        """
        try:
            status, text = self.raw(method, path, body, kind)
        except (OSError, http.client.HTTPException) as error:
            raise K3sError(f"{method} https://{self._address[0]}:{self._address[1]}{path}: {error}") from error
        if status >= 300:
            raise ApiError(status, f"{method} {path}: {status} {_message(text)}")
        return json.loads(text)

    def get(self, path: str) -> Any:
        """The object at `path`, None where there is none."""
        try:
            return self.json("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def merge(self, path: str, patch: object) -> None:
        """Merge `patch` into the object at `path`."""
        self.json("PATCH", path, patch, "application/merge-patch+json")

    def ready(self) -> bool:
        """Whether the API server is ready."""
        try:
            return self.raw("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False


def _message(text: bytes) -> str:
    try:
        return str(json.loads(text).get("message", ""))
    except ValueError:
        return text[:200].decode(errors="replace")
