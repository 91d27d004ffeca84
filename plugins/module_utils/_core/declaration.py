# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""A whole declaration against a whole server: which entry is which resource, what is surplus, and the plan as a person reads it. No I/O."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.mlops.mlflow.plugins.module_utils._core.options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._core.plan import ABSENT, Identity, Plan, State, title

Entry = Mapping[str, Any]


def pair(
    section: str, entries: Sequence[Entry], states: Sequence[State], identity: Callable[[Entry], Identity], repeats: bool = False
) -> tuple[list[State | None], list[State]]:
    """The state that each entry is about, None where there is none yet; and the states that no entry is about.

    Where a kind ``repeats``, the entries of one identity are the newest states of it, in the order of both lists.
    Raises InvalidOption for an identity that is declared twice where none repeats.

    >>> key = lambda thing: (thing["name"],)
    >>> pair("x", [{"name": "a"}, {"name": "c"}], [{"name": "a", "id": 1}, {"name": "b", "id": 2}], key)
    ([{'name': 'a', 'id': 1}, None], [{'name': 'b', 'id': 2}])
    >>> pair("x", [{"name": "a"}] * 2, [{"name": "a", "id": number} for number in (1, 2, 3)], key, repeats=True)
    ([{'name': 'a', 'id': 2}, {'name': 'a', 'id': 3}], [{'name': 'a', 'id': 1}])
    """
    there: dict[Identity, list[State]] = {}
    for state in states:
        there.setdefault(identity(state), []).append(state)
    wanted: dict[Identity, int] = {}
    for entry in entries:
        key = identity(entry)
        wanted[key] = wanted.get(key, 0) + 1
        if wanted[key] > 1 and not repeats:
            raise InvalidOption(section, title(key), "is declared twice", "keep one of the two")
    surplus = [state for key, found in there.items() for state in found[: len(found) - wanted.get(key, 0)]]
    matched = {key: iter(there.get(key, [])[-count:]) for key, count in wanted.items()}
    return [next(matched[identity(entry)], None) for entry in entries], surplus


def placed(entries: Sequence[Entry], identity: Callable[[Entry], Identity]) -> list[dict[str, Any]]:
    """The entries of a kind that repeats, each with its index among those of one identity, and their count, as ``_place``.

    >>> [entry["_place"] for entry in placed([{"name": "a"}, {"name": "b"}, {"name": "a"}], lambda entry: (entry["name"],))]
    [(0, 2), (0, 1), (1, 2)]
    """
    keys = [identity(entry) for entry in entries]
    totals, seen = Counter(keys), Counter[Identity]()
    result = []
    for entry, key in zip(entries, keys):
        result.append({**entry, "_place": (seen[key], totals[key])})
        seen[key] += 1
    return result


def check_prune(section: str, label: str, surplus: int, there: int, limit: int) -> None:
    """Raise Refused where more than ``limit`` percent of the ``there`` resources of a kind would go.

    >>> check_prune("users", "user", 1, 5, 20)
    >>> check_prune("users", "user", 2, 5, 20)
    Traceback (most recent call last):
    ...
    ansible_collections...Refused: prune: 2 of 5 users are not declared, which is more than the prune_limit of 20 percent; nothing was ...
    """
    if surplus * 100 > limit * there:
        raise Refused(
            f"prune: {surplus} of {there} {label}s are not declared, which is more than the prune_limit of {limit} percent; "
            f"nothing was changed; declare those that are to stay under {section}, or raise prune_limit"
        )


@dataclass(frozen=True)
class Planned:
    """One resource of a plan as it is shown; ``hidden`` are the keys of its state that say nothing to a person."""

    section: str
    identity: Identity
    plan: Plan
    hidden: frozenset[str] = frozenset()


def render(items: Iterable[Planned]) -> str:
    """The plan as a text: a block a section, ``+`` what is created, ``~`` changed, ``-`` deleted, and the sums at the end.

    >>> from ansible_collections.mlops.mlflow.plugins.module_utils._core.plan import make_plan
    >>> plan = make_plan({"name": "iris", "tags": {"tier": "1"}}, {"tags": {"tier": "2"}})
    >>> print(render([Planned("registered_models", ("iris",), plan), Planned("users", ("ann",), make_plan({"n": 1}, None))]))
    registered_models
      ~ iris
          tags.tier: 1 -> 2
    users
      - ann
    <BLANKLINE>
    0 to create, 1 to change, 1 to delete, 0 as declared
    <BLANKLINE>
    """
    lines: list[str] = []
    counts = dict.fromkeys(("create", "update", "delete", "none"), 0)
    last = ""
    for item in items:
        counts[item.plan.action] += 1
        if item.plan.is_empty:
            continue
        if item.section != last:
            lines.append(item.section)
            last = item.section
        lines.append(f"  {_MARKS[item.plan.action]} {title(item.identity)}")
        lines += [f"      {line}" for line in _details(item)]
    sums = "{create} to create, {update} to change, {delete} to delete, {none} as declared".format(**counts)
    return "\n".join([*lines, "", sums, ""] if lines else [sums, ""])


_MARKS = {"create": "+", "update": "~", "delete": "-"}


def _details(item: Planned) -> Iterator[str]:
    creates = item.plan.action == "create"
    for change in item.plan.changes:
        # What is created begins empty, and is called what its line says.
        if change.path[0] in item.hidden or (creates and (change.after in ("", None, ABSENT) or change.after in item.identity)):
            continue
        yield from _lines(".".join(change.path), change.before, change.after, creates)


def _lines(name: str, before: Any, after: Any, creates: bool) -> Iterator[str]:
    old, new = _shown(before), _shown(after)
    if "\n" in old + new:
        yield f"{name}:"
        yield from (f"  - {line}" for line in (old.splitlines() if before is not ABSENT else []))
        yield from (f"  + {line}" for line in (new.splitlines() if after is not ABSENT else []))
    else:
        yield f"{name}: {new}" if creates else f"{name}: {old} -> {new}"


def _shown(value: Any) -> str:
    if value is ABSENT:
        return "(none)"
    if value == "":
        return '""'
    return str(value)


def export(listings: Mapping[str, list[dict[str, Any]]], portable: bool) -> dict[str, list[dict[str, Any]]]:
    """The sections of an export, of which those that are empty are left out.

    An alias is declared once: by the version that it names, where that is declared too, else by its model; where the
    export is to be ``portable``, by the version alone.

    >>> sections = {"users": [], "registered_models": [{"name": "iris", "aliases": {"a": 3, "b": 2}}],
    ...             "model_versions": [{"name": "iris", "source": "s3://b/3", "aliases": ["a"]}]}
    >>> export(sections, portable=False)["registered_models"]
    [{'name': 'iris', 'aliases': {'b': 2}}]
    >>> export(sections, portable=True)["registered_models"]
    [{'name': 'iris'}]
    """
    named = {(entry["name"], alias) for entry in listings.get("model_versions", []) for alias in entry.get("aliases", [])}
    sections = dict(listings)
    if "registered_models" in sections:
        sections["registered_models"] = [_less_aliases(entry, None if portable else named) for entry in sections["registered_models"]]
    return {section: entries for section, entries in sections.items() if entries}


def _less_aliases(entry: dict[str, Any], named: set[tuple[str, str]] | None) -> dict[str, Any]:
    aliases = {alias: version for alias, version in entry.get("aliases", {}).items() if named is not None and (entry["name"], alias) not in named}
    rest = {key: value for key, value in entry.items() if key != "aliases"}
    return {**rest, "aliases": aliases} if aliases else rest
