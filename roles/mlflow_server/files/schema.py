"""The schemas of an MLflow server's databases: ``schema.py status`` and ``schema.py upgrade``.

Reads MLFLOW_SCHEMA_URI and, where basic authentication is on, MLFLOW_SCHEMA_AUTH_URI; the password comes from PGPASSWORD.
``status`` prints the worst of ``current``, ``fresh`` (no schema yet), ``old``, ``newer`` (made by a later MLflow) and
``unreachable``. ``upgrade`` holds an advisory lock, so that only one of several migrates, and checks the outcome.
"""
from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from sqlalchemy.engine import make_url

#: Any number will do, as long as all migrations of MLflow take the same.
LOCK = 0x6D6C666C6F77
LOCK_TIMEOUT = "300s"
WORST_LAST = ("current", "fresh", "old", "newer", "unreachable")


@dataclass(frozen=True)
class Schema:
    """One Alembic schema: its database, where MLflow keeps its migrations, and the command that runs them."""

    uri: str
    migrations: str
    version_table: str
    upgrade: tuple[str, ...]

    def known_revisions(self) -> tuple[set[str], str]:
        """All revisions of the installed MLflow, and the newest. Reads the files: importing them takes seconds."""
        package = importlib.util.find_spec("mlflow")
        if package is None or package.origin is None:
            sys.exit("mlflow is not installed here")
        folder = Path(package.origin).parent / self.migrations
        revisions: set[str] = set()
        followed: set[str] = set()
        for file in folder.glob("*.py"):
            text = file.read_text()
            revisions.update(re.findall(r"^revision(?:\s*:\s*str)?\s*=\s*[\"'](\w+)", text, re.M))
            followed.update(re.findall(r"^down_revision(?:\s*:[^=]*)?\s*=\s*[\"'](\w+)", text, re.M))
        heads = revisions - followed
        if len(heads) != 1:
            sys.exit(f"expected one newest migration in {folder}, found {sorted(heads)}")
        return revisions, heads.pop()

    def connect(self):
        """A psycopg2 connection to the schema's database."""
        url = make_url(self.uri)
        return psycopg2.connect(host=url.host, port=url.port, user=url.username, dbname=url.database, connect_timeout=10)

    def status(self) -> str:
        """``current``, ``fresh``, ``old``, ``newer`` or ``unreachable``."""
        revisions, head = self.known_revisions()
        try:
            connection = self.connect()
        except psycopg2.OperationalError:
            return "unreachable"
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (self.version_table,))
            row = cursor.fetchone()
            if row is None or not row[0]:
                return "fresh"
            cursor.execute(f"SELECT version_num FROM {self.version_table}")
            row = cursor.fetchone()
        if row is None:
            return "fresh"
        if row[0] == head:
            return "current"
        return "old" if row[0] in revisions else "newer"

    def bring_up_to_date(self) -> None:
        """Migrate under the lock, unless another has done so meanwhile."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", (LOCK_TIMEOUT,))
            cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
            if self.status() != "current":
                subprocess.run([sys.executable, *self.upgrade, self.uri], check=True)
            if self.status() != "current":
                sys.exit(f"after the migration the schema of {self.uri} is {self.status()}, not current")


def schemas() -> list[Schema]:
    """The schemas that the environment names."""
    found = [
        Schema(os.environ["MLFLOW_SCHEMA_URI"], "store/db_migrations/versions", "alembic_version", ("-m", "mlflow", "db", "upgrade")),
    ]
    if os.environ.get("MLFLOW_SCHEMA_AUTH_URI"):
        upgrade = ("-m", "mlflow.server.auth", "db", "upgrade", "--url")
        migrations = "server/auth/db/migrations/versions"
        found.append(Schema(os.environ["MLFLOW_SCHEMA_AUTH_URI"], migrations, "alembic_version_auth", upgrade))
    return found


def main(action: str) -> None:
    """Run ``status`` or ``upgrade``."""
    worst = max((schema.status() for schema in schemas()), key=WORST_LAST.index)
    if worst == "newer":
        sys.exit(
            "the database was migrated by a later MLflow than the one installed here, and cannot go back; "
            "install that version or a later one, or restore a backup from before the migration"
        )
    if action == "status":
        print(worst, end="")
    elif worst == "unreachable":
        sys.exit(f"PostgreSQL does not take connections for {', '.join(schema.uri for schema in schemas())}")
    else:
        for schema in schemas():
            schema.bring_up_to_date()


if __name__ == "__main__":
    main(sys.argv[1])
