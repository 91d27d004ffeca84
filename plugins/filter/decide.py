# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decisions of the roles, which are Python (module_utils/_deployment), for their tasks."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import (
    artifact_store_decisions,
    backup,
    backup_kubernetes,
    backup_kubernetes_restore,
    cloudnative_pg,
    cluster_diagnosis,
    credentials,
    embedded_diagnosis,
    embedded_status,
    image,
    k3s_decisions,
    keycloak_decisions,
    kubernetes,
    maintenance,
    maintenance_kubernetes,
    nfs_export,
    postgresql,
    rotation,
    rotation_kubernetes,
    server_decisions,
    sso_decisions,
    verification,
)
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients import decisions as clients
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import Plain

DOCUMENTATION = r"""
name: decide
short_description: A decision of one of this collection's roles
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - For the roles of this collection, whose decisions are typed Python that is tested without a host. It reads nothing and changes nothing.
positional: decision
options:
  _input:
    description: What the role gives for its decisions, in its C(vars/main.yml).
    type: dict
    required: true
  decision:
    description: The role and the decision, such as V(mlflow_server.problems).
    type: str
    required: true
"""

EXAMPLES = r"""
problems: "{{ __mlflow_server_given | mlops.mlflow.decide('mlflow_server.problems') }}"
"""

RETURN = r"""
_value:
  description: The decision.
  type: raw
"""

DECISIONS: Mapping[str, Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {
    "artifact_store": artifact_store_decisions.DECISIONS,
    "credentials": credentials.DECISIONS,
    "k3s": k3s_decisions.DECISIONS,
    "keycloak": keycloak_decisions.DECISIONS,
    "embedded": {**embedded_status.DECISIONS, **embedded_diagnosis.DECISIONS},
    "kubernetes": {**kubernetes.DECISIONS, **cluster_diagnosis.DECISIONS},
    "mlflow_backup": {**backup.DECISIONS, **backup_kubernetes.DECISIONS, **backup_kubernetes_restore.DECISIONS},
    "mlflow_clients": clients.DECISIONS,
    "mlflow_image": image.DECISIONS,
    "mlflow_maintenance": {**maintenance.DECISIONS, **maintenance_kubernetes.DECISIONS},
    "mlflow_rotation": {**rotation.DECISIONS, **rotation_kubernetes.DECISIONS},
    "mlflow_server": server_decisions.DECISIONS,
    "mlflow_verify": verification.DECISIONS,
    "nfs": nfs_export.DECISIONS,
    "postgresql": {**postgresql.DECISIONS, **cloudnative_pg.DECISIONS},
    "sso": sso_decisions.DECISIONS,
}


def decide(given: Mapping[str, Any], decision: str) -> Any:
    """Return the decision. Raises AnsibleFilterError for one that does not exist."""
    role, _dot, name = decision.partition(".")
    if name not in DECISIONS.get(role, {}):
        known = [f"{each}.{found}" for each in DECISIONS for found in DECISIONS[each]]
        raise AnsibleFilterError(f"{decision}: there is no such decision; use one of {', '.join(known)}")
    return DECISIONS[role][name](Plain(given))


class FilterModule:
    """What Ansible asks for the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter."""
        return {"decide": decide}
