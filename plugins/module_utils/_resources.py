# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""mlflow_resources: every resource of a server at once. List, pair, plan, check, apply in the order that they build on each other."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, NoReturn, TypeVar, cast

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.pool import Outcome, Pool
from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._core import declaration, model_version
from ansible_collections.mlops.mlflow.plugins.module_utils._core.options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._core.plan import ImmutableField, Plan, make_plan, title
from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ServerError, Unmet, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.experiment import EXPERIMENT
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.gateway_endpoint import GATEWAY_ENDPOINT
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.gateway_model_definition import GATEWAY_MODEL_DEFINITION
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.gateway_secret import GATEWAY_SECRET
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.grant import GRANT
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.model_version import MODEL_VERSION
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.prompt import PROMPT
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.registered_model import REGISTERED_MODEL
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.role import ROLE
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.user import USER
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.webhook import WEBHOOK
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.workspace import WORKSPACE
from ansible_collections.mlops.mlflow.plugins.module_utils._module import carry_out
from ansible_collections.mlops.mlflow.plugins.module_utils._ports import Kind, State, Step

#: The kinds, in waves: what is in one builds on nothing that is in the same or a later one, aliases apart, which come last.
WAVES: tuple[tuple[Kind, ...], ...] = (
    (WORKSPACE, USER),
    (EXPERIMENT, REGISTERED_MODEL, PROMPT, WEBHOOK, GATEWAY_SECRET),
    (MODEL_VERSION, GATEWAY_MODEL_DEFINITION),
    (GATEWAY_ENDPOINT,),
    (ROLE, GRANT),
)
KINDS: dict[str, Kind] = {kind.section: kind for wave in WAVES for kind in wave}

Result = TypeVar("Result")


@dataclass(frozen=True)
class Item:
    """One resource of the run: what its entry asks for, and the plan for it. A pruned one's entry is its own state."""

    kind: Kind
    entry: Mapping[str, Any]
    plan: Plan

    @property
    def name(self) -> str:
        """Its identity in words."""
        return title(self.kind.rules.identity(self.entry))

    def lines(self) -> Iterator[str]:
        """What is done to it, a line each."""
        return self.plan.lines(self.kind.rules.LABEL, self.name)

    def planned(self) -> declaration.Planned:
        """The same as it is shown."""
        return declaration.Planned(self.kind.section, self.kind.rules.identity(self.entry), self.plan, self.kind.adapter.read_only)

    def step(self, client: RestClient) -> Step:
        """The same for the reconciler, which reads and plans again after a conflict."""
        rules = self.kind.rules
        desired: Callable[[State | None], State | None] = partial(rules.desired_state, self.entry) if self.plan.after is not None else _nothing
        return Step(rules.LABEL, self.name, self.kind.adapter(client, self.entry), desired)


#: Picks of an item's plan what a phase carries out.
Part = Callable[[Item, Plan], Plan]


def _nothing(_current: State | None) -> None:
    """What a resource that is to go must become."""


def argument_spec() -> dict[str, dict[str, Any]]:
    """A list a kind, whose entries take what the kind's single module takes. What is secret in it is one of those."""
    return {section: {"type": "list", "elements": "dict", "options": kind.rules.OPTIONS, "no_log": False} for section, kind in KINDS.items()}


def run(module: AnsibleModule, make_client: Callable[[], RestClient]) -> NoReturn:
    """Do what the module's options ask for, and end the module."""
    params = module.params
    for option in ("kinds", "prune"):
        for section in params[option] or []:
            if section not in KINDS:
                raise InvalidOption(option, section, "is no list of a declaration", f"use {', '.join(KINDS)}")
    if params["connections"] < 1:
        raise InvalidOption("connections", params["connections"], "is too small", "give 1 or more")
    make_client().close()  # an option of the connection that cannot be used is said before anything is read
    pool = Pool(make_client, params["connections"])
    try:
        if params["state"] == "exported":
            module.exit_json(changed=False, resources=export(params, pool))
        _apply(module, pool)
    finally:
        pool.close()


def _apply(module: AnsibleModule, pool: Pool) -> NoReturn:
    params = module.params
    items = plan_all(params, pool)
    touched = [item for item in items if not item.plan.is_empty]
    if not module.check_mode:
        _carry_out(module, pool, touched)
    module.exit_json(
        changed=bool(touched),
        actions=[line for item in touched for line in item.lines()],
        counts=_counts(items),
        diff={"prepared": declaration.render(item.planned() for item in items)},
    )


def plan_all(params: Mapping[str, Any], pool: Pool) -> list[Item]:
    """What has to happen to each resource that is declared or pruned, in the order of WAVES."""
    for section in params["prune"]:
        if params[section] is None:
            raise InvalidOption("prune", section, "is not declared", f"declare {section}, if only as an empty list")
    kinds = [kind for section, kind in KINDS.items() if params[section] is not None]
    for kind in kinds:
        for entry in params[kind.section]:
            with _named(kind, entry):
                kind.rules.check_options(entry)
    items: list[Item] = []
    for kind, outcome in zip(kinds, pool.run(_listing_or_none, [(kind, kind.section in params["prune"]) for kind in kinds])):
        entries = params[kind.section]
        if kind.resolved:
            entries = _results(pool.run(kind.resolved, entries))
        if kind.repeats:
            entries = declaration.placed(entries, kind.rules.identity)
        (states,) = _results([outcome])
        if states is None:
            states = [state for state in _results(pool.run(partial(_reading, kind), entries)) if state is not None]
        items += _planned(kind, entries, states, params, pool)
    _check(pool, items)
    return items


def _listing(client: RestClient, kind: Kind) -> list[State]:
    return list(kind.adapter.find(client, {}))


def _listing_or_none(client: RestClient, wanted: tuple[Kind, bool]) -> list[State] | None:
    """All there is of a kind; None where the server cannot list it, and its resources are to be read one by one."""
    kind, is_pruned = wanted
    try:
        return _listing(client, kind)
    except Unsupported:
        if is_pruned:
            raise
        return None


def _reading(kind: Kind, client: RestClient, entry: Mapping[str, Any]) -> State | None:
    return kind.adapter(client, entry).read()


def _planned(
    kind: Kind, entries: Sequence[Mapping[str, Any]], states: Sequence[State], params: Mapping[str, Any], pool: Pool
) -> Iterator[Item]:
    rules = kind.rules
    listed, surplus = declaration.pair(kind.section, entries, states, rules.identity, kind.repeats)
    alone = [number for number, entry in enumerate(entries) if listed[number] and any(entry.get(option) is not None for option in kind.unlisted)]
    reread = dict(zip(alone, _results(pool.run(partial(_reading, kind), [entries[number] for number in alone]))))
    current = [reread.get(number, state) for number, state in enumerate(listed)]
    for entry, state in zip(entries, current):
        with _named(kind, entry):
            plan = make_plan(state, rules.desired_state(entry, state), kind.adapter.immutable)
        yield Item(kind, entry, plan)
    if kind.section in params["prune"]:
        going = sorted((state for state in surplus if not rules.kept(state)), key=rules.identity)
        declaration.check_prune(kind.section, rules.LABEL, len(going), sum(not rules.kept(state) for state in states), params["prune_limit"])
        yield from (Item(kind, state, Plan("delete", state, None)) for state in going)


@contextmanager
def _named(kind: Kind, entry: Mapping[str, Any]) -> Iterator[None]:
    """Name the resource in what its rules refuse."""
    try:
        yield
    except (ImmutableField, InvalidOption, Refused) as error:
        raise Refused(f"{kind.section}: {title(kind.rules.identity(entry))!r}: {error}") from None


def _check(pool: Pool, items: Sequence[Item]) -> None:
    """Raise what the server says of a plan before any is carried out, but for what the same run brings about."""
    doing: dict[tuple[str, str], set[str]] = {}
    for item in items:
        doing.setdefault((item.kind.section, item.kind.rules.identity(item.entry)[0]), set()).add(item.plan.action)

    def check(client: RestClient, item: Item) -> None:
        rules = item.kind.rules
        # What this run makes the parent of needs no question, of which there would be one a resource.
        made = item.kind.parent and "create" in doing.get((item.kind.parent, rules.identity(item.entry)[0]), set())
        try:
            item.kind.adapter(client, {**item.entry, "_parent_is_made": True} if made else item.entry).check(item.plan)
        except Unmet as error:
            if not all(error.actions & doing.get(resource, set()) for resource in error.resources):
                raise ServerError(f"{item.kind.section}: {item.name!r}: {error}") from None

    _results(pool.run(check, [item for item in items if not item.plan.is_empty]))


def _carry_out(module: AnsibleModule, pool: Pool, items: Sequence[Item]) -> None:
    """Apply phase after phase; where something fails, end the module with what was done and what was not."""
    finished: set[int] = set()
    for part, group in _phases(items):
        failed: list[tuple[Item, Exception]] = []
        outcomes = pool.run(partial(_carry_out_lane, part, finished, failed), _lanes(group))
        if failed:
            _fail(module, items, finished, failed)
        _results(outcomes)


def _carry_out_lane(part: Part, finished: set[int], failed: list[tuple[Item, Exception]], client: RestClient, lane: list[Item]) -> None:
    """Apply ``part`` of each plan in turn; what is then as declared joins ``finished``, what cannot be joins ``failed``."""
    for item in lane:
        try:
            carry_out(item.step(client), item.plan, partial(part, item))
        except (ServerError, ValueError) as error:
            failed.append((item, error))
            raise
        if part is _late or _late(item, item.plan).is_empty:
            finished.add(id(item))


def _lanes(items: Sequence[Item]) -> list[list[Item]]:
    """What may be done at once. Versions of one model are made one after the other, since their numbers follow that order."""
    lanes: dict[tuple[str, ...], list[Item]] = {}
    for number, item in enumerate(items):
        key = ("", str(number)) if not item.kind.repeats else (item.kind.section, item.kind.rules.identity(item.entry)[0])
        lanes.setdefault(key, []).append(item)
    return list(lanes.values())


def _phases(items: Sequence[Item]) -> Iterator[tuple[Part, list[Item]]]:
    """What is made or changed, wave by wave; then what names others; then what goes, in the opposite order.

    The user of the connection comes last: with a new password, the other connections would be turned away.
    """
    own = [item for item in items if (item.plan.before or {}).get("is_me")]
    staying = [item for item in items if item.plan.action != "delete" and item not in own]
    for wave in WAVES:
        yield _early, [item for item in staying if item.kind in wave]
    yield _late, [item for item in staying if not _late(item, item.plan).is_empty]
    for wave in reversed(WAVES):
        yield _early, [item for item in items if item.plan.action == "delete" and item.kind in wave]
    yield _early, own


def _early(item: Item, whole: Plan) -> Plan:
    return whole.without(item.kind.late)


def _late(item: Item, whole: Plan) -> Plan:
    return whole.only(item.kind.late)


def _fail(module: AnsibleModule, items: Sequence[Item], finished: set[int], failed: Sequence[tuple[Item, Exception]]) -> NoReturn:
    item, error = failed[0]
    more = f" (and {len(failed) - 1} more failed)" if len(failed) > 1 else ""
    module.fail_json(
        msg=f"{item.kind.section}: {item.name!r}: {error}{more}; {len(finished)} of {len(items)} resources were brought to what is declared; "
        "remedy the cause and run again, which does the rest",
        changed=bool(finished),
        applied=[line for item in items if id(item) in finished for line in item.lines()],
        pending=[line for item in items if id(item) not in finished for line in item.lines()],
    )


def _results(outcomes: Sequence[Outcome[Result]]) -> list[Result]:
    """The results, where every item has one; else the first error is raised."""
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return [cast("Result", outcome.result) for outcome in outcomes]


def _counts(items: Sequence[Item]) -> dict[str, int]:
    actions = [item.plan.action for item in items]
    return {name: actions.count(action) for name, action in (("created", "create"), ("changed", "update"), ("deleted", "delete"), ("same", "none"))}


def export(params: Mapping[str, Any], pool: Pool) -> dict[str, list[dict[str, Any]]]:
    """The live server as a declaration. Without ``kinds``, those that the server does not know are left out."""
    kinds = [KINDS[section] for section in params["kinds"] or KINDS]

    def listing(client: RestClient, kind: Kind) -> list[dict[str, Any]]:
        try:
            states = _listing(client, kind)
        except Unsupported:
            if params["kinds"]:
                raise
            return []
        if params["portable"] and kind is MODEL_VERSION:
            states = [state for state in states if model_version.portable(state)]
        entries = [entry for state in states if (entry := kind.rules.declared(state)) is not None]
        return sorted(entries, key=kind.rules.identity if not kind.repeats else _name)

    sections = dict(zip((kind.section for kind in kinds), _results(pool.run(listing, kinds))))
    return declaration.export(sections, params["portable"])


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry["name"])
