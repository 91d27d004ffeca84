# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What the role sso asks for, by name, each from what the role gives (roles/sso/vars/main.yml). No I/O."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import envoy_gateway, oauth2_proxy, oidc_plugin, sso, sso_problems
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.sso import OIDC_PLUGIN, Given
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object


def _connection(given: Given) -> Object:
    """What is published."""
    made = sso.of(given)
    return oidc_plugin.connection(given) if made.provider == OIDC_PLUGIN else sso.connection(made)


DECISIONS: dict[str, Callable[[Given], Any]] = {
    "addresses": sso.addresses,
    "claims": sso.claims,
    "connection": _connection,
    "envoy_gateway": envoy_gateway.decided,
    "foreign_gateway": envoy_gateway.foreign_gateway,
    "forsaken": envoy_gateway.forsaken,
    "forsaken_by_plugin": oidc_plugin.forsaken,
    "gateways": envoy_gateway.gateways,
    "left_behind": sso.left_behind,
    "missing_secret": sso.missing_secret,
    "name": lambda given: sso.of(given).name,
    "oauth2_proxy": oauth2_proxy.decided,
    "oidc_plugin": oidc_plugin.decided,
    "problems": lambda given: sso_problems.problems(sso.of(given), given["runtime"]),
    "secret_keys": sso.secret_keys,
}
