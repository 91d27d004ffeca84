# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The environment and the configuration file of an MLflow server, embedded or in a cluster: hosts, origins, pools, keys. No I/O."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import server_jwt
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Database, Store
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server import Server
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import url_host

#: MLflow's variables for the two keys that encrypt what it stores; without the second, it takes a passphrase that everyone knows.
WEBHOOK_KEY, PASSPHRASE = "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", "MLFLOW_CRYPTO_KEK_PASSPHRASE"


def hosts(server: Server, namespace: str = "", addresses: Sequence[str] = ()) -> list[str]:
    """Return the Host headers to accept, as patterns of fnmatch, in which a bracket stands in brackets.

    MLflow takes host and port for one name, and a list replaces its defaults: so each with and without a port.

    >>> hosts(Server(runtime="embedded"))
    ['localhost', 'localhost:*', '127.0.0.1', '127.0.0.1:*']
    >>> hosts(Server(), "ml", ["fd00::7"])[12:14]
    ['[[]fd00::7]', '[[]fd00::7]:*']
    """
    names = ["localhost", "127.0.0.1"]
    if server.is_on_kubernetes:
        names += [*server.service_names(namespace), *(url_host(each).replace("[", "[[]") for each in addresses), "$(POD_IP)"]
        names += [server.host] if server.is_public else []
    return [each for name in names for each in (name, f"{name}:*")] + [*server.extra_hosts]


def told_hosts(server: Server, namespace: str) -> list[str]:
    """Return some of these as clients send them, for a test."""
    names = server.service_names(namespace)
    return [*names, *(f"{name}:{server.port}" for name in names), *([server.host, f"{server.host}:443"] if server.is_public else [])]


def origins(server: Server, namespace: str = "") -> list[str]:
    """Return the origins from which browsers may change something. MLflow itself allows localhost, on any port."""
    if server.is_on_kubernetes:
        own = [f"http://{name}:{server.port}" for name in server.service_names(namespace)] + ([server.public_uri] if server.is_public else [])
    else:
        own = [f"http://{name}:{server.port}" for name in ("localhost", "127.0.0.1")]
    return [*own, *server.extra_origins]


def settings(server: Server, database: Database, store: Store, namespace: str = "", addresses: Sequence[str] = ()) -> dict[str, Any]:
    """Return the settings that are not secret."""
    return {
        "MLFLOW_BACKEND_STORE_URI": database.uri,
        "MLFLOW_ARTIFACTS_DESTINATION": store.destination,
        # Proxied: clients need no S3 credentials, and the artifact root stored in each experiment does not depend on the bucket's address.
        "MLFLOW_SERVE_ARTIFACTS": "true",
        "MLOPS_MLFLOW_PRESIGNED_ARTIFACTS": _switch(server.presigned_artifacts),
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts(server, namespace, addresses)),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins(server, namespace)),
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": str(server.pool(database.max_connections)),
        "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": str(server.max_overflow),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": _switch(server.jobs_enabled),
        "MLFLOW_DISABLE_TELEMETRY": _switch(not server.telemetry_enabled),
        **({"MLOPS_MLFLOW_LOG_FORMAT": server.log_format} if server.log_format != "text" else {}),
        **database.environment, **store.environment,
    }  # fmt: skip


def _switch(value: bool) -> str:
    return "true" if value else "false"


def auth_ini(server: Server, auth_uri: str) -> str:
    """Return the file of MLflow's basic authentication, a ConfigParser's: a percent sign is doubled.

    >>> print(auth_ini(Server(admin_username="50%"), "postgresql://db/auth"), end="")
    # Written by mlops.mlflow.mlflow_server; changes are overwritten.
    [mlflow]
    default_permission = READ
    database_uri = postgresql://db/auth
    admin_username = 50%%
    auth_cache_ttl_seconds = 60
    """
    lines = [
        "# Written by mlops.mlflow.mlflow_server; changes are overwritten.",
        "[mlflow]",
        f"default_permission = {server.default_permission}",
        f"database_uri = {_doubled(auth_uri)}",
        f"admin_username = {_doubled(server.admin_username)}",
        f"auth_cache_ttl_seconds = {server.auth_cache_ttl}",
        *([server_jwt.FUNCTION] if server.is_jwt else []),
    ]
    return "".join(f"{line}\n" for line in lines)


def _doubled(text: str) -> str:
    return str(text).replace("%", "%%")


def schema_settings(server: Server, database: Database) -> dict[str, Any]:
    """Return the environment of the program that checks and migrates the schema, without the password."""
    auth = {"MLFLOW_SCHEMA_OIDC_URI" if server.is_plugin else "MLFLOW_SCHEMA_AUTH_URI": database.auth_uri} if server.has_users else {}
    return {**database.environment, "MLFLOW_SCHEMA_URI": database.uri, "MLFLOW_DISABLE_TELEMETRY": "true", **auth}


def references(database: Database, store: Store) -> dict[str, Mapping[str, str]]:
    """Return the environment variables whose values are in files or in Secrets of other roles."""
    return {**database.secret_environment, **store.secret_environment}
