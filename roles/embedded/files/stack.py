"""The embedded stack as it lies on a disk and in the process table: ``stack.py user``, ``stack.py look|end HOME``.

``user`` prints a JSON object: who runs this. ``look`` prints one: what is in the folder, which processes are the stack's own, and what is wrong
with its keys and data. It passes on the exit status of ``environment.sh check``, if one is given. ``end all`` ends those processes, ``end left``
those alone that no supervisor looks after. Runs on the Python of a managed host with nothing else, as root or as the user whose stack it is.
"""
from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

DATABASES, ARTIFACTS, RUN = "postgresql/data", "artifact-store/data", "mlflow/server.env"
RESTORING, ROTATING = "backup/restoring.json", "rotation.json"
#: What was made with a secret, and is of no use, or not safe, with another one: where it lies, what it is, the secrets.
#: A secret that a later version adds needs a row of its own, with what that version writes: under what is older, it is still to be made.
DEPENDENTS = (
    (f"{DATABASES}/PG_VERSION", "the databases", ("postgresql_admin_password", "postgresql_password")),
    (ARTIFACTS, "the artifacts", ("artifact_store_admin_secret_key", "artifact_store_secret_key", "artifact_store_signing_key")),
    (
        RUN,
        "what MLflow keeps in its database",
        ("mlflow_webhook_key", "mlflow_crypto_passphrase", "mlflow_flask_secret_key", "mlflow_admin_password"),
    ),
)
#: What says that there were data, where they were, what they are.
DATA = (
    (("services/postgresql.conf",), f"{DATABASES}/PG_VERSION", "the databases"),
    (("services/artifact-store.conf", RUN), ARTIFACTS, "the artifacts"),
)
#: Secrets that encrypt, and the file that says by a checksum which one is in use.
ENCRYPTING = (
    ("mlflow_webhook_key", RUN, "the secrets of webhooks", "mlflow_webhook_key"),
    ("mlflow_crypto_passphrase", RUN, "the secrets of the AI gateway", "mlflow_crypto_passphrase"),
    ("artifact_store_signing_key", "artifact-store/security.toml", "the artifacts of encrypted buckets", "s3.sse"),
)
#: How long processes are given to end, in seconds, before they are killed. The supervisor gives each of its own 30.
PATIENCE = 75
ANSWER_WITHIN = 5


@dataclass
class Found:
    """What ``look`` prints."""

    entries: list[str] = field(default_factory=list)
    has_run: bool = False
    certificates: str = ""
    supervisors: list[int] = field(default_factory=list)
    answers: bool = False
    left: list[int] = field(default_factory=list)
    installers: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    #: What the data were written by, empty where there are none, or nobody knows.
    postgresql_version: str = ""
    mlflow_version: str = ""
    #: The disk of the folder, its free MiB, and the folder on it that exists; empty if this user may write there.
    disk: str = ""
    free: int = 0
    unwritable: str = ""
    #: The systemd unit that starts the stack when the machine starts, and whether it is there.
    unit: str = ""
    has_unit: bool = False
    has_systemd: bool = field(default_factory=Path("/run/systemd/system").is_dir)
    #: Whether artifacts are, or were, in the stack's own S3 server.
    has_s3: bool = False
    #: The secrets that a stack has.
    secret_names: list[str] = field(default_factory=lambda: sorted(name for _where, _what, names in DEPENDENTS for name in names))
    #: The deployment that was last verified, as mlflow_verify has recorded it.
    verified: str = ""
    #: The SHA-256 of the supervisor's configuration, empty where there is none, and what ``environment.sh check`` said of the packages.
    supervisor_configuration: str = ""
    environment: int = 1
    #: Whether a restore was interrupted before its data were there.
    is_being_restored: bool = False
    #: Whether a rotation was interrupted before its new values were in the folder of secrets.
    is_being_rotated: bool = False


@dataclass(frozen=True)
class Process:
    """One process: whose child it is, its arguments, and whether the stack's supervisor has started it."""

    pid: int
    parent: int
    words: tuple[str, ...]
    folder: str
    is_supervised: bool

    def is_supervisor(self, home: Path) -> bool:
        """Whether it is a supervisor of the stack in ``home``."""
        return str(home / "supervisord.conf") in map(os.path.normpath, self.words) and any(word.endswith("/supervisord") for word in self.words)

    def is_installer(self, home: Path) -> bool:
        """Whether it puts packages into the stack's environment, or a backup back, for a run that may have been interrupted."""
        if f"{home}/backup/program/restore.py" in self.words:
            return True
        venv = str(home / "venv")
        is_pip = self.words[0] == f"{venv}/bin/python" and "pip" in self.words
        return is_pip or (venv in self.words and not {"environment.sh", "venv"}.isdisjoint(self.words))

    def is_database(self, home: Path) -> bool:
        """Whether it is a PostgreSQL on the data in ``home``, whoever has started it."""
        return self.folder == str(home / DATABASES)


# Processes


def processes(home: Path) -> Iterator[Process]:
    """All processes that this user may look at, and that the owner of ``home`` runs, or this user."""
    owners = {os.geteuid(), *([home.stat().st_uid] if home.exists() else [])}
    mark = re.compile(rb"\0SUPERVISOR_SERVER_URL=unix://([^\0]+)/run/supervisor.sock\0")
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid not in owners:
                continue
            words = tuple((entry / "cmdline").read_bytes().decode(errors="replace").split("\0"))
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            started_by = mark.search(b"\0" + (entry / "environ").read_bytes())
            is_supervised = started_by is not None and os.path.normpath(os.fsdecode(started_by[1])) == str(home)
            yield Process(int(entry.name), parent, words, os.readlink(entry / "cwd"), is_supervised)
        except OSError:
            # Ended meanwhile, or another user's.
            continue


def sorted_out(home: Path, found: list[Process]) -> tuple[list[int], list[int]]:
    """The supervisors among ``found``, and the stack's other processes that none of them looks after.

    >>> home = Path("/s")
    >>> boss = Process(1, 0, ("python", "/s/venv/bin/supervisord", "--configuration", "/s/supervisord.conf"), "/s", False)
    >>> kept, orphan = Process(2, 1, ("weed",), "/s/artifact-store", True), Process(3, 0, ("uvicorn",), "/s", True)
    >>> database, backend = Process(4, 0, ("postgres",), "/s/postgresql/data", True), Process(5, 4, ("postgres: idle",), "/s/postgresql/data", False)
    >>> shell = Process(6, 0, ("less", "/s/log/mlflow.log"), "/s/log", False)
    >>> sorted_out(home, [boss, kept, orphan, database, backend, shell])
    ([1], [3, 4])
    """
    parents = {process.pid: process.parent for process in found}
    supervisors = [process.pid for process in found if process.is_supervisor(home)]
    ours = {process.pid for process in found if process.is_supervised or process.is_database(home)}

    def above(pid: int) -> Iterator[int]:
        while (pid := parents.get(pid, 0)) > 0:
            yield pid

    # What another one of ours has started ends with that one.
    left = [pid for pid in ours if not any(parent in supervisors or parent in ours for parent in above(pid))]
    return supervisors, sorted(left)


def answers(home: Path) -> bool:
    """Whether a supervisor takes requests, which one that hangs does not."""
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(ANSWER_WITHIN)
        try:
            connection.connect(str(home / "run/supervisor.sock"))
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return bool(connection.recv(1))
        except OSError:
            return False


def victims(home: Path, what: str) -> list[int]:
    """Which processes ``end`` is to end: ``left`` spares a supervisor that is alone and answers, with what it looks after."""
    found = list(processes(home))
    supervisors, left = sorted_out(home, found)
    if what == "left":
        return left if len(supervisors) == 1 and answers(home) else supervisors + left
    return supervisors + left + [process.pid for process in found if process.is_installer(home)]


def end(home: Path, what: str) -> int:
    """End the processes and wait; the exit status, with what was ended, or is still there, printed."""
    ended = describe(victims(home, what))
    for seconds, politely in ((PATIENCE, True), (15, False)):
        told: set[int] = set()
        deadline = time.monotonic() + seconds
        while there := victims(home, what):
            for pid in set(there) - told:
                told.add(pid)
                send(home, pid, politely)
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        else:
            print(ended, end="")
            return 0
    print(f"{home}: these have not ended: {describe(victims(home, what))}; end them by hand, then run this again", end="")
    return 1


def send(home: Path, pid: int, politely: bool) -> None:
    """Tell one process to end. PostgreSQL is never killed outright: it has committed what it said, and leaves its memory to nobody."""
    try:
        is_database = os.readlink(f"/proc/{pid}/cwd") == str(home / DATABASES)
        number = (signal.SIGINT if politely else signal.SIGQUIT) if is_database else (signal.SIGTERM if politely else signal.SIGKILL)
        # A supervisor's processes lead a group each; of PostgreSQL the first alone is told, and of the supervisor itself.
        leads = os.getpgid(pid) == pid and not is_database and b"supervisord" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        (os.killpg if leads else os.kill)(pid, number)
        os.kill(pid, signal.SIGCONT)
    except OSError:
        # It has ended meanwhile.
        pass


def describe(pids: list[int]) -> str:
    """Each of ``pids`` that is there, with its program."""
    found = []
    for pid in pids:
        try:
            found.append(f"{Path(os.readlink(f'/proc/{pid}/exe')).name} ({pid})")
        except OSError:
            continue
    return ", ".join(found)


# Keys and data


def is_there(path: Path) -> bool:
    """Whether there is a file, or a folder that holds something."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def owner_of(home: Path) -> str:
    """How the owner of the folder is called, for messages."""
    try:
        return home.owner()
    except KeyError:
        return str(home.stat().st_uid)


def unreadable(path: Path) -> str:
    """What is wrong with the file of a secret; empty where nothing is."""
    lines = path.read_text(errors="replace").splitlines()
    if not "".join(lines).strip():
        return "is empty"
    return f"holds {len(lines)} lines, and one is taken" if len(lines) > 1 else ""


def look_at_secrets(home: Path) -> tuple[list[str], list[str]]:
    """What is wrong with the secrets whatever is meant, and what has been lost; a sentence each."""
    problems, losses, owner = [], [], owner_of(home)
    folder = home / "secrets"
    held = {path.name: path for path in sorted(folder.iterdir())} if folder.is_dir() else {}
    needed = {name: f"{what} ({home / where})" for where, what, names in DEPENDENTS if is_there(home / where) for name in names}
    back = f"put it back from a backup, with owner {owner} and mode 0600"
    for name, path in held.items():
        wrong = unreadable(path)
        if wrong and name in needed:
            problems.append(f"{path} {wrong}, and {needed[name]} depend on what it held; {back}")
        elif wrong and any(name in names for _place, _what, names in DEPENDENTS):
            problems.append(f"{path} {wrong}; {back}, or remove it, and a new one is made")
    for name in needed.keys() - held.keys():
        losses.append(f"{folder / name} is missing, and {needed[name]} depend on it; {back}")
    for name, where, what, mark in ENCRYPTING:
        if name in held and not unreadable(held[name]) and not is_in_use(held[name].read_text().splitlines()[0], mark, home / where):
            losses.append(f"{held[name]} is not what {what} were encrypted with, which could not be read with it; {back}")
    return problems, sorted(losses)


def is_in_use(secret: str, mark: str, file: Path) -> bool:
    """Whether ``file`` names the checksum of ``secret`` under ``mark``, or none."""
    used = re.search(rf'^# {re.escape(mark)}: (\w+)$|^\[{re.escape(mark)}\]\nkey = "(\w+)"$', file.read_text(), re.M) if file.is_file() else None
    return used is None or (used[1] or used[2]) == hashlib.sha256((secret + mark).encode()).hexdigest()


def look_at_data(home: Path) -> list[str]:
    """Which data are gone, a sentence each."""
    return [
        f"{home / where} is missing, and {what} were there, as {home / said[-1]} says; put the folder back from a backup, with owner "
        f"{owner_of(home)} and mode 0700"
        for said, where, what in DATA
        if all((home / name).is_file() for name in said) and not is_there(home / where)
    ]


def first_match(pattern: str, file: Path) -> str:
    """The first group of what a line of the file begins with; empty where there is none."""
    match = re.search(f"^{pattern}", file.read_text(), re.M) if file.is_file() else None
    return match[1] if match else ""


def look_at_disk(home: Path) -> tuple[str, int, str]:
    """The mount point of the disk that the folder is on, or will be, its free MiB, and the folder there that is read-only."""
    place = home
    while not place.exists():
        place = place.parent
    told = os.statvfs(place)
    mount = place.resolve()
    while not mount.is_mount():
        mount = mount.parent
    return str(mount), told.f_bavail * told.f_frsize >> 20, "" if place.is_dir() and os.access(place, os.W_OK) else str(place)


def is_being_restored(home: Path) -> bool:
    """Whether a restore has begun, and its data are not there yet; roles/mlflow_backup/files/restore.py notes what it says once they are."""
    note = home / RESTORING
    return note.is_file() and "lines" not in json.loads(note.read_text())


def is_being_rotated(home: Path) -> bool:
    """Whether a rotation has begun, and the new values are still in the note of roles/mlflow_rotation/files/rotation.py alone."""
    note = home / ROTATING
    return note.is_file() and "values" in json.loads(note.read_text())


def checksum(file: Path) -> str:
    """The SHA-256 of a file; empty where there is none."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def unit_of(home: Path) -> Path:
    """The systemd unit of the stack, for root a unit of the machine, else one of the user."""
    folder = Path("/etc/systemd/system") if os.geteuid() == 0 else Path.home() / ".config/systemd/user"
    return folder / f"mlops-mlflow{str(home).replace('/', '-')}.service"


def look(home: Path) -> Found:
    """Look at everything."""
    disk, free, unwritable = look_at_disk(home)
    unit = unit_of(home)
    if not home.is_dir():
        return Found(disk=disk, free=free, unwritable=unwritable, unit=str(unit), has_unit=unit.exists())
    found = list(processes(home))
    supervisors, left = sorted_out(home, found)
    problems, secrets = look_at_secrets(home)
    return Found(
        entries=sorted(path.name for path in home.iterdir()),
        has_run=(home / RUN).is_file(),
        has_s3=(home / DATA[1][0][0]).is_file() or is_there(home / ARTIFACTS),
        certificates=checksum(home / "artifact-store/tls/ca.crt"),
        supervisors=supervisors,
        answers=bool(supervisors) and answers(home),
        left=left,
        installers=[process.pid for process in found if process.is_installer(home)],
        problems=problems,
        losses=look_at_data(home) + secrets,
        postgresql_version=first_match(r"(\d+)", home / DATABASES / "PG_VERSION"),
        mlflow_version=first_match(r"# MLflow (\S+)", home / RUN),
        disk=disk,
        free=free,
        unwritable=unwritable,
        unit=str(unit),
        has_unit=unit.exists(),
        verified=first_match(r"(\w+)$", home / "verified"),
        is_being_restored=is_being_restored(home),
        is_being_rotated=is_being_rotated(home),
        supervisor_configuration=checksum(home / "supervisord.conf"),
    )


def user() -> dict[str, str | int]:
    """Who runs this, by the names that Ansible's facts have."""
    entry = pwd.getpwuid(os.getuid())
    return {"user_id": entry.pw_name, "user_uid": entry.pw_uid, "user_gid": entry.pw_gid, "user_dir": entry.pw_dir}


def main(words: list[str]) -> int:
    """Run one of the three."""
    if words[0] == "user":
        print(json.dumps(user()), end="")
        return 0
    home = Path(os.path.normpath(words[2] if words[0] == "end" else words[1]))
    if words[0] == "end":
        return end(home, words[1])
    found = asdict(look(home)) | {"user": user()}
    print(json.dumps(found | ({"environment": int(words[2])} if words[2:] else {})), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
