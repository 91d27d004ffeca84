#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage an experiment of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_experiment
short_description: Manage an experiment of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Creates, renames, tags, deletes and restores an experiment.
  - MLflow keeps a deleted experiment, and its name, until C(mlflow gc) removes it; O(state=present) restores such a one, with its runs.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The experiment's name, of at most 256 characters. Case matters.
    type: str
    required: true
  new_name:
    description:
      - The name that the experiment is to have.
      - Where only an experiment with this name exists, it is taken for the renamed one. Where both exist, the module fails.
    type: str
  state:
    description:
      - With V(present), the experiment exists as described.
      - With V(absent), it is deleted. Its runs are kept until C(mlflow gc) removes them.
    type: str
    choices: [present, absent]
    default: present
  artifact_location:
    description:
      - Where the artifacts of the runs go, such as V(s3://bucket/path). It cannot be changed afterwards.
      - If left out, the server chooses, which is best where it hands on artifacts itself.
    type: str
  tags:
    description:
      - Tags to set. A key with a null value is removed. Keys that are not given stay, unless O(purge_tags) is true.
      - Values are stored as strings; V(true) and V(false) in lower case. The tag C(mlflow.note.content) is the description that the page shows.
    type: dict
  purge_tags:
    description: Whether tags that O(tags) does not name are removed. MLflow's own, which start with C(mlflow.), are kept.
    type: bool
    default: false
seealso:
  - module: mlops.mlflow.mlflow_experiment_info
"""

EXAMPLES = r"""
- name: Declare an experiment
  mlops.mlflow.mlflow_experiment:
    tracking_uri: http://127.0.0.1:5000
    name: akko-banking-risk-model
    tags:
      owner: risk-team
      mlflow.note.content: Probability of default within twelve months.

- name: Rename it
  mlops.mlflow.mlflow_experiment:
    tracking_uri: http://127.0.0.1:5000
    name: akko-banking-risk-model
    new_name: credit-default

- name: Delete it; state present brings it back
  mlops.mlflow.mlflow_experiment:
    tracking_uri: http://127.0.0.1:5000
    name: credit-default
    state: absent
"""

RETURN = r"""
experiment:
  description: The experiment as it is now, or as it would be outside check mode. Empty where it does not exist or is deleted.
  returned: success
  type: dict
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
actions:
  description: What was done, or would be done outside check mode, a line each.
  returned: success
  type: list
  elements: str
  sample: [update experiment akko-banking-risk-model tags.owner]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.experiment import EXPERIMENT


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=_tracking.argument_spec(**EXPERIMENT.rules.OPTIONS, new_name={"type": "str"}),
        supports_check_mode=True,
    )
    with _module.errors_as_failures(module):
        _module.manage(module, EXPERIMENT, _tracking.client(module.params))


if __name__ == "__main__":
    main()
