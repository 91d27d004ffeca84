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
  - Returns one workspace, or all that the user may see.
  - Requires MLflow 3.10 or later, started with C(--enable-workspaces). M(mlops.mlflow.mlflow_server_info) reports whether it is.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: Return only this workspace. If it does not exist, the list is empty.
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
      description: Where the artifacts of new experiments are stored, empty if the server chooses.
      type: str
      sample: s3://akko-warehouse/mlflow/risk-team
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import inform
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.workspace.adapter import WORKSPACE


def main() -> None:
    """Run the module."""
    inform(WORKSPACE)


if __name__ == "__main__":
    main()
