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
  - Needs MLflow 3.10 or later with its AI gateway, which is on unless the server is started with E(MLFLOW_ENABLE_AI_GATEWAY=false).
  - Creates, updates and deletes a model definition, which is a model of a provider and the secret to reach it with. Endpoints refer to it.
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
      - With V(absent), it does not exist. One that an endpoint uses is not deleted; the module fails and names the endpoints.
    type: str
    choices: [present, absent]
    default: present
  secret:
    description: The name of the secret, which M(mlops.mlflow.mlflow_gateway_secret) makes. Needed where the model definition does not exist yet.
    type: str
  provider:
    description:
      - The provider, as the server writes it, such as V(openai) or V(bedrock). Needed where the model definition does not exist yet.
      - The module refuses one that E(MLFLOW_GATEWAY_ALLOWED_PROVIDERS) of the server leaves out, and one written with other letters or
        hyphens than the server's. An unknown one passes, since the gateway hands it to LiteLLM, which knows more providers than MLflow lists.
    type: str
  model_name:
    description: The model, as the provider calls it. Needed where the model definition does not exist yet.
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
  description: The model definition as it is now, or as it would be outside check mode. Empty where it does not exist.
  returned: success
  type: dict
  contains:
    name:
      description: The model definition's name.
      type: str
      sample: chat-large
    model_definition_id:
      description: The id by which MLflow knows it.
      type: str
      sample: d-0b1f6c1d9d0f4f0c8a58f3a3c1f5a111
    secret:
      description: The name of its secret. Null where the secret was deleted, or the credentials may not read it.
      type: str
      sample: openai-risk-team
    provider:
      description: The provider.
      type: str
      sample: openai
    model_name:
      description: The model, as the provider calls it.
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
  description: What was done, or would be done outside check mode, a line each.
  returned: success
  type: list
  elements: str
  sample: [update gateway model definition chat-large model_name]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.gateway_model_definition import GATEWAY_MODEL_DEFINITION


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_tracking.argument_spec(**GATEWAY_MODEL_DEFINITION.rules.OPTIONS), supports_check_mode=True)
    with _module.errors_as_failures(module):
        _module.manage(module, GATEWAY_MODEL_DEFINITION, _tracking.client(module.params))


if __name__ == "__main__":
    main()
