"""A drill: ``drill.py SETTINGS`` restores the newest set into a scratch folder, tries it, and removes it. Prints, as JSON, lines for people.

A PostgreSQL and an MLflow server of its own, on free ports of loopback, with the secrets of the set, show that the databases are as the manifest
says, that the administrator logs in, that the secrets of webhooks can be read, and that every registered version's artifacts can be. Background
jobs are off, and nothing is written, so that no webhook fires. An error, or what is wrong with the set, is one line, and status 1.
"""
from __future__ import annotations

import base64
import configparser
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psycopg2
from backup import write_state
from backup_lock import alone
from backup_repository import FOLDER, WHOLE, BackupError, answered, chosen, opened
from backup_source import Database, Server, census, differences, now, settings, weight

PATIENCE = 180
#: What a server with its artifacts in S3 has, and this one must not have: its artifacts are in a folder.
NOT_HERE = ("AWS_", "MLFLOW_S3_", "MLFLOW_BOTO_", "PG", "MLFLOW_EXPOSE_PROMETHEUS")


def free_port() -> int:
    """Return a port of loopback on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str], log: Path, stop: signal.Signals) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program as long as it is needed, in a group of its own."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=dict(environment), cwd=log.parent, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def last_line(log: Path) -> str:
    """Return the last line of a log, for messages."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it has printed nothing"


@dataclass(frozen=True)
class Scratch:
    """The folder of a drill, and the stack whose programs it uses."""

    folder: Path
    server: Server
    port: int

    def secret(self, name: str) -> str:
        """Return a secret of the set."""
        return (self.folder / "secrets" / name).read_text().splitlines()[0]

    @property
    def password(self) -> str:
        """The password of PostgreSQL's administrator."""
        return self.secret("postgresql_admin_password")

    @property
    def programs(self) -> Path:
        """The folder of PostgreSQL's programs."""
        return self.server.programs

    @property
    def commands(self) -> tuple[list[str], list[str]]:
        """What migrates the schemas, and what serves."""
        python, home = str(self.server.home / "venv/bin/python"), self.server.home / "mlflow"
        return [python, str(home / "schema.py")], [python, str(home / "serve.py")]

    @property
    def more(self) -> dict[str, str]:
        """What else the server's environment has."""
        return {"MLOPS_MLFLOW_PACKAGES": self.server.environment.get("MLOPS_MLFLOW_PACKAGES", "")}

    def database(self, purpose: str) -> Database:
        """Return one of its databases, as PostgreSQL's administrator."""
        return Database(purpose, f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/{purpose}", {"PGPASSWORD": self.password})

    @contextmanager
    def postgresql(self) -> Iterator[None]:
        """Run PostgreSQL on an empty data folder."""
        programs, data = self.programs, self.folder / "data"
        words = ["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C", "--no-sync"]
        words += ["--builtin-locale=C.UTF-8", f"--pwfile={self.folder / 'secrets/postgresql_admin_password'}", f"--pgdata={data}"]
        done = subprocess.run([str(programs / "initdb"), *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise BackupError(f"mlflow_backup_drill: initdb failed: {done.stderr.strip().splitlines()[-1]}")
        options = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=50"]
        command = [str(programs / "postgres"), "-D", str(data), *(word for option in options for word in ("-c", option))]
        log = self.folder / "postgresql.log"
        with running(command, os.environ, log, signal.SIGINT) as process:
            await_true(self._is_up, process, log)
            yield

    def _is_up(self) -> bool:
        command = [str(self.programs / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={self.port}"]
        return subprocess.run(command, check=False).returncode == 0

    def fill(self, told: Mapping[str, Any]) -> list[str]:
        """Restore a dump; which tables are not as the manifest says."""
        purpose = told["purpose"]
        where: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "user": "postgres", "password": self.password, "dbname": "postgres"}
        with closing(psycopg2.connect(**where)) as session:
            session.autocommit = True
            with session.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {purpose}")
        words = ["--no-owner", "--no-acl", "--exit-on-error", "--single-transaction", f"--dbname={purpose}", str(self.folder / "set" / told["file"])]
        self.database(purpose).run(self.programs / "pg_restore", *words)
        with self.database(purpose).session() as cursor:
            return [f"{purpose}: {each}" for each in differences(told["tables"], census(cursor))]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the server: that of the set, with its own secrets, databases and artifacts."""
        kept = {name: value for name, value in settings(self.folder / "set/server.env").items() if not name.startswith(NOT_HERE)}
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", *NOT_HERE))}, **kept,
            "HOME": str(self.folder), "PGPASSWORD": self.password,
            "MLFLOW_BACKEND_STORE_URI": self.database("tracking").uri, "MLFLOW_ARTIFACTS_DESTINATION": str(self.folder / "artifacts"),
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.b64encode(self.secret("mlflow_webhook_key").encode()).decode(),
            "MLFLOW_CRYPTO_KEK_PASSPHRASE": self.secret("mlflow_crypto_passphrase"),
            "MLFLOW_AUTH_CONFIG_PATH": str(self.folder / "set/auth.ini"), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true", **self.more,
        }  # fmt: skip

    def authentication(self) -> tuple[str, str]:
        """Let the server use the restored accounts; the administrator and his password, empty where none is needed."""
        file = self.folder / "set/auth.ini"
        parser = configparser.ConfigParser()
        if not parser.read(file):
            return "", ""
        parser["mlflow"]["database_uri"] = self.database("authentication").uri
        with file.open("w") as output:
            parser.write(output)
        return parser["mlflow"]["admin_username"], self.secret("mlflow_admin_password")

    def migrate(self) -> None:
        """Bring the schemas to the stack's MLflow, which may be newer than the set's."""
        uris = {"MLFLOW_SCHEMA_URI": self.database("tracking").uri}
        if (self.folder / "set/auth.ini").exists():
            uris["MLFLOW_SCHEMA_AUTH_URI"] = self.database("authentication").uri
        command = [*self.commands[0], "upgrade"]
        done = subprocess.run(
            command, env={**self.environment, **uris}, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd=self.folder
        )
        if done.returncode:
            raise BackupError(f"mlflow_backup_drill: the schema of the set cannot be migrated: {(done.stderr.strip().splitlines() or ['?'])[-1]}")

    @contextmanager
    def mlflow(self) -> Iterator[Client]:
        """Run MLflow on what was restored."""
        username, password = self.authentication()
        port, log = free_port(), self.folder / "mlflow.log"
        program = [*self.commands[1], "--host", "127.0.0.1"]
        basic = ["--app-name", "basic-auth"] if username else []
        client = Client(f"http://127.0.0.1:{port}", username, password)
        with running([*program, "--port", str(port), "--workers", "1", *basic], self.environment, log, signal.SIGTERM) as process:
            await_true(lambda: client.answers("/health"), process, log)
            yield client


def await_true(condition: Any, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a program answers. Raises BackupError if it ends before, or does not answer in time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise BackupError(f"mlflow_backup_drill: {Path(str(log)).stem} does not start on what was restored: {last_line(log)}")
        time.sleep(0.3)


@dataclass(frozen=True)
class Client:
    """What asks the server."""

    uri: str
    username: str
    password: str

    @contextmanager
    def asked(self, route: str, query: Mapping[str, Any]) -> Iterator[Any]:
        """Yield a successful answer."""
        request = urllib.request.Request(f"{self.uri}{route}?{urllib.parse.urlencode(query)}")
        if self.username:
            request.add_header("Authorization", "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode())
        # No proxy could reach this machine's loopback.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            yield answer

    def get(self, route: str, /, **query: Any) -> bytes:
        """Return the body of a successful answer."""
        with self.asked(route, query) as answer:
            return bytes(answer.read())

    def read(self, file: str) -> None:
        """Read an artifact, which may be large, to its end."""
        with self.asked(f"/api/2.0/mlflow-artifacts/artifacts/{urllib.parse.quote(file)}", {}) as answer:
            while answer.read(1 << 20):
                pass

    def answers(self, path: str) -> bool:
        """Whether the server answers."""
        try:
            self.get(path)
        except OSError:
            return False
        return True

    def problem(self, what: str, path: str, **query: Any) -> list[str]:
        """Return why a request fails; nothing if it does not."""
        try:
            self.get(path, **query)
        except urllib.error.HTTPError as error:
            return [f"{what}: HTTP {error.code}"]
        return []

    def pages(self, path: str, key: str, **query: Any) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of a list that has pages."""
        token = ""
        while True:
            page = json.loads(self.get(path, **query, **({"page_token": token} if token else {})))
            yield from page.get(key, ())
            token = page.get("next_page_token", "")
            if not token:
                return

    def unreadable(self, version: Mapping[str, Any]) -> str:
        """Return why a registered version's artifacts cannot be read; empty if they can, or are elsewhere."""
        name = f"{version['name']} {version['version']}"
        try:
            told = json.loads(self.get("/api/2.0/mlflow/model-versions/get-download-uri", name=version["name"], version=version["version"]))
            url = urllib.parse.urlsplit(told["artifact_uri"])
            if url.scheme != "mlflow-artifacts":
                return ""
            files = list(self.files(url.path.strip("/")))
            for file in files:
                self.read(file)
        except (OSError, http.client.HTTPException, KeyError) as error:
            return f"{name} cannot be read ({error})"
        return "" if files else f"{name} has no artifacts"

    def files(self, folder: str) -> Iterator[str]:
        """Yield the paths of all artifacts below a folder."""
        for entry in json.loads(self.get("/api/2.0/mlflow-artifacts/artifacts", path=folder)).get("files", ()):
            path = f"{folder}/{entry['path'].rsplit('/', 1)[-1]}"
            if entry.get("is_dir"):
                yield from self.files(path)
            else:
                yield path


def tried(client: Client) -> tuple[list[str], int]:
    """Return what is wrong with the server, and how many versions' artifacts were read."""
    wrong = client.problem("the administrator cannot list experiments", "/api/2.0/mlflow/experiments/search", max_results=1)
    if wrong:
        return wrong, 0
    wrong += client.problem("the secrets of webhooks cannot be read with the key of the set", "/api/2.0/mlflow/webhooks", max_results=1000)
    versions = list(client.pages("/api/2.0/mlflow/model-versions/search", "model_versions", max_results=1000))
    return wrong + [problem for version in versions if (problem := client.unreadable(version))], len(versions)


def room_for(manifest: Mapping[str, Any], folder: Path) -> str:
    """Return why the set has no room in a folder; empty if it has."""
    needed = manifest["artifacts"]["bytes"] + 10 * sum(told["bytes"] for told in manifest["databases"]) + (200 << 20)
    free = shutil.disk_usage(folder).free
    if free >= needed:
        return ""
    return f"mlflow_backup_drill: the disk of '{folder}' has {free >> 20} MiB free, and {needed >> 20} MiB are needed; free some, then run this again"


def remove_left(folder: Path) -> None:
    """Remove what a drill that was killed has left, and end its processes."""
    for left in folder.glob("drill-*"):
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(entry / "cwd").startswith(str(left)):
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                continue  # ended meanwhile, or another user's
        shutil.rmtree(left, ignore_errors=True)


def drill(request: Mapping[str, Any], made: type[Scratch] = Scratch) -> dict[str, Any]:
    """Try the set; lines for people. ``made`` says how servers run here. Raises BackupError if it is not whole."""
    home, began, start = Path(request["home"]), time.monotonic(), datetime.now(timezone.utc)
    with alone(home, "a drill", BackupError) as lock:
        remove_left(home / FOLDER)
        repository = opened(request, lock, str(home / FOLDER / "cache"))
        wanted = chosen(repository.snapshots(WHOLE), request["set"])
        manifest = repository.manifest(wanted)
        lack = room_for(manifest, home)
        if lack:
            raise BackupError(lack)
        folder = Path(tempfile.mkdtemp(prefix="drill-", dir=home / FOLDER))
        try:
            repository.restore(wanted, wanted.staging, str(folder / "set"))
            repository.restore(wanted, manifest["secrets"], str(folder / "secrets"))
            repository.restore(wanted, manifest["artifacts"]["path"], str(folder / "artifacts"))
            wrong, versions = try_out(made(folder, Server(home), free_port()), manifest)
            artifacts = weight(folder / "artifacts")["files"]
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    rto = round(time.monotonic() - began, 1)
    write_state(home, drill={"time": now(), "set": wanted.id, "seconds": rto, "problems": wrong})
    if wrong:
        raise BackupError(f"mlflow_backup_drill: set {wanted.id[:8]} of {manifest['made']} is not what it should be: {'; '.join(wrong[:5])}")
    rpo = start - datetime.fromisoformat(manifest["made"])
    return {"lines": [
        f"Set {wanted.id[:8]} of {manifest['made']} was restored and tried: {manifest['runs']} runs, all rows as they were, {artifacts} artifacts, "
        f"those of {versions} registered versions read through the server, secrets of webhooks readable",
        f"RPO {round(rpo.total_seconds())} seconds (the age of the set), RTO {rto} seconds (the time that the drill took)",
    ]}  # fmt: skip


def try_out(scratch: Scratch, manifest: Mapping[str, Any]) -> tuple[list[str], int]:
    """Return what is wrong with what was restored, and how many registered versions there are."""
    with scratch.postgresql():
        wrong = [problem for told in manifest["databases"] for problem in scratch.fill(told)]
        if wrong:
            return wrong, 0
        scratch.migrate()
        with scratch.mlflow() as client:
            return tried(client)


if __name__ == "__main__":
    sys.exit(answered(drill, sys.argv[1]))
