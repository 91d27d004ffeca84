"""Run a module as its user does, and watch what it does to the server."""
from __future__ import annotations

import atexit
import contextlib
import http.client
import json
import os
import select
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / os.environ.get("MLFLOW_TEST_COLLECTIONS", "build/collections")
PLUGINS = COLLECTIONS / "ansible_collections/mlops/mlflow/plugins"
ANSIBLE = ROOT / ".venv" / "bin" / "ansible"


@cache
def module_utils() -> str:
    """A folder with what a module finds of Ansible on a host: ``module_utils`` alone."""
    import ansible  # noqa: PLC0415 - the tests of mlflow-utils have none

    folder = Path(tempfile.mkdtemp(prefix="mlflow-module-utils-"))
    atexit.register(shutil.rmtree, folder)
    (folder / "ansible").mkdir()
    (folder / "ansible/__init__.py").touch()
    (folder / "ansible/module_utils").symlink_to(Path(ansible.__file__).parent / "module_utils")
    return str(folder)


@dataclass(frozen=True)
class Done:
    """What a module's process came to."""

    status: int
    stdout: str
    stderr: str


class ModuleHost:
    """``module_host.py`` under an interpreter, which finds the collection, ``module_utils``, and before them what is in ``libraries``."""

    def __init__(self, interpreter: str, libraries: str | None = None) -> None:
        path = os.pathsep.join(filter(None, [libraries, str(COLLECTIONS), module_utils()]))
        self._folder = tempfile.mkdtemp(prefix="mlflow-module-host-")
        self._address = f"{self._folder}/socket"
        self._process = subprocess.Popen(
            [interpreter, str(Path(__file__).with_name("module_host.py")), self._address],
            env={**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
            stdin=subprocess.PIPE,
        )
        while not os.path.exists(self._address):
            assert self._process.poll() is None, "the host of modules has ended"
            time.sleep(0.01)

    def run(self, request: Mapping[str, Any]) -> Done:
        """Run a module from the project's root. Raises TimeoutError after three minutes."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(180)
            connection.connect(self._address)
            connection.sendall(json.dumps({**request, "folder": str(ROOT)}).encode())
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as reader:
                return Done(**json.load(reader))

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self._folder)


@cache
def _module_host(interpreter: str) -> ModuleHost:
    host = ModuleHost(interpreter)
    atexit.register(host.close)
    return host


@dataclass(frozen=True)
class Stack:
    """The servers that a test runs against, as their administrator reaches them: the embedded deployment, or MLflow alone."""

    tracking_uri: str
    tracking_username: str
    tracking_password: str
    python: str  # the interpreter with psycopg2, boto3 and mlflow
    s3_endpoint: str = ""
    s3_access_key: str = ""
    s3_secret_key: str = ""
    pg_host: str = ""
    pg_port: int = 0
    pg_user: str = ""
    pg_password: str = ""

    def environment(self) -> dict[str, str]:
        """The variables that the modules fall back on, so that a test names only what it is about."""
        tracking = {
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "MLFLOW_TRACKING_USERNAME": self.tracking_username,
            "MLFLOW_TRACKING_PASSWORD": self.tracking_password,
        }
        s3 = {
            "AWS_ENDPOINT_URL": self.s3_endpoint,
            "AWS_ACCESS_KEY_ID": self.s3_access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3_secret_key,
        }
        postgresql = {
            "PGHOST": self.pg_host,
            "PGPORT": str(self.pg_port),
            "PGUSER": self.pg_user,
            "PGPASSWORD": self.pg_password,
        }
        return {**tracking, **(s3 if self.s3_endpoint else {}), **(postgresql if self.pg_host else {})}


@dataclass(frozen=True)
class Task:
    """One run of a module: its arguments, whether in check mode, and what it finds in its environment beside the stack's variables."""

    module: str
    args: Mapping[str, Any]
    check: bool = False
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ModuleRunner:
    """Runs modules of the built collection on this machine."""

    stack: Stack

    def __call__(self, module: str, args: Mapping[str, Any], check: bool = False, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The module's result, with ``failed`` true or absent. Fails the test if the module warns, or dies with a traceback.

        It runs as Ansible runs it, in a process of its own by the stack's interpreter and with nothing but the collection and ``module_utils``,
        though without Ansible around it, which takes many times as long. A module with an action plugin runs by a playbook.
        """
        task = Task(module, args, check, env or {})
        return self.play([task])[0] if (PLUGINS / "action" / f"{module}.py").exists() else self.alone(task)

    def alone(self, task: Task) -> dict[str, Any]:
        """The result of the module itself, whatever action plugin it has."""
        environment = {**os.environ, **self.stack.environment(), **task.env}
        options = {"_ansible_check_mode": task.check, "_ansible_module_name": f"mlops.mlflow.{task.module}"}
        request = {"module": task.module, "input": json.dumps({"ANSIBLE_MODULE_ARGS": {**task.args, **options}}), "environment": environment}
        # Other libraries need an interpreter that is started with them.
        libraries = task.env.get("PYTHONPATH")
        with contextlib.ExitStack() as ended:
            host = ended.enter_context(contextlib.closing(ModuleHost(self.stack.python, libraries))) if libraries else _module_host(self.stack.python)
            done = host.run(request)
        output = done.stdout + done.stderr
        assert "Traceback" not in output, output
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        assert len(lines) == 1, f"no result: {output}"
        result: dict[str, Any] = json.loads(lines[0])
        assert done.status == (1 if result.get("failed") else 0), output
        assert result.get("failed") or not (result.get("warnings") or result.get("deprecations")), result
        result["_output"] = output
        return result

    def play(self, tasks: Sequence[Task]) -> list[dict[str, Any]]:
        """The result of each task of one playbook, which ends with the first that fails."""
        environment = {
            **os.environ,
            **self.stack.environment(),
            **(tasks[0].env if len(tasks) == 1 else {}),  # for what of it is Ansible's own
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            # The other callbacks leave the diff out of the result.
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_NOCOLOR": "1",
        }
        written = [{f"mlops.mlflow.{task.module}": dict(task.args), "check_mode": task.check, "environment": dict(task.env)} for task in tasks]
        with tempfile.TemporaryDirectory() as folder:
            playbook = Path(folder, "play.yml")
            playbook.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": written}]))
            command = [str(ANSIBLE.with_name("ansible-playbook")), "-i", "localhost,", "-e", f"ansible_python_interpreter={self.stack.python}"]
            command.append(str(playbook))
            done = subprocess.run(
                command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False
            )
        output = done.stdout + done.stderr
        assert "Traceback" not in output, output
        start = done.stdout.find("{")
        assert start >= 0, f"no result: {output}"
        results: list[dict[str, Any]] = [task["hosts"]["localhost"] for task in json.loads(done.stdout[start:])["plays"][0]["tasks"]]
        assert results[-1].get("failed") or (len(results) == len(tasks) and "WARNING" not in done.stderr), output
        return [{**result, "_output": output} for result in results]

    def succeed(self, module: str, /, **args: Any) -> dict[str, Any]:
        """The result of a run that must not fail."""
        result = self(module, args)
        assert not result.get("failed"), result
        return result

    def fail(self, module: str, /, env: Mapping[str, str] | None = None, check: bool = False, **args: Any) -> str:
        """The message of a run that must fail: one sentence, and no secret anywhere in the output."""
        result = self(module, args, check, env)
        assert result.get("failed") is True, result
        assert not result.get("changed"), result
        for secret in (self.stack.tracking_password, self.stack.s3_secret_key, self.stack.pg_password):
            assert not secret or secret not in result["_output"]
        message = str(result["msg"])
        assert "\n" not in message
        assert len(message) < 700
        return message


def python(stack: Stack, script: str, *args: str) -> Any:
    """What ``script`` prints, run by the interpreter that has MLflow's own client."""
    environment = {**os.environ, **stack.environment()}
    done = subprocess.run([stack.python, "-c", script, *args], env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@dataclass
class WriteGuard:
    """A reverse proxy that lets reads through, and refuses and records every write."""

    upstream: str
    writes: list[str] = field(default_factory=list)
    uri: str = ""

    READS = ("GET", "HEAD", "OPTIONS")

    @contextmanager
    def running(self) -> Iterator[WriteGuard]:
        """Serve on a free port of loopback until the block ends; ``uri`` is the address."""
        guard, upstream = self, urlsplit(self.upstream)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.command not in guard.READS and not urlsplit(self.path).path.endswith("/search"):
                    guard.writes.append(f"{self.command} {self.path}")
                    self.send_error(500, "a write in check mode")
                    return
                connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=60)
                connection.request(self.command, self.path, body=body or None, headers=dict(self.headers.items()))
                answer = connection.getresponse()
                content = answer.read()
                self.send_response_only(answer.status, answer.reason)
                for key, value in answer.getheaders():
                    if key.lower() not in ("transfer-encoding", "content-length", "connection"):
                        self.send_header(key, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else None
                self.send_header("Content-Length", length or str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                connection.close()

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve

            def log_message(self, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.uri = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


@dataclass(frozen=True)
class Table:
    """The arguments that create, change and delete one resource, and the key its state is returned under, if it is."""

    module: str
    create: Mapping[str, Any]
    change: Mapping[str, Any]
    delete: Mapping[str, Any]
    result: str = ""


def twelve_steps(run: ModuleRunner, table: Table, read_only: Mapping[str, str], writes: Callable[[], list[str]]) -> None:
    """{create, again, change, again, delete, again} x {check, real}, as one playbook.

    Each pair must agree in ``changed``, ``actions`` and the actions' order; only the first of two equal calls
    changes anything. Check mode runs with the environment ``read_only``, where a write cannot succeed, and
    ``writes`` tells which were tried.
    """
    steps = [
        (step, repeat, args)
        for step, args in (("create", table.create), ("change", table.change), ("delete", table.delete))
        for repeat in (1, 2)
    ]
    tasks = [task for _step, _repeat, args in steps for task in (Task(table.module, args, check=True, env=read_only), Task(table.module, args))]
    results = run.play(tasks)
    assert writes() == [], "check mode wrote"
    assert not results[-1].get("failed"), f"{steps[(len(results) - 1) // 2][:2]}: {results[-1]}"
    for (step, repeat, _args), predicted, real in zip(steps, results[::2], results[1::2], strict=True):
        where, changed = f"{step}, run {repeat}", repeat == 1
        assert (predicted["changed"], real["changed"]) == (changed, changed), f"{where}: {predicted} {real}"
        assert predicted["actions"] == real["actions"], where
        assert predicted["diff"] == real["diff"], where
        assert bool(real["actions"]) == changed, where
        assert not table.result or bool(real[table.result]) == (step != "delete"), where


@contextmanager
def tls_in_front(endpoint: str, context: ssl.SSLContext) -> Iterator[str]:
    """An address that speaks TLS and passes on to ``endpoint`` whatever it hears."""
    upstream = urlsplit(endpoint)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(plain: socket.socket) -> None:
        try:
            with context.wrap_socket(plain, server_side=True) as near, socket.create_connection((upstream.hostname, upstream.port)) as far:
                while True:
                    for ready in [near] if near.pending() else select.select([near, far], [], [])[0]:
                        data = ready.recv(65536)
                        if not data:
                            return
                        (far if ready is near else near).sendall(data)
        except OSError:
            return

    def accept() -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
