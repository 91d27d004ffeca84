"""What is said of Clusters and Databases while they are waited for; phases and messages are CloudNativePG's own."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes import rollout
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.known_failures import remedy_for
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.pod_trouble import seconds

START = "2026-11-30T09:00:00Z"
NOW = seconds("2026-11-30T09:02:00Z")
HEALTHY, READY = "Cluster in healthy state", {"type": "Ready", "status": "True"}
ROLES = [{"name": "mlflow", "passwordSecret": {"name": "db-user"}}, {"name": "grafana", "passwordSecret": {"name": "grafana"}}]


def cluster(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "db", "uid": "c", "creationTimestamp": START}, "status": status,
        "spec": {"instances": 1, "imageName": "postgresql:17.11", "managed": {"roles": ROLES}},
    }  # fmt: skip


def pod(image: str = "postgresql:17.11", name: str = "db-1", role: str = "instance", **more: Any) -> dict[str, Any]:
    labels = {"cnpg.io/cluster": "db", "cnpg.io/podRole": role}
    return {
        "metadata": {"name": name, "uid": name, "creationTimestamp": START, "labels": labels, "ownerReferences": [{"uid": "another"}]},
        "spec": {
            "nodeName": "a", "containers": [{"name": "postgres", "image": image}], "volumes": [{"persistentVolumeClaim": {"claimName": "db-1"}}],
        },
        "status": {"phase": "Running", "conditions": [READY], **more},
    }  # fmt: skip


def judged(thing: dict[str, Any] | None, pods: list[dict[str, Any]], kind: str = "Cluster", waited: float = 60, **more: Any) -> rollout.Verdict:
    seen = {"objects": {f"{kind}/db": thing}, "replica_sets": [], "pods": pods, "events": [], "claims": [], "now": NOW, **more}
    return rollout.verdicts([{"kind": kind, "name": "db"}], seen, waited)[0]


def healthy(**more: Any) -> dict[str, Any]:
    roles = {"managedRolesStatus": {"byStatus": {"reconciled": ["mlflow"]}}}
    return {"phase": HEALTHY, "conditions": [READY], "readyInstances": 1, **roles, **more}


@pytest.mark.parametrize(("status", "pods", "state"), [
    (healthy(), [pod()], "done"),
    # The role that somebody else has added is none of ours.
    (healthy(managedRolesStatus={"byStatus": {"reconciled": ["mlflow"]}, "cannotReconcile": {"grafana": ["no"]}}), [pod()], "done"),
    # The operator has not restarted the instance with its new image yet, or has just ended it.
    (healthy(), [pod("postgresql:17.10")], "waiting"),
    (healthy(), [], "waiting"),
    (healthy(managedRolesStatus={}), [pod()], "waiting"),
    (healthy(readyInstances=0), [pod()], "waiting"),
    (healthy(conditions=[]), [pod()], "waiting"),
    (healthy(phase="Upgrading cluster"), [pod()], "waiting"),
])
def test_a_cluster_is_done_when_its_operator_says_so_and_its_pods_have_its_image(status: dict[str, Any], pods: list[Any], state: str) -> None:
    assert judged(cluster(**status), pods).state == state


@pytest.mark.parametrize(("status", "state", "reason", "remedy"), [
    ({}, "waiting", "CloudNativePG has not acted on it", "check that its operator runs"),
    ({"phase": "Setting up primary"}, "waiting", "", ""),
    ({"phase": "Cluster is unrecoverable and needs manual intervention"}, "failed", "unrecoverable", "restore it from its backup"),
    ({"phase": "Unable to create required cluster objects", "phaseReason": "no quota"}, "failed", "objects: no quota", "correct what it names"),
    ({"phase": "Waiting for user action", "phaseReason": "restart"}, "failed", "Waiting for user action: restart", "supervised"),
    (healthy(conditions=[{"type": "cnpg.io/hibernation", "status": "True"}]), "failed", "it is hibernated", "cnpg.io/hibernation=off"),
    (healthy(managedRolesStatus={"cannotReconcile": {"mlflow": ["could not perform DROP"]}}), "failed", "role mlflow: could not", "postgresql_user"),
])
def test_final_phases_are_told_apart_from_those_that_pass(status: dict[str, Any], state: str, reason: str, remedy: str) -> None:
    verdict = judged(cluster(**status), [])
    assert verdict.state == state
    assert reason in verdict.reason
    assert remedy in verdict.remedy


def test_a_final_phase_may_be_of_before_the_run() -> None:
    assert judged(cluster(phase="Unable to create required cluster objects"), [], waited=3).state == "waiting"


def test_why_a_pod_of_the_cluster_does_not_run_is_said() -> None:
    """Of an instance, and of the Job that makes it: neither is the Cluster's own to Kubernetes."""
    state = {"name": "postgres", "image": "postgresql:17.11", "state": {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}}
    made = pod(name="db-1-initdb-x", role="", phase="Pending", conditions=[], containerStatuses=[state])
    verdict = judged(cluster(phase="Setting up primary"), [made], waited=120)
    assert verdict.state == "failed"
    assert "pod db-1-initdb-x: container postgres: ErrImagePull: manifest unknown" in verdict.reason
    pending = pod(phase="Pending", conditions=[])
    pending["spec"].pop("nodeName")
    claim = {"metadata": {"name": "db-1"}, "status": {"phase": "Pending"}}
    event = {"metadata": {}, "involvedObject": {"kind": "PersistentVolumeClaim", "name": "db-1"}, "reason": "ProvisioningFailed",
             "message": 'storageclass.storage.k8s.io "longhorn" not found', "lastTimestamp": START}
    verdict = judged(cluster(phase="Setting up primary"), [pending], waited=120, claims=[claim], events=[event])
    assert (verdict.state, verdict.remedy) == ("failed", "use a storage class that the cluster has: kubectl get storageclass")


@pytest.mark.parametrize(("status", "state", "reason"), [
    ({"applied": True, "observedGeneration": 2}, "done", ""),
    ({"applied": True, "observedGeneration": 1}, "waiting", ""),
    ({}, "waiting", ""),
    ({"applied": False, "message": 'role "mlflow" does not exist'}, "waiting", 'database mlflow: role "mlflow" does not exist'),
    ({"applied": False, "message": 'name "mlflow" is already managed by object "x"'}, "failed", "is already managed"),
])
def test_a_database_is_done_when_its_generation_is_applied(status: dict[str, Any], state: str, reason: str) -> None:
    database = {"metadata": {"name": "db", "uid": "d", "generation": 2}, "spec": {"name": "mlflow"}, "status": status}
    verdict = judged(database, [], "Database")
    assert verdict.state == state
    assert reason in verdict.reason


def test_an_operator_that_is_down_is_named() -> None:
    said = ('Internal error occurred: failed calling webhook "mcluster.cnpg.io": failed to call webhook: Post "https://cnpg-webhook-service.cnpg-system.'
            'svc:443/mutate": dial tcp 10.43.0.7:443: connect: connection refused')
    assert remedy_for(said).startswith("CloudNativePG's operator does not answer")
