#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what an MLflow tracking server is and can do."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_server_info
short_description: Read what an MLflow tracking server is and can do
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Gives the server's version, its health, whether the credentials are good, and which features it has.
  - It fails only if the server cannot be reached, or is none of MLflow's, so that C(until) can wait for it.
  - Without credentials, or with wrong ones, it gives what MLflow tells anyone. With basic authentication on, that is the health and, since
    MLflow 3.10, some features.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options: {}
seealso:
  - module: mlops.mlflow.mlflow_workspace_info
"""

EXAMPLES = r"""
- name: Wait until the server and its database answer
  mlops.mlflow.mlflow_server_info:
    tracking_uri: http://127.0.0.1:5000
    retries: 0
  register: mlflow
  until: mlflow is success and mlflow.server.ready
  retries: 30
  delay: 2

- name: Declare a workspace where there are workspaces
  mlops.mlflow.mlflow_workspace:
    tracking_uri: http://127.0.0.1:5000
    name: risk-team
  when: mlflow.server.features.workspaces
"""

RETURN = r"""
server:
  description: What the server is. What it does not tell to these credentials is null.
  returned: success
  type: dict
  contains:
    version:
      description: The version of MLflow.
      type: str
      sample: 3.17.2
    healthy:
      description: Whether the server says that it is up. It says so without its database too.
      type: bool
      sample: true
    ready:
      description: Whether a request that needs the database succeeds.
      type: bool
      sample: true
    authenticated:
      description: Whether the server takes the credentials, or asks for none.
      type: bool
      sample: true
    authentication:
      description: V(basic) where MLflow's basic authentication is on, V(none) where MLflow asks for nothing, else V(unknown).
      type: str
      sample: basic
    username:
      description: The user that the credentials belong to. Null before MLflow 3, and without basic authentication.
      type: str
      sample: admin
    is_admin:
      description: Whether that user is an administrator.
      type: bool
      sample: true
    store_type:
      description: V(SqlStore) or V(FileStore). Null before MLflow 3.10.
      type: str
      sample: SqlStore
    features:
      description:
        - Whether the server has each of V(aliases), V(gateway), V(logged_models), V(prompts), V(roles), V(trace_archival), V(webhooks) and
          V(workspaces).
      type: dict
      sample: {aliases: true, gateway: true, logged_models: true, prompts: true, roles: true, trace_archival: false, webhooks: true}
    problem:
      description: Why the server is not ready, or does not take the credentials. Empty where all is well.
      type: str
      sample: ""
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.server import answers
from ansible_collections.mlops.mlflow.plugins.module_utils._core.server import described


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_tracking.argument_spec(), supports_check_mode=True)
    with _module.errors_as_failures(module):
        module.exit_json(changed=False, server=described(answers(_tracking.client(module.params))))


if __name__ == "__main__":
    main()
