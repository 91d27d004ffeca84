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
  - Returns the webhooks of one name, or all. Their secrets cannot be read.
  - Requires MLflow 3.3 or later with a database. With basic authentication, only an administrator may read webhooks.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: Return only webhooks of this name, of which MLflow allows several. If there are none, the list is empty.
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
      description: MLflow's ID for it.
      type: str
      sample: 2379246f-4005-42e2-9da9-bd368b3eeded
    url:
      description: The URL that it delivers to.
      type: str
      sample: https://ci.example.com/hooks/mlflow
    events:
      description: The events that it delivers, in alphabetical order.
      type: list
      elements: str
      sample: [model_version.created, model_version_alias.created]
    description:
      description: The description, empty if there is none.
      type: str
      sample: Starts the deployment.
    status:
      description: V(ACTIVE), or V(DISABLED) if nothing is delivered.
      type: str
      sample: ACTIVE
    namesakes:
      description: The IDs of other webhooks of the same name.
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

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import inform
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.webhook.adapter import WEBHOOK


def main() -> None:
    """Run the module."""
    inform(WEBHOOK)


if __name__ == "__main__":
    main()
