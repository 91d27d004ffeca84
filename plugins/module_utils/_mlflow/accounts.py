# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Users of MLflow's basic authentication, as other adapters need them: https://mlflow.org/docs/latest/auth/rest-api.html."""
from __future__ import annotations

import re
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError, NotPermitted, Unmet, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient

USERS = "/api/2.0/mlflow/users"
ROLES = "/api/3.0/mlflow/roles"
#: Before MLflow had roles: the path of each type's permissions, and the field that identifies the resource.
OLD_PERMISSIONS = {
    "experiment": ("/api/2.0/mlflow/experiments/permissions", "experiment_id"),
    "registered_model": ("/api/2.0/mlflow/registered-models/permissions", "name"),
}
#: The roles that hold the grants of single users (_SYNTHETIC_ROLE_NAME_RE of mlflow/server/auth/sqlalchemy_store.py).
_SYNTHETIC = re.compile(r"__user_\d+__")


def user(client: RestClient, username: str) -> dict[str, Any] | None:
    """Return the user, or None; before MLflow had roles, with the user's permissions. Raises Unsupported without authentication."""
    try:
        answer = client.get_or_none(f"{USERS}/get", username=username)
    except Unsupported:
        if of_plugin(client):
            raise Unsupported(
                f"{client.connection.tracking_uri} keeps users and permissions by mlflow-oidc-auth, where this module cannot read or change them; "
                "use its page /oidc/ui, or deploy the server with another sso_provider than oidc_plugin"
            ) from None
        raise Unsupported(
            f"{client.connection.tracking_uri} has no users, since it runs without authentication; start the server with --app-name basic-auth"
        ) from None
    return answer["user"] if answer else None


def require_user(client: RestClient, option: str, username: str) -> dict[str, Any]:
    """Return the user. Raises Unmet, naming ``option``."""
    found = user(client, username)
    if found is None:
        raise Unmet(f"{option}: there is no user {username!r}; declare it first, or correct the name", [("users", username)])
    return found


def of_plugin(client: RestClient) -> dict[str, Any]:
    """Return the connecting user of a server with mlflow-oidc-auth, which has an API of its own for users; {} of any other server."""
    try:
        answer = client.get(f"{USERS}/current")
    except Unsupported:
        return {}
    return answer if "is_service_account" in answer else {}


def are_known(client: RestClient) -> bool:
    """Whether the server has users, that is, MLflow's basic authentication."""
    try:
        client.get(f"{USERS}/get", username=client.connection.username or "?")
    except Unsupported:
        return False
    except (ApiError, NotPermitted):
        pass
    return True


def users(client: RestClient) -> list[dict[str, Any]]:
    """Return all users, each with its ``roles``. Raises Unsupported on a server without roles."""
    found: list[dict[str, Any]] = _of_roles(client, f"{USERS}/list", "a list of all users").get("users", [])
    return found


def roles(client: RestClient) -> list[dict[str, Any]]:
    """Return all roles of the workspace that users created. Raises Unsupported on a server without roles."""
    answer = _of_roles(client, f"{ROLES}/list", "a role", workspace=workspace(client))
    return [role for role in answer.get("roles", []) if not is_synthetic(role)]


def is_synthetic(role: dict[str, Any]) -> bool:
    """Whether it is a role in which MLflow keeps the grants of a single user."""
    return _SYNTHETIC.fullmatch(role["name"]) is not None


def workspace(client: RestClient) -> str:
    """Return the workspace of the connection; ``default`` also on a server without workspaces."""
    return client.connection.workspace or "default"


def own_name(client: RestClient) -> str | None:
    """Return the connecting user, if the server can tell."""
    connection = client.connection
    if not connection.token:
        return connection.username
    try:
        answer = client.get(f"{USERS}/current")
        name: str = answer.get("user", answer)["username"]
    except Unsupported:
        return None
    return name


def _of_roles(client: RestClient, path: str, feature: str, **query: Any) -> dict[str, Any]:
    try:
        return client.get(path, **query)
    except Unsupported:
        user(client, client.connection.username or "?")
        raise Unsupported(
            f"{client.connection.tracking_uri} runs an MLflow without roles, and {feature} needs MLflow 3.16 or later; upgrade the server"
        ) from None
