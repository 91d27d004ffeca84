#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply a set of Kubernetes objects. All of it is done by the action plugin of the same name."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: kubernetes_apply
short_description: Apply a set of Kubernetes objects, and show what differs in each of them
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Applies objects by M(kubernetes.core.k8s), server-side, as field manager C(mlops.mlflow), Secrets first, and removes what is not wanted.
  - Fields that others have set are taken over where they are declared, and left alone where they are not.
  - A Job, of which nothing can be changed, takes the place of the one of its name and runs once more.
  - Shows the diff of each object of the set, and of a Secret no value.
  - An object counts as changed if something that is declared did; not its status, nor who owns a field.
requirements:
  - kubernetes 24.2.0 or later
extends_documentation_fragment:
  - mlops.mlflow.attributes
options:
  kubeconfig:
    description: The kubeconfig file of the cluster, on the host.
    type: path
  namespace:
    description: The namespace of objects that name none.
    type: str
  definitions:
    description: The objects, each with C(apiVersion), C(kind) and C(metadata.name). They are applied in this order, after the Secrets.
    type: list
    elements: dict
    default: []
  absent:
    description: Objects that are not to be there.
    type: list
    elements: dict
    default: []
    suboptions:
      api_version:
        description: The group and version of its API.
        type: str
        default: v1
      kind:
        description: Its kind. Where the cluster has no such kind, there is no object of it either.
        type: str
        required: true
      name:
        description: Its name.
        type: str
        required: true
"""

EXAMPLES = r"""
- name: Apply a ConfigMap
  mlops.mlflow.kubernetes_apply:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    namespace: akko
    definitions:
      - apiVersion: v1
        kind: ConfigMap
        metadata:
          name: akko-akko-mlflow
        data:
          greeting: hello
"""

RETURN = r"""
actions:
  description: What was done, or would be done outside check mode, a line each.
  returned: success
  type: list
  elements: str
  sample: [create ConfigMap akko-akko-mlflow]
objects:
  description: The objects as they are now, by C(KIND/NAME), without the Secrets.
  returned: success
  type: dict
  sample: {ConfigMap/akko-akko-mlflow: {data: {greeting: hello}}}
"""
