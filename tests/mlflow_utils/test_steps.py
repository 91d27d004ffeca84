"""The command line of the steps; what they do is held by the tests of Argo and Kubeflow, which run them."""
from __future__ import annotations

import inspect
import uuid
from pathlib import Path

import pytest

from mlflow_utils import Client, argo, steps
from mlflow_utils._reading import NotFound
from mlflow_utils._step_options import STEPS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["log-metrics", "--run-id=r", '--metrics={"f1": "high"}'], "the metric 'f1' is 'high'; a metric must be a number"),
        (["finish-run", "--run-id=r", "--status=fine"], "status is 'fine'; use one of finished, succeeded, failed, error, killed, cancelled"),
        (["register-model", "--model-uri=runs:/1/model", "--registered-model=m"], "model_uri is 'runs:/1/model'; give the URI of a logged model"),
        (["log-model", "--run-id=r", "--model=/nowhere"], "there is no file MLmodel in /nowhere; write the model with mlflow.<flavor>.save_model"),
        (["finish-workflow", "--experiment=e", "--workflow-id=w", "--status=Pending"], "status is 'Pending'; use one of"),
    ],
)
def test_a_wrong_argument_is_one_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert steps.main(words) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("mlflow_utils.steps: ")
    assert said in line


def test_what_is_refused_is_named_and_the_rest_is_logged(client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for variable, value in client.environment().items():
        monkeypatch.setenv(variable, value)
    run_id = steps.create_run(f"steps {uuid.uuid4().hex}")
    assert steps.main(["log-metrics", f"--run-id={run_id}", '--metrics={"loss": 0.3, "recall@10": 0.5, "auc": 1}']) == 1
    assert "MLflow refuses the metrics 'recall@10', and has the others" in capsys.readouterr().err
    steps.log_parameters(run_id, {"depth": 3})
    with pytest.raises(steps.StepError, match="MLflow refuses the parameters 'layers\\[0\\]', 'depth', and has the others"):
        steps.log_parameters(run_id, {"layers[0]": 1, "rate": 0.1, "depth": 4})
    data = client.mlflow.get_run(run_id).data
    assert (data.metrics, data.params) == ({"loss": 0.3, "auc": 1.0}, {"depth": "3", "rate": "0.1"})


def test_the_run_that_an_orchestrator_has_made_is_taken(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Kubeflow Pipelines' MLflow plugin makes them: a run a pipeline, and in it one a task, whose id the task's environment has."""
    for variable, value in client.environment().items():
        monkeypatch.setenv(variable, value)
    name = f"steps {uuid.uuid4().hex}"
    experiment_id = client.mlflow.create_experiment(name)
    pipeline = client.mlflow.create_run(experiment_id, run_name="pipeline").info.run_id
    for attempt in ("first", "repeated"):
        task = client.mlflow.create_run(experiment_id, run_name=attempt, tags={"mlflow.parentRunId": pipeline}).info.run_id
        monkeypatch.setenv("MLFLOW_RUN_ID", task)
        assert steps.create_run(name, "fit", {"team": "risk"}, "w-1") == pipeline
    assert capsys.readouterr().err == ""
    assert len(client.mlflow.search_runs([experiment_id])) == 3, "no other run is made"
    run = client.mlflow.get_run(pipeline)
    assert (run.info.status, run.info.run_name, run.data.tags["team"]) == ("RUNNING", "fit", "risk")
    assert steps.create_run("another") == pipeline
    assert f"in the experiment {name!r} instead of 'another'" in capsys.readouterr().err
    assert client.mlflow.get_experiment_by_name("another") is None
    assert steps.finish_workflow(name, "w-1", "SUCCEEDED") == [pipeline]
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(NotFound, match=f"MLFLOW_RUN_ID is '{'0' * 32}', and there is no such run"):
        steps.create_run(name)


@pytest.mark.parametrize("ending", ["", "'s", "\\"])
def test_a_model_is_registered_once(ending: str, client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable, value in client.environment().items():
        monkeypatch.setenv(variable, value)
    name = f"steps {uuid.uuid4().hex}{ending}"
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    logged = steps.log_model(steps.create_run("registered once"), str(tmp_path))
    assert [steps.register_model(logged, name), steps.register_model(logged, name)] == ["1", "1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["log-metrics", "--run-id=r", "--metrics=[1]"], "'[1]' is not a JSON object"),
        (["promote-model", "--registered-model=m", "--version=1", "--metric=f1", "--threshold=high"], "'high' is not a number"),
        (["promote-model", "--registered-model=m", "--version=1", "--metric=f1", "--direction=up"], "invalid choice: 'up'"),
        ([], "the following arguments are required: STEP"),
    ],
)
def test_a_wrong_word_is_refused_before_anything_is_done(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        steps.main(words)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("workflow_id", ["it's", "", "a b", "x" * 251])
def test_a_workflow_id_cannot_break_the_search(workflow_id: str) -> None:
    with pytest.raises(steps.StepError, match="workflow_id is"):
        steps.checked_workflow_id(workflow_id)


@pytest.mark.parametrize("step", STEPS)
def test_the_options_of_a_step_are_the_parameters_of_its_function(step: str) -> None:
    parameters = inspect.signature(getattr(steps, step.replace("-", "_"))).parameters
    options = {name.replace("-", "_"): one for name, one in STEPS[step].options.items()}
    assert list(options) == list(parameters)
    assert {name for name, one in options.items() if one.default is None} == {name for name, one in parameters.items() if one.default is one.empty}


def test_what_is_left_out_has_the_default_of_the_function() -> None:
    given = vars(steps.parser().parse_args(["promote-model", "--registered-model=m", "--version=1", "--metric=f1"]))
    parameters = inspect.signature(steps.promote_model).parameters
    assert {name: given[name] for name, one in parameters.items() if one.default is not one.empty} == {
        name: one.default for name, one in parameters.items() if one.default is not one.empty
    }
    assert vars(steps.parser().parse_args(["log-metrics", "--run-id=r", '--metrics={"f1": 1}', "--step=3"])) == {
        "function": "log_metrics", "output": None, "run_id": "r", "metrics": {"f1": 1}, "step": 3,
    }
    assert steps.parser().parse_args(["create-run", "--experiment=e"]).tags == {}


@pytest.mark.parametrize("step", STEPS)
def test_the_templates_of_argo_have_each_option(step: str) -> None:
    assert argo.STEPS[step].keys() == STEPS[step].options.keys() - {"model"}
