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
  - Returns the versions of one model, those that match a filter, or all, with their tags, aliases and stages.
  - The versions of prompts, which MLflow stores together with those of models, are left out.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: Return only versions of this model. If it does not exist, the list is empty.
    type: str
  filter:
    description:
      - Return only versions that match this filter, in MLflow's filter syntax, for example V(run_id = '0f3a6c1d' AND tags.team = 'risk').
        MLflow cannot filter by alias or stage.
      - With O(name), versions must match both.
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
  description: The versions, by name of the model, then oldest first.
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
      description: Where the model's files are stored.
      type: str
      sample: s3://models/banking-risk/2026-11-02
    run_id:
      description: The run that produced the model, empty if none is recorded.
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
      description: All aliases of the version.
      type: list
      elements: str
      sample: [champion]
    current_stage:
      description: The stage; C(None) if the version has none.
      type: str
      sample: None
    status:
      description: C(READY), C(PENDING_REGISTRATION) or C(FAILED_REGISTRATION).
      type: str
      sample: READY
    status_message:
      description: The server's message about the status, usually empty.
      type: str
      sample: ""
    creation_timestamp:
      description: When the version was created, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
    last_updated_timestamp:
      description: When the version was last changed, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.model_version.adapter import MODEL_VERSION
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import inform


def main() -> None:
    """Run the module."""
    inform(MODEL_VERSION)


if __name__ == "__main__":
    main()
