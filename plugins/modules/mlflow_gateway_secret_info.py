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
  - Needs MLflow 3.10 or later with its AI gateway, which is on unless the server is started with E(MLFLOW_ENABLE_AI_GATEWAY=false).
  - Gives one secret, or all that the credentials may read.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The one secret to give. Where it does not exist, the list is empty.
    type: str
seealso:
  - module: mlops.mlflow.mlflow_gateway_secret
"""

EXAMPLES = r"""
- name: Read the secrets, whose values stay hidden
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
      description: The id by which MLflow knows it.
      type: str
      sample: s-0b1f6c1d9d0f4f0c8a58f3a3c1f5a111
    provider:
      description: The provider that it is for. Null where none was given.
      type: str
      sample: openai
    auth_config:
      description: Its settings.
      type: dict
      sample: {api_base: https://inference.example.com/v1}
    value:
      description: The parts of its value, each as MLflow shows it to all who may read the secret, the first three and the last four characters.
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

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.gateway_secret import GATEWAY_SECRET


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_tracking.argument_spec(name={"type": "str"}), supports_check_mode=True)
    with _module.errors_as_failures(module):
        _module.inform(module, GATEWAY_SECRET, _tracking.client(module.params))


if __name__ == "__main__":
    main()
