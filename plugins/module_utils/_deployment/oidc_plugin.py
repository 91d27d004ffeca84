# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""mlflow-oidc-auth, which asks for a login within MLflow's server and has users and permissions of its own: its settings, and what it does not do.

Its settings are said in full, even where they are its defaults now: these have changed before. No I/O.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import sso, workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Database
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server import Server
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.sso import OIDC_PLUGIN, Given, Sso, seconds
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, checksum
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object

#: Its name among MLflow's applications, where it expects a browser back, and where it shows users and permissions.
APPLICATION, CALLBACK, PAGES = "oidc-auth", "/callback", "/oidc/ui"
#: Where a pod has the authority of the issuer's certificate.
FOLDER = "/etc/mlflow/login"
#: The cookie of a session, of whose prefix browsers know that no other host and no plain HTTP may set it.
COOKIE = "__Host-mlflow_session"
#: The variables of the role that say nothing to it, with their remedy.
_UNREAD = {
    "extra_audiences": "it takes tokens for one audience, sso_client_id; have the issuer add that to tokens, and remove this",
    "extra_issuers": "it takes tokens of one issuer, sso_issuer_url; remove this, or set oauth2_proxy",
    "redis_url": "it keeps sessions in its database; remove this, or set oauth2_proxy",
    "redis_password": "it keeps sessions in its database; remove this, or set oauth2_proxy",
    "jwks_url": "it asks the issuer where its keys are; remove this",
    "logout_url": "it asks the issuer where a session ends; remove this",
    "forward_token": "it reads tokens itself; remove this",
}


def environment(given: Sso) -> dict[str, str]:
    """Return its settings that are not secret, apart from those of its database."""
    return {
        "OIDC_DISCOVERY_URL": f"{given.reached_issuer_url.rstrip('/')}/.well-known/openid-configuration",
        "OIDC_CLIENT_ID": given.client_id,
        "OIDC_REDIRECT_URI": f"https://{given.server['host']}{CALLBACK}",
        "OIDC_SCOPE": given.scope,
        "OIDC_CODE_CHALLENGE": "S256",
        "OIDC_VERIFY_SSL": "true",
        # A session is renewed at the issuer only by a token that the issuer gives for this scope.
        "OIDC_USE_REFRESH_TOKEN": _switch("offline_access" in given.scope.split()),
        "OIDC_GROUPS_ATTRIBUTE": given.groups_claim,
        "OIDC_GROUP_NAME": ",".join(given.allowed_groups),
        "OIDC_ADMIN_GROUP_NAME": ",".join(given.admin_groups),
        # Not an e-mail address, which people may change.
        "OIDC_USERNAME_FIELD": "preferred_username",
        "OIDC_ISSUER": given.issuer_url,
        "OIDC_AUDIENCE": given.client_id,
        "OIDC_PROVISION_ON_BEARER_AUTH": "true",
        "OIDC_TRUST_BEARER_GROUP_CLAIMS": "false",
        "DEFAULT_MLFLOW_PERMISSION": "NO_PERMISSIONS",
        "SESSION_COOKIE_NAME": COOKIE,
        "SESSION_COOKIE_SECURE": "true",
        "SESSION_COOKIE_SAMESITE": "lax",
        "SESSION_COOKIE_MAX_AGE_SECONDS": str(seconds(given.session_expire)),
        "AUTOMATIC_LOGIN_REDIRECT": "true",
        "TRUSTED_PROXIES": ",".join(map(str, given.trusted_proxies)),
        "ENABLE_API_DOCS": "false",
        # Beside the well-known authorities.
        **({"SSL_CERT_FILE": f"{FOLDER}/ca.crt"} if given.issuer_ca else {}),
    }  # fmt: skip


def _switch(value: bool) -> str:
    return "true" if value else "false"


def database_environment(server: Server, database: Database) -> dict[str, str]:
    """Return its settings of its database, that of users. Its password is with the others'."""
    return {
        "OIDC_USERS_DB_URI": database.auth_uri,
        "OIDC_DB_POOL_SIZE": str(server.pool(database.max_connections)),
        "OIDC_DB_POOL_MAX_OVERFLOW": str(server.max_overflow),
    }  # fmt: skip


def objects(given: Sso) -> list[Object]:
    """Return its object beside the Secret: the authority of the issuer's certificate, if it has one."""
    labels = given.identity.labels
    return [workload.config_map(given.name, labels, {"ca.crt": given.issuer_ca})] if given.issuer_ca else []


def connection(given: Given) -> Object:
    """Return what the server must have and reach to ask for the login itself."""
    made = sso.of(given)
    volumes = [{"name": "login", "mount_path": FOLDER, "source": {"configMap": {"name": made.name}}}] if made.issuer_ca else []
    (name, key), published = made.secret, sso.connection(made)
    return {
        **published,
        "application": APPLICATION, "environment": environment(made), "secret_environment": {"OIDC_CLIENT_SECRET": {"name": name, "key": key}},
        "volumes": volumes, "egress": [*given["egress"], *made.egress],
        "checksum": checksum(as_json([sso.client_secret(given), made.issuer_ca])),
        "how_to_use": [
            *published["how_to_use"],
            f"Users, access tokens and permissions are at https://{made.server['host']}{PAGES}/, for members of {', '.join(made.admin_groups)}",
        ],
    }  # fmt: skip


def forsaken(given: Given) -> list[Object]:
    """What it has no longer, and what is left of oauth2-proxy."""
    made = sso.of(given)
    gone = [] if made.issuer_ca else [each for each in sso.values_named(made.name) if each["kind"] == "ConfigMap"]
    return gone + sso.left_behind(given)


def problems(given: Sso) -> Iterator[str]:
    """What it needs, and what it does not read, one sentence each."""
    if not given.server.get("host"):
        yield f"sso_provider: {OIDC_PLUGIN} needs the name at which browsers reach MLflow; set mlflow_server_host"
    if not given.allowed_groups:
        yield (
            f"sso_allowed_groups: it is empty, and with sso_provider: {OIDC_PLUGIN} only members of its groups are let in; list the groups of the "
            "people and programs that use MLflow"
        )
    if not given.admin_groups:
        yield (
            f"sso_admin_groups: it is empty, so that nobody could give permissions, and sso_provider: {OIDC_PLUGIN} gives none by itself; list a "
            "group of administrators"
        )
    for name in (name for name in _UNREAD if getattr(given, name)):
        yield f"sso_{name}: sso_provider: {OIDC_PLUGIN} does not read it, since {_UNREAD[name]}"


def server_problems(server: Server) -> Iterator[str]:
    """What does not go together with it among the server's variables."""
    if server.auth != "none":
        yield (
            f"mlflow_server_auth: {server.auth} and sso_provider: {OIDC_PLUGIN} are two applications, of which an MLflow server runs one; set "
            "mlflow_server_auth: none, or another sso_provider"
        )
    if server.admin_username != server.admin_username.lower():
        yield (
            f"mlflow_server_admin_username: '{server.admin_username}' has capital letters, which sso_provider: {OIDC_PLUGIN} does not keep; use "
            "lower-case letters"
        )


def decided(given: Given) -> list[Any]:
    """The objects, from what the role gives."""
    return objects(sso.of(given))
