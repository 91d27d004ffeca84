# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decisions of the roles, which are Python (module_utils/_deployment), for their tasks."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from ansible.errors import AnsibleFilterError

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

DEPLOYMENT = "ansible_collections.mlops.mlflow.plugins.module_utils._deployment"
#: The modules there with each role's decisions. A task is a process of its own, which reads what it needs anew: all of them
#: take five times as long as one role's.
MODULES: Mapping[str, Sequence[str]] = {
    "artifact_store": ("artifact_store_decisions",),
    "credentials": ("credentials",),
    "k3s": ("k3s_decisions",),
    "keycloak": ("keycloak_decisions",),
    "embedded": ("embedded_status", "embedded_diagnosis"),
    "kubernetes": ("kubernetes", "cluster_diagnosis"),
    "mlflow_backup": ("backup", "backup_kubernetes", "backup_kubernetes_restore"),
    "mlflow_clients": ("clients.decisions",),
    "mlflow_image": ("image",),
    "mlflow_maintenance": ("maintenance", "maintenance_kubernetes"),
    "mlflow_rotation": ("rotation", "rotation_kubernetes"),
    "mlflow_server": ("server_decisions",),
    "mlflow_verify": ("verification",),
    "nfs": ("nfs_export",),
    "postgresql": ("postgresql", "cloudnative_pg"),
    "sso": ("sso_decisions",),
}


def decisions(role: str) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
    """Return a role's decisions by name; of a role that has none, an empty dictionary."""
    found: dict[str, Callable[[Mapping[str, Any]], Any]] = {}
    for name in MODULES.get(role, ()):
        found.update(import_module(f"{DEPLOYMENT}.{name}").DECISIONS)
    return found


def decide(given: Mapping[str, Any], decision: str) -> Any:
    """Return the decision. Raises AnsibleFilterError for one that does not exist."""
    role, _dot, name = decision.partition(".")
    of_role = decisions(role)
    if name not in of_role:
        known = [f"{each}.{found}" for each in MODULES for found in decisions(each)]
        raise AnsibleFilterError(f"{decision}: there is no such decision; use one of {', '.join(known)}")
    return of_role[name](Plain(given))


class FilterModule:
    """What Ansible asks for the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter."""
        return {"decide": decide}
