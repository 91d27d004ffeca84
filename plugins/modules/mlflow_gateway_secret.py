#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage a secret of MLflow's AI gateway."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_gateway_secret
short_description: Manage a secret of MLflow's AI gateway
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Needs MLflow 3.10 or later with its AI gateway, which is on unless the server is started with E(MLFLOW_ENABLE_AI_GATEWAY=false).
  - Creates, updates and deletes what the gateway shows to a provider of language models, such as an API key.
  - MLflow stores it encrypted, with a key made of E(MLFLOW_CRYPTO_KEK_PASSPHRASE). Set that on the server before the first secret, the same for
    each replica, and keep it. Without it, every MLflow encrypts with the same key; with another, what was stored cannot be read any more.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The secret's name, of at most 255 characters. It cannot be changed, and case matters.
    type: str
    required: true
  state:
    description:
      - With V(present), the secret exists as described.
      - With V(absent), it does not exist.
    type: str
    choices: [present, absent]
    default: present
  value:
    description:
      - The parts of the secret by name, such as C(api_key), or C(aws_access_key_id) and C(aws_secret_access_key) of C(bedrock). Each is text;
        P(ansible.builtin.to_json#filter) makes text of a dictionary. Needed where the secret does not exist yet.
      - Given, it replaces all parts that are stored.
    type: dict
  update_value:
    description:
      - When the value of a secret that exists is written.
      - MLflow shows nothing of it but the names of its parts and, of each part, the first three and the last four characters; of one with
        fewer than eight characters, nothing.
      - With V(on_difference), it is written where one of these differs, so that O(value) is surely another. A value that differs elsewhere
        alone, and another text of fewer than eight characters, is not noticed.
      - With V(on_create), it is never written again. With V(always), it is written at each run, which reports a change each time.
    type: str
    choices: [on_difference, on_create, always]
    default: on_difference
  provider:
    description:
      - The provider that the secret is for, as the server writes it, such as V(openai) or V(bedrock). It cannot be changed afterwards.
      - The module refuses one that E(MLFLOW_GATEWAY_ALLOWED_PROVIDERS) of the server leaves out.
    type: str
  auth_config:
    description:
      - Settings that are no secret, such as V(api_base), V(region) or V(auth_mode). Values are stored as strings.
      - Given, it replaces all settings, and V({}) removes them.
      - Since MLflow 3.17, V(api_base) must be an https address of a public host, unless E(MLFLOW_GATEWAY_API_BASE_ALLOWED_SCHEMES) and
        E(MLFLOW_GATEWAY_API_BASE_ALLOW_PRIVATE_IPS) of the server say otherwise.
    type: dict
  force:
    description:
      - Whether O(state=absent) deletes a secret that model definitions use. They lose it, and endpoints that use them fail.
      - Model definitions that the credentials may not read are not seen.
    type: bool
    default: false
seealso:
  - module: mlops.mlflow.mlflow_gateway_secret_info
  - module: mlops.mlflow.mlflow_gateway_model_definition
"""

EXAMPLES = r"""
- name: Store an API key
  mlops.mlflow.mlflow_gateway_secret:
    tracking_uri: http://127.0.0.1:5000
    name: openai-risk-team
    provider: openai
    value:
      api_key: "{{ vault_openai_api_key }}"

- name: Store a key of a server of our own
  mlops.mlflow.mlflow_gateway_secret:
    tracking_uri: http://127.0.0.1:5000
    name: inference
    provider: openai
    value:
      api_key: "{{ vault_inference_api_key }}"
    auth_config:
      api_base: https://inference.example.com/v1

- name: Delete it, unless a model definition uses it
  mlops.mlflow.mlflow_gateway_secret:
    tracking_uri: http://127.0.0.1:5000
    name: inference
    state: absent
"""

RETURN = r"""
gateway_secret:
  description: The secret as it is now, or as it would be outside check mode. Empty where it does not exist.
  returned: success
  type: dict
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
actions:
  description: What was done, or would be done outside check mode, a line each.
  returned: success
  type: list
  elements: str
  sample: [update gateway secret openai-risk-team value.api_key]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.gateway_secret import GATEWAY_SECRET


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_tracking.argument_spec(**GATEWAY_SECRET.rules.OPTIONS), supports_check_mode=True)
    with _module.errors_as_failures(module):
        _module.manage(module, GATEWAY_SECRET, _tracking.client(module.params))


if __name__ == "__main__":
    main()
