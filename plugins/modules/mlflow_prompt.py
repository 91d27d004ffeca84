#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage a prompt of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_prompt
short_description: Manage a prompt of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Creates, changes and deletes a prompt of MLflow's prompt registry, with its versions, tags and aliases.
  - Prompts are interchangeable with those of MLflow's own clients, such as C(mlflow.genai.load_prompt).
  - Prompts and registered models share one namespace, so a prompt cannot have the name of a model.
  - Uses MLflow's REST API directly and needs no Python package besides Ansible itself. Requires MLflow 2.21 or later.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The prompt's name, of at most 256 ASCII letters, digits, V(_), V(.) and V(-).
    type: str
    required: true
  state:
    description:
      - With V(present), the prompt exists as described.
      - With V(absent), it does not exist. MLflow cannot restore a deleted prompt, so deleting one that has versions needs O(force).
    type: str
    choices: [present, absent]
    default: present
  description:
    description: A text of at most 5000 characters. If not given, the description is left unchanged; an empty string clears it.
    type: str
  tags:
    description:
      - Tags of the prompt to set. A null value removes the tag. Tags that are not listed are kept, unless O(purge_tags) is true.
      - Values are stored as strings, booleans as V(true) and V(false).
    type: dict
  purge_tags:
    description:
      - Whether to remove tags that O(tags) does not list, and from a version with C(tags) those that they do not list.
      - MLflow's own tags, which start with C(mlflow.) or C(_mlflow_), are kept.
    type: bool
    default: false
  versions:
    description:
      - Versions of the prompt, the oldest first.
      - A version exists already if one has the same template, response format and model configuration. If several do, the newest are
        used. Missing versions are created in the order of the list, after the existing ones.
      - Versions that are not listed are kept. MLflow cannot change a template; a changed template becomes a new version.
    type: list
    elements: dict
    suboptions:
      template:
        description:
          - A text, or a list of chat messages, each with C(role) and C(content).
          - MLflow's variables use double braces, as Ansible's do. In a playbook, put C({% raw %}) and C({% endraw %}) around the text,
            or C(!unsafe) before it, to keep Ansible from templating it. A file read with P(ansible.builtin.file#lookup) needs neither.
          - At most 100000 characters. MLflow 2 supports no lists and at most 5000 characters.
        type: raw
        required: true
      commit_message:
        description: A message that describes the version. If not given, it is left unchanged; an empty string clears it.
        type: str
      tags:
        description: Tags of the version to set. A null value removes the tag.
        type: dict
      aliases:
        description: Aliases of the version. An alias of another version is moved to this one.
        type: list
        elements: str
      response_format:
        description: The JSON schema of the response. Requires MLflow 3.
        type: dict
      model_config:
        description: The model that the prompt is for, and its settings, such as C(model_name), C(temperature) and C(max_tokens). Requires MLflow 3.
        type: dict
  purge_aliases:
    description: Whether to remove aliases that O(versions) does not list. Ignored if O(versions) is not given.
    type: bool
    default: false
  force:
    description: Whether O(state=absent) deletes a prompt that has versions, together with them.
    type: bool
    default: false
seealso:
  - module: mlops.mlflow.mlflow_prompt_info
"""

EXAMPLES = r"""
- name: Declare a prompt, and which of its versions is in production
  mlops.mlflow.mlflow_prompt:
    tracking_uri: http://127.0.0.1:5000
    name: summarise-complaint
    description: Summary of a customer's complaint for the back office.
    tags:
      owner: service-team
    versions:
      - template: "{% raw %}Summarise in one sentence: {{ complaint }}{% endraw %}"
        commit_message: First version.
      - template: "{% raw %}Summarise in one sentence, without names: {{ complaint }}{% endraw %}"
        commit_message: Leave out personal data.
        aliases: [production]

- name: Declare a chat prompt with its model
  mlops.mlflow.mlflow_prompt:
    tracking_uri: http://127.0.0.1:5000
    name: support-chat
    versions:
      - template:
          - role: system
            content: You are a helpful bank clerk.
          - role: user
            content: "{% raw %}{{ question }}{% endraw %}"
        model_config:
          model_name: gpt-4o
          temperature: 0.2
        aliases: [production]

- name: Declare a prompt whose text is in a file next to the playbook
  mlops.mlflow.mlflow_prompt:
    tracking_uri: http://127.0.0.1:5000
    name: classify-complaint
    versions:
      - template: "{{ lookup('ansible.builtin.file', 'prompts/classify-complaint.txt', rstrip=false) }}"
        aliases: [production]

- name: Delete a prompt with all its versions
  mlops.mlflow.mlflow_prompt:
    tracking_uri: http://127.0.0.1:5000
    name: support-chat
    state: absent
    force: true
"""

RETURN = r"""
prompt:
  description: The prompt as it is now, or, in check mode, as it would be. Empty if it does not exist.
  returned: success
  type: dict
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
actions:
  description: What was done, or in check mode would be done, one line per action.
  returned: success
  type: list
  elements: str
  sample: [update prompt summarise-complaint versions.2.template]
"""

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.module import manage
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.prompt.adapter import PROMPT


def main() -> None:
    """Run the module."""
    manage(PROMPT)


if __name__ == "__main__":
    main()
