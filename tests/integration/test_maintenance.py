"""The maintenance of a real embedded stack: what was deleted long ago goes for good, and nothing else does."""
from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from backups import API, http, messages, upload
from deployment import Deployment, TaskResult, changed
from harness import ROOT
from tracking_servers import client_of

pytestmark = pytest.mark.slow

DAY = 86_400_000
FILES = ROOT / "roles/mlflow_maintenance/files"


class Server:
    """A stack with an artifact folder, and what a client does to it."""

    def __init__(self, stack: Deployment) -> None:
        self.stack = stack
        self.artifacts = stack.home / "artifacts"

    def call(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """A request that changes something."""
        with closing(client_of(self.stack.stack())) as client:
            return dict(client.write(method, path, body, idempotent=False))

    def experiment(self, name: str) -> str:
        return str(self.call("POST", f"{API}/experiments/create", {"name": name})["experiment_id"])

    def run(self, experiment: str, *, artifact: bool = True) -> str:
        """A run with a metric, and an artifact."""
        run = self.call("POST", f"{API}/runs/create", {"experiment_id": experiment, "start_time": 1})["run"]["info"]["run_id"]
        self.call("POST", f"{API}/runs/log-metric", {"run_id": run, "key": "x", "value": 1, "timestamp": 1})
        if artifact:
            upload(self.stack, f"{experiment}/{run}/artifacts/model/MLmodel")
        return str(run)

    def model(self, experiment: str, run: str) -> str:
        """A logged model with an artifact."""
        body = {"experiment_id": experiment, "name": "m", "source_run_id": run}
        found = str(self.call("POST", f"{API}/logged-models", body)["model"]["info"]["model_id"])
        upload(self.stack, f"{experiment}/models/{found}/artifacts/MLmodel")
        return found

    def trace(self, experiment: str, began: str) -> str:
        """A trace that began at a time, with an attachment."""
        trace = f"tr-{random.randbytes(16).hex()}"
        where = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
        info = {"trace_id": trace, "trace_location": where, "request_time": began, "state": "OK"}
        self.call("POST", "/api/3.0/mlflow/traces", {"trace": {"trace_info": info}})
        upload(self.stack, f"{experiment}/traces/{trace}/artifacts/attachment")
        return trace

    def delete(self, kind: str, name: str) -> None:
        if kind == "model":
            self.call("DELETE", f"{API}/logged-models/{name}", {})
        else:
            self.call("POST", f"{API}/{kind}s/delete", {f"{kind}_id": name})

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """The rows of a query, or of what an update returns."""
        there = self.stack.stack()
        login: dict[str, Any] = {"user": there.pg_user, "password": there.pg_password, "dbname": "mlflow"}
        with closing(psycopg2.connect(host=there.pg_host, port=there.pg_port, **login)) as session:
            session.autocommit = True
            with session.cursor() as cursor:
                cursor.execute(statement, values)
                return list(cursor.fetchall()) if cursor.description else []

    def made_old(self) -> None:
        """All that is deleted was deleted 40 days ago."""
        for table, column in (("runs", "deleted_time"), ("experiments", "last_update_time"), ("logged_models", "last_updated_timestamp_ms")):
            self.sql(f"UPDATE {table} SET {column} = {column} - %s WHERE lifecycle_stage = 'deleted'", 40 * DAY)

    def ids(self) -> set[str]:
        """Of all that has a row."""
        found = self.sql(
            "SELECT run_uuid FROM runs UNION ALL SELECT model_id FROM logged_models UNION ALL SELECT experiment_id::text FROM experiments "
            "UNION ALL SELECT request_id FROM trace_info"
        )
        return {row[0] for row in found}

    def files(self) -> set[str]:
        """The paths of all artifacts."""
        return {str(path.relative_to(self.artifacts)) for path in self.artifacts.rglob("*") if path.is_file()}

    def clean(self, *arguments: str, **variables: Any) -> list[TaskResult]:
        """The playbook, which must not fail."""
        results = self.stack.play("maintenance", *arguments, **variables)
        assert messages(results) == []
        return results

    def started(self, **settings: Any) -> subprocess.Popen[str]:
        """The program as the role starts it, in a group of its own."""
        home = self.stack.home
        programs = {path.stem: path.read_text() for path in [*FILES.glob("maintenance*.py"), ROOT / "roles/mlflow_backup/files/backup_lock.py"]}
        given = {
            "check": False, "environment_file": f"{home}/mlflow/server.env", "home": str(home), "deleted_for": 0, "by_experiment": {},
            "traces_for": -1, "traces_by_experiment": {}, "orphans": "remove", "deletes": True,
            "archive": {"after": -1, "by_experiment": {}, "location": ""},
        }  # fmt: skip
        user: dict[str, Any] = {"user": home.stat().st_uid, "group": home.stat().st_gid, "extra_groups": []} if os.getuid() == 0 else {}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [str(home / "venv/bin/python"), "-c", (ROOT / "roles/embedded/files/run.py").read_text()]
        running = subprocess.Popen(command, cwd="/", start_new_session=True, **user, **pipes)
        assert running.stdin
        running.stdin.write(json.dumps({"programs": programs, "program": "maintenance", "settings": {**given, **settings}}))
        running.stdin.close()
        running.stdin = None
        return running


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    stack = Deployment("maintenance", 27900, {"mlflow_server_auth": "basic", "artifact_store_provider": None})
    kept = bool(os.environ.get("MLFLOW_TEST_KEEP")) and (stack.home / "verified").exists()
    try:
        if not kept:
            stack.deploy()
        yield Server(stack)
    finally:
        if not os.environ.get("MLFLOW_TEST_KEEP"):
            stack.remove()


def shown(results: list[TaskResult]) -> str:
    """What the playbook says that it has deleted, or would."""
    return next(result.message for result in results if result.name.endswith("Show what was deleted and archived"))


def test_check_mode_says_what_a_run_deletes_and_a_second_run_deletes_nothing(server: Server, tmp_path: Path) -> None:
    # As the first run in an empty database: nothing to do.
    assert changed(server.clean()) == []
    gone, held, used = (server.experiment(f"{name}-{time.time_ns()}") for name in ("gone", "held", "used"))
    # Those of the verification of the deployment.
    deleted = {row[0] for row in server.sql("SELECT run_uuid FROM runs WHERE lifecycle_stage = 'deleted'")}
    old = deleted | {gone, server.run(gone), server.model(gone, server.run(gone))}
    old |= {row[0] for row in server.sql("SELECT run_uuid FROM runs WHERE experiment_id = %s", int(gone))}
    old |= {server.trace(gone, now())}
    kept = server.run(held)
    old |= {alone := server.run(held)}
    name = f"kept-{time.time_ns()}"
    server.call("POST", f"{API}/registered-models/create", {"name": name})
    source = f"mlflow-artifacts:/{held}/{kept}/artifacts/model"
    server.call("POST", f"{API}/model-versions/create", {"name": name, "source": source, "run_id": kept})
    missing, young, lately = server.run(used), server.run(used), server.run(used)
    old |= {missing}
    old |= {logged := server.model(used, young)}
    # Without a version that refers to its run, a model that is registered itself.
    registered, made = server.model(used, by := server.run(used)), by
    server.call("POST", f"{API}/model-versions/create", {"name": name, "source": f"models:/{registered}", "model_id": registered})
    for kind, each in (("experiment", gone), ("experiment", held), ("run", missing), ("run", made), ("model", logged), ("model", registered)):
        server.delete(kind, each)
    server.made_old()
    server.delete("run", lately)
    shutil.rmtree(server.artifacts / used / missing)
    rows, files = server.ids(), server.files()
    assert old < rows

    report, predicted = tmp_path / "report.json", tmp_path / "predicted.json"
    checked = server.clean("--check", mlflow_maintenance_report=str(predicted))
    assert (server.ids(), server.files()) == (rows, files)
    done = server.clean(mlflow_maintenance_report=str(report))
    task = "mlops.mlflow.mlflow_maintenance : Delete for good what was deleted long ago, and archive old traces"
    assert changed(checked) == changed(done) == [task]
    assert shown(checked).replace("Would delete", "Deleted") == shown(done)
    assert json.loads(predicted.read_text()) == json.loads(report.read_text())

    assert rows - server.ids() == old
    assert {path for path in files - server.files() if not any(part in old for part in path.split("/"))} == set()
    assert [path for path in server.files() if any(part in old for part in path.split("/"))] == []
    assert not (server.artifacts / gone).exists()
    assert not (server.artifacts / held / alone).exists()
    told = {(each["kind"], each["id"]): each["why"] for each in json.loads(report.read_text())["kept"]}
    assert told["run", kept] == f"version 1 of '{name}' refers to it"
    assert told["run", made] == told["model", registered] == f"version 2 of '{name}' refers to it"
    assert "1 of its runs or logged models stay" in told["experiment", held]
    assert http(server.stack, "GET", f"/api/2.0/mlflow-artifacts/artifacts/{held}/{kept}/artifacts/model/MLmodel")

    again = server.clean()
    assert changed(again) == []
    assert "Deleted for good: nothing" in shown(again)
    assert changed(server.clean(mlflow_maintenance_deleted_for="0d")) != []
    assert lately not in server.ids()
    assert young in server.ids()


def test_what_cannot_be_deleted_holds_up_nothing_else(server: Server) -> None:
    experiment = server.experiment(f"refused-{time.time_ns()}")
    refused, others = server.run(experiment), [server.run(experiment) for _each in range(3)]
    folder = server.artifacts / experiment / refused / "artifacts/model"
    server.delete("experiment", experiment)
    folder.chmod(0o555)
    try:
        results = server.stack.play("maintenance", mlflow_maintenance_deleted_for="0d")
        failed = messages(results)
        assert len(failed) == 1
        assert f"mlflow_maintenance: run {refused} and 1 more could not be deleted (" in failed[0]
        assert server.ids().isdisjoint(others)
        assert {experiment, refused} < server.ids()
    finally:
        folder.chmod(0o755)
    assert changed(server.clean(mlflow_maintenance_deleted_for="0d")) != []
    assert server.ids().isdisjoint({experiment, refused})
    assert not (server.artifacts / experiment).exists()


def test_artifacts_without_a_row_are_reported_and_removed_on_request(server: Server) -> None:
    experiment = server.experiment(f"orphans-{time.time_ns()}")
    run = server.run(experiment)
    lost, lately, stray = f"{experiment}/{'0' * 32}/artifacts/a/b", f"{experiment}/models/m-{'1' * 32}/artifacts/c", "mine/d"
    for path in (lost, lately, stray):
        upload(server.stack, path)
    for path in (lost, stray):
        os.utime(server.artifacts / path, (1, 1))
    told = server.clean()
    assert changed(told) == []
    assert "Artifacts without a row: 1 folders, 1 files, " in shown(told)
    assert f"{experiment}/{'0' * 32}: 1 files, " in shown(told)
    assert "not where MLflow puts artifacts, and never deleted: " in shown(told)
    files = server.files()
    predicted = server.clean("--check", mlflow_maintenance_orphans="remove")
    assert server.files() == files
    removed = server.clean(mlflow_maintenance_orphans="remove")
    assert changed(removed) == changed(predicted) != []
    assert files - server.files() == {lost}
    assert run in server.ids()
    assert changed(server.clean(mlflow_maintenance_orphans="remove")) == []
    for path in (lately, stray):
        (server.artifacts / path).unlink()


def test_traces_have_an_age_of_their_own_by_experiment(server: Server) -> None:
    name = f"traces-{time.time_ns()}"
    experiment, other = server.experiment(name), server.experiment(f"other-{name}")
    began = "2020-01-01T00:00:00Z"
    old, new, elsewhere = server.trace(experiment, began), server.trace(experiment, now()), server.trace(other, began)
    assert changed(server.clean()) == []
    experiments = [{"name": name, "traces_for": "1d"}, {"name": "unknown"}, {"name": "misspelt", "traces_for": "1d"}]
    predicted = server.clean("--check", mlflow_maintenance_experiments=experiments)
    assert {old, new, elsewhere} < server.ids()
    done = server.clean(mlflow_maintenance_experiments=experiments)
    assert changed(done) == changed(predicted) != []
    assert "1 traces, 1 files, " in shown(done)
    assert "There is no experiment 'misspelt'" in shown(done)
    assert {old, new, elsewhere} - server.ids() == {old}
    assert (server.artifacts / experiment / "traces" / new).exists()
    assert not (server.artifacts / experiment / "traces" / old).exists()
    assert changed(server.clean(mlflow_maintenance_experiments=experiments)) == []


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def test_a_run_that_is_killed_is_ended_by_the_next_one(server: Server) -> None:
    experiment = server.experiment(f"killed-{time.time_ns()}")
    runs = [server.run(experiment) for _each in range(60)]
    server.delete("experiment", experiment)
    killed = 0
    for _each in range(6):
        before = len(server.ids())
        running = server.started()
        while running.poll() is None and len(server.ids()) == before:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.1))
        killed += running.poll() is None
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
    assert killed > 1
    report, error = server.started().communicate(timeout=300)
    assert error == ""
    assert json.loads(report)["failed"] == []
    assert server.ids().isdisjoint({*runs, experiment})
    assert not (server.artifacts / experiment).exists()
    last, _error = server.started().communicate(timeout=300)
    assert json.loads(last)["removed"] == []


def test_a_database_that_does_not_answer(server: Server) -> None:
    server.stack.stop()
    try:
        failed = messages(server.stack.play("maintenance"))
        assert len(failed) == 1
        assert "mlflow_maintenance: " in failed[0]
        assert "Connection refused" in failed[0]
        assert "Traceback" not in failed[0]
    finally:
        server.stack.up()
