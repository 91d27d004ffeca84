"""Tracking servers of several MLflow versions, on this machine, for as long as a test session.

    python tests/integration/tracking_servers.py start --version 3.17.2 --store sqlite --auth --workspaces --port 21400

starts one by hand.
"""
from __future__ import annotations

import argparse
import base64
import fcntl
import hashlib
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import ROOT, ModuleRunner, Stack
from installations import REQUIREMENTS, Installation, installation
from postgresql import PostgreSQL, private_postgresql

if TYPE_CHECKING:
    from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient

#: Seconds until a server must answer: about ten of CPU, on a machine that may be busy.
STARTS_WITHIN = 180
ADMIN = "admin"
#: Beginnings of the caller's variables that would reach into a server, as a proxy's would.
FOREIGN = ("MLFLOW_", "_MLFLOW_", "AWS_", "PG", "OTEL_", "GUNICORN_", "PYTHONPATH")


@dataclass(frozen=True)
class Flavour:
    """One way to run a tracking server. ``env`` adds to the server's environment."""

    version: str
    store: str = "sqlite"
    auth: bool = False
    workspaces: bool = False
    workers: int = 1
    env: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        parts = [self.version, self.store, "auth" if self.auth else "open"]
        return "-".join(parts + (["workspaces"] if self.workspaces else []))


def client_of(stack: Stack) -> RestClient:
    """A client with the administrator's credentials. The caller closes it."""
    from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import Connection, RestClient  # noqa: PLC0415

    return RestClient(Connection(stack.tracking_uri, stack.tracking_username or None, stack.tracking_password or None))


#: What the modules are tested against; the first is what the collection itself deploys.
DEPLOYED = Flavour("3.17.2", "postgresql", auth=True)
MATRIX = (
    DEPLOYED,
    Flavour("3.17.2", "sqlite"),
    Flavour("3.16.1", "postgresql", auth=True),
    Flavour("2.22.5", "sqlite", auth=True),
)


@dataclass(frozen=True)
class Server:
    """A tracking server that runs, and how to reach it as its administrator."""

    flavour: Flavour
    stack: Stack

    @property
    def run(self) -> ModuleRunner:
        """Runs modules against this server, as their user does."""
        return ModuleRunner(self.stack)

    def client(self) -> RestClient:
        """A client with the administrator's credentials, to do by hand what a test needs. The caller closes it."""
        return client_of(self.stack)


class Servers:
    """Starts each flavour when it is first asked for, and stops all at the end of the block."""

    def __init__(self) -> None:
        self._postgresql: PostgreSQL | None = None
        self._cleanup = ExitStack()
        self._running: dict[Flavour, Server] = {}

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._running.clear()
        self._cleanup.close()

    def __call__(self, flavour: Flavour, port: int = 0) -> Server:
        """The server of ``flavour``; a new one takes a free port where ``port`` is 0. Raises RuntimeError if it does not come up."""
        if flavour not in self._running:
            self._running[flavour] = self._cleanup.enter_context(_running(flavour, port, self._private_postgresql))
        return self._running[flavour]

    def _private_postgresql(self) -> PostgreSQL:
        if self._postgresql is None:
            self._postgresql = self._cleanup.enter_context(private_postgresql(DEPLOYED.version))
        return self._postgresql


class SharedServers(Servers):
    """Starts each flavour once for all processes that share ``folder``; ``end`` stops them, when these processes have ended."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __call__(self, flavour: Flavour, port: int = 0) -> Server:
        """The server of ``flavour``, whichever process has started it."""
        assert port == 0, "a server that is shared takes a free port"
        if flavour not in self._running:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            path = self._folder / hashlib.sha256(repr(flavour).encode()).hexdigest()[:12]
            with path.open("a+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not path.read_text():
                    stack, pid = _detached(_options(flavour))
                    path.write_text(json.dumps({"pid": pid, "stack": json.loads(stack)}))
                self._running[flavour] = Server(flavour, Stack(**json.loads(path.read_text())["stack"]))
        return self._running[flavour]

    def end(self) -> None:
        """Stop all servers, and wait until they have stopped."""
        pids = [json.loads(text)["pid"] for path in self._folder.glob("*") if (text := path.read_text())]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 60
        while any(_is_there(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.1)
        shutil.rmtree(self._folder, ignore_errors=True)


def _is_there(pid: int) -> bool:
    """Whether the process has not ended; whoever should wait for it may be gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def _running(flavour: Flavour, port: int, postgresql: Callable[[], PostgreSQL]) -> Iterator[Server]:
    python = installation(flavour.version)
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix=f"mlflow-{flavour}-", ignore_cleanup_errors=True)))
        uris = [cleanup.enter_context(_database(flavour.store, name, folder, python, postgresql)) for name in ("mlflow", "auth")]
        password = secrets.token_urlsafe(18) if flavour.auth else ""
        environment = _environment(flavour, python, folder, uris, password)
        port = _free_port(port)
        uri = f"http://127.0.0.1:{port}"
        log = folder / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                _command(flavour, python, port),
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        cleanup.callback(_stop, process)
        _wait(f"MLflow {flavour}", port, process, log)
        yield Server(flavour, Stack(uri, ADMIN if flavour.auth else "", password, python=str(python.python)))


@contextmanager
def _database(store: str, name: str, folder: Path, python: Installation, postgresql: Callable[[], PostgreSQL]) -> Iterator[str]:
    """The URI of an empty database of its own."""
    if store == "postgresql":
        with postgresql().database(f"{name}_{secrets.token_hex(4)}") as uri:
            yield uri
        return
    file = folder / f"{name}.db"
    if name == "mlflow":
        shutil.copyfile(python.sqlite, file)
    yield f"sqlite:///{file}"


def _environment(flavour: Flavour, python: Installation, folder: Path, uris: list[str], password: str) -> dict[str, str]:
    tracking, auth = uris
    own = {
        "PATH": f"{python.python.parent}:{os.environ['PATH']}",
        "MLFLOW_BACKEND_STORE_URI": tracking,
        "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts"),
        "MLFLOW_SERVE_ARTIFACTS": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "20",
        # Tests deliver webhooks to loopback.
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "MLFLOW_CRYPTO_KEK_PASSPHRASE": secrets.token_urlsafe(24),
    }
    if flavour.auth:
        config = folder / "auth.ini"
        config.touch(mode=0o600)
        # 2.22 has no variables for the administrator, and passes over the cache's setting.
        config.write_text(
            "[mlflow]\ndefault_permission = READ\n"
            f"database_uri = {auth.replace('%', '%%')}\nadmin_username = {ADMIN}\nadmin_password = {password}\nauth_cache_ttl_seconds = 60\n"
        )
        own |= {"MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_urlsafe(24)}
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN) and not key.lower().endswith("_proxy")}
    return {**inherited, **own, **dict(flavour.env)}


def _command(flavour: Flavour, python: Installation, port: int) -> list[str]:
    # The collection's launcher holds half the memory; 2.22, which serves by gunicorn, cannot use it.
    modern = not flavour.version.startswith("2.")
    launch = [str(ROOT / "roles/mlflow_server/files/serve.py")] if modern else ["-m", "mlflow", "server"]
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(flavour.workers)]
    options += ["--app-name", "basic-auth"] if flavour.auth else []
    options += ["--enable-workspaces"] if flavour.workspaces else []
    return [str(python.python), *launch, *options]


def _wait(name: str, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        if _is_alive(port):
            return
        time.sleep(0.2)
    happened = f"did not answer on port {port} within {STARTS_WITHIN} s" if process.poll() is None else f"ended with code {process.returncode}"
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
    raise RuntimeError(f"{name} {happened}; the end of its log:\n{tail}")


def _is_alive(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started: politely, and after a while otherwise."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal_group(process, number)
        deadline = time.monotonic() + 15
        while _signal_group(process, 0) and time.monotonic() < deadline:
            time.sleep(0.05)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> bool:
    """Whether there was anything left to send signal ``number`` to."""
    process.poll()  # a child that nobody waited for counts as there
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _free_port(port: int) -> int:
    """``port``, or any where it is 0. Raises RuntimeError if it is taken."""
    try:
        with socket.create_server(("127.0.0.1", port)) as listener:
            free: int = listener.getsockname()[1]
            return free
    except OSError as error:
        raise RuntimeError(f"port {port} of loopback cannot be used: {error.strerror}; name another") from None


def start(arguments: argparse.Namespace) -> None:
    """Run the server that the command line describes until this process is told to end."""
    flavour = Flavour(arguments.version, arguments.store, arguments.auth, arguments.workspaces, arguments.workers, tuple(arguments.env))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with Servers() as servers:
        server = servers(flavour, arguments.port)
        print(json.dumps({key: value for key, value in asdict(server.stack).items() if value or key.startswith("tracking_")}), flush=True)
        print(f"{flavour} runs; kill {os.getpid()} ends it", file=sys.stderr, flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()


def _options(flavour: Flavour) -> list[str]:
    """The command line that starts the flavour."""
    words = ["--version", flavour.version, "--store", flavour.store, "--workers", str(flavour.workers)]
    words += ["--auth"] if flavour.auth else []
    words += ["--workspaces"] if flavour.workspaces else []
    return words + [f"--env={name}={value}" for name, value in flavour.env]


def _detached(options: Sequence[str]) -> tuple[str, int]:
    """Start a server that is nobody's child; its description, and the process that ends it. Raises RuntimeError if it does not come up."""
    command = [sys.executable, __file__, "start", *options, "--detach"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    told = re.search(r"kill (\d+) ends it", done.stderr)
    if not told:
        raise RuntimeError(done.stderr.rstrip())
    return done.stdout, int(told[1])


def detach(words: list[str]) -> int:
    """Run the same command in the background; return 0 once its server is up, and 1 if it does not come up."""
    command = [sys.executable, __file__, *(word for word in words if word != "--detach")]
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, text=True, start_new_session=True)
        assert child.stdout
        description = child.stdout.readline()
        print(description, end="", flush=True)
        if description:
            print(f"kill {child.pid} ends it", file=sys.stderr)
            return 0
        child.wait()
        said.seek(0)
        sys.stderr.write(said.read())
        return 1


def main() -> int:
    """Print a JSON with the fields of ``Stack``, for MLFLOW_TEST_STACK, once the server is up."""
    parser = argparse.ArgumentParser(description="Start a tracking server for development, with everything temporary.")
    parser.add_argument("action", choices=["start"])
    parser.add_argument("--version", choices=sorted(REQUIREMENTS), default=DEPLOYED.version)
    parser.add_argument("--store", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--auth", action="store_true", help="basic authentication")
    parser.add_argument("--workspaces", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--env", action="append", default=[], type=lambda word: tuple(word.split("=", 1)), metavar="NAME=VALUE")
    parser.add_argument("--port", type=int, default=0, help="a free one where it is not given")
    parser.add_argument("--detach", action="store_true", help="return once the server is up")
    arguments = parser.parse_args()
    if arguments.detach:
        return detach(sys.argv[1:])
    try:
        start(arguments)
    except RuntimeError as error:
        sys.exit(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
