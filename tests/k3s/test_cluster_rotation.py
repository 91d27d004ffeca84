"""A deployment's keys are rotated while a client writes, and by a playbook that is killed at each step; nothing is lost, nor becomes unreadable."""
from __future__ import annotations

import base64
import json
import shlex
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from cluster import Cluster, CommandError
from ledger import Ledger
from playbook import Run, play, play_until

pytestmark = [pytest.mark.outage, pytest.mark.alters, pytest.mark.line("(beyond) keys are rotated")]
ROTATE, API = "mlops.mlflow.rotate", "/api/2.0/mlflow"
WEBHOOK_SECRET, API_KEY = "opensesame1", "sk-what-the-gateway-keeps"
#: What a client need not be told of. The password of the ingress is another test.
QUIET = ["database_password", "s3_keys", "webhook_key", "kek", "tls"]
#: What MLflow's own client tries again.
TRIED_AGAIN = ("408", "429", "500", "502", "503", "504")
#: How long webhooks are held at most, in seconds: longer than the Job waits for them.
HELD = 900
#: Reads what is encrypted as the server does, with the server's own environment.
DECRYPT = """
import json, os, sys
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.store.tracking.dbmodels.models import SqlGatewaySecret
from mlflow.utils.crypto import KEKManager, _decrypt_secret
name = sys.argv[1]
store = SqlAlchemyStore(os.environ["MLFLOW_BACKEND_STORE_URI"], "mlflow-artifacts:/")
with store.ManagedSessionMaker() as session:
    row = session.query(SqlGatewaySecret).filter_by(secret_name=name).one()
    secret = _decrypt_secret(row.encrypted_value, row.wrapped_dek, KEKManager(), row.secret_id, row.secret_name)
hooks = {each.name: each.secret for each in Registry(os.environ["MLFLOW_BACKEND_STORE_URI"]).list_webhooks(max_results=100)}
print(json.dumps([hooks[name], str(secret)]))
"""
LIST = """
import os, boto3, botocore.exceptions
bucket = os.environ["MLFLOW_ARTIFACTS_DESTINATION"].split("/")[2]
prefix = "/".join(os.environ["MLFLOW_ARTIFACTS_DESTINATION"].split("/")[3:])
try:
    boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"]).list_objects_v2(Bucket=bucket, Prefix=prefix + "/")
    print("listed")
except botocore.exceptions.ClientError as error:
    print(error.response["Error"]["Code"])
"""


class Story:
    """The deployment, and what it keeps that is encrypted."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.name = cluster, f"kept-{time.time_ns()}"
        events = [{"entity": "PROMPT", "action": "CREATED"}]
        webhook = {"name": self.name, "url": "https://192.0.0.9/hook", "secret": WEBHOOK_SECRET, "events": events}
        secret = {"secret_name": self.name, "secret_value": {"api_key": API_KEY}, "provider": "openai"}
        for path, body in ((f"{API}/webhooks", webhook), ("/api/3.0/mlflow/gateway/secrets/create", secret)):
            answer = cluster.https("POST", path, body)
            assert answer.status == 200, answer.body

    def secrets(self) -> dict[str, str]:
        """All values that may be rotated, by Secret and key; what is derived from them is left out."""
        database, store = self.cluster.variables["postgresql_name"], self.cluster.variables["artifact_store_name"]
        names = [database, f"{store}-root", f"{store}-mlflow", self.cluster.name]
        held = {name: self.cluster.secret(name) for name in names}
        found = {f"{name}/{key}": value for name, values in held.items() for key, value in values.items() if "access" not in key}
        return {**found, "tls.crt": self.cluster.secret(f"{self.cluster.name}-tls")["tls.crt"]}

    def rotate(self, *names: str, words: tuple[str, ...] = ()) -> Run:
        """The playbook, which must not fail, and shows no secret of before or after."""
        before = self.secrets()
        run = play(ROTATE, {"rotate": ",".join(names)}, words=words, timeout=1200)
        assert run.status == 0, run.output
        self.is_discreet(run.output, before)
        return run

    def is_discreet(self, output: str, before: dict[str, str]) -> None:
        """No secret is shown, of before or after."""
        values = [*before.items(), *self.secrets().items()]
        assert [name for name, value in values if value in output or base64.b64encode(value.encode()).decode() in output] == []

    def inside(self, program: str, *words: str, **environment: str) -> str:
        """What a program prints in a pod of the server."""
        given = [f"{name}={value}" for name, value in environment.items()]
        target = [f"deploy/{self.cluster.name}", "--container", "mlflow"]
        return self.cluster.kubectl("exec", *target, "--", "env", *given, "python", "-c", program, *words).strip()

    def check(self) -> None:
        """What is encrypted can be read, the store and the database answer, and nothing of a rotation is left."""
        webhook, secret = json.loads(self.inside(DECRYPT, self.name))
        assert (webhook, API_KEY in secret) == (WEBHOOK_SECRET, True)
        assert self.inside(LIST) == "listed"
        names = [each["metadata"]["name"] for kind in ("secret", "job") for each in self.cluster.get(kind)]
        assert f"{self.cluster.name}-rotation" not in names
        annotations = self.cluster.get("deployment", self.cluster.name)["metadata"]["annotations"]
        assert "mlops.mlflow/rotation" not in annotations

    def sql(self, statement: str) -> str:
        """What PostgreSQL answers to MLflow's role."""
        name = self.cluster.variables["postgresql_name"]
        login = f"PGPASSWORD={self.cluster.secret(name)['password']} psql --no-psqlrc -Atc {shlex.quote(statement)}"
        where = "'host=127.0.0.1 user=mlflow dbname=mlflow sslmode=require'"
        return self.cluster.kubectl("exec", f"sts/{name}", "--container", "postgresql", "--", "sh", "-c", f"{login} {where}", timeout=HELD).strip()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile, webhooks can be read, and nobody but us may change them."""
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
        hold = f"BEGIN; LOCK TABLE webhooks IN EXCLUSIVE MODE; SELECT pg_sleep({HELD})"
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.sql, hold)
            try:
                yield
            finally:
                self.sql(end)
                assert "terminating connection" in str(waiting.exception())

    def logs_in(self, role: str, password: str) -> bool:
        """Whether PostgreSQL takes a password."""
        login = f"PGPASSWORD={shlex.quote(password)} psql --no-psqlrc -c 'SELECT 1' 'host=127.0.0.1 user={role} dbname=mlflow sslmode=require'"
        try:
            self.cluster.kubectl("exec", f"sts/{self.cluster.variables['postgresql_name']}", "--container", "postgresql", "--", "sh", "-c", login)
        except CommandError as error:
            if "password authentication failed" not in str(error):
                raise
            return False
        return True


@pytest.fixture(scope="module")
def story(cluster: Cluster) -> Story:
    return Story(cluster)


def refused_for_good(ledger: Ledger) -> list[str]:
    """The failed requests that MLflow's client does not try again."""
    return [each for each in ledger.failures if each.startswith("status ") and each.split()[1].rstrip(":") not in TRIED_AGAIN]


def test_what_there_is_not_is_refused_and_changes_nothing(story: Story) -> None:
    before = story.secrets()
    for name, says in (
        ("keks", "rotate: 'keks' is nothing that can be rotated"), ("cookie_secret", "rotate: there is no cookie_secret to rotate"),
        ("flask_key", "the server takes requests without a password"),
    ):  # fmt: skip
        run = play(ROTATE, {"rotate": name})
        assert (run.status, run.changed) == (2, 0)
        assert says in run.failures[-1][1]
    assert story.secrets() == before


def test_check_mode_says_what_would_be_rotated(story: Story) -> None:
    before = story.secrets()
    run = story.rotate("all", words=("--check",))
    assert "Would rotate: database_password, s3_keys, ingress_password, webhook_key, kek, tls" in run.output
    assert story.secrets() == before
    story.check()


def test_clients_go_on_while_all_that_they_need_not_know_is_rotated(story: Story) -> None:
    before = story.secrets()
    with Ledger(story.cluster) as ledger:
        ledger.wait_for_more(20, timeout=60)
        run = story.rotate(*QUIET)
        ledger.wait_for_more(20, timeout=120)
    print(f"{len(ledger.failures)} tries failed, {len(ledger.acknowledged)} did not, the longest pause was {ledger.pause:.0f} of {run.seconds:.0f} s")
    assert refused_for_good(ledger) == []
    assert ledger.lost() == []
    story.check()
    after = story.secrets()
    kept = {f"{story.cluster.name}/{key}" for key in ("flask-secret-key", "admin-password", "ingress-password")}
    assert {name for name in before if before[name] == after[name]} == kept
    role = f"{story.cluster.variables['postgresql_name']}/password"
    assert (story.logs_in("mlflow", before[role]), story.logs_in("mlflow", after[role])) == (False, True)
    old = before[f"{story.cluster.variables['artifact_store_name']}-mlflow/secret-key"]
    assert story.inside(LIST, AWS_SECRET_ACCESS_KEY=old) == "SignatureDoesNotMatch"
    assert "Rotated: database_password, s3_keys, webhook_key, kek, tls" in run.output
    assert play().changed == 0


@pytest.mark.parametrize("name", ["webhook_key", "database_password", "tls"])
def test_each_alone(story: Story, name: str) -> None:
    """How long clients wait for it."""
    with Ledger(story.cluster) as ledger:
        ledger.wait_for_more(20, timeout=60)
        story.rotate(name)
        ledger.wait_for_more(20, timeout=120)
    print(f"{name}: {len(ledger.failures)} tries failed, {len(ledger.acknowledged)} were acknowledged, the longest pause was {ledger.pause:.0f} s")
    assert refused_for_good(ledger) == []
    assert ledger.lost() == []
    assert name != "tls" or ledger.failures == []
    story.check()


def test_the_password_of_the_ingress(story: Story) -> None:
    old = story.cluster.credentials
    story.rotate("ingress_password")
    assert story.cluster.https("GET", "/health").status == 401
    del story.cluster.credentials
    assert story.cluster.credentials != old
    deadline = time.monotonic() + 30
    while (status := story.cluster.https("GET", "/health").status) != 200 and time.monotonic() < deadline:
        time.sleep(1)
    assert status == 200


def test_mlflow_serves_with_the_old_keys_after_a_job_that_changed_nothing(story: Story) -> None:
    before = story.secrets()
    with story.held():
        run = play(ROTATE, {"rotate": "webhook_key"}, timeout=1200)
    assert run.status == 2
    story.is_discreet(run.output, before)
    assert "canceling statement due to lock timeout" in run.failures[-1][1]
    assert "stays stopped" not in run.failures[-1][1]
    assert story.secrets() == before
    assert json.loads(story.inside(DECRYPT, story.name))[0] == WEBHOOK_SECRET
    assert "A rotation was interrupted, and is finished first" in story.rotate("webhook_key").output
    story.check()


def test_mlflow_stays_stopped_while_it_is_not_known_whether_the_job_has_changed_anything(story: Story) -> None:
    job = f"{story.cluster.name}-rotation"
    with story.held(), ThreadPoolExecutor(1) as pool:
        running = pool.submit(play, ROTATE, {"rotate": "webhook_key"}, timeout=1200)
        deadline = time.monotonic() + 300
        while not any(each["metadata"]["name"] == job for each in story.cluster.get("job")) and time.monotonic() < deadline:
            time.sleep(1)
        story.cluster.kubectl("patch", "job", job, "--patch", '{"spec": {"activeDeadlineSeconds": 1}}')
        run = running.result()
    assert run.status == 2
    assert "MLflow stays stopped, since it is not known whether the database has the new keys; run this again" in run.failures[-1][1]
    assert story.cluster.get("deployment", story.cluster.name)["spec"]["replicas"] == 0
    assert "was interrupted, and its database may have new keys already; finish it first" in play().failures[-1][1]
    assert "A rotation was interrupted, and is finished first" in story.rotate("webhook_key").output
    story.check()


#: What comes before the first change, after the roles have looked.
LOOKED = "mlflow_rotation : Decide what is left to do"
#: The tasks at which the playbook is killed, one after the other, each so many seconds after its begin.
STEPS: list[tuple[str, float]] = [
    (LOOKED, 0), ("mlflow_rotation : Wait until its pods have ended", 1), ("Change the database by a Job", 3),
    ("mlflow_rotation : Put the new values where the roles read them", 0), ("mlflow_rotation : Put the new values where the roles read them", 3),
    ("postgresql : Create the databases in the cluster", 1), ("mlflow_rotation : Scale it up", 0),
    ("Let the server ask for a login before the way to it changes", 2),
    ("mlflow_rotation : Remove the note of the rotation in the cluster", 0),
]  # fmt: skip


def test_a_rotation_that_is_killed_at_each_step_is_finished_by_the_next_run(story: Story) -> None:
    before, notes = story.secrets(), []
    for number, (task, seconds) in enumerate(STEPS):
        story.is_discreet(play_until(task, ROTATE, {"rotate": ",".join(QUIET)}, seconds, LOOKED), before)
        notes.append(story.cluster.secret(f"{story.cluster.name}-rotation"))
        if number == 2:
            site: Any = play()
            assert (site.status, site.changed) == (2, 0)
            assert "was interrupted, and its database may have new keys already; finish it first" in site.failures[-1][1]
    assert all(note == notes[0] for note in notes)
    run = story.rotate("kek", "ingress_password")
    assert "A rotation was interrupted, and is finished first" in run.output
    assert "Run this again for ingress_password" in run.output
    story.check()
    after = story.secrets()
    assert {name: value for name, value in after.items() if value == before[name]}.keys() == {
        f"{story.cluster.name}/{key}" for key in ("flask-secret-key", "admin-password", "ingress-password")
    }
    site = play()
    assert (site.status, site.changed) == (0, 0), site.output
