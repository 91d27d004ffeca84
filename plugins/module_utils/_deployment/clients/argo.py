# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Argo Workflows: the pods of a namespace's workflows are clients. No I/O.

The controller is somebody else's, and so are its defaults: what a workflow needs is in a file that its author merges into it.
"""
from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.client import Client, Entry, Kind, Part
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, described

RBAC = "rbac.authorization.k8s.io"
#: What the names of its account and of the account's role end in.
ACCOUNT = "-argo"
#: The ConfigMap in which Argo looks for a namespace's artifact repositories, the annotation that names the default one, and ours.
REPOSITORIES, DEFAULT, REPOSITORY = "artifact-repositories", "workflows.argoproj.io/default-artifact-repository", "mlflow"


def _has_own_account(entry: Entry) -> bool:
    return entry.service_account == f"{entry.name}{ACCOUNT}"


def _stores_artifacts(entry: Entry) -> bool:
    return entry.artifact_store_access


def account(client: Client) -> Object | None:
    """Return the ServiceAccount of the pods, unless they have another. It has a token: Argo's executor in each pod reports to the API server."""
    return described("v1", "ServiceAccount", client.entry.service_account, client.identity.labels) if _has_own_account(client.entry) else None


def role(client: Client) -> Object:
    """Return what Argo's executor may do: report the results of its pod."""
    rules = [{"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}]
    return described(f"{RBAC}/v1", "Role", f"{client.name}{ACCOUNT}", client.identity.labels, rules=rules)


def role_binding(client: Client) -> Object:
    """Return what lets the account do it."""
    subject = {"kind": "ServiceAccount", "name": client.entry.service_account, "namespace": client.entry.namespace}
    reference = {"apiGroup": RBAC, "kind": "Role", "name": f"{client.name}{ACCOUNT}"}
    return described(f"{RBAC}/v1", "RoleBinding", f"{client.name}{ACCOUNT}", client.identity.labels, roleRef=reference, subjects=[subject])


def repositories(client: Client) -> Object | None:
    """Return the namespace's artifact repositories, of which MLflow's store is the default, if the entry asks for its keys."""
    if not _stores_artifacts(client.entry):
        return None
    place, url = urlsplit(client.store.destination), urlsplit(client.store_url)
    key = {"name": client.name}
    s3 = {
        "bucket": place.netloc,
        "endpoint": url.netloc or "s3.amazonaws.com",
        "insecure": url.scheme == "http",
        "region": client.store.environment.get("AWS_DEFAULT_REGION", ""),
        # MLflow's user may do nothing outside of MLflow's prefix. Its experiments are numbers.
        "keyFormat": "/".join(filter(None, (place.path.strip("/"), "argo/{{workflow.namespace}}/{{workflow.name}}/{{pod.name}}"))),
        "accessKeySecret": {**key, "key": "AWS_ACCESS_KEY_ID"},
        "secretKeySecret": {**key, "key": "AWS_SECRET_ACCESS_KEY"},
    }
    made = workload.config_map(REPOSITORIES, client.identity.labels, {REPOSITORY: as_json({"s3": s3})})
    made["metadata"]["annotations"] = {DEFAULT: REPOSITORY}
    return made


def workflow(client: Client) -> dict[str, Any]:
    """Return the part of a Workflow, WorkflowTemplate or CronWorkflow that makes its pods clients.

    Variables are references, one by one: those of a template are merged with them by name. An ``envFrom`` of its own would replace one.
    """
    environment = [{"name": name, "valueFrom": place} for name, place in client.references.items()]
    mounts = {"volumeMounts": [volume.mount for volume in client.volumes]} if client.volumes else {}
    container = {"env": environment, **mounts}
    return {"spec": {
        "serviceAccountName": client.entry.service_account,
        **({"podMetadata": {"labels": dict(client.pods)}} if client.pods else {}),
        # Services' variables are off: one of a Service named mlflow would be MLFLOW_PORT, which MLflow takes for its own.
        "podSpecPatch": as_json({"enableServiceLinks": False}),
        "templateDefaults": {"container": container, "script": container},
        **({"volumes": [volume.volume for volume in client.volumes]} if client.volumes else {}),
        **({"artifactRepositoryRef": {"configMap": REPOSITORIES, "key": REPOSITORY}} if _stores_artifacts(client.entry) else {}),
    }}  # fmt: skip


KIND = Kind(
    pods={},
    files=lambda client: {"argo-workflow.yaml": workflow(client)},
    arrival="the pods of the next workflow get it",
    parts=(
        Part("ServiceAccount", ACCOUNT, account, asked=_has_own_account),
        Part("Role", ACCOUNT, role, f"{RBAC}/v1"),
        Part("RoleBinding", ACCOUNT, role_binding, f"{RBAC}/v1"),
        Part("ConfigMap", "", repositories, fixed=REPOSITORIES, asked=_stores_artifacts),
    ),
    account=ACCOUNT,
)
