"""The schemas of an MLflow server's databases: ``schema.py status``, ``schema.py check`` and ``schema.py upgrade``.

Reads MLFLOW_SCHEMA_URI and, where basic authentication is on, MLFLOW_SCHEMA_AUTH_URI, where mlflow-oidc-auth is, MLFLOW_SCHEMA_OIDC_URI; the
password comes from PGPASSWORD, and libpq's other variables (PGSSLMODE, PGSSLROOTCERT) hold too.
``status`` prints the worst of ``current``, ``fresh`` (no schema yet), ``old``, ``newer`` (made by a later MLflow, which is a
failure) and ``unreachable``. ``check`` does too, and fails with the reason where nothing could be migrated. ``upgrade`` holds an
advisory lock, so that only one of several migrates, and checks the outcome. In a pod, the outcome of these two, which are all that
such a pod runs, is the container's termination message.
"""
from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

#: Any number will do, as long as all migrations of MLflow take the same.
LOCK = 0x6D6C666C6F77
LOCK_TIMEOUT = "300s"
NEWER = (
    "the database was migrated by a later MLflow than the one installed here, and cannot go back; "
    "install that version or a later one, or restore a backup from before the migration"
)
#: How a package comes into an image, for those that are not in each.
REMEDIES = {"mlflow_oidc_auth": "set mlflow_image_oidc_plugin: true"}
WORST_LAST = ("current", "fresh", "old", "newer", "unreachable")
#: A pod's network is let through to PostgreSQL some seconds after the pod has started.
PATIENCE_SECONDS = 60
#: https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
TERMINATION_LOG = Path("/dev/termination-log")
#: What waiting does not cure.
FINAL = re.compile(r"authentication failed|does not exist|certificate|SSL|no pg_hba.conf entry")


def report(message: str) -> None:
    """Print ``message`` and, in a pod, leave it where Kubernetes shows it."""
    print(message, flush=True)
    if TERMINATION_LOG.exists():
        TERMINATION_LOG.write_text(message)


def fail(message: str) -> NoReturn:
    """End with ``message`` and exit status 1."""
    if TERMINATION_LOG.exists():
        TERMINATION_LOG.write_text(message)
    sys.exit(message)


def moved(before: str, after: str) -> str:
    """Where a schema has come to."""
    return f"is at {after or 'nothing'}, as before" if after == before else f"went from {before or 'nothing'} to {after or 'nothing'}"


def driver() -> Any:
    """Psycopg2, which MLflow does not bring along."""
    try:
        import psycopg2  # noqa: PLC0415 (its absence is what is told)
    except ImportError:
        fail(f"{sys.executable} lacks PostgreSQL's driver; install psycopg2-binary there, or use an image that has it")
    return psycopg2


@dataclass(frozen=True)
class Schema:
    """One Alembic schema: its database, where its package keeps the migrations, and the command that runs them."""

    uri: str
    migrations: str
    version_table: str
    upgrade: tuple[str, ...]
    package: str = "mlflow"
    #: A table of others, with which it cannot share a database.
    stranger: str = ""

    @property
    def database(self) -> str:
        """The database's name and server, for messages."""
        url = urlsplit(self.uri)
        return f"{unquote(url.path[1:])} on {url.hostname}:{url.port or 5432}"

    def known_revisions(self) -> tuple[set[str], str]:
        """All revisions of the installed MLflow, and the newest. Reads the files: importing them takes seconds."""
        package = importlib.util.find_spec(self.package)
        if package is None or package.origin is None:
            fail(f"{sys.executable} lacks {self.package}; {REMEDIES.get(self.package, 'install it there')}, or use an image that has it")
        folder = Path(package.origin).parent / self.migrations
        revisions: set[str] = set()
        followed: set[str] = set()
        for file in folder.glob("*.py"):
            text = file.read_text()
            revisions.update(re.findall(r"^revision(?:\s*:\s*str)?\s*=\s*[\"'](\w+)", text, re.M))
            followed.update(re.findall(r"^down_revision(?:\s*:[^=]*)?\s*=\s*[\"'](\w+)", text, re.M))
        heads = revisions - followed
        if len(heads) != 1:
            fail(f"expected one newest migration in {folder}, found {sorted(heads)}")
        return revisions, heads.pop()

    def check_strangers(self) -> None:
        """Fail where the database is somebody else's: tables of the same names would be taken for its own."""
        if self.stranger and self.has(self.stranger):
            fail(
                f"postgresql_auth_database: {self.database} has the users of another way to log in; set another name, for a database that is made, "
                "such as mlflow_oidc"
            )

    def connect(self) -> Any:
        """A psycopg2 connection to the schema's database."""
        url = urlsplit(self.uri)
        user, name = unquote(url.username or ""), unquote(url.path[1:])
        return driver().connect(host=url.hostname, port=url.port, user=user, dbname=name, connect_timeout=10)

    def wait(self) -> str:
        """Wait until PostgreSQL takes connections; the reason where it does not, else nothing."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self.connect().close()
            except driver().OperationalError as error:
                reason = " ".join(str(error).split())
                if FINAL.search(reason) or time.monotonic() > deadline:
                    return reason
                time.sleep(2)
            else:
                return ""

    def has(self, table: str) -> bool:
        """Whether the database has a table of that name."""
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (table,))
            return bool(cursor.fetchone()[0])

    def revision(self) -> str:
        """The revision that the database is at; empty where it has no schema."""
        connection = self.connect()
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (self.version_table,))
                if not cursor.fetchone()[0]:
                    return ""
                cursor.execute(f"SELECT version_num FROM {self.version_table}")
                row = cursor.fetchone()
                return str(row[0]) if row else ""
        finally:
            connection.close()

    def status(self) -> str:
        """``current``, ``fresh``, ``old``, ``newer`` or ``unreachable``."""
        revisions, head = self.known_revisions()
        try:
            revision = self.revision()
        except driver().OperationalError:
            return "unreachable"
        if not revision:
            return "fresh"
        if revision == head:
            return "current"
        return "old" if revision in revisions else "newer"

    def bring_up_to_date(self) -> str:
        """Migrate under the lock, unless another has done so meanwhile; what was done."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", (LOCK_TIMEOUT,))
            try:
                cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
            except driver().errors.LockNotAvailable:
                fail(f"another migration of {self.database} has not ended within {LOCK_TIMEOUT}; end it, then try again")
            before = self.revision()
            if self.status() != "current":
                self.migrate(before)
            if self.status() != "current":
                fail(f"after the migration the schema of {self.database} is {self.status()}, not current")
            after = self.revision()
        return f"{self.database}: schema {moved(before, after)}"

    def migrate(self, before: str) -> None:
        """Run MLflow's own migrations; fail with their error, and with what became of the schema."""
        done = subprocess.run([sys.executable, *self.upgrade, self.uri], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        print(done.stdout, flush=True)
        if done.returncode:
            errors = re.findall(r"^[\w.]*(?:Error|Exception)\b.*", done.stdout, re.M) or done.stdout.strip().splitlines() or ["no output"]
            after = self.revision()
            fail(f"the migration of {self.database} ended with status {done.returncode}: {errors[-1]}; its schema {moved(before, after)}")


def schemas() -> list[Schema]:
    """The schemas that the environment names."""
    found = [
        Schema(os.environ["MLFLOW_SCHEMA_URI"], "store/db_migrations/versions", "alembic_version", ("-m", "mlflow", "db", "upgrade")),
    ]
    if os.environ.get("MLFLOW_SCHEMA_AUTH_URI"):
        upgrade = ("-m", "mlflow.server.auth", "db", "upgrade", "--url")
        migrations = "server/auth/db/migrations/versions"
        found.append(Schema(os.environ["MLFLOW_SCHEMA_AUTH_URI"], migrations, "alembic_version_auth", upgrade, stranger="user_tokens"))
    if os.environ.get("MLFLOW_SCHEMA_OIDC_URI"):
        upgrade = ("-c", "from mlflow_oidc_auth.db.cli import commands; commands()", "upgrade", "--url")
        uri, package = os.environ["MLFLOW_SCHEMA_OIDC_URI"], "mlflow_oidc_auth"
        found.append(Schema(uri, "db/migrations/versions", "alembic_version", upgrade, package, stranger="alembic_version_auth"))
    return found


def main(action: str) -> None:
    """Run ``status``, ``check`` or ``upgrade``."""
    if action != "status":
        for schema in schemas():
            reason = schema.wait()
            if reason:
                fail(f"PostgreSQL does not take connections to {schema.database}: {reason}")
            schema.check_strangers()
    worst = max((schema.status() for schema in schemas()), key=WORST_LAST.index)
    if action == "status":
        print(worst, end="", flush=True)
        sys.exit(NEWER if worst == "newer" else 0)
    if worst == "newer":
        fail(NEWER)
    report("; ".join([schema.bring_up_to_date() for schema in schemas()]) if action == "upgrade" else worst)


if __name__ == "__main__":
    main(sys.argv[1])
