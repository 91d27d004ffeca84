#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the users of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_user_info
short_description: Read the users of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Returns one user, or all. Listing all requires MLflow 3.16 or later.
  - The server must run with basic authentication, C(mlflow server --app-name basic-auth).
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  username:
    description: Return only this user. If it does not exist, the list is empty.
    type: str
seealso:
  - module: mlops.mlflow.mlflow_user
"""

EXAMPLES = r"""
- name: Read all users
  mlops.mlflow.mlflow_user_info:
    tracking_uri: http://127.0.0.1:5000
  register: accounts

- name: Show the administrators
  ansible.builtin.debug:
    msg: "{{ accounts.users | selectattr('is_admin') | map(attribute='username') }}"
"""

RETURN = r"""
users:
  description: The users.
  returned: success
  type: list
  elements: dict
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
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import inform
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.user.adapter import USER


def main() -> None:
    """Run the module."""
    inform(USER)


if __name__ == "__main__":
    main()
