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
  - Returns the server's version, its health, whether the credentials are valid, and which features it has.
  - Fails only if the server cannot be reached or is not an MLflow server, so that C(until) can wait for it.
  - Without credentials, or with wrong ones, it returns what MLflow discloses to anyone. With basic authentication, that is the health and,
    since MLflow 3.10, some features.
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

- name: Declare a workspace if the server has workspaces enabled
  mlops.mlflow.mlflow_workspace:
    tracking_uri: http://127.0.0.1:5000
    name: risk-team
  when: mlflow.server.features.workspaces
"""

RETURN = r"""
server:
  description: The properties of the server. Those not disclosed to these credentials are null.
  returned: success
  type: dict
  contains:
    version:
      description: The version of MLflow.
      type: str
      sample: 3.17.2
    healthy:
      description: Whether the server reports that it is up, which it does even without its database.
      type: bool
      sample: true
    ready:
      description: Whether a request that needs the database succeeds.
      type: bool
      sample: true
    authenticated:
      description: Whether the server accepts the credentials, or requires none.
      type: bool
      sample: true
    authentication:
      description: V(basic) if MLflow's basic authentication is enabled, V(oidc_plugin) if mlflow-oidc-auth is, V(none) if MLflow requires no
        credentials, else V(unknown).
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
      description: Why the server is not ready, or does not accept the credentials. Empty if there is no problem.
      type: str
      sample: ""
"""

from ansible_collections.mlops.mlflow.plugins.module_utils import _module
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import connection
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.server.adapter import answers
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.server.rules import described


def main() -> None:
    """Run the module."""
    module = _module.Module(argument_spec=connection.argument_spec(), supports_check_mode=True)
    with _module.errors_as_failures(module):
        module.exit_json(changed=False, server=described(answers(connection.client(module.params))))


if __name__ == "__main__":
    main()
