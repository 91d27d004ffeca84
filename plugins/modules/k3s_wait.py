#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until a node of k3s is Ready. The action plugin of the same name does all the work."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: k3s_wait
short_description: Wait until a node of k3s is Ready, and report what prevents it
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Waits on the node itself, and shows what it still lacks and the time elapsed.
  - If k3s exits again and again, it fails at once instead of waiting for the timeout.
  - On failure, one message gives what the node lacks and the last warnings and errors in k3s's journal.
  - It is a part of the role P(mlops.mlflow.k3s#role).
extends_documentation_fragment:
  - mlops.mlflow.attributes
attributes:
  check_mode:
    description: Waits in check mode too.
    support: full
  diff_mode:
    description: The module manages no state that could differ.
    support: none
options:
  node:
    description: The node's name.
    type: str
    required: true
  version:
    description: The version that it is to report.
    type: str
    required: true
  unit:
    description: The unit that runs k3s on the host.
    type: str
    required: true
  timeout:
    description: How long to wait, in seconds.
    type: int
    required: true
  kubectl:
    description: The path of kubectl on the host.
    type: str
    required: true
  kubeconfig:
    description: The path of the kubelet's kubeconfig on the host, which lets a node read its own state.
    type: str
    required: true
  began:
    description: When k3s was started, in seconds since 1970 and as the API server writes a time, with a space between.
    type: str
    required: true
  restarts:
    description: Whether it was started then, so that what its kubelet reported earlier does not count.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Wait for the node to become Ready
  mlops.mlflow.k3s_wait:
    node: akko-2
    version: v1.34.4+k3s1
    unit: k3s-agent
    timeout: 600
    kubectl: /usr/local/bin/kubectl
    kubeconfig: /var/lib/rancher/k3s/agent/kubelet.kubeconfig
    began: 1796073535 2026-11-30T21:18:55Z
    restarts: true
"""

RETURN = r"""
msg:
  description: That the node is Ready, or why it is not.
  returned: always
  type: str
  sample: "akko-2: Ready with v1.34.4+k3s1, 12 seconds"
"""
