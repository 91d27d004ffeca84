"""What the Makefile settles for the tools that it calls, whatever the caller's environment is."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHOW = "show: ; @printf '%s\\n' \"$$LC_ALL\" \"$$UV_SYSTEM_CERTS\" \"$$ANSIBLE_HOME\" \"$$XDG_CACHE_HOME\""


def make(*words: str, **variables: str) -> str:
    """What make prints in such an environment."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    done = subprocess.run(["make", "-s", *words], cwd=ROOT, env={**kept, **variables}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_uv_trusts_what_the_machine_trusts_and_caches_stay_at_home(tmp_path: Path) -> None:
    assert make("--eval", SHOW, "show", HOME=str(tmp_path), LC_ALL="C").splitlines() == ["C.UTF-8", "1", "", ""]


def test_caches_go_into_the_checkout_if_there_is_no_home() -> None:
    folders = [f"{ROOT}/build/ansible", f"{ROOT}/build/cache"]
    assert make("--eval", SHOW, "show", HOME="/dev/null").splitlines()[2:] == folders
    assert make("--eval", SHOW, "show", HOME="/dev/null", ANSIBLE_HOME="/a", XDG_CACHE_HOME="/b").splitlines()[2:] == ["/a", "/b"]


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_ansible_runs_in_every_locale_and_without_a_home(locale: str, tmp_path: Path) -> None:
    printed = make("down", f"ARGS=-e embedded_home={tmp_path}/nothing", LC_ALL=locale, LANG=locale, HOME="/dev/null")
    assert "failed=0" in printed
    assert "ok=" in printed
