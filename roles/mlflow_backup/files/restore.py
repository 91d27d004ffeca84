"""Restores a set into a new embedded stack: ``restore.py newer|files|data < request.json``. An error is one line, and status 1.

``newer`` prints what the stack that is there has and the set lacks. ``files`` restores the secrets, before anything else starts, and the dumps.
``data`` fills the empty databases and the empty artifact store, and compares what is there with the manifest. Each of these two
may be interrupted and run again, and holds the lock of the backups. It goes on if Ansible was killed, and is ended with the stack.
"""
from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2
from backup_lock import alone
from backup_repository import MIRROR, RESTORING, STAGING, WHOLE, BackupError, answered, chosen, has_any, occupied, opened, read_note
from backup_source import ASIDE, Bucket, Database, Server, census, differences, sha256, weight

#: What has been made since a time, in milliseconds, and how it is called.
NEWER = (
    ("runs", "SELECT count(*) FROM runs WHERE start_time > %s"),
    ("versions of models", "SELECT count(*) FROM model_versions WHERE creation_time > %s"),
)


def milliseconds(made: str) -> int:
    """Return a manifest's time as MLflow's databases have it.

    >>> milliseconds("1970-01-01T00:00:02Z")
    2000
    """
    return int(datetime.fromisoformat(made).timestamp() * 1000)


def newer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the stack has that is newer than the set; nothing if its database does not answer."""
    try:
        return {"newer": newer_in(Server(Path(request["home"])).databases[-1], request["made"])}
    except BackupError:
        return {"newer": ""}


def newer_in(database: Database, made: str) -> str:
    """Return what a database has that was made after a set, in words; empty if it is not MLflow's. Raises BackupError if it does not answer."""
    counts = {}
    with database.session() as cursor:
        for what, statement in NEWER:
            try:
                cursor.execute(statement, (milliseconds(made),))
            except psycopg2.ProgrammingError:
                return ""
            counts[what] = cursor.fetchone()[0]
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def write_note(home: Path, **noted: Any) -> None:
    """Note how far the restore is, whole or not at all."""
    new = home / f"{RESTORING}.new"
    new.write_text(json.dumps(noted))
    new.replace(home / RESTORING)


def restore_files(request: Mapping[str, Any]) -> dict[str, Any]:
    """Restore the secrets and the dumps; the id of the set."""
    home = Path(request["home"])
    with alone(home, "a restore", BackupError) as lock:
        return _files(request, home, lock)


def _files(request: Mapping[str, Any], home: Path, lock: int) -> dict[str, Any]:
    noted = read_note(home)
    if "lines" in noted:
        return {"set": noted["set"]}
    there = occupied(home)
    if there:
        raise BackupError(f"embedded_home: '{home}' holds data now ({', '.join(there)}), which another run has restored; run this again")
    repository = opened(request, lock)
    wanted = chosen(repository.snapshots(WHOLE), request["set"])
    manifest = repository.manifest(wanted)
    if noted.get("set") != wanted.id:
        write_note(home, set=wanted.id)
    shutil.rmtree(home / STAGING, ignore_errors=True)
    repository.restore(wanted, wanted.staging, str(home / STAGING))
    for told in manifest["databases"]:
        file = home / STAGING / told["file"]
        if not file.is_file() or sha256(file) != told["sha256"]:
            raise BackupError(f"mlflow_backup_set: {told['file']} of set {wanted.id[:8]} is not what its manifest says; use another set")
    repository.restore(wanted, manifest["secrets"], str(home / "secrets"))
    return {"set": wanted.id}


def restore_database(database: Database, told: Mapping[str, Any], dump: Path, program: Path, lock: int) -> None:
    """Fill an empty database, in one transaction, and compare it with the manifest. One that is as the manifest says is left alone."""
    with database.session() as cursor:
        found = census(cursor)
    if found and differences(told["tables"], found):
        raise BackupError(
            f"postgresql_database: '{database.name}' is not empty and has not what the set has; drop it, or restore to another embedded_home"
        )
    if found:
        return
    words = ["--no-owner", "--no-acl", "--exit-on-error", "--single-transaction", f"--dbname={database.name}"]
    database.run(program, *words, str(dump), lock=lock)
    with database.session() as cursor:
        wrong = differences(told["tables"], census(cursor))
        if wrong:
            raise BackupError(f"postgresql_database: '{database.name}' differs from the set after the restore: {'; '.join(wrong[:3])}")
        cursor.execute("ANALYZE")


def move_aside(database: Database, told: Mapping[str, Any]) -> list[str]:
    """Move the tables that are in the way of a set to another schema, as a whole; lines for people. Nothing is deleted.

    That takes the owner of the schema, which the owner of the database is since PostgreSQL 15
    (https://www.postgresql.org/docs/17/ddl-schemas.html#DDL-SCHEMAS-PATTERNS). Raises BackupError for anybody else.
    """
    name = f"{ASIDE}{time.strftime('%Y%m%d_%H%M%S', time.gmtime())}"
    with database.session() as cursor:
        found = census(cursor)
        if not found or not differences(told["tables"], found):
            return []
        try:
            cursor.execute(f"ALTER SCHEMA public RENAME TO {name}")
        except psycopg2.errors.InsufficientPrivilege:
            raise BackupError(
                f"postgresql_database: MLflow's role does not own the schema public of '{database.name}', so that its tables cannot be moved aside; "
                "rename that schema as its owner, or drop the database, then run this again"
            ) from None
        cursor.execute("CREATE SCHEMA public")
        cursor.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
    return [
        f"What was in the database '{database.name}' is in its schema {name} now, and in no backup; once nobody misses it: DROP SCHEMA {name} CASCADE"
    ]


def secrets(references: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return environment variables whose values are the first lines of files."""
    return {name: Path(reference["file"]).read_text().splitlines()[0] for name, reference in references.items()}


def restore_data(request: Mapping[str, Any]) -> dict[str, Any]:
    """Restore the databases and the artifacts; lines for people."""
    home = Path(request["home"])
    with alone(home, "a restore", BackupError) as lock:
        return _data(request, home, lock)


def _data(request: Mapping[str, Any], home: Path, lock: int) -> dict[str, Any]:
    noted = read_note(home)
    if not noted:
        raise BackupError(f"embedded_home: no restore has begun in '{home}'; run the playbook mlops.mlflow.restore")
    if "lines" in noted:
        return {"lines": noted["lines"]}
    repository = opened(request, lock)
    wanted = chosen(repository.snapshots(WHOLE), noted["set"])
    manifest = json.loads((home / STAGING / "manifest.json").read_text())
    environment = {**request["database"]["environment"], **secrets(request["database"]["secret_environment"])}
    program, moved = Server(home).programs / "pg_restore", []
    for told in manifest["databases"]:
        database = Database(told["purpose"], request["database"]["uris"][told["purpose"]], environment)
        moved += move_aside(database, told) if request.get("aside") else []
        restore_database(database, told, home / STAGING / told["file"], program, lock)
    folder = folder_of(request["store"], home)
    if has_any(folder) and not noted.get("artifacts") and not request["replace"]:
        raise BackupError(f"artifact_store_path: '{folder}' is not empty; choose an empty folder, or set mlflow_backup_replace to restore into it")
    write_note(home, **{**noted, "artifacts": True})
    repository.restore(wanted, manifest["artifacts"]["path"], str(folder))
    artifacts = weight(folder)["files"]
    if folder == home / MIRROR:
        send(request["store"], folder)
    lines = [*told_lines(manifest, wanted.id, artifacts), *moved]
    write_note(home, set=wanted.id, lines=lines)
    shutil.rmtree(home / STAGING)
    return {"lines": lines}


def folder_of(store: Mapping[str, Any], home: Path) -> Path:
    """Return the folder that the artifacts are restored into: the server's own, or one from which they are uploaded."""
    return home / MIRROR if store["destination"].startswith("s3://") else Path(store["destination"])


def send(store: Mapping[str, Any], folder: Path) -> None:
    """Upload the artifacts, then remove the folder."""
    Bucket(store["destination"], {**store["environment"], **secrets(store["secret_environment"])}).fill(folder)
    shutil.rmtree(folder)


def told_lines(manifest: Mapping[str, Any], set_id: str, artifacts: int) -> list[str]:
    """Return what was restored, and what is to be known of it.

    >>> manifest = {"made": "2026-01-01T00:00:00Z", "runs": 2, "running": ["a", "b"], "artifacts": {"files": 4}}
    >>> for line in told_lines(manifest, "0123456789", 3):
    ...     print(line)
    Set 01234567 was restored: 2 runs and 3 artifacts. What was written after 2026-01-01T00:00:00Z is not there
    1 artifacts that were there when the backup began were deleted while it ran
    2 runs were RUNNING then, and nothing will end them: a, b
    """
    lines = [
        f"Set {set_id[:8]} was restored: {manifest['runs']} runs and {artifacts} artifacts. What was written after {manifest['made']} is not there"
    ]
    deleted, running = manifest["artifacts"]["files"] - artifacts, manifest["running"]
    if deleted > 0:
        lines.append(f"{deleted} artifacts that were there when the backup began were deleted while it ran")
    if running:
        more = f" and {len(running) - 20} more" if len(running) > 20 else ""
        lines.append(f"{len(running)} runs were RUNNING then, and nothing will end them: {', '.join(running[:20])}{more}")
    return lines


if __name__ == "__main__":
    if os.getpgrp() != os.getpid():
        os.setpgrp()  # what it has started is ended with it (roles/embedded/files/stack.py)
    sys.exit(answered({"newer": newer, "files": restore_files, "data": restore_data}[sys.argv[1]]))
