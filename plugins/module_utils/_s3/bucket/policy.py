# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Compare bucket policies by meaning, and detect public ones. No I/O.

The grammar: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

#: Condition keys whose fixed values keep a statement for everyone from being public.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html, 'The meaning of "public"'.
_NARROWING_KEYS = frozenset(
    key.lower()
    for key in (
        "aws:PrincipalAccount",
        "aws:PrincipalArn",
        "aws:PrincipalOrgID",
        "aws:SourceAccount",
        "aws:SourceArn",
        "aws:SourceIp",
        "aws:SourceOwner",
        "aws:SourceVpc",
        "aws:SourceVpce",
        "aws:userid",
        "s3:DataAccessPointAccount",
        "s3:DataAccessPointArn",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
    )
)
#: Operators that admit the named values, as opposed to those that exclude them.
_NARROWING_OPERATORS = frozenset({"stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike", "ipaddress"})
#: Networks wider than this count as everyone (same page): fewer bits of prefix than 8 in IPv4, 32 in IPv6.
_WIDEST_V4, _WIDEST_V6 = 8, 32


def canonical_policy(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``policy`` in a canonical form, equal for equivalent policies. An empty policy stays empty.

    The order of statements and of lists does not matter, a single value need not be in a list, ``{"AWS": "*"}`` is
    ``"*"``, and an account ID means its root user.

    >>> canonical_policy({"Statement": {"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["s3:b", "s3:a"], "Resource": ["r"]}})
    {'Statement': [{'Action': ['s3:a', 's3:b'], 'Effect': 'Allow', 'Principal': '*', 'Resource': 'r'}]}
    """
    result = {key: policy[key] for key in sorted(policy) if key != "Statement"}
    if "Statement" in policy:
        result["Statement"] = sorted((_statement(entry) for entry in statements(policy)), key=lambda entry: json.dumps(entry, sort_keys=True))
    return result


def statements(policy: Mapping[str, Any]) -> list[Any]:
    """Return the statements of ``policy``, which may have a single one without a list."""
    given = policy.get("Statement", [])
    return list(given) if isinstance(given, list) else [given]


def public_statements(policy: Mapping[str, Any]) -> list[str]:
    """Return the statements that grant access to everyone, by Sid, or by number if they have none.

    A statement is public if it allows everyone, or everyone except those named, and has no condition that restricts it to
    fixed values of one of the keys that AWS lists.

    >>> public_statements({"Statement": [{"Sid": "Read", "Effect": "Allow", "Principal": {"AWS": ["*", "arn:x"]}, "Action": "s3:GetObject"}]})
    ['Read']
    >>> narrow = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    >>> public_statements({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Condition": narrow}})
    []
    >>> public_statements({"Statement": {"Effect": "Allow", "NotPrincipal": {"AWS": "arn:x"}, "Action": "s3:*"}})
    ['number 1']
    """
    return [
        str(entry.get("Sid") or f"number {number}")
        for number, entry in enumerate(statements(policy), start=1)
        if entry.get("Effect") == "Allow" and _for_everyone(entry) and not _is_narrowed(entry.get("Condition") or {})
    ]


def _for_everyone(statement: Mapping[str, Any]) -> bool:
    if "NotPrincipal" in statement:
        return True
    principal = statement.get("Principal")
    given = list(principal.values()) if isinstance(principal, dict) else [principal]
    return any(value == "*" for values in given for value in (values if isinstance(values, list) else [values]))


def _is_narrowed(condition: Mapping[str, Any]) -> bool:
    """Whether any operator restricts access, since all of them must match.

    >>> _is_narrowed({"Bool": {"aws:SecureTransport": "true"}}), _is_narrowed({"StringEqualsIfExists": {"aws:SourceVpc": "vpc-1"}})
    (False, False)
    >>> _is_narrowed({"StringLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/x"}}), _is_narrowed({"StringEquals": {"aws:SourceVpc": ["vpc-1"]}})
    (False, True)
    """
    for operator, tests in condition.items():
        # ForAnyValue asks for a value; ForAllValues also holds where the request has none.
        if operator.lower().replace("foranyvalue:", "") not in _NARROWING_OPERATORS or not isinstance(tests, dict):
            continue
        for key, values in tests.items():
            if key.lower() in _NARROWING_KEYS and all(_is_fixed(key.lower(), str(value)) for value in _as_list(values)):
                return True
    return False


def _is_fixed(key: str, value: str) -> bool:
    """Whether ``value`` names one thing, or a network that is not most of the internet.

    >>> _is_fixed("aws:sourceip", "0.0.0.0/0"), _is_fixed("aws:sourceip", "192.0.2.7"), _is_fixed("aws:sourceip", "2001:db8::/32")
    (False, True, True)
    """
    if key != "aws:sourceip":
        return not re.search(r"[*?]|\$\{", value)
    _address, slash, bits = value.partition("/")
    return not slash or (bits.isdigit() and int(bits) >= (_WIDEST_V6 if ":" in value else _WIDEST_V4))


def _statement(statement: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key in sorted(statement):
        value = statement[key]
        if key in ("Principal", "NotPrincipal"):
            result[key] = _principal(value)
        elif key == "Condition":
            if value:
                result[key] = {
                    operator: {name: _values(value[operator][name]) for name in sorted(value[operator])} for operator in sorted(value)
                }
        elif key != "Sid" or value:
            result[key] = _values(value)
    return result


def _principal(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    result = {kind: _values([_account(entry) for entry in _as_list(value[kind])]) for kind in sorted(value)}
    return "*" if result == {"AWS": "*"} else result


def _account(entry: Any) -> str:
    text = _text(entry)
    return f"arn:aws:iam::{text}:root" if re.fullmatch(r"\d{12}", text) else text


def _values(value: Any) -> Any:
    texts = sorted({_text(entry) for entry in _as_list(value)})
    return texts[0] if len(texts) == 1 else texts


def _as_list(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
