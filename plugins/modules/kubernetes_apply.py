#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply a set of Kubernetes objects. The action plugin of the same name does all the work."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: kubernetes_apply
short_description: Apply a set of Kubernetes objects, and show the diff of each
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Applies objects with M(kubernetes.core.k8s), server-side, as field manager C(mlops.mlflow), Secrets first, and removes those in O(absent).
  - Each object gets ownership labels, C(app.kubernetes.io/managed-by=mlops.mlflow) and C(mlops.mlflow/deployment). An existing object
    without these labels belongs to someone else, and the task fails before it changes anything, unless O(adopt) names it
    (see M(mlops.mlflow.kubernetes_preflight)).
  - In the deployment's own objects, declared fields that others have set are taken over, and undeclared ones are left alone.
  - A Job, which is immutable, replaces the one of the same name and runs again.
  - Shows the diff of each object, without the values of Secrets.
  - An object counts as changed if a declared field changed; its status and the ownership of its fields do not count.
requirements:
  - kubernetes 24.2.0 or later
extends_documentation_fragment:
  - mlops.mlflow.attributes
options:
  kubeconfig:
    description: The path of the cluster's kubeconfig file on the host.
    type: path
  namespace:
    description: The namespace of objects that do not specify one.
    type: str
  deployment:
    description: The name of the deployment that the objects belong to. Defaults to O(namespace).
    type: str
  adopt:
    description: Objects of other owners that may be taken over or removed, each as C(KIND/NAME), or C(KIND/NAMESPACE/NAME) if the definition has a
      namespace.
    type: list
    elements: str
    default: []
  labels:
    description: Labels for all objects and for the templates of their pods. Labels that an object has itself take precedence.
    type: dict
    default: {}
  annotations:
    description: Annotations for all objects and for the templates of their pods. Annotations that an object has itself take precedence.
    type: dict
    default: {}
  patches:
    description:
      - Changes to single objects, merged into them before they are applied, as C(kubectl patch) does by strategic merge. Lists are merged by
        the key that identifies their entries, such as the C(name) of containers, environment variables and volumes, and replaced if there is
        none or in objects of custom kinds. V(null) removes a key; C($patch) with V(delete) or V(replace) removes an entry or replaces the whole.
    type: list
    elements: dict
    default: []
    suboptions:
      kind:
        description: The kind of the object.
        type: str
        required: true
      name:
        description: The name of the object. V(*) and V(?) are wildcards.
        type: str
        required: true
      patch:
        description: The part of the object that changes.
        type: dict
        required: true
  definitions:
    description: The objects, each with C(apiVersion), C(kind) and C(metadata.name). They are applied in the order given, Secrets first.
    type: list
    elements: dict
    default: []
  merged:
    description:
      - Objects, as in O(definitions), of which only the given fields are the deployment's. They are merged, as field manager
        C(mlops.mlflow/DEPLOYMENT), into an object that may be anybody's, which gets no ownership labels, or make one if there is none.
      - A field that somebody else has set to another value is not overwritten; the task fails.
    type: list
    elements: dict
    default: []
  absent:
    description: Objects of the deployment to remove. An object of that name with another owner is left alone.
    type: list
    elements: dict
    default: []
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
        description: The name.
        type: str
        required: true
      namespace:
        description: The namespace, if it is not O(namespace).
        type: str
      merged:
        description: Whether only the fields are removed that O(merged) has added before; the object itself only if it has no others.
        type: bool
        default: false
  checked:
    description:
      - C(all) objects of which a check of the whole run, M(mlops.mlflow.kubernetes_preflight), has said whose they are, and those that were C(there).
      - Where only existing ones are applied, they are not checked again.
    type: dict
    default: {}
  rollouts:
    description: Workloads to wait for in the end, as in M(mlops.mlflow.kubernetes_wait).
    type: list
    elements: dict
    default: []
  timeout:
    description: How long to wait for all of them, in seconds.
    type: int
    default: 300
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
  description: What was done, or in check mode would be done, one line per action.
  returned: success
  type: list
  elements: str
  sample: [create ConfigMap akko-akko-mlflow]
ready:
  description: Pods of the rollouts that are ready, newest first.
  returned: success
  type: list
  elements: str
  sample: [akko-akko-mlflow-7c9d8]
restarted:
  description: Pods of the rollouts that were deleted so that their controllers recreate them.
  returned: success
  type: list
  elements: str
  sample: [akko-akko-mlflow-7c9d8]
objects:
  description: The objects as they are now, by C(KIND/NAME), or C(KIND/NAMESPACE/NAME) if the definition has a namespace, except Secrets.
  returned: success
  type: dict
  sample: {ConfigMap/akko-akko-mlflow: {data: {greeting: hello}}}
"""
