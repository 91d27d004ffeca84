# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Remedies for problems in logs, events and conditions of Kubernetes. No I/O."""
from __future__ import annotations

import re

#: The first match counts. The patterns are for messages of Linux, PostgreSQL, psycopg2, OpenSSL, MLflow 3.17 and Kubernetes 1.34.
_REMEDIES: tuple[tuple[str, str], ...] = (
    # NFS, as mount(8) and the kubelet say it. These come first, since mount's words are general.
    (r"applyfsgroup failed.*read-only file system", "the export is read-only: export it with rw instead of ro"),
    (
        r"applyfsgroup failed.*(not permitted|permission denied)",
        "root_squash keeps the kubelet from setting the pod's group (fsGroup): on the NFS server, give the folder that group and mode 2770, or "
        "export it with no_root_squash",
    ),
    (
        r"calling webhook \"[mv](cluster|database)\.cnpg\.io",
        "CloudNativePG's operator does not answer: check that it runs (kubectl get pods --all-namespaces --selector "
        "app.kubernetes.io/name=cloudnative-pg), and run again",
    ),
    (r"access denied by server while mounting", "it is not exported to this node under this path: add the node to the export, or correct the path"),
    (r"reason given by server: no such file|mount\.nfs.*no such file", "the NFS server has no such path: correct it, or create and export it"),
    (
        r"mount\.<type> helper|unknown filesystem type '?nfs|mount\.nfs\S*: (command )?not found",
        "the node has no NFS client: install it on all nodes (Debian: nfs-common, Fedora: nfs-utils)",
    ),
    (r"driver name \S+ not found in the list of registered csi drivers", "the node does not run the volume's CSI driver: deploy it on all nodes"),
    (r"rpc\.statd is not running", "NFS version 3 needs rpc.statd on the node: mount with nfsvers=4.1, or with nolock"),
    (r"mount\.nfs.*protocol.* not supported", "the NFS server does not serve this version: correct nfsvers in the mount options"),
    (r"mount\.nfs.*(incorrect mount option|invalid option)", "a mount option is wrong: correct it"),
    (r"stale (nfs )?file handle", "the exported folder was replaced: export it with a fixed fsid=, and end the pods that have it mounted"),
    (r"mount\.nfs.*(resolve server|name or service not known)", "check the NFS server's name, and the nodes' DNS"),
    (r"mount\.nfs.*(connection refused|timed out|no route|unreachable)", "check that the NFS server is up, and that nodes reach its port 2049"),
    (r"no space left on device|disk quota exceeded|storage.*(is full|reached its minimum free)", "the volume is full: enlarge it, or free space"),
    (r"disk-?pressure|low on resource: ephemeral-storage", "a node's disk is full: free space on it, or enlarge it"),
    (r"password authentication failed", "the passwords in the database and in the Secret differ: change one to match the other"),
    (r"certificate (has expired|is not yet valid)|x509: certificate has expired", "a certificate is not valid now: renew it, or set the clocks"),
    (r"certificate verify failed|self.signed certificate|unknown authority", "a certificate is not signed by a trusted authority: configure it"),
    (r"no module named '?(psycopg2|boto3|pymysql)", "the image lacks a driver: build it with role mlflow_image, or use one that has it"),
    (r"can't locate revision", "the database's schema is newer than this MLflow: deploy the newer version, or restore a backup"),
    (r"longer than specified deadline", "it did not end in time: raise its timeout, or give it more CPU"),
    (r"could not translate host name|name or service not known|failure in name resolution", "check the host name, and the cluster's DNS"),
    (r"connection refused|could not connect to server", "what it connects to is not up, or a NetworkPolicy blocks it"),
    (r"exec: \"[^\"]*\": (stat .*no such file|executable file not found)", "the image has no such program: correct the command, or the image"),
    (r"permission denied|read-only file system", "it may not write or execute that: check the volume's owner, fsGroup and the securityContext"),
    (r"insufficient (memory|cpu)", "lower the requests in its resources, or add memory, CPUs or a node"),
    (r"insufficient ephemeral-storage", "lower the request for ephemeral storage, or give the nodes more disk"),
    (r"storageclass.* not found", "use a storage class that the cluster has: kubectl get storageclass"),
    (r"by the external provisioner '", "check that the storage class's provisioner runs, or use another class: kubectl get storageclass"),
    (r"no persistent volumes available", "the cluster has no default storage class: specify one, or create the volume"),
    (r"persistentvolumeclaim .* is immutable", "revert the claim's class and size, or, if its data is not needed, delete the claim and run again"),
    (r"apply failed with \d+ conflict", "others have set this field too: remove it from their object, or do without what needs it"),
    (r"field is immutable", "it cannot be changed in place: revert it, or delete the object and run again"),
    (r"failed to find exact match for", "the cluster does not know this kind: install its CRD, or disable what needs it"),
    (r"unbound immediate persistentvolumeclaims", "the volume does not exist: check the claim's storage class and its provisioner"),
    (r"volume node affinity", "its volume is on a node where it may not run: allow it to run there, or move the volume"),
    (r"persistentvolumeclaim \"[^\"]*\" not found", "create the claim, or correct its name"),
    (r"untolerated taint|node affinity/selector", "no node matches it: check its node selector and tolerations, and the nodes' labels and taints"),
    (r"free ports", "the port is in use on every node: choose another, or use a Service instead of a host port"),
    (r"violates podsecurity", "the pod violates the namespace's Pod Security Standard: correct the securityContext"),
    (r"exceeded quota", "raise the namespace's quota, or lower the requests"),
    (r"runasnonroot|non-numeric user", "the image runs as root: set runAsUser to a number, or build the image with a numeric USER"),
    (r"(secret|configmap) \"[^\"]*\" not found|couldn't find key", "create what is missing, or correct its name"),
)


def remedy_for(text: str) -> str:
    """Return the remedy for the problem in ``text``; empty if none is known.

    >>> remedy_for('initdb: could not create directory "data": No space left on device')
    'the volume is full: enlarge it, or free space'
    >>> remedy_for("Uvicorn running on http://0.0.0.0:5000")
    ''
    """
    return next((remedy for pattern, remedy in _REMEDIES if re.search(pattern, text, re.I)), "")
