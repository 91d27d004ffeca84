# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""A role's variables as a dataclass, each of its documented type, however it was given: -e passes every value as a text. No I/O."""
from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, TypeVar
from urllib.parse import urlsplit

_T = TypeVar("_T")
#: What Ansible takes for true (https://docs.ansible.com/ansible/latest/collections/ansible/builtin/bool_filter.html).
_TRUE = frozenset({"yes", "on", "1", "true", "y", "t"})


def read(cls: type[_T], variables: Mapping[str, Any], prefix: str) -> _T:
    """Return the dataclass of a role's variables, whose names are those of the fields after ``prefix``. What is null or not there keeps its default.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Example:
    ...     port: int
    ...     public: bool
    ...     size: "int | None" = None
    >>> read(Example, {"example_port": "5000", "example_public": "yes", "example_other": 1, "example_size": None}, "example_")
    Example(port=5000, public=True, size=None)
    """
    given = {field.name: variables.get(prefix + field.name) for field in fields(cls)}  # type: ignore[arg-type]
    types = {field.name: str(getattr(field.type, "__name__", field.type)) for field in fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: _as(types[name], value) for name, value in given.items() if value is not None})


def _as(kind: str, value: Any) -> Any:
    """Return the value as the type of that name; containers and texts as they are."""
    if kind.startswith("int"):
        return int(value)
    if kind.startswith("bool"):
        return is_true(value)
    return value


def is_true(value: Any) -> bool:
    """Return whether Ansible takes the value for true."""
    return str(value).lower() in _TRUE


def plain(value: Any) -> Any:
    """Return a value from Ansible, whose containers render their entries when they are read, as plain dictionaries and lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


class Plain(Mapping[str, Any]):
    """What a role gives for its decisions. Each entry is rendered, and made plain, when it is read: what a decision does not need may be missing."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def __getitem__(self, key: str) -> Any:
        return plain(self._given[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)


def as_json(value: Any, sort_keys: bool = False, indent: int | None = None) -> str:
    """Return the JSON text of a value, as the filter to_json writes it."""
    return json.dumps(value, sort_keys=sort_keys, indent=indent)


def checksum(text: str) -> str:
    """Return the SHA-256 of a text, as the filter hash does.

    >>> checksum("a")[:8]
    'ca978112'
    """
    return hashlib.sha256(text.encode()).hexdigest()


def memory_bytes(quantity: Any) -> int:
    """Return a quantity of Kubernetes in bytes. K, M and G are taken for Ki, Mi and Gi, as PostgreSQL does.

    >>> memory_bytes("1.5Ki"), memory_bytes(1000)
    (1536, 1000)
    """
    found = re.fullmatch(r"([0-9.]+)([kKMGT]?)i?", str(quantity).strip())
    if found is None:
        raise ValueError(f"{quantity}: it is not a quantity of memory; write it as 512Mi or 2Gi")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))


def mebibytes(quantity: Any) -> int:
    """Return a quantity of Kubernetes as whole MiB.

    >>> [mebibytes(each) for each in ("1Gi", "1.5Gi", "512Mi", "2G", 1073741824, "1048576Ki")]
    [1024, 1536, 512, 2048, 1024, 1024]
    """
    return memory_bytes(quantity) // 1048576


def url_host(name: str) -> str:
    """Return a host as it stands in a URL: an IPv6 address in brackets.

    >>> url_host("fd00::1"), url_host("mlflow")
    ('[fd00::1]', 'mlflow')
    """
    return f"[{name}]" if ":" in name else name


def host_and_port(url: str) -> tuple[str, int]:
    """Return where a URL of HTTP leads; the host is "" if it names none.

    >>> host_and_port("https://s3.example.com/b"), host_and_port("http://minio"), host_and_port("http://[fd00::1]:9000"), host_and_port("")
    (('s3.example.com', 443), ('minio', 80), ('fd00::1', 9000), ('', 443))
    """
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)


def minute(moment: str) -> str:
    """Return a moment as ASN.1 writes it, YYYYMMDDhhmmssZ, in the form that people read.

    >>> minute("20360102030405Z"), minute("20360102030405Z")[:10]
    ('2036-01-02 03:04', '2036-01-02')
    """
    return re.sub(r"^(....)(..)(..)(..)(..).*$", r"\1-\2-\3 \4:\5", moment)
