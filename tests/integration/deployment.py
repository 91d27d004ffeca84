"""A deployment of the embedded stack by the collection's own playbooks, in a folder and on ports of its own."""
from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import COLLECTIONS, ROOT, Stack

INVENTORY = COLLECTIONS / "ansible_collections/mlops/mlflow/inventories/embedded/hosts.yml"
PLAYBOOK = ROOT / ".venv" / "bin" / "ansible-playbook"


@dataclass(frozen=True)
class TaskResult:
    """What one task of a playbook run came to on one host."""

    name: str
    changed: bool
    failed: bool
    message: str


@dataclass
class Deployment:
    """One embedded stack. ``first_port`` starts a block of eleven ports; ``variables`` go to the playbook."""

    name: str
    first_port: int
    variables: dict[str, Any] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The stack's folder: the same in every run, so that an earlier run's leftovers are found and removed."""
        return Path(f"/var/tmp/mlops-mlflow-{self.name}-{os.getuid()}")

    def play(self, playbook: str, *arguments: str, **variables: Any) -> list[TaskResult]:
        """Run a playbook of the collection, and give the result of each task in order."""
        ports = {"mlflow_server_port": self.first_port, "postgresql_port": self.first_port + 1, "artifact_store_port": self.first_port + 2}
        extra = {"embedded_home": str(self.home), **ports, **self.variables, **variables}
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        }
        command = [str(PLAYBOOK), f"mlops.mlflow.{playbook}", "-i", str(INVENTORY), "-e", json.dumps(extra), *arguments]
        # From another folder, and without the checkout's ansible.cfg: as where the collection is installed.
        done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=1200, stdin=subprocess.DEVNULL, check=False)
        start = done.stdout.find("{")
        assert start >= 0, done.stdout + done.stderr
        report = json.loads(done.stdout[start:])
        results = []
        for task in (task for play in report["plays"] for task in play["tasks"]):
            for host in task["hosts"].values():
                message = json.dumps([host.get("msg", ""), *(item.get("msg", "") for item in host.get("results", []))], ensure_ascii=False)
                results.append(TaskResult(task["task"]["name"], bool(host.get("changed")), bool(host.get("failed")), message))
        return results

    def up(self, *arguments: str, **variables: Any) -> list[TaskResult]:
        """``site.yml``, which must not fail."""
        results = self.play("site", *arguments, **variables)
        failed = [result for result in results if result.failed and "Wait until" not in result.name]
        assert not failed, failed
        return results

    def stop(self) -> list[TaskResult]:
        """``stop.yml``, which must not fail: the data stay."""
        results = self.play("stop")
        assert not [result for result in results if result.failed], results
        return results

    def remove(self) -> list[TaskResult]:
        """``remove.yml``, with the answer yes."""
        return self.play("remove", remove_confirmed="yes")

    def secret(self, name: str) -> str:
        """A generated secret."""
        return (self.home / "secrets" / name).read_text()

    def stack(self) -> Stack:
        """How to reach what runs here, as its administrator."""
        basic = self.variables.get("mlflow_server_auth") == "basic"
        return Stack(
            tracking_uri=f"http://127.0.0.1:{self.first_port}",
            tracking_username="admin" if basic else "",
            tracking_password=self.secret("mlflow_admin_password") if basic else "",
            s3_endpoint=f"http://127.0.0.1:{self.first_port + 2}",
            s3_access_key="admin",
            s3_secret_key=self.secret("artifact_store_admin_secret_key"),
            pg_host="127.0.0.1",
            pg_port=self.first_port + 1,
            pg_user="postgres",
            pg_password=self.secret("postgresql_admin_password"),
            python=str(self.home / "venv/bin/python"),
        )


def changed(results: list[TaskResult]) -> list[str]:
    """The names of the tasks that changed something, in order."""
    return [result.name for result in results if result.changed]
