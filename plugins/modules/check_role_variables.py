#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check an inventory's variables. The action plugin of the same name does all the work."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: check_role_variables
short_description: Check the variables of this collection's roles for all hosts of a play
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Fails if a variable with the prefix of one of this collection's roles is unknown to that role, and suggests the most similar one, or if a
    variable has a value that its role does not take. Runs on the control node, for all hosts of the play at once, and contacts none of them.
  - For prefixes that other roles use too, C(k3s_), C(keycloak_), C(kubernetes_), C(nfs_), C(postgresql_) and C(embedded_), only a variable whose name
    is nearly that of a known one, and whose value would suit it, counts as misspelt.
  - Templates that cannot be rendered yet are not checked, and texts are not rendered.
  - The playbooks of this collection begin with it; in your own, import C(mlops.mlflow.check_variables) before plays that use its roles.
extends_documentation_fragment:
  - mlops.mlflow.attributes.info
options: {}
"""

EXAMPLES = r"""
- name: Check the variables of all hosts
  mlops.mlflow.check_role_variables:
  run_once: true
"""

RETURN = r"""
msg:
  description: One sentence for each problem, with the variable, its value and the remedy, and with the hosts unless it concerns all of them.
  returned: always
  type: str
  sample: "mlflow_server_replica: role mlflow_server has no such variable; rename it to mlflow_server_replicas, or remove it"
"""
