# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Grants to single users by MLflow's authentication API: permissions of a user's own role or, before MLflow had roles, per-resource permissions."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import accounts
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.grant import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.permission_targets import Target, Targets
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kind
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import Plan, State

_GRANTS = "/api/3.0/mlflow/users/permissions"
_OLD_LEVELS = ("READ", "EDIT", "MANAGE", "NO_PERMISSIONS")


class Grant:
    """The permission of one user on one resource, or on all of a type."""

    immutable: frozenset[str] = frozenset()
    read_only = frozenset({"resource_id", "resource_deleted", "role_permission_id", "to_admin"})

    def __init__(self, client: RestClient, params: Mapping[str, Any]) -> None:
        self._client = client
        self._username: str = params["username"]
        self._type: str = params["resource_type"]
        self._resource: str = params["resource"]

    @classmethod
    def find(cls, client: RestClient, where: Mapping[str, Any]) -> Iterator[State]:
        """The grants of ``username``, for ``resource_type`` and ``resource``, or all of the workspace: two requests, or one without experiments.

        Raises Unsupported for the grants of all users on a server that is too old to list them.
        """
        targets = Targets(client)
        for user in _users(client, where.get("username")):
            for row in _rows(user, accounts.workspace(client)):
                if where.get("resource_type") not in (None, row["resource_type"]):
                    continue
                state = _state(user, row, targets.named(row["resource_type"], row["resource_pattern"]))
                if where.get("resource") in (None, state["resource"]):
                    yield state

    def read(self) -> State | None:
        """The grant, or None."""
        target = self._targets().resolve(self._type, self._resource)
        for user in _users(self._client, self._username) if target else []:
            for row in _rows(user, accounts.workspace(self._client)):
                if target and (row["resource_type"], row["resource_pattern"]) == (self._type, target.id):
                    return _state(user, row, target)
        return None

    def check(self, plan: Plan) -> None:
        """Raise Unmet for a missing user or resource, and Unsupported for what the server does not support."""
        if plan.action == "delete" or not plan.after:
            return
        permission = plan.after["permission"]
        if _has_no_roles(accounts.user(self._client, self._username) or accounts.user(self._client, accounts.own_name(self._client) or "?")):
            self._check_old(permission)
        elif permission == "NO_PERMISSIONS":
            raise Unsupported(
                f"permission: NO_PERMISSIONS is not a level on {self._client.connection.tracking_uri}, which has roles; "
                "give DENY, or leave the grant out where the server's default_permission is none"
            )
        if plan.action == "create":
            self._targets().check(self._type, self._resource, permission)
            accounts.require_user(self._client, "username", self._username)

    def apply(self, plan: Plan) -> None:
        """Grant, change or revoke. A change is atomic on the server, so the user is never without the permission."""
        number = (plan.before or {}).get("role_permission_id")
        if plan.before is None:
            self._grant((plan.after or {})["permission"])
        elif number is None:
            self._change_old(plan)
        elif plan.action == "delete":
            self._client.write("DELETE", f"{accounts.ROLES}/permissions/remove", {"role_permission_id": number})
        else:
            body = {"role_permission_id": number, "permission": (plan.after or {})["permission"]}
            self._client.write("PATCH", f"{accounts.ROLES}/permissions/update", body)

    def _grant(self, permission: str) -> None:
        number = self._targets().known(self._type, self._resource).id
        body = {"username": self._username, "resource_type": self._type, "resource_id": number, "permission": permission}
        try:
            self._client.write("POST", f"{_GRANTS}/grant", body, idempotent=False)
        except Unsupported:
            self._write_old("POST", "create", number, permission=permission)

    def _change_old(self, plan: Plan) -> None:
        number = (plan.before or {})["resource_id"]
        if plan.action == "delete":
            self._write_old("DELETE", "delete", number)
        else:
            self._write_old("PATCH", "update", number, permission=(plan.after or {})["permission"])

    def _write_old(self, method: str, verb: str, number: str, **more: str) -> None:
        path, field = accounts.OLD_PERMISSIONS[self._type]
        self._client.write(method, f"{path}/{verb}", {"username": self._username, field: number, **more}, idempotent=method != "POST")

    def _check_old(self, permission: str) -> None:
        where = f"{self._client.connection.tracking_uri} runs an MLflow without roles"
        if self._type not in accounts.OLD_PERMISSIONS:
            types = " or ".join(accounts.OLD_PERMISSIONS)
            raise Unsupported(f"resource_type: {where}, where {self._type} has no permissions; give {types}, or upgrade to MLflow 3.16")
        if self._resource == "*":
            raise Unsupported(f"resource: {where}, where permissions cannot apply to all; name one {self._type}, or upgrade to MLflow 3.16")
        if permission not in _OLD_LEVELS:
            raise Unsupported(f"permission: {where}, where {permission} is not a level; give one of {', '.join(_OLD_LEVELS)}")

    def _targets(self) -> Targets:
        return Targets(self._client)


def _users(client: RestClient, username: str | None) -> Iterator[dict[str, Any]]:
    """The user named ``username``, or all, each with its roles or its old permissions."""
    if username is None:
        yield from accounts.users(client)
        return
    user = accounts.user(client, username)
    if user and _has_no_roles(user):
        yield user
    elif user:
        answer = client.get_or_none("/api/3.0/mlflow/users/roles/list", username=username)
        yield {**user, "roles": (answer or {}).get("roles", [])}


def _has_no_roles(user: dict[str, Any] | None) -> bool:
    return user is not None and "registered_model_permissions" in user


def _rows(user: dict[str, Any], workspace: str) -> Iterator[dict[str, Any]]:
    """The grants of ``user`` in ``workspace``, as rows of roles are."""
    for role in user.get("roles", []):
        if role["workspace"] == workspace and accounts.is_synthetic(role):
            yield from role["permissions"]
    for resource_type, (_path, field) in accounts.OLD_PERMISSIONS.items():
        for row in user.get(f"{resource_type}_permissions", []):
            yield {"resource_type": resource_type, "resource_pattern": row[field], "permission": row["permission"], "id": None}


def _state(user: dict[str, Any], row: dict[str, Any], target: Target) -> State:
    return {
        "username": user["username"],
        "resource_type": row["resource_type"],
        "resource": target.name,
        "permission": row["permission"],
        "resource_id": row["resource_pattern"],
        "resource_deleted": target.deleted,
        "role_permission_id": row["id"],
        "to_admin": user["is_admin"],
    }


GRANT = Kind(
    "grants",
    rules,
    Grant,
    selectors={"username": {"type": "str"}, "resource_type": {"type": "str"}, "resource": {"type": "str"}},
    kept=rules.kept,
)
