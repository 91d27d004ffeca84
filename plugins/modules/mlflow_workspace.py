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
  - Creates, changes and deletes a workspace, in which a team has experiments, models, prompts, webhooks and the rest to itself.
  - Needs MLflow 3.10 or later, started with C(--enable-workspaces). Where basic authentication is on, only an administrator may
    create and delete workspaces, and MLflow makes the roles C(admin) and C(user) in each new one.
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
      - With V(absent), it does not. What becomes of the things in it, O(mode) says. The workspace V(default) cannot be deleted.
    type: str
    choices: [present, absent]
    default: present
  description:
    description: A text. If left out, the description stays as it is; an empty string clears it.
    type: str
  default_artifact_root:
    description:
      - Where the artifacts of new experiments go, as a URI such as V(s3://bucket/prefix) or an absolute path.
      - If left out, the root stays as it is. With an empty string, or in a new workspace, the server chooses.
    type: str
  mode:
    description:
      - What to do with the things in a workspace that is deleted.
      - With V(restrict), the module fails if there are any; a deleted experiment is one, until C(mlflow gc) removes it. Check mode foresees
        this for experiments, models, prompts and webhooks, but not for what the AI gateway holds.
      - With V(set_default), they move to the workspace V(default). The server refuses if something there has the same name; check mode
        does not foresee that.
      - With V(cascade), they are deleted for ever. This needs O(force).
    type: str
    choices: [restrict, set_default, cascade]
    default: restrict
  force:
    description: Whether O(mode=cascade) is meant.
    type: bool
    default: false
seealso:
  - module: mlops.mlflow.mlflow_workspace_info
"""

EXAMPLES = r"""
- name: Give a team a workspace
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

- name: Dissolve it, and keep what is in it
  mlops.mlflow.mlflow_workspace:
    tracking_uri: http://127.0.0.1:5000
    name: risk-team
    state: absent
    mode: set_default
"""

RETURN = r"""
workspace:
  description: The workspace as it is now, or as it would be outside check mode. Empty where it does not exist.
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
      description: Where the artifacts of new experiments go, empty where the server chooses.
      type: str
      sample: s3://akko-warehouse/mlflow/risk-team
actions:
  description: What was done, or would be done outside check mode, a line each.
  returned: success
  type: list
  elements: str
  sample: [update workspace risk-team description]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.workspace import WORKSPACE


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_tracking.argument_spec(**WORKSPACE.rules.OPTIONS), supports_check_mode=True)
    with _module.errors_as_failures(module):
        _module.manage(module, WORKSPACE, _tracking.client(module.params))


if __name__ == "__main__":
    main()
