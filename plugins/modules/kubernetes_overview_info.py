#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show what a deployment has in a Kubernetes namespace, and how far it is ready."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: kubernetes_overview_info
short_description: Show what a deployment has in a Kubernetes namespace, and how far it is ready
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - For the playbook C(mlops.mlflow.diagnose), which says what is wrong with a deployment and what to do.
  - Reads the deployment's workloads with the reason why one is not ready, the cluster's nodes, the volumes, the names of Secrets and their keys, and
    asks the public name for C(/health). Returns no value of a Secret.
requirements:
  - kubernetes 24.2.0 or later
extends_documentation_fragment:
  - mlops.mlflow.attributes.info
options:
  kubeconfig:
    description: The path of the cluster's kubeconfig file on the host.
    type: path
    default: /etc/rancher/k3s/k3s.yaml
  namespace:
    description: The namespace.
    type: str
    required: true
  deployment:
    description: The name of the deployment. Defaults to O(namespace).
    type: str
"""

EXAMPLES = r"""
- name: See how far the deployment is ready
  mlops.mlflow.kubernetes_overview_info:
    namespace: akko
"""

RETURN = r"""
overview:
  description:
    - What was seen. C(nodes); C(workloads), each with C(component), C(is_ready), C(reason), C(remedy) and the end of its C(log); C(claims);
      C(secrets), the keys by Secret; C(references), which of them the workloads need; C(server), its Service and its Ingress; C(clients); and
      C(backups).
  returned: success
  type: dict
  sample: {"nodes": [{"name": "node-1", "is_ready": true, "pressure": [], "says": ""}]}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.overview import Overview


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "default": "/etc/rancher/k3s/k3s.yaml"},
            "namespace": {"type": "str", "required": True},
            "deployment": {"type": "str"},
        },
        supports_check_mode=True,
    )
    params = module.params
    with _module.errors_as_failures(module):
        cluster = Cluster(params["kubeconfig"], params["namespace"])
        seen = Overview(cluster, params["namespace"], params["deployment"] or params["namespace"]).seen()
        module.exit_json(changed=False, overview=seen)


if __name__ == "__main__":
    main()
