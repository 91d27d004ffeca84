"""Labels as parts of a metric's name, since MLflow's metrics have none. No I/O."""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

#: What stands in a value's place where there are too many.
OTHER: Final = "other"
_NOT_ALLOWED: Final = re.compile(r"[^\w.\-]")


def labelled(key: str, labels: Mapping[str, object]) -> str:
    """The name of a metric with labels, in the order of their names; what MLflow takes in no name becomes ``_``.

    >>> labelled("latency", {"version": 7, "tenant": "acme corp/eu"})
    'latency/tenant:acme_corp_eu/version:7'
    """
    return "/".join([key, *(f"{_clean(name)}:{_clean(labels[name])}" for name in sorted(labels))])


def _clean(word: object) -> str:
    return _NOT_ALLOWED.sub("_", str(word)) or "_"


def unlabelled(key: str) -> str:
    """The name without its labels.

    >>> unlabelled("a/b/tenant:acme/version:7"), unlabelled("a/b")
    ('a/b', 'a/b')
    """
    parts = key.split("/")
    while len(parts) > 1 and ":" in parts[-1]:
        parts.pop()
    return "/".join(parts)


class Labels:
    """The names that labels have made, of each metric ``limit`` at most; values beyond them go to the name whose labels are all `OTHER`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._names: dict[str, set[str]] = {}

    def name(self, key: str, labels: Mapping[str, object], longest: int) -> tuple[str, bool]:
        """The name for a value, and whether there was a place for its own.

        >>> names = Labels(1)
        >>> names.name("latency", {"tenant": "a"}, 250), names.name("latency", {"tenant": "b"}, 250)
        (('latency/tenant:a', True), ('latency/tenant:other', False))
        """
        names = self._names.setdefault(key, set())
        name = labelled(key, labels)
        if name in names:
            return name, True
        if len(names) >= self._limit or len(name) > longest:
            return labelled(key, dict.fromkeys(labels, OTHER)), False
        names.add(name)
        return name, True
