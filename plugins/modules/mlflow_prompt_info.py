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
  - Returns one prompt, those that match a filter, or all, with all their versions.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: Return only this prompt. If it does not exist, the list is empty.
    type: str
  filter:
    description:
      - Return only prompts that match this filter, in MLflow's filter syntax, for example V(name LIKE 'support-%' AND tags.owner = 'service-team').
      - Mutually exclusive with O(name).
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
  description: The prompts, sorted by name.
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
      description: All tags of the prompt, except the one that marks it as a prompt.
      type: dict
      sample: {owner: service-team}
    versions:
      description:
        - All versions by position, V(1) being the oldest, each with C(template), C(commit_message) and C(aliases), and, if it has them,
          C(tags), C(response_format) and C(model_config), the latter two as JSON strings.
        - The position equals the version's number unless versions were deleted. C(version_numbers) has the numbers.
      type: dict
      sample:
        "1": {template: "Summarise: {{ complaint }}", commit_message: First version., aliases: [production]}
    version_numbers:
      description: MLflow's number of the version at each position.
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

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import inform
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.prompt.adapter import PROMPT


def main() -> None:
    """Run the module."""
    inform(PROMPT)


if __name__ == "__main__":
    main()
