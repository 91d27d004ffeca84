# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The supervisor of an embedded stack, asked over its Unix socket, http://supervisord.org/api.html."""
from __future__ import annotations

import http.client
import socket
import time
import xmlrpc.client
from typing import Any

#: A supervisor that has just been started may not listen yet.
_PATIENCE_SECONDS = 5
_TIMEOUT_SECONDS = 120


class Refused(Exception):
    """What the supervisor says that it cannot do."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_SECONDS)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _Connection(self.path)


class Supervisor:
    """One supervisor. Raises OSError if it does not answer, Refused if it cannot do something."""

    def __init__(self, home: str) -> None:
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(f"{home}/run/supervisor.sock"))
        self._rpc: Any = proxy.supervisor

    def wait(self) -> None:
        """Wait until it answers, for some seconds."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                self._rpc.getPID()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def state(self, name: str) -> str:
        """The state of a process; empty if it does not know one of that name."""
        try:
            return str(self._rpc.getProcessInfo(name)["statename"])
        except xmlrpc.client.Fault:
            return ""

    def settled_state(self, name: str) -> str:
        """The same, after waiting until a process that is being started runs or has failed, which takes two seconds (startsecs)."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (state := self.state(name)) == "STARTING" and time.monotonic() < deadline:
            time.sleep(0.2)
        return state

    def is_declared_anew(self, name: str) -> bool:
        """Whether the declaration of a process differs from the one that it runs by, or is new."""
        added, changed, _removed = self._reload()
        return name in added or name in changed

    def _reload(self) -> tuple[list[str], list[str], list[str]]:
        try:
            found: tuple[list[str], list[str], list[str]] = self._rpc.reloadConfig()[0]
        except xmlrpc.client.Fault as error:
            raise Refused(error.faultString) from error
        return found

    def tell(self, verb: str, name: str) -> None:
        """Carry out ``update``, ``start`` or ``restart`` as supervisorctl does."""
        try:
            if verb == "update":
                self._update(name)
                return
            if verb == "restart":
                self._rpc.stopProcess(name)
            self._rpc.startProcess(name)
        except xmlrpc.client.Fault as error:
            raise Refused(error.faultString) from error

    def _update(self, name: str) -> None:
        added, changed, _removed = self._reload()
        if name in changed:
            self._rpc.stopProcessGroup(name)
            self._rpc.removeProcessGroup(name)
        if name in changed or name in added:
            # It starts the process itself.
            self._rpc.addProcessGroup(name)
