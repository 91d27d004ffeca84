#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the endpoints of MLflow's AI gateway."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_gateway_endpoint_info
short_description: Read the endpoints of MLflow's AI gateway
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Requires MLflow 3.10 or later with its AI gateway, which is enabled unless the server is started with E(MLFLOW_ENABLE_AI_GATEWAY=false).
  - Returns one endpoint, or all that the credentials may read. MLflow does not list an endpoint without models.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: Return only this endpoint. If it does not exist, the list is empty.
    type: str
seealso:
  - module: mlops.mlflow.mlflow_gateway_endpoint
"""

EXAMPLES = r"""
- name: Read the endpoints
  mlops.mlflow.mlflow_gateway_endpoint_info:
    tracking_uri: http://127.0.0.1:5000
  register: found

- name: Read one
  mlops.mlflow.mlflow_gateway_endpoint_info:
    tracking_uri: http://127.0.0.1:5000
    name: chat
"""

RETURN = r"""
gateway_endpoints:
  description: The endpoints, in no particular order.
  returned: success
  type: list
  elements: dict
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
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_endpoint.adapter import GATEWAY_ENDPOINT
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import inform


def main() -> None:
    """Run the module."""
    inform(GATEWAY_ENDPOINT)


if __name__ == "__main__":
    main()
