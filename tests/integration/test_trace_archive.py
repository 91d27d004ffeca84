"""Old traces of real embedded stacks are archived by the maintenance, from where the server reads them as before, and backups have them."""
from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from backups import API, Backups, lose, made, messages, upload
from deployment import Deployment, TaskResult, changed
from harness import ROOT, python
from tracking_servers import client_of

pytestmark = pytest.mark.slow

CLEANED = "mlops.mlflow.mlflow_maintenance : Delete for good what was deleted long ago, and archive old traces"
#: Traces of two spans by MLflow's own client, each with the name of its experiment and its age in days. It prints their identifiers.
MAKE = """
import json, sys, time, mlflow
client, made = mlflow.MlflowClient(), []
for name, days in json.loads(sys.argv[1]):
    experiment = client.get_experiment_by_name(name)
    id_ = experiment.experiment_id if experiment else client.create_experiment(name)
    began = time.time_ns() - int(days * 86400e9)
    root = client.start_trace("chat", experiment_id=id_, inputs={"question": f"{name}, {days} days ago?"}, start_time_ns=began)
    span = client.start_span("model", trace_id=root.trace_id, parent_id=root.span_id, start_time_ns=began + 10**6)
    client.end_span(root.trace_id, span.span_id, outputs={"tokens": 7}, end_time_ns=began + 2 * 10**6)
    client.end_trace(root.trace_id, outputs={"answer": "42"}, end_time_ns=began + 3 * 10**6)
    made.append(root.trace_id)
mlflow.flush_trace_async_logging(terminate=True)
print(json.dumps(made))
"""
#: What the server says of their spans to MLflow's own client, and to the page.
READ = """
import json, os, sys, mlflow, requests
client, login = mlflow.MlflowClient(), (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"])
where = os.environ["MLFLOW_TRACKING_URI"] + "/ajax-api/2.0/mlflow/get-trace-artifact"
def page(trace):
    answer = requests.get(where, params={"request_id": trace}, auth=login, timeout=60)
    answer.raise_for_status()
    return answer.json()
print(json.dumps({trace: [client.get_trace(trace).data.to_dict(), page(trace)] for trace in sys.argv[1:]}))
"""


class Server:
    """A stack, its backups, and its traces."""

    def __init__(self, backups: Backups) -> None:
        self.backups, self.stack = backups, backups.stack

    @property
    def artifacts(self) -> Path:
        return self.stack.home / "artifacts"

    def make(self, *wanted: tuple[str, float]) -> list[str]:
        """Make a trace of each experiment and age."""
        return list(python(self.stack.stack(), MAKE, json.dumps(wanted)))

    def read(self, *traces: str) -> dict[str, Any]:
        """What the server says of the traces."""
        return dict(python(self.stack.stack(), READ, *traces))

    def sql(self, statement: str, *values: Any) -> list[Any]:
        there = self.stack.stack()
        login: dict[str, Any] = {"user": there.pg_user, "password": there.pg_password, "dbname": "mlflow"}
        with closing(psycopg2.connect(host=there.pg_host, port=there.pg_port, **login)) as session, session.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def archived(self) -> dict[str, str]:
        """Where the traces are that are archived, whose spans the database has no more."""
        query = "SELECT request_id, value FROM trace_tags WHERE key = 'mlflow.trace.archiveLocation'"
        found = dict(self.sql(query))
        empty = {row[0] for row in self.sql("SELECT trace_id FROM spans GROUP BY trace_id HAVING max(length(content)) = 0")}
        assert empty == found.keys()
        return found

    def rows(self) -> list[Any]:
        """What archiving changes."""
        return [*self.sql("SELECT * FROM trace_tags ORDER BY 1, 2"), *self.sql("SELECT trace_id, span_id, content FROM spans ORDER BY 1, 2")]

    def files(self) -> set[str]:
        return {str(path.relative_to(self.artifacts)) for path in self.artifacts.rglob("*") if path.is_file()}

    def maintain(self, *arguments: str, **variables: Any) -> list[TaskResult]:
        """The playbook, which must not fail."""
        results = self.stack.play("maintenance", *arguments, **variables)
        assert messages(results) == []
        return results

    def scheduled(self, **archive: Any) -> subprocess.Popen[str]:
        """What a schedule starts, as it starts it."""
        folder = self.backups.folder / "program"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for path in [*(ROOT / "roles/mlflow_maintenance/files").glob("*.py"), ROOT / "roles/mlflow_backup/files/backup_lock.py"]:
            shutil.copy(path, folder)
        home = self.stack.home
        (folder / "settings.json").write_text(json.dumps({
            "check": False, "deletes": False, "environment_file": f"{home}/mlflow/server.env", "home": str(home), "traces_for": -1,
            "traces_by_experiment": {}, "archive": {"after": 30 * 86_400_000, "by_experiment": {}, "location": "", **archive},
        }))  # fmt: skip
        user: dict[str, Any] = {"user": home.stat().st_uid, "group": home.stat().st_gid, "extra_groups": []} if os.getuid() == 0 else {}
        command = [str(home / "venv/bin/python"), str(folder / "archive_run.py")]
        return subprocess.Popen(command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **user)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    for backups in made("archive", 27960, artifact_store_provider=None, mlflow_server_default_permission="READ"):
        yield Server(backups)


def shown(results: list[TaskResult]) -> str:
    """What the playbook says that it has done, or would do."""
    return next(result.message for result in results if result.name.endswith("Show what was deleted and archived"))


def test_old_traces_are_archived_and_read_as_before(server: Server) -> None:
    wanted = [("chat", 40.0), ("chat", 20.0), ("kept", 40.0), ("longer", 40.0), ("longer", 100.0), ("deleted", 40.0)]
    traces = server.make(*wanted)
    old, young, kept, longer, longest, deleted = traces
    with closing(client_of(server.stack.stack())) as client:
        hidden = client.get(f"{API}/experiments/get-by-name", experiment_name="deleted")["experiment"]["experiment_id"]
        client.write("POST", f"{API}/experiments/delete", {"experiment_id": hidden}, idempotent=False)
        ids = {name: client.get(f"{API}/experiments/get-by-name", experiment_name=name)["experiment"]["experiment_id"] for name in ("chat", "longer")}
    before, rows, files = server.read(*traces), server.rows(), server.files()
    assert all(each[0]["spans"] == each[1]["spans"] != [] for each in before.values())
    variables = {
        "mlflow_maintenance_traces_archived_after": "30d",
        "mlflow_maintenance_experiments": [{"name": "kept", "traces_archived_after": "never"}, {"name": "longer", "traces_archived_after": "90d"}],
    }

    checked = server.maintain("--check", **variables)
    assert (server.rows(), server.files()) == (rows, files)
    done = server.maintain(**variables)
    assert changed(checked) == changed(done) == [CLEANED]
    assert shown(checked).replace("Would archive", "Archived").replace("Would delete", "Deleted") == shown(done)
    assert "Archived: 2 traces" in shown(done)

    places = {old: f"{ids['chat']}/traces/{old}/artifacts", longest: f"{ids['longer']}/traces/{longest}/artifacts"}
    assert server.archived() == {trace: f"file://{server.artifacts}/{place}" for trace, place in places.items()}
    assert server.files() - files == {f"{place}/traces.pb" for place in places.values()}
    assert server.read(*traces) == before
    assert "TRACE_ARCHIVAL" not in (server.stack.home / "mlflow/server.env").read_text()
    assert not {young, kept, longer, deleted} & server.archived().keys()

    rows = server.rows()
    again = server.maintain(**variables)
    assert changed(again) == []
    assert "Archived: no traces" in shown(again)
    assert server.rows() == rows

    # What is archived is deleted as other traces are.
    server.maintain(mlflow_maintenance_experiments=[{"name": "longer", "traces_for": "90d"}])
    assert server.archived().keys() == {old}
    assert not (server.artifacts / ids["longer"] / "traces" / longest).exists()


def test_the_permissions_of_its_experiment_protect_an_archived_trace(server: Server) -> None:
    """Where no path begins with an experiment, the default permission decides, so that no archive may be there."""
    (old,) = server.make(("secret", 40.0))
    server.maintain(mlflow_maintenance_traces_archived_after="30d")
    upload(server.stack, f"archive/traces/{old}/artifacts/traces.pb")
    guest, password = f"guest-{time.time_ns()}", "a long password"
    with closing(client_of(server.stack.stack())) as client:
        id_ = client.get(f"{API}/experiments/get-by-name", experiment_name="secret")["experiment"]["experiment_id"]
        client.write("POST", f"{API}/users/create", {"username": guest, "password": password}, idempotent=False)
        grant = {"username": guest, "resource_type": "experiment", "resource_id": id_, "permission": "DENY"}
        client.write("POST", "/api/3.0/mlflow/users/permissions/grant", grant, idempotent=False)

    def status(path: str) -> int:
        login = base64.b64encode(f"{guest}:{password}".encode()).decode()
        where = f"{server.stack.stack().tracking_uri}/api/2.0/mlflow-artifacts/artifacts/{path}/traces/{old}/artifacts/traces.pb"
        try:
            with urllib.request.urlopen(urllib.request.Request(where, headers={"Authorization": f"Basic {login}"}), timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refusal:
            return refusal.code

    assert (status(id_), status("archive")) == (403, 200)
    location = f"{server.artifacts}/archive"
    results = server.stack.play("maintenance", mlflow_maintenance_traces_archived_after="30d", mlflow_maintenance_archive_location=location)
    (failed,) = messages(results)
    assert f"mlflow_maintenance_archive_location: '{location}' is among the artifacts, where MLflow's default permission decides" in failed
    (server.artifacts / f"archive/traces/{old}/artifacts/traces.pb").unlink()


def test_a_name_without_an_experiment_is_an_error_before_anything_is_done(server: Server) -> None:
    (old,) = server.make(("misspelt", 40.0))
    experiments = [{"name": "mispelt", "traces_archived_after": "never"}]
    results = server.stack.play("maintenance", mlflow_maintenance_traces_archived_after="30d", mlflow_maintenance_experiments=experiments)
    assert changed(results) == []
    (failed,) = messages(results)
    assert "mlflow_maintenance_experiments: there is no experiment 'mispelt', for which traces_archived_after is set; correct its name" in failed
    assert old not in server.archived()


def test_a_store_that_refuses_fails_the_run_and_loses_nothing(server: Server) -> None:
    refused, other = server.make(("refused", 50.0), ("other", 40.0))
    before = server.read(refused, other)
    folder = server.artifacts / str(server.sql("SELECT experiment_id FROM trace_info WHERE request_id = %s", refused)[0][0])
    folder.mkdir(exist_ok=True)
    os.chown(folder, server.stack.home.stat().st_uid, server.stack.home.stat().st_gid)
    folder.chmod(0o555)
    try:
        results = server.stack.play("maintenance", mlflow_maintenance_traces_archived_after="30d")
        (failed,) = messages(results)
        assert f"mlflow_maintenance: trace {refused} could not be archived ([Errno 13] Permission denied" in failed
    finally:
        folder.chmod(0o755)
    assert refused not in server.archived()
    assert other in server.archived()
    assert server.read(refused, other) == before
    assert changed(server.maintain(mlflow_maintenance_traces_archived_after="30d")) == [CLEANED]
    assert refused in server.archived()
    assert server.read(refused, other) == before


def test_a_schedule_archives_once_no_backup_is_made(server: Server) -> None:
    (old,) = server.make(("scheduled", 40.0))
    server.maintain()
    lock = server.stack.home / "backup/lock"
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with server.scheduled() as running:
            deadline = time.monotonic() + 60
            while str(lock) not in [os.path.realpath(path) for path in Path(f"/proc/{running.pid}/fd").iterdir()]:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            time.sleep(2)
            assert running.poll() is None
            assert old not in server.archived()
            fcntl.flock(held, fcntl.LOCK_UN)
            stdout, stderr = running.communicate(timeout=120)
    assert (running.returncode, stderr) == (0, "")
    assert stdout.startswith("Archived: 1 traces\n  1 of experiment ")
    assert old in server.archived()
    with server.scheduled(by_experiment={"unknown": 0}) as failing:
        _stdout, stderr = failing.communicate(timeout=120)
    assert failing.returncode == 1
    assert stderr.startswith("mlflow_maintenance_experiments: there is no experiment 'unknown'")


def test_archived_traces_are_in_backups_and_come_back(server: Server) -> None:
    (old,) = server.make(("backed-up", 40.0))
    before = server.read(old)
    server.maintain(mlflow_maintenance_traces_archived_after="30d")
    places = server.archived()
    assert old in places
    server.backups.back_up()
    lose(server.stack)
    server.backups.restore()
    assert server.archived() == places
    assert server.read(old) == before


def test_what_was_archived_elsewhere_is_found_where_it_was_moved_to(server: Server) -> None:
    elsewhere = server.stack.home / "elsewhere"
    elsewhere.mkdir()
    os.chown(elsewhere, server.stack.home.stat().st_uid, server.stack.home.stat().st_gid)
    (old,) = server.make(("moved", 40.0))
    before = server.read(old)
    variables = {"mlflow_maintenance_traces_archived_after": "30d"}
    told = server.maintain(**variables, mlflow_maintenance_archive_location=str(elsewhere))
    assert server.archived()[old].startswith(f"file://{elsewhere}/")
    assert f"Archived traces are in '{elsewhere}', which is not among the artifacts, and so in no set of mlflow_backup" in shown(told)
    assert server.read(old) == before
    # Nothing is looked for where it is not.
    assert changed(server.maintain(**variables)) == []
    subprocess.run(["cp", "-a", f"{elsewhere}/.", server.artifacts], check=True)
    shutil.rmtree(elsewhere)
    checked = server.maintain("--check", **variables)
    assert server.archived()[old].startswith(f"file://{elsewhere}/")
    assert changed(server.maintain(**variables)) == changed(checked) == [CLEANED]
    assert server.archived()[old].startswith(f"file://{server.artifacts}/")
    assert server.read(old) == before


def test_artifacts_in_s3_have_the_archive_beside_them() -> None:
    """Behind the server's proxy, which the archive does without."""
    stack = Deployment("archive-s3", 27980, {"mlflow_server_auth": "basic", "artifact_store_provider": "embedded"})
    backups = Backups(stack)
    try:
        stack.deploy()
        server = Server(backups)
        old, young = server.make(("chat", 40.0), ("chat", 1.0))
        before = server.read(old, young)
        assert changed(server.maintain(mlflow_maintenance_traces_archived_after="30d")) == [CLEANED]
        assert {trace: place.partition("/traces/")[2] for trace, place in server.archived().items()} == {old: f"{old}/artifacts"}
        assert server.archived()[old].startswith("s3://")
        assert server.read(old, young) == before
        assert changed(server.maintain(mlflow_maintenance_traces_archived_after="30d")) == []
    finally:
        stack.remove()
        backups.forget()
