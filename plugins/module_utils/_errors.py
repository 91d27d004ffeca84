# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Errors between a module and a server. Each message can be shown to users as it is."""
from __future__ import annotations

from collections.abc import Iterable


class ServerError(Exception):
    """A server could not do what was asked. The base class of all errors that adapters raise."""


class Unreachable(ServerError):
    """No response: connection refused, timeout, unknown host name, untrusted TLS certificate."""


class NotPermitted(ServerError):
    """The server does not accept the credentials, or they lack a permission."""


class Unsupported(ServerError):
    """The server's version or configuration does not support what an option asks for."""


class Conflict(ServerError):
    """Another client made a conflicting change, or a write was interrupted and may have succeeded.

    Reading and planning again resolves both.
    """


class Unmet(ServerError):
    """Other resources must exist, or be gone, before a plan can be applied.

    ``resources`` lists them, each as a section and the first part of an identity. A run that applies one of ``actions`` to all of
    them itself can ignore this error.
    """

    def __init__(self, message: str, resources: Iterable[tuple[str, str]], actions: Iterable[str] = ("create",)) -> None:
        super().__init__(message)
        self.resources = frozenset(resources)
        self.actions = frozenset(actions)


class Misdeclared(ServerError):
    """An entry of a declaration is rejected: the one with this ``number``, starting at 1, in the list ``section``."""

    def __init__(self, message: str, section: str, number: int) -> None:
        super().__init__(message)
        self.section = section
        self.number = number


class ApiError(ServerError):
    """The server understood the request and returned an error.

    ``status`` is the HTTP status; ``code`` is the server's own error code, if it has one.
    """

    def __init__(self, message: str, status: int, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class MissingLibrary(ServerError):
    """A required Python library is missing; ``library`` is its name, ``reason`` the text of the import error."""

    def __init__(self, library: str, reason: str) -> None:
        super().__init__(library)
        self.library = library
        self.reason = reason
