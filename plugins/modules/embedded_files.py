#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private files of the embedded stack."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: embedded_files
short_description: Write private files of the embedded stack
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Compares all files at once, and writes those whose content, owner or mode differs, each whole or not at all. Missing folders are created.
extends_documentation_fragment:
  - mlops.mlflow.attributes
attributes:
  diff_mode:
    description: Shows which files are written, without their contents, which may be secret.
    support: full
options:
  files:
    description: The files, of mode 0600, as path and content.
    type: dict
    required: true
  user:
    description: The user of the stack's processes, who owns the files.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Write the settings of clients
  mlops.mlflow.embedded_files:
    user: mlflow
    files:
      /var/lib/mlops-mlflow/client.env: "export MLFLOW_TRACKING_URI=http://127.0.0.1:5000\n"
"""

RETURN = r"""
written:
  description: The paths of the files that were written.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/mlops-mlflow/client.env]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils._embedded import files


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"files": {"type": "dict", "required": True, "no_log": True}, "user": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    wanted, user = module.params["files"], module.params["user"]
    written = files.differing(wanted, user)
    if not module.check_mode:
        for path in written:
            files.write(path, wanted[path], user)
    module.exit_json(changed=bool(written), written=written, diff={"prepared": "".join(f"write {path}\n" for path in written)})


if __name__ == "__main__":
    main()
