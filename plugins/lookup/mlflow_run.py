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
  - Gives the run in which the last value of a metric is the greatest or the smallest.
  - Runs without the metric, or with NaN for it, do not count. Of equal runs the one that started first is given, so that repeating a
    training does not change the answer.
  - It runs on the control node, so the tracking server must be reachable from there.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.tracking.plugin
options:
  _terms:
    description: Experiments, by name or by id. Digits are taken for an id where no experiment has them as its name.
    type: list
    elements: str
    required: true
  metric:
    description: The name of the metric.
    type: str
    required: true
  mode:
    description: Whether the greatest value is the best, or the smallest.
    type: str
    choices: [max, min]
    default: max
  filter:
    description:
      - Which runs count, in MLflow's own words, as in V(attributes.status = 'FINISHED' AND params.model = 'xgboost').
      - Without it, every run that is not deleted counts, those that failed or still run included.
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
  description: The best run of each experiment, in the same order. The lookup fails where an experiment has none with the metric.
  type: list
  elements: dict
  contains:
    run_id:
      description: The id of the run.
      type: str
      sample: 0f3a5c2e9d7b4a618f0e1d2c3b4a5968
    run_name:
      description: The name of the run.
      type: str
      sample: bold-finch-12
    experiment_id:
      description: The id of its experiment.
      type: str
      sample: "7"
    status:
      description: V(RUNNING), V(SCHEDULED), V(FINISHED), V(FAILED) or V(KILLED).
      type: str
      sample: FINISHED
    lifecycle_stage:
      description: V(active), or V(deleted) for one that MLflow still keeps.
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
      description: Who started it, as the client said.
      type: str
      sample: ann
    artifact_uri:
      description: Where its artifacts are.
      type: str
      sample: mlflow-artifacts:/7/0f3a5c2e9d7b4a618f0e1d2c3b4a5968/artifacts
    metrics:
      description:
        - The last value of each metric. NaN, for which JSON has no number, is the text V(NaN); the filter C(float) makes a number of it.
        - MLflow stores infinity as the greatest number there is, 1.797…e308.
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
      description: The datasets that the run read, each with V(name), V(digest), V(source_type), V(source) and V(context).
      type: list
      elements: dict
      sample: [{name: loans, digest: 1f0c, source_type: s3, source: "{}", context: training}]
    input_models:
      description: The ids of the logged models that it read.
      type: list
      elements: str
      sample: []
    output_models:
      description: The ids of the logged models that it made.
      type: list
      elements: str
      sample: [m-4f1c]
"""

from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.run import find
from ansible_collections.mlops.mlflow.plugins.module_utils._core.run import best, ranking
from ansible_collections.mlops.mlflow.plugins.plugin_utils._lookup import look_up


class LookupModule(LookupBase):
    """The lookup C(mlops.mlflow.mlflow_run)."""

    def run(self, terms: list[Any], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        """The best run for each term. Raises AnsibleLookupError."""
        return look_up(self, terms, variables, kwargs, _find)


def _find(client: RestClient, term: str, options: dict[str, Any]) -> dict[str, Any]:
    order = ranking(options["metric"], options["mode"])
    where = {"experiments": [term], "filter": options["filter"], "order_by": order, "max_results": 1}
    return best(term, list(find(client, where)), options["metric"])
