# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The rotation of a deployment's keys and passwords: which there are, and what the program on the host is given. No I/O."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.rotation_kubernetes import ALL, MORE

#: What can be rotated, and the secrets of the embedded stack that it means.
KEYS: Mapping[str, tuple[str, ...]] = {
    "database_password": ("postgresql_admin_password", "postgresql_password"),
    "s3_keys": ("artifact_store_admin_secret_key", "artifact_store_secret_key"),
    "admin_password": ("mlflow_admin_password",),
    "flask_key": ("mlflow_flask_secret_key",),
    "webhook_key": ("mlflow_webhook_key",),
    "kek": ("mlflow_crypto_passphrase",),
}


def problems(given: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the variables, a sentence each with its remedy."""
    return list(_of_variables(given["variables"]))


def _of_variables(variables: Mapping[str, Any]) -> Iterator[str]:
    names = variables["mlflow_rotation_keys"]
    can = [*KEYS, *(MORE if variables["mlflow_rotation_runtime"] == "kubernetes" else ())]
    known = f"{', '.join(can)} or {ALL}"
    if not names:
        yield f"rotate: names nothing to rotate; set it to {known}, such as -e rotate=kek, or to some of them with commas between"
    for name in names:
        if name not in (*can, ALL):
            yield f"rotate: '{name}' is nothing that can be rotated; set it to {known}, or to some of them with commas between"


def _lacking(given: Mapping[str, Any]) -> dict[str, str]:
    """What this stack does not have, and why, with the remedy."""
    found = {}
    if _file(given["postgresql"], "PGPASSWORD") != "postgresql_password":
        found["database_password"] = "PostgreSQL is not the stack's own; change it there and in postgresql_password, and run the site playbook"
    store = _file(given["artifact_store"], "AWS_SECRET_ACCESS_KEY")
    if not store:
        found["s3_keys"] = "the artifacts are in a folder, which has no keys; leave it out"
    elif store != "artifact_store_secret_key":
        found["s3_keys"] = (
            "the S3 server is not the stack's own; make a second key there, set artifact_store_access_key and artifact_store_secret_key, run the "
            "site playbook, and delete the first key"
        )
    if not given["endpoint"].get("username"):
        for name in ("admin_password", "flask_key"):
            found[name] = "the server takes requests without a password (mlflow_server_auth); leave it out"
    return found


def _file(connection: Mapping[str, Any], variable: str) -> str:
    """The name of the secret that a variable of the environment has; empty if there is none."""
    reference = (connection.get("secret_environment") or {}).get(variable) or {}
    return str(reference.get("file", "")).rpartition("/")[2]


def obstacle(given: Mapping[str, Any]) -> str:
    """Return what stands in the way now that the stack was looked at; empty if nothing does."""
    lacking = _lacking(given)
    for name in given["variables"]["mlflow_rotation_keys"]:
        if name in lacking:
            return f"rotate: there is no {name} to rotate, since {lacking[name]}"
    verified, deployment = given["embedded"].get("verified"), given["endpoint"].get("deployment")
    if not verified or verified != deployment or given["embedded"].get("has_new_packages"):
        return different("its files are not those that were last verified")
    return ""


def different(reason: str) -> str:
    """Say that the variables of this run do not describe the stack that is there."""
    return (
        f"rotate: the stack is not as these variables describe it, or does not run ({' '.join(reason.split())[:300]}); run the site playbook first "
        "(in a checkout: make up), with the same variables"
    )


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the program on the host is given."""
    home, database, names = given["place"]["home"], given["postgresql"], given["variables"]["mlflow_rotation_keys"]
    found: dict[str, Any] = {"home": home, "check": bool(given["check_mode"]), "resume": bool(given["resumes"]), "rotate": list(names)}
    if given["resumes"]:
        return found
    lacking = _lacking(given)
    wanted = {name: list(secrets) for name, secrets in KEYS.items() if (name in names or ALL in names) and name not in lacking}
    is_own = "database_password" not in lacking
    return {
        **found,
        "wanted": wanted,
        "uri": given["endpoint"]["uri"],
        "database": {
            "host": database["host"], "port": int(database["port"]), "dbname": database["database"], "role": database["user"],
            "user": "postgres" if is_own else database["user"],
            "secret": "postgresql_admin_password" if is_own else _file(database, "PGPASSWORD"),
            "environment": dict(database.get("environment") or {}),
        },
    }  # fmt: skip


DECISIONS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "problems": problems,
    "obstacle": obstacle,
    "different": lambda given: different(given["reason"]),
    "settings": settings,
}
