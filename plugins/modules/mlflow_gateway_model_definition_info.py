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
  - Needs MLflow 3.10 or later with its AI gateway, which is on unless the server is started with E(MLFLOW_ENABLE_AI_GATEWAY=false).
  - Gives one model definition, or all that the credentials may read.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The one model definition to give. Where it does not exist, the list is empty.
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
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.gateway_model_definition import GATEWAY_MODEL_DEFINITION


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_tracking.argument_spec(name={"type": "str"}), supports_check_mode=True)
    with _module.errors_as_failures(module):
        _module.inform(module, GATEWAY_MODEL_DEFINITION, _tracking.client(module.params))


if __name__ == "__main__":
    main()
