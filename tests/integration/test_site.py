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
from backups import Backups, kept, lose, put_something
from deployment import Deployment, TaskResult, changed

DECLARATION = {
    "experiments": [{"name": "declared", "tags": {"owner": "site"}}],
    "registered_models": [{"name": "declared", "description": "Made by site.yml, before any run."}],
}
#: Roles in a playbook of a user's own.
VERIFY = """
- hosts: mlflow
  gather_facts: false
  vars: {mlflow_verify_always: true}
  roles: [mlops.mlflow.postgresql, mlops.mlflow.artifact_store, mlops.mlflow.mlflow_server, mlops.mlflow.mlflow_verify]
  tasks:
    - ansible.builtin.include_role: {name: mlops.mlflow.mlflow_resources, tasks_from: drift}
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Deployment]:
    """A deployment of its own, not there yet."""
    deployment = Deployment("site", 27100, {"mlflow_resources_declaration": DECLARATION})
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
    assert any(result.name.endswith("Report the result of the verification") and "load the model" in result.message for result in first)


def test_a_second_run_and_its_check_change_nothing(site: Deployment, first: list[TaskResult]) -> None:
    before = set(processes(site))
    assert changed(site.up()) == []
    assert changed(site.up("--check")) == []
    assert set(processes(site)) == before


def test_it_is_verified_again_and_is_what_is_declared(site: Deployment, first: list[TaskResult], tmp_path: Path) -> None:
    (tmp_path / "verify.yml").write_text(VERIFY)
    results = site.play(tmp_path / "verify.yml")
    assert not [result for result in results if result.failed and "Wait until" not in result.name]
    assert any(result.name.endswith("Report the result of the verification") and "load the model" in result.message for result in results)
    assert any("The server matches the declaration." in result.message for result in results)
    other = {**DECLARATION, "experiments": [{"name": "declared", "tags": {"owner": "somebody else"}}]}
    drifted = [result.message for result in site.play(tmp_path / "verify.yml", mlflow_resources_declaration=other) if result.failed]
    assert "The server differs from the declaration: update experiment declared tags.owner" in drifted[-1]


def test_a_bucket_is_one_volume(site: Deployment, first: list[TaskResult]) -> None:
    assert "copy_1 = 1" in (site.home / "artifact-store/master.toml").read_text().splitlines()
    assert len(list((site.home / "artifact-store/data").glob("mlflow_*.dat"))) == 1


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"embedded_home": "/var/tmp/mlops mlflow"}, "contains a space, a quote, a backslash, a semicolon or a wildcard"),
        ({"embedded_home": "/proc/mlops-mlflow"}, "the disk of '/proc/mlops-mlflow' (/proc) has 0 MiB free, and 4096 MiB are needed to start"),
        ({"embedded_home": "/dev/null/x"}, "cannot be used, because /dev/null is not writable"),
        ({"embedded_mlflow_version": "2.0.0"}, "embedded_mlflow_version 2.0.0: the role has no list of packages for it"),
        pytest.param(
            {"embedded_service": "systemd"}, "embedded_service: is 'systemd', but systemd does not run this machine",
            marks=pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="systemd runs this machine"),
        ),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_change(variables: dict[str, str], says: str) -> None:
    results = Deployment("foreign", 27120).play("site", **variables)
    failed = [result.message for result in results if result.failed]
    assert len(failed) == 1
    assert says in failed[0]
    assert changed(results) == []


def test_the_default_folder_is_known_without_the_makefile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMBEDDED_HOME", raising=False)
    results = Deployment("foreign", 27120).play("site", "--check", embedded_home=None)
    assert [result.message for result in results if result.failed] == []


def test_data_of_another_postgresql_are_refused(tmp_path: Path) -> None:
    (tmp_path / ".mlops-mlflow").mkdir()
    (tmp_path / "postgresql/data").mkdir(parents=True)
    (tmp_path / "postgresql/data/PG_VERSION").write_text("16\n")
    results = Deployment("foreign", 27120, {"embedded_home": str(tmp_path)}).play("site")
    failed = [result.message for result in results if result.failed]
    assert len(failed) == 1
    assert "was written by PostgreSQL 16, and PostgreSQL 18, which would be installed, cannot read it" in failed[0]
    assert "pg_dumpall" in failed[0]
    assert changed(results) == []


def test_nothing_runs_as_root_or_listens_beyond_loopback(site: Deployment, first: list[TaskResult]) -> None:
    running = processes(site)
    assert len(running) >= 4, running
    assert {os.stat(f"/proc/{pid}").st_uid for pid in running}.isdisjoint({0})
    listening = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout.split("\n")
    ours = [line.split()[3] for line in listening if line and 0 <= int(line.split()[3].rsplit(":", 1)[1]) - site.first_port < 11]
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
    for login in ({}, {"Authorization": "Bearer a.b.c"}, {"Authorization": "Negotiate abc=="}):
        assert request(site.first_port, path, login)[0] == 401, login
        assert request(site.first_port, "/health", login)[0] == 200
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
    assert any(f"({os.getpid()}) listens on port {site.first_port + 1} of 127.0.0.1" in message for message in failed), failed
    site.up()
    assert answers(site.first_port, "/api/2.0/mlflow/experiments/search?max_results=1")


def binds(taken: socket.socket, port: int) -> bool:
    """Whether the socket could be bound to the port."""
    try:
        taken.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def test_a_port_that_somebody_takes_while_mlflow_restarts_is_named_at_once(site: Deployment, first: list[TaskResult]) -> None:
    site.up()
    victim = next(pid for pid, command in processes(site).items() if "uvicorn" in command)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        os.kill(victim, signal.SIGKILL)
        assert eventually(lambda: binds(taken, site.first_port))
        taken.listen()
        results = site.play("site")
    failed = [result.message for result in results if result.failed]
    assert len(failed) == 1
    assert f"({os.getpid()}) listens on port {site.first_port} of 127.0.0.1; stop it, or choose another port" in failed[0]
    assert not [result for result in results if "Wait until MLflow" in result.name]
    site.up()
    assert answers(site.first_port, "/api/2.0/mlflow/experiments/search?max_results=1")


def test_too_many_sessions_are_refused(site: Deployment, first: list[TaskResult]) -> None:
    before = set(processes(site))
    failed = [result.message for result in site.play("site", mlflow_server_workers=10) if result.failed]
    assert len(failed) == 1
    # The pool's default is what PostgreSQL leaves for each engine, and not less than five.
    assert "10 workers × 2 engines × (5 + 5) connections = 200, but PostgreSQL allows 100" in failed[0]
    assert set(processes(site)) == before


def test_what_is_lost_comes_back_from_a_backup(site: Deployment, first: list[TaskResult]) -> None:
    with_backups = Backups(site)
    try:
        put_something(site)
        before = kept(site)
        with_backups.back_up()
        lose(site)
        restored = with_backups.restore()
        assert any("1 runs were RUNNING then" in result.message for result in restored)
        assert kept(site) == before
        assert answers(site.first_port, "/api/2.0/mlflow/experiments/get-by-name?experiment_name=declared")
    finally:
        with_backups.forget()


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
