"""The diagnosis of a real embedded stack: each fault is named by its check, and by no other."""
from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from backups import messages
from deployment import Deployment, changed
from harness import ROOT

pytestmark = pytest.mark.slow

FILES = ROOT / "roles/embedded/files"
Fault = Callable[[Deployment], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def stack() -> Iterator[Deployment]:
    """A stack with an artifact folder; the same as that of the tests of the maintenance."""
    stack = Deployment("maintenance", 27900, {"mlflow_server_auth": "basic", "artifact_store_provider": None})
    kept = bool(os.environ.get("MLFLOW_TEST_KEEP")) and (stack.home / "verified").exists()
    try:
        if not kept:
            stack.deploy()
        yield stack
    finally:
        if not os.environ.get("MLFLOW_TEST_KEEP"):
            stack.remove()


def as_user(stack: Deployment) -> list[str]:
    return ["runuser", "-u", stack.home.owner(), "--"] if os.getuid() == 0 else []


def diagnosed(stack: Deployment) -> dict[str, Any]:
    """What the role decides, from what its programs print."""
    from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.embedded_diagnosis import DECISIONS  # noqa: PLC0415

    home = str(stack.home)
    look = [sys.executable, "-", "look", home]
    found = json.loads(subprocess.run(look, input=(FILES / "stack.py").read_text(), capture_output=True, text=True, check=True).stdout)
    programs = {name: (FILES / f"{name}.py").read_text() for name in ("asking", "status", "diagnose")}
    settings = {"home": home, "as_user": as_user(stack), "inside": (FILES / "diagnose_inside.py").read_text()}
    request = json.dumps({"programs": programs, "program": "diagnose", "settings": settings})
    command = [sys.executable, "-c", (FILES / "run.py").read_text()]
    began = time.monotonic()
    done = subprocess.run(command, input=request, capture_output=True, text=True, check=True, cwd="/")
    assert time.monotonic() - began < 90
    text = json.dumps(told := DECISIONS["diagnosis"]({"found": found, "seen": json.loads(done.stdout), "home": home}))
    secrets = [path.read_text().strip() for path in (stack.home / "secrets").iterdir()]
    assert [each for each in secrets if each and (each in text or each in done.stdout)] == []
    return told


def supervisor(stack: Deployment, *words: str) -> str:
    """What the supervisor's own client prints."""
    command = [*as_user(stack), str(stack.home / "venv/bin/supervisorctl"), "--configuration", str(stack.home / "supervisord.conf"), *words]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def sql(stack: Deployment, statement: str, database: str = "postgres") -> None:
    there = stack.stack()
    login: dict[str, Any] = {"user": there.pg_user, "password": there.pg_password, "dbname": database}
    with closing(psycopg2.connect(host=there.pg_host, port=there.pg_port, **login)) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(statement)


def answers(stack: Deployment) -> None:
    """Wait until the stack is in order again."""
    deadline = time.monotonic() + 300
    while (told := diagnosed(stack))["failed"]:
        assert time.monotonic() < deadline, told["lines"]
        time.sleep(1)


@contextmanager
def stopped(stack: Deployment, *names: str) -> Iterator[None]:
    supervisor(stack, "stop", *names)
    try:
        yield
    finally:
        supervisor(stack, "start", *reversed(names))


@contextmanager
def postgresql_stopped(stack: Deployment) -> Iterator[None]:
    with stopped(stack, "mlflow", "postgresql"):
        yield


@contextmanager
def mlflow_stopped(stack: Deployment) -> Iterator[None]:
    with stopped(stack, "mlflow"):
        yield


@contextmanager
def port_taken(stack: Deployment, name: str, port: int) -> Iterator[None]:
    """Another process has the port, and the supervisor goes on trying."""
    with stopped(stack, *dict.fromkeys(["mlflow", name])):
        with socket.create_server(("127.0.0.1", port)):
            supervisor(stack, "start", name)
            yield
        supervisor(stack, "stop", name)


def mlflow_port_taken(stack: Deployment) -> AbstractContextManager[None]:
    return port_taken(stack, "mlflow", stack.first_port)


def postgresql_port_taken(stack: Deployment) -> AbstractContextManager[None]:
    return port_taken(stack, "postgresql", stack.first_port + 1)


@contextmanager
def moved(path: Path) -> Iterator[None]:
    aside = path.with_name(f"{path.name}-aside")
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)


@contextmanager
def with_mode(path: Path, mode: int) -> Iterator[None]:
    before = path.stat().st_mode & 0o777
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


@contextmanager
def replaced(path: Path, old: str, new: str) -> Iterator[None]:
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))
    try:
        yield
    finally:
        path.write_text(before)


def wrong_database_password(stack: Deployment) -> AbstractContextManager[None]:
    return replaced(stack.home / "mlflow/server.env", "PGPASSWORD=", "PGPASSWORD=wrong-")


def wrong_client_password(stack: Deployment) -> AbstractContextManager[None]:
    return replaced(stack.home / "client.env", "MLFLOW_TRACKING_PASSWORD=", "MLFLOW_TRACKING_PASSWORD=wrong-")


@contextmanager
def database_missing(stack: Deployment) -> Iterator[None]:
    with stopped(stack, "mlflow"):
        sql(stack, "ALTER DATABASE mlflow RENAME TO aside")
        try:
            yield
        finally:
            sql(stack, "ALTER DATABASE aside RENAME TO mlflow")


@contextmanager
def no_connections_left(stack: Deployment) -> Iterator[None]:
    sql(stack, "ALTER ROLE mlflow CONNECTION LIMIT 0")
    try:
        yield
    finally:
        sql(stack, "ALTER ROLE mlflow CONNECTION LIMIT -1")


@contextmanager
def schema_behind(stack: Deployment) -> Iterator[None]:
    sql(stack, "UPDATE alembic_version SET version_num = 'old-' || version_num", "mlflow")
    try:
        yield
    finally:
        sql(stack, "UPDATE alembic_version SET version_num = replace(version_num, 'old-', '')", "mlflow")


@contextmanager
def mlflow_stuck(stack: Deployment) -> Iterator[None]:
    group = os.getpgid(int(supervisor(stack, "pid", "mlflow")))
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGCONT)


def artifacts_gone(stack: Deployment) -> AbstractContextManager[None]:
    return moved(stack.home / "artifacts")


def artifacts_unreadable(stack: Deployment) -> AbstractContextManager[None]:
    return with_mode(stack.home / "artifacts", 0o000)


def environment_unreadable(stack: Deployment) -> AbstractContextManager[None]:
    return with_mode(stack.home / "mlflow/server.env", 0o000)


def key_gone(stack: Deployment) -> AbstractContextManager[None]:
    return moved(stack.home / "secrets/mlflow_crypto_passphrase")


def driver_gone(stack: Deployment) -> AbstractContextManager[None]:
    return moved(next(stack.home.glob("venv/lib/python3*/site-packages/psycopg2")))


def nothing_there(stack: Deployment) -> AbstractContextManager[None]:
    return moved(stack.home / "mlflow/server.env")


def cause_of(told: dict[str, Any], check: str) -> str:
    return str(next(each["cause"] for each in told["checks"] if each["id"] == check))


@pytest.mark.parametrize(("fault", "check", "cause"), [
    (nothing_there, "folder", "nothing was deployed there"),
    (driver_gone, "packages", "damaged or missing"),
    (key_gone, "secrets", "mlflow_crypto_passphrase is missing"),
    (environment_unreadable, "secrets", "changed an owner or a mode"),
    (postgresql_stopped, "postgresql", "it was stopped"),
    (postgresql_port_taken, "postgresql", "is held by "),
    (wrong_database_password, "database", "secrets/postgresql_password is not the one"),
    (database_missing, "database", "database or its user is missing"),
    (no_connections_left, "database", "all connections are in use"),
    (schema_behind, "schema", "another version of MLflow"),
    (artifacts_gone, "store", "moved or deleted"),
    (artifacts_unreadable, "store", "no right to it"),
    (mlflow_stopped, "server", "it was stopped"),
    (mlflow_port_taken, "server", "is held by "),
    (mlflow_stuck, "server", "is stuck"),
    (wrong_client_password, "login", "client.env has the old one"),
])
def test_a_fault_is_named_by_its_check_and_by_no_other(stack: Deployment, fault: Fault, check: str, cause: str) -> None:
    answers(stack)
    with fault(stack):
        deadline = time.monotonic() + 60
        # The supervisor tries some times before it says that a process does not start.
        while cause not in cause_of(told := diagnosed(stack), check):
            assert time.monotonic() < deadline, told["lines"]
            time.sleep(1)
        assert [each["id"] for each in told["checks"] if each["status"] == "failed"] == [check], told["lines"]
    answers(stack)


def test_the_playbook_fails_with_cause_and_cure_and_changes_nothing(stack: Deployment, tmp_path: Path) -> None:
    answers(stack)
    file = tmp_path / "checks.json"
    results = stack.play("diagnose", embedded_diagnosis_file=str(file))
    assert messages(results) == []
    assert changed(results) == []
    assert {each["status"] for each in json.loads(file.read_text())} <= {"ok", "warning"}
    with mlflow_stopped(stack):
        results = stack.play("diagnose", embedded_diagnosis_file=str(file))
    assert changed(results) == []
    failed = messages(results)
    assert len(failed) == 1
    assert "server: it was stopped; run the site playbook" in failed[0]
    assert {each["id"] for each in json.loads(file.read_text()) if each["status"] == "skipped"} == {"login", "artifacts"}
    answers(stack)


def test_a_stopped_stack(stack: Deployment) -> None:
    stack.stop()
    try:
        told = diagnosed(stack)
        assert [each["id"] for each in told["checks"] if each["status"] == "failed"] == ["supervisor"]
        assert "the stack is stopped" in told["failed"][0]
    finally:
        stack.up()
