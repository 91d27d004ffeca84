"""What the tests of backups put into an embedded stack, lose, and look for again."""
from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from deployment import Deployment, TaskResult, changed
from restic import restic
from tracking_servers import client_of

ARTIFACT, URL = b"what must not be lost", "https://192.0.0.9/hook"
MODEL, USER = "kept", "keeper"
API = "/api/2.0/mlflow"


class Backups:
    """A stack, and where its backups are."""

    def __init__(self, stack: Deployment) -> None:
        self.stack = stack
        # Where the user of the processes may look, too.
        self.folder = stack.home.with_name(f"{stack.home.name}-kept")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        shutil.copy(restic(), self.folder)
        stack.variables |= {
            "mlflow_backup_repository": str(self.repository), "mlflow_backup_password_file": str(self.folder / "password"),
            "mlflow_backup_restic": str(self.folder / "restic"),
        }  # fmt: skip

    def forget(self) -> None:
        """Remove the backups, and what restores have moved aside."""
        for left in [self.folder, *self.stack.home.parent.glob(f"{self.stack.home.name}-before-*")]:
            shutil.rmtree(left)
        for name in [name for name in self.stack.variables if name.startswith("mlflow_backup_")]:
            del self.stack.variables[name]

    @property
    def repository(self) -> Path:
        """Where the sets are."""
        return self.folder / "repository"

    def sets(self, tag: str = "mlops-mlflow-set") -> list[dict[str, Any]]:
        """The snapshots with the tag, as restic itself tells."""
        return list(json.loads(self.restic("snapshots", "--json", "--no-lock", "--tag", tag).stdout) or [])

    def restic(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run restic on the repository, as the user whose it is."""
        environment = {**os.environ, "RESTIC_PASSWORD": (self.folder / "password").read_text().strip()}
        command = [str(self.folder / "restic"), "--no-cache", "--repo", str(self.repository), *words]
        owner = self.repository.stat()
        user: dict[str, Any] = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.getuid() == 0 else {}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd="/", **user)

    def back_up(self, **variables: Any) -> list[TaskResult]:
        """Make a set, which must not fail."""
        results = self.stack.play("backup", **variables)
        assert not messages(results), messages(results)
        return results

    def restore(self, **variables: Any) -> list[TaskResult]:
        """Restore, which must not fail."""
        results = self.stack.play("restore", **variables)
        assert not messages(results), [result for result in results if result.failed]
        return results


def made(name: str, first_port: int, **variables: Any) -> Iterator[Backups]:
    """A stack with something in it, and no backup yet."""
    stack = Deployment(name, first_port, {"mlflow_server_auth": "basic", **variables})
    backups = Backups(stack)
    try:
        stack.deploy()
        put_something(stack)
        yield backups
    finally:
        stack.remove()
        backups.forget()


def program(backups: Backups, name: str) -> subprocess.Popen[str]:
    """One of the programs, started as the stack's user in a group of its own."""
    home = backups.stack.home
    user: dict[str, Any] = {"user": home.stat().st_uid, "group": home.stat().st_gid, "extra_groups": []} if os.getuid() == 0 else {}
    command = [str(home / "venv/bin/python"), str(home / f"backup/program/{name}.py"), str(home / "backup/settings.json")]
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd="/", start_new_session=True, **user, **pipes)


def run(backups: Backups, name: str) -> tuple[str, str]:
    """What one of the programs prints, and its error."""
    with program(backups, name) as running:
        stdout, stderr = running.communicate(timeout=600)
    assert running.returncode in (0, 1), stderr
    assert "Traceback" not in stderr
    return stdout, stderr.strip()


def refused(results: list[TaskResult]) -> str:
    """The only message of a run that has failed before it changed anything."""
    failed = messages(results)
    assert len(failed) == 1, failed
    assert changed(results) == []
    return failed[0]


def messages(results: list[TaskResult]) -> list[str]:
    """The messages of the tasks that have failed."""
    return [result.message for result in results if result.failed]


def put_something(stack: Deployment) -> None:
    """An experiment with a run, metrics and an artifact, a version of a model made of it, a user, a webhook, and a run that has not ended."""
    with closing(client_of(stack.stack())) as client:
        experiment = client.write("POST", f"{API}/experiments/create", {"name": "kept"}, idempotent=False)["experiment_id"]
        for end in ("FINISHED", "RUNNING"):
            run = client.write("POST", f"{API}/runs/create", {"experiment_id": experiment, "start_time": 1}, idempotent=False)["run"]["info"]
            for step in range(3):
                metric = {"run_id": run["run_id"], "key": "accuracy", "value": step / 4, "timestamp": step, "step": step}
                client.write("POST", f"{API}/runs/log-metric", metric, idempotent=False)
            if end == "FINISHED":
                client.write("POST", f"{API}/runs/update", {"run_id": run["run_id"], "status": end, "end_time": 2}, idempotent=False)
                finished = run
        upload(stack, f"{experiment}/{finished['run_id']}/artifacts/model/MLmodel")
        client.write("POST", f"{API}/registered-models/create", {"name": MODEL}, idempotent=False)
        version = {"name": MODEL, "source": f"{finished['artifact_uri']}/model", "run_id": finished["run_id"]}
        client.write("POST", f"{API}/model-versions/create", version, idempotent=False)
        if stack.stack().tracking_username:
            client.write("POST", f"{API}/users/create", {"username": USER, "password": "a long password"}, idempotent=False)
        webhook = {"name": "kept", "url": URL, "secret": "s3cr3t", "events": [{"entity": "PROMPT", "action": "CREATED"}]}
        client.write("POST", f"{API}/webhooks", webhook, idempotent=False)


def upload(stack: Deployment, path: str) -> None:
    """Store an artifact through the server."""
    http(stack, "PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", ARTIFACT)


def http(stack: Deployment, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
    """The body of a successful answer to the administrator."""
    there = stack.stack()
    # Without authentication, nobody looks at it.
    login = base64.b64encode(f"{there.tracking_username}:{there.tracking_password}".encode()).decode()
    request = urllib.request.Request(f"{there.tracking_uri}{path}", body, {"Authorization": f"Basic {login}", **headers}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def kept(stack: Deployment) -> dict[str, Any]:
    """All that ``put_something`` has put there, as the server tells it."""
    with closing(client_of(stack.stack())) as client:
        experiment = client.get(f"{API}/experiments/get-by-name", experiment_name="kept")["experiment"]
        runs = client.write("POST", f"{API}/runs/search", {"experiment_ids": [experiment["experiment_id"]]}, idempotent=True)["runs"]
        histories = [client.get(f"{API}/metrics/get-history", run_id=run["info"]["run_id"], metric_key="accuracy") for run in runs]
        version = client.get(f"{API}/model-versions/get", name=MODEL, version="1")["model_version"]
        user = client.get(f"{API}/users/get", username=USER) if stack.stack().tracking_username else {}
        webhooks = client.get(f"{API}/webhooks")
    finished = next(run["info"] for run in runs if run["info"]["status"] == "FINISHED")
    artifact = http(stack, "GET", f"/api/2.0/mlflow-artifacts/artifacts/{experiment['experiment_id']}/{finished['run_id']}/artifacts/model/MLmodel")
    assert artifact == ARTIFACT
    assert len(runs) == 2
    assert [len(history["metrics"]) for history in histories] == [3, 3]
    return {"experiment": experiment, "runs": runs, "histories": histories, "version": version, "user": user, "webhooks": webhooks}


def lose(stack: Deployment) -> None:
    """Everything but the packages, which take a minute to install again."""
    stack.stop()
    for entry in stack.home.iterdir():
        if entry.name not in ("venv", ".mlops-mlflow"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
