#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a whole MLflow tracking server to a declaration, or write it down as one."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_resources
short_description: Bring a whole MLflow tracking server to a declaration, or write it down as one
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Takes a declaration of everything that is to be on a server, and reconciles it in one process over kept-alive connections.
  - It lists each kind once, plans every resource, checks the whole plan, and only then writes, in the order that resources build on each other.
  - An entry takes the options of the kind's own module. What is not declared is left alone, unless O(prune) names its kind.
  - With O(state=exported), it writes the live server down as such a declaration.
  - Where a write fails, the module says what was applied and what was not. Another run does the rest.
extends_documentation_fragment:
  - mlops.mlflow.resources
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
attributes:
  diff_mode:
    description: Shows the plan as a text, C(+) for what is created, C(~) changed, C(-) deleted, with the sums at the end.
    support: full
options:
  state:
    description:
      - With V(present), the server becomes what is declared.
      - With V(exported), nothing is changed, and the server is returned as a declaration.
    type: str
    choices: [present, exported]
    default: present
  src:
    description:
      - A file with a declaration in YAML or JSON, or a folder of such files, on the control node. Vault is read.
      - The top-level keys of a file are the lists below. The lists of several files, and those given as options, are joined.
      - A relative path is looked for as that of the M(ansible.builtin.copy) module is.
    type: path
  declaration:
    description: A declaration as one dictionary, whose keys are the lists below. They are joined with those given otherwise.
    type: dict
  dest:
    description: The file on the control node that O(state=exported) writes the declaration to.
    type: path
  kinds:
    description: The lists that O(state=exported) writes. Without it, all that the server knows.
    type: list
    elements: str
  portable:
    description:
      - Whether O(state=exported) leaves out what only this server can hold, so that an empty one can be made the same, which is
        versions of models whose files are in the server's own keeping, and the aliases on them.
    type: bool
    default: false
  prune:
    description:
      - The lists of which everything that is not declared is deleted. A registered model goes with its versions.
      - Each of them has to be declared, if only as an empty list. What MLflow itself made is kept.
    type: list
    elements: str
    default: []
  prune_limit:
    description: How much of a kind O(prune) may delete in one run, in percent of what is there. Beyond that nothing is changed.
    type: int
    default: 20
  connections:
    description: How many connections to the server are used at once.
    type: int
    default: 8
"""

EXAMPLES = r"""
- name: Declare what is to be on the server
  mlops.mlflow.mlflow_resources:
    tracking_uri: http://127.0.0.1:5000
    experiments:
      - name: akko-banking-risk-model
        tags: {owner: risk-team}
    registered_models:
      - name: banking-risk-classifier
        description: Probability of default within twelve months.

- name: Apply a folder of declarations, and delete the experiments that none declares
  mlops.mlflow.mlflow_resources:
    tracking_uri: http://127.0.0.1:5000
    src: mlflow/
    prune: [experiments]

- name: Write the server down
  mlops.mlflow.mlflow_resources:
    tracking_uri: http://127.0.0.1:5000
    state: exported
    dest: mlflow/server.yml
"""

RETURN = r"""
actions:
  description: What was done, or would be done outside check mode, a line each.
  returned: success
  type: list
  elements: str
  sample: [create experiment akko-banking-risk-model]
counts:
  description: How many resources were created, changed and deleted, and how many were as declared.
  returned: if O(state=present)
  type: dict
  sample: {created: 1, changed: 0, deleted: 0, same: 12}
resources:
  description: The live server as a declaration.
  returned: if O(state=exported)
  type: dict
  sample: {experiments: [{name: akko-banking-risk-model}]}
yaml:
  description: RV(resources) as a YAML document.
  returned: if O(state=exported)
  type: str
  sample: "---\nexperiments:\n  - name: akko-banking-risk-model\n"
applied:
  description: What was done before the failure, a line each.
  returned: if a write failed
  type: list
  elements: str
  sample: [create experiment akko-banking-risk-model]
pending:
  description: What was not done, or not finished, because of the failure, a line each.
  returned: if a write failed
  type: list
  elements: str
  sample: [create registered model banking-risk-classifier]
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _resources, _tracking


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=_tracking.argument_spec(
            **_resources.argument_spec(),
            state={"type": "str", "choices": ["present", "exported"], "default": "present"},
            src={"type": "path"},
            declaration={"type": "dict"},
            dest={"type": "path"},
            kinds={"type": "list", "elements": "str"},
            portable={"type": "bool", "default": False},
            prune={"type": "list", "elements": "str", "default": []},
            prune_limit={"type": "int", "default": 20},
            connections={"type": "int", "default": 8},
        ),
        supports_check_mode=True,
    )
    with _module.errors_as_failures(module):
        _resources.run(module, partial(_tracking.client, module.params))


if __name__ == "__main__":
    main()
