"""What the exporter tells where something of what it looks at is missing or fails."""
from __future__ import annotations

import http.server
import json
import runpy
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[3] / "roles/mlflow_server/files/prometheus_exporter.py"
EXPORTER: dict[str, Any] = runpy.run_path(str(FILE))
STATE = {
    "backup": {"time": "2026-11-30T03:00:00Z", "set": "01", "seconds": 4.5, "bytes": 900, "added": 30, "sets": 7}, "failed": None,
    "drill": {"time": "2026-11-30T04:00:00Z", "set": "01", "seconds": 60.5, "problems": ["runs has 1 rows instead of 2"]},
}  # fmt: skip
#: Replaces what is not among the tools. The signal comes while a library ignores the exceptions of its callbacks, as psycopg2 does while it loads.
ENDED = """
import runpy, signal, sys, types
from contextlib import suppress
def connect(*given, **named):
    with suppress(BaseException):
        print("ended", flush=True)
        signal.raise_signal(signal.SIGTERM)
    raise OperationalError
class OperationalError(Exception):
    pass
sys.modules["psycopg2"] = types.SimpleNamespace(connect=connect, OperationalError=OperationalError)
for name in ("prometheus_client", "prometheus_client.multiprocess"):
    sys.modules[name] = types.ModuleType(name)
registry = types.SimpleNamespace(register=lambda look: None)
sys.modules["prometheus_client"].CollectorRegistry = lambda: registry
sys.modules["prometheus_client"].start_http_server = lambda *given: print(signal.getsignal(signal.SIGTERM) != signal.SIG_DFL, flush=True)
sys.modules["prometheus_client.multiprocess"].MultiProcessCollector = lambda registry, path: None
program = sys.argv.pop(1)
runpy.run_path(program, run_name="__main__")
"""


def told(metrics: Iterator[Any]) -> dict[str, float]:
    """The values of metrics without labels."""
    return {metric.name: value for metric in metrics for _labels, value in metric.values}


def test_a_source_that_fails_does_not_silence_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> Iterator[Any]:
        yield EXPORTER["single"]("before", "", 1)
        raise RuntimeError("no more")

    look = EXPORTER["Look"]([fails, lambda: [EXPORTER["single"]("after", "", 1)]], 15)
    look.take()
    assert [metric.name for metric in look._found] == ["before", "after"]
    assert "RuntimeError: no more" in capsys.readouterr().err


def test_nothing_old_is_told() -> None:
    answers = [[EXPORTER["single"]("runs", "", 1)], []]
    look = EXPORTER["Look"]([lambda: answers.pop(0)], 15)
    look.take()
    assert look._found
    look.take()
    assert not look._found


def test_the_last_backup_and_drill_are_told(tmp_path: Path) -> None:
    assert told(EXPORTER["of_home"](tmp_path)).keys() == {"disk_size_bytes", "disk_free_bytes"}
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup/state.json").write_text(json.dumps(STATE))
    found = told(EXPORTER["of_home"](tmp_path))
    assert (found["backup_last_success_timestamp_seconds"], found["backup_size_bytes"], found["backup_failed"]) == (1796007600, 900, 0)
    assert (found["backup_drill_timestamp_seconds"], found["backup_drill_problems"]) == (1796011200, 1)


@pytest.mark.parametrize(("status", "is_up"), [(200, 1), (503, 0)])
def test_a_server_is_up_if_it_answers_well(status: int, is_up: float) -> None:
    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_given: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert told(EXPORTER["of_server"](f"http://127.0.0.1:{server.server_port}/health")) == {"up": is_up}


def test_a_server_that_is_not_there_is_not_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert told(EXPORTER["of_server"](f"http://127.0.0.1:{port}/health")) == {"up": 0}


def test_it_ends_when_its_container_does(tmp_path: Path) -> None:
    # The first process of a container is ended by no signal that it does not handle.
    words = [sys.executable, "-c", ENDED, str(FILE), "--port=1", "--server=http://127.0.0.1:1/health", "--pause=60"]
    environment = {"MLFLOW_EXPOSE_PROMETHEUS": str(tmp_path / "m"), "MLFLOW_BACKEND_STORE_URI": "postgresql://nobody@127.0.0.1:1/x"}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["True", "ended"])
