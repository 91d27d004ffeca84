"""Backups and restores of a real embedded stack that are killed: nothing of them is taken for whole, and the next one converges."""
from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Timer

import pytest
from backup_lock import alone
from backups import Backups, kept, lose, made, program, refused, run, upload
from deployment import Deployment, changed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def with_set() -> Iterator[Backups]:
    """A stack with an artifact folder, and a set of what is in it."""
    for backups in made("backup-killed", 27660, artifact_store_provider=None):
        backups.back_up()
        yield backups


def test_a_backup_that_is_killed_leaves_no_set_and_the_next_one_converges(with_set: Backups) -> None:
    before = kept(with_set.stack)
    began = time.monotonic()
    assert run(with_set, "backup")[1] == ""
    length = time.monotonic() - began
    whole = {each["id"] for each in with_set.sets()}
    killed = 0
    for number in range(10):
        upload(with_set.stack, f"0/somebody/artifacts/large-{number}")
        one = program(with_set, "backup")
        time.sleep(random.uniform(0.05, length))
        killed += one.poll() is None
        # With what it has started, or without, which then goes on.
        with suppress(ProcessLookupError):
            (os.killpg if number % 2 else os.kill)(one.pid, signal.SIGKILL)
        one.wait()
        assert one.stdout
        assert one.stderr
        one.stdout.close()
        one.stderr.close()
    assert killed > 3
    assert run(with_set, "backup")[1] == ""
    assert with_set.sets("mlops-mlflow-unfinished") == []
    assert not (with_set.stack.home / "backup/set").exists()
    assert len({each["id"] for each in with_set.sets()} - whole) >= 1
    assert run(with_set, "drill")[1] == ""
    assert kept(with_set.stack) == before


def restoring(home: Path) -> int:
    """The process that restores on the host, as the stack's user; 0 if there is none."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = entry.read_bytes().split(b"\0")
            if str(home / "backup/program/restore.py").encode() in words and words[0].endswith(b"python"):
                return int(entry.parent.name)
    return 0


#: When a restore is killed: as soon as there is such a file of the stack.
MOMENTS = {
    "begun": "backup/restoring.json", "dumps": "backup/set/*.dump", "database": "postgresql/data/postmaster.pid", "artifacts": "artifacts/*/*",
    "served": "mlflow/server.env",
}  # fmt: skip


def killed(stack: Deployment, moment: str, victim: str) -> None:
    """Start a restore, and kill Ansible alone, or the program on the host alone, what either has started being left to itself."""
    with stack.start("restore") as running:
        while not list(stack.home.glob(MOMENTS[moment])):
            assert running.poll() is None, running.communicate()
            time.sleep(0.01)
        if victim == "program":
            os.kill(restoring(stack.home), signal.SIGKILL)
            output, _error = running.communicate(timeout=600)
            assert "mlflow_backup: restore.py was killed; run this again" in output
        else:
            running.kill()


@pytest.mark.parametrize(("moment", "victim"), [*((moment, "ansible") for moment in MOMENTS), ("begun", "program"), ("artifacts", "program")])
def test_a_restore_that_is_killed_converges(with_set: Backups, moment: str, victim: str) -> None:
    before = kept(with_set.stack)
    with_set.back_up()
    lose(with_set.stack)
    killed(with_set.stack, moment, victim)
    with_set.restore()
    assert kept(with_set.stack) == before
    assert changed(with_set.stack.up()) == []


def test_what_an_interrupted_restore_has_left_running_is_waited_for(with_set: Backups) -> None:
    stack, before = with_set.stack, kept(with_set.stack)
    with_set.back_up()
    lose(stack)
    with stack.start("restore") as running:
        while not (stack.home / MOMENTS["begun"]).exists():
            time.sleep(0.01)
        process = restoring(stack.home)
        os.kill(process, signal.SIGSTOP)
        running.kill()
    try:
        says = f"a restore has been running since 20[0-9TZ:-]+ .process {process}, or what it has started"
        for playbook in ("restore", "backup"):
            assert re.search(says, refused(stack.play(playbook, "--check")))
        assert "runs or was interrupted" in refused(stack.play("site"))
        with stack.start("restore") as waiting:
            Timer(20, os.kill, (process, signal.SIGCONT)).start()
            output, _error = waiting.communicate(timeout=600)
        assert waiting.returncode == 0, output
        assert re.search(f"Waiting ten minutes at most.*{says}", output)
    finally:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)
    assert kept(stack) == before


def test_a_restore_that_is_given_up_ends_with_the_stack(with_set: Backups) -> None:
    stack, before = with_set.stack, kept(with_set.stack)
    with_set.back_up()
    lose(stack)
    killed(stack, "dumps", "ansible")
    stack.remove()
    assert not stack.home.exists()
    assert not restoring(stack.home)
    with_set.restore()
    assert kept(stack) == before


def test_no_empty_server_takes_the_place_of_what_is_being_restored(tmp_path: Path) -> None:
    for folder in (".mlops-mlflow", "backup"):
        (tmp_path / folder).mkdir()
    (tmp_path / "backup/restoring.json").write_text('{"set": "a1"}')
    begun = Deployment("restoring", 27640, {"embedded_home": str(tmp_path)})
    assert "runs or was interrupted, and an empty MLflow would take the place" in refused(begun.play("site"))


def test_what_is_running_is_named_and_waited_for(tmp_path: Path) -> None:
    for folder in (".mlops-mlflow", "backup"):
        (tmp_path / folder).mkdir()
    begun = Deployment("restoring", 27640, {"embedded_home": str(tmp_path), "mlflow_backup_password_file": str(tmp_path / "none")})
    says = f"embedded_home: '{tmp_path}' is in use, a restore has been running since 20.* .process {os.getpid()}, or what it has started"
    assert "there is no file" in refused(begun.play("restore", "--check"))
    with alone(tmp_path, "a restore", OSError):
        assert re.search(says, refused(begun.play("restore", "--check")))
    with ExitStack() as lock:
        lock.enter_context(alone(tmp_path, "a restore", OSError))
        with begun.start("restore") as waiting:
            assert waiting.stdout
            assert any(re.search(f"Waiting ten minutes at most. {says}", line) for line in waiting.stdout)
            lock.close()
            output, _error = waiting.communicate(timeout=600)
    assert "there is no file" in output
