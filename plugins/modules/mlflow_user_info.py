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
  - Gives one user, or all. To list all, the server must run MLflow 3.16 or later.
  - The server must run with basic authentication, C(mlflow server --app-name basic-auth).
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  username:
    description: The one user to give. Where there is none, the list is empty.
    type: str
seealso:
  - module: mlops.mlflow.mlflow_user
"""

EXAMPLES = r"""
- name: Read all users
  mlops.mlflow.mlflow_user_info:
    tracking_uri: http://127.0.0.1:5000
  register: accounts

- name: Name the administrators
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
      description: The number by which MLflow knows the user.
      type: int
      sample: 2
    is_admin:
      description: Whether the user is an administrator, whom MLflow asks no permission.
      type: bool
      sample: false
    password:
      description: V(set). MLflow does not tell a password.
      type: str
      sample: set
    is_me:
      description: Whether this is the user of the connection.
      type: bool
      sample: false
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.user import USER


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=_tracking.argument_spec(
            username={"type": "str"},
        ),
        supports_check_mode=True,
    )
    with _module.errors_as_failures(module):
        _module.inform(module, USER, _tracking.client(module.params))


if __name__ == "__main__":
    main()
