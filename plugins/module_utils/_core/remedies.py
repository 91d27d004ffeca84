# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What helps against what a log, an event or a condition of Kubernetes complains of. No I/O."""
from __future__ import annotations

import re

#: The first that is found counts. The texts are those of Linux, PostgreSQL, psycopg2, OpenSSL, MLflow 3.17 and Kubernetes 1.34.
_REMEDIES: tuple[tuple[str, str], ...] = (
    (r"no space left on device|disk quota exceeded|storage.*(is full|reached its minimum free)", "the volume is full: enlarge it, or empty it"),
    (r"disk-?pressure|low on resource: ephemeral-storage", "a node's disk is full: free space on it, or give it more"),
    (r"password authentication failed", "the database has another password than the Secret: set the Secret's there, or the database's in the Secret"),
    (r"certificate (has expired|is not yet valid)|x509: certificate has expired", "a certificate is out of date: renew it, or set the hosts' clocks"),
    (r"certificate verify failed|self.signed certificate|unknown authority", "a certificate is not signed by the authority that is trusted: give it"),
    (r"no module named '?(psycopg2|boto3|pymysql)", "the image lacks a driver: build it with role mlflow_image, or name one that has it"),
    (r"can't locate revision", "the database's schema is newer than this MLflow: name the newer version, or restore a backup"),
    (r"could not translate host name|name or service not known|failure in name resolution", "check the host's name, and the cluster's DNS"),
    (r"connection refused|could not connect to server", "what it connects to is not up, or a NetworkPolicy keeps it away"),
    (r"exec: \"[^\"]*\": (stat .*no such file|executable file not found)", "the image has no such program: correct the command, or the image"),
    (r"permission denied|read-only file system", "it may not write or run that: check the volume's owner, fsGroup and the securityContext"),
    (r"insufficient (memory|cpu)", "lower the requests in its resources, or add memory, CPUs or a node"),
    (r"insufficient ephemeral-storage", "lower the request of ephemeral storage, or give the nodes more disk"),
    (r"storageclass.* not found", "name a storage class that the cluster has: kubectl get storageclass"),
    (r"by the external provisioner '", "see that the storage class's provisioner runs, or name another class: kubectl get storageclass"),
    (r"no persistent volumes available", "the cluster has no default storage class: name one, or make the volume"),
    (r"persistentvolumeclaim .* is immutable", "put the claim's class and size back, or, if its data may go, delete the claim and run again"),
    (r"field is immutable", "it cannot be changed where it is: put it back, or delete the object and run again"),
    (r"failed to find exact match for", "the cluster does not know this kind: install what brings it, or turn off what needs it"),
    (r"unbound immediate persistentvolumeclaims", "the volume is not there: check the claim's storage class and its provisioner"),
    (r"volume node affinity", "its volume is on a node that it may not run on: let it run there, or move the volume"),
    (r"persistentvolumeclaim \"[^\"]*\" not found", "make the claim, or correct its name"),
    (r"untolerated taint|node affinity/selector", "no node is meant for it: check its node selector and tolerations, and the nodes' labels"),
    (r"free ports", "the port is taken on every node: choose another, or use a Service instead of a host port"),
    (r"violates podsecurity", "the namespace takes restricted pods only: correct the securityContext"),
    (r"exceeded quota", "raise the namespace's quota, or lower the requests"),
    (r"runasnonroot|non-numeric user", "the image runs as root: set runAsUser to a number, or build the image with a numeric USER"),
    (r"(secret|configmap) \"[^\"]*\" not found|couldn't find key", "make what is missing, or correct its name"),
)


def remedy_for(text: str) -> str:
    """What helps against what ``text`` complains of; empty where that is not known.

    >>> remedy_for('initdb: could not create directory "data": No space left on device')
    'the volume is full: enlarge it, or empty it'
    >>> remedy_for("Uvicorn running on http://0.0.0.0:5000")
    ''
    """
    return next((remedy for pattern, remedy in _REMEDIES if re.search(pattern, text, re.I)), "")
