# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What the role keycloak asks for, by name, each from what the role gives (roles/keycloak/vars/main.yml). No I/O."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import keycloak, keycloak_objects, keycloak_problems
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.keycloak import Given

DECISIONS: dict[str, Callable[[Given], Any]] = {
    "certificate_hosts": keycloak_objects.certificate_hosts,
    "claims": keycloak.claims,
    "connection": keycloak.connection,
    "database": keycloak.database,
    "left_behind": keycloak.left_behind,
    "objects": keycloak_objects.decided,
    "problems": keycloak_problems.problems,
    "realm": keycloak.realm,
    "secret_keys": keycloak.secret_keys,
}
