#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the experiments of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_experiment_info
short_description: Read the experiments of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Returns one experiment, those that match a filter, or all.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: Return only this experiment, deleted or not. If it does not exist, the list is empty.
    type: str
  filter:
    description:
      - Return only experiments that match this filter, in MLflow's filter syntax, for example V(name LIKE 'akko-%' AND tags.owner = 'risk-team').
      - Mutually exclusive with O(name).
    type: str
  view:
    description: Whether to return active experiments, deleted ones, or both. Ignored if O(name) is given.
    type: str
    choices: [active_only, deleted_only, all]
    default: active_only
seealso:
  - module: mlops.mlflow.mlflow_experiment
"""

EXAMPLES = r"""
- name: Read one experiment
  mlops.mlflow.mlflow_experiment_info:
    tracking_uri: http://127.0.0.1:5000
    name: akko-banking-risk-model
  register: experiment

- name: Read the deleted experiments, which can be restored
  mlops.mlflow.mlflow_experiment_info:
    tracking_uri: http://127.0.0.1:5000
    view: deleted_only
"""

RETURN = r"""
experiments:
  description: The experiments, the most recently changed first.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The experiment's name.
      type: str
      sample: akko-banking-risk-model
    experiment_id:
      description: MLflow's ID for it.
      type: str
      sample: "7"
    artifact_location:
      description: Where the artifacts of its runs are stored.
      type: str
      sample: mlflow-artifacts:/7
    lifecycle_stage:
      description: V(active), or V(deleted) if it is deleted but MLflow still keeps it.
      type: str
      sample: active
    tags:
      description: All tags of the experiment.
      type: dict
      sample: {owner: risk-team}
    creation_time:
      description: When the experiment was created, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
    last_update_time:
      description: When the experiment was last changed, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.experiment.adapter import EXPERIMENT
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import inform


def main() -> None:
    """Run the module."""
    inform(EXPERIMENT)


if __name__ == "__main__":
    main()
