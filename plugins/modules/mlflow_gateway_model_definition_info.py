#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the model definitions of MLflow's AI gateway."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_gateway_model_definition_info
short_description: Read the model definitions of MLflow's AI gateway
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Requires MLflow 3.10 or later with its AI gateway, which is enabled unless the server is started with E(MLFLOW_ENABLE_AI_GATEWAY=false).
  - Returns one model definition, or all that the credentials may read.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: Return only this model definition. If it does not exist, the list is empty.
    type: str
seealso:
  - module: mlops.mlflow.mlflow_gateway_model_definition
"""

EXAMPLES = r"""
- name: Read the model definitions
  mlops.mlflow.mlflow_gateway_model_definition_info:
    tracking_uri: http://127.0.0.1:5000
  register: found

- name: Read one
  mlops.mlflow.mlflow_gateway_model_definition_info:
    tracking_uri: http://127.0.0.1:5000
    name: chat-large
"""

RETURN = r"""
gateway_model_definitions:
  description: The model definitions, in no particular order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The model definition's name.
      type: str
      sample: chat-large
    model_definition_id:
      description: MLflow's ID for it.
      type: str
      sample: d-0b1f6c1d9d0f4f0c8a58f3a3c1f5a111
    secret:
      description: The name of its secret. Null if the secret was deleted, or if the credentials may not read it.
      type: str
      sample: openai-risk-team
    provider:
      description: The provider.
      type: str
      sample: openai
    model_name:
      description: The provider's name for the model.
      type: str
      sample: gpt-5
    created_at:
      description: When it was created, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
    last_updated_at:
      description: When it was last changed, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_model_definition.adapter import GATEWAY_MODEL_DEFINITION
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import inform


def main() -> None:
    """Run the module."""
    inform(GATEWAY_MODEL_DEFINITION)


if __name__ == "__main__":
    main()
