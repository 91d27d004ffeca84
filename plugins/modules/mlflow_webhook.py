#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage a webhook of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_webhook
short_description: Manage a webhook of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Creates, changes and deletes a webhook, by which MLflow tells another system of new models, versions, tags and aliases.
  - MLflow does not keep the names of webhooks unique. This module does. Where it finds several of one name it changes none of them and
    fails, and O(state=absent) deletes them all.
  - Needs MLflow 3.3 or later with a database. Where basic authentication is on, only an administrator may manage webhooks.
  - Give every process of the server the same E(MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY), and keep it. With another key the server can
    read no webhook at all once one has a secret.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
attributes:
  idempotent:
    description: A second run with the same options changes nothing, unless O(update_secret=always).
    support: partial
    details: MLflow does not give a secret away, so whether it is the same cannot be told.
options:
  name:
    description: The webhook's name, of 1 to 63 letters, digits, dots, underscores and hyphens.
    type: str
    required: true
  state:
    description:
      - With V(present), the webhook exists as described.
      - With V(absent), no webhook has the name.
    type: str
    choices: [present, absent]
    default: present
  url:
    description:
      - Where to deliver, of at most 500 characters. Needed to create a webhook. Everyone who may read webhooks sees it, credentials included.
      - MLflow takes only V(https) and a host name that resolves to public addresses, unless the server is started with
        E(MLFLOW_WEBHOOK_ALLOWED_SCHEMES) or E(MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS). Check mode cannot tell, since the server alone knows.
    type: str
  events:
    description:
      - What to deliver, in any order. Needed to create a webhook.
      - The events are V(registered_model.created), V(model_version.created), V(model_version_tag.set), V(model_version_tag.deleted),
        V(model_version_alias.created), V(model_version_alias.deleted), V(prompt.created), V(prompt_version.created), V(prompt_tag.set),
        V(prompt_tag.deleted), V(prompt_version_tag.set), V(prompt_version_tag.deleted), V(prompt_alias.created),
        V(prompt_alias.deleted) and V(budget_policy.exceeded).
    type: list
    elements: str
  description:
    description: A text of at most 1000 characters. If left out, the description stays as it is; an empty string clears it.
    type: str
  status:
    description: Whether MLflow delivers. If left out, the status stays as it is; a new webhook is V(ACTIVE).
    type: str
    choices: [ACTIVE, DISABLED]
  secret:
    description:
      - The key by which MLflow signs each delivery, in the header C(X-MLflow-Signature).
      - It is written when the webhook is created, and later as O(update_secret) says. An empty string removes it.
    type: str
  update_secret:
    description:
      - With V(on_create), O(secret) is written to a new webhook alone.
      - With V(always), it is written at every run, and each run reports a change, since MLflow does not give a secret away.
    type: str
    choices: [always, on_create]
    default: on_create
  test:
    description:
      - Whether the server delivers an example of the first event, in alphabetical order, once the webhook is as described, at every run but
        in check mode.
      - The module fails if the receiver cannot be reached or answers with a status of 400 or above. MLflow tries several times, so
        give O(timeout) room. The delivery is no change.
    type: bool
    default: false
seealso:
  - module: mlops.mlflow.mlflow_webhook_info
"""

EXAMPLES = r"""
- name: Tell the pipeline of new versions and of a new champion
  mlops.mlflow.mlflow_webhook:
    tracking_uri: http://127.0.0.1:5000
    name: deploy-pipeline
    url: https://ci.example.com/hooks/mlflow
    events:
      - model_version.created
      - model_version_alias.created
    secret: "{{ vault_webhook_secret }}"
    test: true

- name: Replace the secret
  mlops.mlflow.mlflow_webhook:
    tracking_uri: http://127.0.0.1:5000
    name: deploy-pipeline
    secret: "{{ vault_new_webhook_secret }}"
    update_secret: always

- name: Stop deliveries for a while
  mlops.mlflow.mlflow_webhook:
    tracking_uri: http://127.0.0.1:5000
    name: deploy-pipeline
    status: DISABLED

- name: Delete the webhook
  mlops.mlflow.mlflow_webhook:
    tracking_uri: http://127.0.0.1:5000
    name: deploy-pipeline
    state: absent
"""

RETURN = r"""
webhook:
  description: The webhook as it is now, or as it would be outside check mode. Empty where it does not exist.
  returned: success
  type: dict
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
    secret:
      description: V(written anew), in check mode alone and where O(secret) would be written over an older one.
      type: str
      sample: written anew
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
test_delivery:
  description: What came of the delivery that O(test) asks for.
  returned: where O(test) is true and O(state) is V(present), outside check mode
  type: dict
  contains:
    event:
      description: The event of which an example was delivered.
      type: str
      sample: model_version.created
    status:
      description: The HTTP status of the answer.
      type: int
      sample: 200
    body:
      description: The body of the answer.
      type: str
      sample: accepted
actions:
  description: What was done, or would be done outside check mode, a line each.
  returned: success
  type: list
  elements: str
  sample: [update webhook deploy-pipeline events]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.webhook import Webhook
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.webhook import WEBHOOK


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=_tracking.argument_spec(**WEBHOOK.rules.OPTIONS, test={"type": "bool", "default": False}),
        supports_check_mode=True,
    )
    with _module.errors_as_failures(module):
        client = _tracking.client(module.params)
        _module.manage(module, WEBHOOK, client, Webhook(client, module.params).finish)


if __name__ == "__main__":
    main()
