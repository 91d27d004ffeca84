"""The embedded deployment as a whole: what check mode predicts, what a second run does, what comes back after a kill."""
from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from deployment import Deployment, TaskResult, changed


@pytest.fixture(scope="module")
def site() -> Iterator[Deployment]:
    """A deployment of its own, not there yet."""
    deployment = Deployment("site", 27100)
    deployment.remove()
    yield deployment
    deployment.remove()


@pytest.fixture(scope="module")
def predicted(site: Deployment) -> list[TaskResult]:
    """Check mode on a machine that has nothing."""
    results = site.up("--check")
    assert not site.home.exists(), "check mode wrote"
    return results


@pytest.fixture(scope="module")
def first(site: Deployment, predicted: list[TaskResult]) -> list[TaskResult]:
    """The run that check mode predicted."""
    return site.up()


def request(port: int, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, bytes]:
    """Status and body of one HTTP request to loopback."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()


def answers(port: int, path: str) -> bool:
    """Whether a GET gives 200."""
    try:
        return request(port, path)[0] == 200
    except OSError:
        return False


def eventually(condition: Callable[[], bool], seconds: int = 90) -> bool:
    """Whether ``condition`` comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.5)
    return False


def processes(site: Deployment) -> dict[int, str]:
    """The process ids of the stack, with their command lines."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(site.home) in command and "ansible" not in command:
            found[int(entry.parent.name)] = command
    return found


def test_check_mode_predicts_the_first_run(predicted: list[TaskResult], first: list[TaskResult]) -> None:
    assert changed(predicted) == changed(first)
    assert len(changed(first)) > 10


def test_the_first_run_verified_the_server(first: list[TaskResult]) -> None:
    assert any(result.name.endswith("Say what works, and what does not") and "load the model" in result.message for result in first)


def test_a_second_run_and_its_check_change_nothing(site: Deployment, first: list[TaskResult]) -> None:
    before = set(processes(site))
    assert changed(site.up()) == []
    assert changed(site.up("--check")) == []
    assert set(processes(site)) == before


def test_nothing_runs_as_root_or_listens_beyond_loopback(site: Deployment, first: list[TaskResult]) -> None:
    running = processes(site)
    assert len(running) >= 4, running
    assert {os.stat(f"/proc/{pid}").st_uid for pid in running}.isdisjoint({0})
    listening = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout.split("\n")
    ours = [line.split()[3] for line in listening if line and 27100 <= int(line.split()[3].rsplit(":", 1)[1]) < 27111]
    assert len(ours) == 10
    assert all(address.startswith("127.0.0.1:") for address in ours)


def test_secrets_are_private_and_in_no_command_line(site: Deployment, first: list[TaskResult]) -> None:
    names = list((site.home / "secrets").iterdir())
    assert len(names) == 9
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in names} == {0o600}
    secrets = [entry.read_text() for entry in names]
    assert len(set(secrets)) == len(secrets)
    told = " ".join(processes(site).values()) + " ".join(result.message for result in first)
    told += "".join(entry.read_text(errors="replace") for entry in (site.home / "log").iterdir())
    assert [name.name for name, secret in zip(names, secrets) if secret in told] == []


def test_clients_are_told_to_send_artifacts_to_the_server(site: Deployment, first: list[TaskResult]) -> None:
    told = json.loads(request(site.first_port, "/api/3.0/mlflow/server-info")[1])
    assert (told["store_type"], told["multipart_uploads_enabled"], told["multipart_downloads_enabled"]) == ("SqlStore", False, False)


def test_a_foreign_host_name_is_refused(site: Deployment, first: list[TaskResult]) -> None:
    assert request(site.first_port, "/", {"Host": "mlflow.evil.example"})[0] == 403
    assert request(site.first_port, "/", {"Host": f"localhost:{site.first_port}"})[0] == 200


def test_a_foreign_origin_may_not_write(site: Deployment, first: list[TaskResult]) -> None:
    path = "/ajax-api/2.0/mlflow/experiments/create"
    own = {"Origin": f"http://127.0.0.1:{site.first_port}", "Content-Type": "application/json"}
    assert request(site.first_port, path, {**own, "Origin": "http://evil.example"}, "POST")[0] == 403
    assert request(site.first_port, path, own, "POST")[0] == 400


@pytest.mark.parametrize("process", ["uvicorn", "bin/weed", "bin/postgres -c"])
def test_a_killed_process_comes_back(site: Deployment, first: list[TaskResult], process: str) -> None:
    victims = [pid for pid, command in processes(site).items() if process in command]
    assert len(victims) == 1
    os.kill(victims[0], signal.SIGKILL)
    assert eventually(lambda: any(process in command for pid, command in processes(site).items() if pid != victims[0]))
    assert eventually(lambda: answers(site.first_port, "/api/2.0/mlflow/experiments/search?max_results=1"))
    assert eventually(lambda: answers(site.first_port + 2, "/healthz"))


def test_data_and_secrets_outlive_a_stop(site: Deployment, first: list[TaskResult]) -> None:
    experiment = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=mlflow-verify"
    assert eventually(lambda: answers(site.first_port, experiment))
    secret = site.secret("postgresql_admin_password")
    assert changed(site.stop()) == ["mlops.mlflow.embedded : Stop all processes and the supervisor"]
    assert processes(site) == {}
    assert changed(site.stop()) == []
    predicted = changed(site.up("--check"))
    assert processes(site) == {}
    assert predicted == changed(site.up()) != []
    assert answers(site.first_port, experiment)
    assert site.secret("postgresql_admin_password") == secret


def test_basic_authentication_is_one_variable_away(site: Deployment, first: list[TaskResult]) -> None:
    predicted = changed(site.up("--check", mlflow_server_auth="basic"))
    assert predicted == changed(site.up(mlflow_server_auth="basic")) != []
    assert changed(site.up(mlflow_server_auth="basic")) == []
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    assert request(site.first_port, path)[0] == 401
    assert request(site.first_port, "/health")[0] == 200
    exports = (site.home / "client.env").read_text()
    assert f"MLFLOW_TRACKING_PASSWORD={site.secret('mlflow_admin_password')}" in exports
    assert changed(site.up(mlflow_server_auth="none")) != []
    assert request(site.first_port, path)[0] == 200


def test_a_taken_port_is_named(site: Deployment, first: list[TaskResult]) -> None:
    site.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", site.first_port + 1))
        taken.listen()
        failed = [result.message for result in site.play("site") if result.failed]
    assert any("postgresql_port: something else listens on port 27101" in message for message in failed), failed
    site.up()
    assert answers(site.first_port, "/api/2.0/mlflow/experiments/search?max_results=1")


def test_too_many_sessions_are_refused(site: Deployment, first: list[TaskResult]) -> None:
    before = set(processes(site))
    failed = [result.message for result in site.play("site", mlflow_server_workers=4) if result.failed]
    assert len(failed) == 1
    assert "4 workers × 2 engines × (20 + 5) sessions are 200, and PostgreSQL takes 100" in failed[0]
    assert set(processes(site)) == before


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    foreign = Deployment("foreign", 27120, {"embedded_home": str(tmp_path)})
    failed = [result.message for result in foreign.play("site") if result.failed]
    assert len(failed) == 1
    assert "embedded_home" in failed[0]
    foreign.remove()
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_removal_needs_a_yes_and_leaves_nothing(site: Deployment, first: list[TaskResult]) -> None:
    assert [result.failed for result in site.play("remove", remove_confirmed="maybe")][-1] is True
    assert site.home.exists()
    site.remove()
    assert not site.home.exists()
    assert processes(site) == {}
