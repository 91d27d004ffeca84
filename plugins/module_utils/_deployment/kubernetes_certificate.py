# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Whether a deployment's own certificate stays, and what others are told of it. No I/O."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import checksum, minute
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object

CHECKSUM = "mlops.mlflow/checksum"


@dataclass(frozen=True)
class Certificate:
    """A certificate as it is kept, as it is wanted, and as a run has signed it."""

    #: The names and addresses that it is wanted for.
    hosts: Sequence[str]
    #: The values of its Secret, and the checksum that is noted there.
    held: Mapping[str, str] = field(default_factory=dict)
    noted: str = ""
    #: What community.crypto says of it, and of its authority, {} where there is none.
    info: Mapping[str, Any] = field(default_factory=dict)
    authority: Mapping[str, Any] = field(default_factory=dict)
    #: What this run has signed: authority, certificate, ends.
    signed: Mapping[str, str] = field(default_factory=dict)
    check_mode: bool = False

    @property
    def names(self) -> list[str]:
        """The subject alternative names that it is wanted for.

        >>> Certificate(["db", "10.0.0.1", "db"]).names
        ['DNS:db', 'IP:10.0.0.1']
        """
        return list(dict.fromkeys(f"{'IP' if re.match('[0-9.]+$|.*:', host) else 'DNS'}:{host}" for host in self.hosts))

    @property
    def has_names(self) -> bool:
        """Whether it has exactly those names."""
        return sorted(self.info.get("subject_alt_name") or []) == sorted(self.names)

    @property
    def stays(self) -> bool:
        """Whether it can be read, has the names, and is not to be renewed yet."""
        return bool((self.info.get("valid_at") or {}).get("renewal")) and self.has_names

    @property
    def has_authority(self) -> bool:
        """Whether its authority lasts long enough to sign another one."""
        return bool((self.authority.get("valid_at") or {}).get("renewal"))

    @property
    def ends_with_authority(self) -> bool:
        """Whether a new one would outlive the authority, with which it ends instead."""
        return self.has_authority and not self.authority["valid_at"]["whole"]

    @property
    def is_alike(self) -> bool:
        """Whether the new one is of the same authority and for the same names. Check mode, which signs nothing, assumes that the authority stays."""
        is_same = self.check_mode or (self.has_authority and self.held.get("ca.crt", "") == self.signed.get("authority"))
        return self.has_names and is_same

    @property
    def checksum(self) -> str:
        """What changes if those who read it must restart: a renewed certificate that is alike changes nothing for them, and keeps the checksum."""
        if self.stays or self.is_alike:
            return self.noted or checksum(self.held.get("tls.crt", ""))
        return checksum(self.signed.get("certificate", ""))

    @property
    def published(self) -> Object:
        """What is published of it: nothing secret."""
        is_new = not self.stays and not self.check_mode
        return {
            "ca": self.signed.get("authority", "") if is_new else self.held.get("ca.crt", ""),
            "checksum": self.checksum,
            "digest": checksum(self.signed.get("certificate", "") if is_new else self.held.get("tls.crt", "")),
            "ends": self.signed.get("ends", "") if is_new else minute(self.info.get("not_after") or "")[:10],
            "renewed": not self.stays and self.is_alike,
        }
