"""Rotates keys and passwords of the embedded stack, and prints a report as JSON. ``run.py`` starts it. An error is one line, and status 1.

All new values are written down first, in ``rotation.json``, and taken from there, so that a run that was interrupted anywhere is finished by the
next one: each step may be done again. Once the new values are in the folder of secrets, the note has none any more. It stays until the stack was
deployed with them.
"""
from __future__ import annotations

import base64
import http.client
import json
import os
import re
import secrets
import shlex
import string
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import rotation_rows
from backup_lock import alone
from rotation_rows import RotationError

#: roles/embedded/files/stack.py and roles/mlflow_backup/files/backup.py know it too.
NOTE = "rotation.json"
#: What MLflow must not meet half done: it would encrypt with the old key, or a client would be refused.
STOPPING = frozenset({"s3_keys", "webhook_key", "kek"})
IN_DATABASE = frozenset({"database_password", "webhook_key", "kek"})
#: What the environment of the server has of a secret that encrypts.
IN_USE: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "mlflow_webhook_key": ("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", lambda secret: base64.b64encode(secret.encode()).decode()),
    "mlflow_crypto_passphrase": ("MLFLOW_CRYPTO_KEK_PASSPHRASE", str),
}
Note = dict[str, Any]


def write(path: Path, text: str) -> None:
    """Write a file for this user alone, so that it is there whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def read(home: Path) -> Note:
    """Return the note of an earlier run; empty if there is none."""
    try:
        return dict(json.loads((home / NOTE).read_text()))
    except FileNotFoundError:
        return {}


def secret(home: Path, name: str) -> str:
    """Return a secret as its file has it."""
    return (home / "secrets" / name).read_text().splitlines()[0]


def database(home: Path, note: Note) -> Any:
    """A transaction with the password in the file, or the one that is to get there."""
    there = note["database"]
    os.environ.update({name: str(value) for name, value in there["environment"].items()})
    passwords = [secret(home, there["secret"]), note["values"].get(there["secret"], "")] if there["secret"] else [""]
    where = {key: there[key] for key in ("host", "port", "dbname", "user")}
    return rotation_rows.transaction(where, [each for each in dict.fromkeys(passwords) if each] or [""])


def encrypted(home: Path, note: Note, cursor: Any, changes: bool) -> dict[str, int]:
    """Encrypt anew what the keys encrypt, or try whether that could be done; how many secrets by key."""
    found, values = {}, note["values"]
    if "webhook_key" in note["rotates"]:
        name = "mlflow_webhook_key"
        found["webhook_key"] = rotation_rows.webhooks(cursor, secret(home, name), values[name], changes)
    if "kek" in note["rotates"]:
        name = "mlflow_crypto_passphrase"
        found["kek"] = rotation_rows.gateway(cursor, secret(home, name), values[name], note["kek_version"], changes)
    return found


def check(home: Path, settings: Mapping[str, Any], note: Note) -> None:
    """Raise RotationError if the stack does not run, or a secret could not be encrypted anew. Nothing is changed."""
    try:
        # A proxy could not reach this machine's loopback.
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{settings['uri']}/health", timeout=30).close()
    except (OSError, http.client.HTTPException) as error:
        raise RotationError(f"rotate: MLflow does not answer at {settings['uri']} ({error}); start it (in a checkout: make up)") from None
    lines = shlex.split((home / "mlflow/server.env").read_text(), comments=True)
    environment = dict(line.split("=", 1) for line in lines)
    for name, (variable, form) in IN_USE.items():
        if name in note["values"] and environment.get(variable) != form(secret(home, name)):
            raise RotationError(f"rotate: {variable} is not what {home}/secrets/{name} says; remove it from mlflow_server_environment first")
    note["kek_version"] = int(environment.get("MLFLOW_CRYPTO_KEK_VERSION", "1"))
    if IN_DATABASE & {*note["rotates"]}:
        with database(home, note) as cursor:
            note["counts"] = encrypted(home, note, cursor, False)


# The steps. Each may be done again.


def stop(home: Path, note: Note) -> None:
    """Stop MLflow, if it must not run meanwhile."""
    if STOPPING & {*note["rotates"]}:
        control = [str(home / "venv/bin/supervisorctl"), "--configuration", str(home / "supervisord.conf"), "stop", "mlflow"]
        done = subprocess.run(control, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode and "not running" not in done.stdout:
            said = " ".join((done.stdout + done.stderr).split())
            raise RotationError(f"rotate: MLflow could not be stopped ({said}); stop it, then run this again")


def change_database(home: Path, note: Note) -> None:
    """Change the database, in one transaction."""
    if IN_DATABASE & {*note["rotates"]}:
        with database(home, note) as cursor:
            encrypted(home, note, cursor, True)
            if "database_password" in note["rotates"]:
                rotation_rows.set_password(cursor, "postgres", note["values"]["postgresql_admin_password"])
                rotation_rows.set_password(cursor, note["database"]["role"], note["values"]["postgresql_password"])


def unmark(home: Path, note: Note) -> None:
    """Take from the server's environment the checksums of keys that are not in use any more: by them, the roles would take the new ones for wrong."""
    file = home / "mlflow/server.env"
    names = "|".join(map(re.escape, note["values"]))
    write(file, re.sub(rf"^# ({names}): \w+\n", "", file.read_text(), flags=re.M))


def write_secrets(home: Path, note: Note) -> None:
    """Put the new values where the roles read them."""
    for name, value in note["values"].items():
        write(home / "secrets" / name, value)


def finish(home: Path, note: Note) -> None:
    """Forget the new values."""
    del note["values"]
    write(home / NOTE, json.dumps(note))


STEPS = (stop, change_database, unmark, write_secrets, finish)


def told(note: Note, verb: str) -> list[str]:
    """Return what was rotated, for people."""
    what = {"webhook_key": "secrets of webhooks", "kek": "secrets of the AI gateway"}
    details = [f"{note['counts'][name]} {what[name]} encrypted anew" for name in note.get("counts", {})]
    return [f"{verb}: {', '.join([*note['rotates'], *details])}"]


def rotate(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Do the steps, or say in check mode what they would do; the report."""
    home, is_check = Path(settings["home"]), settings["check"]
    # No backup has the database with one key and the files with another.
    with nullcontext() if is_check else alone(home, "a rotation", RotationError):
        note = read(home)
        lines = []
        if note:
            others = [name for name in settings["rotate"] if name not in (*note["rotates"], "all")]
            lines = ["A rotation was interrupted, and is finished first"] + ([f"Run this again for {', '.join(others)}"] if others else [])
        elif settings["resume"]:
            raise RotationError("rotate: another run has ended the rotation meanwhile; run this again")
        else:
            names = [name for each in settings["wanted"].values() for name in each]
            letters = string.ascii_letters + string.digits
            values = {name: "".join(secrets.choice(letters) for _each in range(32)) for name in names}
            note = {"rotates": list(settings["wanted"]), "values": values, "database": settings["database"]}
            check(home, settings, note)
            if not is_check:
                write(home / NOTE, json.dumps(note))
        changed = "values" in note
        if changed and not is_check:
            for step in STEPS:
                step(home, note)
    return {"changed": changed, "lines": [*told(note, "Would rotate" if is_check else "Rotated"), *lines]}


def main(settings: Mapping[str, Any]) -> int:
    """Rotate, and print the report."""
    try:
        print(json.dumps(rotate(settings)))
    except RotationError as error:
        print(error, file=sys.stderr)
    except Exception as error:  # PostgreSQL's and MLflow's, which name no secret
        print(f"rotate: {type(error).__name__}: {' '.join(str(error).split())[:500]}; run this again", file=sys.stderr)
    else:
        return 0
    return 1
