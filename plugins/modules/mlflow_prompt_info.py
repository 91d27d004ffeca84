#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the prompts of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_prompt_info
short_description: Read the prompts of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Gives one prompt, those that a filter leaves, or all, with all their versions.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The one prompt to give. Where it does not exist, the list is empty.
    type: str
  filter:
    description:
      - Which prompts to give, in MLflow's own words, as in V(name LIKE 'support-%' AND tags.owner = 'service-team').
      - Not used together with O(name).
    type: str
seealso:
  - module: mlops.mlflow.mlflow_prompt
"""

EXAMPLES = r"""
- name: Read one prompt
  mlops.mlflow.mlflow_prompt_info:
    tracking_uri: http://127.0.0.1:5000
    name: summarise-complaint
  register: prompt

- name: Read the prompts of a team
  mlops.mlflow.mlflow_prompt_info:
    tracking_uri: http://127.0.0.1:5000
    filter: tags.owner = 'service-team'
"""

RETURN = r"""
prompts:
  description: The prompts, in the order of their names.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The prompt's name.
      type: str
      sample: summarise-complaint
    description:
      description: The description, empty if there is none.
      type: str
      sample: Summary of a customer's complaint for the back office.
    tags:
      description: All tags of the prompt, but the one that makes it a prompt.
      type: dict
      sample: {owner: service-team}
    versions:
      description:
        - All versions by their places, V(1) the oldest, each with C(template), C(commit_message) and C(aliases), and where there are some,
          C(tags), C(response_format) and C(model_config), the latter two as JSON texts.
        - A place is the version's number as long as no version was deleted. C(version_numbers) has the numbers.
      type: dict
      sample:
        "1": {template: "Summarise: {{ complaint }}", commit_message: First try., aliases: [production]}
    version_numbers:
      description: MLflow's own number of the version at each place.
      type: dict
      sample: {"1": "1"}
    creation_timestamp:
      description: When the prompt was created, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
    last_updated_timestamp:
      description: When the prompt was last changed, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.prompt import PROMPT


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=_tracking.argument_spec(name={"type": "str"}, filter={"type": "str"}),
        mutually_exclusive=[("name", "filter")],
        supports_check_mode=True,
    )
    with _module.errors_as_failures(module):
        _module.inform(module, PROMPT, _tracking.client(module.params))


if __name__ == "__main__":
    main()
