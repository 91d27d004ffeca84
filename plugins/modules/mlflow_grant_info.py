#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what single users may do on an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_grant_info
short_description: Read what single users may do on an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Gives the grants to single users in the workspace that O(workspace) names, else in V(default), and not what roles permit.
  - The server must run with basic authentication, C(mlflow server --app-name basic-auth).
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  username:
    description: Whose grants to give. To give those of all users, the server must run MLflow 3.16 or later.
    type: str
  resource_type:
    description: What the grants to give are for, such as V(experiment).
    type: str
  resource:
    description: The name of the resource whose grants to give, or V(*) for grants that are for all.
    type: str
seealso:
  - module: mlops.mlflow.mlflow_grant
"""

EXAMPLES = r"""
- name: Read who may do what with an experiment
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
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.grant import GRANT


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=_tracking.argument_spec(
            username={"type": "str"},
            resource_type={"type": "str"},
            resource={"type": "str"},
        ),
        supports_check_mode=True,
    )
    with _module.errors_as_failures(module):
        _module.inform(module, GRANT, _tracking.client(module.params))


if __name__ == "__main__":
    main()
