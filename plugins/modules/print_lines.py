#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print lines as they are. The action plugin of the same name does all the work."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: print_lines
short_description: Print lines as they are
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Prints lines on the control node, so that commands in them can be copied. M(ansible.builtin.debug) prints them as YAML or JSON, which
    escapes quotes and backslashes and breaks long lines.
extends_documentation_fragment:
  - mlops.mlflow.attributes.info
attributes:
  check_mode:
    description: Only prints, with or without check mode.
    support: full
options:
  lines:
    description: The lines.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show how to read the password
  mlops.mlflow.print_lines:
    lines:
      - "The password, as root on the first server:"
      - "  kubectl -n mlflow get secret mlflow -o jsonpath='{.data.admin-password}' | base64 -d"
"""

RETURN = r"""
lines:
  description: The lines, for callbacks that store results.
  returned: success
  type: list
  elements: str
  sample: ["The password, as root on the first server:"]
"""
