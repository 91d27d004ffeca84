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
  - Creates and deletes a role, sets what it permits, and gives it to users.
  - The server must run MLflow 3.16 or later with basic authentication, C(mlflow server --app-name basic-auth), and the user of the connection
    must be an administrator, of the server or of the workspace.
  - The role is one of the workspace that O(workspace) names, else of V(default), which is where roles are on a server without workspaces, too.
  - The roles V(__user_1__) and so on, in which MLflow keeps the grants of single users, are not shown and not touched.
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
      - With V(absent), it is deleted, whoever has it.
    type: str
    choices: [present, absent]
    default: present
  description:
    description: What the role is for, in at most 1024 characters.
    type: str
  permissions:
    description:
      - What the role permits. Permissions that are not given stay, unless O(purge_permissions) is true.
      - What a permission is for must exist, since MLflow would store one for what does not, and whoever makes it later would meet it.
    type: list
    elements: dict
    suboptions:
      resource_type:
        description:
          - What the permission is for. Those from V(run) on can be permitted all at once only, and need MLflow 3.17; V(skill) needs 3.18.
          - V(workspace) is membership, V(USE), or administration, V(MANAGE), of the workspace, for V(*).
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
          - The resource's name, or V(*) for all of the type. MLflow matches no other pattern.
          - A scorer is V(EXPERIMENT/SCORER). For the gateway's secrets, endpoints and model definitions, too, names are given and not ids.
        type: str
        required: true
      permission:
        description:
          - The level. Each of V(READ), V(USE), V(EDIT) and V(MANAGE) includes those before it.
          - V(DENY) takes away what other roles and grants give, and needs MLflow 3.17.
        type: str
        required: true
        choices: [READ, USE, EDIT, MANAGE, DENY]
  purge_permissions:
    description: Whether permissions that O(permissions) does not name are removed.
    type: bool
    default: false
  users:
    description: The users who have the role. Users that are not given keep it, unless O(purge_users) is true.
    type: list
    elements: str
  purge_users:
    description: Whether the role is taken from users that O(users) does not name.
    type: bool
    default: false
seealso:
  - module: mlops.mlflow.mlflow_role_info
  - module: mlops.mlflow.mlflow_grant
  - module: mlops.mlflow.mlflow_user
"""

EXAMPLES = r"""
- name: Declare a role, what exactly it permits, and some who have it
  mlops.mlflow.mlflow_role:
    tracking_uri: http://127.0.0.1:5000
    name: risk-team
    description: Those who rate risks.
    permissions:
      - resource_type: experiment
        resource: banking-risk
        permission: EDIT
      - resource_type: registered_model
        resource: "*"
        permission: READ
    purge_permissions: true
    users: [ann, bob]

- name: Take it from everybody
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
  description: The role as it is now, or as it would be outside check mode. Empty where it does not exist.
  returned: success
  type: dict
  contains:
    name:
      description: The role's name.
      type: str
      sample: risk-team
    role_id:
      description: The number by which MLflow knows the role.
      type: int
      sample: 3
    workspace:
      description: The workspace that the role is in. It is V(default) on a server without workspaces.
      type: str
      sample: default
    description:
      description: The role's description.
      type: str
      sample: Those who rate risks.
    permissions:
      description: The level of each permission, by what it is for, as C(TYPE:RESOURCE).
      type: dict
      sample: {"experiment:banking-risk": EDIT, "registered_model:*": READ}
    users:
      description: The users who have the role, in alphabetical order.
      type: list
      elements: str
      sample: [ann, bob]
    permission_ids:
      description: The number by which MLflow knows each permission.
      type: dict
      sample: {"experiment:banking-risk": 11, "registered_model:*": 12}
    unusable:
      description: The permissions whose resource is deleted. What is gone for good is called by its id, as in C(experiment:#7).
      type: list
      elements: str
      sample: []
actions:
  description: What was done, or would be done outside check mode, a line each.
  returned: success
  type: list
  elements: str
  sample: [update role risk-team permissions.experiment:banking-risk]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.role import ROLE


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_tracking.argument_spec(**ROLE.rules.OPTIONS), supports_check_mode=True)
    with _module.errors_as_failures(module):
        _module.manage(module, ROLE, _tracking.client(module.params))


if __name__ == "__main__":
    main()
