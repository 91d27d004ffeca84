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
  - Gives one experiment, those that a filter leaves, or all.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The one experiment to give, deleted or not. Where it does not exist, the list is empty.
    type: str
  filter:
    description:
      - Which experiments to give, in MLflow's own words, as in V(name LIKE 'akko-%' AND tags.owner = 'risk-team').
      - Not used together with O(name).
    type: str
  view:
    description: Whether active experiments are given, deleted ones, or both. Without meaning where O(name) is given.
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

- name: Read the experiments that can be restored
  mlops.mlflow.mlflow_experiment_info:
    tracking_uri: http://127.0.0.1:5000
    view: deleted_only
"""

RETURN = r"""
experiments:
  description: The experiments, the one changed last first.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The experiment's name.
      type: str
      sample: akko-banking-risk-model
    experiment_id:
      description: The number by which MLflow knows it.
      type: str
      sample: "7"
    artifact_location:
      description: Where the artifacts of its runs go.
      type: str
      sample: mlflow-artifacts:/7
    lifecycle_stage:
      description: V(active), or V(deleted) for one that MLflow still keeps.
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

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.experiment import EXPERIMENT


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=_tracking.argument_spec(
            name={"type": "str"},
            filter={"type": "str"},
            view={"type": "str", "choices": ["active_only", "deleted_only", "all"], "default": "active_only"},
        ),
        mutually_exclusive=[("name", "filter")],
        supports_check_mode=True,
    )
    with _module.errors_as_failures(module):
        _module.inform(module, EXPERIMENT, _tracking.client(module.params))


if __name__ == "__main__":
    main()
