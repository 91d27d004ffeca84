"""The Kubeflow components: compiled, and run by kfp's own local runner against a real server."""
# kfp reads the annotations of the functions below, so they are not put off.
import inspect
import os
import subprocess
import sys
import uuid
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, components, dsl, local

from mlflow_utils import Client, __version__, _kfp_steps, kfp_components, steps
from mlflow_utils.kfp_components import Components, use_mlflow
from mlflow_utils.kfp_components import components as components_of

NAMES = [field.name for field in fields(Components)]


def compiled(what: Any, folder: Path) -> list[dict[str, Any]]:
    """The YAML documents of a component or a pipeline: its own, and what it says of Kubernetes."""
    file = folder / "compiled.yaml"
    compiler.Compiler().compile(what, str(file))
    return list(yaml.safe_load_all(file.read_text()))


def executors(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The containers; an importer has none."""
    return {name: executor["container"] for name, executor in document["deploymentSpec"]["executors"].items() if "container" in executor}


@pytest.mark.parametrize("name", NAMES)
def test_a_component_compiles_to_what_a_cluster_can_run(name: str, tmp_path: Path) -> None:
    [document] = compiled(getattr(kfp_components, name), tmp_path)
    [container] = executors(document).values()
    assert container["image"] == "python:3.12-slim"
    assert f"'mlflow-utils=={__version__}'" in " ".join(container["command"])
    loaded = components.load_component_from_file(str(tmp_path / "compiled.yaml"))
    assert loaded.name == name.replace("_", "-")
    assert loaded.description


@pytest.mark.parametrize("name", NAMES)
def test_a_component_takes_what_its_step_takes(name: str) -> None:
    """Its source is copied into the pod, so it cannot be made from the step's."""
    ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (_kfp_steps, steps))
    assert {option: one.default for option, one in ours.items()} == {option: one.default for option, one in theirs.items()}


def test_an_image_of_ones_own_installs_nothing(tmp_path: Path) -> None:
    [document] = compiled(components_of("registry.example.org/python-train:1", packages=()).create_run, tmp_path)
    [container] = executors(document).values()
    assert container["image"] == "registry.example.org/python-train:1"
    assert "pip install" not in " ".join(container["command"])


def test_an_index_of_ones_own_is_asked(tmp_path: Path) -> None:
    [document] = compiled(components_of(index_urls=["https://pypi.example.org/simple"]).create_run, tmp_path)
    [container] = executors(document).values()
    assert "--index-url https://pypi.example.org/simple" in " ".join(container["command"])


def test_the_environment_says_where_the_package_comes_from(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom kfp import compiler\nfrom mlflow_utils import kfp_components\n"
        "compiler.Compiler().compile(kfp_components.create_run, sys.argv[1])"
    )

    def container(**variables: str) -> dict[str, Any]:
        file = tmp_path / "component.yaml"
        subprocess.run([sys.executable, "-c", program, str(file)], env={**os.environ, **variables}, check=True, capture_output=True)
        [found] = executors(next(yaml.safe_load_all(file.read_text()))).values()
        return found

    wheel = "https://wheels.example.org/mlflow_utils-1.0.0-py3-none-any.whl"
    found = container(MLFLOW_UTILS_PACKAGE=wheel, MLFLOW_UTILS_INDEX_URL="https://pypi.example.org/simple")
    words = " ".join(found["command"])
    assert wheel in words
    assert "mlflow-utils==" not in words
    assert "--index-url https://pypi.example.org/simple" in words
    found = container(MLFLOW_UTILS_IMAGE="registry.example.org/train:1")
    assert found["image"] == "registry.example.org/train:1"
    assert "pip install" not in " ".join(found["command"])


def test_a_run_ends_though_a_condition_skips_what_would_end_it(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubeflow calls an exit handler whatever became of the rest, which the compiled pipeline says; what it then does is tried here."""

    def pipeline(f1: float = 0.1) -> None:
        with dsl.ExitHandler(kfp_components.finish_workflow(experiment="e", workflow_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)):
            run = kfp_components.create_run(experiment="e", workflow_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
            with dsl.If(f1 > 0.8):
                kfp_components.finish_run(run_id=run.output)

    [document] = compiled(dsl.pipeline(pipeline, name="skipped"), tmp_path)
    tasks = document["root"]["dag"]["tasks"]
    assert tasks["finish-workflow"]["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    for variable, value in client.environment().items():
        monkeypatch.setenv(variable, value)
    name = f"kfp-{uuid.uuid4().hex}"
    run_id = steps.create_run(name, workflow_id="w-1")
    assert steps.finish_workflow(name, "w-1", "SUCCEEDED") == [run_id]
    assert client.mlflow.get_run(run_id).info.status == "FINISHED"


def test_a_pipeline_of_them_compiles_with_credentials_by_reference(tmp_path: Path) -> None:
    def pipeline(f1: float = 0.9) -> None:
        def mlflow(task: Any) -> Any:
            return use_mlflow(task, "http://mlflow.example.org", secret="mlflow-client")

        end = mlflow(kfp_components.finish_workflow(experiment="e", workflow_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER))
        with dsl.ExitHandler(end):
            run = mlflow(kfp_components.create_run(experiment="e", workflow_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER))
            mlflow(kfp_components.log_parameters(run_id=run.output, parameters={"depth": 3}))
            mlflow(kfp_components.log_metrics(run_id=run.output, metrics={"f1": f1}))
            model = dsl.importer(artifact_uri="s3://bucket/model", artifact_class=dsl.Model)
            logged = mlflow(kfp_components.log_model(run_id=run.output, model=model.output))
            version = mlflow(kfp_components.register_model(model_uri=logged.output, registered_model="m"))
            promoted = mlflow(kfp_components.promote_model(registered_model="m", version=version.output, metric="f1", threshold=0.8))
            with dsl.If(promoted.output == True):  # noqa: E712 - kfp makes a condition of it
                mlflow(kfp_components.finish_run(run_id=run.output))

    document, platform = compiled(dsl.pipeline(pipeline, name="all-steps"), tmp_path)
    assert len(executors(document)) == len(NAMES)
    for name, container in executors(document).items():
        assert container["env"] == [{"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow.example.org"}]
        [secret] = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"][name]["secretAsEnv"]
        assert secret["secretName"] == "mlflow-client"
        assert {entry["envVar"] for entry in secret["keyToEnv"]} == {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}


def train(slope: float, model: dsl.Output[dsl.Model]) -> dict:  # type: ignore[type-arg]
    import mlflow.sklearn  # noqa: PLC0415 - kfp copies the source
    import numpy as np  # noqa: PLC0415 - as above
    from mlflow.models import infer_signature  # noqa: PLC0415 - as above
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415

    features = np.array([[0.0], [1.0]])
    fitted = LinearRegression().fit(features, [0.0, slope])
    signature = infer_signature(features, fitted.predict(features))
    options = {"serialization_format": "cloudpickle", "signature": signature}  # as KServe's own runtime needs it
    mlflow.sklearn.save_model(fitted, model.path, pip_requirements=["scikit-learn"], **options)
    return {"r2": 1.0 / (1.0 + abs(slope - 2.0))}


def training_pipeline() -> Any:
    """A pipeline whose model is the better the nearer its slope is to 2; it returns whether it was promoted."""
    steps = components_of(packages=())
    fit = dsl.component(train, base_image="python:3.12-slim", install_kfp_package=False)

    def pipeline(slope: float, name: str) -> bool:
        run = steps.create_run(experiment=name, run_name="fit", tags={"team": "risk"}, workflow_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
        steps.log_parameters(run_id=run.output, parameters={"slope": slope, "loss": "squared"})
        fitted = fit(slope=slope)
        measured = steps.log_metrics(run_id=run.output, metrics=fitted.outputs["Output"], step=7)
        logged = steps.log_model(run_id=run.output, model=fitted.outputs["model"]).after(measured)
        version = steps.register_model(model_uri=logged.output, registered_model=name, tags={"by": "kfp"})
        promoted = steps.promote_model(registered_model=name, version=version.output, metric="r2", threshold=0.4)
        steps.finish_run(run_id=run.output).after(promoted)
        return promoted.output  # type: ignore[no-any-return] # kfp's

    return dsl.pipeline(pipeline, name="train-and-promote")


@pytest.mark.slow  # a process for each of sixteen steps, which imports MLflow
def test_a_pipeline_runs_locally(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow  # noqa: PLC0415 - costs two seconds
    import numpy as np  # noqa: PLC0415 - comes with mlflow

    for variable, value in {**client.environment(), "MLFLOW_REGISTRY_URI": client.settings.tracking_uri}.items():
        monkeypatch.setenv(variable, value)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path))
    pipeline = training_pipeline()
    name = f"kfp-{uuid.uuid4().hex}"
    assert [pipeline(slope=slope, name=name).output for slope in (2.0, 1.9)] == [True, False], "the second model is worse"

    server = client.mlflow
    experiment = server.get_experiment_by_name(name)
    assert experiment is not None
    runs = server.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    assert [run.data.params["slope"] for run in runs] == ["2.0", "1.9"]
    for run in runs:
        assert run.info.status == "FINISHED"
        assert (run.info.run_name, run.data.params["loss"], run.data.tags["team"]) == ("fit", "squared", "risk")
        assert len(run.outputs.model_outputs if run.outputs else []) == 1
    assert [(metric.value, metric.step) for metric in server.get_metric_history(runs[0].info.run_id, "r2")] == [(1.0, 7)]
    champion = server.get_model_version_by_alias(name, "champion")
    assert (champion.version, champion.run_id, champion.tags["by"]) == ("1", runs[0].info.run_id, "kfp")
    model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    assert model.predict(np.array([[3.0]])) == pytest.approx([6.0])
    assert model.metadata.run_id == runs[0].info.run_id
