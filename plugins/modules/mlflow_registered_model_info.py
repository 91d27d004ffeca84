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
  - Gives one registered model, those that a filter leaves, or all, with their tags, aliases and newest versions.
  - Prompts, which MLflow keeps among the registered models, are left out.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The one model to give. Where it does not exist, the list is empty.
    type: str
  filter:
    description:
      - Which models to give, in MLflow's own words, as in V(name LIKE 'fraud-%' AND tags.team = 'risk').
      - Not used together with O(name).
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
  description: The models, in the order of their names.
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
      description: All aliases of the model, with the version that each names.
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
      description: The newest version of each stage; C(None) is the stage of a version that has none.
      type: list
      elements: dict
      sample: [{version: "8", current_stage: None, status: READY, source: "models:/m-4f1c", run_id: 0f3a}]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.registered_model import REGISTERED_MODEL


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=_tracking.argument_spec(name={"type": "str"}, filter={"type": "str"}),
        mutually_exclusive=[("name", "filter")],
        supports_check_mode=True,
    )
    with _module.errors_as_failures(module):
        _module.inform(module, REGISTERED_MODEL, _tracking.client(module.params))


if __name__ == "__main__":
    main()
