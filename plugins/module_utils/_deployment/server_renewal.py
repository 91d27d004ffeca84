# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The CronJob that renews the certificate of an MLflow server's Ingress, and what it may read and write. No I/O."""
from __future__ import annotations

import hashlib

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import USER, Deployed
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Container, Object, Volume, described

RBAC, TOKEN_FOLDER = "rbac.authorization.k8s.io/v1", "/var/run/secrets/kubernetes.io/serviceaccount"


def account(deployed: Deployed) -> Object:
    """Return the CronJob's own account."""
    return workload.service_account(deployed.server.certificate, deployed.server.identity.of("certificate").labels)


def role(deployed: Deployed) -> Object:
    """It may write the certificate, and read its authority."""
    server = deployed.server
    allowed = ((server.tls_secret, ["get", "patch"]), (f"{server.tls_secret}-ca", ["get"]))
    rules = [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": verbs} for name, verbs in allowed]
    return described(RBAC, "Role", server.certificate, server.identity.of("certificate").labels, rules=rules)


def role_binding(deployed: Deployed) -> Object:
    """Return what gives that account its role."""
    name, labels = deployed.server.certificate, deployed.server.identity.of("certificate").labels
    subject = {"kind": "ServiceAccount", "name": name, "namespace": deployed.cluster.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    return described(RBAC, "RoleBinding", name, labels, roleRef=role, subjects=[subject])


def program(deployed: Deployed) -> Object:
    """Return the program."""
    labels = deployed.server.identity.of("certificate").labels
    return workload.config_map(deployed.server.certificate, labels, {"renew.py": deployed.renewal})


def network_policy(deployed: Deployed) -> Object:
    """Return the policy: it reaches the API server, and nobody calls it."""
    server = deployed.server
    return workload.network_policy(server.identity.of("certificate"), server.certificate, deployed.cluster.api_egress)


def cron_job(deployed: Deployed) -> Object:
    """Return the CronJob."""
    server, labels = deployed.server, deployed.server.identity.of("certificate").labels
    # A token of ten minutes, for this container alone.
    token = {"projected": {"defaultMode": 0o440, "sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}}  # fmt: skip
    volumes = [workload.files("program", "/certificate", server.certificate), Volume("token", TOKEN_FOLDER, token, read_only=True)]
    resources = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}}
    command = ["python", "/certificate/renew.py", server.tls_secret]
    more = {"imagePullPolicy": server.image_pull_policy, "terminationMessagePolicy": "FallbackToLogsOnError"}
    container = Container("renew", deployed.image, command, volumes, resources, more=more)
    pod = {**workload.pod(server.certificate, workload.user(USER), [container]), **server.pod_spec}
    job = workload.job("", labels, pod, backoffLimit=2, activeDeadlineSeconds=300)["spec"]
    return described("batch/v1", "CronJob", server.certificate, labels, spec={
        "schedule": _weekly(f"{deployed.cluster.namespace}/{server.name}"),
        "concurrencyPolicy": "Forbid",
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {"metadata": {"labels": labels}, "spec": job},
    })  # fmt: skip


def _weekly(name: str) -> str:
    """A time once a week, of its own for each name, as cron writes it.

    >>> _weekly("mlflow/mlflow")
    '22 23 * * 5'
    """
    moment = int(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:6], 16)
    return f"{moment % 60} {moment // 60 % 24} * * {moment // 1440 % 7}"
