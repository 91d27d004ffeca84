"""A deployment of the embedded stack by the collection's playbooks, in its own folder and on its own ports.

    python tests/integration/deployment.py NAME...

removes deployments that a test run left behind.
"""
from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import stack_packages
from harness import COLLECTIONS, ROOT, Stack

INVENTORY = COLLECTIONS / "ansible_collections/mlops/mlflow/inventories/embedded/hosts.yml"
PLAYBOOK = ROOT / ".venv" / "bin" / "ansible-playbook"


@dataclass(frozen=True)
class TaskResult:
    """The result of one task of a playbook run on one host."""

    name: str
    changed: bool
    failed: bool
    message: str


@dataclass
class Deployment:
    """One embedded stack. ``first_port`` starts a block of eleven ports; ``variables`` go to the playbook.

    MLFLOW_TEST_SLOT (1 to 9) gives a checkout other folders and ports, so that its tests can run beside those of another one.
    """

    name: str
    first_port: int
    variables: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        slot = int(os.environ.get("MLFLOW_TEST_SLOT", "0"))
        if slot:
            self.name = f"{self.name}-{slot}"
            self.first_port += 1000 * slot

    @property
    def home(self) -> Path:
        """The stack's folder: the same in every run, so that an earlier run's leftovers are found and removed."""
        return Path(f"/var/tmp/mlops-mlflow-{self.name}-{os.getuid()}")

    def extra(self, **variables: Any) -> dict[str, Any]:
        """All variables of a run."""
        numbers = {"mlflow_server": 0, "postgresql": 1, "artifact_store": 2, "mlflow_server_metrics": 10}
        ports = {f"{name}_port": self.first_port + number for name, number in numbers.items()}
        # A real S3 server, which is not the default of new stacks; none stands for the default.
        wanted = {"embedded_home": str(self.home), **ports, "artifact_store_provider": "embedded", **self.variables, **variables}
        return {name: value for name, value in wanted.items() if value is not None}

    def start(self, playbook: str | Path, *arguments: str, **variables: Any) -> subprocess.Popen[str]:
        """Start a playbook of the collection, or a file."""
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        }
        name = str(playbook) if isinstance(playbook, Path) else f"mlops.mlflow.{playbook}"
        command = [str(PLAYBOOK), name, "-i", str(INVENTORY), "-e", json.dumps(self.extra(**variables)), *arguments]
        # From another folder, without the checkout's ansible.cfg, as with an installed collection.
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)

    def play(self, playbook: str | Path, *arguments: str, **variables: Any) -> list[TaskResult]:
        """Run a playbook of the collection, or a file, and return the results of the tasks in order."""
        with self.start(playbook, *arguments, **variables) as running:
            try:
                stdout, stderr = running.communicate(timeout=1200)
            finally:
                running.kill()
        start = stdout.find("{")
        assert start >= 0, stdout + stderr
        report = json.loads(stdout[start:])
        results = []
        for task in (task for play in report["plays"] for task in play["tasks"]):
            for host in task["hosts"].values():
                told = [host.get("msg", ""), *host.get("lines", []), *(item.get("msg", "") for item in host.get("results", []))]
                message = json.dumps(told, ensure_ascii=False)
                results.append(TaskResult(task["task"]["name"], bool(host.get("changed")), bool(host.get("failed")), message))
        return results

    def up(self, *arguments: str, **variables: Any) -> list[TaskResult]:
        """``site.yml``, which must not fail."""
        results = self.play("site", *arguments, **variables)
        failed = [result for result in results if result.failed and "Wait until" not in result.name]
        assert not failed, failed
        stack_packages.keep(self.home)
        return results

    def deploy(self) -> None:
        """The same for a new stack, in place of an old one. If a stack of this machine has had the packages, pip need not run."""
        self.remove()
        stack_packages.lend(self.home)
        self.up()

    def stop(self) -> list[TaskResult]:
        """``stop.yml``, which must not fail and keeps the data."""
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
        basic = self.variables.get("mlflow_server_auth") in ("basic", "jwt")
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


#: Names a run of tests, of all its processes together, in their environment.
RUN = "MLFLOW_TEST_RUN"


def begin_run() -> None:
    """Set the ID of this run, before it starts other processes, which inherit it."""
    os.environ.setdefault(RUN, uuid.uuid4().hex)


def shared_stack(deployment: Deployment) -> Stack:
    """Return the deployment's stack, which the first process of this run deploys from scratch; ``end_run`` removes it.

    With MLFLOW_TEST_KEEP=1 it is kept for the next run. MLFLOW_TEST_STACK names a JSON file with the fields of ``Stack`` of servers
    to use instead.
    """
    description = os.environ.get("MLFLOW_TEST_STACK")
    if description:
        return Stack(**json.loads(Path(description).read_text()))
    with _told(deployment) as (path, run):
        if run != os.environ[RUN]:
            if os.environ.get("MLFLOW_TEST_KEEP"):
                deployment.up()
            else:
                deployment.deploy()
            path.write_text(os.environ[RUN])
    return deployment.stack()


def end_run(deployment: Deployment) -> None:
    """Remove the deployment if a process of this run has created it; called by the main process when the others have ended."""
    with _told(deployment) as (path, run):
        if run == os.environ[RUN] and os.environ.get("MLFLOW_TEST_KEEP"):
            print(f"kept: {deployment.home}, {asdict(deployment.stack())}", file=sys.stderr)
        elif run == os.environ[RUN]:
            deployment.remove()
        if not run or not deployment.home.exists():
            path.unlink()


def _marker(deployment: Deployment) -> Path:
    return deployment.home.with_name(f"{deployment.home.name}.run")


@contextmanager
def _told(deployment: Deployment) -> Iterator[tuple[Path, str]]:
    """A file beside the deployment, held by this process alone, and the run that it names: the one that brought the deployment up."""
    path = _marker(deployment)
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield path, path.read_text()


def servers_folder() -> Path:
    """State about the other servers that the processes of this run share."""
    return Path(tempfile.gettempdir(), f"mlflow-servers-{os.environ[RUN]}")


def main() -> None:
    """Remove the named deployments, whose processes are gone or not."""
    for name in sys.argv[1:]:
        left = Deployment(name, 0)
        left.remove()
        if left.home.is_mount():
            subprocess.run(["umount", left.home], check=False)
        _marker(left).unlink(missing_ok=True)
    begin_run()
    shutil.rmtree(servers_folder(), ignore_errors=True)


if __name__ == "__main__":
    main()
