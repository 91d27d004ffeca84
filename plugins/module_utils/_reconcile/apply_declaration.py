# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""A whole declaration at once: list, match, plan, check, and apply in the order of the kinds' waves."""
from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Callable, NoReturn, cast

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _options
from ansible_collections.mlops.mlflow.plugins.module_utils._errors import (
    Conflict,
    Misdeclared,
    NotPermitted,
    ServerError,
    Unmet,
    Unreachable,
    Unsupported,
)
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile import declaration
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import ALONE, Kind, Kinds, Step, Surroundings
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import Identity, ImmutableField, Plan, State, make_plan, title
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.step import carry_out
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.workers import SharedListings, Workers, results


@dataclass(frozen=True)
class Item:
    """One resource of the run: its entry, and the plan for it. The entry of a pruned one is its own state, without a ``number``."""

    kind: Kind
    entry: Mapping[str, Any]
    plan: Plan
    number: int = 0
    surroundings: Surroundings = ALONE

    @property
    def name(self) -> str:
        """Its identity as text."""
        return title(self.kind.rules.identity(self.entry))

    def lines(self) -> Iterator[str]:
        """What is done to it, one line per action."""
        return self.plan.lines(self.kind.rules.LABEL, self.name)

    def planned(self) -> declaration.Planned:
        """The same, for display."""
        return declaration.Planned(self.kind.section, self.kind.rules.identity(self.entry), self.plan, self.kind.adapter.read_only)

    def step(self, client: Any) -> Step:
        """The same, as a step for the reconciler, which reads and plans again after a conflict."""
        rules = self.kind.rules
        desired: Callable[[State | None], State | None] = partial(rules.desired_state, self.entry) if self.plan.after is not None else _nothing
        return Step(rules.LABEL, self.name, self.kind.resource(client, self.entry, self.surroundings), desired)


#: Selects the part of an item's plan that a phase applies.
Part = Callable[[Item, Plan], Plan]


def _nothing(_current: State | None) -> None:
    """The desired state of a resource to be deleted."""


def apply_declaration(module: AnsibleModule, kinds: Kinds, workers: Workers) -> NoReturn:
    """Bring the server to what the module's options declare, and exit the module."""
    items = plan_all(module.params, kinds, workers)
    touched = [item for item in items if not item.plan.is_empty]
    if not module.check_mode:
        _carry_out(module, kinds, workers, touched)
    module.exit_json(
        changed=bool(touched),
        actions=[line for item in touched for line in item.lines()],
        counts=_counts(items),
        diff={"prepared": declaration.render(item.planned() for item in items)},
    )


def plan_all(params: Mapping[str, Any], kinds: Kinds, workers: Workers) -> list[Item]:
    """Plan each resource that is declared or pruned, in the order of the waves."""
    for section in params["prune"]:
        if params[section] is None:
            raise InvalidOption("prune", section, "is not declared", f"declare {section}, if only as an empty list")
    declared = [kind for section, kind in kinds.items() if params[section] is not None]
    for kind in declared:
        _validate(kind, params[kind.section])
    items: list[Item] = []
    listing = partial(_listing_or_none, SharedListings())
    for kind, outcome in zip(declared, workers.run(listing, [(kind, kind.section in params["prune"]) for kind in declared])):
        entries = params[kind.section]
        (states,) = results([outcome])
        if kind.resolved:
            stored = None if states is None else {kind.rules.identity(state) for state in states}
            entries = results(workers.run(partial(_resolving, kind, stored), list(enumerate(entries, 1))))
        states = _with_readings(kind, entries, states, workers)
        items += _planned(kind, entries, states, params, workers)
    _check(workers, items)
    return items


def _validate(kind: Kind, entries: Sequence[Mapping[str, Any]]) -> None:
    """Raise Misdeclared for the first entry that is invalid on any server."""
    for number, entry in enumerate(entries, 1):
        with _named(kind, entry, number):
            _options.check(kind.rules.OPTIONS, entry)
            kind.rules.check_options(entry)
    if not kind.repeats:
        second = declaration.second(entries, kind.rules.identity)
        if second:
            name = title(kind.rules.identity(entries[second - 1]))
            raise Misdeclared(str(InvalidOption(kind.section, name, "is declared twice", "keep one of the two")), kind.section, second)


def _numbered(kind: Kind, entries: Sequence[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any], Surroundings]]:
    """Each entry with its number in its list, starting at 1, and its surroundings."""
    places = declaration.places(entries, kind.rules.identity) if kind.repeats else [ALONE] * len(entries)
    return [(number, entry, place) for number, (entry, place) in enumerate(zip(entries, places), 1)]


def _listing_or_none(listings: SharedListings, client: Any, wanted: tuple[Kind, bool]) -> list[State] | None:
    """Return all resources of a kind; None if the server cannot list them, so that they must be read one by one."""
    kind, is_pruned = wanted
    try:
        return kind.listed(client, listings)
    except Unsupported:
        if is_pruned:
            raise
        return None


def _with_readings(kind: Kind, entries: Sequence[Mapping[str, Any]], listed: list[State] | None, workers: Workers) -> list[State]:
    """Return the listed states, those that are momentary replaced by what reading says of their entries; without a listing, each entry is read."""
    identity = kind.rules.identity
    momentary = {identity(state) for state in listed or () if kind.momentary(state)}
    if listed is not None and not momentary:
        return listed
    unread = [one for one in _numbered(kind, entries) if listed is None or identity(one[1]) in momentary]
    read = [state for state in results(workers.run(partial(_reading, kind), unread)) if state is not None]
    declared = {identity(entry) for _number, entry, _surroundings in unread}
    return [*(state for state in listed or () if identity(state) not in declared), *read]


def _reading(kind: Kind, client: Any, numbered: tuple[int, Mapping[str, Any], Surroundings]) -> State | None:
    number, entry, surroundings = numbered
    with _named(kind, entry, number):
        return kind.resource(client, entry, surroundings).read()


def _completing(kind: Kind, client: Any, numbered: tuple[int, Mapping[str, Any], State]) -> State:
    number, entry, state = numbered
    adapter: Any = kind.resource(client, entry)
    with _named(kind, entry, number):
        return cast("State", adapter.completed(state))


def _resolving(kind: Kind, stored: Collection[Identity] | None, client: Any, numbered: tuple[int, Mapping[str, Any]]) -> Mapping[str, Any]:
    number, entry = numbered
    with _named(kind, entry, number):
        return kind.resolved(client, entry, stored) if kind.resolved else entry


def _planned(
    kind: Kind, entries: Sequence[Mapping[str, Any]], states: Sequence[State], params: Mapping[str, Any], workers: Workers
) -> Iterator[Item]:
    rules = kind.rules
    listed, surplus = declaration.pair(kind.section, entries, states, rules.identity, kind.repeats)
    alone = [number for number, entry in enumerate(entries) if listed[number] and any(entry.get(option) is not None for option in kind.unlisted)]
    asked = [(number + 1, entries[number], listed[number]) for number in alone]
    reread = dict(zip(alone, results(workers.run(partial(_completing, kind), asked))))
    current = [reread.get(number, state) for number, state in enumerate(listed)]
    for (number, entry, surroundings), state in zip(_numbered(kind, entries), current):
        with _named(kind, entry, number):
            plan = make_plan(state, rules.desired_state(entry, state), kind.adapter.immutable)
        yield Item(kind, entry, plan, number, surroundings)
    if kind.section in params["prune"]:
        going = sorted((state for state in surplus if not kind.kept(state)), key=rules.identity)
        declaration.check_prune(kind.section, rules.LABEL, len(going), sum(not kind.kept(state) for state in states), params["prune_limit"])
        yield from (Item(kind, state, Plan("delete", state, None)) for state in going)


@contextmanager
def _named(kind: Kind, entry: Mapping[str, Any], number: int) -> Iterator[None]:
    """Name the entry in errors that its rules or the server raise for it."""
    try:
        yield
    except (Unreachable, NotPermitted):
        raise
    except (ImmutableField, InvalidOption, Refused, ServerError) as error:
        raise Misdeclared(f"{kind.section}: {_title(kind, entry, number)}: {error}", kind.section, number) from None


def _title(kind: Kind, entry: Mapping[str, Any], number: int) -> str:
    """The entry by its identity or, if it has none, by its number."""
    try:
        return repr(title(kind.rules.identity(entry)))
    except (AttributeError, KeyError, TypeError):
        return f"entry {number}"


def _check(workers: Workers, items: Sequence[Item]) -> None:
    """Check each plan with the server before any is applied, ignoring conditions that the same run fulfils."""
    doing: dict[tuple[str, str], set[str]] = {}
    for item in items:
        doing.setdefault((item.kind.section, item.kind.rules.identity(item.entry)[0]), set()).add(item.plan.action)

    def check(client: Any, item: Item) -> None:
        kind = item.kind
        # A resource whose parent this run creates needs no check, which would cost one request each.
        made = bool(kind.parent) and "create" in doing.get((kind.parent, kind.rules.identity(item.entry)[0]), set())
        try:
            kind.resource(client, item.entry, replace(item.surroundings, parent_is_new=made)).check(item.plan)
        except Unmet as error:
            if not all(error.actions & doing.get(resource, set()) for resource in error.resources):
                raise Misdeclared(f"{kind.section}: {item.name!r}: {error}", kind.section, item.number) from None
        except (Unreachable, NotPermitted, Conflict):
            raise
        except ServerError as error:
            raise Misdeclared(f"{kind.section}: {item.name!r}: {error}", kind.section, item.number) from None

    results(workers.run(check, [item for item in items if not item.plan.is_empty]))


def _carry_out(module: AnsibleModule, kinds: Kinds, workers: Workers, items: Sequence[Item]) -> None:
    """Apply phase by phase; on failure, fail the module with what was done and what was not."""
    finished: set[int] = set()
    for part, group in _phases(kinds, items):
        failed: list[tuple[Item, Exception]] = []
        outcomes = workers.run(partial(_carry_out_lane, part, finished, failed), _lanes(group))
        if failed:
            _fail(module, items, finished, failed)
        results(outcomes)


def _carry_out_lane(part: Part, finished: set[int], failed: list[tuple[Item, Exception]], client: Any, lane: list[Item]) -> None:
    """Apply ``part`` of each plan in turn; add finished items to ``finished``, and failed ones to ``failed``."""
    for item in lane:
        try:
            carry_out(item.step(client), item.plan, partial(part, item))
        except (ServerError, ValueError) as error:
            failed.append((item, error))
            raise
        if part is _late or _late(item, item.plan).is_empty:
            finished.add(id(item))


def _lanes(items: Sequence[Item]) -> list[list[Item]]:
    """Group items that can run in parallel. Those of a kind that repeats are created in sequence if they have the same parent."""
    lanes: dict[tuple[str, ...], list[Item]] = {}
    for number, item in enumerate(items):
        key = ("", str(number)) if not item.kind.repeats else (item.kind.section, item.kind.rules.identity(item.entry)[0])
        lanes.setdefault(key, []).append(item)
    return list(lanes.values())


def _phases(kinds: Kinds, items: Sequence[Item]) -> Iterator[tuple[Part, list[Item]]]:
    """First creations and changes, wave by wave; then references to other resources; then deletions, in reverse order; then what comes last."""
    last = [item for item in items if item.plan.before is not None and item.kind.comes_last(item.plan.before)]
    staying = [item for item in items if item.plan.action != "delete" and item not in last]
    for wave in kinds.waves:
        yield _early, [item for item in staying if item.kind in wave]
    yield _late, [item for item in staying if not _late(item, item.plan).is_empty]
    for wave in reversed(kinds.waves):
        yield _early, [item for item in items if item.plan.action == "delete" and item.kind in wave]
    yield _early, last


def _early(item: Item, whole: Plan) -> Plan:
    return whole.without(item.kind.late)


def _late(item: Item, whole: Plan) -> Plan:
    return whole.only(item.kind.late)


def _fail(module: AnsibleModule, items: Sequence[Item], finished: set[int], failed: Sequence[tuple[Item, Exception]]) -> NoReturn:
    item, error = failed[0]
    more = f" (and {len(failed) - 1} more failed)" if len(failed) > 1 else ""
    module.fail_json(
        msg=f"{item.kind.section}: {item.name!r}: {error}{more}; {len(finished)} of {len(items)} resources are as declared now; "
        "fix the cause and run again to apply the rest",
        changed=bool(finished),
        applied=[line for item in items if id(item) in finished for line in item.lines()],
        pending=[line for item in items if id(item) not in finished for line in item.lines()],
    )


def _counts(items: Sequence[Item]) -> dict[str, int]:
    actions = [item.plan.action for item in items]
    return {name: actions.count(action) for name, action in (("created", "create"), ("changed", "update"), ("deleted", "delete"), ("same", "none"))}
