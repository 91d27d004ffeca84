"""The metrics of a real embedded stack: they count what is there, without a password and without a secret, and alerts speak of them."""
from __future__ import annotations

import os
import re
import runpy
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from backups import API, Backups, made
from deployment import changed
from harness import ROOT, Stack
from metrics import metrics_port, samples, scrape, scraped_until
from tracking_servers import client_of

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_alerts import Watched, groups
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_dashboard import dashboard, expressions

PROGRAM = ROOT / "roles/mlflow_server/files/prometheus_exporter.py"
#: No other test ends a run so.
KILLED = 'mlflow_runs{stage="active",status="KILLED"}'


def run_that(stack: Stack, status: str) -> None:
    """A run that has ended."""
    with closing(client_of(stack)) as client:
        run = client.write("POST", f"{API}/runs/create", {"experiment_id": "0", "start_time": 1}, idempotent=False)["run"]["info"]["run_id"]
        client.write("POST", f"{API}/runs/update", {"run_id": run, "status": status}, idempotent=False)


def spoken_of() -> set[str]:
    """What the alerts and the dashboard name of MLflow's metrics."""
    rules = [rule["expr"] for group in groups(Watched()) for rule in group["rules"]]
    return {name for each in (*rules, *expressions(dashboard())) for name in re.findall(r"\b(mlflow_\w+)\{", each)}


def told(text: str) -> set[str]:
    """The names of what is told, those without a sample too."""
    return {*re.findall(r"^(mlflow_\w+?)[{ ]", text, re.M), *re.findall(r"^# TYPE (mlflow_\w+)", text, re.M)}


def test_runs_are_counted(stack: Stack) -> None:
    before = samples(scrape(stack)).get(KILLED, 0)
    for _run in range(3):
        run_that(stack, "KILLED")
    scraped_until(stack, lambda found: found.get(KILLED, 0) == before + 3)


def test_requests_of_all_workers_are_counted(stack: Stack) -> None:
    def requests() -> float:
        return sum(value for name, value in samples(scrape(stack)).items() if name.startswith("mlflow_http_request_total"))

    before = requests()
    run_that(stack, "FINISHED")
    assert requests() >= before + 2


def test_the_server_its_database_and_its_schema_are_well(stack: Stack) -> None:
    found = scraped_until(stack, lambda found: "mlflow_schema_current" in found)
    assert (found["mlflow_up"], found["mlflow_database_up"], found["mlflow_schema_current"], found["mlflow_metrics_failed_queries"]) == (1, 1, 1, 0)
    assert found["mlflow_database_size_bytes"] > 1e6
    assert 0 < found["mlflow_database_connections"] < found["mlflow_database_max_connections"]
    assert 0 < found["mlflow_disk_free_bytes"] < found["mlflow_disk_size_bytes"]


def test_no_secret_is_told(stack: Stack) -> None:
    text = scrape(stack)
    assert not [secret for secret in (stack.tracking_password, stack.pg_password, stack.s3_secret_key) if secret in text]


def test_the_port_is_on_loopback_alone(stack: Stack) -> None:
    listening = subprocess.run(["ss", "-Hltn", f"sport = :{metrics_port(stack)}"], check=True, capture_output=True, text=True).stdout
    assert [line.split()[3] for line in listening.splitlines()] == [f"127.0.0.1:{metrics_port(stack)}"]


def test_alerts_and_dashboard_speak_of_what_is_told(stack: Stack) -> None:
    run_that(stack, "FINISHED")
    missing = spoken_of() - told(scrape(stack))
    assert {name for name in missing if not name.startswith("mlflow_backup_")} == set()


def test_the_session_can_change_nothing(stack: Stack) -> None:
    """Not even as the administrator."""
    session = runpy.run_path(str(PROGRAM))["SESSION"]
    login: dict[str, Any] = {"user": stack.pg_user, "password": stack.pg_password, "dbname": "mlflow", "options": session}
    with closing(psycopg2.connect(host=stack.pg_host, port=stack.pg_port, **login)) as held, held.cursor() as cursor:
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            cursor.execute("UPDATE experiments SET name = 'x' WHERE false")
        held.rollback()
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("5s",)


def test_a_role_that_can_only_count(stack: Stack) -> None:
    """By the statements of docs/monitoring.md, the exporter tells all with it, and the role reads no name and writes nothing."""
    page = (ROOT / "docs/monitoring.md").read_text()
    (statements,) = re.findall(r"```sql\n(CREATE ROLE.*?)```", page, re.S)
    role, password = f"counter_{os.getpid()}", secrets.token_hex(8)
    statements = statements.replace("mlflow_metrics", role).replace("choose one", password)
    login: dict[str, Any] = {"host": stack.pg_host, "port": stack.pg_port, "dbname": "mlflow"}
    with closing(psycopg2.connect(**login, user=stack.pg_user, password=stack.pg_password)) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute(statements)
            try:
                uri = f"postgresql+psycopg2://{role}:{password}@{stack.pg_host}:{stack.pg_port}/mlflow"
                made = {metric.name: metric.values for metric in runpy.run_path(str(PROGRAM))["of_database"](uri, "")}
                assert made["metrics_failed_queries"] == [((), 0.0)]
                assert {"runs", "traces", "database_size_bytes", "schema_info"} <= made.keys()
                with closing(psycopg2.connect(**login, user=role, password=password)) as session, session.cursor() as its:
                    for refused in ("SELECT name FROM experiments", "SELECT * FROM params", "DELETE FROM runs WHERE false"):
                        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                            its.execute(refused)
                        session.rollback()
            finally:
                cursor.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.fixture(scope="module")
def backups() -> Iterator[Backups]:
    """A stack with metrics, and no backup yet."""
    yield from made("metrics", 27700, artifact_store_provider=None, mlflow_server_metrics_enabled=True)


@pytest.mark.slow
def test_backups_and_drills_are_told(backups: Backups) -> None:
    stack = backups.stack.stack()
    assert not [name for name in samples(scrape(stack)) if name.startswith("mlflow_backup_")]
    backups.back_up(mlflow_backup_drill=True)
    found = scraped_until(stack, lambda found: "mlflow_backup_drill_problems" in found)
    assert (found["mlflow_backup_sets"], found["mlflow_backup_failed"], found["mlflow_backup_drill_problems"]) == (1, 0, 0)
    assert found["mlflow_backup_size_bytes"] > 0
    assert spoken_of() - told(scrape(stack)) == set()


@pytest.mark.slow
def test_a_database_that_is_gone_is_told(backups: Backups) -> None:
    """With nothing old beside it; MLflow's own health check does not notice."""
    home, stack = backups.stack.home, backups.stack.stack()
    control = [str(home / "venv/bin/supervisorctl"), "-c", str(home / "supervisord.conf")]
    subprocess.run([*control, "stop", "postgresql"], check=True, capture_output=True)
    try:
        found = scraped_until(stack, lambda found: found.get("mlflow_database_up") == 0)
        assert found["mlflow_up"] == 1
        assert not [name for name in found if name.startswith(("mlflow_runs", "mlflow_schema"))]
    finally:
        subprocess.run([*control, "start", "postgresql"], check=True, capture_output=True)
    scraped_until(stack, lambda found: found.get("mlflow_database_up") == 1 and "mlflow_schema_current" in found)


@pytest.mark.slow
def test_metrics_are_turned_off_and_on(backups: Backups) -> None:
    stack = backups.stack
    assert changed(stack.up()) == []
    foreseen = changed(stack.play("site", "--check", mlflow_server_metrics_enabled=False))
    assert foreseen
    assert changed(stack.up(mlflow_server_metrics_enabled=False)) == foreseen
    with pytest.raises(OSError, match="refused"):
        scrape(stack.stack())
    assert changed(stack.up(mlflow_server_metrics_enabled=False)) == []
    assert changed(stack.up())
    assert samples(scrape(stack.stack()))["mlflow_up"] == 1
