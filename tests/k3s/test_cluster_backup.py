"""The akko deployment is backed up, loses its database, its artifacts and its keys, and gets them back."""
from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from playbook import Run, play
from restic_image import IMAGE, provide

pytestmark = [pytest.mark.akko, pytest.mark.alters, pytest.mark.long, pytest.mark.line("(beyond) backed up, lost and restored")]
BACKUP, RESTORE, API = "mlops.mlflow.backup", "mlops.mlflow.restore", "/api/2.0/mlflow"
CONTENT = b"what must not be lost"


class Kept:
    """A run with a metric and an artifact, and a registered model, as a client of the ingress makes and reads them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.name = cluster, f"kept-{time.time_ns()}"
        experiment = self.ask("POST", f"{API}/experiments/create", {"name": self.name})["experiment_id"]
        run = self.ask("POST", f"{API}/runs/create", {"experiment_id": experiment, "start_time": time.time_ns() // 1_000_000})["run"]["info"]
        self.run_id = run["run_id"]
        self.ask("POST", f"{API}/runs/log-metric", {"run_id": self.run_id, "key": "accuracy", "value": 0.5, "timestamp": 1, "step": 1})
        self.path = f"/api/2.0/mlflow-artifacts/artifacts/{run['artifact_uri'].removeprefix('mlflow-artifacts:/').strip('/')}/model/MLmodel"
        assert cluster.https("PUT", self.path, CONTENT).status == 200
        self.ask("POST", f"{API}/registered-models/create", {"name": self.name})
        webhook = {"name": self.name, "url": "https://192.0.0.9/hook", "secret": "s3cr3t", "events": [{"entity": "PROMPT", "action": "CREATED"}]}
        self.ask("POST", f"{API}/webhooks", webhook)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the server answers, which must be a success."""
        answer = self.cluster.https(method, path, body)
        assert answer.status == 200, (path, answer.body)
        return answer.json()

    def told(self) -> dict[str, Any]:
        """All of it, as the server tells it, the artifact's content and the webhooks, whose secrets need the key, among it."""
        artifact = self.cluster.https("GET", self.path)
        assert (artifact.status, artifact.body) == (200, CONTENT)
        return {
            "run": self.ask("GET", f"{API}/runs/get?run_id={self.run_id}"),
            "model": self.ask("GET", f"{API}/registered-models/get?name={self.name}"),
            "webhooks": self.ask("GET", f"{API}/webhooks"),
        }


class Story:
    """What is made once: the variables, what is kept, and what the runs came to."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.kept, self.password = cluster, Kept(cluster), folder / "password"
        self.variables: dict[str, Any] = {
            "mlflow_backup_repository": f"s3:http://{cluster.variables['artifact_store_name']}:9000/mlflow-backups",
            "mlflow_backup_password_file": str(self.password), "mlflow_backup_restic_image": IMAGE, "mlflow_backup_schedule": "0 3 * * *",
        }  # fmt: skip
        self.checked = play(BACKUP, self.variables, words=["--check"])
        self.after_check = (self.own(), self.password.exists())
        self.first = play(BACKUP, self.variables)
        self.versions = self.own()
        self.again = play(BACKUP, self.variables)

    @property
    def name(self) -> str:
        """The name of the objects."""
        return f"{self.cluster.name}-backup"

    def own(self) -> dict[str, str]:
        """The objects of backups but for Jobs, each with its version, which changes with it."""
        kinds = ("secret", "configmap", "serviceaccount", "networkpolicy", "cronjob")
        found = {kind: [each for each in self.cluster.get(kind) if each["metadata"]["name"] == self.name] for kind in kinds}
        return {kind: each[0]["metadata"]["resourceVersion"] for kind, each in found.items() if each}

    def lose(self) -> None:
        """Drop the tracking database, delete the artifacts, and the server's keys."""
        cluster, database = self.cluster, f"sts/{self.cluster.variables['postgresql_name']}"
        cluster.kubectl("exec", database, "-c", "postgresql", "--", "psql", "-U", "postgres", "-c", "DROP DATABASE mlflow WITH (FORCE)")
        store = f"deploy/{cluster.variables['artifact_store_name']}"
        where = f"local/{cluster.variables['artifact_store_bucket']}/{cluster.variables['artifact_store_prefix']}/"
        cluster.kubectl("exec", store, "--", "mc", "rm", "--recursive", "--force", where)
        cluster.kubectl("delete", "secret", cluster.name, f"{cluster.name}-tls-ca")


@pytest.fixture(scope="module")
def story(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("backup")
    provide(cluster, folder)
    made = Story(cluster, folder)
    yield made
    names = [f"{kind}/{made.name}" for kind in ("cronjob", "job", "secret", "configmap", "serviceaccount", "networkpolicy")]
    cluster.kubectl("delete", "--ignore-not-found", *names)
    cluster.kubectl("exec", f"deploy/{cluster.variables['artifact_store_name']}", "--", "mc", "rb", "--force", "local/mlflow-backups")


def changed(run: Run) -> int:
    assert run.status == 0, run.output
    return run.changed


def test_check_mode_writes_nothing(story: Story) -> None:
    assert changed(story.checked) > 0
    assert story.after_check == ({}, False)


def test_a_set_is_made_and_the_passphrase_is_kept(story: Story) -> None:
    assert changed(story.first) > 0
    assert "The repository is in the artifact store that it is a backup of" in story.first.output
    assert story.name in [each["metadata"]["name"] for each in story.cluster.get("cronjob")]
    password = story.password.read_text().strip()
    assert len(password) == 40
    assert password not in story.first.output
    assert story.cluster.secret(story.name)["made-in"] == story.variables["mlflow_backup_repository"]


def test_the_second_run_makes_another_set_and_changes_nothing_else(story: Story) -> None:
    """The Job alone is a change."""
    assert changed(story.again) == 1
    assert story.own() == story.versions
    assert " sets are kept" in story.again.output


def test_another_passphrase_is_refused_before_it_replaces_the_one_that_is_kept(story: Story) -> None:
    run = play(BACKUP, {**story.variables, "mlflow_backup_password": "another"})
    assert (run.status, run.changed) == (2, 0)
    assert "mlflow_backup_password: is not the passphrase in Secret/" in run.failures[-1][1]
    # Without the Secret, restic tells.
    story.cluster.kubectl("delete", "secret", story.name)
    run = play(BACKUP, {**story.variables, "mlflow_backup_password": "another"})
    assert run.status == 2
    assert "the passphrase does not open" in run.failures[-1][1]
    story.cluster.kubectl("delete", "secret", story.name)
    assert changed(play(BACKUP, story.variables)) > 0


def test_the_schedule_makes_a_set_too(story: Story) -> None:
    """A Job of the CronJob, as its time makes one."""
    story.cluster.kubectl("create", "job", "--from", f"cronjob/{story.name}", f"{story.name}-by-hand")
    try:
        story.cluster.kubectl("wait", "--for=condition=complete", f"job/{story.name}-by-hand", "--timeout=300s", timeout=330)
        assert '"set": ' in story.cluster.kubectl("logs", f"job/{story.name}-by-hand", "--container", "backup")
    finally:
        story.cluster.kubectl("delete", "job", f"{story.name}-by-hand")


def test_a_drill_tries_the_set_and_leaves_nothing(story: Story) -> None:
    """In a pod of its own, which reaches the repository alone."""
    run = play(BACKUP, {**story.variables, "mlflow_backup_drill": True}, timeout=900)
    assert run.status == 0, run.output
    assert re.search(r"Set \w{8} of \S+ was restored and tried: [1-9]\d* runs, all rows as they were, [1-9]\d* artifacts, ", run.output)
    assert re.search(r"RPO \d+ seconds .*RTO [\d.]+ seconds", run.output, re.S)
    left = [each["metadata"]["name"] for kind in ("job", "pod", "networkpolicy") for each in story.cluster.get(kind)]
    assert [name for name in left if name.startswith(f"{story.cluster.name}-drill")] == []


def test_data_that_are_there_are_not_overwritten(story: Story) -> None:
    """Nor is the server stopped for it."""
    late = Kept(story.cluster)
    run = play(RESTORE, story.variables)
    assert run.status == 2
    assert "is not empty and has not what set" in run.failures[-1][1]
    assert late.told()["run"]["run"]["info"]["run_id"] == late.run_id


def test_an_older_set_takes_the_place_of_what_is_there_if_that_is_confirmed(story: Story) -> None:
    """Back to a set by one variable, as after an upgrade: nothing of what is newer is deleted."""
    name, before = story.cluster.variables["postgresql_name"], story.kept.told()
    late = Kept(story.cluster)
    replaced = {**story.variables, "mlflow_backup_replace": True, "mlflow_backup_replace_confirmed": "no"}
    run = play(RESTORE, replaced)
    assert "Nothing is restored: the answer was 'no', not 'yes'" in run.failures[-1][1]
    assert late.told()["run"]["run"]["info"]["run_id"] == late.run_id
    run = play(RESTORE, {**replaced, "mlflow_backup_replace_confirmed": "yes"}, timeout=1200)
    assert run.status == 0, run.output
    told = " ".join(run.output.split())
    assert re.search(r"newer than the set: [1-9]\d* runs, ", told), run.output
    # The webhooks of others were newer, too.
    there = story.kept.told()
    assert {key: there[key] for key in ("run", "model")} == {key: before[key] for key in ("run", "model")}
    assert story.cluster.https("GET", f"{API}/runs/get?run_id={late.run_id}").status == 404
    (schema,) = re.findall(r"DROP SCHEMA (replaced_\d+_\d+) CASCADE", told)

    def sql(statement: str) -> str:
        words = ["-c", "postgresql", "--", "psql", "-U", "postgres", "-d", "mlflow", "-Atc", statement]
        return story.cluster.kubectl("exec", f"sts/{name}", *words).strip()

    assert sql(f"SELECT count(*) FROM {schema}.runs WHERE run_uuid = '{late.run_id}'") == "1"
    sql(f"DROP SCHEMA {schema} CASCADE")
    site = play()
    assert (site.status, site.changed) == (0, 0), site.output


def test_what_is_lost_comes_back(story: Story) -> None:
    password, authority = story.cluster.credentials[1], story.cluster.secret(f"{story.cluster.name}-tls-ca")
    assert changed(play(BACKUP, story.variables)) > 0
    before = story.kept.told()
    story.lose()
    run = play(RESTORE, story.variables, timeout=1200)
    assert run.status == 0, run.output
    assert story.kept.told() == before
    assert story.cluster.secret(f"{story.cluster.name}-auth")["password"] == password
    assert story.cluster.secret(f"{story.cluster.name}-tls-ca") == authority
    site = play()
    assert (site.status, site.changed) == (0, 0), site.output
