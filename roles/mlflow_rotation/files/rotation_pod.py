"""What a rotation does in the database, in a pod of MLflow, and with its environment: ``check`` what is encrypted, or ``change`` it to the new keys.

The new keys are files, those in use are in the environment. Prints how many secrets were encrypted anew. An error is one line, and status 1: nothing
has changed. Status 2: the commit was sent, and only the database knows.
"""
from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rotation_rows
from backup_lock import DATABASE_LOCK
from rotation_rows import RotationError


def changed(settings: Mapping[str, Any], cursor: Any) -> dict[str, int]:
    """Encrypt anew what the keys encrypt, or only try whether it can be read; how many secrets by key."""
    writes, found = settings["action"] == "change", {}
    webhook = base64.b64decode(os.environ["MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"]).decode()
    passphrase, version = os.environ["MLFLOW_CRYPTO_KEK_PASSPHRASE"], int(os.environ.get("MLFLOW_CRYPTO_KEK_VERSION", "1"))

    def new(key: str, old: str) -> str:
        return (Path(settings["folder"]) / f"{settings['server']}_{key}").read_text() if writes else old

    if "webhook_key" in settings["rotates"]:
        found["webhook_key"] = rotation_rows.webhooks(cursor, webhook, new("webhook-key", webhook), writes)
    if "kek" in settings["rotates"]:
        found["kek"] = rotation_rows.gateway(cursor, passphrase, new("crypto-passphrase", passphrase), version, writes)
    return found


def main(settings: Mapping[str, Any]) -> int:
    """Do it, and print what was done."""
    where, is_sent = {"dsn": os.environ["MLFLOW_BACKEND_STORE_URI"].replace("+psycopg2", "", 1)}, False
    try:
        with rotation_rows.transaction(where, [os.environ["PGPASSWORD"]]) as cursor:
            if settings["action"] == "change":
                # No backup has the rows with one key and the Secrets with another; it is waited for as long as for any lock.
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", (DATABASE_LOCK,))
            found = changed(settings, cursor)
            is_sent = True
    except RotationError as error:
        print(error, file=sys.stderr)
    except Exception as error:  # PostgreSQL's and MLflow's, which name no secret
        print(f"rotate: {type(error).__name__}: {' '.join(str(error).split())[:500]}; run this again", file=sys.stderr)
    else:
        print(json.dumps(found))
        return 0
    return 2 if is_sent else 1
