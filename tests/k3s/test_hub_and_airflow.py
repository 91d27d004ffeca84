"""JupyterHub with KubeSpawner and Airflow with the KubernetesExecutor, as pods: the text's programs run in them unchanged, without a password.

The server asks for tokens, and each client's pods send that of their own account. The images are made when this story asks for them.
"""
from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hub
import pytest
import test_jwt_clients
from cluster import Cluster
from host_images import bring
from others import apply, confined, thing
from playbook import Run
from test_jwt_clients import ACCOUNT, CLAIM, Trusting

# Not for what they break, but for the minutes that they take.
pytestmark = [pytest.mark.outage, pytest.mark.line("JupyterHub and Airflow find MLflow by themselves")]
NAMESPACE, HUB, ETL = "whole-mlflow", "whole-hub", "whole-airflow"
TEXT = Path(__file__).parents[1] / "mlflow_utils" / "akko" / "examples"
RISK, QUALITY = "banking-risk-model", "airflow-etl-quality"


def declaration(**more: str) -> dict[str, Any]:
    """Each client may edit an experiment of its own, and pipelines what else is given."""
    roles = {"notebooks": {RISK: "EDIT"}, "pipelines": {QUALITY: "EDIT", **more}}
    return {
        "experiments": [{"name": RISK}, {"name": QUALITY}],
        "roles": [
            {"name": role, "permissions": [{"resource_type": "experiment", "resource": name, "permission": may} for name, may in permissions.items()]}
            for role, permissions in roles.items()
        ],
    }  # fmt: skip


VARIABLES: dict[str, Any] = {
    **test_jwt_clients.VARIABLES, "kubernetes_namespace": NAMESPACE,
    "mlflow_server_jwt_roles": [
        {"value": ACCOUNT.format(ETL, "airflow-worker"), "role": "pipelines"}, {"value": f"system:serviceaccounts:{HUB}", "role": "notebooks"},
    ],
    "mlflow_resources_declaration": declaration(),
    "mlflow_clients": [
        {"kind": "jupyterhub", "namespace": HUB, "trust_sklearn": True}, {"kind": "airflow", "namespace": ETL, "service_account": "airflow-worker"},
    ],
}  # fmt: skip


@dataclass
class Platform:
    """MLflow with what its run came to, and the two clients."""

    mlflow: Trusting
    notebook: hub.Notebook
    airflow: hub.Airflow


@pytest.fixture(scope="module")
def platform(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """All of it: the clients' policies first, then MLflow with its clients, then the hub and Airflow with the files that this wrote."""
    bring(cluster, "jupyterhub", "airflow")
    image = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    apart, nothing = copy.copy(cluster), Run(0, "", 0)
    apart.namespace = NAMESPACE
    made = Trusting(apart, tmp_path_factory.mktemp("whole"), image, nothing, nothing, VARIABLES)
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": "local-path", "resources": {"requests": {"storage": "1Gi"}}}
    try:
        run = made.run(roles=("postgresql",), mlflow_clients=[])
        assert run.status == 0, run.output
        apply(apart, [
            *(thing("Namespace", name) for name in (HUB, ETL)),
            *confined(HUB, "hub"), *confined(ETL, "airflow"), thing("ServiceAccount", "airflow-worker", ETL),
            thing("PersistentVolumeClaim", CLAIM, NAMESPACE, spec=claim),
        ])  # fmt: skip
        made.first = made.run()
        assert made.first.status == 0, made.first.output
        files = made.folder / "files"
        apply(apart, hub.jupyterhub(HUB, (files / f"{HUB}.mlflow-client.jupyterhub_config.py").read_text()))
        apply(apart, hub.airflow(ETL, (files / f"{ETL}.mlflow-client.airflow-pod-template.yaml").read_text()))
        notebook = hub.Notebook(url(apart, HUB, "hub"), "ada")
        yield Platform(made, notebook, hub.Airflow(url(apart, ETL, "airflow")))
    finally:
        for name in (HUB, ETL, NAMESPACE):
            cluster.delete_namespace(name)
        cluster.run(f"k3s kubectl delete pv --selector mlops.mlflow/deployment={NAMESPACE} --wait=false")


def url(cluster: Cluster, namespace: str, name: str) -> str:
    """Where a Service answers outside the cluster, once its pod is ready."""
    kubectl = f"k3s kubectl --namespace {namespace}"
    cluster.run(f"{kubectl} wait pod {name} --for=condition=Ready --timeout={hub.PATIENCE}s", timeout=hub.PATIENCE + 10)
    port = cluster.run(f"{kubectl} get service {name} -o 'jsonpath={{.spec.ports[0].nodePort}}'")
    return f"http://{cluster.address}:{port}"


def test_the_texts_cells_run_in_a_notebook(platform: Platform) -> None:
    """A hub's user trains and logs a model, compares runs and registers the best, cell by cell; the runs are her account's."""
    assert platform.notebook.cell((TEXT / "notebook.py").read_text()).find("Error") == -1
    assert "random_forest" in platform.notebook.cell((TEXT / "comparison.py").read_text())
    assert platform.notebook.cell("import sys\nsys.argv[1:] = [runs.run_id[0]]") == ""
    told = platform.notebook.cell((TEXT / "registry.py").read_text())
    assert "Exception" not in told, told
    version = platform.mlflow.administrator("/api/2.0/mlflow/model-versions/get?name=banking-risk-classifier&version=1")["model_version"]
    assert version["current_stage"] == "Production"


def test_a_notebook_is_the_account_of_its_pods_and_no_more(platform: Platform) -> None:
    """It sees its own experiment, and that of its own verification, and neither reads nor changes those of Airflow."""
    seen = platform.notebook.cell("print(sorted(each.name for each in mlflow.search_experiments()))")
    assert seen == f"['{RISK}', 'mlflow-verify-{HUB}-mlflow-client-default']\n"
    for refused in (f"mlflow.get_experiment_by_name('{QUALITY}')", f"mlflow.set_experiment('{QUALITY}'); mlflow.start_run()"):
        assert "Permission denied" in platform.notebook.cell(refused)


def test_the_texts_dag_runs_in_pods(platform: Platform) -> None:
    """The KubernetesExecutor starts a pod for its task with the written template, whose account logs the run."""
    assert platform.airflow.run("etl_quality") == {"log_quality": "success"}
    [run] = runs(platform, QUALITY)
    assert {each["key"]: each["value"] for each in run["data"]["metrics"]} == {"rows_processed": 125000, "data_quality_score": 0.98}
    pods = json.loads(platform.mlflow.cluster.run(f"k3s kubectl -n {ETL} get pods -l dag_id=etl_quality -o json"))["items"]
    assert [(each["spec"]["serviceAccountName"], each["status"]["phase"]) for each in pods] == [("airflow-worker", "Succeeded")]


def test_a_dag_may_do_what_its_role_may(platform: Platform) -> None:
    """One that registers the notebook's best model fails until the declaration says that pipelines may: MLflow notes the version at the model."""
    assert platform.airflow.run("register_best")["best_run"] == "failed"
    changed = platform.mlflow.run(mlflow_resources_declaration=declaration(**{RISK: "EDIT"}))
    assert changed.status == 0, changed.output
    assert platform.airflow.run("register_best") == {"best_run": "success", "register": "success"}, said(platform, "register_best")
    version = platform.mlflow.administrator("/api/2.0/mlflow/model-versions/get?name=airflow-banking-risk&version=1")["model_version"]
    assert version["run_id"] == runs(platform, RISK)[0]["info"]["run_id"]


def test_a_second_run_changes_nothing(platform: Platform) -> None:
    """With the hub, Airflow, and their pods in the clients' namespaces."""
    again = platform.mlflow.run(mlflow_resources_declaration=declaration(**{RISK: "EDIT"}))
    assert (again.status, again.changed) == (0, 0), again.output


def said(platform: Platform, dag: str) -> str:
    """What the pods of a DAG's tasks have logged."""
    return platform.mlflow.cluster.run(f"k3s kubectl -n {ETL} logs -l dag_id={dag} --tail=60 --prefix")


def runs(platform: Platform, experiment: str) -> Any:
    """The runs of an experiment, as the administrator finds them."""
    found = platform.mlflow.administrator(f"{test_jwt_clients.GET}{experiment}")["experiment"]["experiment_id"]
    return platform.mlflow.administrator("/api/2.0/mlflow/runs/search", {"experiment_ids": [found]})["runs"]
