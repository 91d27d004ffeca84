"""When a virtual environment is believed, and when it is made anew: with real ones, which use the pip of the Python that makes them."""
from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = (Path(__file__).resolve().parents[3] / "roles/python_env/files/environment.sh").read_text()
REQUIREMENTS = "# nothing"


class Environment:
    """A virtual environment, and the script that makes it."""

    def __init__(self, path: Path, requirements: str = REQUIREMENTS) -> None:
        self.path, self.requirements = path, requirements
        self.mark = path / f".holds-{hashlib.sha1(requirements.encode()).hexdigest()}"

    def start(self, action: str) -> subprocess.Popen[str]:
        python = self.path.with_name("python")
        if action == "install":
            # Giving each a pip of its own takes seconds.
            self.path.parent.mkdir(exist_ok=True)
            python.write_text(f'#!/bin/sh\nexec {sys._base_executable} "$@" --without-pip --system-site-packages\n')  # type: ignore[attr-defined]
            python.chmod(0o700)
        words = ["sh", "-c", SCRIPT, "environment.sh", action, str(self.path), str(self.mark), str(python), "--no-index"]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, action: str, requirements: str | None = None) -> tuple[int, str]:
        with self.start(action) as running:
            _stdout, stderr = running.communicate(requirements or f"{self.requirements}\n")
            return running.returncode, stderr

    @property
    def is_ready(self) -> bool:
        return self.run("check")[0] == 0


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """One that is ready."""
    made = Environment(tmp_path / "a folder" / "venv")
    assert not made.is_ready
    assert made.run("install") == (0, "")
    assert made.is_ready
    return made


def test_one_that_is_ready_stays(environment: Environment) -> None:
    kept = environment.path / "kept"
    kept.touch()
    assert environment.run("fetch") == environment.run("install") == (0, "")
    assert kept.exists()


def test_one_for_other_requirements_is_made_anew(environment: Environment) -> None:
    other = Environment(environment.path, "# other")
    assert other.run("check")[0] == 3
    assert not other.is_ready
    assert other.run("install") == (0, "")
    assert other.is_ready
    assert not environment.is_ready, "it would be believed when they are asked for again"


def test_one_that_was_moved_is_made_anew(environment: Environment) -> None:
    moved = Environment(environment.path.with_name("moved"))
    environment.path.rename(moved.path)
    assert not moved.is_ready
    assert moved.run("install") == (0, "")
    assert moved.is_ready


def test_one_whose_python_is_gone_is_made_anew(environment: Environment) -> None:
    python = next(path for path in (environment.path / "bin").glob("python*") if os.path.isabs(os.readlink(path)))
    python.unlink()
    python.symlink_to("/usr/bin/python-that-was-upgraded")
    assert environment.run("check")[0] == 1
    assert environment.run("fetch") == (0, ""), "there is nothing to fetch with"
    assert environment.run("install") == (0, "")
    assert environment.is_ready


def test_what_cannot_be_installed_is_no_environment(environment: Environment) -> None:
    other = Environment(environment.path, "no-such-package==1")
    status, told = other.run("fetch")
    assert status != 0
    assert "ERROR: No matching distribution found for no-such-package==1" in told
    assert environment.is_ready
    assert other.run("install")[0] != 0
    assert not other.is_ready
    assert not environment.is_ready


def test_requirements_that_arrive_incompletely_are_refused(environment: Environment) -> None:
    status, told = Environment(environment.path, "# more than that").run("install", "# more")
    assert (status, told) == (1, "ERROR: the requirements arrived incompletely\n")
    assert environment.is_ready


def test_a_second_run_waits_for_the_first(tmp_path: Path) -> None:
    made = Environment(tmp_path / "venv")
    with subprocess.Popen(["flock", str(tmp_path), "sleep", "3"]), made.start("install") as second:
        assert second.stdin
        second.stdin.write(f"{REQUIREMENTS}\n")
        second.stdin.close()
        time.sleep(1)
        assert not made.path.exists()
        assert second.wait(60) == 0
    assert made.is_ready
