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
  - Gives one run, or those of experiments that a filter leaves, in the order that is asked for.
extends_documentation_fragment:
  - mlops.mlflow.tracking
  - mlops.mlflow.attributes.info
  - mlops.mlflow.attributes.action_group
options:
  experiments:
    description:
      - The experiments whose runs to give, by name or by id. Digits are taken for an id where no experiment has them as its name.
      - The module fails if one does not exist.
    type: list
    elements: str
  run_id:
    description: The one run to give, deleted or not. Where it does not exist, the list is empty.
    type: str
  filter:
    description:
      - Which runs to give, in MLflow's own words, as in V(metrics.auc > 0.9 AND params.model = 'xgboost' AND attributes.status = 'FINISHED').
      - Names with other characters than letters and digits stand in backticks, as in V(metrics.`val/auc` > 0.9). There is no V(OR).
      - NaN meets no comparison, but MLflow 2.22 takes it for 0.
    type: str
  order_by:
    description:
      - What to sort by, the first before the second, as in V(metrics.auc DESC). Without it, the run that started last comes first.
    type: list
    elements: str
  max_results:
    description: The most runs to give, however many pages that takes.
    type: int
    default: 1000
  view:
    description: Whether active runs are given, deleted ones, or both. Without meaning where O(run_id) is given.
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

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _tracking
from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.run import find
from ansible_collections.mlops.mlflow.plugins.module_utils._core.run import check_options


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=_tracking.argument_spec(
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
        module.exit_json(changed=False, runs=list(find(_tracking.client(module.params), module.params)))


if __name__ == "__main__":
    main()
