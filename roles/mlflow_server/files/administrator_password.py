"""MLflow's administrator and the password that is meant for him: ``administrator_password.py status|set [FILE]``.

Reads MLFLOW_AUTH_ADMIN_USERNAME and MLFLOW_SCHEMA_AUTH_URI; PostgreSQL's password comes from PGPASSWORD, the administrator's from FILE or, without
one, MLFLOW_AUTH_ADMIN_PASSWORD.
``status`` prints ``same``, ``differs``, ``absent`` (MLflow makes him at its start) or ``unreachable``. ``set`` gives him the password, as
MLflow itself would.
"""
from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg2
from werkzeug.security import check_password_hash


def status(username: str, password: str) -> str:
    """Whether the administrator has this password."""
    url = urlsplit(os.environ["MLFLOW_SCHEMA_AUTH_URI"])
    try:
        where = {"host": url.hostname, "port": url.port, "user": unquote(url.username or ""), "dbname": unquote(url.path[1:])}
        with closing(psycopg2.connect(**where, connect_timeout=10)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT password_hash FROM users WHERE username = %s", (username,))
            row = cursor.fetchone()
    except psycopg2.Error:
        return "unreachable"
    if row is None:
        return "absent"
    return "same" if check_password_hash(row[0], password) else "differs"


def set_password(username: str, password: str) -> None:
    """Set it. MLflow's store takes seconds to import, so that the status goes without."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415

    store = SqlAlchemyStore()
    store.init_db(os.environ["MLFLOW_SCHEMA_AUTH_URI"])
    try:
        store.update_user(username, password=password)
    except MlflowException as error:
        sys.exit(f"MLflow does not take the administrator's password: {error.message}; put another one into its place")


def main(action: str, file: str = "") -> None:
    """Run ``status`` or ``set``."""
    username = os.environ["MLFLOW_AUTH_ADMIN_USERNAME"]
    password = Path(file).read_text().splitlines()[0] if file else os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"]
    if action == "set":
        set_password(username, password)
    else:
        print(status(username, password), end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
