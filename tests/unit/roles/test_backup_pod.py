"""What the programs of backups in a cluster make of a pod's environment and mounts, without a cluster."""
from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import backup_pod
import pytest
from backup_repository import BackupError
from backup_source import Server, settings

from roles import ROLES

TOOLS = ROLES / "mlflow_backup/files/tools.sh"


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two Secrets as Kubernetes mounts them: each key is a link into a folder whose name begins with two dots."""
    monkeypatch.setattr(backup_pod, "version", lambda _package: "3.17.2")
    for name, values in {"mlflow": {"webhook-key": "w", "crypto-passphrase": "c\n"}, "postgresql": {"password": "it's"}}.items():
        folder = tmp_path / "secrets" / name
        (folder / "..2026").mkdir(parents=True)
        (folder / "..data").symlink_to("..2026")
        for key, value in values.items():
            (folder / "..2026" / key).write_text(value)
            (folder / key).symlink_to(f"..data/{key}")
    (tmp_path / "auth.ini").write_text("[mlflow]\ndatabase_uri = postgresql+psycopg2://mlflow@db:5432/mlflow_auth\n")
    return tmp_path


ENVIRONMENT = {
    "MLFLOW_BACKEND_STORE_URI": "postgresql+psycopg2://mlflow@db:5432/mlflow", "MLFLOW_ARTIFACTS_DESTINATION": "s3://b/p", "PGPASSWORD": "it's $1",
    "AWS_SECRET_ACCESS_KEY": "a b", "HOME": "/tmp", "BACKUP_AWS_ACCESS_KEY_ID": "k",
}  # fmt: skip


def test_the_programs_of_the_embedded_stack_read_the_server_of_a_pod(mounts: Path) -> None:
    home = mounts / "home"
    login = {"MLFLOW_AUTH_CONFIG_PATH": str(mounts / "auth.ini")}
    backup_pod.settle(home, {**ENVIRONMENT, **login}, mounts / "secrets", mounts)
    server = Server(home)
    assert (server.mlflow_version, server.store, server.is_basic, server.programs.resolve()) == ("3.17.2", "s3://b/p", True, mounts.resolve())
    found = [(database.purpose, database.libpq["PGPASSWORD"]) for database in server.databases]
    assert found == [("authentication", "it's $1"), ("tracking", "it's $1")]
    assert settings(home / "mlflow/server.env").keys() == {*ENVIRONMENT, *login} - {"HOME", "BACKUP_AWS_ACCESS_KEY_ID"}
    assert backup_pod.held(home / "secrets") == {"mlflow": {"webhook-key": "w", "crypto-passphrase": "c\n"}, "postgresql": {"password": "it's"}}
    assert (home / "secrets").stat().st_mode & 0o077 == 0


def test_users_of_a_login_within_the_server_are_in_the_set(mounts: Path) -> None:
    users = {"OIDC_USERS_DB_URI": "postgresql+psycopg2://mlflow@db:5432/mlflow_oidc", "OIDC_CLIENT_ID": "mlflow"}
    backup_pod.settle(mounts / "home", {**ENVIRONMENT, **users}, mounts / "secrets", mounts)
    server = Server(mounts / "home")
    assert [(database.purpose, database.name) for database in server.databases] == [("authentication", "mlflow_oidc"), ("tracking", "mlflow")]
    assert not server.is_basic


def test_no_set_is_made_while_a_rotation_is_unfinished(mounts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_pod, "ROTATION", mounts / "rotation")
    (mounts / "rotation").mkdir()
    (mounts / "rotation/rotates").write_text("kek")
    with pytest.raises(BackupError, match="a rotation of keys is not finished"):
        backup_pod.backup({"home": str(mounts / "home")})
    assert not (mounts / "home").exists()


def test_what_the_last_backup_has_left_stays_and_the_rest_is_made_anew(mounts: Path) -> None:
    home = mounts / "home"
    backup_pod.settle(home, {**ENVIRONMENT, "MLFLOW_AUTH_CONFIG_PATH": str(mounts / "auth.ini")}, mounts / "secrets", mounts)
    (home / "backup/mirror").mkdir()
    shutil.rmtree(mounts / "secrets/postgresql")
    backup_pod.settle(home, ENVIRONMENT, mounts / "secrets", mounts)
    assert (home / "backup/mirror").is_dir()
    assert backup_pod.held(home / "secrets").keys() == {"mlflow"}
    assert not Server(home).is_basic


def test_no_secret_stays_even_if_a_backup_fails(mounts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = mounts / "home"
    monkeypatch.setattr(backup_pod, "SECRETS", mounts / "secrets")
    monkeypatch.setattr(os, "environ", ENVIRONMENT)

    def fail() -> None:
        with backup_pod.settled(home):
            assert (home / "secrets/mlflow").is_dir()
            raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        fail()
    assert not (home / "secrets").exists()
    assert not (home / "mlflow").exists()


@pytest.mark.skipif(shutil.which("ldd") is None, reason="there is no ldd")
def test_a_program_is_copied_with_its_libraries_and_its_loader(tmp_path: Path) -> None:
    """Of PostgreSQL, where this machine has it; elsewhere, two programs stand for its own."""
    (tmp_path / "bin").mkdir()
    for name in ("pg_dump", "pg_restore"):
        shutil.copy(str(shutil.which("sort")), tmp_path / "bin" / name)
    target, path = tmp_path / "tools", f"{os.environ['PATH']}:{tmp_path / 'bin'}"
    subprocess.run(["sh", TOOLS, target], env={"PATH": path}, check=True, capture_output=True)
    libraries = {each.name for each in (target / "libraries").iterdir()}
    assert any(name.startswith("ld") for name in libraries)
    assert any("libc." in name for name in libraries)
    for name in ("pg_dump", "pg_restore"):
        wrapper = target / name
        assert f"--library-path {target}/libraries {target}/libraries/{name} " in wrapper.read_text()
        done = subprocess.run([wrapper, "--version"], env={}, check=True, capture_output=True, text=True)
        assert done.stdout.startswith((name, "sort"))
