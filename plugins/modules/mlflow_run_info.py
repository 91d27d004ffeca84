#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read runs of an MLflow tracking server."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_run_info
short_description: Read runs of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Returns one run, or the runs of experiments that match a filter, in the requested order.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  experiments:
    description:
      - The experiments whose runs to return, by name or ID. A number is taken for an ID unless an experiment has it as its name.
      - The module fails if one does not exist.
    type: list
    elements: str
  run_id:
    description: Return only this run, deleted or not. If it does not exist, the list is empty.
    type: str
  filter:
    description:
      - Return only runs that match this filter, in MLflow's filter syntax, for example
        V(metrics.auc > 0.9 AND params.model = 'xgboost' AND attributes.status = 'FINISHED').
      - Names with characters other than letters and digits need backticks, as in V(metrics.`val/auc` > 0.9). V(OR) is not supported.
      - NaN matches no comparison, except that MLflow 2.22 treats it as 0.
    type: str
  order_by:
    description:
      - The sort keys, most significant first, as in V(metrics.auc DESC). By default, the run started most recently comes first.
    type: list
    elements: str
  max_results:
    description: The maximum number of runs to return, over any number of pages; at most 1000000.
    type: int
    default: 1000
  view:
    description: Whether to return active runs, deleted ones, or both. Ignored if O(run_id) is given.
    type: str
    choices: [active_only, deleted_only, all]
    default: active_only
seealso:
  - plugin: mlops.mlflow.mlflow_run
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Read the three best runs
  mlops.mlflow.mlflow_run_info:
    tracking_uri: http://127.0.0.1:5000
    experiments: [akko-banking-risk-model]
    filter: metrics.auc > 0.9 AND attributes.status = 'FINISHED'
    order_by: [metrics.auc DESC]
    max_results: 3
  register: best

- name: Read one run
  mlops.mlflow.mlflow_run_info:
    tracking_uri: http://127.0.0.1:5000
    run_id: 0f3a5c2e9d7b4a618f0e1d2c3b4a5968
"""

RETURN = r"""
runs:
  description: The runs.
  returned: success
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

from ansible_collections.mlops.mlflow.plugins.module_utils import _module
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import connection
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.run.adapter import find
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.run.rules import check_options


def main() -> None:
    """Run the module."""
    module = _module.Module(
        argument_spec=connection.argument_spec(
            experiments={"type": "list", "elements": "str"},
            run_id={"type": "str"},
            filter={"type": "str"},
            order_by={"type": "list", "elements": "str"},
            max_results={"type": "int", "default": 1000},
            view={"type": "str", "choices": ["active_only", "deleted_only", "all"], "default": "active_only"},
        ),
        mutually_exclusive=[("run_id", "experiments"), ("run_id", "filter"), ("run_id", "order_by")],
        required_one_of=[("run_id", "experiments")],
        supports_check_mode=True,
    )
    with _module.errors_as_failures(module):
        check_options(module.params)
        module.exit_json(changed=False, runs=list(find(connection.client(module.params), module.params)))


if __name__ == "__main__":
    main()
