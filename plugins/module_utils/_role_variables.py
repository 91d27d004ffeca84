# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What is wrong with the variables of an inventory, according to the argument specs of this collection's roles. No I/O."""
from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: What roles publish for later roles and for playbooks, and what no argument spec has.
PUBLISHED = frozenset(
    "artifact_store_claims mlflow_clients_claims mlflow_clients_report mlflow_server_claims postgresql_claims sso_claims "
    "keycloak_claims keycloak_connection credentials_found credentials_values "
    "embedded_place embedded_runtime embedded_secrets kubernetes_applied kubernetes_certificates kubernetes_egress kubernetes_found_secrets "
    "kubernetes_given_keys kubernetes_runtime kubernetes_secrets kubernetes_server_pod kubernetes_workloads mlflow_image_reference "
    "mlflow_server_endpoint postgresql_connection artifact_store_connection sso_connection "
    "python_env_interpreter python_env_mark python_env_ready python_env_works".split()
)
#: Roles whose names others use for variables too: only what is nearly one of ours is an error.
_COMMON = frozenset({"credentials", "embedded", "k3s", "keycloak", "kubernetes", "nfs", "postgresql"})
#: How similar two names are that may be the same one misspelt, from 0 to 1; and the least for a suggestion.
_NEAR, _RESEMBLES = 0.88, 0.6
_BOOLEANS = frozenset({"yes", "on", "1", "true", "t", "y", "no", "off", "0", "false", "f", "n"})
#: What Ansible's types are called in messages, and how to write one.
_FORMS = {"list": ("a list", "[a, b]"), "dict": ("a dictionary", "{key: value}"), "str": ("a text", '"text"'), "path": ("a text", '"text"')}


@dataclass(frozen=True)
class Unknown:
    """A value that is not known yet, since it is a template that cannot be rendered now."""


UNKNOWN = Unknown()


def options(entries: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the options of a role, from the argument specs of its entry points. Those of entry point ``main`` take precedence.

    >>> spec = {"main": {"options": {"k3s_token": {"type": "str"}}}, "bundle": {"options": {"bundle_folder": {"type": "path"}}}}
    >>> sorted(options(spec))
    ['bundle_folder', 'k3s_token']
    """
    found: dict[str, Mapping[str, Any]] = {}
    for name in sorted(entries, key=lambda entry: entry == "main"):
        found.update(entries[name].get("options") or {})
    return found


def is_of_interest(name: str, roles: Iterable[str]) -> bool:
    """Whether a variable may be meant for one of ``roles``. Internal variables of roles are not, nor are facts that they publish.

    >>> roles = ["mlflow_server", "k3s"]
    >>> [name for name in ("mlflow_servr_host", "k3s_token", "__k3s_host", "ansible_user", "my_k3s_token") if is_of_interest(name, roles)]
    ['mlflow_servr_host', 'k3s_token']
    """
    return name not in PUBLISHED and name.startswith(tuple(f"{role.split('_', 1)[0]}_" for role in roles))


def is_checked(option: Mapping[str, Any] | None, raw: Any) -> bool:
    """Whether the value of a variable matters. A text may be anything, so it is not rendered: it may be a password from somewhere.

    >>> is_checked({"type": "int"}, "{{ x }}"), is_checked({"type": "str"}, "{{ x }}"), is_checked({"type": "str"}, [1])
    (True, False, True)
    """
    return option is not None and not (isinstance(raw, str) and option.get("type", "str") in ("str", "path") and "choices" not in option)


def problems(values: Mapping[str, Any], roles: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return one sentence for each variable that no role has, and for each wrong value. ``roles`` has the options by role.

    >>> roles = {"mlflow_server": {"mlflow_server_replicas": {"type": "int"}}, "postgresql": {"postgresql_host": {"type": "str"}}}
    >>> for problem in problems({"mlflow_server_replica": 5, "mlflow_server_replicas": "two"}, roles):
    ...     print(problem)
    mlflow_server_replica: role mlflow_server has no such variable; rename it to mlflow_server_replicas, or remove it
    mlflow_server_replicas: 'two' is not a whole number; set one
    >>> problems({"postgresql_hosts": ["a"], "postgresql_extensions": "x", "mlflow_port": 1}, roles)  # somebody else's
    []
    """
    known = {name: option for options_of_role in roles.values() for name, option in options_of_role.items()}
    found: list[str] = []
    for name, value in sorted(values.items()):
        if name in known:
            found += _wrong(name, value, known[name])
        elif is_of_interest(name, roles):
            found += _stray(name, value, roles, known)
    return found


def _stray(name: str, value: Any, roles: Mapping[str, Mapping[str, Any]], known: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The message for a variable that no role has; none if it may be somebody else's."""
    role = max((role for role in roles if role not in _COMMON and name.startswith(f"{role}_")), key=len, default="")
    if role:
        near = difflib.get_close_matches(name, roles[role], 1, _RESEMBLES) or difflib.get_close_matches(name, known, 1, _NEAR)
        remedy = f"rename it to {near[0]}, or remove it" if near else f"remove it, or see ansible-doc -t role mlops.mlflow.{role}"
        yield f"{name}: role {role} has no such variable; {remedy}"
        return
    first = name.split("_", 1)[0]
    near = difflib.get_close_matches(name, [each for each in known if each.startswith(f"{first}_")], 1, _NEAR)
    if near and not list(_wrong(name, value, known[near[0]])):
        yield f"{name}: no role has such a variable; rename it to {near[0]}, or, if it is for something else, add --skip-tags check_variables"


def _wrong(name: str, value: Any, option: Mapping[str, Any]) -> Iterator[str]:
    """The messages for a value that an option does not take."""
    if isinstance(value, Unknown):
        return
    if value is None:
        if option.get("default") is not None:
            yield f"{name}: it has no value; set one, or remove it"
        return
    kind = option.get("type", "str")
    if kind in _CHECKS:
        yield from _CHECKS[kind](name, value, option)
    if "choices" in option and not isinstance(value, (dict, list)) and str(value) not in map(str, option["choices"]):
        near = difflib.get_close_matches(str(value), [str(choice) for choice in option["choices"]], 1, _RESEMBLES)
        yield f"{name}: {str(value)!r} is not one of {', '.join(map(str, option['choices']))}; set {near[0] if near else 'one of them'}"


def _number(name: str, value: Any, option: Mapping[str, Any]) -> Iterator[str]:
    """The message for what is not a whole number.

    >>> [list(_number("n", value, {"default": 3})) for value in (5, "5", 5.0, True, "5Gi", [5])][3:]
    [['n: True is not a whole number; set one, such as 3'], ["n: '5Gi' is not a whole number; set one, such as 3"], ['n: it is a list, not a \
whole number; set one, such as 3']]
    """
    such = f", such as {option['default']}" if "default" in option else ""
    if isinstance(value, (dict, list)):
        yield f"{name}: it is {_form(value)}, not a whole number; set one{such}"
    elif isinstance(value, bool) or not str(value).strip().removeprefix("-").removesuffix(".0").isdecimal():
        yield f"{name}: {_plain(value)!r} is not a whole number; set one{such}"


def _boolean(name: str, value: Any, _option: Mapping[str, Any]) -> Iterator[str]:
    """The message for what is neither true nor false.

    >>> [list(_boolean("n", value, {})) for value in (True, "yes", 0, "maybe", {})][3:]
    [["n: 'maybe' is neither true nor false; set one of them"], ['n: it is a dictionary, not true or false; set one of them']]
    """
    if isinstance(value, (dict, list)):
        yield f"{name}: it is {_form(value)}, not true or false; set one of them"
    elif str(value).lower() not in _BOOLEANS:
        yield f"{name}: {_plain(value)!r} is neither true nor false; set one of them"


def _text(name: str, value: Any, _option: Mapping[str, Any]) -> Iterator[str]:
    """The message for what is not a text. A number is one.

    >>> [list(_text("n", value, {})) for value in ("a", 1.5, False, ["a"])][2:]
    [['n: it is true or false, not a text; put it in quotes'], ['n: it is a list, not a text; set a text']]
    """
    if isinstance(value, (dict, list, bool)):
        yield f"{name}: it is {_form(value)}, not a text; {'put it in quotes' if isinstance(value, bool) else 'set a text'}"


def _list(name: str, value: Any, option: Mapping[str, Any]) -> Iterator[str]:
    """The messages for what is not a list, and for wrong entries.

    >>> list(_list("n", "a", {}))
    ['n: it is a text, not a list; write it as [a, b]']
    >>> list(_list("n", ["a", 1, ["b"]], {"elements": "str"}))
    ['n[2]: it is a list, not a text; set a text']
    """
    if not isinstance(value, list):
        yield _other(name, value, "list")
        return
    entry = {"type": option.get("elements", "raw"), "options": option.get("options") or {}}
    for index, each in enumerate(value):
        yield from _wrong(f"{name}[{index}]", each, entry)


def _dict(name: str, value: Any, option: Mapping[str, Any]) -> Iterator[str]:
    """The messages for what is not a dictionary, and, where its keys are known, for wrong and missing ones.

    >>> keys = {"options": {"name": {"required": True}, "port": {"type": "int"}}}
    >>> for problem in _dict("n", {"nam": "x", "port": "y"}, keys):
    ...     print(problem)
    n: it has no name; set it
    n.nam: there is no such key; rename it to name, or remove it
    n.port: 'y' is not a whole number; set one
    """
    if not isinstance(value, dict):
        yield _other(name, value, "dict")
        return
    keys = option.get("options") or {}
    yield from (f"{name}: it has no {key}; set it" for key, inner in keys.items() if inner.get("required") and value.get(key) is None)
    for key, inner in value.items() if keys else ():
        if key in keys:
            yield from _wrong(f"{name}.{key}", inner, keys[key])
        else:
            near = difflib.get_close_matches(str(key), keys, 1, _RESEMBLES)
            remedy = f"rename it to {near[0]}, or remove it" if near else f"use {', '.join(keys)}"
            yield f"{name}.{_key(key)}: there is no such key; {remedy}"


_CHECKS: dict[str, Callable[[str, Any, Mapping[str, Any]], Iterator[str]]] = {
    "int": _number, "bool": _boolean, "str": _text, "path": _text, "list": _list, "dict": _dict,
}  # fmt: skip


def _key(key: Any) -> str:
    r"""A key as it is written in a path, on one line.

    >>> [_key(key) for key in ("port", 1, "\n", "")]
    ['port', '1', "'\\n'", "''"]
    """
    text = str(key)
    return text if text and text.isprintable() else repr(text)


def _plain(value: Any) -> Any:
    """The value without what Ansible adds to it, at most its beginning."""
    return (str(value) if len(value) <= 40 else f"{value[:40]}…") if isinstance(value, str) else value


def _other(name: str, value: Any, kind: str) -> str:
    return f"{name}: it is {_form(value)}, not {_FORMS[kind][0]}; write it as {_FORMS[kind][1]}"


def _form(value: Any) -> str:
    """What a value is.

    >>> [_form(value) for value in ([], {}, True, 1.5, "x")]
    ['a list', 'a dictionary', 'true or false', 'a number', 'a text']
    """
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return _FORMS.get("list" if isinstance(value, list) else "dict" if isinstance(value, dict) else "str", ("", ""))[0]
