# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What can go wrong between a module and a server. Each message is fit to be shown as it is."""
from __future__ import annotations


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


class Missing(ServerError):
    """What a plan builds on is not there: a resource of ``section`` whose identity begins with ``identity``.

    A run that makes such a resource first may go on.
    """

    def __init__(self, message: str, section: str, identity: tuple[str, ...]) -> None:
        super().__init__(message)
        self.section = section
        self.identity = identity


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
