#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the versions of the registered models of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_model_version_info
short_description: Read the versions of the registered models of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Gives the versions of one model, those that a filter leaves, or all, with their tags, aliases and stages.
  - The versions of prompts, which MLflow keeps among those of models, are left out.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The model whose versions to give. Where it does not exist, the list is empty.
    type: str
  filter:
    description:
      - Which versions to give, in MLflow's own words, as in V(run_id = '0f3a6c1d' AND tags.team = 'risk'). MLflow has no filter for
        aliases and stages.
      - Together with O(name), both must hold.
    type: str
seealso:
  - module: mlops.mlflow.mlflow_model_version
"""

EXAMPLES = r"""
- name: Read the versions of a model
  mlops.mlflow.mlflow_model_version_info:
    tracking_uri: http://127.0.0.1:5000
    name: banking-risk-classifier
  register: versions

- name: Read the versions whose files are in one bucket
  mlops.mlflow.mlflow_model_version_info:
    tracking_uri: http://127.0.0.1:5000
    filter: source_path LIKE 's3://models/%'
"""

RETURN = r"""
model_versions:
  description: The versions, in the order of their models' names, the oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The registered model's name.
      type: str
      sample: banking-risk-classifier
    version:
      description: The version's number.
      type: str
      sample: "7"
    source:
      description: Where the model's files are.
      type: str
      sample: s3://models/banking-risk/2026-11-02
    run_id:
      description: The run that made the model, empty if none is known.
      type: str
      sample: 0f3a6c1d2e4b4a7f9c8d7e6f5a4b3c2d
    description:
      description: The description, empty if there is none.
      type: str
      sample: Trained on the data of October.
    tags:
      description: All tags of the version.
      type: dict
      sample: {git_commit: 4f1c3a2}
    aliases:
      description: All aliases that name the version.
      type: list
      elements: str
      sample: [champion]
    current_stage:
      description: The stage; C(None) where the version has none.
      type: str
      sample: None
    status:
      description: C(READY), C(PENDING_REGISTRATION) or C(FAILED_REGISTRATION).
      type: str
      sample: READY
    status_message:
      description: What the server says of the status, mostly nothing.
      type: str
      sample: ""
    creation_timestamp:
      description: When the version was made, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
    last_updated_timestamp:
      description: When the version was last changed, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.model_version import MODEL_VERSION


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=_tracking.argument_spec(name={"type": "str"}, filter={"type": "str"}),
        supports_check_mode=True,
    )
    with _module.errors_as_failures(module):
        _module.inform(module, MODEL_VERSION, _tracking.client(module.params))


if __name__ == "__main__":
    main()
