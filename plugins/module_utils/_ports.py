# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The seam between the reconcile core and the servers."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Callable, Protocol

from ansible_collections.mlops.mlflow.plugins.module_utils._core.plan import ABSENT, Change, Plan, State

__all__ = ["ABSENT", "Adapter", "Change", "Kind", "Plan", "Resource", "Rules", "State", "Step"]


class Resource(Protocol):
    """One thing that a server holds, addressed by its identity. An adapter implements this."""

    #: Top-level keys of the state that cannot change once the resource exists.
    immutable: frozenset[str]
    #: Top-level keys of the state that the server sets by itself: returned, and left out of diffs.
    read_only: frozenset[str]

    def read(self) -> State | None:
        """The resource as it is, or None. Never writes. Raises ServerError."""

    def check(self, plan: Plan) -> None:
        """Raise ServerError if the server, as it is, cannot carry out ``plan``. Never writes; runs in check mode too.

        Unmet is for what another resource of the same run may bring.
        """

    def apply(self, plan: Plan) -> None:
        """Carry out the plan. Raises Conflict where reading and planning again may help, else ServerError.

        What it needs to know of the resource is in ``plan.before``, since a plan may come from a listing and not from ``read``.
        """


@dataclass(frozen=True)
class Step:
    """One resource of a module's work, and what it must become.

    ``desired`` is pure: it takes the state as read, or None, and gives the state wanted, or None for absence.
    """

    kind: str
    name: str
    resource: Resource
    desired: Callable[[State | None], State | None]


class Rules(Protocol):
    """What ``_core/<kind>.py`` knows of a kind of resource. All of it is pure; the module itself is the object."""

    #: The kind in messages, actions and diffs, in the singular: ``registered model``.
    LABEL: str
    #: The argument spec of one resource, the connection's options apart: of the single module and of an entry of a declaration.
    OPTIONS: dict[str, dict[str, Any]]

    def check_options(self, params: Mapping[str, Any], /) -> None:
        """Raise InvalidOption for what the server would refuse, or would accept and then fail on."""

    def identity(self, entry: Mapping[str, Any], /) -> tuple[str, ...]:
        """What tells one resource of the kind from another, of options and of a state alike."""

    def desired_state(self, params: Mapping[str, Any], current: State | None, /) -> State | None:
        """What the options ask for, given the resource as it is. Raises Refused."""

    def declared(self, state: State, /) -> dict[str, Any] | None:
        """The options that would make ``state`` on an empty server: an export's entry. None for what is not to be declared."""

    def kept(self, state: State, /) -> bool:
        """Whether pruning leaves it alone though it is not declared, since MLflow itself made it, or it is gone already."""


class Adapter(Resource, Protocol):
    """How ``_adapters/<kind>.py`` speaks of a kind of resource to a server."""

    def __init__(self, client: Any, params: Mapping[str, Any], /) -> None:
        """The resource that ``params``, options of the kind, name."""

    @classmethod
    def find(cls, client: Any, where: Mapping[str, Any], /) -> Iterator[State]:
        """Every resource that ``where``, the options of the kind's info module, leaves; all there are where it is empty."""


@dataclass(frozen=True)
class Kind:
    """A kind of resource: what the single module, its info module and mlflow_resources need to know of it.

    ``section`` is its list in a declaration and in an info module's result. ``late`` are the top-level keys of the state
    that name resources of other kinds, so that they are written once those are there. Where a kind ``repeats``, several
    resources may have one identity, and are told apart by their order. ``unlisted`` are the options that a listing cannot be
    compared with: an entry that gives one is read by itself.
    ``parent`` is the section of what a resource is a part of, which has the first part of its identity.
    ``resolved`` takes a client and checked options, and gives the options with what only the server can tell put in.
    """

    section: str
    rules: Rules
    adapter: type[Adapter]
    late: frozenset[str] = frozenset()
    repeats: bool = False
    parent: str = ""
    unlisted: frozenset[str] = frozenset()
    resolved: Callable[[Any, Mapping[str, Any]], Mapping[str, Any]] | None = None
