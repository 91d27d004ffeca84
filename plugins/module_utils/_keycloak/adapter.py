# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Keycloak's administration API over verified TLS, and a realm in it."""
from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError, NotPermitted, Unreachable
from ansible_collections.mlops.mlflow.plugins.module_utils._keycloak import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._keycloak.rules import State

#: Seconds for a request, and until another token is fetched: those of the client admin-cli last for a minute.
_TIMEOUT, _RENEWED_AFTER = 60, 30
#: How many entries a list has at most.
_ALL = 10000


class Server:
    """A Keycloak whose administrator logs in with a password. ``address`` is where ``url`` is, if no DNS knows it."""

    def __init__(self, url: str, address: str, ca: str, username: str, password: str) -> None:
        self._url, self._address = urlsplit(url), address
        self._username, self._password = username, password
        try:
            self._context = ssl.create_default_context(cadata=ca or None)
        except ssl.SSLError as error:
            raise Unreachable(f"ca: it contains no certificate: {error.reason}; set the text of a PEM file") from None
        self._token, self._since = "", 0.0

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of ``GET path``; None where there is none. ``path`` is what follows ``/admin/realms``."""
        try:
            return self._admin("GET", f"{path}?{urlencode(query)}" if query else path)[0]
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def write(self, method: str, path: str, body: Any = None) -> str:
        """Write, and return the ID of what was made, if anything was."""
        return self._admin(method, path, body)[1].rpartition("/")[2]

    def _admin(self, method: str, path: str, body: Any = None) -> tuple[Any, str]:
        if time.monotonic() - self._since > _RENEWED_AFTER or not self._token:
            self._token, self._since = self._log_in(), time.monotonic()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        return self._ask(method, f"/admin/realms{path}", headers, None if body is None else json.dumps(body))

    def _log_in(self) -> str:
        form = {"grant_type": "password", "client_id": "admin-cli", "username": self._username, "password": self._password}
        try:
            path, kind = "/realms/master/protocol/openid-connect/token", {"Content-Type": "application/x-www-form-urlencoded"}
            answer, _location = self._ask("POST", path, kind, urlencode(form))
        except (ApiError, NotPermitted):
            raise NotPermitted(
                f"username: {self._username} cannot log in to {self._url.geturl()} with this password; if it was changed in Keycloak, set the new one"
            ) from None
        return str(answer["access_token"])

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: str | None) -> tuple[Any, str]:
        connection = _Connection(str(self._url.hostname), self._url.port or 443, self._address, self._context)
        try:
            connection.request(method, f"{self._url.path.rstrip('/')}{path}", body, dict(headers))
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"url: {self._url.geturl()} does not answer: {error or type(error).__name__}; check that Keycloak runs there") from None
        finally:
            connection.close()
        if answer.status in (401, 403):
            raise NotPermitted(f"username: {self._username} may not {method} {path.partition('?')[0]} in Keycloak; set an administrator")
        if answer.status >= 400:
            raise ApiError(f"{method} {path.partition('?')[0]}: Keycloak answered {answer.status}: {_said(content)}", answer.status)
        return json.loads(content) if content else None, answer.getheader("Location") or ""


def _said(content: bytes) -> str:
    """What an error says."""
    try:
        found = json.loads(content)
    except ValueError:
        return content.decode("utf-8", "replace")[:200]
    return str(found.get("errorMessage") or found.get("error_description") or found.get("error") or found)


class _Connection(http.client.HTTPSConnection):
    """HTTPS to a name at an address that need not be the name's in any DNS."""

    def __init__(self, host: str, port: int, address: str, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=_TIMEOUT, context=context)
        self._address, self._tls = address or host, context

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), _TIMEOUT)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


class Realm:
    """A realm that is brought to what is declared; with ``is_real`` false, ``actions`` says what would be done."""

    def __init__(self, server: Server, name: str, is_real: bool) -> None:
        self._server, self._name, self._is_real = server, name, is_real
        self._path = f"/{quote(name, safe='')}"
        self._groups: dict[str, str] = {}
        self._is_new = False
        self.actions: list[str] = []

    def declare(self, settings: State, groups: Iterable[str]) -> None:
        """Bring the realm itself to these settings, with these groups."""
        found = self._server.get(self._path)
        self._is_new = found is None
        if found is None:
            self._write("POST", "", {"realm": self._name, "enabled": True, **settings}, f"create realm {self._name}")
        else:
            self._change(self._path, settings, found, f"realm {self._name}")
        listed = self._read("/groups", briefRepresentation="true", max=_ALL) or []
        self._groups = {each["name"]: each["id"] for each in listed}
        for group in groups:
            if group not in self._groups:
                self._groups[group] = self._write("POST", f"{self._path}/groups", {"name": group}, f"create group {group}")

    def client(self, client_id: str, settings: State, secret: str, groups: list[str] | None, managed: Iterable[str]) -> None:
        """Bring a client to these settings, and its service account into these groups."""
        wanted = {"clientId": client_id, "secret": secret, **settings}
        found = next(iter(self._read("/clients", clientId=client_id) or []), None)
        if found is None:
            number = self._write("POST", f"{self._path}/clients", wanted, f"create client {client_id}")
        else:
            number = found["id"]
            self._change(f"{self._path}/clients/{number}", wanted, found, f"client {client_id}")
        if groups is not None:
            account = self._read(f"/clients/{number}/service-account-user") if number else None
            self._join((account or {}).get("id", ""), f"service account {client_id}", groups, managed)

    def user(self, name: str, settings: State, password: State, groups: list[str], managed: Iterable[str]) -> None:
        """Bring a user to these settings, and into these groups. The password is for one who is new: theirs cannot be read."""
        found = self._user(name)
        if found is None:
            number = self._write("POST", f"{self._path}/users", {"username": name, **settings, "credentials": [password]}, f"create user {name}")
        else:
            number = found["id"]
            self._change(f"{self._path}/users/{number}", settings, found, f"user {name}")
        self._join(number, f"user {name}", groups, managed)

    def without(self, clients: Iterable[str], users: Iterable[str]) -> None:
        """Remove these clients and users."""
        for client_id in clients:
            for found in self._read("/clients", clientId=client_id) or []:
                self._write("DELETE", f"{self._path}/clients/{found['id']}", None, f"remove client {client_id}")
        for name in users:
            found = self._user(name)
            if found:
                self._write("DELETE", f"{self._path}/users/{found['id']}", None, f"remove user {name}")

    def _user(self, name: str) -> State | None:
        listed: list[State] = self._read("/users", username=name, exact="true") or []
        return next((each for each in listed if each["username"] == name.lower()), None)

    def _join(self, user: str, title: str, wanted: Iterable[str], managed: Iterable[str]) -> None:
        there = [each["name"] for each in (self._read(f"/users/{user}/groups", max=_ALL) if user else None) or []]
        joined, left = rules.memberships(wanted, there, managed)
        for method, verb, names in (("PUT", "add", joined), ("DELETE", "remove", left)):
            for name in names:
                path = f"{self._path}/users/{user}/groups/{self._groups.get(name, '')}"
                self._write(method, path, None, f"{verb} {title} {'to' if method == 'PUT' else 'from'} group {name}")

    def _read(self, path: str, **query: Any) -> Any:
        """What is there; None in a realm that check mode only would make."""
        return None if self._is_new and not self._is_real else self._server.get(f"{self._path}{path}", **query)

    def _change(self, path: str, wanted: State, found: State, title: str) -> None:
        names = rules.differences(wanted, found)
        if names:
            self._write("PUT", path, rules.merged(wanted, found), f"change {title}: {', '.join(names)}")

    def _write(self, method: str, path: str, body: Any, line: str) -> str:
        self.actions.append(line)
        return self._server.write(method, path, body) if self._is_real else ""
