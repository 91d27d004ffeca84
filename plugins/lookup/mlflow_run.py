# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the best run of an experiment by a metric."""
from __future__ import annotations

DOCUMENTATION = r"""
---
name: mlflow_run
short_description: Find the best run of an experiment by a metric
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Returns the run with the largest or smallest last value of a metric.
  - Runs without the metric, or with NaN for it, are ignored. If several runs are equally good, the one that started first is returned, so
    repeating a training run does not change the result.
  - The lookup runs on the control node, so the tracking server must be reachable from there.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.tracking.plugin
options:
  _terms:
    description: Experiments, by name or ID. A number is taken for an ID unless an experiment has it as its name.
    type: list
    elements: str
    required: true
  metric:
    description: The name of the metric.
    type: str
    required: true
  mode:
    description: Whether the largest value is the best, or the smallest.
    type: str
    choices: [max, min]
    default: max
  filter:
    description:
      - Consider only runs that match this filter, in MLflow's filter syntax, for example
        V(attributes.status = 'FINISHED' AND params.model = 'xgboost').
      - If not given, all runs that are not deleted are considered, including failed and running ones.
    type: str
seealso:
  - module: mlops.mlflow.mlflow_run_info
  - plugin: mlops.mlflow.mlflow_model
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Show the best finished run
  ansible.builtin.debug:
    msg: "{{ best.run_id }}: {{ best.metrics.auc }}"
  vars:
    mlflow_tracking_uri: https://mlflow.example.com
    best: >-
      {{ lookup('mlops.mlflow.mlflow_run', 'akko-banking-risk-model', metric='auc', filter="attributes.status = 'FINISHED'") }}

- name: Show the smallest loss of each of two experiments
  ansible.builtin.debug:
    msg: "{{ query('mlops.mlflow.mlflow_run', 'fraud-eu', 'fraud-us', metric='val/loss', mode='min') | map(attribute='metrics') }}"
"""

RETURN = r"""
_raw:
  description: The best run of each experiment, in the same order. The lookup fails if an experiment has no run with the metric.
  type: list
  elements: dict
  contains:
    run_id:
      description: The ID of the run.
      type: str
      sample: 0f3a5c2e9d7b4a618f0e1d2c3b4a5968
    run_name:
      description: The name of the run.
      type: str
      sample: bold-finch-12
    experiment_id:
      description: The ID of its experiment.
      type: str
      sample: "7"
    status:
      description: V(RUNNING), V(SCHEDULED), V(FINISHED), V(FAILED) or V(KILLED).
      type: str
      sample: FINISHED
    lifecycle_stage:
      description: V(active), or V(deleted) if it is deleted but MLflow still keeps it.
      type: str
      sample: active
    start_time:
      description: When the run started, in milliseconds since the epoch.
      type: int
      sample: 1795312800000
    end_time:
      description: When the run ended, in milliseconds since the epoch; null while it runs.
      type: int
      sample: 1795312900000
    user_id:
      description: Who started it, as reported by the client.
      type: str
      sample: ann
    artifact_uri:
      description: Where its artifacts are stored.
      type: str
      sample: mlflow-artifacts:/7/0f3a5c2e9d7b4a618f0e1d2c3b4a5968/artifacts
    metrics:
      description:
        - The last value of each metric. NaN, which JSON cannot represent, is the string V(NaN); the filter C(float) converts it.
        - MLflow stores infinity as the largest floating-point number, 1.797…e308.
      type: dict
      sample: {auc: 0.93, loss: NaN}
    params:
      description: The parameters.
      type: dict
      sample: {max_depth: "6"}
    tags:
      description: The tags.
      type: dict
      sample: {mlflow.source.name: train.py}
    datasets:
      description: The datasets that the run used, each with V(name), V(digest), V(source_type), V(source) and V(context).
      type: list
      elements: dict
      sample: [{name: loans, digest: 1f0c, source_type: s3, source: "{}", context: training}]
    input_models:
      description: The IDs of the logged models that it used.
      type: list
      elements: str
      sample: []
    output_models:
      description: The IDs of the logged models that it produced.
      type: list
      elements: str
      sample: [m-4f1c]
"""

from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.run.adapter import find
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.run.rules import best, ranking
from ansible_collections.mlops.mlflow.plugins.plugin_utils._mlflow_lookup import look_up


class LookupModule(LookupBase):
    """The lookup plugin C(mlops.mlflow.mlflow_run)."""

    def run(self, terms: list[Any], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return the best run for each term. Raises AnsibleLookupError."""
        return look_up(self, terms, variables, kwargs, _find)


def _find(client: RestClient, term: str, options: dict[str, Any]) -> dict[str, Any]:
    order = ranking(options["metric"], options["mode"])
    where = {"experiments": [term], "filter": options["filter"], "order_by": order, "max_results": 1}
    return best(term, list(find(client, where)), options["metric"])
