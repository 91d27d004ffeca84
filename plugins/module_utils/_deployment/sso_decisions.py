# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What the role sso asks for, by name, each from what the role gives (roles/sso/vars/main.yml). No I/O."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import envoy_gateway, oauth2_proxy, sso, sso_problems
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.sso import Given

DECISIONS: dict[str, Callable[[Given], Any]] = {
    "addresses": sso.addresses,
    "claims": sso.claims,
    "connection": lambda given: sso.connection(sso.of(given)),
    "envoy_gateway": envoy_gateway.decided,
    "foreign_gateway": envoy_gateway.foreign_gateway,
    "forsaken": envoy_gateway.forsaken,
    "gateways": envoy_gateway.gateways,
    "left_behind": sso.left_behind,
    "missing_secret": sso.missing_secret,
    "name": lambda given: sso.of(given).name,
    "oauth2_proxy": oauth2_proxy.decided,
    "problems": lambda given: sso_problems.problems(sso.of(given), given["runtime"]),
    "secret_keys": sso.secret_keys,
}
