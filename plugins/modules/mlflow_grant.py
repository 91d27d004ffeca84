#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage what one user may do on an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_grant
short_description: Manage what one user may do on an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Gives a single user a permission, changes its level, and takes it away. For what several users share, M(mlops.mlflow.mlflow_role) is better.
  - The server must run with basic authentication, C(mlflow server --app-name basic-auth), and the user of the connection must be an administrator.
  - A level is changed in one step, so that the user is never without the permission meanwhile.
  - Whoever creates an experiment, a model or the like gets V(MANAGE) on it from MLflow. Such grants are shown and managed like others. Those of
    administrators have no effect, and are left out of an export and of pruning.
  - On MLflow before 3.16 the per-resource permissions of that time are managed instead. They know single experiments and registered models, and
    the levels V(READ), V(EDIT), V(MANAGE) and V(NO_PERMISSIONS).
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  username:
    description: Who may.
    type: str
    required: true
  resource_type:
    description:
      - What the permission is for. Those from V(run) on can be permitted all at once only, and need MLflow 3.17; V(skill) needs 3.18.
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
      - The resource's name, or V(*) for all of the type. MLflow matches no other pattern.
      - A scorer is V(EXPERIMENT/SCORER). For the gateway's secrets, endpoints and model definitions, too, names are given and not ids.
    type: str
    required: true
  permission:
    description:
      - The level, which O(state=present) needs. Each of V(READ), V(USE), V(EDIT) and V(MANAGE) includes those before it.
      - V(DENY) takes away what other grants and roles give, and needs MLflow 3.17. V(NO_PERMISSIONS) is for servers before 3.16.
    type: str
    choices: [READ, USE, EDIT, MANAGE, DENY, NO_PERMISSIONS]
  state:
    description:
      - With V(present), the user has exactly O(permission), and the resource must exist. MLflow would store a grant for one that does not,
        and whoever makes it later would meet it.
      - With V(absent), the user has no grant of their own. Roles and the server's C(default_permission) may still permit something.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: mlops.mlflow.mlflow_grant_info
  - module: mlops.mlflow.mlflow_role
  - module: mlops.mlflow.mlflow_user
"""

EXAMPLES = r"""
- name: Let a user change an experiment
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

- name: Take a permission away
  mlops.mlflow.mlflow_grant:
    tracking_uri: http://127.0.0.1:5000
    username: ann
    resource_type: experiment
    resource: banking-risk
    state: absent
"""

RETURN = r"""
grant:
  description: The grant as it is now, or as it would be outside check mode. Empty where there is none.
  returned: success
  type: dict
  contains:
    username:
      description: Who may.
      type: str
      sample: ann
    resource_type:
      description: What the grant is for.
      type: str
      sample: experiment
    resource:
      description: The resource's name, or V(*). What is gone for good is called by its id, as in V(#7).
      type: str
      sample: banking-risk
    permission:
      description: The level.
      type: str
      sample: EDIT
    resource_id:
      description: How MLflow knows the resource.
      type: str
      sample: "7"
    resource_deleted:
      description: Whether the grant is for an experiment that is deleted, or for what is gone.
      type: bool
      sample: false
    role_permission_id:
      description: The number by which MLflow knows the grant. Null on a server without roles.
      type: int
      sample: 11
    to_admin:
      description: Whether the user is an administrator, for whom a grant has no effect.
      type: bool
      sample: false
actions:
  description: What was done, or would be done outside check mode, a line each.
  returned: success
  type: list
  elements: str
  sample: [update grant ann experiment banking-risk permission]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.grant import GRANT


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_tracking.argument_spec(**GRANT.rules.OPTIONS), supports_check_mode=True)
    with _module.errors_as_failures(module):
        _module.manage(module, GRANT, _tracking.client(module.params))


if __name__ == "__main__":
    main()
