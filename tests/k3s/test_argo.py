"""A workflow of Argo's real controller trains, logs, registers and promotes, with what mlflow_clients and mlflow_utils.argo have written for it.

Its namespace takes restricted pods alone. The steps run in the image that JupyterHub's users have; both images are made when this story asks.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import argo
import pytest
import yaml
from cluster import Cluster
from host_images import bring
from others import apply, thing
from parts import parts
from playbook import Run, play

# Not for what they break, but for the minutes that they take.
pytestmark = [pytest.mark.outage, pytest.mark.line("(homelab) Argo Workflows")]
NAMESPACE, EXPERIMENT, MODEL, ROLE = "argo-train", "argo-risk", "argo-risk-classifier", "mlflow-client-argo"
CLIENTS = [{"kind": "argo", "namespace": NAMESPACE, "artifact_store_access": True}]
#: Trains a model that is as good as it is told, and says how good it is.
TRAIN = """
import json, os, sys
import mlflow.sklearn
from sklearn.dummy import DummyClassifier
if sys.argv[1] == "fail":
    sys.exit("the data are not there")
model = DummyClassifier(strategy="constant", constant=1).fit([[0], [1]], [0, 1])
mlflow.sklearn.save_model(model, "/tmp/out/model", serialization_format="cloudpickle")
with open("/tmp/out/metrics.json", "w") as file:
    json.dump({"f1": float(sys.argv[1])}, file)
"""
TEMPLATES = "import sys, mlflow_utils.argo; print(mlflow_utils.argo.workflow_template(sys.argv[1], namespace=sys.argv[2]).to_yaml())"


@dataclass
class Training:
    """The namespace with its controller, what the role wrote for its workflows, and the image of their steps."""

    cluster: Cluster
    folder: Path
    image: str
    run: Run

    def merged(self) -> dict[str, Any]:
        """The specification that the role has written."""
        written: dict[str, Any] = yaml.safe_load((self.folder / f"{NAMESPACE}.mlflow-client.argo-workflow.yaml").read_text())["spec"]
        return written

    def train(self, name: str, f1: str) -> argo.Workflow:
        """A workflow that trains, logs, registers and promotes, and whatever happens ends its runs."""
        user = {"runAsUser": 65532, "runAsNonRoot": True, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
        steps = [
            [step("run", "create-run", experiment=EXPERIMENT, **{"workflow-id": "{{workflow.uid}}", "run-name": "{{workflow.name}}"})],
            [{"name": "fit", "template": "fit"}],
            [
                step("metrics", "log-metrics", metrics="{{steps.fit.outputs.parameters.metrics}}", **of_run()),
                step("model", "log-model", model="{{steps.fit.outputs.artifacts.model}}", **of_run()),
            ],
            [step("version", "register-model", **{"model-uri": result("model"), "registered-model": MODEL})],
            [step("promoted", "promote-model", metric="f1", version=result("version"), **{"registered-model": MODEL})],
            [step("finished", "finish-run", **of_run())],
        ]  # fmt: skip
        over = step("over", "finish-workflow", experiment=EXPERIMENT, status="{{workflow.status}}", **{"workflow-id": "{{workflow.uid}}"})
        drop = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        fit = {
            "name": "fit", "volumes": [{"name": "out", "emptyDir": {}}],
            "container": {
                "image": self.image, "command": ["python3", "-c", TRAIN], "args": [f1], "securityContext": drop,
                "env": [{"name": "HOME", "value": "/tmp"}], "volumeMounts": [{"name": "out", "mountPath": "/tmp/out"}],
            },
            "outputs": {
                "parameters": [{"name": "metrics", "valueFrom": {"path": "/tmp/out/metrics.json"}}],
                "artifacts": [{"name": "model", "path": "/tmp/out/model"}],
            },
        }  # fmt: skip
        templates = [{"name": "main", "steps": steps}, {"name": "end", "steps": [[over]]}, fit]
        return argo.run(self.cluster, NAMESPACE, name, {
            **self.merged(), "entrypoint": "main", "onExit": "end", "securityContext": user, "templates": templates,
        })  # fmt: skip

    def found(self, name: str) -> dict[str, Any]:
        """The run of a workflow, as MLflow has it."""
        [experiment] = [each for each in self.experiments() if each["name"] == EXPERIMENT]
        body = {"experiment_ids": [experiment["experiment_id"]], "filter": f"attributes.run_name = '{name}'"}
        [run] = self.cluster.https("POST", "/api/2.0/mlflow/runs/search", body).json()["runs"]
        return dict(run)

    def experiments(self) -> list[dict[str, Any]]:
        """MLflow's experiments."""
        return list(self.cluster.https("GET", "/api/2.0/mlflow/experiments/search?max_results=100").json()["experiments"])

    def champion(self) -> str:
        """The version that has the alias."""
        path = f"/api/2.0/mlflow/registered-models/alias?name={MODEL}&alias=champion"
        return str(self.cluster.https("GET", path).json()["model_version"]["version"])


def step(name: str, template: str, model: str = "", **parameters: str) -> dict[str, Any]:
    """A step of mlflow_utils.argo."""
    given: dict[str, Any] = {"parameters": [{"name": key, "value": value} for key, value in parameters.items()]}
    given |= {"artifacts": [{"name": "model", "from": model}]} if model else {}
    return {"name": name, "templateRef": {"name": "mlflow-steps", "template": template}, "arguments": given}


def result(name: str) -> str:
    """What a step gives."""
    return f"{{{{steps.{name}.outputs.parameters.result}}}}"


def of_run() -> dict[str, str]:
    """What names the workflow's run."""
    return {"run-id": result("run")}


def site(folder: Path, clients: list[dict[str, Any]]) -> Run:
    """Run the site with these clients, whose files it writes to the folder."""
    return play(variables={"mlflow_clients": clients, "mlflow_clients_folder": str(folder)}, timeout=1500)


@pytest.fixture(scope="module")
def training(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Training]:
    """The controller in a namespace that takes restricted pods alone, which is a client of akko's MLflow, and the templates of mlflow_utils."""
    folder = tmp_path_factory.mktemp("argo")
    definitions = (parts.part("argo-crds") / "argo-crds.yaml").read_text()
    image, executor, steps = bring(cluster, "argo-controller", "argoexec", "jupyterhub")
    try:
        cluster.run("k3s kubectl apply --server-side --filename -", stdin=definitions)
        apply(cluster, [thing("Namespace", NAMESPACE, labels={"pod-security.kubernetes.io/enforce": "restricted"})])
        apply(cluster, argo.controller(NAMESPACE, image, executor))
        run = site(folder, CLIENTS)
        assert run.status == 0, run.output
        python = os.environ.get("MLFLOW_TEST_CLIENT_PYTHON", sys.executable)
        made = subprocess.run([python, "-c", TEMPLATES, steps, NAMESPACE], check=True, capture_output=True, text=True, timeout=120)
        apply(cluster, [yaml.safe_load(made.stdout)])
        ready = f"k3s kubectl --namespace {NAMESPACE} rollout status deployment/workflow-controller --timeout=180s"
        cluster.run(ready, timeout=190)
        yield Training(cluster, folder, steps, run)
    finally:
        play(variables={"mlflow_clients": []})
        cluster.run("k3s kubectl delete --ignore-not-found --filename -", stdin=definitions, timeout=240)
        cluster.delete_namespace(NAMESPACE)


def test_a_workflow_trains_logs_registers_and_promotes(training: Training) -> None:
    """Each step in a pod of its own; the model goes from one to another through the artifact store, and is the champion."""
    done = training.train("first", "0.8")
    assert done.phase == "Succeeded", done
    run = training.found("first")
    assert run["info"]["status"] == "FINISHED"
    assert {each["key"]: each["value"] for each in run["data"]["metrics"]} == {"f1": 0.8}
    assert {each["key"]: each["value"] for each in run["data"]["tags"]}["image"] == training.image
    version = training.cluster.https("GET", f"/api/2.0/mlflow/model-versions/get?name={MODEL}&version=1").json()["model_version"]
    assert (version["run_id"], version["status"]) == (run["info"]["run_id"], "READY")
    assert training.champion() == "1"


def test_only_a_better_model_becomes_the_champion(training: Training) -> None:
    """A worse one is a version, and no more."""
    assert training.train("worse", "0.7").phase == "Succeeded"
    assert training.champion() == "1"
    assert training.train("better", "0.9").phase == "Succeeded"
    assert training.champion() == "3"


def test_a_workflow_that_fails_leaves_no_run_that_seems_to_go_on(training: Training) -> None:
    """Its last step ends the run as failed, and nothing is registered."""
    done = training.train("broken", "fail")
    assert (done.phase, done.steps["fit"], done.steps["over"]) == ("Failed", "Failed", "Succeeded"), done
    assert training.found("broken")["info"]["status"] == "FAILED"
    assert training.cluster.https("GET", f"/api/2.0/mlflow/model-versions/get?name={MODEL}&version=4").status == 404


def test_the_pods_are_those_of_the_client(training: Training) -> None:
    """They have its account, and the address alone from it; none has a password in its specification."""
    pods = json.loads(training.cluster.run(f"k3s kubectl --namespace {NAMESPACE} get pods --selector workflows.argoproj.io/workflow --output json"))
    assert pods["items"]
    assert {each["spec"]["serviceAccountName"] for each in pods["items"]} == {ROLE}
    key = training.cluster.secret(f"{training.cluster.variables['artifact_store_name']}-mlflow")["secret-key"]
    assert key not in json.dumps(pods)


def test_a_second_run_changes_nothing_and_a_removal_leaves_argo_as_it_was(training: Training) -> None:
    """Workflows, templates and the controller's own settings are somebody else's."""
    again = site(training.folder, CLIENTS)
    assert (again.status, again.changed) == (0, 0), again.output
    gone = site(training.folder, [])
    assert gone.status == 0, gone.output
    kubectl = f"k3s kubectl --namespace {NAMESPACE} get --output name"
    left = training.cluster.run(f"{kubectl} serviceaccount,role,rolebinding,configmap,secret --selector=app.kubernetes.io/managed-by=mlops.mlflow")
    assert not left.split()
    kept = training.cluster.run(f"{kubectl} workflow,workflowtemplate,configmap").split()
    assert {"workflow.argoproj.io/first", "workflowtemplate.argoproj.io/mlflow-steps", "configmap/workflow-controller-configmap"} <= {*kept}
