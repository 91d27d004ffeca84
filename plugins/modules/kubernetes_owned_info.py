#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List which objects in a Kubernetes namespace belong to a deployment, and which do not."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: kubernetes_owned_info
short_description: List which objects in a Kubernetes namespace belong to a deployment, and which do not
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Lists the objects in a namespace, of every kind that the cluster knows, that have the ownership labels of a deployment, and those that do
    not. Objects created by Kubernetes itself or by another object, for example the pods of a Deployment, are in neither list.
  - M(mlops.mlflow.kubernetes_preflight) describes these labels.
  - Reads only metadata.
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
- name: List what removing the deployment would remove
  mlops.mlflow.kubernetes_owned_info:
    namespace: akko
"""

RETURN = r"""
namespace:
  description: Whether the namespace is the deployment's V(own), V(foreign) or V(absent).
  returned: success
  type: str
  sample: own
owned:
  description:
    - The deployment's own objects, each with C(api_version), C(kind), C(name) and C(instance), the value of its label
      C(app.kubernetes.io/instance).
  returned: success
  type: list
  elements: dict
  sample: [{api_version: v1, kind: Service, name: mlflow, instance: mlflow}]
foreign:
  description: The other objects, each with C(api_version), C(kind), C(name) and C(owner), as far as its metadata tells.
  returned: success
  type: list
  elements: dict
  sample: [{api_version: apps/v1, kind: Deployment, name: shop, owner: Helm release shop}]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes import ownership
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.owned_objects import OwnedObjects


def inform(module: AnsibleModule) -> None:
    """Read all objects, and group them by owner."""
    params = module.params
    deployment = params["deployment"] or params["namespace"]
    objects = OwnedObjects(Cluster(params["kubeconfig"], params["namespace"]), params["namespace"])
    there = objects.namespace()
    owned: list[dict[str, Any]] = []
    foreign: list[dict[str, Any]] = []
    for api_version, kind, metadata in objects.all() if there is not None else ():
        # Endpoints carry the labels of their Service.
        if ownership.is_cluster_made(kind, metadata):
            continue
        entry = {"api_version": api_version, "kind": kind, "name": metadata["name"]}
        if ownership.is_own(metadata, deployment):
            owned.append({**entry, "instance": (metadata.get("labels") or {}).get("app.kubernetes.io/instance", "")})
        else:
            foreign.append({**entry, "owner": ownership.whose(metadata)})
    # Workloads come first: a volume can be deleted only once nothing uses it.
    owned.sort(key=lambda entry: entry["kind"] not in ownership.WORKLOAD_KINDS)
    namespace = "absent" if there is None else "own" if ownership.is_own(there, deployment) else "foreign"
    module.exit_json(changed=False, namespace=namespace, owned=owned, foreign=foreign)


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
    with _module.errors_as_failures(module):
        inform(module)


if __name__ == "__main__":
    main()
