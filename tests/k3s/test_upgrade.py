"""MLflow 3.16.1 with runs, models and artifacts becomes 3.17.2 by one changed variable; a migration that fails leaves the old one serving.

In this order: the last restores the backup that the one before it makes.
"""
from __future__ import annotations

import time
from typing import Any

import pytest
from cluster import Cluster
from playbook import Run, play

line = pytest.mark.line
BACKUP = "/var/tmp/mlflow-3.16.1.dump"
POSTGRESQL = "k3s kubectl --namespace {} exec --stdin sts/akko-postgresql --"
CONTENT = b"an artifact of the older version\n" * 1000


def deploy(version: str) -> Run:
    """Run the playbook with that version of MLflow."""
    return play(variables={"mlflow_image_version": version, "mlflow_image_tag": version}, timeout=900)


def post(cluster: Cluster, path: str, body: object) -> Any:
    answer = cluster.https("POST", f"/api/2.0/mlflow/{path}", body)
    assert answer.status == 200, answer.body
    return answer.json()


def version(cluster: Cluster) -> str:
    return cluster.kubectl("exec", f"deploy/{cluster.name}", "--", "curl", "-s", "http://localhost:5000/version")


def sql(cluster: Cluster, statement: str) -> str:
    return cluster.kubectl("exec", "sts/akko-postgresql", "--", "psql", "-U", "postgres", "-d", "mlflow", "-tAc", statement).strip()


def data(cluster: Cluster, run: dict[str, str]) -> tuple[object, ...]:
    """What the older version was filled with, as the server tells it now."""
    found = cluster.https("GET", f"/api/2.0/mlflow/runs/get?run_id={run['run_id']}").json()["run"]["data"]
    model = cluster.https("GET", "/api/2.0/mlflow/registered-models/alias?name=old-model&alias=champion").json()["model_version"]
    root = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    artifact = cluster.https("GET", f"/api/2.0/mlflow-artifacts/artifacts/{root}/old.txt")
    metrics = [(metric["key"], metric["value"]) for metric in found["metrics"]]
    return found["params"], metrics, model["version"], model["source"], artifact.body == CONTENT


@pytest.fixture(scope="module")
def run(cluster: Cluster) -> Any:
    """A run with a parameter, a metric and an artifact, and a version of a model with an alias, made on the older version."""
    assert version(cluster) == "3.16.1"
    experiment = post(cluster, "experiments/create", {"name": f"old-{time.time_ns()}"})["experiment_id"]
    info = post(cluster, "runs/create", {"experiment_id": experiment, "start_time": 1})["run"]["info"]
    post(cluster, "runs/log-parameter", {"run_id": info["run_id"], "key": "depth", "value": "3"})
    post(cluster, "runs/log-metric", {"run_id": info["run_id"], "key": "accuracy", "value": 0.75, "timestamp": 1})
    root = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    assert cluster.https("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{root}/old.txt", CONTENT).status == 200
    post(cluster, "registered-models/create", {"name": "old-model"})
    post(cluster, "model-versions/create", {"name": "old-model", "source": info["artifact_uri"], "run_id": info["run_id"]})
    post(cluster, "registered-models/alias", {"name": "old-model", "alias": "champion", "version": "1"})
    return info


@line("(beyond) a failing migration leaves the old version serving")
def test_a_migration_that_fails(cluster: Cluster, run: dict[str, str]) -> None:
    """MLflow's role may not write the table of revisions: one message says so, 3.16.1 serves on."""
    before, revision = data(cluster, run), sql(cluster, "SELECT version_num FROM alembic_version")
    sql(cluster, "ALTER TABLE alembic_version OWNER TO postgres; GRANT SELECT ON alembic_version TO mlflow")
    try:
        done = deploy("3.17.2")
    finally:
        sql(cluster, "ALTER TABLE alembic_version OWNER TO mlflow")
    assert done.status == 2, done.output
    assert "permission denied for table alembic_version" in done.failures[-1][1]
    assert "Traceback" not in done.output
    assert version(cluster) == "3.16.1"
    assert sql(cluster, "SELECT version_num FROM alembic_version") == revision
    assert data(cluster, run) == before


@line("(beyond) an upgrade by one variable")
def test_upgrade(cluster: Cluster, run: dict[str, str]) -> None:
    """3.17.2 serves on the newer schema, and has the runs, models and artifacts of 3.16.1."""
    before, revision = data(cluster, run), sql(cluster, "SELECT version_num FROM alembic_version")
    cluster.run(f"{POSTGRESQL.format(cluster.namespace)} pg_dump -U postgres --format=custom mlflow >{BACKUP}")
    done = deploy("3.17.2")
    assert done.status == 0, done.output
    assert version(cluster) == "3.17.2"
    assert sql(cluster, "SELECT version_num FROM alembic_version") != revision
    assert data(cluster, run) == before
    again = deploy("3.17.2")
    assert again.status == 0, again.output
    assert again.changed == 0


@line("(beyond) a backup of before the upgrade is migrated when it is restored")
def test_a_backup_of_before(cluster: Cluster, run: dict[str, str]) -> None:
    """Restored under 3.17.2, it is seen and migrated by the next run; the one after that changes nothing."""
    before, revision = data(cluster, run), sql(cluster, "SELECT version_num FROM alembic_version")
    client = POSTGRESQL.format(cluster.namespace)
    cluster.run(f"""set -e
        {client} psql -U postgres -c 'DROP DATABASE mlflow WITH (FORCE)' -c 'CREATE DATABASE mlflow OWNER mlflow'
        {client} pg_restore -U postgres --dbname=mlflow <{BACKUP}""")
    assert sql(cluster, "SELECT version_num FROM alembic_version") != revision
    done = deploy("3.17.2")
    assert done.status == 0, done.output
    assert sql(cluster, "SELECT version_num FROM alembic_version") == revision
    assert data(cluster, run) == before
    again = deploy("3.17.2")
    assert again.status == 0, again.output
    assert again.changed == 0
