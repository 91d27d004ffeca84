# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What a bad option value is, in one shape: the option, the value, the remedy."""
from __future__ import annotations

from typing import Any


class InvalidOption(ValueError):
    """An option whose value cannot be used, with the way out.

    >>> print(InvalidOption("name", "My_Bucket", "has an upper-case letter", "use lower-case letters, digits, dots and hyphens"))
    name: 'My_Bucket' has an upper-case letter; use lower-case letters, digits, dots and hyphens
    """

    def __init__(self, option: str, value: Any, problem: str, remedy: str) -> None:
        super().__init__(f"{option}: {value!r} {problem}; {remedy}")
        self.option = option


class Refused(ValueError):
    """A request that is understood and not carried out, because it would destroy what cannot be brought back."""
