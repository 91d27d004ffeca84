#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the secrets of MLflow's AI gateway."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_gateway_secret_info
short_description: Read the secrets of MLflow's AI gateway
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Requires MLflow 3.10 or later with its AI gateway, which is enabled unless the server is started with E(MLFLOW_ENABLE_AI_GATEWAY=false).
  - Returns one secret, or all that the credentials may read.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: Return only this secret. If it does not exist, the list is empty.
    type: str
seealso:
  - module: mlops.mlflow.mlflow_gateway_secret
"""

EXAMPLES = r"""
- name: Read the secrets, with masked values
  mlops.mlflow.mlflow_gateway_secret_info:
    tracking_uri: http://127.0.0.1:5000
  register: found

- name: Read one
  mlops.mlflow.mlflow_gateway_secret_info:
    tracking_uri: http://127.0.0.1:5000
    name: openai-risk-team
"""

RETURN = r"""
gateway_secrets:
  description: The secrets, in no particular order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The secret's name.
      type: str
      sample: openai-risk-team
    secret_id:
      description: MLflow's ID for it.
      type: str
      sample: s-0b1f6c1d9d0f4f0c8a58f3a3c1f5a111
    provider:
      description: The provider that it is for. Null if none was given.
      type: str
      sample: openai
    auth_config:
      description: Its settings.
      type: dict
      sample: {api_base: https://inference.example.com/v1}
    value:
      description: The fields of its value, each masked to its first three and last four characters, as MLflow shows them.
      type: dict
      sample: {api_key: sk-...5678}
    created_at:
      description: When it was created, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
    last_updated_at:
      description: When it was last changed, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_secret.adapter import GATEWAY_SECRET
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import inform


def main() -> None:
    """Run the module."""
    inform(GATEWAY_SECRET)


if __name__ == "__main__":
    main()
