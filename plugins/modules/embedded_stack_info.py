#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at the embedded stack. The action plugin of the same name does all the work."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: embedded_stack_info
short_description: Look at the embedded stack, and refuse what cannot work
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Looks at the folder, the processes, the packages, the keys and the data of the embedded stack, and fails with one sentence if something stands in
    the way, before anything is changed.
  - Takes no options. It reads the variables of the role P(mlops.mlflow.embedded#role), of which it is a part.
  - Returns the user of the connection as facts, named as M(ansible.builtin.setup) names them.
extends_documentation_fragment:
  - mlops.mlflow.attributes.info
options: {}
"""

EXAMPLES = r"""
- name: Look at the embedded stack
  mlops.mlflow.embedded_stack_info:
  register: stack
"""

RETURN = r"""
found:
  description: What is in the folder, which processes are the stack's own, and the versions that wrote its data.
  returned: success
  type: dict
  sample: {entries: [.mlops-mlflow, venv], supervisors: [4711], answers: true, left: []}
needs_work:
  description: Whether folders, packages, the supervisor or its unit have to be created or changed.
  returned: success
  type: bool
  sample: false
requirements:
  description: The list of packages, on the control node.
  returned: success
  type: str
  sample: roles/embedded/files/requirements-3.17.2.txt
mlflow_version:
  description: The version of MLflow in that list.
  returned: success
  type: str
  sample: 3.17.2
has_packages:
  description: Whether exactly these packages are installed.
  returned: success
  type: bool
  sample: true
is_installed:
  description: Whether the stack's Python environment works, with these packages or others.
  returned: success
  type: bool
  sample: true
packages:
  description: A file that exists only while exactly these packages are installed.
  returned: success
  type: str
  sample: /var/lib/mlops-mlflow/venv/.holds-2b66fd261ee5c6cfc8de7fa466bab600bcfe4f69
"""
