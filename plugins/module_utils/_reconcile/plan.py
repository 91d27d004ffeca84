# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The reconcile core: ``current`` and ``desired`` state in, a plan out. No I/O.

A *state* is a nested dict with string keys. A dict inside a state is merged key by key
(tags, aliases, grants); everything else, lists included, is a leaf and is compared whole.
A missing resource is ``None``. In a desired state a key that is left out is not managed,
and a key set to ``ABSENT`` must not exist.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Callable

State = dict[str, Any]
Path = tuple[str, ...]
#: What identifies a resource of a kind.
Identity = tuple[str, ...]


class _Absent:
    """The type of ``ABSENT``, the mark of a key that does not exist."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


@dataclass(frozen=True)
class Change:
    """One leaf that differs: its path, its current and its desired value."""

    path: Path
    before: Any
    after: Any


@dataclass(frozen=True)
class Plan:
    """What must be done to one resource.

    ``action`` is ``none``, ``create``, ``update`` or ``delete``; ``before`` and ``after`` are
    the whole states on either side, ``None`` where the resource does not exist.
    """

    action: str
    before: State | None
    after: State | None
    changes: tuple[Change, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to do."""
        return self.action == "none"

    def changes_under(self, key: str) -> tuple[Change, ...]:
        """The changes whose path starts with ``key``, in the plan's order."""
        return tuple(change for change in self.changes if change.path[0] == key)

    def change_of(self, key: str) -> Change | None:
        """The change of the top-level leaf ``key``, or None if it is unchanged."""
        return next((change for change in self.changes if change.path == (key,)), None)

    def lines(self, kind: str, name: str) -> Iterator[str]:
        """What is done to the resource ``name``, one line per action."""
        if self.action in ("create", "delete"):
            yield f"{self.action} {kind} {name}"
        for change in self.changes if self.action == "update" else ():
            yield f"update {kind} {name} {'.'.join(change.path)}"

    def without(self, keys: frozenset[str]) -> Plan:
        """The plan less what it does below the top-level ``keys``; a deletion stays whole."""
        if self.action in ("none", "delete"):
            return self
        return self._part(self.action, self.before, tuple(change for change in self.changes if change.path[0] not in keys))

    def only(self, keys: frozenset[str]) -> Plan:
        """What is left to do below the top-level ``keys`` once the plan ``without`` them is carried out."""
        if self.action in ("none", "delete"):
            return Plan("none", self.after, self.after)
        return self._part("update", self.without(keys).after, tuple(change for change in self.changes if change.path[0] in keys))

    def _part(self, action: str, before: State | None, changes: tuple[Change, ...]) -> Plan:
        empty: State = {key: {} for key, value in (self.after or {}).items() if isinstance(value, dict)}
        after = apply_changes(empty if before is None else before, changes)
        return Plan("none" if action == "update" and not changes else action, before, after, changes)


class ImmutableField(ValueError):
    """A change of a field that cannot be changed after creation."""

    def __init__(self, change: Change) -> None:
        super().__init__(
            f"{'.'.join(change.path)}: cannot be changed from {change.before!r} to {change.after!r} once it exists; "
            "leave the option out, or remove the resource and create it again"
        )


def make_plan(current: State | None, desired: State | None, immutable: Iterable[str] = ()) -> Plan:
    """Plan the way from ``current`` to ``desired``.

    Raises ImmutableField if an existing resource would have to change a top-level key that
    ``immutable`` names.

    >>> make_plan(None, {"name": "iris", "tags": {"team": "a"}}).action
    'create'
    >>> plan = make_plan({"name": "iris", "tags": {"team": "a", "old": "1"}}, {"tags": {"team": "b", "old": ABSENT}})
    >>> [(change.path, change.before, change.after) for change in plan.changes]
    [(('tags', 'old'), '1', ABSENT), (('tags', 'team'), 'a', 'b')]
    >>> plan.after
    {'name': 'iris', 'tags': {'team': 'b'}}
    >>> make_plan({"name": "iris"}, {"name": "iris"}).action
    'none'
    >>> make_plan({"name": "iris"}, None).action
    'delete'
    >>> make_plan({"encoding": "UTF8"}, {"encoding": "LATIN1"}, immutable=["encoding"])
    Traceback (most recent call last):
    ...
    ansible_collections...ImmutableField: encoding: cannot be changed from 'UTF8' to 'LATIN1' once it exists; ...
    """
    if desired is None:
        return Plan("none" if current is None else "delete", current, None)
    changes = tuple(_differences((), current or {}, desired))
    if current is None:
        empty: State = {key: {} for key, value in desired.items() if isinstance(value, dict)}
        return Plan("create", None, apply_changes(empty, changes), changes)
    fixed = set(immutable)
    for change in changes:
        if change.path[0] in fixed:
            raise ImmutableField(change)
    return Plan("update" if changes else "none", current, apply_changes(current, changes), changes)


def _differences(path: Path, current: State, desired: State) -> Iterable[Change]:
    for key in sorted(desired):
        want = desired[key]
        have = current.get(key, ABSENT)
        if isinstance(want, dict):
            yield from _differences((*path, key), have if isinstance(have, dict) else {}, want)
        elif want is ABSENT:
            if have is not ABSENT:
                yield Change((*path, key), have, ABSENT)
        elif have is ABSENT or have != want:
            yield Change((*path, key), have, want)


def apply_changes(state: State, changes: Iterable[Change]) -> State:
    """A copy of ``state`` with ``changes`` carried out; what the resource becomes.

    >>> apply_changes({"a": {"x": 1}}, [Change(("a", "y"), ABSENT, 2), Change(("a", "x"), 1, ABSENT)])
    {'a': {'y': 2}}
    """
    result = dict(state)
    for change in changes:
        key, rest = change.path[0], change.path[1:]
        if rest:
            inner = result.get(key)
            nested = Change(rest, change.before, change.after)
            result[key] = apply_changes(inner if isinstance(inner, dict) else {}, [nested])
        elif change.after is ABSENT:
            result.pop(key, None)
        else:
            result[key] = change.after
    return result


def purged(current: State, wanted: State, keep: Callable[[str], bool] = lambda key: False) -> State:
    """``wanted`` with every other key of ``current`` marked ABSENT, save those that ``keep`` is true for.

    >>> purged({"team": "a", "old": "1", "mlflow.source": "x"}, {"team": "b"}, lambda key: key.startswith("mlflow."))
    {'team': 'b', 'old': ABSENT}
    """
    surplus: State = {key: ABSENT for key in current if key not in wanted and not keep(key)}
    return {**wanted, **surplus}


def title(identity: Identity) -> str:
    """An identity in words.

    >>> title(("iris", "s3://bucket/iris", ""))
    'iris s3://bucket/iris'
    """
    return " ".join(part for part in identity if part)
