#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage a registered model of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_registered_model
short_description: Manage a registered model of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Creates, changes, renames and deletes a registered model, with its description, tags and aliases.
  - It speaks MLflow's REST API itself and needs no Python package beside Ansible's own.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  name:
    description:
      - The model's name, in which case matters. MLflow takes any characters but V(/) and V(:), 256 at most.
    type: str
    required: true
  new_name:
    description:
      - The name that the model is to have. Versions, tags and aliases move with it.
      - Where only a model with this name exists, it is taken for the renamed one. Where both exist, the module fails.
    type: str
  state:
    description:
      - With V(present), the model exists as described.
      - With V(absent), it does not. MLflow cannot bring a deleted model back, so a model that has versions needs O(force).
    type: str
    choices: [present, absent]
    default: present
  description:
    description: A text of at most 5000 characters. If left out, the description stays as it is; an empty string clears it.
    type: str
  tags:
    description:
      - Tags to set. A key with a null value is removed. Keys that are not given stay, unless O(purge_tags) is true.
      - Values are stored as strings; V(true) and V(false) in lower case.
    type: dict
  purge_tags:
    description: Whether tags that O(tags) does not name are removed. MLflow's own, which start with C(mlflow.), are kept.
    type: bool
    default: false
  aliases:
    description:
      - Aliases and the version that each of them names. An alias that names another version is moved; a null value removes it.
      - Aliases that are not given stay, unless O(purge_aliases) is true. Needs MLflow 2.3 or later.
    type: dict
  purge_aliases:
    description: Whether aliases that O(aliases) does not name are removed.
    type: bool
    default: false
  force:
    description: Whether O(state=absent) deletes a model that has versions, and the versions with it.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Declare a model, and which of its versions is in use
  mlops.mlflow.mlflow_registered_model:
    tracking_uri: http://127.0.0.1:5000
    name: banking-risk-classifier
    description: Probability of default within twelve months.
    tags:
      owner: risk-team
      tier: "1"
    aliases:
      champion: 7
      challenger: 8

- name: Make these the only tags, and drop an alias
  mlops.mlflow.mlflow_registered_model:
    tracking_uri: http://127.0.0.1:5000
    name: banking-risk-classifier
    tags:
      owner: risk-team
    purge_tags: true
    aliases:
      challenger: null

- name: Rename a model
  mlops.mlflow.mlflow_registered_model:
    tracking_uri: http://127.0.0.1:5000
    name: banking-risk-classifier
    new_name: credit-default

- name: Delete a model with all its versions
  mlops.mlflow.mlflow_registered_model:
    tracking_uri: http://127.0.0.1:5000
    name: credit-default
    state: absent
    force: true
"""

RETURN = r"""
registered_model:
  description: The model as it is now, or as it would be outside check mode. Empty where it does not exist.
  returned: success
  type: dict
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
actions:
  description: What was done, or would be done outside check mode, a line each.
  returned: success
  type: list
  elements: str
  sample: [update registered model banking-risk-classifier aliases.champion]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.registered_model import REGISTERED_MODEL


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=_tracking.argument_spec(**REGISTERED_MODEL.rules.OPTIONS, new_name={"type": "str"}),
        supports_check_mode=True,
    )
    with _module.errors_as_failures(module):
        _module.manage(module, REGISTERED_MODEL, _tracking.client(module.params))


if __name__ == "__main__":
    main()
