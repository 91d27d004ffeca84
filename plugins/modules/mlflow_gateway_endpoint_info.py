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
  - Needs MLflow 3.10 or later with its AI gateway, which is on unless the server is started with E(MLFLOW_ENABLE_AI_GATEWAY=false).
  - Gives one endpoint, or all that the credentials may read. MLflow lists none that has no model.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The one endpoint to give. Where it does not exist, the list is empty.
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
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.gateway_endpoint import GATEWAY_ENDPOINT


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_tracking.argument_spec(name={"type": "str"}), supports_check_mode=True)
    with _module.errors_as_failures(module):
        _module.inform(module, GATEWAY_ENDPOINT, _tracking.client(module.params))


if __name__ == "__main__":
    main()
