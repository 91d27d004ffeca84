"""Backs up the embedded stack, once: ``backup.py SETTINGS``, a file of JSON. Prints, as JSON, lines for people. An error is one line, and status 1.

First the databases, then the artifacts: MLflow writes an artifact once, so that everything that a dump refers to is still there when the artifacts
are read. A set counts when it is complete and the repository was found in order. Interrupted at any point, a later run removes what is left.
"""
from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from backup_lock import alone
from backup_repository import (
    FOLDER,
    FORMAT,
    INCOMPLETE,
    MIRROR,
    STAGING,
    STATE,
    UNFINISHED,
    WHOLE,
    BackupError,
    Repository,
    answered,
    damaged,
    explained,
    is_half_restored,
    opened,
)
from backup_source import AUTHENTICATION, ENVIRONMENT, Bucket, Server, dump, now, weight


def read_state(home: Path) -> dict[str, Any]:
    """Return what the last backups and drills came to."""
    try:
        return dict(json.loads((home / STATE).read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def write_state(home: Path, **changes: Any) -> None:
    """Change what is noted of backups and drills, whole or not at all."""
    new = home / f"{STATE}.new"
    new.write_text(json.dumps({**read_state(home), **changes}))
    new.replace(home / STATE)


def prepare(repository: Repository, state: Mapping[str, Any]) -> None:
    """Create the repository, if there has never been one, and remove what interrupted backups have left there."""
    if not repository.exists():
        if state.get("repository") == repository.where:
            raise BackupError(
                f"mlflow_backup_repository: '{repository.where}' had backups, and there is no repository now; mount or reach it or, if its "
                "backups are lost, choose another place"
            )
        repository.run("init")
    repository.run("unlock")
    left = [each.id for each in repository.snapshots(UNFINISHED)]
    if left:
        repository.run("forget", *left)


def gather(server: Server, staging: Path, mirror: Path, lock: int) -> tuple[dict[str, Any], Path]:
    """Dump the databases and write the manifest; the manifest, and the folder that the artifacts are in."""
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700, parents=True)
    made = now()
    databases = [dump(database, server.programs / "pg_dump", staging, lock) for database in server.databases]
    shutil.copy(server.home / ENVIRONMENT, staging)
    if server.is_basic:
        shutil.copy(server.home / AUTHENTICATION, staging)
    in_s3 = server.store.startswith("s3://")
    if in_s3:
        Bucket(server.store, server.environment).mirror(mirror, mirror.with_name("mirror.json"))
    folder = mirror if in_s3 else Path(server.store)
    if not folder.is_dir():
        raise BackupError(f"artifact_store_path: the folder of artifacts, '{folder}', is not there; mount it or restore it, then run this again")
    manifest = {
        "format": FORMAT, "made": made, "home": str(server.home), "mlflow": server.mlflow_version, "databases": databases,
        "secrets": str(server.home / "secrets"), "artifacts": {"path": str(folder), "store": server.store, **weight(folder)},
        "postgresql": databases[-1]["postgresql"], "running": databases[-1].get("running", []),
        "runs": databases[-1]["tables"].get("runs", [0])[0],
    }  # fmt: skip
    (staging / "manifest.json").write_text(json.dumps(manifest))
    return manifest, folder


def unread(said: str) -> list[str]:
    r"""Return what restic could not read, from its messages.

    >>> unread('{"message_type":"error","error":{"message":"open /a/x: permission denied"},"during":"archival","item":"/a/x"}\nother')
    ['open /a/x: permission denied']
    """
    found = []
    for line in said.splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict) and message.get("message_type") == "error":
            found.append(str((message.get("error") or {}).get("message", message)))
    return found


def loss(status: int, failed: Sequence[str]) -> str:
    """Return what is missing from a snapshot that should be there; empty if nothing is. What a user deleted meanwhile need not be there.

    >>> loss(0, []), loss(3, ["lstat /a/y: no such file or directory"]), loss(3, ["open /a/x: permission denied"]), loss(3, [])
    ('', '', 'open /a/x: permission denied', 'restic does not say what')
    """
    real = [each for each in failed if "no such file or directory" not in each]
    return real[0] if real else "restic does not say what" if status and not failed else ""


def summary(said: str) -> dict[str, Any]:
    """Return restic's summary of a backup."""
    for line in reversed(said.splitlines()):
        message = json.loads(line)
        if message.get("message_type") == "summary":
            return dict(message)
    raise BackupError("mlflow_backup: restic has made no snapshot, and gives no reason")


def store(repository: Repository, paths: Sequence[str]) -> dict[str, Any]:
    """Put the folders into the repository, not yet as a set; restic's summary."""
    done = repository.run("backup", "--json", "--tag", UNFINISHED, *paths, may_fail=True)
    if done.returncode not in (0, INCOMPLETE):
        raise BackupError(explained(done.returncode, done.stderr, repository.where))
    missing = loss(done.returncode, unread(f"{done.stdout}\n{done.stderr}"))
    if missing:
        raise BackupError(f"mlflow_backup: not everything could be read, so that there is no new set: {missing}")
    return summary(done.stdout)


def promote(repository: Repository, snapshot: str) -> str:
    """Check the repository, and make a set of the snapshot; its id."""
    repository.run("check", explain=damaged)
    before = {each.id for each in repository.snapshots(WHOLE)}
    repository.run("tag", "--set", WHOLE, snapshot)
    return next(each.id for each in repository.snapshots(WHOLE) if each.id not in before)


def retain(repository: Repository, keep: Mapping[str, Any]) -> int:
    """Remove the sets that are not to be kept, and what only they used; how many are left."""
    kept = [word for period, count in keep.items() if int(count) for word in (f"--keep-{period}", str(count))]
    repository.run("forget", "--tag", WHOLE, "--group-by", "", "--keep-last", "1", *kept, "--prune")
    return len(repository.snapshots(WHOLE))


def size(count: float) -> str:
    """Return a number of bytes for people.

    >>> size(512), size(1536 * 1024)
    ('512 bytes', '1.5 MiB')
    """
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def back_up(request: Mapping[str, Any]) -> dict[str, Any]:
    """Make one set; what was done."""
    home, began = Path(request["home"]), time.monotonic()
    with alone(home, "a backup", BackupError) as lock:
        try:
            if is_half_restored(home):
                raise BackupError(f"embedded_home: '{home}' is half restored, and no set is made of it; run the playbook mlops.mlflow.restore again")
            return _made(request, home, lock, began)
        except (BackupError, OSError) as error:
            with suppress(OSError):  # a full disk takes no note
                write_state(home, failed={"time": now(), "problem": str(error)})
            raise


def _made(request: Mapping[str, Any], home: Path, lock: int, began: float) -> dict[str, Any]:
    server, staging = Server(home), home / STAGING
    # roles/mlflow_rotation/files/rotation.py
    note = home / "rotation.json"
    if note.is_file() and "values" in json.loads(note.read_text()):
        raise BackupError("mlflow_backup: a rotation of keys was interrupted, so that a set might lack them; run the playbook rotate again first")
    repository = opened(request, lock, str(home / FOLDER / "cache"))
    prepare(repository, read_state(home))
    try:
        manifest, artifacts = gather(server, staging, home / MIRROR, lock)
        told = store(repository, [str(staging), manifest["secrets"], str(artifacts)])
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    made = promote(repository, told["snapshot_id"])
    left = retain(repository, request["keep"])
    seconds = round(time.monotonic() - began, 1)
    write_state(home, repository=repository.where, failed=None, backup={
        "time": manifest["made"], "set": made, "seconds": seconds, "bytes": told["total_bytes_processed"], "added": told["data_added"], "sets": left,
    })  # fmt: skip
    lines = [
        f"Set {made[:8]} of {manifest['made']} in {repository.where}: {manifest['runs']} runs, {manifest['artifacts']['files']} artifacts, "
        f"{size(told['total_bytes_processed'])}, {size(told['data_added'])} of it new, in {seconds} seconds; {left} sets are kept"
    ]
    if same_disk(home, repository.where):
        lines.append("The repository is on the disk of the stack: copy it elsewhere, or set mlflow_backup_repository to another place")
    return {"set": made, "lines": lines}


def same_disk(home: Path, repository: str) -> bool:
    """Whether a loss of the stack's disk takes the backups with it."""
    return os.path.isdir(repository) and os.stat(repository).st_dev == home.stat().st_dev


if __name__ == "__main__":
    sys.exit(answered(back_up, sys.argv[1]))
