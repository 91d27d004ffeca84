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
  - Creates and deletes a user, sets the password, and makes an administrator of a user or takes that away.
  - The server must run with basic authentication, C(mlflow server --app-name basic-auth), and the user of the connection must be an administrator.
  - MLflow does not tell a password. So it is checked by logging in with it, and one that is right already is no change.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  username:
    description: The user's name, of at most 255 characters, without a colon, with which nobody could log in. Case matters.
    type: str
    required: true
  state:
    description:
      - With V(present), the user exists as described.
      - With V(absent), the user is deleted, with all grants. The user of the connection cannot be deleted.
    type: str
    choices: [present, absent]
    default: present
  password:
    description:
      - The password, of at least 12 characters. A new user needs one.
      - Where it is that of the user of the connection itself, O(tracking_password) vouches for the change, and this task goes on with
        the new password. Later tasks must be given the new one.
      - A server that keeps logins in a cache (C(auth_cache_ttl_seconds), 60 seconds where this collection sets it up) may for as long
        take a password for right that another worker process has just replaced.
    type: str
  update_password:
    description: With V(always), O(password) is set where it does not log in. With V(on_create), it is given to a new user alone.
    type: str
    choices: [always, on_create]
    default: always
  is_admin:
    description:
      - Whether the user is an administrator. If left out, a new user is none, and another stays as it is.
      - The user of the connection cannot take it from itself.
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

- name: Make her an administrator
  mlops.mlflow.mlflow_user:
    tracking_uri: http://127.0.0.1:5000
    username: ann
    is_admin: true

- name: Give a first password, which the user may change
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
  description: The user as it is now, or as it would be outside check mode. Empty where it does not exist.
  returned: success
  type: dict
  contains:
    username:
      description: The user's name.
      type: str
      sample: ann
    user_id:
      description: The number by which MLflow knows the user.
      type: int
      sample: 2
    is_admin:
      description: Whether the user is an administrator, whom MLflow asks no permission.
      type: bool
      sample: false
    password:
      description: V(set), or before a change V(differs), where the password that is asked for does not log in. Never the password itself.
      type: str
      sample: set
    is_me:
      description: Whether this is the user of the connection.
      type: bool
      sample: false
actions:
  description: What was done, or would be done outside check mode, a line each.
  returned: success
  type: list
  elements: str
  sample: [update user ann password]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.user import USER


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_tracking.argument_spec(**USER.rules.OPTIONS), supports_check_mode=True)
    with _module.errors_as_failures(module):
        _module.manage(module, USER, _tracking.client(module.params))


if __name__ == "__main__":
    main()
