"""The program that restores, killed at many moments, on a real PostgreSQL and a real repository, without Ansible and MLflow."""
from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from harness import Stack
from postgresql import PostgreSQL
from restic import restic

pytestmark = pytest.mark.slow
PROGRAMS = Path(__file__).resolve().parents[2] / "roles/mlflow_backup/files"
#: What MLflow's tables are made of for a set, and enough rows for a restore to take a moment.
ROWS = 20_000
SCHEMA = (
    "CREATE TABLE runs (run_uuid text PRIMARY KEY, status text, lifecycle_stage text, start_time bigint)",
    f"INSERT INTO runs SELECT md5(i::text), 'FINISHED', 'active', i FROM generate_series(1, {ROWS}) i",
    "CREATE TABLE tags (key text, run_uuid text REFERENCES runs)",
    f"INSERT INTO tags SELECT i::text, md5(i::text) FROM generate_series(1, {ROWS}) i",
)
SOURCE, TARGET = "killed_source", "killed_target"


class Host:
    """Two folders of stacks, with what the programs read of them: one that was backed up, and one that it is restored to."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder, self.home, self.source = stack, folder, folder / "restored", folder / "source"
        self.postgresql = PostgreSQL(stack.pg_host, stack.pg_port, stack.pg_user, stack.pg_password)
        self.prepare(self.source)
        (self.source / "secrets").mkdir()
        (self.source / "secrets/mlflow_webhook_key").write_text("the key")
        for number in range(200):
            file = self.source / f"artifacts/{number % 10}/{number}/model"
            file.parent.mkdir(parents=True)
            file.write_bytes(os.urandom(1 << 14))
        (self.source / "mlflow").mkdir()
        lines = ["# MLflow 3.17.2", f"MLFLOW_BACKEND_STORE_URI={self.uri(SOURCE)}", f"MLFLOW_ARTIFACTS_DESTINATION={self.source}/artifacts"]
        (self.source / "mlflow/server.env").write_text("\n".join([*lines, f"PGPASSWORD={stack.pg_password}", ""]))

    def prepare(self, home: Path) -> None:
        """An empty folder with the packages."""
        shutil.rmtree(home, ignore_errors=True)
        (home / "backup").mkdir(parents=True)
        (home / "venv").symlink_to(Path(self.stack.python).parents[1])

    def uri(self, database: str) -> str:
        """Where a database is."""
        return f"postgresql+psycopg2://{self.stack.pg_user}@{self.stack.pg_host}:{self.stack.pg_port}/{database}"

    def request(self, home: Path) -> str:
        """What the programs are given."""
        password = {"PGPASSWORD": self.stack.pg_password}
        return json.dumps({
            "home": str(home), "repository": str(self.folder / "repository"), "password": "p", "environment": {}, "restic": [str(restic())],
            "keep": {}, "set": "latest", "replace": False,
            "database": {"uris": {"tracking": self.uri(TARGET)}, "environment": password, "secret_environment": {}},
            "store": {"destination": str(home / "artifacts"), "environment": {}, "secret_environment": {}},
        })  # fmt: skip

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a program, in a group of its own."""
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running = subprocess.Popen([self.stack.python, *words], start_new_session=True, **pipes)
        assert running.stdin
        running.stdin.write(self.request(self.home))
        running.stdin.close()
        running.stdin = None
        return running

    def restore(self, part: str) -> float:
        """Run one part of the restore, which must not fail; how long it took."""
        began = time.monotonic()
        with self.start(str(PROGRAMS / "restore.py"), part) as running:
            _output, error = running.communicate(timeout=300)
        assert (running.returncode, error) == (0, "")
        return time.monotonic() - began

    def killed(self, part: str, when: Callable[[], bool], number: int) -> bool:
        """Start one part of the restore, and kill it, with what it has started or without, which then goes on; whether it ran."""
        running = self.start(str(PROGRAMS / "restore.py"), part)
        while running.poll() is None and not when():
            time.sleep(0.005)
        ran = running.poll() is None
        if ran:
            (os.killpg if number % 2 else os.kill)(running.pid, signal.SIGKILL)
        for pipe in (running.stdout, running.stderr):
            assert pipe
            pipe.close()
        running.wait()
        return ran

    def fills(self) -> bool:
        """Whether the database is being restored."""
        return bool(self.run("postgres", f"SELECT 1 FROM pg_stat_activity WHERE datname = '{TARGET}' AND application_name = 'pg_restore'"))

    def moments(self, part: str, took: float) -> list[Callable[[], bool]]:
        """When it is killed: at any time, and when something of it is half done."""
        at = time.monotonic() + random.uniform(0, took)
        half_done = {"files": ["backup/set", "secrets"], "data": ["artifacts", "artifacts/*/*"]}[part]
        return [lambda: time.monotonic() > at, self.fills, *(partial(self.has, pattern) for pattern in half_done)]

    def has(self, pattern: str) -> bool:
        """Whether there is such a file."""
        return any(True for _path in self.home.glob(pattern))

    def contents(self, home: Path) -> dict[str, bytes]:
        """All artifacts and secrets."""
        found = [path for part in ("artifacts", "secrets") for path in (home / part).rglob("*") if path.is_file()]
        return {str(path.relative_to(home)): path.read_bytes() for path in found}

    def run(self, database: str, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in a database; what the last one finds."""
        there = self.stack
        where: dict[str, Any] = {"host": there.pg_host, "port": there.pg_port, "user": there.pg_user, "password": there.pg_password}
        with closing(psycopg2.connect(**where, dbname=database)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []


@pytest.fixture(scope="module")
def host(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A set of a database and of artifacts."""
    made = Host(stack, tmp_path_factory.mktemp("killed"))
    with made.postgresql.database(SOURCE):
        made.run(SOURCE, *SCHEMA)
        settings = made.folder / "settings.json"
        settings.write_text(made.request(made.source))
        subprocess.run([stack.python, str(PROGRAMS / "backup.py"), str(settings)], check=True, capture_output=True, timeout=300)
        yield made


@pytest.mark.parametrize("part", ["files", "data"])
def test_a_restore_that_is_killed_again_and_again_converges(host: Host, part: str) -> None:
    took = 0.0
    killed = 0
    for number in range(17):
        host.prepare(host.home)
        with host.postgresql.database(TARGET):
            if part == "data":
                host.restore("files")
            # The first time to its end, and then not.
            killed += bool(took) and host.killed(part, host.moments(part, took)[number % 4], number // 4)
            took = took or host.restore(part)
            for each in ("files", "data"):
                host.restore(each)
            assert host.run(TARGET, "SELECT count(*), count(DISTINCT runs.run_uuid) FROM tags JOIN runs USING (run_uuid)") == [(ROWS, ROWS)]
        assert host.contents(host.home) == host.contents(host.source)
        assert not (host.home / "backup/set").exists()
        assert json.loads((host.home / "backup/restoring.json").read_text())["lines"][0].split(": ")[1].startswith(f"{ROWS} runs and 200 artifacts")
    assert killed > 6
