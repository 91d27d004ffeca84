"""Runs of playbooks against the deployment under test, as its operator starts them."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

SITE = "mlops.mlflow.site"
#: Output that can be read again, whatever the surroundings say.
SETTINGS = {"ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"}


@dataclass(frozen=True)
class Run:
    """What a run came to: its exit status, what it printed, and how long it took."""

    status: int
    output: str
    seconds: float

    @property
    def changed(self) -> int:
        """The number of changes, of all hosts together, as the recap has them."""
        return sum(int(count) for count in re.findall(r"^\S+ +: ok=\d+ +changed=(\d+) ", self.output, re.M))

    @property
    def changes(self) -> list[str]:
        """The tasks that changed something, but for the namespace: before it is there, each role that runs on its own says that it would make it."""
        parts = re.split(r"^TASK \[(.*)\] \*+$", self.output, flags=re.M)
        titles = [title for title, said in zip(parts[1::2], parts[2::2], strict=True) if re.search("^changed: ", said, re.M)]
        return [title for title in titles if "Create the namespace" not in title]

    @property
    def failures(self) -> list[tuple[str, str]]:
        """Each host that a task failed on, with the task's message on one line. Those that a rescue follows are among them."""
        found = re.findall(r"^fatal: \[(\S+?)(?: -> \S+)?\]: \S+ => *\n((?: .*\n)+)(?! |\.\.\.ignoring)", self.output, re.M)
        return [(host, " ".join(str(yaml.safe_load(result).get("msg", result)).split())) for host, result in found]


def another(namespace: str, name: str, host: str = "") -> dict[str, object]:
    """The variables of another server than akko's, in nothing but what keeps the two apart. Without a host, nobody outside reaches it."""
    return {
        "kubernetes_namespace": namespace, "postgresql_name": "database", "postgresql_volume_size": "1Gi",
        "artifact_store_name": "store", "artifact_store_app": "store", "artifact_store_volume_size": "1Gi",
        "mlflow_server_name": name, "mlflow_server_app": name, "mlflow_server_host": host,
    }  # fmt: skip


def roles_playbook(folder: Path, roles: Sequence[str]) -> Path:
    """A playbook, written to the folder, that runs these roles of the collection on the first server, as a user's own would."""
    prepare = [
        {"ansible.builtin.include_role": {"name": "mlops.mlflow.python_env"}},
        {"ansible.builtin.set_fact": {"ansible_python_interpreter": "{{ python_env_interpreter }}"}},
    ]
    wanted = [f"mlops.mlflow.{role}" for role in roles]
    file = folder / "roles.yml"
    file.write_text(yaml.safe_dump([{"hosts": "k3s_server[0]", "gather_facts": False, "become": True, "pre_tasks": prepare, "roles": wanted}]))
    return file


def play(playbook: str | Path = SITE, variables: Mapping[str, object] | None = None, inventory: Path | None = None, timeout: float = 600,
         words: Sequence[str] = ()) -> Run:
    """Run a playbook on the inventories in MLFLOW_TEST_INVENTORY, and on one more where it is given, with extra variables and words."""
    began = time.monotonic()
    done = subprocess.run(_command(playbook, variables, inventory, words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          timeout=timeout, env=os.environ | SETTINGS)
    return Run(done.returncode, done.stdout, time.monotonic() - began)


def _command(playbook: str | Path, variables: Mapping[str, object] | None, inventory: Path | None, words: Sequence[str]) -> list[str]:
    command = ["ansible-playbook", str(playbook), *words, "--extra-vars", json.dumps(variables or {})]
    command += [f"--inventory={path}" for path in [*os.environ["MLFLOW_TEST_INVENTORY"].split(":"), *([inventory] if inventory else [])]]
    return command + [f"--extra-vars=@{path}" for path in os.environ.get("MLFLOW_TEST_VARIABLES", "").split(":") if path]


def play_until(task: str, playbook: str, variables: Mapping[str, object], seconds: float = 0, after: str = "") -> str:
    """Run a playbook, and kill it so many seconds after a task, which comes after another, has begun; what it printed."""
    words = _command(playbook, variables, None, ())
    printed = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | SETTINGS,
                          start_new_session=True) as process:
        assert process.stdout
        for line in process.stdout:
            printed.append(line)
            if not line.startswith("TASK ["):
                continue
            if after and after in line:
                after = ""
            if not after and task in line:
                time.sleep(seconds)
                os.killpg(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL, "".join(printed)
    return "".join(printed)
