"""The Argo templates: what hera makes of them, what a cluster asks of them, and their very commands against a real server."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlflow_utils import Client, steps
from mlflow_utils.argo import MODEL_PATH, RESULT_PATH, STEPS, workflow_template

IMAGE = "registry.example.org/train:1"
PLACEHOLDER = re.compile(r"\{\{inputs\.parameters\.([\w-]+)\}\}")


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    text = workflow_template(IMAGE, "http://mlflow.example.org", secret="mlflow-client", namespace="training", service_account="trainer").to_yaml()
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def templates(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {template["name"]: template for template in manifest["spec"]["templates"]}


def test_hera_reads_back_what_it_wrote(manifest: dict[str, Any]) -> None:
    from hera.workflows import WorkflowTemplate  # noqa: PLC0415 - only here

    again = WorkflowTemplate.from_dict(manifest)
    assert isinstance(again, WorkflowTemplate)
    assert again.to_dict() == manifest
    assert (manifest["metadata"]["name"], manifest["metadata"]["namespace"]) == ("mlflow-steps", "training")
    assert manifest["spec"]["serviceAccountName"] == "trainer"


@pytest.mark.parametrize("step", STEPS)
def test_a_template_uses_what_it_declares_and_nothing_else(manifest: dict[str, Any], step: str) -> None:
    template = templates(manifest)[step]
    declared = [parameter["name"] for parameter in template["inputs"]["parameters"]]
    used = PLACEHOLDER.findall(json.dumps(template["container"]))
    assert sorted(set(used)) == sorted(declared)
    assert "{{" not in PLACEHOLDER.sub("", json.dumps(template))


@pytest.mark.parametrize("step", STEPS)
def test_a_pod_meets_the_restricted_standard(manifest: dict[str, Any], step: str) -> None:
    template = templates(manifest)[step]
    container = template["container"]["securityContext"]
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    for context in (container, template["securityContext"]):
        assert context["runAsNonRoot"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert template["securityContext"]["runAsUser"] > 0
    assert container["readOnlyRootFilesystem"] is True
    assert all(set(volume) == {"name", "emptyDir"} for volume in template["volumes"])


@pytest.mark.parametrize("step", STEPS)
def test_credentials_come_from_the_secret_alone(manifest: dict[str, Any], step: str) -> None:
    container = templates(manifest)[step]["container"]
    assert container["envFrom"] == [{"secretRef": {"name": "mlflow-client"}}]
    assert {entry["name"] for entry in container["env"]} == {"MLFLOW_TRACKING_URI", "CONTAINER_IMAGE", "HOME"}


def test_without_a_secret_there_is_none() -> None:
    for template in templates(workflow_template(IMAGE, "http://mlflow.example.org").to_dict()).values():
        assert "envFrom" not in template["container"]


def test_without_an_address_it_is_the_workflows() -> None:
    """Which has it in its templateDefaults; a variable of the template would take precedence."""
    for template in templates(workflow_template(IMAGE).to_dict()).values():
        assert {entry["name"] for entry in template["container"]["env"]} == {"CONTAINER_IMAGE", "HOME"}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import mlflow.sklearn  # noqa: PLC0415 - costs two seconds
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("argo") / "model"
    mlflow.sklearn.save_model(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0]), folder, pip_requirements=["scikit-learn"])
    return folder


class Argo:
    """Does with a template what Argo and its container would do, but for the container."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._templates = templates(workflow_template(IMAGE, client.settings.tracking_uri, secret="mlflow-client").to_dict())
        self._secret = {name: value for name, value in client.environment().items() if name != "MLFLOW_TRACKING_URI"}
        self._folder = folder

    def __call__(self, step: str, model: Path | None = None, /, **parameters: str) -> str:
        """The result of a step; in this process, which saves it the import of MLflow."""
        words, given = self.filled(step, model, parameters)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in given.items():
                patch.setenv(name, value)
            assert steps.main(words) == 0
        return self._result(step)

    def in_a_process(self, step: str, **parameters: str) -> str:
        """The result of a step, by the container's command in a process of its own."""
        words, given = self.filled(step, None, parameters)
        command = self._templates[step]["container"]["command"]
        assert command == ["python", "-m", "mlflow_utils.steps"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        done = subprocess.run(
            [sys.executable, *command[1:], *words], env={**inherited, **given}, capture_output=True, text=True, check=False, cwd=self._folder
        )
        assert done.returncode == 0, done.stderr
        return self._result(step)

    def _result(self, step: str) -> str:
        return (self._folder / "result").read_text() if self._templates[step].get("outputs") else ""

    def filled(self, step: str, model: Path | None, parameters: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        """The container's arguments and environment, with the parameters, and the secret's variables."""
        template = self._templates[step]
        values = {entry["name"]: entry.get("default") for entry in template["inputs"]["parameters"]}
        values.update({name.replace("_", "-"): value for name, value in parameters.items()})

        def filled(text: str) -> str:
            text = PLACEHOLDER.sub(lambda match: str(values[match[1]]), text)
            return text.replace(RESULT_PATH, str(self._folder / "result")).replace(MODEL_PATH, str(model))

        container = template["container"]
        given = {entry["name"]: filled(entry["value"]) for entry in container["env"] if entry["name"] != "HOME"}
        return [filled(word) for word in container["args"]], {**self._secret, **given}


def test_a_workflow_of_the_steps(client: Client, model_folder: Path, tmp_path: Path) -> None:
    import mlflow.sklearn  # noqa: PLC0415 - costs two seconds

    step = Argo(client, tmp_path)
    name, workflow = f"argo-{uuid.uuid4().hex}", uuid.uuid4().hex
    run_id = step("create-run", experiment=name, run_name="fit", tags='{"team": "risk"}', workflow_id=workflow)
    assert step("create-run", experiment=name, run_name="fit", workflow_id=workflow) == run_id, "a repeated step makes no second run"
    step("log-parameters", run_id=run_id, parameters='{"depth": 3, "note": "--not-an-option \\"quoted\\""}')
    step("log-metrics", run_id=run_id, metrics='{"f1": 0.91}', step="4")
    uri = step("log-model", model_folder, run_id=run_id)
    version = step("register-model", model_uri=uri, registered_model=name, tags='{"by": "argo"}')
    assert step("register-model", model_uri=uri, registered_model=name) == version, "a repeated step makes no second version"
    candidate = {"registered_model": name, "version": version, "metric": "f1"}
    assert step("promote-model", **candidate, threshold="0.95") == "false"
    assert step("promote-model", **candidate, threshold="0.9") == "true"
    assert step("promote-model", **candidate, threshold="0.9") == "true", "a repeated step says the same"
    assert json.loads(step("finish-workflow", experiment=name, workflow_id=workflow, status="Succeeded")) == [run_id]

    server = client.mlflow
    run = server.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"depth": "3", "note": '--not-an-option "quoted"'}
    assert [(metric.value, metric.step) for metric in server.get_metric_history(run_id, "f1")] == [(0.91, 4)]
    assert (run.data.tags["team"], run.data.tags["image"]) == ("risk", IMAGE)
    held = server.get_model_version_by_alias(name, "champion")
    assert (held.version, held.run_id, held.tags["by"]) == (version, run_id, "argo")
    loaded = mlflow.sklearn.load_model(f"models:/{name}@champion")
    assert loaded.predict([[2.0]]) == pytest.approx([5.0])
    [output] = run.outputs.model_outputs if run.outputs else []
    assert (f"models:/{output.model_id}", server.get_logged_model(output.model_id).status) == (uri, "READY")


def test_a_workflow_that_made_no_run_ends_well(client: Client, tmp_path: Path) -> None:
    assert Argo(client, tmp_path).in_a_process("finish-workflow", experiment="never-made", workflow_id="w-1", status="Error") == "[]"
