"""Clients in namespaces that deny everything: each is let through, uses MLflow from where it is, and leaves nothing behind when it goes.

The policies are enforced, so that a client which nothing lets out is seen to fail, while its neighbours are verified.
"""
from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster
from playbook import Run, play

pytestmark = [
    pytest.mark.akko, pytest.mark.alters, pytest.mark.long, pytest.mark.line("JupyterHub and Airflow find MLflow by themselves"),
]  # fmt: skip
HUB, ETL, PODS, THEIRS = "clients-hub", "clients-etl", "clients-pods", "clients-theirs"
DENY = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
CLIENTS: list[dict[str, Any]] = [
    {"kind": "jupyterhub", "namespace": HUB},
    {"kind": "airflow", "namespace": ETL, "service_account": "worker", "artifact_store_access": True, "connection_id": "mlflow_default"},
    {"kind": "namespace", "namespace": PODS},
]
MARK = "app.kubernetes.io/managed-by=mlops.mlflow"
KINDS = "configmap,secret,networkpolicy,job"
LOGGED = "a Job in its namespace, with its labels and environment, logged a run and an artifact"


@dataclass(frozen=True)
class Wired:
    """What a check, the run and the run after it came to, and the folder that they write to."""

    check: Run
    after_check: dict[str, list[str]]
    first: Run
    again: Run
    folder: Path


def thing(api_version: str, kind: str, name: str, namespace: str = "", **more: Any) -> dict[str, Any]:
    """An object of somebody else."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **({"namespace": namespace} if namespace else {})}, **more}


def own(cluster: Cluster) -> dict[str, list[str]]:
    """What there is of clients in their namespaces, and in MLflow's the policies that let them in."""
    found = {name: listed(cluster, name, f"--selector={MARK}") for name in (HUB, ETL, PODS, THEIRS)}
    doors = listed(cluster, cluster.namespace, f"--selector={MARK},app.kubernetes.io/name=mlflow-client")
    return found | {cluster.namespace: doors}


def listed(cluster: Cluster, namespace: str, *words: str) -> list[str]:
    """The names of objects, but for Jobs, which Kubernetes removes an hour after their end."""
    items = json.loads(cluster.run(f"k3s kubectl -n {namespace} get {KINDS} {' '.join(words)} -o json"))["items"]
    return sorted(f"{each['metadata']['name']} {each['kind']}" for each in items if each["kind"] != "Job")


def of_others(cluster: Cluster) -> list[str]:
    """The versions of what others have in the clients' namespaces."""
    versions = []
    for namespace in (HUB, ETL, PODS, THEIRS):
        text = cluster.run(f"k3s kubectl -n {namespace} get {KINDS},serviceaccount --selector='!mlops.mlflow/deployment' -o json")
        found = [(each["kind"], each["metadata"]) for each in json.loads(text)["items"]]
        versions += [f"{namespace} {kind} {metadata['name']} {metadata['resourceVersion']}" for kind, metadata in found]
    return sorted(versions)


def run(clients: list[dict[str, Any]], folder: Path, *words: str) -> Run:
    """Run the site with these clients."""
    return play(variables={"mlflow_clients": clients, "mlflow_clients_folder": str(folder)}, words=words, timeout=1500)


@pytest.fixture(scope="module")
def spaces(cluster: Cluster) -> Iterator[list[str]]:
    """Namespaces that deny all connections, with an account of the tasks and something of others; the versions of all that is in them."""
    names = [HUB, ETL, PODS, THEIRS]
    made = [
        *(thing("v1", "Namespace", name) for name in names),
        *(thing("networking.k8s.io/v1", "NetworkPolicy", "deny", name, spec=DENY) for name in names),
        *(thing("v1", "ConfigMap", "theirs", name, data={"whose": "theirs"}) for name in names),
        thing("v1", "ServiceAccount", "worker", ETL), thing("v1", "ConfigMap", "mlflow-client", THEIRS, data={"whose": "theirs"}),
    ]  # fmt: skip
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
    try:
        cluster.run("k3s kubectl apply --field-manager=kubectl-create -f -", stdin=text)
        yield of_others(cluster)
    finally:
        play(variables={"mlflow_clients": []})
        cluster.run(f"k3s kubectl delete namespace {' '.join(names)} --ignore-not-found --timeout=90s", timeout=120)


@pytest.fixture(scope="module")
def wired(cluster: Cluster, spaces: list[str], tmp_path_factory: pytest.TempPathFactory) -> Wired:
    """A check, a run, and a run again."""
    assert spaces
    folder = tmp_path_factory.mktemp("clients") / "files"
    check = run(CLIENTS, folder, "--check")
    after = own(cluster)
    assert not folder.exists()
    return Wired(check, after, run(CLIENTS, folder), run(CLIENTS, folder), folder)


def test_each_client_logs_a_run_and_an_artifact(cluster: Cluster, wired: Wired) -> None:
    """A Job in each namespace, with the labels, account and environment of the client's pods, through policies that deny all else."""
    assert wired.first.status == 0, wired.first.output
    told = " ".join(wired.first.output.split())
    for client in CLIENTS:
        title = f"{client['kind']} in namespace {client['namespace']}"
        assert f"Client {title}: {LOGGED}" in told
        name = f"mlflow-verify-{client['namespace']}-mlflow-client"
        body = {"filter": f"name = '{name}'", "max_results": 1}
        found = cluster.https("POST", "/api/2.0/mlflow/experiments/search", body).json()
        [experiment] = found["experiments"]
        query = {"experiment_ids": [experiment["experiment_id"]], "run_view_type": "DELETED_ONLY"}  # the Job removes its runs
        runs = cluster.https("POST", "/api/2.0/mlflow/runs/search", query).json()["runs"]
        assert {each["info"]["status"] for each in runs} == {"FINISHED"}


def test_the_job_has_what_the_clients_pods_have(cluster: Cluster, wired: Wired) -> None:
    """Its labels and its account."""
    assert wired.first.status == 0
    pods = json.loads(cluster.run(f"k3s kubectl -n {ETL} get pods -l component=worker,tier=airflow -o json"))["items"]
    assert {each["spec"]["serviceAccountName"] for each in pods} == {"worker"}
    assert {each["status"]["phase"] for each in pods} == {"Succeeded"}


def test_a_second_run_changes_nothing(wired: Wired) -> None:
    """And says again which clients can use MLflow."""
    assert (wired.again.status, wired.again.changed) == (0, 0), wired.again.output
    assert "Nothing was restarted" in wired.first.output
    assert "Nothing was restarted" not in wired.again.output


def test_check_mode_says_what_a_run_would_do_and_does_nothing(wired: Wired) -> None:
    """It tells of the changes that the run then makes."""
    assert wired.check.status == 0, wired.check.output
    assert wired.check.changed > 0
    assert all(not names for names in wired.after_check.values()), wired.after_check


def test_what_each_client_has(cluster: Cluster, wired: Wired) -> None:
    """The keys of the store only where the entry says so, in a Secret; everything owned and labelled."""
    assert wired.first.status == 0
    assert own(cluster) == {
        HUB: ["mlflow-client ConfigMap", "mlflow-client NetworkPolicy", "mlflow-client-verify ConfigMap"],
        ETL: ["mlflow-client ConfigMap", "mlflow-client NetworkPolicy", "mlflow-client Secret", "mlflow-client-connection Secret",
              "mlflow-client-verify ConfigMap"],
        PODS: ["mlflow-client ConfigMap", "mlflow-client NetworkPolicy", "mlflow-client-verify ConfigMap"],
        THEIRS: [],
        cluster.namespace: [f"mlflow-client.{name} NetworkPolicy" for name in (ETL, f"{ETL}.artifacts", HUB, PODS)],
    }  # fmt: skip


def test_the_files_name_secrets_and_contain_none(cluster: Cluster, wired: Wired) -> None:
    """Values for both charts, a file for the hub, a pod template and requirements."""
    text = "".join(path.read_text() for path in wired.folder.iterdir())
    assert {path.name for path in wired.folder.iterdir()} == {
        f"{HUB}.mlflow-client.jupyterhub-values.yaml", f"{HUB}.mlflow-client.jupyterhub_config.py", f"{HUB}.mlflow-client.requirements.txt",
        f"{ETL}.mlflow-client.airflow-values.yaml", f"{ETL}.mlflow-client.airflow-pod-template.yaml", f"{ETL}.mlflow-client.requirements.txt",
        f"{PODS}.mlflow-client.pod.yaml", f"{PODS}.mlflow-client.requirements.txt",
    }  # fmt: skip
    store = cluster.secret(f"{cluster.variables['artifact_store_name']}-mlflow")
    assert not [value for value in store.values() if len(value) > 8 and value in text + wired.first.output]
    values = yaml.safe_load((wired.folder / f"{HUB}.mlflow-client.jupyterhub-values.yaml").read_text())
    assert values["singleuser"]["networkPolicy"]["egress"][0]["ports"] == [{"port": 5000, "protocol": "TCP"}]


def test_what_others_have_stays(cluster: Cluster, spaces: list[str], wired: Wired) -> None:
    """None of it is changed by the runs."""
    assert wired.first.status == 0
    assert of_others(cluster) == spaces


def test_a_name_that_others_have_ends_the_run_before_its_first_change(cluster: Cluster, spaces: list[str], wired: Wired) -> None:
    """One sentence with the option, the object, its owner and the ways out."""
    before = own(cluster)
    refused = run([*CLIENTS, {"kind": "namespace", "namespace": THEIRS}], wired.folder)
    assert (refused.status, refused.changed) == (2, 0), refused.output
    said = refused.failures[-1][1]
    assert f"mlflow_clients[3].name: ConfigMap/mlflow-client in namespace {THEIRS} belongs to someone using kubectl-create" in said
    assert f"kubernetes_adopt: [ConfigMap/{THEIRS}/mlflow-client]" in said
    assert own(cluster) == before
    assert of_others(cluster) == spaces


def test_a_namespace_that_is_not_there_is_said(wired: Wired) -> None:
    """Before the first change."""
    refused = run([*CLIENTS, {"kind": "namespace", "namespace": "clients-misspelt"}], wired.folder)
    assert (refused.status, refused.changed) == (2, 0), refused.output
    assert "mlflow_clients[3].namespace: there is no Namespace clients-misspelt; nothing was changed" in refused.failures[-1][1]


def test_a_client_that_goes_takes_its_objects_and_one_that_fails_leaves_the_others(cluster: Cluster, spaces: list[str], wired: Wired) -> None:
    """Airflow goes; a namespace that nothing lets out fails, and is named; a client that is new is verified beside it."""
    more = {"kind": "namespace", "namespace": ETL, "name": "more"}
    failed = run([CLIENTS[0], {**CLIENTS[2], "egress_policy": "never"}, more], wired.folder)
    assert failed.status == 2, failed.output
    said = failed.failures[-1][1]
    assert f"namespace in namespace {PODS}: " in said
    assert "reach the server" in said
    assert ETL not in said
    there = own(cluster)
    assert there[ETL] == ["more ConfigMap", "more NetworkPolicy", "more-verify ConfigMap"]
    assert there[HUB] == ["mlflow-client ConfigMap", "mlflow-client NetworkPolicy", "mlflow-client-verify ConfigMap"]
    assert there[cluster.namespace] == [f"mlflow-client.{HUB} NetworkPolicy", f"mlflow-client.{PODS} NetworkPolicy", f"more.{ETL} NetworkPolicy"]
    assert not list(wired.folder.glob("*airflow*"))
    assert of_others(cluster) == spaces


def test_without_clients_nothing_is_left(cluster: Cluster, spaces: list[str], wired: Wired) -> None:
    """An empty list removes all that was made, and the run after it changes nothing."""
    gone = run([], wired.folder)
    assert gone.status == 0, gone.output
    assert not any(own(cluster).values()), own(cluster)
    assert list(wired.folder.iterdir()) == []
    assert of_others(cluster) == spaces
    again = run([], wired.folder)
    assert (again.status, again.changed) == (0, 0), again.output
