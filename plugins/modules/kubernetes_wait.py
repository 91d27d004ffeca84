#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until workloads of Kubernetes are rolled out, and say what keeps them from it."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: kubernetes_wait
short_description: Wait until workloads of Kubernetes are rolled out, and say what keeps them from it
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Waits until Deployments, StatefulSets and DaemonSets are ready in their present form, and Jobs complete.
  - While it waits, it shows which of them, which pod and what condition it waits for, and for how long it has.
  - Where one cannot become ready, it ends at once, without the rest of the time, for instance for an image that is not in the registry, a
    container that crashed three times, a pod that no node has room for, a Job that failed.
  - A pod whose next start or pull Kubernetes puts off, by up to five minutes, because of what failed before this wait began, is deleted
    once, so that what made it makes another, and a remedy is tried at once.
  - Where the wait is given up, it ends with one message, the pod's state, the reason, the end of its log without stack traces,
    and what helps where that is known.
requirements:
  - PyYAML
extends_documentation_fragment:
  - mlops.mlflow.attributes
attributes:
  check_mode:
    description: Waits for nothing, and says which pods would be deleted.
    support: full
  diff_mode:
    description: There is no state to show.
    support: none
options:
  kubeconfig:
    description: The kubeconfig file of the cluster, on the host. Its current context is used, with a certificate, a token or a password.
    type: path
    default: /etc/rancher/k3s/k3s.yaml
  namespace:
    description: The namespace of the workloads.
    type: str
    required: true
  rollouts:
    description: What to wait for.
    type: list
    elements: dict
    required: true
    suboptions:
      kind:
        description: The kind of the workload.
        type: str
        choices: [Deployment, StatefulSet, DaemonSet, Job]
        required: true
      name:
        description: Its name.
        type: str
        required: true
  timeout:
    description: How long to wait for all of them, in seconds.
    type: int
    default: 300
  waited:
    description: How much of O(timeout) is over already, in seconds. What shows the progress sets it.
    type: int
    default: 0
  interval:
    description:
      - After how many seconds to return though there is something to wait for, with RV(pending). V(0) waits to the end.
      - What shows the progress sets it.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Wait for MLflow
  mlops.mlflow.kubernetes_wait:
    namespace: akko
    rollouts:
      - kind: Deployment
        name: akko-akko-mlflow
"""

RETURN = r"""
restarted:
  description: The pods that were deleted, to be made anew.
  returned: success
  type: list
  elements: str
  sample: [akko-akko-mlflow-7c9d8]
pending:
  description: What is still waited for, on one line; empty if nothing is.
  returned: success
  type: str
  sample: "Deployment akko-akko-mlflow: 0 of 1 ready; pod akko-akko-mlflow-7c9d: ContainerCreating"
waited:
  description: How much of O(timeout) is over, in seconds.
  returned: success
  type: int
  sample: 45
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module
from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.cluster import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._core import rollout

#: How long lies between two looks, in seconds, and how soon a change is shown.
PAUSE = 1.0
SOON = 5.0


def wait(module: AnsibleModule) -> None:
    """Look until all is done, one has failed, or the time, or this part of it, is over."""
    params = module.params
    rollout.check_options(params)
    cluster = Cluster(params["kubeconfig"], params["namespace"])
    found = rollout.verdicts(params["rollouts"], cluster.look(params["rollouts"]), params["waited"])
    restarted = [] if params["waited"] else rollout.stale_pods(found)
    result: dict[str, Any] = {"changed": bool(restarted), "restarted": restarted}
    if module.check_mode:
        module.exit_json(**result, pending="", waited=0)
    for pod in restarted:
        cluster.delete_pod(pod)
    began, first = time.monotonic(), rollout.progress(found)
    while True:
        part = time.monotonic() - began
        waited, pending = params["waited"] + round(part), rollout.progress(found)
        culprit = rollout.culprit(found, timed_out=waited >= params["timeout"])
        if culprit:
            log = cluster.log(*culprit.log) if culprit.log else ""
            module.fail_json(msg=rollout.failure(culprit, waited, log))
        if not pending or (params["interval"] and (part >= params["interval"] or (part >= SOON and pending != first))):
            module.exit_json(**result, pending=pending, waited=waited)
        time.sleep(PAUSE)
        found = rollout.verdicts(params["rollouts"], cluster.look(params["rollouts"]), waited)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "default": "/etc/rancher/k3s/k3s.yaml"},
            "namespace": {"type": "str", "required": True},
            "rollouts": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "kind": {"type": "str", "choices": list(rollout.JUDGES), "required": True},
                    "name": {"type": "str", "required": True},
                },
            },
            "timeout": {"type": "int", "default": 300},
            "waited": {"type": "int", "default": 0},
            "interval": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    with _module.errors_as_failures(module):
        wait(module)


if __name__ == "__main__":
    main()
