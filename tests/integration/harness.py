"""Run a module as its user does, and watch what it does to the server."""
from __future__ import annotations

import http.client
import json
import os
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / os.environ.get("MLFLOW_TEST_COLLECTIONS", "build/collections")
ANSIBLE = ROOT / ".venv" / "bin" / "ansible"


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


@dataclass
class ModuleRunner:
    """Runs modules of the built collection with ``ansible``, on this machine."""

    stack: Stack

    def __call__(self, module: str, args: Mapping[str, Any], check: bool = False, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The module's result, with ``failed`` true or absent. Fails the test if Ansible warns, or the module dies with a traceback."""
        environment = {
            **os.environ,
            **self.stack.environment(),
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_PYTHON_INTERPRETER": self.stack.python,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            # The other callbacks leave the diff out of the result.
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
            "ANSIBLE_NOCOLOR": "1",
            **(env or {}),
        }
        command = [str(ANSIBLE), "localhost", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={self.stack.python}"]
        command += ["-m", f"mlops.mlflow.{module}", "-a", json.dumps(dict(args)) if args else ""]
        if check:
            command.append("--check")
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=180, stdin=subprocess.DEVNULL, check=False)
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        start = done.stdout.find("{")
        assert start >= 0, f"no result: {done.stdout}{done.stderr}"
        result: dict[str, Any] = json.loads(done.stdout[start:])["plays"][0]["tasks"][0]["hosts"]["localhost"]
        assert result.get("failed") or "WARNING" not in done.stderr, done.stderr
        result["_output"] = done.stdout + done.stderr
        return result

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
    """{create, again, change, again, delete, again} x {check, real}.

    Each pair must agree in ``changed``, ``actions`` and the actions' order; only the first of two equal calls
    changes anything. Check mode runs with the environment ``read_only``, where a write cannot succeed, and
    ``writes`` tells which were tried.
    """
    for step, args in (("create", table.create), ("change", table.change), ("delete", table.delete)):
        for repeat, changed in ((1, True), (2, False)):
            where = f"{step}, run {repeat}"
            predicted = run(table.module, args, check=True, env=read_only)
            assert not predicted.get("failed"), f"{where}: {predicted}"
            assert writes() == [], f"{where}: check mode wrote"
            real = run(table.module, args)
            assert not real.get("failed"), f"{where}: {real}"
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
