# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Users as MLflow's basic authentication knows them, for what is about them: https://mlflow.org/docs/latest/auth/rest-api.html."""
from __future__ import annotations

import re
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._errors import Unmet, Unsupported

USERS = "/api/2.0/mlflow/users"
ROLES = "/api/3.0/mlflow/roles"
#: Before there were roles: the path of each type's permissions, and the field that names the resource.
OLD_PERMISSIONS = {
    "experiment": ("/api/2.0/mlflow/experiments/permissions", "experiment_id"),
    "registered_model": ("/api/2.0/mlflow/registered-models/permissions", "name"),
}
#: The roles that hold the grants of single users (_SYNTHETIC_ROLE_NAME_RE of mlflow/server/auth/sqlalchemy_store.py).
_SYNTHETIC = re.compile(r"__user_\d+__")


def user(client: RestClient, username: str) -> dict[str, Any] | None:
    """The user, or None. Before roles came, the answer held the user's permissions too. Raises Unsupported without authentication."""
    try:
        answer = client.get_or_none(f"{USERS}/get", username=username)
    except Unsupported:
        raise Unsupported(
            f"{client.connection.tracking_uri} has no users, since it runs without authentication; start the server with --app-name basic-auth"
        ) from None
    return answer["user"] if answer else None


def require_user(client: RestClient, option: str, username: str) -> dict[str, Any]:
    """The user. Raises Unmet, naming ``option``."""
    found = user(client, username)
    if found is None:
        raise Unmet(f"{option}: there is no user {username!r}; declare it first, or correct the name", [("users", username)])
    return found


def users(client: RestClient) -> list[dict[str, Any]]:
    """All users, with the roles that each has under ``roles``. Raises Unsupported on a server without roles."""
    found: list[dict[str, Any]] = _of_roles(client, f"{USERS}/list", "a list of all users").get("users", [])
    return found


def roles(client: RestClient) -> list[dict[str, Any]]:
    """All roles of the workspace that people made. Raises Unsupported on a server without roles."""
    answer = _of_roles(client, f"{ROLES}/list", "a role", workspace=workspace(client))
    return [role for role in answer.get("roles", []) if not is_synthetic(role)]


def is_synthetic(role: dict[str, Any]) -> bool:
    """Whether it is one of those in which MLflow keeps the grants of single users."""
    return _SYNTHETIC.fullmatch(role["name"]) is not None


def workspace(client: RestClient) -> str:
    """The workspace of the connection; ``default`` is the one of a server without any, too."""
    return client.connection.workspace or "default"


def own_name(client: RestClient) -> str | None:
    """The user of the connection, where the server can tell."""
    connection = client.connection
    if not connection.token:
        return connection.username
    try:
        name: str = client.get(f"{USERS}/current")["user"]["username"]
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
