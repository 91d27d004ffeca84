"""The files that Ansible sends to a host to run a module, made once and run many times."""
from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import ANSIBLE, COLLECTIONS, Stack
from processes import cpu, servers


@dataclass(frozen=True)
class Run:
    """What one run of a process took: seconds of CPU and by the clock, its children's included, and MiB of memory at most."""

    cpu: float
    wall: float
    memory: float
    output: str

    @property
    def result(self) -> dict[str, Any]:
        """What a module said."""
        result: dict[str, Any] = json.loads(self.output)
        return result


@dataclass(frozen=True)
class Cost:
    """The median seconds of a module, and of its CPU and the servers' together."""

    wall: float
    cpu: float

    def over(self, other: Cost) -> str:
        """The ratios, and the seconds that they are made of."""
        return (
            f"{self.wall / other.wall:.2f} by the clock, {self.cpu / other.cpu:.2f} in CPU time  "
            f"({self.wall:.2f} s and {other.wall:.2f} s, {self.cpu:.2f} s and {other.cpu:.2f} s)"
        )


def turns(stack: Stack, ways: Mapping[str, Callable[[], Run]], rounds: int, before: Callable[[], None] = lambda: None) -> dict[str, Cost]:
    """What each of ``ways`` takes; they take turns, each after ``before``."""
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    serving = servers(stack)
    for _round in range(rounds):
        for name, way in ways.items():
            before()
            start = cpu(serving)
            done = way()
            runs[name].append((done.wall, done.cpu + cpu(serving) - start))
    return {name: Cost(*map(statistics.median, zip(*found))) for name, found in runs.items()}


def unchanged(done: Run) -> Run:
    """The run, which must have found everything right."""
    if done.result["changed"]:
        sys.exit(f"bench: found something to change: {done.output[:500]}")
    return done


def payload(module: str, arguments: Mapping[str, Any], stack: Stack, folder: Path) -> Path:
    """The file that runs ``module``, which has run once to make its resource."""
    done = _send(module, arguments, stack.environment(), stack.python, folder)
    if done.returncode:
        sys.exit(f"bench: {module}: {done.stdout}{done.stderr}")
    return _file(module, folder)


def unused_payload(module: str, arguments: Mapping[str, Any], stack: Stack, folder: Path) -> Path:
    """The file that runs ``module``, which has not reached the server yet: the address comes with the environment."""
    _send(module, {**arguments, "retries": 0}, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, stack.python, folder)
    return _file(module, folder)


def _send(module: str, arguments: Mapping[str, Any], environment: Mapping[str, str], python: str, folder: Path) -> subprocess.CompletedProcess[str]:
    kept = {
        "ANSIBLE_KEEP_REMOTE_FILES": "1",
        "ANSIBLE_LIBRARY": str(Path(__file__).parent / "modules"),
        "ANSIBLE_PIPELINING": "0",
        "ANSIBLE_REMOTE_TMP": str(folder / module),
    }
    return play([{module: dict(arguments)}], {**environment, **kept}, python, folder)


def play(tasks: list[dict[str, Any]], environment: Mapping[str, str], python: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run ``tasks`` on this machine: from a playbook, since a whole declaration is longer than a command line may be."""
    folder.mkdir(parents=True, exist_ok=True)
    playbook = folder / "play.yml"
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    command = [str(ANSIBLE.with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", str(playbook)]
    variables = {"ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_PYTHON_INTERPRETER": python}
    return subprocess.run(command, env={**os.environ, **environment, **variables}, capture_output=True, text=True, check=False)


def _file(module: str, folder: Path) -> Path:
    return next((folder / module).glob("*/AnsiballZ_*.py"))


def run(python: str, path: Path, environment: Mapping[str, str], *arguments: str) -> Run:
    """Run a Python file to its end. Ends the bench where it fails."""
    with tempfile.TemporaryFile() as output:
        start = time.monotonic()
        child = subprocess.Popen([python, path, *arguments], env=environment, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        _pid, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode()
    if child.returncode:
        sys.exit(f"bench: {path.name}: {text}")
    return Run(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, text)
