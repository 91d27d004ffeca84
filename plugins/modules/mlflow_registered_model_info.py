#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the registered models of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_registered_model_info
short_description: Read the registered models of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Returns one registered model, those that match a filter, or all, with their tags, aliases and newest versions.
  - Prompts, which MLflow stores together with registered models, are left out.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: Return only this model. If it does not exist, the list is empty.
    type: str
  filter:
    description:
      - Return only models that match this filter, in MLflow's filter syntax, for example V(name LIKE 'fraud-%' AND tags.team = 'risk').
      - Mutually exclusive with O(name).
    type: str
seealso:
  - module: mlops.mlflow.mlflow_registered_model
"""

EXAMPLES = r"""
- name: Read one model
  mlops.mlflow.mlflow_registered_model_info:
    tracking_uri: http://127.0.0.1:5000
    name: banking-risk-classifier
  register: model

- name: Read the models of a team
  mlops.mlflow.mlflow_registered_model_info:
    tracking_uri: http://127.0.0.1:5000
    filter: tags.owner = 'risk-team'
"""

RETURN = r"""
registered_models:
  description: The models, sorted by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The model's name.
      type: str
      sample: banking-risk-classifier
    description:
      description: The description, empty if there is none.
      type: str
      sample: Probability of default within twelve months.
    tags:
      description: All tags of the model.
      type: dict
      sample: {owner: risk-team}
    aliases:
      description: All aliases of the model, each with its version.
      type: dict
      sample: {champion: "7"}
    creation_timestamp:
      description: When the model was created, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
    last_updated_timestamp:
      description: When the model was last changed, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
    latest_versions:
      description: The newest version in each stage; C(None) is the stage of versions without one.
      type: list
      elements: dict
      sample: [{version: "8", current_stage: None, status: READY, source: "models:/m-4f1c", run_id: 0f3a}]
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import inform
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.registered_model.adapter import REGISTERED_MODEL


def main() -> None:
    """Run the module."""
    inform(REGISTERED_MODEL)


if __name__ == "__main__":
    main()
