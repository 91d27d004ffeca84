"""The programs of the akko deployment's users, as they stand, in the environment that the deployment gives them."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_utils import Client

EXAMPLES = Path(__file__).with_name("examples")


@pytest.fixture(scope="module")
def run_id(client: Client, environment: dict[str, str]) -> str:
    """The run that the notebook makes."""
    run("notebook.py", environment)
    experiment = client.mlflow.get_experiment_by_name("banking-risk-model")
    assert experiment is not None
    [newest] = client.mlflow.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"], max_results=1)
    return str(newest.info.run_id)


def run(program: str, environment: dict[str, str], *words: str) -> str:
    """What the program prints."""
    done = subprocess.run([sys.executable, str(EXAMPLES / program), *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_notebook_logs_a_random_forest(client: Client, run_id: str) -> None:
    import mlflow.sklearn  # noqa: PLC0415 - costs two seconds
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415

    found = client.mlflow.get_run(run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"algorithm": "random_forest", "n_estimators": "100"}
    assert found.data.metrics == {"accuracy": 0.94, "f1_score": 0.91}
    model = mlflow.sklearn.load_model(f"runs:/{run_id}/model")
    assert isinstance(model, RandomForestClassifier)
    assert len(model.predict([[0.0] * 20])) == 1


def test_without_the_variable_mlflow_refuses_it(environment: dict[str, str]) -> None:
    bare = {name: value for name, value in environment.items() if name != "MLFLOW_UTILS_TRUST_SKLEARN"}
    done = subprocess.run([sys.executable, str(EXAMPLES / "notebook.py")], env=bare, capture_output=True, text=True, check=False)
    assert done.returncode != 0, "MLflow takes it as it is now: mlflow_utils.sklearn_trust may be needless"
    assert "untrusted types" in done.stderr


def test_the_comparison_prints_the_runs_best_first(run_id: str, environment: dict[str, str]) -> None:
    lines = run("comparison.py", environment).splitlines()
    assert lines[0].split() == ["params.algorithm", "metrics.accuracy", "metrics.f1_score"]
    assert lines[1].split() == ["0", "random_forest", "0.94", "0.91"], run_id


def test_the_registry_takes_the_model_into_production(client: Client, run_id: str, environment: dict[str, str]) -> None:
    run("registry.py", environment, run_id)
    [version] = client.mlflow.search_model_versions(f"name = 'banking-risk-classifier' AND run_id = '{run_id}'")
    assert version.current_stage == "Production"
