#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage the permission of a single user on an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_grant
short_description: Manage the permission of a single user on an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Grants a single user a permission, changes its level, and revokes it. For several users, M(mlops.mlflow.mlflow_role) is a better fit.
  - The server must run with basic authentication, C(mlflow server --app-name basic-auth), and the connecting user must be an administrator.
  - The level is changed in one step, so the user is never without the permission.
  - MLflow grants V(MANAGE) on each resource to its creator. Such grants are shown and managed like others. Those of administrators have no
    effect, and are neither exported nor pruned.
  - Before MLflow 3.16, the older per-resource permissions are managed instead. They support only single experiments and registered models,
    and the levels V(READ), V(EDIT), V(MANAGE) and V(NO_PERMISSIONS).
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  username:
    description: The user who has the permission.
    type: str
    required: true
  resource_type:
    description:
      - The type of resource. Those from V(run) on can be granted only as a whole, with V(*), and require MLflow 3.17; V(skill) requires 3.18.
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
  resource:
    description:
      - The name of the resource, or V(*) for all of this type. MLflow supports no other pattern.
      - A scorer is V(EXPERIMENT/SCORER). Secrets, endpoints and model definitions of the gateway are also given by name, not by ID.
    type: str
    required: true
  permission:
    description:
      - The level. Required for O(state=present). Each of V(READ), V(USE), V(EDIT) and V(MANAGE) includes those before it.
      - V(DENY) overrides what other grants and roles allow, and requires MLflow 3.17. V(NO_PERMISSIONS) is for servers before 3.16.
    type: str
    choices: [READ, USE, EDIT, MANAGE, DENY, NO_PERMISSIONS]
  state:
    description:
      - With V(present), the user has exactly O(permission), and the resource must exist. MLflow itself would store a grant for a missing
        resource, and it would apply once someone creates that resource.
      - With V(absent), the user has no grant of their own. Roles and the server's C(default_permission) may still allow access.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: mlops.mlflow.mlflow_grant_info
  - module: mlops.mlflow.mlflow_role
  - module: mlops.mlflow.mlflow_user
"""

EXAMPLES = r"""
- name: Let a user edit an experiment
  mlops.mlflow.mlflow_grant:
    tracking_uri: http://127.0.0.1:5000
    username: ann
    resource_type: experiment
    resource: banking-risk
    permission: EDIT

- name: Let a user read all registered models
  mlops.mlflow.mlflow_grant:
    tracking_uri: http://127.0.0.1:5000
    username: ann
    resource_type: registered_model
    resource: "*"
    permission: READ

- name: Revoke a permission
  mlops.mlflow.mlflow_grant:
    tracking_uri: http://127.0.0.1:5000
    username: ann
    resource_type: experiment
    resource: banking-risk
    state: absent
"""

RETURN = r"""
grant:
  description: The grant as it is now, or, in check mode, as it would be. Empty if there is none.
  returned: success
  type: dict
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
actions:
  description: What was done, or in check mode would be done, one line per action.
  returned: success
  type: list
  elements: str
  sample: [update grant ann experiment banking-risk permission]
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.grant.adapter import GRANT
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import manage


def main() -> None:
    """Run the module."""
    manage(GRANT)


if __name__ == "__main__":
    main()
