# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Compare a password with the verifier that PostgreSQL stores. No I/O."""
from __future__ import annotations

import base64
import hashlib
import hmac
import re
import stringprep
import unicodedata

_SCRAM = re.compile(r"SCRAM-SHA-256\$(?P<iterations>[1-9]\d*):(?P<salt>[\w+/]+=*)\$(?P<stored>[\w+/]+=*):[\w+/]+=*", re.ASCII)
_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


def password_matches(role: str, password: str, verifier: str) -> bool:
    """Whether ``verifier``, from pg_authid.rolpassword, was derived from ``password``.

    The forms are ``SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`` and ``md5`` with the digest of password and role
    (docs/current/catalog-pg-authid.html); StoredKey is that of RFC 5802, section 3.

    >>> keys = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    >>> rfc7677 = f"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==${keys}"
    >>> password_matches("user", "pencil", rfc7677), password_matches("user", "pen", rfc7677)
    (True, False)
    >>> password_matches("mlflow", "secret", "md5" + hashlib.md5(b"secretmlflow").hexdigest())
    True
    """
    if verifier.startswith("md5"):
        digest = hashlib.md5((password + role).encode(), usedforsecurity=False).hexdigest()
        return hmac.compare_digest("md5" + digest, verifier)
    parts = _SCRAM.fullmatch(verifier)
    if parts is None:
        return False
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password).encode(), base64.b64decode(parts["salt"]), int(parts["iterations"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), base64.b64decode(parts["stored"]))


def prepared(password: str) -> str:
    r"""``password`` by SASLprep (RFC 4013), or as it is where that does not allow it, which is what PostgreSQL does.

    >>> prepared("I\u00adX"), prepared("\u2168"), prepared("nice\u00a0one")
    ('IX', 'IX', 'nice one')
    >>> prepared("e\u0301") == "\u00e9", prepared("\u0007e\u0301") == "\u0007e\u0301"
    (True, True)
    """
    if password.isascii():
        return password
    mapped = "".join(" " if stringprep.in_table_c12(char) else char for char in password if not stringprep.in_table_b1(char))
    result = unicodedata.normalize("NFKC", mapped)
    if not result or any(table(char) for char in result for table in _PROHIBITED) or not _one_direction(result):
        return password
    return result


def _one_direction(text: str) -> bool:
    """RFC 3454, section 6: right-to-left text holds no left-to-right letter, and starts and ends with its own."""
    if not any(map(stringprep.in_table_d1, text)):
        return True
    return not any(map(stringprep.in_table_d2, text)) and stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
