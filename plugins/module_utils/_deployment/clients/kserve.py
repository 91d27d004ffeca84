# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""KServe: the pods of a namespace's InferenceServices read models from the artifact store, past MLflow. No I/O.

Its storage initializer knows S3 by a Secret of the pod's service account, and a volume by the claim that has it. It does not know MLflow, so that
the command ``mlflow-utils serve-manifest`` says where a model is.
"""
from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.client import Client, Entry, Kind, Part, Test
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.objects import opaque
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, Volume, described

#: What the name of its account ends in, and those of the Secret with the store's keys and of the claim on the store's export.
ACCOUNT, KEYS, CLAIM = "-kserve", "-s3", "-artifacts"
ANNOTATION = "serving.kserve.io/s3-"
#: Where the Job that verifies the client has the claim mounted.
_MOUNT_PATH = "/mnt/models"


def _has_own_claim(entry: Entry) -> bool:
    return not entry.artifact_claim


def claim_name(client: Client) -> str:
    """Return the claim that has the artifact store's files, "" if they are not on a volume that is known."""
    return client.entry.artifact_claim or (f"{client.name}{CLAIM}" if client.store.export else "")


def artifact_root(client: Client) -> str:
    """Return where KServe finds what MLflow calls mlflow-artifacts:/, "" if it cannot.

    >>> from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.client import Endpoint, Store
    >>> [artifact_root(Client(Entry(), {}, Endpoint(), store=store)) for store in (Store(destination="s3://a/b"), Store(destination="/b",
    ...     export={"server": "nas"}), Store(destination="/b"))]
    ['s3://a/b', 'pvc://mlflow-client-artifacts', '']
    """
    if client.store.destination.startswith("s3://"):
        return client.store.destination
    return f"pvc://{claim_name(client)}" if claim_name(client) else ""


def _has_own_account(entry: Entry) -> bool:
    return entry.service_account == f"{entry.name}{ACCOUNT}"


def account(client: Client) -> Object | None:
    """Return the ServiceAccount of the pods, which names the Secret with the store's keys."""
    if not _has_own_account(client.entry):
        return None
    made = workload.service_account(client.entry.service_account, client.identity.labels)
    return {**made, **({"secrets": [{"name": f"{client.name}{KEYS}"}]} if client.store_keys else {})}


def keys(client: Client) -> Object | None:
    """Return the Secret with the store's keys. What else KServe must know of the store is in annotations."""
    if not client.store_keys:
        return None
    url = urlsplit(client.store_url)
    where = {"endpoint": url.netloc, "usehttps": "0" if url.scheme == "http" else "1"} if url.netloc else {}
    found = {**where, "region": client.store.environment.get("AWS_DEFAULT_REGION", "")}
    made = opaque(client, f"{client.name}{KEYS}", client.store_keys)
    made["metadata"]["annotations"] |= {f"{ANNOTATION}{name}": str(value) for name, value in found.items() if value}
    return made


def volume(client: Client) -> Object | None:
    """Return a second volume of the export, which nobody can write to by."""
    export = client.store.export
    if not export or client.entry.artifact_claim:
        return None
    options = {"mountOptions": [*export["mount_options"]]} if export.get("mount_options") else {}
    return described("v1", "PersistentVolume", f"{claim_name(client)}.{client.entry.namespace}", client.identity.labels, spec={
        "capacity": {"storage": export["size"]}, "accessModes": ["ReadOnlyMany"], "volumeMode": "Filesystem",
        "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "",
        "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": client.entry.namespace, "name": claim_name(client)},
        **options, "nfs": {"server": export["server"], "path": export["path"], "readOnly": True},
    })  # fmt: skip


def claim(client: Client) -> Object | None:
    """Return the claim that has it."""
    if volume(client) is None:
        return None
    name, size = claim_name(client), client.store.export["size"]
    return described("v1", "PersistentVolumeClaim", name, client.identity.labels, spec={
        "accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": size}}, "storageClassName": "",
        "volumeName": f"{name}.{client.entry.namespace}",
    })  # fmt: skip


def inference_service(client: Client) -> str:
    """Return an InferenceService of a model, and the command that makes one of a model of the registry."""
    entry, root = client.entry, artifact_root(client)
    options = f"--artifact-root {root} --namespace {entry.namespace} --service-account {entry.service_account}"
    return f"""\
# For the model that has an alias, with the URI that KServe reads:
#   mlflow-utils serve-manifest models:/MODEL@champion {options} | kubectl apply -f -
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: MODEL
  namespace: {entry.namespace}
spec:
  predictor:
    serviceAccountName: {entry.service_account}
    model:
      # Without a version: KServe's own runtime knows none of MLflow 3.
      modelFormat:
        name: mlflow
      protocolVersion: v2
      storageUri: {root}/EXPERIMENT_ID/models/MODEL_ID/artifacts
"""


def test(client: Client) -> Test:
    """Return what lets the Job that verifies the client read the artifact where KServe would."""
    root = artifact_root(client)
    if root.startswith("s3://"):
        references = {name: {"secretKeyRef": {"name": f"{client.name}{KEYS}", "key": name}} for name in client.store_keys}
        plain = {name: str(client.from_here(value)) for name, value in client.store.environment.items()}
        plain = {name: value for name, value in plain.items() if name not in client.environment}
        return Test([
            workload.value("MLFLOW_VERIFY_ARTIFACT_ROOT", root),
            *(workload.value(name, value) for name, value in plain.items()),
            *({"name": name, "valueFrom": place} for name, place in references.items() if name not in client.secret_values),
        ])  # fmt: skip
    source = {"persistentVolumeClaim": {"claimName": claim_name(client), "readOnly": True}}
    return Test([workload.value("MLFLOW_VERIFY_ARTIFACT_ROOT", _MOUNT_PATH)], [Volume("models", _MOUNT_PATH, source, read_only=True)])


def problems(client: Client) -> Iterator[str]:
    """Yield what is wrong with an entry."""
    entry, store = client.entry, client.store
    is_s3 = store.destination.startswith("s3://")
    if not _has_own_account(entry):
        yield (
            f"service_account: '{entry.service_account}' would have to name the store's Secret, and is not this deployment's; remove it, and run the "
            f"InferenceServices as {entry.name}{ACCOUNT}"
        )
    if is_s3 and entry.artifact_claim:
        yield f"artifact_claim: '{entry.artifact_claim}' is not needed, since the artifact store is {store.destination}; remove it"
    if is_s3 and (not store.secret_environment or client.store_keys.keys() != store.secret_environment.keys()):
        yield (
            f"kind: KServe reads {store.destination} with keys, and this deployment has none to give to namespace {entry.namespace}; use kind: "
            "namespace, and create the Secret and the ServiceAccount for KServe yourself"
        )
    if not is_s3 and not artifact_root(client):
        yield (
            f"artifact_claim: the artifact store {store.destination} is a volume that KServe's pods in namespace {entry.namespace} cannot mount; "
            "create a claim with the same files there, and name it, or use artifact_store_nfs_server and artifact_store_nfs_path"
        )


KIND = Kind(
    pods={"component": "predictor"},
    files=lambda client: {"kserve-inferenceservice.yaml": inference_service(client)},
    arrival="the pods of an InferenceService get it when they are started again",
    parts=(
        Part("Secret", KEYS, keys),
        Part("ServiceAccount", ACCOUNT, account, asked=_has_own_account),
        Part("PersistentVolume", CLAIM, volume, is_of_cluster=True, asked=_has_own_claim),
        Part("PersistentVolumeClaim", CLAIM, claim, asked=_has_own_claim),
    ),
    account=ACCOUNT,
    reads_store=True,
    problems=problems,
    test=test,
)
