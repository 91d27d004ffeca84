#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the webhooks of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_webhook_info
short_description: Read the webhooks of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Gives the webhooks of one name, or all. Their secrets cannot be read.
  - Needs MLflow 3.3 or later with a database. Where basic authentication is on, only an administrator may read webhooks.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The name whose webhooks to give. MLflow lets several have one name. Where none has it, the list is empty.
    type: str
seealso:
  - module: mlops.mlflow.mlflow_webhook
"""

EXAMPLES = r"""
- name: Read all webhooks
  mlops.mlflow.mlflow_webhook_info:
    tracking_uri: http://127.0.0.1:5000
  register: found
"""

RETURN = r"""
webhooks:
  description: The webhooks, the oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The webhook's name.
      type: str
      sample: deploy-pipeline
    webhook_id:
      description: The id by which MLflow knows it.
      type: str
      sample: 2379246f-4005-42e2-9da9-bd368b3eeded
    url:
      description: Where it delivers.
      type: str
      sample: https://ci.example.com/hooks/mlflow
    events:
      description: What it delivers, in alphabetical order.
      type: list
      elements: str
      sample: [model_version.created, model_version_alias.created]
    description:
      description: The description, empty if there is none.
      type: str
      sample: Starts the deployment.
    status:
      description: V(ACTIVE), or V(DISABLED) where nothing is delivered.
      type: str
      sample: ACTIVE
    namesakes:
      description: The ids of other webhooks of the same name.
      type: list
      elements: str
      sample: []
    creation_timestamp:
      description: When the webhook was created, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
    last_updated_timestamp:
      description: When the webhook was last changed, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.webhook import WEBHOOK


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_tracking.argument_spec(name={"type": "str"}), supports_check_mode=True)
    with _module.errors_as_failures(module):
        _module.inform(module, WEBHOOK, _tracking.client(module.params))


if __name__ == "__main__":
    main()
