#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the workspaces of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_workspace_info
short_description: Read the workspaces of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Gives one workspace, or all that the user may see.
  - Needs MLflow 3.10 or later, started with C(--enable-workspaces). M(mlops.mlflow.mlflow_server_info) tells whether it is.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The one workspace to give. Where it does not exist, the list is empty.
    type: str
seealso:
  - module: mlops.mlflow.mlflow_workspace
  - module: mlops.mlflow.mlflow_server_info
"""

EXAMPLES = r"""
- name: Read all workspaces
  mlops.mlflow.mlflow_workspace_info:
    tracking_uri: http://127.0.0.1:5000
  register: found
"""

RETURN = r"""
workspaces:
  description: The workspaces.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The workspace's name.
      type: str
      sample: risk-team
    description:
      description: The description, empty if there is none.
      type: str
      sample: Credit and fraud models.
    default_artifact_root:
      description: Where the artifacts of new experiments go, empty where the server chooses.
      type: str
      sample: s3://akko-warehouse/mlflow/risk-team
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.workspace import WORKSPACE


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_tracking.argument_spec(name={"type": "str"}), supports_check_mode=True)
    with _module.errors_as_failures(module):
        _module.inform(module, WORKSPACE, _tracking.client(module.params))


if __name__ == "__main__":
    main()
