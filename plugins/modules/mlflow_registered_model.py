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
  - Uses MLflow's REST API directly and needs no Python package besides Ansible itself.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  name:
    description:
      - The model's name, of at most 256 characters except V(/) and V(:). Case matters.
    type: str
    required: true
  new_name:
    description:
      - The new name of the model, which keeps its versions, tags and aliases.
      - If only a model with this name exists, it counts as already renamed. If both exist, the module fails.
    type: str
  state:
    description:
      - With V(present), the model exists as described.
      - With V(absent), it does not exist. MLflow cannot restore a deleted model, so deleting one that has versions needs O(force).
    type: str
    choices: [present, absent]
    default: present
  description:
    description: A text of at most 5000 characters. If not given, the description is left unchanged; an empty string clears it.
    type: str
  tags:
    description:
      - Tags to set. A null value removes the tag. Tags that are not listed are kept, unless O(purge_tags) is true.
      - Values are stored as strings, booleans as V(true) and V(false).
    type: dict
  purge_tags:
    description: Whether to remove tags that O(tags) does not list. MLflow's own tags, which start with C(mlflow.), are kept.
    type: bool
    default: false
  aliases:
    description:
      - Aliases, each with the version that it refers to. An alias of another version is moved; a null value removes it.
      - Aliases that are not listed are kept, unless O(purge_aliases) is true. Requires MLflow 2.3 or later.
    type: dict
  purge_aliases:
    description: Whether to remove aliases that O(aliases) does not list.
    type: bool
    default: false
  force:
    description: Whether O(state=absent) deletes a model that has versions, together with them.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Declare a model, and which of its versions is the champion
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

- name: Remove all other tags and one alias
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
  description: The model as it is now, or, in check mode, as it would be. Empty if it does not exist.
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
actions:
  description: What was done, or in check mode would be done, one line per action.
  returned: success
  type: list
  elements: str
  sample: [update registered model banking-risk-classifier aliases.champion]
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import manage
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.registered_model.adapter import REGISTERED_MODEL


def main() -> None:
    """Run the module."""
    manage(REGISTERED_MODEL)


if __name__ == "__main__":
    main()
