# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What the engine must know of a kind of resource: its rules, its adapter, and how it differs from most others. No I/O."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Protocol, TypeVar

from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import Identity, Plan, State

Entry = Mapping[str, Any]
Options = Mapping[str, Mapping[str, Any]]
Item = TypeVar("Item")


class Resource(Protocol):
    """One resource on a server, addressed by its identity. Implemented by adapters."""

    #: Top-level keys of the state that cannot change once the resource exists.
    immutable: frozenset[str]
    #: Top-level keys of the state that the server sets itself: returned, but left out of diffs.
    read_only: frozenset[str]

    def read(self) -> State | None:
        """Return the current state, or None. Never writes. Raises ServerError."""

    def check(self, plan: Plan) -> None:
        """Raise ServerError if the server cannot apply ``plan``. Never writes; also runs in check mode.

        Raises Unmet for a condition that another resource of the same run may fulfil.
        """

    def apply(self, plan: Plan) -> None:
        """Apply the plan. Raises Conflict if reading and planning again may help, otherwise ServerError.

        What it needs to know about the resource is in ``plan.before``, since a plan may come from a listing and not from ``read``.
        """


@dataclass(frozen=True)
class Step:
    """One resource that a module manages, and its desired state.

    ``desired`` is pure: it takes the current state, or None, and returns the desired state, or None for absent.
    """

    kind: str
    name: str
    resource: Resource
    desired: Callable[[State | None], State | None]


class Rules(Protocol):
    """The rules for a kind of resource, in its ``rules.py``. All are pure; the Python module itself implements the protocol."""

    #: The kind in messages, actions and diffs, in the singular: ``registered model``.
    LABEL: str
    #: The argument spec of one resource without the connection options, for its module and for entries of a declaration.
    OPTIONS: dict[str, dict[str, Any]]

    def check_options(self, params: Mapping[str, Any], /) -> None:
        """Raise InvalidOption for values that the server would reject, or would accept and then fail on."""

    def identity(self, entry: Entry, /) -> Identity:
        """Return what identifies a resource of this kind, from options or from a state."""

    def desired_state(self, params: Mapping[str, Any], current: State | None, /) -> State | None:
        """Return the desired state, given the current one. Raises Refused."""

    def declared(self, state: State, /) -> dict[str, Any] | None:
        """Return the options that would create ``state`` on an empty server, as an entry of an export. None if it cannot be declared."""


class Adapter(Resource, Protocol):
    """How a kind's ``adapter.py`` accesses a resource on a server."""

    def __init__(self, client: Any, params: Mapping[str, Any], /) -> None:
        """Return the resource that ``params`` identify. If its kind ``repeats``, it takes its ``Surroundings`` too."""

    @classmethod
    def find(cls, client: Any, where: Mapping[str, Any], /) -> Iterator[State]:
        """Return the resources that ``where``, the options of the kind's info module, selects; all if it is empty."""


@dataclass(frozen=True)
class Surroundings:
    """What a resource of a kind that repeats must know of the rest of its declaration.

    Of ``count`` entries with its identity, which match the newest resources in order, it is number ``index``, starting at 0.
    ``parent_is_new`` means that the same run creates the resource that it is part of.
    """

    index: int = 0
    count: int = 1
    parent_is_new: bool = False


#: The only resource that there is to know of.
ALONE = Surroundings()


class Listings(Protocol):
    """The listings of one run that several kinds need."""

    def once(self, name: str, make: Callable[[], Iterable[Item]]) -> list[Item]:
        """Return the listing ``name``, made by the first who asks for it."""


def _never(_state: State) -> bool:
    return False


def _always(_state: State) -> bool:
    return True


@dataclass(frozen=True, eq=False, repr=False)
class Kind:
    """A kind of resource, as its module, its info module and mlflow_resources need it."""

    #: Its list in a declaration and in the result of the info module: ``registered_models``.
    section: str
    rules: Rules
    adapter: type[Adapter]
    #: Options of its module that an entry of a declaration does not have.
    module_options: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    #: Options of its info module, which ``find`` takes, the one that names a resource to be read by itself, and pairs that exclude each other.
    selectors: Mapping[str, dict[str, Any]] = field(default_factory=lambda: {"name": {"type": "str"}})
    read_by: str = ""
    exclusive: Sequence[tuple[str, str]] = ()
    #: Takes the adapter and the state of a resource that exists after its module ran, and returns further results.
    finish: Callable[[Any, State], dict[str, Any]] | None = None
    #: Takes a client, checked options and the existing identities (None if unknown), and returns the options completed with what only the
    #: server knows.
    resolved: Callable[..., Mapping[str, Any]] | None = None

    #: Lists all resources in a run that shares ``Listings``; if not given, ``find`` does.
    listing: Callable[[Any, Listings], Iterable[State]] | None = None
    #: Options that listings do not contain: if an entry sets one, the adapter's ``completed`` turns the listed state into what ``read`` returns.
    unlisted: frozenset[str] = frozenset()
    #: Whether a listed state may last for a moment only, so that ``read`` is asked for a declared resource, which waits.
    momentary: Callable[[State], bool] = _never
    #: Whether several resources may have the same identity. They are distinguished by their order, and the adapter takes ``Surroundings``.
    repeats: bool = False
    #: The section of the resource that it is part of, which is identified by the first part of the identity.
    parent: str = ""
    #: Top-level keys of the state that refer to resources of other kinds, and are written once those exist.
    late: frozenset[str] = frozenset()
    #: Whether a change of this resource is applied after everything else, since it could break the connection.
    comes_last: Callable[[State], bool] = _never
    #: Whether pruning keeps it although it is not declared, because MLflow created it or it is already deleted.
    kept: Callable[[State], bool] = _never

    #: The option that cannot be read back from a server, and what to supply.
    unreadable: tuple[str, str] | None = None
    #: Which of its resources an export leaves out, and what to do about them; empty if it leaves out none.
    undeclared: str = ""
    #: Whether it can be created on another server.
    portable: Callable[[State], bool] = _always
    #: What it is called among those that an export leaves out, if not by the first part of its identity.
    called: Callable[[State], str] | None = None
    #: Takes the entries of an export, all its sections, and whether it is to be portable, and returns the entries without what others declare.
    exported: Callable[[list[dict[str, Any]], Mapping[str, list[dict[str, Any]]], bool], list[dict[str, Any]]] | None = None

    @property
    def module(self) -> str:
        """The name of its module; that of its info module ends with ``_info``."""
        return f"mlflow_{self.rules.LABEL.replace(' ', '_')}"

    def resource(self, client: Any, entry: Entry, surroundings: Surroundings = ALONE) -> Adapter:
        """Return the resource of an entry of a declaration."""
        make: Callable[..., Adapter] = self.adapter
        return make(client, entry, surroundings) if self.repeats else make(client, entry)

    def selected(self, client: Any, where: Entry) -> list[State]:
        """Return the resources that the options of the info module select."""
        if self.read_by and where.get(self.read_by) is not None:
            state = self.resource(client, where).read()
            return [state] if state else []
        return list(self.adapter.find(client, where))

    def listed(self, client: Any, listings: Listings) -> list[State]:
        """Return all resources of a server."""
        return list(self.listing(client, listings) if self.listing else self.adapter.find(client, {}))

    def named(self, state: State) -> str:
        """What a resource is called among those that an export leaves out."""
        return self.called(state) if self.called else self.rules.identity(state)[0]


class Kinds(dict[str, Kind]):
    """All kinds of resources of a server by their lists in a declaration, in the order in which they are applied.

    They come in ``waves``: a kind depends on none in the same or a later wave, except for its ``late`` keys.
    """

    def __init__(self, *waves: tuple[Kind, ...]) -> None:
        super().__init__({kind.section: kind for wave in waves for kind in wave})
        self.waves = waves
