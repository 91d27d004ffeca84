# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What can go wrong between a module and a server. Each message is fit to be shown as it is."""
from __future__ import annotations

from collections.abc import Iterable


class ServerError(Exception):
    """A server could not be used as asked. The base of every error that an adapter raises."""


class Unreachable(ServerError):
    """No answer: refused, timed out, name not found, TLS not trusted."""


class NotPermitted(ServerError):
    """The server knows neither these credentials nor this right."""


class Unsupported(ServerError):
    """The server, as it is or as it is configured, cannot do what an option asks."""


class Conflict(ServerError):
    """Another writer was there first, or a write was cut off and may have happened.

    Reading again and planning again settles both.
    """


class Unmet(ServerError):
    """Other resources must be there, or be gone, before a plan can be carried out.

    ``resources`` are they, each a section and the first part of an identity; a run that itself does one of ``actions`` to all of
    them need not stop for this.
    """

    def __init__(self, message: str, resources: Iterable[tuple[str, str]], actions: Iterable[str] = ("create",)) -> None:
        super().__init__(message)
        self.resources = frozenset(resources)
        self.actions = frozenset(actions)


class ApiError(ServerError):
    """The server understood the request and answered with an error.

    ``status`` is the HTTP status; ``code`` is the server's own error code where it gives one.
    """

    def __init__(self, message: str, status: int, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class MissingLibrary(ServerError):
    """A Python library that the module needs is not there; ``library`` names it, ``reason`` is the import's own text."""

    def __init__(self, library: str, reason: str) -> None:
        super().__init__(library)
        self.library = library
        self.reason = reason
