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
  - Creates, updates and deletes the credentials that the gateway uses for a provider of language models, such as an API key.
  - MLflow encrypts them with a key derived from E(MLFLOW_CRYPTO_KEK_PASSPHRASE). Set this on the server before the first secret is stored,
    to the same value on each replica, and keep it. Without it, every MLflow uses the same key; if it changes, stored secrets cannot be read.
  - Requires MLflow 3.10 or later with its AI gateway, which is enabled unless the server is started with E(MLFLOW_ENABLE_AI_GATEWAY=false).
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
      - The fields of the secret, such as C(api_key), or C(aws_access_key_id) and C(aws_secret_access_key) for C(bedrock). Each is a string;
        P(ansible.builtin.to_json#filter) makes one of a dictionary. Required to create a secret.
      - Replaces all stored fields.
    type: dict
  update_value:
    description:
      - When to update the value of an existing secret.
      - MLflow reveals only the names of its fields and, of each field, the first three and last four characters, or nothing if it has
        fewer than eight.
      - With V(on_difference), it is updated if any of these differs from O(value). A difference only in the hidden characters, or in a field
        of fewer than eight characters, is not detected.
      - With V(on_create), it is never updated. With V(always), it is updated on each run, which always reports a change.
    type: str
    choices: [on_difference, on_create, always]
    default: on_difference
  provider:
    description:
      - The provider that the secret is for, as the server spells it, such as V(openai) or V(bedrock). It cannot be changed afterwards.
      - The module rejects a provider that the server's E(MLFLOW_GATEWAY_ALLOWED_PROVIDERS) does not allow.
    type: str
  auth_config:
    description:
      - Settings that are not secret, such as V(api_base), V(region) or V(auth_mode). Values are stored as strings.
      - Replaces all existing settings; V({}) removes them.
      - Since MLflow 3.17, V(api_base) must be an https URL of a public host, unless the server's E(MLFLOW_GATEWAY_API_BASE_ALLOWED_SCHEMES)
        and E(MLFLOW_GATEWAY_API_BASE_ALLOW_PRIVATE_IPS) allow others.
    type: dict
  force:
    description:
      - Whether O(state=absent) deletes a secret that model definitions use. They lose it, and endpoints that use them fail.
      - Model definitions that the credentials may not read are not considered.
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

- name: Store a key for a self-hosted server
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
  description: The secret as it is now, or, in check mode, as it would be. Empty if it does not exist.
  returned: success
  type: dict
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
actions:
  description: What was done, or in check mode would be done, one line per action.
  returned: success
  type: list
  elements: str
  sample: [update gateway secret openai-risk-team value.api_key]
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_secret.adapter import GATEWAY_SECRET
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import manage


def main() -> None:
    """Run the module."""
    manage(GATEWAY_SECRET)


if __name__ == "__main__":
    main()
