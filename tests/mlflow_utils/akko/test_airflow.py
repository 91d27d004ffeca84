"""The DAGs of the akko deployment under a real Airflow, whose path MLFLOW_TEST_AIRFLOW holds; .ci/utils-airflow makes one."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_utils import Client

EXAMPLES = Path(__file__).with_name("examples")
AIRFLOW = os.environ.get("MLFLOW_TEST_AIRFLOW", "")
pytestmark = pytest.mark.skipif(not AIRFLOW, reason="MLFLOW_TEST_AIRFLOW does not name an Airflow; .ci/utils-airflow makes one")


@pytest.fixture(scope="module")
def airflow(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an Airflow with a database of its own and the DAGs."""
    own = {
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    made = {**environment, **own, "PATH": f"{Path(AIRFLOW).parent}{os.pathsep}{environment['PATH']}"}
    run([AIRFLOW, "db", "migrate"], made)
    return made


def run(command: list[str], environment: dict[str, str]) -> str:
    """What the command prints."""
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_dag_logs_a_run(client: Client, airflow: dict[str, str]) -> None:
    assert "state=success" in run([AIRFLOW, "dags", "test", "etl_quality"], airflow)
    experiment = client.mlflow.get_experiment_by_name("airflow-etl-quality")
    assert experiment is not None
    [newest] = client.mlflow.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"], max_results=1)
    assert (newest.info.run_name, newest.info.status) == ("daily-etl", "FINISHED")
    assert newest.data.metrics == {"rows_processed": 125000, "data_quality_score": 0.98}


def test_a_dag_registers_a_model(client: Client, airflow: dict[str, str], environment: dict[str, str]) -> None:
    run([sys.executable, str(EXAMPLES / "notebook.py")], environment)
    assert "state=success" in run([AIRFLOW, "dags", "test", "register_best"], airflow)
    [version] = client.mlflow.search_model_versions("name = 'airflow-banking-risk'", max_results=1)
    assert client.mlflow.get_run(version.run_id or "").data.params["algorithm"] == "random_forest"
