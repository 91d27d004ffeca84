"""What is decided about backups, and what the programs on the host make of files, without a stack and without restic."""
from __future__ import annotations

import bz2
import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import backup
import backup_lock
import backup_repository
import backup_source
import deployments
import pytest
import restore
import variants
from backup_repository import BackupError
from backup_source import Server

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import backup as decisions
from roles import CLUSTER, Role

PLACE = {
    "home": "/s", "user": "me", "as_user": [], "mlflow_version": "3.17.2", "has_run": True, "is_being_restored": False, "has_systemd": False,
    "unit": "/u/mlops-mlflow-s.service",
}  # fmt: skip
LOOKED = {"set": "0123456789", "manifest": {"mlflow": "3.17.2", "made": "2026-01-01T00:00:00Z"}, "occupied": []}


@pytest.fixture(scope="module")
def role() -> Role:
    return Role("mlflow_backup", embedded_place=PLACE, groups={}, ansible_check_mode=False, mlflow_backup_password="p")


@pytest.mark.parametrize(("variable", "value", "says"), [
    ("repository", "/s/backups", "mlflow_backup_repository: '/s/backups' is in embedded_home, and would be lost with it"),
    ("repository", "/s", "mlflow_backup_repository: '/s' is in embedded_home"),
    ("repository", "backups", "mlflow_backup_repository: 'backups' is neither an absolute path nor an address that restic knows"),
    ("keep_weekly", -1, "mlflow_backup_keep_weekly: -1 is negative"),
    ("environment", {"RESTIC_PASSWORD": "x"}, "mlflow_backup_environment: RESTIC_PASSWORD is set by mlflow_backup_password"),
    ("schedule", "daily", "mlflow_backup_schedule: is 'daily', but systemd does not run this machine"),
])
def test_what_is_wrong_with_the_variables(role: Role, variable: str, value: Any, says: str) -> None:
    found = role.decided("problems", **{f"mlflow_backup_{variable}": value})
    assert len(found) == 1
    assert found[0].startswith(says)


def test_the_defaults_and_a_repository_elsewhere_are_right(role: Role) -> None:
    assert role.decided("problems") == []
    assert role.decided("problems", mlflow_backup_repository="s3:https://s3.example.com/backups") == []
    assert role.said("__mlflow_backup_repository") == "/s-backups"


def test_the_programs_are_given_what_they_read(role: Role) -> None:
    request = role.decided("request", mlflow_backup_environment={"AWS_ACCESS_KEY_ID": "k"}, mlflow_backup_keep_daily="3")
    assert request == {
        "home": "/s", "repository": "/s-backups", "password": "p", "environment": {"AWS_ACCESS_KEY_ID": "k"},
        "restic": ["restic", "/s/backup/restic-0.18.1"], "keep": {"daily": 3, "weekly": 4, "monthly": 6}, "set": "latest", "replace": False,
    }  # fmt: skip


def test_only_a_stack_that_has_run_is_backed_up(role: Role) -> None:
    assert role.decided("backup_problem") == ""
    assert role.decided("backup_problem", embedded_place={**PLACE, "has_run": False}).startswith("embedded_home: no MLflow server has run in '/s'; ")
    assert role.decided("backup_problem", embedded_place={**PLACE, "is_being_restored": True}).startswith("embedded_home: '/s' is half restored, and")


def test_a_restic_that_is_named_is_not_downloaded(role: Role) -> None:
    assert set(role.decided("ready")["archives"]) == {"x86_64", "aarch64"}
    named = role.decided("ready", mlflow_backup_restic="/opt/restic")
    assert (named["restic"], named["archives"]) == (["/opt/restic"], {})


@pytest.mark.parametrize(("looked", "given", "says"), [
    ({}, {}, ""),
    ({"manifest": {"mlflow": "3.16.1"}}, {}, ""),
    ({"manifest": {"mlflow": "3.18.0"}}, {}, "embedded_mlflow_version: 3.17.2 is older than 3.18.0, of which set 01234567 is"),
    ({"manifest": {"mlflow": "3.17.2", "home": "/backup/home"}}, {}, "mlflow_backup_set: set 01234567 is of a server in a cluster"),
    ({"occupied": ["/s/postgresql/data"]}, {}, "embedded_home: '/s' holds data already (/s/postgresql/data); choose another embedded_home"),
    ({"occupied": ["/s/postgresql/data"]}, {"mlflow_backup_replace": True}, ""),
])
def test_what_may_be_restored_where(role: Role, looked: dict[str, Any], given: dict[str, Any], says: str) -> None:
    found = role.decided("restore_problem", __mlflow_backup_looked={"stdout": json.dumps({**LOOKED, **looked})}, **given)
    assert found.startswith(says)
    assert bool(found) == bool(says)


def test_the_data_are_restored_through_what_the_roles_publish() -> None:
    database = {"uri": "u", "auth_uri": "a", "environment": {"PGSSLMODE": "x"}, "secret_environment": {"PGPASSWORD": {"file": "/f"}}, "host": "h"}
    store = {"destination": "/a", "environment": {}, "secret_environment": {}, "volumes": []}
    variables = {
        "mlflow_backup_repository": "/b", "mlflow_backup_environment": {}, "mlflow_backup_restic": "r", "mlflow_backup_set": "latest",
        "mlflow_backup_replace": False, **{f"mlflow_backup_keep_{period}": 1 for period in ("daily", "weekly", "monthly")},
    }  # fmt: skip
    made = decisions.data_request({"variables": variables, "place": PLACE, "password": "p", "database": database, "store": store})
    assert made["database"]["uris"] == {"tracking": "u", "authentication": "a"}
    assert made["store"] == {"destination": "/a", "environment": {}, "secret_environment": {}}


@pytest.fixture(scope="module")
def in_cluster() -> Role:
    """The role where its tasks have read a server in a cluster."""
    there = deployments.backup()
    return Role(
        "mlflow_backup", **CLUSTER, kubernetes_workloads=[{"name": "mlflow", "annotations": {}}], mlflow_backup_password="p",
        mlflow_backup_repository="s3:http://minio:9000/backups", __mlflow_backup_owned={"owned": there["owned"]},
        __mlflow_backup_read={"results": [{"resources": [there["deployment"]]}, {"resources": there["stateful_sets"]}, {"msg": "forbidden"}]},
        __mlflow_backup_secret={"resources": []},
    )  # fmt: skip


def test_what_the_tasks_have_read_in_the_cluster_is_what_is_decided_from(in_cluster: Role) -> None:
    assert in_cluster.said("mlflow_backup_runtime") == "kubernetes"
    assert in_cluster.decided("cluster_problems") == []
    made = {each["kind"]: each for each in in_cluster.decided("cluster_objects", mlflow_backup_schedule="@daily")["objects"]}
    assert made.keys() == {"ServiceAccount", "ConfigMap", "NetworkPolicy", "CronJob"}
    files = {path.name for path in (in_cluster.path / "files").iterdir() if path.is_file()}
    assert made["ConfigMap"]["data"].keys() == files
    # Services that may not be listed: any of them may be meant.
    assert {"to": [{"namespaceSelector": {}}]} in made["NetworkPolicy"]["spec"]["egress"]
    assert json.loads(in_cluster.decided("cluster_secret")["settings.json"])["password"] == "p"
    assert "made-in" not in in_cluster.decided("cluster_secret")
    assert in_cluster.decided("cluster_secret", __mlflow_backup_is_made=True)["made-in"] == "s3:http://minio:9000/backups"
    assert in_cluster.decided("cluster_job")["metadata"]["name"] == in_cluster.said("__mlflow_backup_object") == "mlflow-backup"


def test_what_the_tasks_of_a_restore_have_read_is_what_is_decided_from(in_cluster: Role) -> None:
    read = {"results": [{"resources": []}, *in_cluster.variables["__mlflow_backup_read"]["results"][1:]]}
    manifest = {"mlflow": "3.17.2", "home": "/backup/home"}
    looked = {"set": "0123456789", "mlflow": "3.17.2", "manifest": manifest, "occupied": "", "secrets": {"mlflow": {}}}
    given: dict[str, Any] = {
        "__mlflow_backup_read": read, "__mlflow_backup_published": variants.RESTORED, "__mlflow_backup_looked": {"stdout": json.dumps(looked)},
        "__mlflow_backup_server": "mlflow", "__mlflow_backup_keys": {"resources": []},
    }  # fmt: skip
    assert in_cluster.decided("cluster_problems", **given) == []
    assert in_cluster.decided("cluster_restore_problem", **given).startswith("mlflow_server_name: set 01234567 has no Secret 'mlflow'")
    given["__mlflow_backup_looked"] = {"stdout": json.dumps({**looked, "secrets": {"mlflow": {"webhook-key": "w"}}})}
    assert in_cluster.decided("cluster_restore_problem", **given) == ""
    assert [each["kind"] for each in in_cluster.decided("cluster_restored_secrets", **given)] == ["Secret"]
    assert in_cluster.decided("cluster_restore_job", **given)["kind"] == "Job"
    assert in_cluster.said("__mlflow_backup_given.deployment | length", **given) == 0


# Files


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A stack that has run."""
    uri = "MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2://mlflow@127.0.0.1:25432/mlflow"
    password = shlex.quote("it's")
    put(tmp_path / "mlflow/server.env", f"# MLflow 3.17.2\n{uri}\nMLFLOW_ARTIFACTS_DESTINATION=/data/a\nPGPASSWORD={password}\nPGSSLMODE=require\n")
    put(tmp_path / "mlflow/auth.ini", "[mlflow]\ndatabase_uri = postgresql+psycopg2://ml%%40x@127.0.0.1:25432/mlflow_auth\n")
    return tmp_path


def test_a_server_is_read_from_its_own_files(home: Path) -> None:
    server = Server(home)
    assert (server.mlflow_version, server.store) == ("3.17.2", "/data/a")
    first, second = server.databases
    assert (first.purpose, first.name, first.libpq["PGUSER"]) == ("authentication", "mlflow_auth", "ml@x")
    assert second.libpq == {
        "PGHOST": "127.0.0.1", "PGPORT": "25432", "PGUSER": "mlflow", "PGDATABASE": "mlflow", "PGPASSWORD": "it's", "PGSSLMODE": "require",
    }  # fmt: skip


def test_a_server_without_authentication_has_one_database(home: Path) -> None:
    (home / "mlflow/auth.ini").unlink()
    assert [database.purpose for database in Server(home).databases] == ["tracking"]


def test_no_set_is_made_while_a_rotation_of_keys_is_unfinished(home: Path) -> None:
    put(home / "rotation.json", '{"values": {"mlflow_webhook_key": "k"}}')
    with pytest.raises(BackupError, match="mlflow_backup: a rotation of keys was interrupted, so that a set might lack them; run"):
        backup.back_up({"home": str(home)})
    assert backup.read_state(home)["failed"]["problem"].startswith("mlflow_backup: a rotation of keys was interrupted")


def test_a_folder_without_a_server_is_said_to_have_none(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="embedded_home: no MLflow server has run in '"):
        assert Server(tmp_path).databases


def test_data_are_in_the_way_of_a_restore_unless_one_has_begun(tmp_path: Path) -> None:
    put(tmp_path / "artifacts/.mlops-mlflow", "")
    put(tmp_path / "venv/bin/python", "")
    assert backup_repository.occupied(tmp_path) == []
    put(tmp_path / "postgresql/data/PG_VERSION", "18")
    put(tmp_path / "artifacts/0/a", "")
    assert backup_repository.occupied(tmp_path) == [str(tmp_path / "artifacts"), str(tmp_path / "postgresql/data")]
    put(tmp_path / "backup/restoring.json", "{}")
    assert backup_repository.occupied(tmp_path) == []


def test_what_is_noted_of_backups_survives_a_file_that_was_cut(tmp_path: Path) -> None:
    put(tmp_path / "backup/state.json", '{"backup": {"set"')
    assert backup.read_state(tmp_path) == {}
    backup.write_state(tmp_path, drill={"set": "a"})
    backup.write_state(tmp_path, backup={"set": "b"})
    assert backup.read_state(tmp_path) == {"drill": {"set": "a"}, "backup": {"set": "b"}}


# The lock


def test_what_is_at_work_is_told_and_waited_for_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert backup_lock.at_work(tmp_path) == ""
    with backup_lock.alone(tmp_path, "a restore", BackupError):
        told = backup_lock.at_work(tmp_path)
        assert re.fullmatch(
            rf"embedded_home: '{tmp_path}' is in use, a restore has been running since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ \(process {os.getpid()}, or "
            r"what it has started\); wait until it has ended, then run this again", told,
        )  # fmt: skip
        monkeypatch.setattr(backup_lock, "PATIENCE", -1)
        with pytest.raises(BackupError, match="a restore has been running since"), backup_lock.alone(tmp_path, "a backup", BackupError):
            pass
    assert backup_lock.at_work(tmp_path) == ""


def test_what_a_killed_program_has_started_holds_its_lock(tmp_path: Path) -> None:
    program = (
        "import os, subprocess, sys; from pathlib import Path; from backup_lock import alone\n"
        "with alone(Path(sys.argv[1]), 'a backup', OSError) as lock: subprocess.Popen(['sleep', '60'], pass_fds=[lock]); os.kill(os.getpid(), 9)"
    )
    place = {**os.environ, "PYTHONPATH": str(Path(backup_lock.__file__).parent)}
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], env=place, start_new_session=True) as killed:
        killed.wait()
        try:
            assert "a backup has been running since 20" in backup_lock.at_work(tmp_path)
        finally:
            os.killpg(killed.pid, signal.SIGKILL)
    with backup_lock.alone(tmp_path, "a backup", BackupError):
        assert f"(process {os.getpid()}, " in backup_lock.at_work(tmp_path)


def test_no_set_is_made_of_what_is_half_restored(tmp_path: Path) -> None:
    put(tmp_path / "backup/restoring.json", '{"set": "a"}')
    with pytest.raises(BackupError, match="is half restored, and no set is made of it"):
        backup.back_up({"home": str(tmp_path)})
    assert "half restored" in backup.read_state(tmp_path)["failed"]["problem"]


def test_a_restore_does_not_write_over_what_another_one_has_restored(tmp_path: Path) -> None:
    put(tmp_path / "postgresql/data/PG_VERSION", "18")
    with pytest.raises(BackupError, match="holds data now .*, which another run has restored"):
        restore.restore_files({"home": str(tmp_path)})


def test_files_are_counted(tmp_path: Path) -> None:
    put(tmp_path / "a/b", "12345")
    put(tmp_path / "c", "6")
    assert backup_source.weight(tmp_path) == {"files": 2, "bytes": 6}


# The download of restic


class Archive(BaseHTTPRequestHandler):
    """Serves a program that calls itself restic, compressed."""

    content = bz2.compress(b"#!/bin/sh\necho restic 0.18.1 compiled\n")

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_words: Any) -> None:
        pass


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Archive)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/restic.bz2"
    server.shutdown()
    server.server_close()


def fetch_request(home: Path, url: str, sha256: str) -> dict[str, Any]:
    archives = {machine: {"url": url, "sha256": sha256} for machine in ("x86_64", "aarch64")}
    path = f"{home}/backup/restic-0.18.1"
    return {"home": str(home), "restic": [f"{home}/no-restic", path], "archives": archives, "path": path, "check": False}


def test_restic_is_downloaded_once_into_a_folder_that_is_marked(tmp_path: Path, archive: str) -> None:
    home = tmp_path / "home"
    request = fetch_request(home, archive, hashlib.sha256(Archive.content).hexdigest())
    assert backup_repository.fetch({**request, "check": True}) == {"fetched": True}
    assert not home.exists()
    assert backup_repository.fetch(request) == {"fetched": True}
    assert backup_repository.fetch({**request, "archives": {}}) == {"fetched": False}
    assert sorted(entry.name for entry in home.iterdir()) == [".mlops-mlflow", "backup"]


def test_an_archive_with_another_checksum_is_not_used(tmp_path: Path, archive: str) -> None:
    found = hashlib.sha256(Archive.content).hexdigest()
    with pytest.raises(BackupError, match=f"mlflow_backup_restic: {archive} has the checksum {found}, not 00; "):
        backup_repository.fetch(fetch_request(tmp_path / "home", archive, "00"))
    assert not (tmp_path / "home").exists()


def test_what_is_not_restic_is_refused(tmp_path: Path) -> None:
    old = put(tmp_path / "restic", "#!/bin/sh\necho restic 0.14.0 compiled\n")
    old.chmod(0o755)
    request = {"restic": [str(old)], "environment": {}, "repository": "/r", "password": "p"}
    with pytest.raises(BackupError, match="mlflow_backup_restic: none of .* is restic 0.17 or later; install it, or set the path of one"):
        backup_repository.opened(request)


@pytest.mark.parametrize(("status", "says", "exists"), [
    (0, "", True),
    (10, "Fatal: repository does not exist", False),
    (1, "Fatal: unable to open config file: Stat: The specified bucket does not exist.", False),
])
def test_a_bucket_that_is_not_there_is_no_repository(tmp_path: Path, status: int, says: str, exists: bool) -> None:
    program = put(tmp_path / "restic", f"#!/bin/sh\necho '{says}' >&2\nexit {status}\n")
    program.chmod(0o755)
    assert backup_repository.Repository(str(program), "s3:http://s/b", "p").exists() is exists


def test_a_bucket_that_is_not_there_is_not_waited_for(tmp_path: Path) -> None:
    """That is what restic says, which asks again and again."""
    asks = "#!/bin/sh\nwhile :; do echo 'Stat(<config/>) returned error: Stat: The specified bucket does not exist' >&2; sleep 1; done\n"
    program = put(tmp_path / "restic", asks)
    program.chmod(0o755)
    assert not backup_repository.Repository(str(program), "s3:http://s/b", "p").exists()


def test_a_repository_that_cannot_be_opened_is_not_taken_for_none(tmp_path: Path) -> None:
    program = put(tmp_path / "restic", "#!/bin/sh\necho 'Fatal: unable to open config file: Stat: Access Denied.' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(BackupError, match="restic cannot use 's3:http://s/b': unable to open config file: Stat: Access Denied."):
        backup_repository.Repository(str(program), "s3:http://s/b", "p").exists()
