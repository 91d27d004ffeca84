"""What is seen of an embedded stack for a diagnosis, without one."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from roles import ROLES

FILES = ROLES / "embedded/files"
MIGRATION = 'revision = "{}"\ndown_revision = {}\nbranch_labels = None\n'


def seen(home: Path) -> dict[str, Any]:
    """What the program prints, started as the role starts it."""
    programs = {name: (FILES / f"{name}.py").read_text() for name in ("asking", "status", "diagnose")}
    settings = {"home": str(home), "as_user": [], "inside": (FILES / "diagnose_inside.py").read_text()}
    request = json.dumps({"programs": programs, "program": "diagnose", "settings": settings})
    done = subprocess.run([sys.executable, "-c", (FILES / "run.py").read_text()], input=request, capture_output=True, text=True, check=True, cwd="/")
    return dict(json.loads(done.stdout))


def test_there_is_nothing(tmp_path: Path) -> None:
    assert seen(tmp_path / "none") == {"there": False}


def test_what_is_missing_is_no_error(tmp_path: Path) -> None:
    found = seen(tmp_path)
    assert found["there"]
    assert found["processes"] == []
    assert "No such file or directory" in found["inside"]["broken"]
    assert found["head"] == found["uri"] == ""
    assert found["disk"]["free"] > 0


def test_the_newest_revision_is_the_one_that_no_other_is_built_on(tmp_path: Path) -> None:
    folder = tmp_path / "venv/lib/python3.11/site-packages/mlflow/store/db_migrations/versions"
    folder.mkdir(parents=True)
    for name, below in (("a1", "None"), ("b2", '"a1"'), ("c3", '"b2"')):
        (folder / f"{name}.py").write_text(MIGRATION.format(name, below))
    assert seen(tmp_path)["head"] == "c3"


def test_who_holds_the_port_of_the_server_and_what_that_answers(tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        thread = Thread(target=other.serve_forever)
        thread.start()
        (tmp_path / "client.env").write_text(f"export MLFLOW_TRACKING_URI=http://127.0.0.1:{other.server_port}\n")
        found = seen(tmp_path)
        other.shutdown()
        thread.join()
    assert found["ports"]["mlflow"] == other.server_port
    assert f"(process {os.getpid()})" in found["foreign"]["mlflow"]
    assert found["health"]["status"] == found["api"]["status"] == 501


def test_who_does_not_answer_is_asked_once(tmp_path: Path) -> None:
    (tmp_path / "client.env").write_text("export MLFLOW_TRACKING_URI=http://127.0.0.1:1\n")
    found = seen(tmp_path)
    assert found["health"] == found["api"] == found["artifacts"]
    assert found["health"]["status"] == 0
    assert "refused" in found["health"]["says"]


@pytest.mark.parametrize("word", ["a long password", "0123456789abcdef"])
def test_a_secret_that_an_error_repeats_is_hidden(word: str) -> None:
    """``hidden`` runs under the stack's Python, which has a driver that this one may lack."""
    text = (FILES / "diagnose_inside.py").read_text()
    names: dict[str, Any] = {}
    exec(text[text.index("def hidden("):text.index("if __name__")], names)
    assert names["hidden"](f"FATAL: '{word}' is wrong", [word, "abc"]) == "FATAL: '…' is wrong"
