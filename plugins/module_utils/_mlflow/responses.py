# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What a response, or its absence, says to a person."""
from __future__ import annotations

import json
import re
import socket


def error_of(payload: bytes) -> tuple[str | None, str | None]:
    """Return MLflow's error code and message; None for each if the body is something else."""
    try:
        answer = json.loads(payload)
    except ValueError:
        return None, None
    if not isinstance(answer, dict) or "error_code" not in answer:
        return None, None
    message = str(answer.get("message", ""))
    # After its first line, a database error quotes values, including password hashes.
    return str(answer["error_code"]), message.partition("\n")[0] if "\n[SQL:" in message else message


def excerpt(payload: bytes) -> str:
    """Return the first words of a response, without markup."""
    text = re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", payload.decode("utf-8", "replace"), flags=re.S | re.I)
    words = " ".join(text.split())
    return repr(words[:200] + ("…" if len(words) > 200 else "")) if words else "an empty body"


def reason(error: BaseException | None) -> str:
    """Return why there was no response."""
    if isinstance(error, socket.gaierror):
        return "the host name does not resolve"
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "timed out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
