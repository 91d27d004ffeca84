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
  - MLflow's clients, as C(mlflow.genai.load_prompt), read what this module writes, and this module reads what they wrote.
  - A prompt shares its name with the registered models, so that there cannot be one of each with the same name.
  - It speaks MLflow's REST API itself and needs no Python package beside Ansible's own. Needs MLflow 2.21 or later.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  name:
    description: The prompt's name, of letters and digits of ASCII, V(_), V(.) and V(-), 256 at most.
    type: str
    required: true
  state:
    description:
      - With V(present), the prompt exists as described.
      - With V(absent), it does not. MLflow cannot bring a deleted prompt back, so a prompt that has versions needs O(force).
    type: str
    choices: [present, absent]
    default: present
  description:
    description: A text of at most 5000 characters. If left out, the description stays as it is; an empty string clears it.
    type: str
  tags:
    description:
      - Tags of the prompt to set. A key with a null value is removed. Keys that are not given stay, unless O(purge_tags) is true.
      - Values are stored as strings; V(true) and V(false) in lower case.
    type: dict
  purge_tags:
    description:
      - Whether tags that O(tags) does not name are removed, and of a version those that its C(tags) do not name, where they are given.
      - MLflow's own, which start with C(mlflow.) or C(_mlflow_), are kept.
    type: bool
    default: false
  versions:
    description:
      - Versions that the prompt is to have, the oldest first.
      - A version exists already where one has the same template, response format and model configuration. Where the prompt has several
        such ones, the newest are meant. What is missing is made, in the order of the list, after what is there.
      - Versions that are not given stay. MLflow cannot change a template; a changed one is a new version.
    type: list
    elements: dict
    suboptions:
      template:
        description:
          - A text, or a list of chat messages, each with C(role) and C(content).
          - MLflow's variables are written with two braces, as Ansible's are. In a playbook, C({% raw %}) and C({% endraw %}) around the text,
            or C(!unsafe) before it, keep Ansible from filling them in. A file that P(ansible.builtin.file#lookup) reads needs neither.
          - At most 100000 characters. MLflow 2 takes no lists, and 5000 characters.
        type: raw
        required: true
      commit_message:
        description: What the version is about. If left out, it stays as it is; an empty string clears it.
        type: str
      tags:
        description: Tags of the version to set. A key with a null value is removed.
        type: dict
      aliases:
        description: Aliases that the version is to have. One that names another version is moved to this one.
        type: list
        elements: str
      response_format:
        description: The JSON schema that an answer is to follow. Needs MLflow 3.
        type: dict
      model_config:
        description: The model that the prompt is for, and its settings, as C(model_name), C(temperature) and C(max_tokens). Needs MLflow 3.
        type: dict
  purge_aliases:
    description: Whether aliases that O(versions) do not name are removed. Without meaning where O(versions) is not given.
    type: bool
    default: false
  force:
    description: Whether O(state=absent) deletes a prompt that has versions, and the versions with it.
    type: bool
    default: false
seealso:
  - module: mlops.mlflow.mlflow_prompt_info
"""

EXAMPLES = r"""
- name: Declare a prompt, and which of its versions is in use
  mlops.mlflow.mlflow_prompt:
    tracking_uri: http://127.0.0.1:5000
    name: summarise-complaint
    description: Summary of a customer's complaint for the back office.
    tags:
      owner: service-team
    versions:
      - template: "{% raw %}Summarise in one sentence: {{ complaint }}{% endraw %}"
        commit_message: First try.
      - template: "{% raw %}Summarise in one sentence, without names: {{ complaint }}{% endraw %}"
        commit_message: Leave out personal data.
        aliases: [production]

- name: Declare a chat with the model that it is for
  mlops.mlflow.mlflow_prompt:
    tracking_uri: http://127.0.0.1:5000
    name: support-chat
    versions:
      - template:
          - role: system
            content: You are a helpful clerk of a bank.
          - role: user
            content: "{% raw %}{{ question }}{% endraw %}"
        model_config:
          model_name: gpt-4o
          temperature: 0.2
        aliases: [production]

- name: Declare a prompt whose text is in a file beside the playbook
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
  description: The prompt as it is now, or as it would be outside check mode. Empty where it does not exist.
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
actions:
  description: What was done, or would be done outside check mode, a line each.
  returned: success
  type: list
  elements: str
  sample: [update prompt summarise-complaint versions.2.template]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._kinds.prompt import PROMPT


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=_tracking.argument_spec(**PROMPT.rules.OPTIONS), supports_check_mode=True)
    with _module.errors_as_failures(module):
        _module.manage(module, PROMPT, _tracking.client(module.params))


if __name__ == "__main__":
    main()
