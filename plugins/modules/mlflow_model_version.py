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
  - MLflow makes a new version whenever it is asked to, and numbers it itself. This module makes one only where the model has no
    version of the same source and run yet; where it has several, the newest is meant. O(version) means one by its number.
  - The model itself must exist; M(mlops.mlflow.mlflow_registered_model) makes it. The versions of a prompt belong to
    M(mlops.mlflow.mlflow_prompt).
  - It speaks MLflow's REST API itself and needs no Python package beside Ansible's own.
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
      - The URI of the model's folder, as in V(s3://models/iris/7), 500 characters at most. MLflow does not look whether it is there.
      - V(models:/NAME/NUMBER) promotes a version of another model, V(runs:/RUN_ID/PATH) is O(run_id) with O(artifact_path),
        and V(models:/MODEL_ID) is O(model_id).
      - A path of the server's own, or V(mlflow-artifacts:), needs O(run_id), the run that owns it.
      - One of O(source), O(artifact_path), O(model_id) and O(version) is required.
    type: str
  run_id:
    description:
      - The run in which O(artifact_path) is. Required with it.
      - With O(source), the run that is recorded as the version's. MLflow does not look whether it is there.
    type: str
  artifact_path:
    description:
      - The path of a model within the run O(run_id), or the name of a model that the run logged.
      - The source becomes what C(mlflow.register_model) makes of V(runs:/RUN_ID/PATH).
    type: str
  model_id:
    description: The ID of a logged model, as in V(m-4f1c3a). Needs MLflow 3.0 or later.
    type: str
  version:
    description: The number of a version that exists, to change or delete that one.
    type: str
  state:
    description:
      - With V(present), the version exists as described.
      - With V(absent), it does not. MLflow cannot bring a deleted version back, so a version that has an alias or a stage needs
        O(force). Where several versions have the same source, O(version) must say which.
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
      - Aliases that the version is to have. One that names another version of the model is moved to this one.
      - Aliases that are not given stay, unless O(purge_aliases) is true. Needs MLflow 2.3 or later.
    type: list
    elements: str
  purge_aliases:
    description: Whether aliases of the version that O(aliases) does not name are removed.
    type: bool
    default: false
  stage:
    description: The stage that the version is to be in. MLflow advises aliases instead, and still takes stages.
    type: str
    choices: [None, Staging, Production, Archived]
  archive_existing_versions:
    description:
      - Whether the other versions of the model that are in O(stage) are archived when this one enters it.
      - They are not part of the module's diff.
    type: bool
    default: false
  wait_timeout:
    description:
      - For how many seconds to wait until the version is ready. It is an error where it is not by then, or failed.
      - A server of MLflow's own has it ready at once. V(0) does not wait.
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
- name: Register the files of an object store, and put them in use
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

- name: Move a server that still uses stages to a new version
  mlops.mlflow.mlflow_model_version:
    tracking_uri: http://127.0.0.1:5000
    name: banking-risk-classifier
    source: s3://models/banking-risk/2026-11-02
    stage: Production
    archive_existing_versions: true
"""

RETURN = r"""
model_version:
  description: The version as it is now, or as it would be outside check mode, where a new one has no number yet. Empty where it does not exist.
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
actions:
  description: What was done, or would be done outside check mode, a line each.
  returned: success
  type: list
  elements: str
  sample: [create model version banking-risk-classifier s3://models/banking-risk/2026-11-02]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.model_version import MODEL_VERSION


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=_tracking.argument_spec(**MODEL_VERSION.rules.OPTIONS, version={"type": "str"}),
        supports_check_mode=True,
    )
    with _module.errors_as_failures(module):
        _module.manage(module, MODEL_VERSION, _tracking.client(module.params))


if __name__ == "__main__":
    main()
