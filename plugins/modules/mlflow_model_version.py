#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage a version of a registered model of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_model_version
short_description: Manage a version of a registered model of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Registers a version of a model from files, from a run or from a logged model, and changes and deletes it, with its
    description, tags, aliases and stage.
  - MLflow itself creates and numbers a new version on each request. This module creates one only if the model has no version with the
    same source and run yet; if it has several, the newest is used. O(version) selects a version by number.
  - The model itself must exist; M(mlops.mlflow.mlflow_registered_model) creates it. Versions of prompts are managed by
    M(mlops.mlflow.mlflow_prompt).
  - Uses MLflow's REST API directly and needs no Python package besides Ansible itself.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The registered model's name.
    type: str
    required: true
  source:
    description:
      - The URI of the model's folder, as in V(s3://models/iris/7), of at most 500 characters. MLflow does not check that it exists.
      - V(models:/NAME/NUMBER) promotes a version of another model, V(runs:/RUN_ID/PATH) is the same as O(run_id) with O(artifact_path),
        and V(models:/MODEL_ID) the same as O(model_id).
      - A local path on the server, or V(mlflow-artifacts:), requires O(run_id), the run that owns it.
      - One of O(source), O(artifact_path), O(model_id) and O(version) is required.
    type: str
  run_id:
    description:
      - The run that O(artifact_path) belongs to, and required with it.
      - With O(source), the run that is recorded for the version. MLflow does not check that it exists.
    type: str
  artifact_path:
    description:
      - The path of a model within the run O(run_id), or the name of a model that the run logged.
      - The resulting source is the same as with C(mlflow.register_model) and V(runs:/RUN_ID/PATH).
    type: str
  model_id:
    description: The ID of a logged model, as in V(m-4f1c3a). Requires MLflow 3.0 or later.
    type: str
  version:
    description: The number of an existing version, to change or delete it.
    type: str
  state:
    description:
      - With V(present), the version exists as described.
      - With V(absent), it does not exist. MLflow cannot restore a deleted version, so deleting one that has an alias or a stage needs
        O(force). If several versions have the same source, O(version) must select one.
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
      - Aliases of the version. An alias of another version of the model is moved to this one.
      - Aliases that are not listed are kept, unless O(purge_aliases) is true. Requires MLflow 2.3 or later.
    type: list
    elements: str
  purge_aliases:
    description: Whether to remove aliases of the version that O(aliases) does not list.
    type: bool
    default: false
  stage:
    description: The stage of the version. MLflow recommends aliases instead, but still supports stages.
    type: str
    choices: [None, Staging, Production, Archived]
  archive_existing_versions:
    description:
      - Whether to archive other versions of the model that are in O(stage) when this one is moved to it.
      - They are not shown in the module's diff.
    type: bool
    default: false
  wait_timeout:
    description:
      - How long to wait for the version to become ready, in seconds. If it is not ready by then, or has failed, the module fails.
      - With the open-source MLflow server it is ready at once. V(0) does not wait; the maximum is 86400.
    type: int
    default: 300
  force:
    description: Whether O(state=absent) deletes a version that has an alias or a stage.
    type: bool
    default: false
seealso:
  - module: mlops.mlflow.mlflow_registered_model
  - module: mlops.mlflow.mlflow_model_version_info
"""

EXAMPLES = r"""
- name: Register a model from an object store, and make it the champion
  mlops.mlflow.mlflow_model_version:
    tracking_uri: http://127.0.0.1:5000
    name: banking-risk-classifier
    source: s3://models/banking-risk/2026-11-02
    description: Trained on the data of October.
    tags:
      git_commit: 4f1c3a2
    aliases: [champion]

- name: Register the model that a run logged
  mlops.mlflow.mlflow_model_version:
    tracking_uri: http://127.0.0.1:5000
    name: banking-risk-classifier
    run_id: 0f3a6c1d2e4b4a7f9c8d7e6f5a4b3c2d
    artifact_path: model

- name: Promote a version of another model
  mlops.mlflow.mlflow_model_version:
    tracking_uri: http://127.0.0.1:5000
    name: prod.banking-risk-classifier
    source: models:/staging.banking-risk-classifier/7
    aliases: [champion]

- name: Tag a version by its number
  mlops.mlflow.mlflow_model_version:
    tracking_uri: http://127.0.0.1:5000
    name: banking-risk-classifier
    version: 3
    tags:
      retired: true

- name: Put a new version into production, where stages are still used
  mlops.mlflow.mlflow_model_version:
    tracking_uri: http://127.0.0.1:5000
    name: banking-risk-classifier
    source: s3://models/banking-risk/2026-11-02
    stage: Production
    archive_existing_versions: true
"""

RETURN = r"""
model_version:
  description: The version as it is now, or, in check mode, as it would be; a new one has no number yet then. Empty if it does not exist.
  returned: success
  type: dict
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
actions:
  description: What was done, or in check mode would be done, one line per action.
  returned: success
  type: list
  elements: str
  sample: [create model version banking-risk-classifier s3://models/banking-risk/2026-11-02]
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.model_version.adapter import MODEL_VERSION
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import manage


def main() -> None:
    """Run the module."""
    manage(MODEL_VERSION)


if __name__ == "__main__":
    main()
