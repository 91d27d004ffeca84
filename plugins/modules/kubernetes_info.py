#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read Kubernetes objects. The action plugin of the same name does all the work."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: kubernetes_info
short_description: Read Kubernetes objects, even while the API server restarts
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Takes the options of M(kubernetes.core.k8s_info) and returns what it returns. If the API server does not answer, asks again for 35 seconds,
    and then fails with one sentence. In check mode, it asks once.
requirements:
  - kubernetes 24.2.0 or later
extends_documentation_fragment:
  - mlops.mlflow.attributes.info
options:
  kubeconfig:
    description: The path of the cluster's kubeconfig file on the host.
    type: path
  api_version:
    description: The API group and version.
    type: str
    default: v1
  kind:
    description: The kind of the objects.
    type: str
    required: true
  name:
    description: The name of the object.
    type: str
  namespace:
    description: The namespace of the objects.
    type: str
  label_selectors:
    description: Label selectors, all of which the objects must match.
    type: list
    elements: str
    default: []
  field_selectors:
    description: Field selectors, all of which the objects must match.
    type: list
    elements: str
    default: []
seealso:
  - module: kubernetes.core.k8s_info
"""

EXAMPLES = r"""
- name: Read a Secret
  mlops.mlflow.kubernetes_info:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    namespace: akko
    kind: Secret
    name: akko-akko-mlflow
  no_log: true
"""

RETURN = r"""
api_found:
  description: Whether the cluster has the kind.
  returned: always
  type: bool
  sample: true
resources:
  description: The objects.
  returned: success
  type: list
  elements: dict
  sample: [{kind: Secret, metadata: {name: akko-akko-mlflow}}]
"""
