# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resolve a models:/ URI to a version of a registered model."""
from __future__ import annotations

DOCUMENTATION = r"""
---
name: mlflow_model
short_description: Resolve a models:/ URI to a version of a registered model
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Returns the version that an alias, a number, a stage or C(latest) refers to, with its run and storage location.
  - The lookup runs on the control node, so the tracking server must be reachable from there.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.tracking.plugin
options:
  _terms:
    description:
      - URIs of versions, V(models:/NAME@ALIAS), V(models:/NAME/3), V(models:/NAME/latest) for the newest version, or
        V(models:/NAME/Production) for the newest version in a stage.
    type: list
    elements: str
    required: true
seealso:
  - module: mlops.mlflow.mlflow_model_version_info
  - plugin: mlops.mlflow.mlflow_run
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Show the version in use
  ansible.builtin.debug:
    msg: "{{ lookup('mlops.mlflow.mlflow_model', 'models:/banking-risk-classifier@champion').version }}"
  vars:
    mlflow_tracking_uri: https://mlflow.example.com
    mlflow_tracking_token: "{{ vault_mlflow_token }}"

- name: Stop if the challenger is already the champion
  ansible.builtin.assert:
    that: models[0].version != models[1].version
  vars:
    models: >-
      {{ query('mlops.mlflow.mlflow_model', 'models:/banking-risk-classifier@champion', 'models:/banking-risk-classifier@challenger',
               tracking_uri='https://mlflow.example.com') }}
"""

RETURN = r"""
_raw:
  description: One version per URI, in the same order. The lookup fails if one does not exist.
  type: list
  elements: dict
  contains:
    name:
      description: The model's name.
      type: str
      sample: banking-risk-classifier
    version:
      description: The version's number.
      type: str
      sample: "7"
    run_id:
      description: The ID of the run that produced it, empty if there is none.
      type: str
      sample: 0f3a5c2e9d7b4a618f0e1d2c3b4a5968
    model_id:
      description: The ID of the logged model that it was created from, empty if there is none.
      type: str
      sample: m-4f1c
    source:
      description: Where its files are stored.
      type: str
      sample: models:/m-4f1c
    status:
      description: V(READY), V(PENDING_REGISTRATION) or V(FAILED_REGISTRATION).
      type: str
      sample: READY
    current_stage:
      description: Its stage, V(None) if it has none.
      type: str
      sample: None
    description:
      description: The description, empty if there is none.
      type: str
      sample: Trained on the loans of 2026.
    aliases:
      description: All aliases of the version.
      type: list
      elements: str
      sample: [champion]
    tags:
      description: All tags of the version.
      type: dict
      sample: {validated: "true"}
    creation_timestamp:
      description: When the version was created, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
    last_updated_timestamp:
      description: When the version was last changed, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
"""

from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.model_uri.adapter import resolve
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.model_uri.rules import parse
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.plugin_utils._mlflow_lookup import look_up


class LookupModule(LookupBase):
    """The lookup plugin C(mlops.mlflow.mlflow_model)."""

    def run(self, terms: list[Any], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return one version per term. Raises AnsibleLookupError."""
        return look_up(self, terms, variables, kwargs, _find)


def _find(client: RestClient, term: str, _options: dict[str, Any]) -> dict[str, Any]:
    return resolve(client, parse(term))
