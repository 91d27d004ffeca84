"""The rotation of a real stack's keys and passwords: clients notice little, what is interrupted is finished, and nothing becomes unreadable."""
from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import loopback
import psycopg2
import pytest
from backups import API, ARTIFACT, Backups, lose, messages, upload
from backups import http as ask
from deployment import Deployment, TaskResult, changed
from harness import ROOT
from tracking_servers import client_of

pytestmark = pytest.mark.slow

FILES = ROOT / "roles/mlflow_rotation/files"
PROGRAM_TASK = "mlops.mlflow.mlflow_rotation : Put new keys and passwords into the database and the folder of secrets"
SECRETS = {
    "database_password": ("postgresql_admin_password", "postgresql_password"),
    "s3_keys": ("artifact_store_admin_secret_key", "artifact_store_secret_key"),
    "admin_password": ("mlflow_admin_password",),
    "flask_key": ("mlflow_flask_secret_key",),
    "webhook_key": ("mlflow_webhook_key",),
    "kek": ("mlflow_crypto_passphrase",),
}
#: Where MLflow has them, for those that it has in its environment.
VARIABLES = {
    "postgresql_password": "PGPASSWORD", "artifact_store_secret_key": "AWS_SECRET_ACCESS_KEY",
    "mlflow_flask_secret_key": "MLFLOW_FLASK_SERVER_SECRET_KEY", "mlflow_crypto_passphrase": "MLFLOW_CRYPTO_KEK_PASSPHRASE",
}  # fmt: skip
WEBHOOK_SECRET, API_KEY = "opensesame1", "sk-what-the-gateway-keeps"
#: Reads the gateway's secret as the server does, with the server's own environment.
DECRYPT = """
import os, sys
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.store.tracking.dbmodels.models import SqlGatewaySecret
from mlflow.utils.crypto import KEKManager, _decrypt_secret
store = SqlAlchemyStore(os.environ["MLFLOW_BACKEND_STORE_URI"], "mlflow-artifacts:/")
with store.ManagedSessionMaker() as session:
    row = session.query(SqlGatewaySecret).one()
    print(_decrypt_secret(row.encrypted_value, row.wrapped_dek, KEKManager(), row.secret_id, row.secret_name))
"""
#: Lists a bucket with a key, from standard input; prints what the S3 server says.
LIST = """
import json, sys, boto3, botocore.exceptions
given = json.load(sys.stdin)
bucket = given.pop("bucket")
try:
    print("listed", boto3.client("s3", region_name="us-east-1", **given).list_objects_v2(Bucket=bucket)["KeyCount"])
except botocore.exceptions.ClientError as error:
    print(error.response["Error"]["Code"])
"""
#: Runs the rotation, and kills it at a place.
KILLER = """
import os, signal
import rotation, rotation_rows

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def main(settings):
    place = settings["kill"]
    if place == "in the transaction":
        given = rotation_rows.set_password
        rotation_rows.set_password = lambda *words: (given(*words), die())
    elif place == "among the secrets":
        given, written = rotation.write, []
        def write(path, text):
            given(path, text)
            written.append(path)
            if len([each for each in written if each.parent.name == "secrets"]) == 3:
                die()
        rotation.write = write
    else:
        steps = []
        for step in rotation.STEPS:
            if step.__name__ == place:
                steps.append(die)
            steps.append(step)
        rotation.STEPS = (*steps, die)
    return rotation.main(settings)
"""


class Stack:
    """A stack with PostgreSQL, S3 and a password, what is in it that is encrypted, and a receiver of webhooks."""

    def __init__(self, deployment: Deployment, receiver: loopback.Server) -> None:
        self.deployment, self.receiver = deployment, receiver
        self.home = deployment.home

    def secrets(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in (self.home / "secrets").iterdir()}

    def put(self) -> None:
        """A webhook with a secret, a gateway secret, and an artifact."""
        url = f"http://127.0.0.1:{self.receiver.port}/hook"
        webhook = {"name": "kept", "url": url, "secret": WEBHOOK_SECRET, "events": [{"entity": "PROMPT", "action": "CREATED"}]}
        bare = {**webhook, "name": "without-secret"}
        del bare["secret"]
        with closing(client_of(self.deployment.stack())) as client:
            self.webhook = client.write("POST", f"{API}/webhooks", webhook, idempotent=False)["webhook"]["webhook_id"]
            client.write("POST", f"{API}/webhooks", bare, idempotent=False)
            secret = {"secret_name": "kept", "secret_value": {"api_key": API_KEY}, "provider": "openai"}
            client.write("POST", "/api/3.0/mlflow/gateway/secrets/create", secret, idempotent=False)
            run = client.write("POST", f"{API}/runs/create", {"experiment_id": "0", "start_time": 1}, idempotent=False)["run"]["info"]
        self.artifact = f"0/{run['run_id']}/artifacts/a"
        upload(self.deployment, self.artifact)

    def rotate(self, what: str, *arguments: str, **variables: Any) -> list[TaskResult]:
        """The playbook, which must not fail. It shows no secret, before or after."""
        before = self.secrets()
        results = self.deployment.play("rotate", *arguments, rotate=what, **variables)
        assert messages(results) == []
        text = " ".join(result.message for result in results)
        assert not [name for known in (before, self.secrets()) for name, value in known.items() if value in text]
        return results

    def check(self) -> None:
        """All that was put there can be used."""
        environment = self.environment()
        secrets = self.secrets()
        assert {name: environment[variable] for name, variable in VARIABLES.items()} == {name: secrets[name] for name in VARIABLES}
        ask(self.deployment, "POST", f"{API}/webhooks/{self.webhook}/test", b"{}", **{"Content-Type": "application/json"})
        delivery = self.receiver.requests[-1]
        signed = f"{delivery.headers['x-mlflow-delivery-id']}.{delivery.headers['x-mlflow-timestamp']}.{json.dumps(delivery.body)}"
        digest = base64.b64encode(hmac.new(WEBHOOK_SECRET.encode(), signed.encode(), hashlib.sha256).digest()).decode()
        assert delivery.headers["x-mlflow-signature"] == f"v1,{digest}"
        assert API_KEY in self.python(DECRYPT, environment=environment)
        path = f"/api/2.0/mlflow-artifacts/artifacts/{self.artifact}"
        assert ask(self.deployment, "GET", path) == ARTIFACT
        upload(self.deployment, self.artifact)
        assert not (self.home / "rotation.json").exists()

    def environment(self) -> dict[str, str]:
        """What the server was started with."""
        found = [
            dict(each.split("=", 1) for each in words.decode().split("\0") if "=" in each)
            for words in (read(path / "environ") for path in Path("/proc").glob("[0-9]*"))
            if f"\0SUPERVISOR_SERVER_URL=unix://{self.home}/".encode() in b"\0" + words and b"MLFLOW_CRYPTO_KEK_PASSPHRASE=" in words
        ]
        assert found
        return found[0]

    def python(self, program: str, given: str = "", environment: dict[str, str] | None = None) -> str:
        """What a program prints on the stack's own Python."""
        command = [str(self.home / "venv/bin/python"), "-c", program]
        done = subprocess.run(command, input=given, env=environment, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def listed(self, user: str, key: str) -> str:
        there = self.deployment.stack()
        given = {"endpoint_url": there.s3_endpoint, "aws_access_key_id": user, "aws_secret_access_key": key, "bucket": "mlflow"}
        return self.python(LIST, json.dumps(given)).strip()

    def sql(self, statement: str) -> None:
        """Change the tracking database."""
        there = self.deployment.stack()
        login: dict[str, Any] = {"user": there.pg_user, "password": there.pg_password, "dbname": "mlflow"}
        with closing(psycopg2.connect(host=there.pg_host, port=there.pg_port, **login)) as session:
            session.autocommit = True
            with session.cursor() as cursor:
                cursor.execute(statement)

    def logs_in(self, role: str, password: str) -> bool:
        """Whether PostgreSQL takes a password."""
        there = self.deployment.stack()
        try:
            psycopg2.connect(host=there.pg_host, port=there.pg_port, user=role, password=password, dbname="mlflow").close()
        except psycopg2.OperationalError as error:
            if "password authentication failed" not in str(error):
                raise
            return False
        return True

    def status(self, password: str) -> int:
        """What MLflow answers to the administrator with a password."""
        login = base64.b64encode(f"admin:{password}".encode()).decode()
        url = f"{self.deployment.stack().tracking_uri}{API}/experiments/search?max_results=1"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Basic {login}"}), timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def killed(self, place: str) -> None:
        """The program, killed there."""
        files = [FILES / "rotation.py", FILES / "rotation_rows.py", ROOT / "roles/mlflow_backup/files/backup_lock.py"]
        names = {"killer": KILLER, **{file.stem: file.read_text() for file in files}}
        there = self.deployment.stack()
        settings = {
            "home": str(self.home), "check": False, "resume": (self.home / "rotation.json").exists(), "rotate": list(SECRETS), "kill": place,
            "wanted": {name: list(each) for name, each in SECRETS.items()}, "uri": there.tracking_uri,
            "database": {
                "host": there.pg_host, "port": there.pg_port, "dbname": "mlflow", "user": "postgres", "role": "mlflow",
                "secret": "postgresql_admin_password", "environment": {},
            },
        }  # fmt: skip
        user: dict[str, Any] = {"user": self.home.stat().st_uid, "group": self.home.stat().st_gid, "extra_groups": []} if os.getuid() == 0 else {}
        command = [str(self.home / "venv/bin/python"), "-c", (ROOT / "roles/embedded/files/run.py").read_text()]
        request = json.dumps({"programs": names, "program": "killer", "settings": settings})
        done = subprocess.run(command, input=request, capture_output=True, text=True, check=False, cwd="/", **user)
        assert (done.returncode, done.stdout, done.stderr) == (-9, "", "")


def read(path: Path) -> bytes:
    """A file of a process, which may have ended."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


class Ledger:
    """A client that creates runs, one after the other, and tries again where MLflow's own client does; it notes which were acknowledged."""

    def __init__(self, stack: Stack) -> None:
        self.there = stack.deployment.stack()
        self.acknowledged: list[str] = []
        self.refused: list[int] = []
        self.longest = 0.0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._write)

    def __enter__(self) -> Ledger:
        self.thread.start()
        while len(self.acknowledged) < 3:
            time.sleep(0.1)
        return self

    def __exit__(self, *_args: object) -> None:
        before, deadline = len(self.acknowledged), time.monotonic() + 60
        while len(self.acknowledged) < before + 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        self.over.set()
        self.thread.join()

    def _write(self) -> None:
        login = base64.b64encode(f"{self.there.tracking_username}:{self.there.tracking_password}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        last = time.monotonic()
        while not self.over.is_set():
            body = json.dumps({"experiment_id": "0", "start_time": 1}).encode()
            request = urllib.request.Request(f"{self.there.tracking_uri}{API}/runs/create", body, headers)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    self.acknowledged.append(json.load(answer)["run"]["info"]["run_id"])
            except urllib.error.HTTPError as error:
                # What MLflow's client tries again, by default.
                if error.code not in (408, 429, 500, 502, 503, 504):
                    self.refused.append(error.code)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
            else:
                self.longest, last = max(self.longest, time.monotonic() - last), time.monotonic()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with loopback.Server([loopback.reply(200, "thanks", "text/plain")]).running() as receiver:
        lenient = {"MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true", "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https"}
        deployment = Deployment("rotation", 27940, {"mlflow_server_auth": "basic", "mlflow_server_environment": lenient})
        made = Stack(deployment, receiver)
        try:
            if os.environ.get("MLFLOW_TEST_KEEP") and (deployment.home / "mlflow/server.env").exists():
                made.sql("TRUNCATE webhooks, secrets CASCADE")
            else:
                deployment.deploy()
            made.put()
            yield made
        finally:
            if not os.environ.get("MLFLOW_TEST_KEEP"):
                deployment.remove()


def tree(home: Path) -> dict[str, str]:
    """The files that a rotation may change, with their checksums."""
    skipped = {"venv", "log", "data", "run", ".cache", "backup"}
    files = [path for path in home.rglob("*") if path.is_file() and skipped.isdisjoint(path.relative_to(home).parts)]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def shown(results: list[TaskResult]) -> str:
    """What the playbook says that it has rotated, or would."""
    return next(result.message for result in results if result.name.endswith("Show what was rotated"))


def test_what_cannot_work_changes_nothing(stack: Stack) -> None:
    before = tree(stack.home)
    for variables, says in (
        ({"rotate": "keks"}, "rotate: 'keks' is nothing that can be rotated; set it to database_password, s3_keys, admin_password, "),
        ({}, "rotate: names nothing to rotate; set it to "),
        ({"rotate": "kek", "mlflow_server_auth": "none"}, "rotate: the stack is not as these variables describe it"),
    ):
        failed = messages(stack.deployment.play("rotate", **variables))
        assert says in failed[-1], failed
        assert tree(stack.home) == before


def test_a_secret_that_cannot_be_read_is_named_before_anything_changes(stack: Stack) -> None:
    before = tree(stack.home)
    stack.sql("UPDATE webhooks SET secret = 'gAAAAA' WHERE name = 'without-secret'")
    try:
        failed = messages(stack.deployment.play("rotate", rotate="all"))
        assert "rotate: the key in use does not decrypt the secret of 'without-secret'; remove it from the database with " in failed[-1]
        assert tree(stack.home) == before
    finally:
        stack.sql("UPDATE webhooks SET secret = NULL WHERE name = 'without-secret'")


def test_check_mode_says_what_would_be_rotated_and_writes_nothing(stack: Stack) -> None:
    before = tree(stack.home)
    results = stack.rotate("all", "--check")
    assert changed(results) == [PROGRAM_TASK]
    assert f"Would rotate: {', '.join(SECRETS)}, 1 secrets of webhooks encrypted anew, 1 secrets of the AI gateway encrypted anew" in shown(results)
    assert tree(stack.home) == before


def test_a_client_writes_on_while_the_passwords_of_the_database_change(stack: Stack) -> None:
    old = stack.secrets()
    with Ledger(stack) as ledger:
        results = stack.rotate("database_password")
    print(f"{len(ledger.acknowledged)} runs were acknowledged, the longest pause was {ledger.longest:.1f} s")
    assert "Rotated: database_password" in shown(results)
    assert ledger.refused == []
    new = stack.secrets()
    assert {name for name in new if new[name] != old[name]} == {*SECRETS["database_password"]}
    for role, name in (("postgres", "postgresql_admin_password"), ("mlflow", "postgresql_password")):
        assert (stack.logs_in(role, old[name]), stack.logs_in(role, new[name])) == (False, True)
    with closing(client_of(stack.deployment.stack())) as client:
        for run in ledger.acknowledged:
            assert client.get(f"{API}/runs/get", run_id=run)["run"]["info"]["run_id"] == run
    stack.check()


def test_all_of_them(stack: Stack) -> None:
    old = stack.secrets()
    with Ledger(stack) as ledger:
        results = stack.rotate("webhook_key, kek,flask_key")
    print(f"{len(ledger.acknowledged)} runs were acknowledged, the longest pause was {ledger.longest:.1f} s")
    assert ledger.refused == []
    assert "Rotated: flask_key, webhook_key, kek, 1 secrets of webhooks encrypted anew, 1 secrets of the AI gateway encrypted anew" in shown(results)
    stack.check()
    middle = stack.secrets()
    assert {name for name in middle if middle[name] != old[name]} == {"mlflow_flask_secret_key", "mlflow_webhook_key", "mlflow_crypto_passphrase"}

    stack.rotate("all")
    new = stack.secrets()
    assert {name for name in new if new[name] != middle[name]} == {name for each in SECRETS.values() for name in each}
    assert (stack.status(middle["mlflow_admin_password"]), stack.status(new["mlflow_admin_password"])) == (401, 200)
    for user, name in (("admin", "artifact_store_admin_secret_key"), ("mlflow", "artifact_store_secret_key")):
        assert stack.listed(user, middle[name]) == "SignatureDoesNotMatch"
        assert stack.listed(user, new[name]).startswith("listed ")
    stack.check()
    assert changed(stack.deployment.up()) == []


def test_what_was_killed_at_any_step_is_finished(stack: Stack) -> None:
    old = stack.secrets()
    note = stack.home / "rotation.json"
    stack.killed("stop")
    values = json.loads(note.read_text())["values"]
    assert note.stat().st_mode & 0o777 == 0o600
    for place in ("change_database", "in the transaction", "unmark", "write_secrets"):
        stack.killed(place)
        assert stack.secrets() == old
        assert json.loads(note.read_text())["values"] == values
    assert stack.logs_in("postgres", values["postgresql_admin_password"])
    # With half of the new values in place, nothing else goes on.
    stack.killed("among the secrets")
    assert len([name for name, value in stack.secrets().items() if value != old[name]]) == 3
    failed = messages(stack.deployment.play("site"))
    assert "was interrupted, and the database may have keys that MLflow would not know; run the playbook mlops.mlflow.rotate again" in failed[-1]
    stack.killed("finish")
    assert json.loads(note.read_text())["values"] == values
    # As after a loss of power: nothing runs, and the site playbook still refuses to start it.
    stack.deployment.stop()
    results = stack.rotate("all")
    assert "A rotation was interrupted, and is finished first" in shown(results)
    assert {**old, **values} == stack.secrets()
    stack.check()
    assert changed(stack.deployment.up()) == []


def test_a_playbook_that_was_killed_while_it_deploys_is_finished(stack: Stack) -> None:
    old = stack.secrets()
    note = stack.home / "rotation.json"
    with stack.deployment.start("rotate", rotate="kek,s3_keys,admin_password") as running:
        while not (note.exists() and "values" not in json.loads(note.read_text())):
            assert running.poll() is None
            time.sleep(0.05)
        running.kill()
    new = stack.secrets()
    assert new != old
    results = stack.rotate("kek,flask_key")
    assert "Run this again for flask_key" in shown(results)
    assert stack.secrets() == new
    stack.check()
    assert stack.status(old["mlflow_admin_password"]) == 401


def test_a_set_from_before_brings_its_own_keys_back(stack: Stack) -> None:
    backups = Backups(stack.deployment)
    try:
        old = stack.secrets()
        backups.back_up()
        stack.rotate("all")
        lose(stack.deployment)
        backups.restore()
        assert stack.secrets() == old
        stack.check()
    finally:
        backups.forget()
