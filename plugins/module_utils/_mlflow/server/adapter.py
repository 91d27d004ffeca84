# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What a tracking server discloses about itself, to anyone and to the given credentials."""
from __future__ import annotations

from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError, NotPermitted, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient


def answers(client: RestClient) -> dict[str, Any]:
    """What the server answers, as far as the credentials allow.

    Returns ``healthy``, ``info`` (what it tells anyone, None where it did not), ``version``, ``authenticated``, ``ready``
    (its database answers) and the ``problem`` if not, ``is_basic`` or ``is_plugin``, ``user`` and ``has_roles``. What the server did not
    say is None or missing. Raises Unreachable, and Unsupported where no MLflow is there.
    """
    # /health and server-info are all that basic authentication leaves open (3.17).
    found: dict[str, Any] = {"healthy": client.text("/health").strip() == "OK", "info": None, "version": None, "authenticated": True}
    try:
        found["info"] = client.server_info()
        found["version"] = client.version()
        found.update(_database(client))
        found.update(_users(client))
    except NotPermitted as error:
        found.update({"authenticated": False, "problem": str(error)})
    return found


def _database(client: RestClient) -> dict[str, Any]:
    """Whether a request that needs the database succeeds: /health, /version and server-info do without it."""
    try:
        client.get("/api/2.0/mlflow/experiments/search", max_results=1)
    except ApiError as error:
        return {"ready": False, "problem": str(error)}
    return {"ready": True}


def _users(client: RestClient) -> dict[str, Any]:
    """Whether MLflow's basic authentication is on, which brings users, and roles since they exist, or mlflow-oidc-auth; and who asks."""
    try:
        answer = client.get("/api/2.0/mlflow/users/current")
    except Unsupported:
        return {"is_basic": _has(client, "/api/2.0/mlflow/users/get?username=admin"), "has_roles": False}
    except ApiError:  # its database is down
        return {}
    if "user" not in answer:
        return {"is_plugin": True, "user": answer, "has_roles": False}
    return {"is_basic": True, "user": answer["user"], "has_roles": _has(client, "/api/3.0/mlflow/roles/list")}


def _has(client: RestClient, path: str) -> bool:
    """Whether there is such an endpoint, be it for others alone."""
    try:
        client.get(path)
    except Unsupported:
        return False
    except (ApiError, NotPermitted):
        pass
    return True
