#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage everything on an MLflow tracking server from one declaration, or export it as one."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_resources
short_description: Manage everything on an MLflow tracking server from one declaration, or export it as one
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Takes a declaration of everything that should be on a server, and reconciles the server with it in one process over persistent connections.
  - Lists each kind once, plans every resource, checks the whole plan, and only then writes, in order of the dependencies between resources.
  - An entry takes the options of the module for that kind. Resources that are not declared are left alone, unless O(prune) names their kind.
  - With O(state=exported), it exports the live server as such a declaration.
  - If a write fails, the module reports what was applied and what was not. Running it again does the rest.
extends_documentation_fragment:
  - mlops.mlflow.resources
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
attributes:
  diff_mode:
    description: Shows the plan as text, with C(+) for created, C(~) for changed and C(-) for deleted resources, and the totals at the end.
    support: full
options:
  state:
    description:
      - With V(present), the server is made to match the declaration.
      - With V(exported), nothing is changed, and the server's resources are returned as a declaration.
    type: str
    choices: [present, exported]
    default: present
  src:
    description:
      - A file with a declaration in YAML or JSON, or a folder of such files, on the control node. Ansible Vault is supported.
      - The top-level keys of a file are the lists below. The lists of several files, and those given as options, are merged.
      - A relative path is searched for as with M(ansible.builtin.copy).
    type: path
  declaration:
    description: A declaration as one dictionary, whose keys are the lists below. They are merged with lists given otherwise.
    type: dict
  dest:
    description: The file on the control node to which O(state=exported) writes the declaration.
    type: path
  kinds:
    description: The lists that O(state=exported) exports. Defaults to all that the server supports.
    type: list
    elements: str
  portable:
    description:
      - Whether O(state=exported) leaves out what cannot be created on another server, that is, model versions whose files are in the
        server's own artifact storage, and their aliases. With what RV(left_out) asks for added, an empty server can be made identical.
    type: bool
    default: false
  prune:
    description:
      - The lists whose undeclared resources are deleted. A registered model is deleted with its versions.
      - Each of these lists must be declared, if only as an empty list. Resources that MLflow itself creates are kept.
    type: list
    elements: str
    default: []
  prune_limit:
    description: The percentage of the existing resources of a kind that O(prune) may delete in one run, from 0 to 100. Beyond it, nothing is changed.
    type: int
    default: 20
  connections:
    description: The number of concurrent connections to the server, from 1 to 64.
    type: int
    default: 8
"""

EXAMPLES = r"""
- name: Declare what should be on the server
  mlops.mlflow.mlflow_resources:
    tracking_uri: http://127.0.0.1:5000
    experiments:
      - name: akko-banking-risk-model
        tags: {owner: risk-team}
    registered_models:
      - name: banking-risk-classifier
        description: Probability of default within twelve months.

- name: Apply a folder of declarations, and delete undeclared experiments
  mlops.mlflow.mlflow_resources:
    tracking_uri: http://127.0.0.1:5000
    src: mlflow/
    prune: [experiments]

- name: Export the server
  mlops.mlflow.mlflow_resources:
    tracking_uri: http://127.0.0.1:5000
    state: exported
    dest: mlflow/server.yml
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, one line per action.
  returned: success
  type: list
  elements: str
  sample: [create experiment akko-banking-risk-model]
counts:
  description: The numbers of resources that were created, changed and deleted, and of those that already matched.
  returned: if O(state=present)
  type: dict
  sample: {created: 1, changed: 0, deleted: 0, same: 12}
resources:
  description: The live server as a declaration.
  returned: if O(state=exported)
  type: dict
  sample: {experiments: [{name: akko-banking-risk-model}]}
left_out:
  description:
    - What RV(resources) does not contain. Passwords, secrets of webhooks and values of gateway secrets cannot be read back, and some
      resources cannot be declared.
  returned: if O(state=exported)
  type: list
  elements: dict
  contains:
    list:
      description: The list that the resources belong to.
      type: str
      sample: users
    option:
      description: The option that is missing from each of the entries; empty if the entries are missing altogether.
      type: str
      sample: password
    names:
      description: The names of the resources.
      type: list
      elements: str
      sample: [ann]
    remedy:
      description: What to supply.
      type: str
      sample: add a password for each user that the other server does not have yet
yaml:
  description: RV(resources) as a YAML document, with RV(left_out) as a comment at the top.
  returned: if O(state=exported)
  type: str
  sample: "---\nexperiments:\n  - name: akko-banking-risk-model\n"
applied:
  description: What was done before the failure, one line per action.
  returned: if a write failed
  type: list
  elements: str
  sample: [create experiment akko-banking-risk-model]
entry:
  description: The entry that the error is about. The message names it, and the file that it is in.
  returned: if an entry is rejected
  type: dict
  contains:
    list:
      description: The list.
      type: str
      sample: experiments
    number:
      description: The number of the entry in the merged list, starting at 1.
      type: int
      sample: 3
pending:
  description: What was not done, or not finished, because of the failure, one line per action.
  returned: if a write failed
  type: list
  elements: str
  sample: [create registered model banking-risk-classifier]
"""

from functools import partial

from ansible_collections.mlops.mlflow.plugins.module_utils import _module
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import connection
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.kinds import KINDS
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile import run_declaration


def main() -> None:
    """Run the module."""
    module = _module.Module(
        argument_spec=connection.argument_spec(
            **run_declaration.argument_spec(KINDS),
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
        run_declaration.run(module, KINDS, partial(connection.client, module.params))


if __name__ == "__main__":
    main()
