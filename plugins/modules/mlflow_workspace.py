#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage a workspace of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_workspace
short_description: Manage a workspace of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Creates, changes and deletes a workspace, which separates a team's experiments, models, prompts, webhooks and so on from others.
  - Requires MLflow 3.10 or later, started with C(--enable-workspaces). With basic authentication, only an administrator may
    create and delete workspaces, and MLflow creates the roles C(admin) and C(user) in each new one.
  - Every other module works in the workspace that its option O(workspace) names.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The workspace's name, of 2 to 63 lower-case letters, digits and hyphens.
    type: str
    required: true
  state:
    description:
      - With V(present), the workspace exists as described.
      - With V(absent), it does not exist. O(mode) controls what happens to its contents. The workspace V(default) cannot be deleted.
    type: str
    choices: [present, absent]
    default: present
  description:
    description: The workspace's description. If not given, it is left unchanged; an empty string clears it.
    type: str
  default_artifact_root:
    description:
      - Where the artifacts of new experiments are stored, as a URI such as V(s3://bucket/prefix) or an absolute path.
      - If not given, it is left unchanged; in a new workspace, or with an empty string, the server chooses.
    type: str
  mode:
    description:
      - What to do with the contents of a workspace that is deleted.
      - With V(restrict), the module fails if the workspace is not empty. A deleted experiment counts until C(mlflow gc) removes it. Check mode
        detects experiments, models, prompts and webhooks, but not resources of the AI gateway.
      - With V(set_default), they move to the workspace V(default). The server refuses this if there is something of the same name; check
        mode does not detect that.
      - With V(cascade), they are permanently deleted. This needs O(force).
    type: str
    choices: [restrict, set_default, cascade]
    default: restrict
  force:
    description: Confirms O(mode=cascade).
    type: bool
    default: false
seealso:
  - module: mlops.mlflow.mlflow_workspace_info
"""

EXAMPLES = r"""
- name: Create a workspace for a team
  mlops.mlflow.mlflow_workspace:
    tracking_uri: http://127.0.0.1:5000
    name: risk-team
    description: Credit and fraud models.
    default_artifact_root: s3://akko-warehouse/mlflow/risk-team

- name: Declare an experiment in it
  mlops.mlflow.mlflow_experiment:
    tracking_uri: http://127.0.0.1:5000
    workspace: risk-team
    name: akko-banking-risk-model

- name: Delete it, and move its contents to the default workspace
  mlops.mlflow.mlflow_workspace:
    tracking_uri: http://127.0.0.1:5000
    name: risk-team
    state: absent
    mode: set_default
"""

RETURN = r"""
workspace:
  description: The workspace as it is now, or, in check mode, as it would be. Empty if it does not exist.
  returned: success
  type: dict
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
actions:
  description: What was done, or in check mode would be done, one line per action.
  returned: success
  type: list
  elements: str
  sample: [update workspace risk-team description]
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import manage
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.workspace.adapter import WORKSPACE


def main() -> None:
    """Run the module."""
    manage(WORKSPACE)


if __name__ == "__main__":
    main()
