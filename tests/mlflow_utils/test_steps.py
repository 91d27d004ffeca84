"""The command line of the steps; what they do is held by the tests of Argo and Kubeflow, which run them."""
from __future__ import annotations

import pytest

from mlflow_utils import steps
from mlflow_utils.argo import STEPS


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
def test_the_templates_of_argo_have_each_option(step: str) -> None:
    subcommands = next(action for action in steps.parser()._actions if action.dest == "step").choices
    assert subcommands is not None
    options = {option.lstrip("-") for action in dict(subcommands)[step]._actions for option in action.option_strings}
    assert options - {"h", "help", "output", "model"} == STEPS[step].keys()
    assert len(dict(subcommands)) == len(STEPS)
