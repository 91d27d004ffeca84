"""MLflow servers of a test's own, which it can stop and start again, and a proxy before one that swallows answers."""
from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from mlflow_utils import Settings
from mlflow_utils._rest import Api

#: Seconds until a server must answer: about ten of CPU, on a machine that may be busy.
STARTS_WITHIN = 180


def rows(settings: Settings, run_id: str, key: str) -> list[tuple[int, float]]:
    """Step and value of every row of a metric, by step."""
    api = Api(settings)
    found: list[tuple[int, float]] = []
    token: str | None = None
    while token is None or token:
        query = {"run_id": run_id, "metric_key": key, "max_results": "25000", **({"page_token": token} if token else {})}
        page = api._call("GET", "metrics/get-history", query=query)
        found += [(int(metric.get("step", 0)), float(metric["value"])) for metric in page.get("metrics", [])]
        token = page.get("next_page_token", "")
    api.close()
    return sorted(found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """``mlflow server`` with one worker, from the environment of the tests. ``database`` is an SQLAlchemy URL, SQLite in ``folder`` where empty.

    ``artifacts`` is where artifacts go, a folder in ``folder`` where empty; ``options`` and ``variables`` are for the server.
    """

    def __init__(
        self,
        folder: Path,
        database: str = "",
        *,
        auth: bool = False,
        artifacts: str = "",
        options: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._command = [str(Path(sys.executable).with_name("mlflow")), "server", "-w", "1", "--host", "127.0.0.1", "--port", str(self.port)]
        self._command += ["--backend-store-uri", database or f"sqlite:///{folder}/mlflow.db"]
        self._command += ["--artifacts-destination", artifacts or str(folder / "artifacts")]
        self._command += options
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "_MLFLOW_"))}
        self._environment |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **(variables or {})}
        if auth:
            ini = folder / "auth.ini"
            ini.write_text(
                f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/auth.db\n"
                "admin_username = admin\nadmin_password = for-the-tests-alone\n"
                "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            )
            self._command += ["--app-name", "basic-auth"]
            self._environment |= {"MLFLOW_AUTH_CONFIG_PATH": str(ini), "MLFLOW_FLASK_SERVER_SECRET_KEY": "for-the-tests-alone"}

    def __enter__(self) -> Server:
        self.start()
        self.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and do not wait."""
        assert self._process is None
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, cwd=self._folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )

    def wait(self) -> None:
        """Wait until it answers."""
        process = self._process
        assert process is not None
        limit = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < limit:
            assert process.poll() is None, (self._folder / "server.log").read_text()
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                time.sleep(0.2)
            finally:
                connection.close()
        raise AssertionError((self._folder / "server.log").read_text())

    def stop(self) -> None:
        """Stop it, its worker included, at once."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class LossyProxy:
    """Stands before a server and hands every request on. Where ``loses`` says so of a path, the answer to what was carried out is thrown away."""

    def __init__(self, port: int, loses: Callable[[str], bool], own_port: int = 0) -> None:
        self.lost: list[str] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                server.request(self.command, self.path, body, dict(self.headers))
                answer = server.getresponse()
                content = answer.read()
                server.close()
                if loses(self.path):
                    proxy.lost.append(self.path.partition("?")[0])
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _serve

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", own_port), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[LossyProxy]:
        """Serve within the block."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
