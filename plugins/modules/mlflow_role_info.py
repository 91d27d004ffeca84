#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the roles of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_role_info
short_description: Read the roles of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Returns one role, or all of the workspace O(workspace), or else of V(default).
  - The server must run MLflow 3.16 or later with basic authentication, C(mlflow server --app-name basic-auth).
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: Return only this role. If it does not exist, the list is empty.
    type: str
seealso:
  - module: mlops.mlflow.mlflow_role
"""

EXAMPLES = r"""
- name: Read a role
  mlops.mlflow.mlflow_role_info:
    tracking_uri: http://127.0.0.1:5000
    name: risk-team
  register: role
"""

RETURN = r"""
roles:
  description: The roles.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The role's name.
      type: str
      sample: risk-team
    role_id:
      description: MLflow's ID for the role.
      type: int
      sample: 3
    workspace:
      description: The workspace of the role, V(default) on a server without workspaces.
      type: str
      sample: default
    description:
      description: The role's description.
      type: str
      sample: Data scientists of the risk team.
    permissions:
      description: The level of each permission, by C(TYPE:RESOURCE).
      type: dict
      sample: {"experiment:banking-risk": EDIT, "registered_model:*": READ}
    users:
      description: The users who have the role, in alphabetical order.
      type: list
      elements: str
      sample: [ann, bob]
    permission_ids:
      description: MLflow's ID for each permission.
      type: dict
      sample: {"experiment:banking-risk": 11, "registered_model:*": 12}
    unusable:
      description: The permissions whose resource is deleted. A permanently deleted resource appears as its ID, as in C(experiment:#7).
      type: list
      elements: str
      sample: []
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import inform
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.role.adapter import ROLE


def main() -> None:
    """Run the module."""
    inform(ROLE)


if __name__ == "__main__":
    main()
