#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the permissions of single users on an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_grant_info
short_description: Read the permissions of single users on an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Returns the grants to single users in the workspace O(workspace), or else V(default), without the permissions of roles.
  - The server must run with basic authentication, C(mlflow server --app-name basic-auth).
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  username:
    description: Return only the grants of this user. Returning those of all users requires MLflow 3.16 or later.
    type: str
  resource_type:
    description: Return only grants on this type of resource, such as V(experiment).
    type: str
  resource:
    description: Return only grants on the resource of this name, or V(*) for grants on all resources of a type.
    type: str
seealso:
  - module: mlops.mlflow.mlflow_grant
"""

EXAMPLES = r"""
- name: Read the grants on an experiment
  mlops.mlflow.mlflow_grant_info:
    tracking_uri: http://127.0.0.1:5000
    resource_type: experiment
    resource: banking-risk
  register: found
"""

RETURN = r"""
grants:
  description: The grants.
  returned: success
  type: list
  elements: dict
  contains:
    username:
      description: The user who has the permission.
      type: str
      sample: ann
    resource_type:
      description: The type of resource.
      type: str
      sample: experiment
    resource:
      description: The resource's name, or V(*). A permanently deleted resource appears as its ID, as in V(#7).
      type: str
      sample: banking-risk
    permission:
      description: The level of the permission.
      type: str
      sample: EDIT
    resource_id:
      description: MLflow's ID for the resource.
      type: str
      sample: "7"
    resource_deleted:
      description: Whether the resource is a deleted experiment, or no longer exists.
      type: bool
      sample: false
    role_permission_id:
      description: MLflow's ID for the grant. Null on a server without roles.
      type: int
      sample: 11
    to_admin:
      description: Whether the user is an administrator, for whom a grant has no effect.
      type: bool
      sample: false
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.grant.adapter import GRANT
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import inform


def main() -> None:
    """Run the module."""
    inform(GRANT)


if __name__ == "__main__":
    main()
