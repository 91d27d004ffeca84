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
  - MLflow keeps a deleted experiment, and its name, until C(mlflow gc) removes it. O(state=present) restores it with its runs.
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
      - The new name of the experiment.
      - If only an experiment with this name exists, it counts as already renamed. If both exist, the module fails.
    type: str
  state:
    description:
      - With V(present), the experiment exists as described.
      - With V(absent), it is deleted. MLflow keeps its runs until C(mlflow gc) removes them.
    type: str
    choices: [present, absent]
    default: present
  artifact_location:
    description:
      - Where the artifacts of its runs are stored, such as V(s3://bucket/path). It cannot be changed afterwards.
      - If not given, the server chooses, which is best if it proxies artifacts. With basic authentication, a custom location below
        C(mlflow-artifacts:) is rejected, because MLflow would let only administrators upload there; so is any on a server with workspaces.
      - A URI or an absolute path, of at most 256 characters, without C(?), C(#) and C(;).
    type: str
  tags:
    description:
      - Tags to set. A null value removes the tag. Tags that are not listed are kept, unless O(purge_tags) is true.
      - Values are stored as strings, booleans as V(true) and V(false). The tag C(mlflow.note.content) is the description that MLflow's UI shows.
    type: dict
  purge_tags:
    description: Whether to remove tags that O(tags) does not list. MLflow's own tags, which start with C(mlflow.), are kept.
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

- name: Delete it, which state present can undo
  mlops.mlflow.mlflow_experiment:
    tracking_uri: http://127.0.0.1:5000
    name: credit-default
    state: absent
"""

RETURN = r"""
experiment:
  description: The experiment as it is now, or, in check mode, as it would be. Empty if it does not exist or is deleted.
  returned: success
  type: dict
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
actions:
  description: What was done, or in check mode would be done, one line per action.
  returned: success
  type: list
  elements: str
  sample: [update experiment akko-banking-risk-model tags.owner]
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.experiment.adapter import EXPERIMENT
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import manage


def main() -> None:
    """Run the module."""
    manage(EXPERIMENT)


if __name__ == "__main__":
    main()
