#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage a model definition of MLflow's AI gateway."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_gateway_model_definition
short_description: Manage a model definition of MLflow's AI gateway
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Creates, updates and deletes a model definition, that is, a provider's model and the secret to access it with. Endpoints refer to it.
  - Requires MLflow 3.10 or later with its AI gateway, which is enabled unless the server is started with E(MLFLOW_ENABLE_AI_GATEWAY=false).
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The model definition's name, of at most 255 characters. Case matters.
    type: str
    required: true
  state:
    description:
      - With V(present), the model definition exists as described.
      - With V(absent), it does not exist. If endpoints use it, the module fails and names them.
    type: str
    choices: [present, absent]
    default: present
  secret:
    description: The name of the secret. M(mlops.mlflow.mlflow_gateway_secret) creates it. Required to create a model definition.
    type: str
  provider:
    description:
      - The provider, as the server spells it, such as V(openai) or V(bedrock). Required to create a model definition.
      - The module rejects a provider that the server's E(MLFLOW_GATEWAY_ALLOWED_PROVIDERS) does not allow, or that differs from the server's
        spelling only in case or hyphens. An unknown one is accepted, since LiteLLM supports more providers than MLflow lists.
    type: str
  model_name:
    description: The provider's name for the model. Required to create a model definition.
    type: str
seealso:
  - module: mlops.mlflow.mlflow_gateway_model_definition_info
  - module: mlops.mlflow.mlflow_gateway_secret
  - module: mlops.mlflow.mlflow_gateway_endpoint
"""

EXAMPLES = r"""
- name: Define a model
  mlops.mlflow.mlflow_gateway_model_definition:
    tracking_uri: http://127.0.0.1:5000
    name: chat-large
    secret: openai-risk-team
    provider: openai
    model_name: gpt-5

- name: Move all endpoints that use it to another model
  mlops.mlflow.mlflow_gateway_model_definition:
    tracking_uri: http://127.0.0.1:5000
    name: chat-large
    model_name: gpt-5-mini
"""

RETURN = r"""
gateway_model_definition:
  description: The model definition as it is now, or, in check mode, as it would be. Empty if it does not exist.
  returned: success
  type: dict
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
actions:
  description: What was done, or in check mode would be done, one line per action.
  returned: success
  type: list
  elements: str
  sample: [update gateway model definition chat-large model_name]
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_model_definition.adapter import GATEWAY_MODEL_DEFINITION
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import manage


def main() -> None:
    """Run the module."""
    manage(GATEWAY_MODEL_DEFINITION)


if __name__ == "__main__":
    main()
