# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Matching a declaration with a server: which entry is which resource, what is surplus, and the plan as text. No I/O."""
from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Entry, Kind, Options, Surroundings
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, Identity, Plan, State, title

#: The YAML types allowed for each option type, and its name in messages. Ansible converts between strings and numbers.
_SCALAR = (str, int, float, bool)
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "str": (_SCALAR, "text"),
    "path": ((str,), "text"),
    "bool": ((str, int, bool), "true or false"),
    "int": ((str, int), "a whole number"),
    "float": ((str, int, float), "a number"),
    "dict": ((Mapping,), "a dictionary"),
    "list": ((list, tuple), "a list"),
}
_BOOLS = frozenset("y yes on 1 true t 1.0 n no off 0 false f 0.0".split())


def misfit(section: str, entry: Any, options: Options) -> str | None:
    """Return why ``entry`` is not valid in the list ``section``, whose entries take ``options``; None if it is valid.

    Values of secret or unknown options are never shown: an unknown one may be a misspelt secret.

    >>> options = {"name": {"type": "str", "required": True}, "state": {"type": "str", "choices": ["present", "absent"]}}
    >>> misfit("experiments", {"name": "a", "state": "gone"}, options)
    "experiments.state: 'gone' is not one of the allowed values; use present, absent"
    >>> misfit("experiments", {"nane": "a"}, options)
    'experiments.nane: is not an option of an entry; did you mean name?'
    >>> misfit("experiments", None, options)
    'it is null, not a dictionary; write name: … after the dash'
    >>> misfit("experiments", {"name": "a"}, options)
    """
    if not isinstance(entry, Mapping):
        first = next((name for name, option in options.items() if option.get("required")), next(iter(options)))
        return f"it is {_kind_of(entry)}, not a dictionary; write {first}: … after the dash"
    for key, value in entry.items():
        option = options.get(key) if isinstance(key, str) else None
        if option is None:
            return f"{section}.{key}: is not an option of an entry; {_nearest(str(key), options)}"
        if value is None:
            continue
        problem = _unfit(f"{section}.{key}", value, option)
        if problem:
            return problem
    for name, option in options.items():
        if option.get("required") and entry.get(name) is None:
            return f"{section}.{name}: is missing; every entry needs it"
    return None


def _unfit(path: str, value: Any, option: Mapping[str, Any]) -> str | None:
    wanted = option.get("type", "str")
    if wanted == "raw" or not _is_plain(value):
        return None
    types, name = _TYPES[wanted]
    shown = "…" if option.get("no_log") else _excerpt(value)
    fits: bool = isinstance(value, types)  # a separate name, since mypy would narrow value to object
    if not fits or not _converts(wanted, value):
        return f"{path}: {shown} is not {name}; give {name}"
    choices = option.get("choices")
    if choices and value not in choices:
        return f"{path}: {shown} is not one of the allowed values; use {', '.join(map(str, choices))}"
    if wanted == "list":
        return next(filter(None, (_unfit_element(path, number, element, option) for number, element in enumerate(value, 1))), None)
    return misfit(path, value, option["options"]) if option.get("options") else None


def _unfit_element(path: str, number: int, element: Any, option: Mapping[str, Any]) -> str | None:
    if option.get("options"):
        problem = misfit(path, element, option["options"])
        return problem and f"{path}: its entry {number}: {problem}"
    if element is None:
        return f"{path}: its entry {number} is null; give a value, or remove the dash"
    return _unfit(path, element, {"type": option.get("elements", "raw")})


def _is_plain(value: Any) -> bool:
    """Whether the value can be inspected; a vaulted value cannot, and is a string."""
    return isinstance(value, (*_SCALAR, Mapping, list, tuple))


def _converts(wanted: str, value: Any) -> bool:
    if wanted == "bool":
        return isinstance(value, bool) or str(value).lower().strip() in _BOOLS
    if wanted in ("int", "float") and not isinstance(value, bool):
        try:
            return int(value) is not None if wanted == "int" else float(value) is not None
        except (ValueError, OverflowError):
            return False
    return wanted not in ("int", "float")


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "text" if isinstance(value, str) else "a value"


def _excerpt(value: Any) -> str:
    text = repr(value) if not isinstance(value, str) else repr(str(value))
    return text if len(text) <= 60 else f"{text[:60]}…"


def _nearest(key: str, options: Options) -> str:
    close = difflib.get_close_matches(key, list(options), 1, 0.6)
    return f"did you mean {close[0]}?" if close else f"use {', '.join(options)}"


def entry_title(entry: Any, number: int, options: Options) -> str:
    """Return the entry's number in its list, and its name if it has one.

    >>> entry_title({"name": "a"}, 3, {"name": {}}), entry_title(None, 1, {"name": {}})
    ("entry 3 'a'", 'entry 1')
    """
    name = entry.get(next(iter(options))) if isinstance(entry, Mapping) else None
    return f"entry {number}" if not isinstance(name, _SCALAR) else f"entry {number} {_excerpt(name)}"


def pair(
    section: str, entries: Sequence[Entry], states: Sequence[State], identity: Callable[[Entry], Identity], repeats: bool = False
) -> tuple[list[State | None], list[State]]:
    """Return the state that matches each entry, None if there is none yet, and the states that match no entry.

    If a kind ``repeats``, entries of one identity match its newest states, in the order of both lists.
    Otherwise raises InvalidOption for an identity that is declared twice.

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


def second(entries: Sequence[Entry], identity: Callable[[Entry], Identity]) -> int:
    """Return the number, starting at 1, of the first entry with the identity of an earlier one; 0 if there is none.

    >>> second([{"name": "a"}, {"name": "b"}, {"name": "a"}], lambda entry: (entry["name"],))
    3
    """
    seen: set[Identity] = set()
    for number, entry in enumerate(entries, 1):
        key = identity(entry)
        if key in seen:
            return number
        seen.add(key)
    return 0


def places(entries: Sequence[Entry], identity: Callable[[Entry], Identity]) -> list[Surroundings]:
    """Return, for each entry of a kind that repeats, its index among those of one identity, and their count.

    >>> [(place.index, place.count) for place in places([{"name": "a"}, {"name": "b"}, {"name": "a"}], lambda entry: (entry["name"],))]
    [(0, 2), (0, 1), (1, 2)]
    """
    keys = [identity(entry) for entry in entries]
    totals, seen = Counter(keys), Counter[Identity]()
    result = []
    for key in keys:
        result.append(Surroundings(seen[key], totals[key]))
        seen[key] += 1
    return result


def check_prune(section: str, label: str, surplus: int, there: int, limit: int) -> None:
    """Raise Refused if more than ``limit`` percent of the ``there`` resources of a kind would be deleted.

    >>> check_prune("users", "user", 1, 5, 20)
    >>> check_prune("users", "user", 2, 5, 20)
    Traceback (most recent call last):
    ...
    ansible_collections...Refused: prune: 2 of 5 users are not declared, which is more than the prune_limit of 20 percent; nothing was ...
    """
    if surplus * 100 > limit * there:
        raise Refused(
            f"prune: {surplus} of {there} {label}s are not declared, which is more than the prune_limit of {limit} percent; "
            f"nothing was changed; declare those to keep under {section}, or raise prune_limit"
        )


@dataclass(frozen=True)
class Planned:
    """One resource of a plan, for display; ``hidden`` are keys of its state that are of no interest to users."""

    section: str
    identity: Identity
    plan: Plan
    hidden: frozenset[str] = frozenset()


def render(items: Iterable[Planned]) -> str:
    """Return the plan as text: one block per section, ``+`` for created, ``~`` changed and ``-`` deleted resources, and the totals.

    >>> from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import make_plan
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
        # A created resource starts empty, and its name is already on its line.
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


def left_out(kinds: Iterable[Kind], sections: Mapping[str, Sequence[Entry]], dropped: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Return what an export of ``sections`` does not contain, with what to supply: options that cannot be read back, and ``dropped`` entries."""
    options, entries = [], []
    for kind in kinds:
        if kind.unreadable:
            option, remedy = kind.unreadable
            names = [kind.rules.identity(entry)[0] for entry in sections.get(kind.section, [])]
            options.append({"list": kind.section, "option": option, "names": names, "remedy": remedy})
        if kind.undeclared:
            entries.append({"list": kind.section, "option": "", "names": list(dropped.get(kind.section, [])), "remedy": kind.undeclared})
    return [entry for entry in options + entries if entry["names"]]


def head(left: Sequence[Mapping[str, Any]]) -> str:
    r"""Return the result of ``left_out`` as the comment at the top of an export; empty if nothing is left out.

    >>> print(head([{"list": "users", "option": "password", "names": ["ann", "b\nc"], "remedy": "add one"}]), end="")
    # Not contained in this export, besides runs, traces and artifacts:
    # - users, password: add one ('ann', 'b\nc')
    """
    lines = [f"# - {entry['list']}{', ' if entry['option'] else ''}{entry['option']}: {entry['remedy']} ({_names(entry['names'])})" for entry in left]
    return "\n".join(["# Not contained in this export, besides runs, traces and artifacts:", *lines, ""]) if lines else ""


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(ascii(name) if not name.isprintable() else repr(name) for name in names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"
