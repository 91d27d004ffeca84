"""What of a database changes with a key: the secrets that it encrypts, and the verifiers of passwords. All of it in the caller's transaction."""
from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import encrypt_password

#: How long a database that does not answer is waited for, in seconds, and what one says that does, to a wrong password.
PATIENCE, REFUSED = 30, "password authentication failed"


class RotationError(Exception):
    """Why nothing is rotated, with the remedy."""


def _connected(where: dict[str, Any], passwords: list[str]) -> Any:
    """A session; it waits for a server that is just starting."""
    deadline = time.monotonic() + PATIENCE
    while True:
        problems = []
        for password in passwords:
            try:
                return psycopg2.connect(**where, password=password, connect_timeout=10)
            except psycopg2.OperationalError as error:
                problems.append(" ".join(str(error).split()))
        if REFUSED in problems[0] or time.monotonic() > deadline:
            raise RotationError(f"rotate: the database does not answer ({problems[-1]}); start it (in a checkout: make up)")
        time.sleep(1)


@contextmanager
def transaction(where: dict[str, Any], passwords: list[str]) -> Iterator[Any]:
    """Log in with the first of the passwords that is right; what is done with the cursor is done as a whole, or not at all."""
    connection = _connected(where, passwords)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', '60s', true)")
            yield cursor
    finally:
        connection.close()


def set_password(cursor: Any, role: str, password: str) -> None:
    """Give a role another password. The server, and so its log, gets the verifier alone."""
    verifier = encrypt_password(password, role, cursor.connection, "scram-sha-256")
    cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier)))


def _anew(cursor: Any, table: str, columns: tuple[str, str, str], change: Callable[[Any], Any], write: bool, remedy: str) -> int:
    """Change a column of all rows that have a value; how many were not changed before. ``change`` gives None for what was, or raises ValueError."""
    id_, name, column = columns
    cursor.execute(f"SELECT {id_}, {name}, {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY {id_}{' FOR UPDATE' if write else ''}")
    count = 0
    for row, title, value in cursor.fetchall():
        try:
            new = change(value)
        except ValueError:
            what = f"the key in use does not decrypt the secret of '{title}'"
            raise RotationError(f"rotate: {what}; {remedy.format(row)}, then run this again") from None
        if new is not None:
            count += 1
            if write:
                cursor.execute(f"UPDATE {table} SET {column} = %s WHERE {id_} = %s", (new, row))
    return count


def webhooks(cursor: Any, old: str, new: str, write: bool) -> int:
    """Encrypt the secrets of webhooks with another Fernet key; how many are not yet. Without ``write``, only tries whether they can be read."""
    from cryptography.fernet import Fernet, InvalidToken  # noqa: PLC0415

    before, after = (Fernet(base64.b64encode(key.encode())) for key in (old, new))

    def change(secret: str) -> str | None:
        try:
            after.decrypt(secret)
        except InvalidToken:
            pass
        else:
            return None
        try:
            return after.encrypt(before.decrypt(secret)).decode()
        except InvalidToken as error:
            raise ValueError from error

    # MLflow itself could not even delete that webhook: it would read the secret first.
    remedy = "remove it from the database with UPDATE webhooks SET secret = NULL WHERE webhook_id = '{}'"
    return _anew(cursor, "webhooks", ("webhook_id", "name", "secret"), change, write, remedy)


def gateway(cursor: Any, old: str, new: str, version: int, write: bool) -> int:
    """Wrap the keys of the AI gateway's secrets with another one, as ``mlflow crypto rotate-kek`` does; how many are not yet.

    The version, which goes into the key beside the passphrase, stays, since no two keys are ever in use together.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from mlflow.utils.crypto import KEKManager, unwrap_dek, wrap_dek  # noqa: PLC0415

    before, after = (KEKManager(passphrase, version).get_kek() for passphrase in (old, new))

    def change(wrapped: memoryview) -> bytes | None:
        try:
            unwrap_dek(bytes(wrapped), after)
        except MlflowException:
            pass
        else:
            return None
        try:
            return bytes(wrap_dek(unwrap_dek(bytes(wrapped), before), after))
        except MlflowException as error:
            raise ValueError from error

    columns = ("secret_id", "secret_name", "wrapped_dek")
    return _anew(cursor, "secrets", columns, change, write, "delete that secret of the AI gateway, or give it its value again")
