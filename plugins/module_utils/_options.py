# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Errors for invalid options, in one form: the option, the value, the remedy."""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

#: NUL, which PostgreSQL cannot store in text, and lone surrogates, which cannot be encoded.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class InvalidOption(ValueError):
    """An option with an unusable value, and the remedy.

    >>> print(InvalidOption("name", "My_Bucket", "has an upper-case letter", "use lower-case letters, digits, dots and hyphens"))
    name: 'My_Bucket' has an upper-case letter; use lower-case letters, digits, dots and hyphens
    """

    def __init__(self, option: str, value: Any, problem: str, remedy: str) -> None:
        super().__init__(f"{option}: {value!r} {problem}; {remedy}")
        self.option = option


#: The remedy for something that is lost and must not be created again.
GONE = (
    "restore it from a backup, or, if an empty one is wanted, set create: true, or, "
    "with this collection's roles, kubernetes_fresh_start: true or embedded_fresh_start: true"
)


class Refused(ValueError):
    """A valid request that is refused because it would destroy what cannot be restored."""


def check(spec: Mapping[str, Mapping[str, Any]], params: Mapping[str, Any]) -> None:
    r"""Raise InvalidOption for a missing required option of ``spec``, and for text that no server can store.

    >>> check({"name": {"required": True}}, {"name": None})
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: name: None is missing; give a value
    >>> check({"tags": {"type": "dict"}}, {"tags": {"note": "a\0b"}})
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: tags: 'note: a\x00b' contains a character that databases cannot store; remove '\x00'
    """
    for name, option in spec.items():
        value = params.get(name)
        if value is None:
            if option.get("required"):
                raise InvalidOption(name, None, "is missing", "give a value")
        elif option.get("options"):
            for entry in value if isinstance(value, list) else [value]:
                check(option["options"], entry)
        else:
            _check_texts(name, value, bool(option.get("no_log")))


def _check_texts(name: str, value: Any, secret: bool, where: str = "") -> None:
    if isinstance(value, str):
        found = None if value.isascii() and "\0" not in value else _UNSTORABLE.search(value)
        if found:
            shown = "…" if secret else f"{where}{value[:40]}"
            raise InvalidOption(name, shown, "contains a character that databases cannot store", f"remove {found.group()!r}")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_texts(name, key, secret)
            _check_texts(name, inner, secret, f"{key}: ")
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _check_texts(name, inner, secret)


def refuse_empty(params: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise InvalidOption if one of the options ``names`` is given but blank.

    >>> refuse_empty({"name": ""}, ["name"])
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: name: '' is empty; give a value, or leave it out
    """
    for name in names:
        if params.get(name) is not None and not str(params[name]).strip():
            raise InvalidOption(name, params[name], "is empty", "give a value, or leave it out")


def shown(spec: Mapping[str, Mapping[str, Any]], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``params`` for display: no values of unknown options, no credentials in URLs, and lists of entries as their length.

    >>> spec = {"name": {}, "password": {"no_log": True}, "users": {"type": "list", "options": {}}}
    >>> shown(spec, {"name": "http://ann:secret@h/", "pasword": "secret", "password": "secret", "users": [{}, {}]})
    {'name': 'http://…@h/', 'pasword': '(not shown)', 'password': '(not shown)', 'users': '2 entries'}
    """
    return {name: _shown(spec.get(name), value) for name, value in params.items()}


def _shown(option: Mapping[str, Any] | None, value: Any) -> Any:
    if value is None:
        return None
    if option is None or option.get("no_log"):
        return "(not shown)"
    if "options" in option:
        return f"{len(value)} entries" if isinstance(value, list) else "(given)"
    return without_credentials(value) if isinstance(value, str) else value


def without_credentials(url: str) -> str:
    """Return ``url`` without its user name and password.

    >>> without_credentials("https://ann:p@ss/word@host/x")
    'https://…@host/x'
    """
    return re.sub(r"//\S*@", "//…@", url)


def encodable(value: Any) -> Any:
    r"""Return ``value``; if it is text, with lone surrogates, which cannot be encoded, as escape sequences.

    >>> encodable("a\udc80é"), encodable(3)
    ('a\\udc80é', 3)
    """
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def check_number(option: str, value: int | float | None, least: float, most: float) -> None:
    """Raise InvalidOption if a number is given that is not between ``least`` and ``most``.

    >>> check_number("timeout", 0, 1, 3600)
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: timeout: 0 is too small; give 1 or more
    """
    if value is not None and value < least:
        raise InvalidOption(option, value, "is too small", f"give {least} or more")
    if value is not None and not value <= most:
        raise InvalidOption(option, value if len(str(value)) < 40 else "…", "is too large", f"give at most {most}")
