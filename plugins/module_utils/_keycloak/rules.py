# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What differs between a representation of Keycloak's and what is wanted of it. No I/O."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

State = dict[str, Any]


def differences(wanted: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Return the keys of ``wanted`` whose values Keycloak does not have. What is not named there is Keycloak's own business.

    >>> differences({"a": 1, "b": ["x", "y"], "c": {"d": "1"}, "e": []}, {"a": 2, "b": ["y", "x"], "c": {"d": "1", "z": "2"}})
    ['a']
    """
    return [key for key, value in wanted.items() if not _has(value, current.get(key))]


def _has(wanted: Any, current: Any) -> bool:
    if isinstance(wanted, Mapping):
        found = current if isinstance(current, Mapping) else {}
        return all(_has(value, found.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return _have(wanted, current or [])
    # Keycloak keeps attributes as texts, and leaves out what is empty.
    return _text(wanted) == _text(current)


def _have(wanted: list[Any], current: list[Any]) -> bool:
    """Lists have no order in Keycloak. Entries with a name are as they are wanted, and others with another name are not."""
    if all(isinstance(each, Mapping) and "name" in each for each in wanted) and wanted:
        by_name = {each.get("name"): each for each in current}
        return by_name.keys() == {each["name"] for each in wanted} and all(_has(each, by_name[each["name"]]) for each in wanted)
    return sorted(map(_text, wanted)) == sorted(map(_text, current))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def merged(wanted: Mapping[str, Any], current: Mapping[str, Any]) -> State:
    """Return what is written: what is wanted, with what Keycloak has besides. Named entries keep their IDs.

    >>> merged({"a": {"b": 1}, "m": [{"name": "x", "c": 1}]}, {"a": {"z": 2}, "m": [{"name": "x", "id": "7", "c": 0}], "e": 3})
    {'a': {'z': 2, 'b': 1}, 'm': [{'name': 'x', 'id': '7', 'c': 1}], 'e': 3}
    """
    return {**{key: wanted.get(key, value) for key, value in current.items()}, **{key: _joined(wanted[key], current.get(key)) for key in wanted}}


def _joined(wanted: Any, current: Any) -> Any:
    if isinstance(wanted, Mapping) and isinstance(current, Mapping):
        return merged(wanted, current)
    if isinstance(wanted, list) and wanted and all(isinstance(each, Mapping) for each in wanted):
        by_name = {each.get("name"): each for each in current or []}
        return [_joined(each, by_name.get(each.get("name"), {})) for each in wanted]
    return wanted


def memberships(wanted: Iterable[str], current: Iterable[str], managed: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return which groups somebody is to join and to leave. Groups that nobody has declared are left alone.

    >>> memberships(["a", "b"], ["b", "c", "d"], ["a", "b", "c"])
    (['a'], ['c'])
    """
    there = list(current)
    return [name for name in wanted if name not in there], [name for name in there if name in managed and name not in wanted]
