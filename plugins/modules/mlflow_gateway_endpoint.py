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
  - Needs MLflow 3.10 or later with its AI gateway, which is on unless the server is started with E(MLFLOW_ENABLE_AI_GATEWAY=false).
  - Creates, updates and deletes an endpoint, which applications call by its name, and which passes the request on to a model.
  - Creating one with O(usage_tracking) and without O(experiment) makes MLflow create the experiment C(gateway/NAME) too, to which it logs
    the requests. Deleting the endpoint leaves the experiment and what it holds; an endpoint created under the same name later logs to it again.
  - MLflow answers calls of an endpoint under C(/gateway) only where it is served by uvicorn, its default.
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
      - With V(absent), it does not exist. Its experiment is left.
    type: str
    choices: [present, absent]
    default: present
  models:
    description:
      - The models that answer, one V(PRIMARY) at least. Needed where the endpoint does not exist yet. Given, it replaces all that there are.
      - Each V(FALLBACK) is tried in the order given, once a V(PRIMARY) has failed.
    type: list
    elements: dict
    suboptions:
      model_definition:
        description: The name of the model definition, which M(mlops.mlflow.mlflow_gateway_model_definition) makes.
        type: str
        required: true
      linkage:
        description: Whether the model answers at first, or where others fail.
        type: str
        choices: [PRIMARY, FALLBACK]
        default: PRIMARY
      weight:
        description: The model's share of the requests where O(routing_strategy) splits them, relative to the other V(PRIMARY) ones, in hundredths.
        type: float
        default: 1.0
  routing_strategy:
    description:
      - V(REQUEST_BASED_TRAFFIC_SPLIT) splits the requests by weight. MLflow can change to it and not back.
      - Without it, MLflow sends all requests to one V(PRIMARY) model, of several to any.
    type: str
    choices: [REQUEST_BASED_TRAFFIC_SPLIT]
  fallback:
    description: How the models with linkage V(FALLBACK) are used. What is not given stays.
    type: dict
    suboptions:
      strategy:
        description: V(SEQUENTIAL) tries one after another, which is all that MLflow does.
        type: str
        choices: [SEQUENTIAL]
      max_attempts:
        description: How many V(FALLBACK) models are tried at most; V(0) for all.
        type: int
  usage_tracking:
    description: Whether requests are logged to the experiment as traces. True where the endpoint is created and this is left out.
    type: bool
  experiment:
    description:
      - The name of the experiment that requests are logged to. It must exist, and not be deleted.
      - If left out, it is C(gateway/NAME), which MLflow makes. Once there is one, an endpoint can change its experiment and not lose it.
    type: str
  tags:
    description:
      - Tags to set. A key with a null value is removed. Keys that are not given stay, unless O(purge_tags) is true.
      - Values are stored as strings; V(true) and V(false) in lower case.
    type: dict
  purge_tags:
    description: Whether tags that O(tags) does not name are removed. MLflow's own, which start with C(mlflow.), are kept.
    type: bool
    default: false
seealso:
  - module: mlops.mlflow.mlflow_gateway_endpoint_info
  - module: mlops.mlflow.mlflow_gateway_model_definition
  - module: mlops.mlflow.mlflow_gateway_secret
  - module: mlops.mlflow.mlflow_experiment
"""

EXAMPLES = r"""
- name: Offer one model
  mlops.mlflow.mlflow_gateway_endpoint:
    tracking_uri: http://127.0.0.1:5000
    name: chat
    models:
      - model_definition: chat-large

- name: Send a tenth to a new model, and fall back on a third
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

- name: Delete it; the experiment gateway/chat stays
  mlops.mlflow.mlflow_gateway_endpoint:
    tracking_uri: http://127.0.0.1:5000
    name: chat
    state: absent
"""

RETURN = r"""
gateway_endpoint:
  description: The endpoint as it is now, or as it would be outside check mode. Empty where it does not exist.
  returned: success
  type: dict
  contains:
    name:
      description: The endpoint's name.
      type: str
      sample: chat
    endpoint_id:
      description: The id by which MLflow knows it.
      type: str
      sample: e-0b1f6c1d9d0f4f0c8a58f3a3c1f5a111
    models:
      description: Its models, V(PRIMARY) by name, then V(FALLBACK) as they are tried. A definition that the credentials may not read is its id.
      type: list
      elements: dict
      sample: [{model_definition: chat-large, linkage: PRIMARY, weight: 1.0}]
    routing_strategy:
      description: How requests are spread over the V(PRIMARY) models. Null where they are not.
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
      description: The name of the experiment that requests are logged to. Null where there is none, or the credentials may not read it.
      type: str
      sample: gateway/chat
    experiment_id:
      description: The number of that experiment.
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
  description: What was done, or would be done outside check mode, a line each.
  returned: success
  type: list
  elements: str
  sample: [update gateway endpoint chat models]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.gateway_endpoint import GATEWAY_ENDPOINT


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_tracking.argument_spec(**GATEWAY_ENDPOINT.rules.OPTIONS), supports_check_mode=True)
    with _module.errors_as_failures(module):
        _module.manage(module, GATEWAY_ENDPOINT, _tracking.client(module.params))


if __name__ == "__main__":
    main()
