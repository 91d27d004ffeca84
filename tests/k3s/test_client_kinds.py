"""Argo Workflows, KServe and Kubeflow as clients, without their controllers: each is verified from its namespace, and what others own there stays.

The namespaces deny everything. KServe's client reads an artifact from S3 with the keys of its own Secret.
"""
from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cluster import Cluster
from playbook import Run, play

pytestmark = [
    pytest.mark.akko, pytest.mark.alters, pytest.mark.long,
]  # fmt: skip
TRAIN, SERVE, PROFILE = "kinds-train", "kinds-serve", "kinds-profile"
NAMESPACES = (TRAIN, SERVE, PROFILE)
ROOT = {"defaultPipelineRoot": "minio://mlpipeline/v2"}
CLIENTS: list[dict[str, Any]] = [
    {"kind": "argo", "namespace": TRAIN, "artifact_store_access": True},
    {"kind": "kserve", "namespace": SERVE},
    # The cluster has no PodDefaults.
    {"kind": "kubeflow", "namespace": PROFILE, "pod_default": False},
]


@dataclass(frozen=True)
class Wired:
    """What the run and the run after it came to."""

    first: Run
    again: Run


def run(clients: list[dict[str, Any]]) -> Run:
    """Run the site with these clients."""
    return play(variables={"mlflow_clients": clients}, timeout=1500)


def launcher(cluster: Cluster) -> dict[str, Any]:
    """The settings of the pipelines that are there."""
    found: dict[str, Any] = json.loads(cluster.run(f"k3s kubectl -n {PROFILE} get configmap kfp-launcher -o json"))
    return found


def set_launcher(cluster: Cluster, **data: str) -> None:
    """Have somebody else write them."""
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kfp-launcher", "namespace": PROFILE}, "data": ROOT | data}
    cluster.run("k3s kubectl replace -f -", stdin=json.dumps(made))


@pytest.fixture(scope="module")
def wired(cluster: Cluster) -> Iterator[Wired]:
    """Two runs, in namespaces that deny all connections, of which one has settings of pipelines."""
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    made = [
        *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES),
        *({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny", "namespace": name}, "spec": deny}
          for name in NAMESPACES),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kfp-launcher", "namespace": PROFILE}, "data": ROOT},
    ]  # fmt: skip
    try:
        cluster.run("k3s kubectl create -f -", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": made}))
        yield Wired(run(CLIENTS), run(CLIENTS))
    finally:
        play(variables={"mlflow_clients": []})
        cluster.run(f"k3s kubectl delete namespace {' '.join(NAMESPACES)} --ignore-not-found --timeout=90s", timeout=120)


def test_each_is_verified_and_kserve_where_it_reads(cluster: Cluster, wired: Wired) -> None:
    """The log of KServe's Job has the step that reads past MLflow."""
    assert wired.first.status == 0, wired.first.output
    told = " ".join(wired.first.output.split())
    for client in CLIENTS:
        assert f"Client {client['kind']} in namespace {client['namespace']}: a Job in its namespace" in told
    log = cluster.run(f"k3s kubectl -n {SERVE} logs job/mlflow-client-verify")
    assert "ok: read it from s3://" in log
    assert (wired.again.status, wired.again.changed) == (0, 0), wired.again.output


def test_the_account_of_workflows_may_report_results_and_no_more(cluster: Cluster, wired: Wired) -> None:
    """As the API server says; it need not know the kind."""
    assert wired.first.status == 0
    account = f"system:serviceaccount:{TRAIN}:mlflow-client-argo"
    for verb, thing, expected in (("create", "workflowtaskresults.argoproj.io", "yes"), ("list", "secrets", "no"), ("create", "pods", "no")):
        said = cluster.run(f"k3s kubectl -n {TRAIN} auth can-i {verb} {thing} --as {account} 2>/dev/null || true")
        assert said.split()[-1] == expected, (verb, thing)


def test_settings_of_pipelines_are_merged_and_those_of_others_never_overwritten(cluster: Cluster, wired: Wired) -> None:
    """What somebody else has set is in the way, and named."""
    assert wired.first.status == 0
    found = launcher(cluster)
    assert found["data"].keys() == {*ROOT, "plugins.mlflow"}
    assert "mlops.mlflow/deployment" not in (found["metadata"].get("labels") or {})
    set_launcher(cluster, **{"plugins.mlflow": "{}"})
    refused = run(CLIENTS)
    assert refused.status == 2, refused.output
    said = refused.failures[-1][1]
    assert f"ConfigMap/{PROFILE}/kfp-launcher: Kubernetes rejects this: Apply failed with 1 conflict" in said
    assert "others have set this field too" in said
    assert launcher(cluster)["data"] == ROOT | {"plugins.mlflow": "{}"}
    set_launcher(cluster)


def test_what_was_merged_is_withdrawn(cluster: Cluster, wired: Wired) -> None:
    """And all else is gone."""
    assert wired.first.status == 0
    assert run(CLIENTS).status == 0
    assert "plugins.mlflow" in launcher(cluster)["data"]
    gone = run([])
    assert gone.status == 0, gone.output
    assert launcher(cluster)["data"] == ROOT
    for namespace in NAMESPACES:
        kinds = "configmap,secret,networkpolicy,serviceaccount,role,rolebinding"
        left = cluster.run(f"k3s kubectl -n {namespace} get {kinds} --selector=app.kubernetes.io/managed-by=mlops.mlflow -o name")
        assert not left.split(), namespace
