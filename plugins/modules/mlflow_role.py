#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage a role of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_role
short_description: Manage a role of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Creates and deletes a role, sets its permissions, and assigns it to users.
  - The server must run MLflow 3.16 or later with basic authentication, C(mlflow server --app-name basic-auth), and the connecting user
    must be an administrator of the server or of the workspace.
  - The role belongs to the workspace O(workspace), or else to V(default), which also holds the roles of a server without workspaces.
  - The roles V(__user_1__) and so on, in which MLflow keeps the grants of single users, are neither shown nor changed.
    M(mlops.mlflow.mlflow_grant) manages those grants.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The role's name, of at most 255 characters. Case matters.
    type: str
    required: true
  state:
    description:
      - With V(present), the role exists as described.
      - With V(absent), it does not exist, and users who had it lose it.
    type: str
    choices: [present, absent]
    default: present
  description:
    description: What the role is for, in at most 1024 characters.
    type: str
  permissions:
    description:
      - The permissions of the role. Those that are not listed are kept, unless O(purge_permissions) is true.
      - The resource of a permission must exist. MLflow itself would store a permission for a missing one, and it would apply once someone
        creates that resource.
    type: list
    elements: dict
    suboptions:
      resource_type:
        description:
          - The type of resource. Those from V(run) on can be granted only as a whole, with V(*), and require MLflow 3.17; V(skill) requires 3.18.
          - With V(workspace), O(permissions[].resource) is V(*), V(USE) makes users members of the workspace, and V(MANAGE) administrators.
        type: str
        required: true
        choices:
          - experiment
          - registered_model
          - prompt
          - scorer
          - gateway_secret
          - gateway_endpoint
          - gateway_model_definition
          - mcp_server
          - skill
          - run
          - trace
          - assessment
          - logged_model
          - review_queue
          - registered_model_version
          - prompt_version
          - scorer_version
          - mcp_server_version
          - workspace
      resource:
        description:
          - The name of the resource, or V(*) for all of this type. MLflow supports no other pattern.
          - A scorer is V(EXPERIMENT/SCORER). Secrets, endpoints and model definitions of the gateway are also given by name, not by ID.
        type: str
        required: true
      permission:
        description:
          - The level. Each of V(READ), V(USE), V(EDIT) and V(MANAGE) includes those before it.
          - V(DENY) overrides what other roles and grants allow, and requires MLflow 3.17.
        type: str
        required: true
        choices: [READ, USE, EDIT, MANAGE, DENY]
  purge_permissions:
    description: Whether to remove permissions that O(permissions) does not list.
    type: bool
    default: false
  users:
    description: The users who have the role. Users who are not listed keep it, unless O(purge_users) is true.
    type: list
    elements: str
  purge_users:
    description: Whether to remove the role from users whom O(users) does not list.
    type: bool
    default: false
seealso:
  - module: mlops.mlflow.mlflow_role_info
  - module: mlops.mlflow.mlflow_grant
  - module: mlops.mlflow.mlflow_user
"""

EXAMPLES = r"""
- name: Declare a role, its exact permissions, and some of its users
  mlops.mlflow.mlflow_role:
    tracking_uri: http://127.0.0.1:5000
    name: risk-team
    description: Data scientists of the risk team.
    permissions:
      - resource_type: experiment
        resource: banking-risk
        permission: EDIT
      - resource_type: registered_model
        resource: "*"
        permission: READ
    purge_permissions: true
    users: [ann, bob]

- name: Remove it from all users
  mlops.mlflow.mlflow_role:
    tracking_uri: http://127.0.0.1:5000
    name: risk-team
    users: []
    purge_users: true

- name: Delete it
  mlops.mlflow.mlflow_role:
    tracking_uri: http://127.0.0.1:5000
    name: risk-team
    state: absent
"""

RETURN = r"""
role:
  description: The role as it is now, or, in check mode, as it would be. Empty if it does not exist.
  returned: success
  type: dict
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
actions:
  description: What was done, or in check mode would be done, one line per action.
  returned: success
  type: list
  elements: str
  sample: [update role risk-team permissions.experiment:banking-risk]
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import manage
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.role.adapter import ROLE


def main() -> None:
    """Run the module."""
    manage(ROLE)


if __name__ == "__main__":
    main()
