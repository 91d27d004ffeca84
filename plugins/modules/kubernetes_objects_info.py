#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read several objects of a cluster, of any kinds, in one call."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: kubernetes_objects_info
short_description: Read several objects of a cluster, of any kinds, in one call
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - M(mlops.mlflow.kubernetes_info) reads one object, or those of one kind, and takes most of its time to start; this reads all that a role needs.
  - A task with C(no_log) hides what was read, but not why it could not be read.
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
    description: The namespace of objects that do not specify one.
    type: str
    required: true
  objects:
    description: What to read.
    type: list
    elements: dict
    required: true
    suboptions:
      api_version:
        description: The API group and version.
        type: str
        default: v1
      kind:
        description: The kind. A kind that the cluster does not know has no objects.
        type: str
        required: true
      name:
        description: The name. Without it, all objects of the kind are read, or those with O(objects[].label_selectors).
        type: str
        default: ""
      namespace:
        description: The namespace, if it is not O(namespace).
        type: str
        default: ""
      label_selectors:
        description: Labels that the objects have, each as C(NAME=VALUE).
        type: list
        elements: str
        default: []
      optional:
        description: Whether what the user of the kubeconfig may not see counts as not there.
        type: bool
        default: false
"""

EXAMPLES = r"""
- name: Read MLflow's Deployment, and its pods
  mlops.mlflow.kubernetes_objects_info:
    namespace: akko
    objects:
      - {api_version: apps/v1, kind: Deployment, name: akko-akko-mlflow}
      - {kind: Pod, label_selectors: [app.kubernetes.io/name=akko-mlflow]}
  register: found
"""

RETURN = r"""
found:
  description: For each entry of O(objects), in their order, C(resources), the objects as they are.
  returned: success
  type: list
  elements: dict
  sample: [{resources: [{apiVersion: v1, kind: Pod, metadata: {name: mlflow-7c9d8}}]}]
reachable:
  description: V(false) if the cluster did not answer.
  returned: failure
  type: bool
  sample: true
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.owned_objects import OwnedObjects


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "default": "/etc/rancher/k3s/k3s.yaml"},
            "namespace": {"type": "str", "required": True},
            "objects": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "api_version": {"type": "str", "default": "v1"},
                    "kind": {"type": "str", "required": True},
                    "name": {"type": "str", "default": ""},
                    "namespace": {"type": "str", "default": ""},
                    "label_selectors": {"type": "list", "elements": "str", "default": []},
                    "optional": {"type": "bool", "default": False},
                },
            },
        },
        supports_check_mode=True,
    )
    with _module.errors_as_failures(module, _module.reachable):
        objects = OwnedObjects(Cluster(module.params["kubeconfig"], module.params["namespace"]), module.params["namespace"])
        # Ansible shows a value called results even of a task with no_log, as it would be that of a loop.
        module.exit_json(changed=False, found=[{"resources": objects.read(**wanted)} for wanted in module.params["objects"]])


if __name__ == "__main__":
    main()
