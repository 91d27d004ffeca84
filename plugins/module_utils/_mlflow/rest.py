# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""A client for MLflow's REST API based on ``http.client``: one persistent connection, one hierarchy of errors.

It imports neither ``mlflow`` (two seconds of CPU per task) nor ``ansible.module_utils.urls`` (a connection per call).
"""
from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError, Conflict, NotPermitted, Unreachable, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.responses import error_of, excerpt, reason
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.wrong_server import misled

#: Status codes for "not now": the request was not processed, or is safe to retry if idempotent.
_GATEWAY = frozenset({502, 503, 504})
_BUSY = frozenset({429, *_GATEWAY})
#: How SQLite, PostgreSQL and MySQL reject a row that another client has inserted meanwhile; MLflow passes it on as BAD_REQUEST.
_DUPLICATE = re.compile(r"UNIQUE constraint failed|duplicate key value violates unique constraint|Duplicate entry '")
#: Error codes of a conflict with another client. MLflow sends RESOURCE_ALREADY_EXISTS with status 400.
_CONFLICT_CODES = frozenset({"RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS", "RESOURCE_CONFLICT", "ABORTED"})
#: Error codes of a missing resource, besides status 404 without a code.
_MISSING_CODES = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})
#: Paths that are the same for every workspace. The server would reject them with a workspace that does not exist (3.17).
_SERVER_WIDE = ("/api/3.0/mlflow/workspaces", "/api/3.0/mlflow/server-info", "/health", "/version")
#: OpenSSL's errors for a response that is not TLS.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
#: OpenSSL's codes for a certificate with another host name or IP address.
_WRONG_NAME = frozenset({62, 64})


@dataclass(frozen=True)
class Connection:
    """How to reach a tracking server. ``timeout`` is in seconds; ``environment`` configures proxies."""

    tracking_uri: str
    username: str | None = None
    password: str | None = None
    token: str | None = None
    ca_path: str | None = None
    validate_certs: bool = True
    client_cert: str | None = None
    client_key: str | None = None
    timeout: float = 30.0
    retries: int = 3
    workspace: str | None = None
    proxy: str | None = None


class RestClient:
    """Sends one request at a time over one persistent connection. Not thread-safe."""

    def __init__(self, connection: Connection) -> None:
        self._settings = connection
        self._url = urlsplit(connection.tracking_uri.rstrip("/"))
        self._proxy = _proxy_url(connection.proxy) if connection.proxy else None
        through_proxy = self._proxy is not None and self._url.scheme == "http"
        # A plain HTTP proxy wants the whole URL in the request line (RFC 9112, 3.2.2); everyone else wants the path.
        self._target = self._url.geturl() if through_proxy else self._url.path
        self._headers = self._static_headers()
        self._connection: http.client.HTTPConnection | None = None
        self._version: tuple[int, ...] | None = None
        self._knows_workspaces = False
        self._info: dict[str, Any] | None = None

    @property
    def connection(self) -> Connection:
        """How the server is reached."""
        return self._settings

    def log_in(self, password: str) -> None:
        """Continue with ``password``, the new one of the connecting user."""
        self._settings = replace(self._settings, password=password)
        self._headers = self._static_headers()

    def get(self, path: str, /, **query: Any) -> dict[str, Any]:
        """The JSON of ``GET path?query``; ``path`` as in MLflow's REST reference, from ``/api`` on."""
        return self._json("GET", f"{path}?{urlencode(query, doseq=True)}" if query else path, None, idempotent=True)

    def get_or_none(self, path: str, /, **query: Any) -> dict[str, Any] | None:
        """Like ``get``; None where the resource does not exist."""
        try:
            return self.get(path, **query)
        except ApiError as error:
            if error.code in _MISSING_CODES:
                return None
            raise

    def listed(self, path: str, key: str, /, method: str = "GET", **query: Any) -> Iterator[dict[str, Any]]:
        """The entries under ``key`` of every page of ``path``: ``query`` in the URL, or with POST as the body of a search."""
        while True:
            answer = self.get(path, **query) if method == "GET" else self.write(method, path, query)
            yield from answer.get(key, [])
            token = answer.get("next_page_token")
            if not token:
                return
            if token == query.get("page_token"):
                raise Unreachable(f"{self._where(method, path)} returned the same page twice; check what a proxy in front of the server caches")
            query["page_token"] = token

    def write(self, method: str, path: str, body: Mapping[str, Any], idempotent: bool = True) -> dict[str, Any]:
        """Send ``body`` as JSON, as MLflow wants it for POST, PATCH and DELETE alike.

        A write whose answer was lost is sent again if ``idempotent``; otherwise it raises Conflict, since it may
        have been carried out.
        """
        return self._json(method, path, body, idempotent)

    def require(self, minimum: tuple[int, ...], feature: str) -> None:
        """Raise Unsupported, naming ``feature``, if the server is older than ``minimum``."""
        version = self.version()
        if version < minimum:
            raise Unsupported(
                f"{self._settings.tracking_uri} runs MLflow {_dotted(version)}, and {feature} needs {_dotted(minimum)} or later; upgrade the server"
            )

    def version(self) -> tuple[int, ...]:
        """The server's version, three numbers, by ``GET /version``: plain text in every MLflow since 1.0. Read once."""
        if self._version is None:
            text = self.text("/version")
            match = re.match(r"\s*(\d+)\.(\d+)(?:\.(\d+))?", text)
            if not match:
                raise Unsupported(
                    f"{self._where('GET', '/version')} returned no version: {excerpt(text.encode())}; "
                    "check that tracking_uri is an MLflow tracking server"
                )
            self._version = tuple(int(part or 0) for part in match.groups())
        return self._version

    def text(self, path: str) -> str:
        """The body of ``GET path``, for what MLflow answers with plain text."""
        status, content_type, payload = self._send("GET", path, None, idempotent=True)
        if status != 200:
            raise self._error("GET", path, status, content_type, payload)
        return payload.decode("utf-8", "replace")

    def accepts(self, username: str, password: str, path: str, /, **query: Any) -> bool:
        """Whether the server lets ``username`` with ``password`` read ``GET path?query``, which every user may; over the same connection.

        MLflow's hash of a password is the whole cost, and nothing but a login compares it.
        """
        headers = {**self._headers, "Authorization": _basic(username, password)}
        status, content_type, payload = self._send("GET", f"{path}?{urlencode(query)}", None, idempotent=True, headers=headers)
        if status == 200 and "json" in content_type:
            return True
        if status == 401:
            return False
        raise self._error("GET", path, status, content_type, payload)

    def server_info(self) -> dict[str, Any]:
        """Return the server's public information about its set-up; empty before MLflow 3.10. Requested once."""
        if self._info is None:
            try:
                self._info = self.get("/api/3.0/mlflow/server-info")
            except Unsupported:
                self._info = {}
        return self._info

    def require_workspaces(self, what: str) -> None:
        """Raise Unsupported, beginning with ``what``, if the server has no workspaces. An old server ignores the header for it."""
        if not self._knows_workspaces and not self.server_info().get("workspaces_enabled"):
            raise Unsupported(
                f"{what} cannot be used, since {self._settings.tracking_uri} has no workspaces; "
                "leave it out, or start the server, MLflow 3.10 or later, with --enable-workspaces"
            )
        self._knows_workspaces = True

    def within(self, workspace: str) -> RestClient:
        """A client of the same server in ``workspace``, with a connection of its own. The caller closes it."""
        return RestClient(replace(self._settings, workspace=workspace))

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # Requests

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None, idempotent: bool) -> dict[str, Any]:
        if self._is_scoped(path):
            self.require_workspaces(f"workspace: {self._settings.workspace!r}")
        status, content_type, payload = self._send(method, path, body, idempotent)
        if status == 204:
            return {}
        if status < 300 and "json" in content_type:
            try:
                answer = json.loads(payload)
            except ValueError:
                broken = f"{self._where(method, path)} returned invalid JSON: {excerpt(payload)}"
                raise (Unreachable if idempotent else Conflict)(broken) from None
            if isinstance(answer, dict):
                return answer
        error = self._error(method, path, status, content_type, payload)
        # A request that a gateway gave up on may have been processed.
        raise Conflict(str(error)) if status in _GATEWAY and not idempotent else error

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, idempotent: bool, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, bytes]:
        """Return status, content type and body of the response, after as many retries as are safe; ``headers`` replace the connection's own."""
        payload = None if body is None else json.dumps(body).encode()
        headers = headers or self._headers_for(path)
        failure: Exception | None = None
        for attempt in range(self._settings.retries + 1):
            if attempt:
                time.sleep(min(0.1 * 2**attempt, 5.0))
            last = attempt == self._settings.retries
            sent = False
            try:
                connection = self._connected()
                sent = True
                connection.request(method, self._target + path, body=payload, headers=headers)
                response = connection.getresponse()
                status, content = response.status, response.read()
                if response.will_close:
                    self.close()
            except ssl.SSLCertVerificationError as error:
                self.close()
                raise Unreachable(self._untrusted(error)) from None
            except (OSError, http.client.HTTPException) as error:
                self.close()
                failure = error
                if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
                    raise Unreachable(self._no_tls()) from None
                if sent and not idempotent:
                    raise Conflict(f"{self._where(method, path)} was cut off: {reason(error)}") from None
                continue
            # 429 means that nothing was processed yet; a gateway's 5xx does not guarantee that.
            if status not in _BUSY or last or not (idempotent or status == 429):
                return status, response.getheader("Content-Type", ""), content
        remedy = "check tracking_uri, and that the server is up and can be reached from the host where the module runs"
        if self._proxy:
            remedy = (
                f"it goes through the proxy {_without_credentials(self._proxy.geturl())!r}, which the environment names: check that it is up, "
                "or let NO_PROXY name the server's host, and that the server is up"
            )
        raise Unreachable(f"{self._where(method, path)} got no answer in {self._settings.retries + 1} tries: {reason(failure)}; {remedy}")

    def _headers_for(self, path: str) -> Mapping[str, str]:
        return {**self._headers, "X-MLFLOW-WORKSPACE": self._settings.workspace or ""} if self._is_scoped(path) else self._headers

    def _is_scoped(self, path: str) -> bool:
        """Whether a request for ``path`` needs the workspace header."""
        return bool(self._settings.workspace) and not path.startswith(_SERVER_WIDE)

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = self._open()
            self._connection.connect()
        return self._connection

    def _open(self) -> http.client.HTTPConnection:
        # The port is always given: without one, http.client takes the end of an IPv6 address for it.
        peer = self._proxy or self._url
        host, port = peer.hostname or "", peer.port or (443 if peer.scheme == "https" else 80)
        if self._url.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._settings.timeout)
        connection = http.client.HTTPSConnection(host, port, timeout=self._settings.timeout, context=self._tls())
        if self._proxy:
            connection.set_tunnel(self._url.hostname or "", self._url.port or 443, headers=_proxy_headers(self._proxy))
        return connection

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._settings.ca_path)
        except (OSError, ssl.SSLError) as error:
            raise Unreachable(f"ca_path: {self._settings.ca_path!r} cannot be read as PEM certificates: {reason(error)}") from None
        if not self._settings.validate_certs:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self._settings.client_cert:
            try:
                context.load_cert_chain(self._settings.client_cert, self._settings.client_key)
            except (OSError, ssl.SSLError) as error:
                raise Unreachable(f"client_cert: {self._settings.client_cert!r} cannot be used: {reason(error)}") from None
        return context

    def _static_headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "mlops.mlflow"}
        if self._settings.token:
            headers["Authorization"] = f"Bearer {self._settings.token}"
        elif self._settings.username:
            headers["Authorization"] = _basic(self._settings.username, self._settings.password or "")
        if self._proxy and self._url.scheme == "http":
            headers.update(_proxy_headers(self._proxy))
        return headers

    # Answers

    def _error(self, method: str, path: str, status: int, content_type: str, payload: bytes) -> Exception:
        where = self._where(method, path)
        wrong = misled(status, payload)
        if wrong:
            return Unreachable(f"{where} {wrong}")
        code, message = error_of(payload) if "json" in content_type else (None, None)
        if status == 401 or code in ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"):
            return NotPermitted(f"{where} refused the credentials (401); check tracking_username and tracking_password, or tracking_token")
        if status == 403:
            text = message or excerpt(payload)
            if "Invalid Host header" in text:
                return NotPermitted(f"{where} does not accept the host name {self._url.netloc!r} (403); add it to the server's --allowed-hosts")
            return NotPermitted(f"{where} is not permitted with these credentials (403): {text}")
        if code in _MISSING_CODES and self._is_scoped(path) and message == f"Workspace '{self._settings.workspace}' not found":
            return Unsupported(
                f"workspace: {self._settings.workspace!r} does not exist on {self._settings.tracking_uri}; "
                "create it with mlflow_workspace, or correct the option"
            )
        if code in _CONFLICT_CODES or (code in _MISSING_CODES and method != "GET") or (code == "BAD_REQUEST" and _DUPLICATE.search(message or "")):
            return Conflict(f"{where}: {message}")
        if message is not None:
            return ApiError(f"{where} failed ({status} {code}): {message}", status, code)
        if status == 404:
            return Unsupported(
                f"{where} does not exist on this server (404): it is not an MLflow tracking server, or it is too old for this API call; "
                "check tracking_uri, its path included"
            )
        return Unreachable(
            f"{where} answered {status} with {content_type.partition(';')[0] or 'no content type'} where MLflow answers JSON: {excerpt(payload)}; "
            "check that tracking_uri is an MLflow tracking server, and what a proxy in front of it says"
        )

    def _where(self, method: str, path: str) -> str:
        return f"{method} {self._settings.tracking_uri.rstrip('/')}{path.partition('?')[0]}"

    def _no_tls(self) -> str:
        if self._proxy and self._url.scheme == "http":
            return f"{self._settings.tracking_uri}: the proxy {_without_credentials(self._proxy.geturl())!r} does not speak TLS; correct its address"
        return f"{self._settings.tracking_uri}: the server does not speak TLS there; give http:// in tracking_uri, or the port of https"

    def _untrusted(self, error: ssl.SSLCertVerificationError) -> str:
        remedy = "give a name that it is for in tracking_uri" if error.verify_code in _WRONG_NAME else "give the CA that signed it as ca_path"
        return f"{self._settings.tracking_uri}: the server's TLS certificate is not trusted: {error.verify_message}; {remedy}"


def segment(value: str) -> str:
    """``value`` as one segment of a path."""
    return quote(value, safe="")


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _proxy_url(proxy: str) -> SplitResult:
    """``proxy`` as curl reads it: without a scheme it is an HTTP proxy."""
    try:
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if url.scheme == "http" and url.hostname and url.port != 0:
            return url
    except ValueError:  # a port that is not a number
        pass
    found = _without_credentials(proxy)
    raise Unreachable(f"the proxy configured in the environment, {found!r}, is not http://HOST:PORT; correct it, or set NO_PROXY")


def _without_credentials(url: str) -> str:
    return re.sub(r"[^/@]*@", "", url)


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    return {"Proxy-Authorization": _basic(unquote(proxy.username), unquote(proxy.password or ""))}


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
