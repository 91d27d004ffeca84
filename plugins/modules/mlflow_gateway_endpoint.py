#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage an endpoint of MLflow's AI gateway."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_gateway_endpoint
short_description: Manage an endpoint of MLflow's AI gateway
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Creates, updates and deletes an endpoint, which applications call by name, and which forwards their requests to a model.
  - If an endpoint is created with O(usage_tracking) and without O(experiment), MLflow also creates the experiment C(gateway/NAME) and logs
    requests to it. Deleting the endpoint keeps that experiment; an endpoint created later under the same name logs to it again.
  - MLflow serves endpoints under C(/gateway) only with uvicorn, its default server.
  - Requires MLflow 3.10 or later with its AI gateway, which is enabled unless the server is started with E(MLFLOW_ENABLE_AI_GATEWAY=false).
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The endpoint's name, of at most 248 ASCII letters, digits, V(_), V(-) and V(.). Case matters.
    type: str
    required: true
  state:
    description:
      - With V(present), the endpoint exists as described.
      - With V(absent), it does not exist. Its experiment is kept.
    type: str
    choices: [present, absent]
    default: present
  models:
    description:
      - The models of the endpoint, at least one of them V(PRIMARY). Required to create an endpoint. Replaces all existing ones.
      - The V(FALLBACK) models are tried in the order given after a V(PRIMARY) one has failed.
    type: list
    elements: dict
    suboptions:
      model_definition:
        description: The name of the model definition. M(mlops.mlflow.mlflow_gateway_model_definition) creates it.
        type: str
        required: true
      linkage:
        description: Whether requests go to the model first, or only if others fail.
        type: str
        choices: [PRIMARY, FALLBACK]
        default: PRIMARY
      weight:
        description: The model's share of the requests if O(routing_strategy) splits them, relative to other V(PRIMARY) models, to two decimal places.
        type: float
        default: 1.0
  routing_strategy:
    description:
      - V(REQUEST_BASED_TRAFFIC_SPLIT) splits the requests by weight. MLflow cannot change it back.
      - Without it, MLflow sends all requests to one V(PRIMARY) model; if there are several, which one is undefined.
    type: str
    choices: [REQUEST_BASED_TRAFFIC_SPLIT]
  fallback:
    description: How the models with linkage V(FALLBACK) are used. Settings that are not given are left unchanged.
    type: dict
    suboptions:
      strategy:
        description: V(SEQUENTIAL) tries one after another, the only strategy that MLflow has.
        type: str
        choices: [SEQUENTIAL]
      max_attempts:
        description: The maximum number of V(FALLBACK) models to try; V(0) for all.
        type: int
  usage_tracking:
    description: Whether requests are logged to the experiment as traces. If not given, this is true for a new endpoint.
    type: bool
  experiment:
    description:
      - The name of the experiment that requests are logged to. It must exist and not be deleted.
      - If not given, it is C(gateway/NAME), which MLflow creates. An endpoint's experiment can be changed, but not removed.
    type: str
  tags:
    description:
      - Tags to set. A null value removes the tag. Tags that are not listed are kept, unless O(purge_tags) is true.
      - Values are stored as strings, booleans as V(true) and V(false).
    type: dict
  purge_tags:
    description: Whether to remove tags that O(tags) does not list. MLflow's own tags, which start with C(mlflow.), are kept.
    type: bool
    default: false
seealso:
  - module: mlops.mlflow.mlflow_gateway_endpoint_info
  - module: mlops.mlflow.mlflow_gateway_model_definition
  - module: mlops.mlflow.mlflow_gateway_secret
  - module: mlops.mlflow.mlflow_experiment
"""

EXAMPLES = r"""
- name: Declare an endpoint with one model
  mlops.mlflow.mlflow_gateway_endpoint:
    tracking_uri: http://127.0.0.1:5000
    name: chat
    models:
      - model_definition: chat-large

- name: Send a tenth of the requests to a new model, and fall back to a third one
  mlops.mlflow.mlflow_gateway_endpoint:
    tracking_uri: http://127.0.0.1:5000
    name: chat
    routing_strategy: REQUEST_BASED_TRAFFIC_SPLIT
    models:
      - model_definition: chat-large
        weight: 0.9
      - model_definition: chat-next
        weight: 0.1
      - model_definition: chat-elsewhere
        linkage: FALLBACK
    fallback:
      max_attempts: 1
    tags:
      team: risk

- name: Delete it, and keep the experiment gateway/chat
  mlops.mlflow.mlflow_gateway_endpoint:
    tracking_uri: http://127.0.0.1:5000
    name: chat
    state: absent
"""

RETURN = r"""
gateway_endpoint:
  description: The endpoint as it is now, or, in check mode, as it would be. Empty if it does not exist.
  returned: success
  type: dict
  contains:
    name:
      description: The endpoint's name.
      type: str
      sample: chat
    endpoint_id:
      description: MLflow's ID for it.
      type: str
      sample: e-0b1f6c1d9d0f4f0c8a58f3a3c1f5a111
    models:
      description: Its models, first V(PRIMARY) by name, then V(FALLBACK) in order. A definition that the credentials may not read appears as its ID.
      type: list
      elements: dict
      sample: [{model_definition: chat-large, linkage: PRIMARY, weight: 1.0}]
    routing_strategy:
      description: How requests are distributed over the V(PRIMARY) models. Null if they are not.
      type: str
      sample: REQUEST_BASED_TRAFFIC_SPLIT
    fallback:
      description: How the V(FALLBACK) models are used.
      type: dict
      sample: {strategy: SEQUENTIAL, max_attempts: 1}
    usage_tracking:
      description: Whether requests are logged.
      type: bool
      sample: true
    experiment:
      description: The name of the experiment that requests are logged to. Null if there is none, or if the credentials may not read it.
      type: str
      sample: gateway/chat
    experiment_id:
      description: The ID of that experiment.
      type: str
      sample: "7"
    tags:
      description: All tags of the endpoint.
      type: dict
      sample: {team: risk}
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
  sample: [update gateway endpoint chat models]
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_endpoint.adapter import GATEWAY_ENDPOINT
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import manage


def main() -> None:
    """Run the module."""
    manage(GATEWAY_ENDPOINT)


if __name__ == "__main__":
    main()
