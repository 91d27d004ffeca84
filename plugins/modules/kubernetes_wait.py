#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until Kubernetes workloads are rolled out, and report what prevents it."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: kubernetes_wait
short_description: Wait until Kubernetes workloads are rolled out, and report what prevents it
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Waits until Deployments, StatefulSets and DaemonSets are ready in their current revision, and Jobs are complete.
  - While waiting, it shows the workload, the pod and the condition that it waits for, and the time elapsed.
  - If one cannot become ready, it fails at once instead of waiting for the timeout, for example if an image is not in the registry, a
    container crashed three times, no node has room for a pod, or a Job failed.
  - A pod that Kubernetes holds in back-off, for up to five minutes, because of a failure before this wait began, is deleted once, so that
    its controller creates another and a fix takes effect at once.
  - On failure, one message gives the pod's state, the reason, the end of its log without stack traces, and the remedy if one is known.
requirements:
  - kubernetes 24.2.0 or later
extends_documentation_fragment:
  - mlops.mlflow.attributes
attributes:
  check_mode:
    description: Does not wait, and reports which pods would be deleted.
    support: full
  diff_mode:
    description: The module manages no state that could differ.
    support: none
options:
  kubeconfig:
    description: The path of the cluster's kubeconfig file on the host. Its current context is used.
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
        description: The kind of the workload. An V(HTTPRoute) is ready when all of its Gateways accept it, a V(SecurityPolicy) or
          V(BackendTrafficPolicy) of Envoy Gateway when its controller accepts it, and a V(Cluster) or V(Database) of CloudNativePG, or a
          V(SecretStore), V(ClusterSecretStore), V(ExternalSecret) or V(PushSecret) of External Secrets, when its operator says so.
        type: str
        choices: [Deployment, StatefulSet, DaemonSet, Job, HTTPRoute, SecurityPolicy, BackendTrafficPolicy, Cluster, Database, SecretStore,
          ClusterSecretStore, ExternalSecret, PushSecret]
        required: true
      name:
        description: The name.
        type: str
        required: true
  timeout:
    description: How long to wait for all of them, in seconds.
    type: int
    default: 300
  waited:
    description: How much of O(timeout) has already elapsed, in seconds. Set by the action plugin that shows the progress.
    type: int
    default: 0
  interval:
    description:
      - After how many seconds to return RV(pending) even though there is still something to wait for. V(0) waits to the end.
      - Set by the action plugin that shows the progress.
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
  description: The pods that were deleted so that their controllers recreate them.
  returned: success
  type: list
  elements: str
  sample: [akko-akko-mlflow-7c9d8]
ready:
  description: The rollouts' pods that are ready, newest first.
  returned: success
  type: list
  elements: str
  sample: [akko-akko-mlflow-7c9d8]
pending:
  description: What the wait is still for, on one line; empty if it is over.
  returned: success
  type: str
  sample: "Deployment akko-akko-mlflow: 0 of 1 ready; pod akko-akko-mlflow-7c9d: ContainerCreating"
waited:
  description: How much of O(timeout) has elapsed, in seconds.
  returned: success
  type: int
  sample: 45
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes import rollout
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.cluster import Cluster

#: The interval between two polls, and how soon a change is shown, in seconds.
PAUSE = 1.0
SOON = 5.0


def wait(module: AnsibleModule) -> None:
    """Poll until all are ready, one has failed, or the timeout or this interval has elapsed."""
    params = module.params
    rollout.check_options(params)
    cluster = Cluster(params["kubeconfig"], params["namespace"])
    seen = cluster.look(params["rollouts"])
    found = rollout.verdicts(params["rollouts"], seen, params["waited"])
    restarted = [] if params["waited"] else rollout.stale_pods(found)
    result: dict[str, Any] = {"changed": bool(restarted), "restarted": restarted}
    if module.check_mode:
        module.exit_json(**result, pending="", waited=0, ready=rollout.ready_pods(params["rollouts"], seen))
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
            module.exit_json(**result, pending=pending, waited=waited, ready=rollout.ready_pods(params["rollouts"], seen))
        time.sleep(PAUSE)
        seen = cluster.look(params["rollouts"])
        found = rollout.verdicts(params["rollouts"], seen, waited)


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
                    "kind": {"type": "str", "choices": rollout.KINDS, "required": True},
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
