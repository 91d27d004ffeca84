"""What the embedded stack's own Python sees of its database and its artifacts, as the user of the processes: ``diagnose_inside.py HOME``, as JSON."""
from __future__ import annotations

import configparser
import json
import os
import shlex
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg2

PATIENCE = 5
#: The names of variables whose values are secrets, by a part of the name.
SECRET = ("PASS", "KEY", "SECRET", "TOKEN")


def environment(home: Path) -> dict[str, str]:
    """Return what the server is given."""
    return dict(line.split("=", 1) for line in shlex.split((home / "mlflow/server.env").read_text(), comments=True))


def database(uri: str, variables: dict[str, str]) -> dict[str, Any]:
    """Return why a database cannot be read, or its schema's revision."""
    url = urlsplit(uri)
    given: dict[str, Any] = {
        "host": url.hostname, "port": url.port or 5432, "user": unquote(url.username or ""), "password": variables.get("PGPASSWORD", ""),
        "dbname": unquote(url.path[1:]), "connect_timeout": PATIENCE,
        "options": f"-c statement_timeout={PATIENCE * 1000} -c default_transaction_read_only=on",
    }  # fmt: skip
    given |= {name[2:].lower(): value for name, value in variables.items() if name.startswith("PGSSL")}
    told: dict[str, Any] = {"name": given["dbname"], "user": given["user"], "error": "", "revision": ""}
    try:
        with closing(psycopg2.connect(**given)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('public.alembic_version') IS NOT NULL")
            if cursor.fetchone()[0]:
                cursor.execute("SELECT version_num FROM alembic_version")
                told["revision"] = (cursor.fetchone() or [""])[0]
    except psycopg2.Error as error:
        told["error"] = " ".join(str(error).split())
    return told


def folder(path: str) -> str:
    """Return why the server cannot use a folder of artifacts; empty if it can."""
    if not os.path.isdir(path):
        return f"there is no folder '{path}'"
    missing = [name for name, mode in (("read", os.R_OK), ("written", os.W_OK), ("entered", os.X_OK)) if not os.access(path, mode)]
    return f"'{path}' cannot be {' or '.join(missing)} by this user" if missing else ""


def bucket(destination: str, variables: dict[str, str]) -> str:
    """Return why the server cannot list a bucket; empty if it can."""
    import boto3  # noqa: PLC0415 (a second of CPU, for S3 alone)
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    name, _slash, prefix = destination.removeprefix("s3://").partition("/")
    names = {"AWS_ACCESS_KEY_ID": "aws_access_key_id", "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key", "AWS_DEFAULT_REGION": "region_name"}
    given: dict[str, Any] = {names[each]: variables[each] for each in names if each in variables}
    config = Config(connect_timeout=PATIENCE, read_timeout=PATIENCE, retries={"max_attempts": 1}, proxies={}, s3={"addressing_style": "path"})
    endpoint, ca = variables.get("MLFLOW_S3_ENDPOINT_URL") or None, variables.get("AWS_CA_BUNDLE") or None
    try:
        boto3.client("s3", endpoint_url=endpoint, verify=ca, config=config, **given).list_objects_v2(Bucket=name, Prefix=prefix, MaxKeys=1)
    except (BotoCoreError, ClientError) as error:
        return " ".join(str(error).split())
    return ""


def seen(home: Path) -> dict[str, Any]:
    """Return everything."""
    found: dict[str, Any] = {"mlflow": version("mlflow")}
    try:
        variables = environment(home)
    except OSError as error:
        return {**found, "unreadable": f"{error.filename}: {error.strerror}"}
    return {**found, **data(variables, str(home / "mlflow/auth.ini"))}


def data(variables: dict[str, str], auth_ini: str) -> dict[str, Any]:
    """Return what a server with these variables has: its databases, its artifacts. ``auth_ini`` need not exist."""
    uri, destination = variables["MLFLOW_BACKEND_STORE_URI"], variables["MLFLOW_ARTIFACTS_DESTINATION"].removeprefix("file://")
    parser = configparser.ConfigParser()
    # The tracking database first.
    uris = [uri, *([parser["mlflow"]["database_uri"]] if parser.read(auth_ini) else [])]
    told = {
        "port": urlsplit(uri).port or 5432,
        "databases": [database(each, variables) for each in uris],
        "destination": destination,
        "store": bucket(destination, variables) if destination.startswith("s3://") else folder(destination),
    }
    secrets = [value for name, value in variables.items() if value and any(part in name for part in SECRET)]
    return dict(json.loads(hidden(json.dumps(told), secrets)))


def hidden(text: str, secrets: list[str]) -> str:
    """Return a text without secrets that an error has repeated.

    >>> hidden("password of x", ["password", "x"])
    '… of x'
    """
    for secret in secrets:
        text = text.replace(secret, "…") if len(secret) > 7 else text
    return text


if __name__ == "__main__":
    print(json.dumps(seen(Path(sys.argv[1]))))
