"""The embedded server on servers that it did not start: an external PostgreSQL and S3, and then a folder."""
from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import boto3
import psycopg2
import pytest
from deployment import Deployment, TaskResult, changed
from harness import Stack
from test_embedded_safety import login
from test_site import answers, processes, request

pytestmark = pytest.mark.slow
#: Characters that a URI, a shell, YAML and PostgreSQL's connection strings each read in their own way.
PASSWORD = "p%40 w'd\"$HOME\\:#@/é"
LOGGED = "/api/2.0/mlflow-artifacts/artifacts/0/a%20folder/model.bin"


@pytest.fixture(scope="module")
def guest(stack: Stack) -> Iterator[Deployment]:
    """A deployment, not there yet, whose database and bucket are to be on the servers of the shared stack."""
    external = {
        "postgresql_provider": "external", "postgresql_host": stack.pg_host, "postgresql_port": stack.pg_port, "postgresql_ssl_mode": "disable",
        "postgresql_database": "guest", "postgresql_auth_database": "guest_auth", "postgresql_user": "guest/1", "postgresql_password": PASSWORD,
        "postgresql_admin_password": stack.pg_password.strip(), "mlflow_server_auth": "basic",
        "artifact_store_provider": "external_s3", "artifact_store_endpoint_url": stack.s3_endpoint, "artifact_store_bucket": "guest",
        "artifact_store_access_key": stack.s3_access_key, "artifact_store_secret_key": stack.s3_secret_key.strip(),
    }  # fmt: skip
    deployment = Deployment("guest", 27500, external)
    deployment.remove()
    yield deployment
    deployment.remove()
    address = f"host={stack.pg_host} port={stack.pg_port} user={stack.pg_user} dbname=postgres"
    with closing(psycopg2.connect(address, password=stack.pg_password.strip())) as session:
        session.autocommit = True
        for statement in ("DROP DATABASE IF EXISTS guest", "DROP DATABASE IF EXISTS guest_auth", 'DROP ROLE IF EXISTS "guest/1"'):
            session.cursor().execute(statement)


@pytest.fixture(scope="module")
def first(guest: Deployment) -> tuple[list[TaskResult], list[TaskResult]]:
    """What check mode predicts on a machine that has nothing, and the run."""
    predicted = guest.up("--check")
    assert not guest.home.exists(), "check mode wrote"
    return predicted, guest.up()


def test_it_is_verified_and_a_second_run_changes_nothing(guest: Deployment, first: tuple[list[TaskResult], list[TaskResult]]) -> None:
    predicted, run = first
    assert changed(predicted) == changed(run)
    assert any(result.name.endswith("Report the result of the verification") and "load the model" in result.message for result in run)
    assert changed(guest.up()) == []
    assert changed(guest.up("--check")) == []


def test_nothing_but_mlflow_runs(guest: Deployment, first: object) -> None:
    commands = " ".join(processes(guest).values())
    assert "uvicorn" in commands
    assert "postgres -c" not in commands
    assert "weed" not in commands
    assert PASSWORD not in commands


def test_the_secrets_are_private(guest: Deployment, first: object) -> None:
    files = {path.name: path for path in (guest.home / "secrets").iterdir()}
    assert files["postgresql_external_password"].read_text() == PASSWORD
    assert "artifact_store_external_secret_key" in files
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}


def test_an_artifact_is_in_the_external_bucket(guest: Deployment, first: object, stack: Stack) -> None:
    assert request(guest.first_port, LOGGED, login(guest), "PUT")[0] == 200
    keys = {"aws_access_key_id": stack.s3_access_key, "aws_secret_access_key": stack.s3_secret_key.strip()}
    client = boto3.client("s3", endpoint_url=stack.s3_endpoint, region_name="us-east-1", **keys)
    found = [entry["Key"] for entry in client.list_objects_v2(Bucket="guest")["Contents"]]
    assert "artifacts/0/a folder/model.bin" in found


# A folder, where the server that has run had another store


@pytest.fixture
def on_folder(guest: Deployment, first: object) -> Iterator[Path]:
    """A folder that is not there yet, as the artifact store."""
    folder = Path("/var/tmp") / f"mlops-mlflow-artifacts-{os.getpid()}"
    before = dict(guest.variables)
    guest.variables.update(artifact_store_provider="folder", artifact_store_path=str(folder))
    yield folder
    guest.variables.clear()
    guest.variables.update(before)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_folder_is_the_store_once_it_is_marked(guest: Deployment, on_folder: Path) -> None:
    """A folder that is not there, or was never used, may be one that is not mounted."""
    for state in ("does not exist", "is not a folder that it has used"):
        failed = [result.message for result in guest.play("site") if result.failed]
        assert len(failed) == 1
        assert f"artifact_store_path: MLflow has run here before, but '{on_folder}' {state}" in failed[0]
        assert answers(guest.first_port, "/health")
        on_folder.mkdir(mode=0o755, exist_ok=True)
    (on_folder / ".mlops-mlflow").touch()
    refused = [result.message for result in guest.play("site") if result.failed]
    assert len(refused) == 1
    assert f"cannot write to '{on_folder}'" in refused[0]
    os.chown(on_folder, guest.home.stat().st_uid, -1)
    assert changed(guest.up("--check")) == changed(guest.up())
    assert changed(guest.up()) == []
    assert request(guest.first_port, LOGGED, login(guest), "PUT")[0] == 200
    assert (on_folder / "0/a folder/model.bin").exists()
    guest.remove()
    assert (on_folder / "0/a folder/model.bin").exists(), "what is outside the stack's folder is not removed"


def test_a_new_stack_makes_its_folder(guest: Deployment, on_folder: Path) -> None:
    """Also where no provider is named."""
    guest.variables.update(artifact_store_provider=None, artifact_store_path="", embedded_fresh_start=True)
    # The databases are there, with their schemas and the administrator of an earlier stack, of which check mode knows nothing before a client is
    # installed that can ask.
    unknown = {
        "mlops.mlflow.postgresql : Create the external databases", "mlops.mlflow.mlflow_server : Migrate the schema of the embedded database",
        "mlops.mlflow.mlflow_server : Set the administrator's password to the one in its file",
    }  # fmt: skip
    predicted, made = changed(guest.up("--check")), changed(guest.up())
    assert [name for name in predicted if name not in unknown] == [name for name in made if name not in unknown]
    assert len(made) > 5
    assert changed(guest.up()) == []
    assert (guest.home / "artifacts/.mlops-mlflow").exists()
    assert not (guest.home / "artifact-store").exists()
