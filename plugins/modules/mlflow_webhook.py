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
  - Creates, changes and deletes a webhook, which notifies another system of new models, versions, tags and aliases.
  - MLflow does not enforce unique names of webhooks; this module does. If it finds several of one name, it fails without changing any
    of them, and O(state=absent) deletes them all.
  - Requires MLflow 3.3 or later with a database. With basic authentication, only an administrator may manage webhooks.
  - Set the same E(MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY) on every process of the server, and keep it. If it changes, the server can
    read no webhook at all once one has a secret.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
attributes:
  idempotent:
    description: A second run with the same options changes nothing, unless O(update_secret=always).
    support: partial
    details: MLflow does not reveal secrets, so the module cannot tell whether one differs.
options:
  name:
    description: The webhook's name, of 1 to 63 letters, digits, dots, underscores and hyphens.
    type: str
    required: true
  state:
    description:
      - With V(present), the webhook exists as described.
      - With V(absent), no webhook has this name.
    type: str
    choices: [present, absent]
    default: present
  url:
    description:
      - The URL to deliver to, of at most 500 characters. Required to create a webhook. Everyone who may read webhooks sees it, credentials included.
      - MLflow accepts only V(https) and a host name that resolves to public addresses, unless the server is started with
        E(MLFLOW_WEBHOOK_ALLOWED_SCHEMES) or E(MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS). Check mode cannot check this, as only the server knows.
    type: str
  events:
    description:
      - The events to deliver, in any order. Required to create a webhook.
      - The events are V(registered_model.created), V(model_version.created), V(model_version_tag.set), V(model_version_tag.deleted),
        V(model_version_alias.created), V(model_version_alias.deleted), V(prompt.created), V(prompt_version.created), V(prompt_tag.set),
        V(prompt_tag.deleted), V(prompt_version_tag.set), V(prompt_version_tag.deleted), V(prompt_alias.created),
        V(prompt_alias.deleted) and V(budget_policy.exceeded).
    type: list
    elements: str
  description:
    description: A text of at most 1000 characters. If not given, the description is left unchanged; an empty string clears it.
    type: str
  status:
    description: Whether MLflow delivers events. If not given, the status is left unchanged; a new webhook is V(ACTIVE).
    type: str
    choices: [ACTIVE, DISABLED]
  secret:
    description:
      - The key with which MLflow signs each delivery, in the header C(X-MLflow-Signature); at most 687 bytes.
      - It is set when the webhook is created, and later according to O(update_secret). An empty string removes it.
    type: str
  update_secret:
    description:
      - With V(on_create), O(secret) is set only on a new webhook.
      - With V(always), it is set on each run, and each run reports a change, since MLflow does not reveal secrets.
    type: str
    choices: [always, on_create]
    default: on_create
  test:
    description:
      - Whether to have the server deliver an example of the first event in alphabetical order, after any changes, on each run except in
        check mode.
      - The module fails if the receiver cannot be reached or responds with a status of 400 or above. MLflow retries several times, so
        O(timeout) must be long enough. The delivery is not reported as a change.
    type: bool
    default: false
seealso:
  - module: mlops.mlflow.mlflow_webhook_info
"""

EXAMPLES = r"""
- name: Notify the pipeline of new versions and of a new champion
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

- name: Pause deliveries
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
  description: The webhook as it is now, or, in check mode, as it would be. Empty if it does not exist.
  returned: success
  type: dict
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
    secret:
      description: V(written anew).
      returned: in check mode, if O(secret) would replace an existing one
      type: str
      sample: written anew
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
test_delivery:
  description: The result of the delivery requested with O(test).
  returned: where O(test) is true and O(state) is V(present), outside check mode
  type: dict
  contains:
    event:
      description: The event of which an example was delivered.
      type: str
      sample: model_version.created
    status:
      description: The HTTP status of the response.
      type: int
      sample: 200
    body:
      description: The body of the response.
      type: str
      sample: accepted
actions:
  description: What was done, or in check mode would be done, one line per action.
  returned: success
  type: list
  elements: str
  sample: [update webhook deploy-pipeline events]
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import manage
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.webhook.adapter import WEBHOOK


def main() -> None:
    """Run the module."""
    manage(WEBHOOK)


if __name__ == "__main__":
    main()
