#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of the embedded stack, which are generated once and then kept."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: embedded_secrets
short_description: Generate and read the secrets of the embedded stack
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Generates each secret that has no file yet, 32 letters and digits in a file of mode 0600, and returns all secrets of the stack.
  - The result contains the secrets, so that a task that uses this module needs C(no_log).
extends_documentation_fragment:
  - mlops.mlflow.attributes
attributes:
  diff_mode:
    description: Shows the names of the secrets that are generated.
    support: full
options:
  home:
    description: The folder of the stack. The secrets are in its folder C(secrets).
    type: path
    required: true
  user:
    description: The user of the stack's processes, who owns the files.
    type: str
    required: true
  names:
    description: The names of the secrets that must exist.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Generate PostgreSQL's passwords
  mlops.mlflow.embedded_secrets:
    home: /var/lib/mlops-mlflow
    user: mlflow
    names: [postgresql_admin_password, postgresql_password]
  register: secrets
  no_log: true
"""

RETURN = r"""
secrets:
  description: The first line of each file in the folder, by its name. In check mode, secrets that would be generated are empty.
  returned: success
  type: dict
  sample: {postgresql_password: "<32 letters and digits>"}
"""

import secrets
import string

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils._embedded import files


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "home": {"type": "path", "required": True},
            "user": {"type": "str", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    folder, user = module.params["home"] + "/secrets", module.params["user"]
    values = files.first_lines(folder)
    missing = [name for name in module.params["names"] if name not in values]
    for name in missing:
        values[name] = ""
        if not module.check_mode:
            values[name] = "".join(secrets.choice(string.ascii_letters + string.digits) for _number in range(32))
            files.write(f"{folder}/{name}", values[name], user)
    module.exit_json(changed=bool(missing), secrets=values, diff={"prepared": "".join(f"generate {name}\n" for name in missing)})


if __name__ == "__main__":
    main()
