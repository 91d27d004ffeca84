"""The repository of an MLflow server's backups, made by restic, and the sets in it: ``backup_repository.py ready|look``.

A set is a restic snapshot with the tag WHOLE. It has another tag until everything in it has been read, and the repository has been checked; so one
that was interrupted is never taken for a set. ``ready`` downloads restic, if there is none, and opens the repository, if there is one. ``look``
prints, as JSON, the manifest of a set, and what is in the folder that it would be restored to. What they need is a JSON object on standard
input, since nothing of it may be on a command line. Runs on the Python of a managed host with nothing else. An error is one line, and status 1.
"""
from __future__ import annotations

import bz2
import hashlib
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WHOLE, UNFINISHED = "mlops-mlflow-set", "mlops-mlflow-unfinished"
#: The form of manifests that this version writes, and the newest that it reads.
FORMAT = 1
#: Below the folder of the stack: everything about its backups, where a set is put together, and what says that a restore has begun.
FOLDER, STAGING, RESTORING, STATE = "backup", "backup/set", "backup/restoring.json", "backup/state.json"
#: The artifacts of a server that has them in S3, since restic reads files.
MIRROR = "backup/mirror"
#: The first restic with the exit statuses and the way to name a folder of a snapshot that are used here.
OLDEST_RESTIC, OLDEST = (0, 17), "0.17"
#: https://restic.readthedocs.io/en/stable/075_scripting.html#exit-codes
GONE, LOCKED, WRONG_PASSWORD, INCOMPLETE = 10, 11, 12, 3
#: What every S3 server says of a bucket that is not there.
NO_BUCKET = "bucket does not exist"
ENCODING: Mapping[str, Any] = {"encoding": "utf-8", "errors": "replace"}


class BackupError(Exception):
    """What stands in the way, in one sentence with its remedy."""


def plain(line: str) -> str:
    """Return what a line of restic's says, which may be JSON.

    >>> plain('{"message_type":"exit_error","code":1,"message":"Fatal: no"}'), plain("Fatal: no")
    ('Fatal: no', 'Fatal: no')
    """
    try:
        message = json.loads(line)
    except ValueError:
        return line
    return str(message.get("message", line)) if isinstance(message, dict) else line


def explained(status: int, said: str, repository: str) -> str:
    """Return what an exit status of restic means, and what to do.

    >>> print(explained(10, "Fatal: repository does not exist", "/b"))
    mlflow_backup_repository: there is no repository in '/b'; mount or reach the one that has the backups
    >>> print(explained(1, "Fatal: unable to save snapshot: write /b/tmp: no space left on device", "/b"))
    mlflow_backup_repository: a disk is full (unable to save snapshot: write /b/tmp: no space left on device); free some space, then run this again
    >>> print(explained(1, 'Fatal: 1 pack is damaged', "/b"))
    mlflow_backup_repository: restic cannot use '/b': 1 pack is damaged
    """
    lines = [plain(line) for line in said.splitlines() if line.strip()]
    fatal = next((line for line in reversed(lines) if line.startswith("Fatal:")), lines[-1] if lines else f"exit status {status}")
    reason = fatal.removeprefix("Fatal:").strip()
    if status == GONE:
        return f"mlflow_backup_repository: there is no repository in '{repository}'; mount or reach the one that has the backups"
    if status == WRONG_PASSWORD:
        return (
            f"mlflow_backup_repository: the passphrase does not open '{repository}'; set the one that it was made with, as mlflow_backup_password "
            "or in the file that mlflow_backup_password_file names"
        )
    if status == LOCKED:
        return f"mlflow_backup_repository: another program uses '{repository}'; wait until it has ended, then run this again"
    full = next((line for line in lines if re.search("no space left on device", line, re.I)), "")
    if full:
        return f"mlflow_backup_repository: a disk is full ({full.removeprefix('Fatal:').strip()}); free some space, then run this again"
    return f"mlflow_backup_repository: restic cannot use '{repository}': {reason}"


def damaged(status: int, said: str, repository: str) -> str:
    """Return what is wrong with a repository or a set that cannot be read, which ``explained`` may know better."""
    if status != 1 or re.search("no space left on device", said, re.I):
        return explained(status, said, repository)
    reason = next((line for line in said.splitlines() if re.search(r"error|fail|not found|does not|missing|invalid", line, re.I)), "")
    return (
        f"mlflow_backup_repository: '{repository}' is damaged ({' '.join(reason.split())[:200] or f'exit status {status}'}); use an older set or "
        "another copy of the repository, or see restic's 'repair' commands"
    )


@dataclass(frozen=True)
class Set:
    """A set: the id of its snapshot, when its databases were dumped, and the folders in it."""

    id: str
    time: str
    paths: Sequence[str] = ()

    @property
    def staging(self) -> str:
        """The folder with the dumps and the manifest."""
        return next(path for path in self.paths if path.endswith(f"/{STAGING}"))


def chosen(sets: Sequence[Set], wanted: str) -> Set:
    """Return the newest set, or the one whose id begins with ``wanted``. Raises BackupError if there is none.

    >>> sets = [Set("ab12", "2026-01-01T00:00:00Z"), Set("cd34", "2026-01-02T00:00:00Z")]
    >>> chosen(sets, "latest").id, chosen(sets, "ab").id
    ('cd34', 'ab12')
    >>> chosen([], "latest")
    Traceback (most recent call last):
    backup_repository.BackupError: mlflow_backup_repository: there is no backup yet; make one first (in a checkout: make backup)
    """
    if not sets:
        raise BackupError("mlflow_backup_repository: there is no backup yet; make one first (in a checkout: make backup)")
    found = [each for each in sets if wanted == "latest" or each.id.startswith(wanted)]
    if not found:
        known = ", ".join(f"{each.id[:8]} ({each.time[:16]})" for each in sets[-5:])
        raise BackupError(f"mlflow_backup_set: there is no set '{wanted}'; the newest are {known}")
    return max(found, key=lambda each: each.time)


def readable(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a manifest. Raises BackupError if a later version of this collection has written it.

    >>> readable({"format": 2})
    Traceback (most recent call last):
    backup_repository.BackupError: mlflow_backup_set: the set has format 2, and this release of the collection reads up to 1; use a newer one
    """
    if int(manifest["format"]) > FORMAT:
        raise BackupError(
            f"mlflow_backup_set: the set has format {manifest['format']}, and this release of the collection reads up to {FORMAT}; use a newer one"
        )
    return manifest


def run_until(said: str, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command, and end it when it says something on its standard error; "" lets it run to its end."""
    if not said:
        return subprocess.run(command, capture_output=True, check=False, **ENCODING, **options)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **ENCODING, **options) as process:
        lines = []
        for line in process.stderr or ():
            lines.append(line)
            if said in line:
                process.terminate()
        output = process.stdout.read() if process.stdout else ""
    return subprocess.CompletedProcess(command, process.returncode, output, "".join(lines))


@dataclass(frozen=True)
class Repository:
    """A restic repository: where it is, how it is opened, what restic needs to reach it, and a descriptor that each restic keeps open."""

    restic: str
    where: str
    password: str = field(repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    cache: str = ""
    lock: int | None = None

    def run(self, *words: str, may_fail: bool = False, explain: Any = explained, ends_at: str = "") -> subprocess.CompletedProcess[str]:
        """Run restic, until it says ``ends_at`` if that is given. Raises BackupError if it fails, unless it may."""
        environment = {**os.environ, **self.environment, "RESTIC_REPOSITORY": self.where, "RESTIC_PASSWORD": self.password}
        command = [self.restic, *(["--cache-dir", self.cache] if self.cache else ["--no-cache"]), *words]
        inherited = () if self.lock is None else (self.lock,)
        try:
            done = run_until(ends_at, command, env=environment, stdin=subprocess.DEVNULL, pass_fds=inherited)
        except OSError as error:
            raise BackupError(f"mlflow_backup_restic: '{self.restic}' does not run: {error.strerror}") from None
        if done.returncode and not may_fail:
            raise BackupError(explain(done.returncode, done.stderr or done.stdout, self.where))
        return done

    def exists(self) -> bool:
        """Whether the repository is there and the passphrase opens it. Raises BackupError if it is there and cannot be opened."""
        # restic creates a bucket with the repository, but asks for a quarter of an hour for one that is not there.
        done = self.run("cat", "config", "--no-lock", may_fail=True, ends_at=NO_BUCKET)
        is_gone = done.returncode == GONE or NO_BUCKET in done.stderr
        if done.returncode and not is_gone:
            raise BackupError(explained(done.returncode, done.stderr, self.where))
        return not is_gone

    def snapshots(self, tag: str) -> list[Set]:
        """Return the snapshots with the tag, the oldest first."""
        listed = json.loads(self.run("snapshots", "--json", "--no-lock", "--tag", tag).stdout or "[]") or []
        return sorted((Set(each["id"], each["time"], each["paths"]) for each in listed), key=lambda each: each.time)

    def manifest(self, of: Set) -> Mapping[str, Any]:
        """Return the manifest of a set."""
        text = self.run("dump", "--no-lock", of.id, f"{of.staging}/manifest.json", explain=damaged).stdout
        return readable(json.loads(text))

    def restore(self, of: Set, path: str, target: str) -> None:
        """Restore a folder of a set into another one, and read back what was written."""
        self.run("restore", "--no-lock", "--verify", "--target", target, f"{of.id}:{path}", explain=damaged)


def opened(request: Mapping[str, Any], lock: int | None = None, cache: str = "") -> Repository:
    """Return the repository that a request names, with the first restic that is new enough."""
    restic = next((each for each in request["restic"] if is_new_enough(each)), "")
    if not restic:
        raise BackupError(
            f"mlflow_backup_restic: none of {', '.join(request['restic'])} is restic {OLDEST} or later; install it, or set the path of one"
        )
    environment = {name: str(value) for name, value in request["environment"].items()}
    return Repository(restic, request["repository"], request["password"], environment, cache, lock)


def is_new_enough(restic: str) -> bool:
    """Whether a program is restic of a version that will do."""
    try:
        said = subprocess.run([restic, "version"], capture_output=True, check=True, stdin=subprocess.DEVNULL, **ENCODING).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    match = re.match(r"restic (\d+)\.(\d+)", said)
    return match is not None and (int(match[1]), int(match[2])) >= OLDEST_RESTIC


def ready(request: Mapping[str, Any]) -> dict[str, Any]:
    """Provide restic and try the passphrase; whether restic was downloaded. In check mode, neither may be there yet."""
    told = fetch(request)
    if request["password"] and not (told["fetched"] and request["check"]):
        opened(request).exists()
    return told


def fetch(request: Mapping[str, Any]) -> dict[str, Any]:
    """Download restic, unless there is one that is new enough; whether it was. ``archives`` has the URL and the checksum of each machine's."""
    if any(is_new_enough(each) for each in request["restic"]):
        return {"fetched": False}
    archive, home = request["archives"].get(os.uname().machine), Path(request["home"])
    if not archive:
        raise BackupError(f"mlflow_backup_restic: {request['restic'][0]} is not restic {OLDEST} or later; install it, or set the path of one")
    if request["check"]:
        return {"fetched": True}
    url, sha256 = archive["url"], archive["sha256"]
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            packed = answer.read()
    except OSError as error:
        raise BackupError(f"mlflow_backup_restic: {url} cannot be fetched ({error}); install restic, or set the path of one") from None
    found = hashlib.sha256(packed).hexdigest()
    if found != sha256:
        raise BackupError(f"mlflow_backup_restic: {url} has the checksum {found}, not {sha256}; install restic, or set the path of one")
    # Marked as the stack's own, if it is not there yet.
    for folder in (home / ".mlops-mlflow", home / FOLDER):
        folder.mkdir(parents=True, exist_ok=True)
    new = Path(f"{request['path']}.new")
    new.write_bytes(bz2.decompress(packed))
    new.chmod(0o755)
    new.replace(request["path"])
    return {"fetched": True}


def has_any(folder: Path) -> bool:
    """Whether a folder holds anything but what marks it."""
    return folder.is_dir() and any(entry.name != ".mlops-mlflow" for entry in folder.iterdir())


def read_note(home: Path) -> dict[str, Any]:
    """Return what is noted of a restore that has not ended; ``lines`` for people are there once its data are."""
    return dict(json.loads((home / RESTORING).read_text())) if (home / RESTORING).exists() else {}


def is_half_restored(home: Path) -> bool:
    """Whether a restore has begun, and its data are not there yet."""
    return (home / RESTORING).exists() and "lines" not in read_note(home)


def occupied(home: Path) -> list[str]:
    """Return which data are already where a set would be restored to. What an interrupted restore has left does not count."""
    if (home / RESTORING).exists():
        return []
    return [str(place) for place in (home / "artifact-store/data", home / "artifacts", home / "postgresql/data") if has_any(place)]


def look(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a restore is decided from."""
    repository = opened(request)
    wanted = chosen(repository.snapshots(WHOLE), request["set"])
    manifest = {name: value for name, value in repository.manifest(wanted).items() if name != "databases"}
    return {"set": wanted.id, "manifest": manifest, "occupied": occupied(Path(request["home"]))}


def answered(action: Any, file: str = "") -> int:
    """Run an action with the request in a file, or on standard input, and print what it returns; the exit status."""
    os.umask(0o077)
    try:
        print(json.dumps(action(json.loads(Path(file).read_text() if file else sys.stdin.read()))))
    except BackupError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        full = "a disk is full; free some space, then run this again" if error.errno == 28 else str(error)
        print(f"mlflow_backup: {full} ({error.filename or error.strerror})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(answered({"look": look, "ready": ready}[sys.argv[1]]))
