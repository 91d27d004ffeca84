"""A server whose artifacts are in a volume, as homelab has them: in namespace mlflow, uvicorn, Recreate, 200m and 512Mi to 1 CPU and 2Gi, 50Gi.

The volume is of k3s's own class, by a claim of somebody else: no host of the tests has an NFS client, which is a fault that is told, too.
"""
from __future__ import annotations

import copy
import json
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from playbook import Run, play, roles_playbook

# Not for what they break, but for the minutes that they take.
pytestmark = [pytest.mark.outage, pytest.mark.line("(beyond) artifacts in a volume, behind MLflow")]
NAMESPACE, NAME, CLAIM = "mlflow", "mlflow", "somebodys"
VARIABLES: dict[str, Any] = {
    "kubernetes_namespace": NAMESPACE, "postgresql_name": "database", "postgresql_volume_size": "1Gi",
    "artifact_store_provider": "nfs", "artifact_store_name": "artifacts", "artifact_store_app": "artifacts", "artifact_store_existing_claim": CLAIM,
    "mlflow_server_name": NAME, "mlflow_server_app": NAME, "mlflow_server_host": "", "mlflow_server_ingress_auth": "none",
    "mlflow_server_replicas": 2, "mlflow_server_strategy": "Recreate", "mlflow_server_pool_size": 5, "mlflow_server_max_overflow": 2,
    "mlflow_server_resources": {"requests": {"cpu": "200m", "memory": "512Mi"}, "limits": {"cpu": 1, "memory": "2Gi"}},
}
SITE = ("postgresql", "artifact_store", "mlflow_server", "mlflow_verify")


@dataclass
class Homelab:
    """The server: its cluster, as ``kubectl`` in its namespace has it, and the folder for playbooks."""

    cluster: Cluster
    folder: Path
    image: str

    def deploy(self, *roles: str, words: Sequence[str] = (), **variables: Any) -> Run:
        """Run roles on the first server with the variables of this server, and others, and further words of the command line."""
        images = {"mlflow_server_image": self.image, "artifact_store_image": self.image}
        return play(roles_playbook(self.folder, roles), {**VARIABLES, **images, **variables}, words=words)

    def names(self, kind: str) -> set[str]:
        """The names of the objects of a kind."""
        return {each["metadata"]["name"] for each in self.cluster.get(kind)}

    @property
    def place(self) -> tuple[str, str]:
        """The node and the folder of the claim's volume."""
        volume = self.cluster.get("pv", self.cluster.get("pvc", CLAIM)["spec"]["volumeName"])["spec"]
        node = volume["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"][0]
        return str(node), str((volume.get("hostPath") or volume.get("local"))["path"])

    @contextmanager
    def owned_by_root(self) -> Iterator[None]:
        """Make the root of the volume read-only for MLflow's user, and forget that it was checked."""
        node, path = self.place
        self.cluster.kubectl("delete", "configmap", "artifacts-check", "--ignore-not-found")
        before = self.cluster.run(f"stat -c '%a %u:%g' {shlex.quote(path)}", host=node).split()
        self.cluster.run(f"chown 0:0 {shlex.quote(path)} && chmod 755 {shlex.quote(path)}", host=node)
        try:
            yield
        finally:
            self.cluster.run(f"chown {before[1]} {shlex.quote(path)} && chmod {before[0]} {shlex.quote(path)}", host=node)


@pytest.fixture(scope="module")
def homelab(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homelab]:
    """The namespace with its database and somebody's claim; at the end, it is removed with all that is in it."""
    image = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    apart = copy.copy(cluster)
    apart.namespace = NAMESPACE
    made = Homelab(apart, tmp_path_factory.mktemp("homelab"), image)
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "local-path", "resources": {"requests": {"storage": "50Gi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "spec": spec}
    try:
        run = made.deploy("postgresql")
        assert run.status == 0, run.output
        apart.kubectl("apply", "--filename", "-", stdin=json.dumps(claim))
        yield made
    finally:
        cluster.delete_namespace(NAMESPACE)
        cluster.run(f"k3s kubectl delete pv --selector mlops.mlflow/deployment={NAMESPACE} --wait=false")


@pytest.fixture(scope="module")
def deployed(homelab: Homelab) -> Homelab:
    """The same once MLflow is deployed and has passed its own verification."""
    run = homelab.deploy(*SITE)
    assert run.status == 0, run.output
    return homelab


def test_check_mode_writes_nothing(homelab: Homelab) -> None:
    """It says what a run would do, makes no Job, and does not touch the claim, which has no volume yet."""
    before = homelab.cluster.get("pvc", CLAIM)
    kinds = ("job", "configmap", "networkpolicy", "serviceaccount", "pvc")
    there = {kind: homelab.names(kind) for kind in kinds}
    run = homelab.deploy("artifact_store", words=["--check"])
    assert run.status == 0, run.output
    assert run.changed > 0
    assert {kind: homelab.names(kind) for kind in kinds} == there
    assert homelab.cluster.get("pvc", CLAIM)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_a_claim_that_is_not_there_is_named(homelab: Homelab) -> None:
    """Before the first change."""
    run = homelab.deploy("artifact_store", artifact_store_existing_claim="nobodys")
    assert (run.status, run.changed) == (2, 0), run.output
    assert "artifact_store_existing_claim: there is no PersistentVolumeClaim nobodys; nothing was changed" in run.failures[-1][1]


def test_artifacts_go_through_mlflow_into_the_volume(deployed: Homelab) -> None:
    """Two pods serve, what is uploaded is a file of MLflow's user in the volume, and it is downloaded as it was; clients get the proxy's URIs."""
    cluster = deployed.cluster
    pods = cluster.get("pods", "", "--selector", f"app.kubernetes.io/name={NAME},app.kubernetes.io/component=server")
    assert len(pods) == 2
    for pod in pods:
        mounts = {mount["mountPath"]: mount for mount in pod["spec"]["containers"][0]["volumeMounts"]}
        assert mounts["/mlflow/artifacts"]["name"] == "artifacts"
    url = f"http://{cluster.get('service', NAME)['spec']['clusterIP']}:5000"
    key, content = f"story-{time.time_ns()}", "what was trained\n" * 100_000
    artifact = shlex.quote(f"{url}/api/2.0/mlflow-artifacts/artifacts/{key}/model.txt")
    cluster.run(f"curl -sSf -T - {artifact}", stdin=content)
    node, path = deployed.place
    assert cluster.run(f"stat -c %u {shlex.quote(f'{path}/{key}/model.txt')}", host=node).strip() == "10001"
    assert cluster.run(f"cat {shlex.quote(f'{path}/{key}/model.txt')}", host=node) == content
    for _ in range(4):
        assert cluster.run(f"curl -sSf {artifact}") == content
    answer = json.loads(cluster.run(f"curl -sSf {shlex.quote(f'{url}/api/2.0/mlflow/experiments/get?experiment_id=0')}"))
    assert answer["experiment"]["artifact_location"].startswith("mlflow-artifacts:")


def test_the_next_runs_change_nothing(deployed: Homelab) -> None:
    """Nor does check mode predict anything."""
    for words in ([], ["--check"]):
        run = deployed.deploy(*SITE, words=words)
        assert (run.status, run.changed) == (0, 0), run.output


def test_a_volume_that_mlflow_may_not_write_to(deployed: Homelab) -> None:
    """One sentence says whose it is and what to do, nothing is changed on the server, and a run after the remedy converges."""
    server = deployed.cluster.get("deployment", NAME)["metadata"]["generation"]
    with deployed.owned_by_root():
        run = deployed.deploy(*SITE)
    assert run.status == 2, run.output
    message = run.failures[-1][1]
    assert message.startswith(f"artifact_store_existing_claim: '{CLAIM}': MLflow's user 10001 cannot create a file in it (EACCES)")
    assert "belongs to 0:0 with mode 755" in message
    assert "chown 10001:10001 and chmod 2770" in message
    assert deployed.cluster.get("deployment", NAME)["metadata"]["generation"] == server
    again = deployed.deploy(*SITE)
    assert again.status == 0, again.output
    assert deployed.deploy(*SITE).changed == 0


def test_nodes_without_an_nfs_client_are_told_so(deployed: Homelab) -> None:
    """The kubelet cannot mount an export there. Its volume is made, and bound to its claim."""
    export = {"artifact_store_existing_claim": "", "artifact_store_nfs_server": "192.0.2.1", "artifact_store_nfs_path": "/export/mlflow"}
    run = deployed.deploy("artifact_store", artifact_store_name="export", artifact_store_app="export", **export)
    assert run.status == 2, run.output
    message = run.failures[-1][1]
    assert message.startswith("artifact_store_nfs_path: '192.0.2.1:/export/mlflow': node ")
    assert "has no NFS client: install it on all nodes" in message
    claim = deployed.cluster.get("pvc", "export")
    assert (claim["status"]["phase"], claim["spec"]["accessModes"]) == ("Bound", ["ReadWriteMany"])
    assert deployed.cluster.get("pv", claim["spec"]["volumeName"])["spec"]["persistentVolumeReclaimPolicy"] == "Retain"


def test_a_removal_takes_the_volume_that_it_made_and_leaves_the_claim_of_somebody(deployed: Homelab) -> None:
    """The claim is the only one left, as it was; the PersistentVolume of the export is gone."""
    uid = deployed.cluster.get("pvc", CLAIM)["metadata"]["uid"]
    run = play("mlops.mlflow.remove", {**VARIABLES, "remove_confirmed": "yes"})
    assert run.status == 0, run.output
    assert [each["metadata"]["uid"] for each in deployed.cluster.get("pvc")] == [uid]
    assert deployed.names("deployment") == set()
    assert deployed.cluster.get("pv", "", "--selector", f"mlops.mlflow/deployment={NAMESPACE}") == []
