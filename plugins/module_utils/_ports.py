# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The seam between the reconcile core and the servers."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Protocol

from ansible_collections.mlops.mlflow.plugins.module_utils._core.plan import ABSENT, Change, Plan, State

__all__ = ["ABSENT", "Change", "Plan", "Resource", "State", "Step"]


class Resource(Protocol):
    """One thing that a server holds, addressed by its identity. An adapter implements this."""

    #: Top-level keys of the state that cannot change once the resource exists.
    immutable: frozenset[str]
    #: Top-level keys of the state that the server sets by itself: returned, and left out of diffs.
    read_only: frozenset[str]

    def read(self) -> State | None:
        """The resource as it is, or None. Never writes. Raises ServerError."""

    def check(self, plan: Plan) -> None:
        """Raise ServerError if the server, as it is, cannot carry out ``plan``. Never writes; runs in check mode too."""

    def apply(self, plan: Plan) -> None:
        """Carry out the plan. Raises Conflict where reading and planning again may help, else ServerError."""


@dataclass(frozen=True)
class Step:
    """One resource of a module's work, and what it must become.

    ``desired`` is pure: it takes the state as read, or None, and gives the state wanted, or None for absence.
    """

    kind: str
    name: str
    resource: Resource
    desired: Callable[[State | None], State | None]
