#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage a user of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_user
short_description: Manage a user of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Creates and deletes a user, sets the password, and grants or revokes administrator rights.
  - The server must run with basic authentication, C(mlflow server --app-name basic-auth), and the connecting user must be an administrator.
  - MLflow does not reveal passwords. The module checks a password by logging in with it, and reports no change if it is correct.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  username:
    description:
      - The user's name, of at most 255 characters, without a colon, which would make logging in impossible. Case matters.
      - Only the names of Kubernetes' service accounts, C(system:serviceaccount:NAMESPACE:NAME), have colons. They have no password, and MLflow
        creates their users when it sees their first tokens.
      - A new user's name must be ASCII. MLflow accepts others, but such users cannot upload artifacts.
    type: str
    required: true
  state:
    description:
      - With V(present), the user exists as described.
      - With V(absent), the user is deleted, with all grants. The connecting user cannot be deleted.
    type: str
    choices: [present, absent]
    default: present
  password:
    description:
      - The password, of 12 to 1000 ASCII characters. Required for a new user.
      - MLflow accepts other characters, but users with such a password cannot upload artifacts.
      - If it is the password of the connecting user, O(tracking_password) authorizes the change, and this task continues with the new
        password. Later tasks must be given the new one.
      - A server that caches logins (C(auth_cache_ttl_seconds), 60 seconds if deployed by this collection) may, for that long, accept
        a password that another worker process has just replaced.
    type: str
  update_password:
    description: With V(always), O(password) is set if logging in with it fails. With V(on_create), it is set only for a new user.
    type: str
    choices: [always, on_create]
    default: always
  is_admin:
    description:
      - Whether the user is an administrator. If not given, a new user is not, and an existing one is left unchanged.
      - The connecting user cannot revoke its own administrator rights.
    type: bool
seealso:
  - module: mlops.mlflow.mlflow_user_info
  - module: mlops.mlflow.mlflow_role
  - module: mlops.mlflow.mlflow_grant
"""

EXAMPLES = r"""
- name: Declare a user
  mlops.mlflow.mlflow_user:
    tracking_uri: http://127.0.0.1:5000
    username: ann
    password: "{{ vault_ann_password }}"

- name: Make the user an administrator
  mlops.mlflow.mlflow_user:
    tracking_uri: http://127.0.0.1:5000
    username: ann
    is_admin: true

- name: Set an initial password, which the user may change
  mlops.mlflow.mlflow_user:
    tracking_uri: http://127.0.0.1:5000
    username: bob
    password: "{{ first_password }}"
    update_password: on_create

- name: Delete a user
  mlops.mlflow.mlflow_user:
    tracking_uri: http://127.0.0.1:5000
    username: bob
    state: absent
"""

RETURN = r"""
user:
  description: The user as it is now, or, in check mode, as it would be. Empty if it does not exist.
  returned: success
  type: dict
  contains:
    username:
      description: The user's name.
      type: str
      sample: ann
    user_id:
      description: MLflow's ID for the user.
      type: int
      sample: 2
    is_admin:
      description: Whether the user is an administrator, who needs no permissions.
      type: bool
      sample: false
    password:
      description: V(set), or, before a change, V(differs) if logging in with the password that M(mlops.mlflow.mlflow_user) is given fails.
      type: str
      sample: set
    is_me:
      description: Whether this is the connecting user.
      type: bool
      sample: false
actions:
  description: What was done, or in check mode would be done, one line per action.
  returned: success
  type: list
  elements: str
  sample: [update user ann password]
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import manage
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.user.adapter import USER


def main() -> None:
    """Run the module."""
    manage(USER)


if __name__ == "__main__":
    main()
