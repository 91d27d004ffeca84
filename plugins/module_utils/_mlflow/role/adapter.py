# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Roles by MLflow's authentication API (mlflow/server/auth/routes.py, MLflow 3.16 and later)."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import accounts
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.permission_targets import Targets
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.role import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kind
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, Change, Plan, State

_API = accounts.ROLES


class Role:
    """One role of the connection's workspace, identified by its name."""

    immutable: frozenset[str] = frozenset()
    read_only = frozenset({"role_id", "workspace", "permission_ids", "unusable"})

    def __init__(self, client: RestClient, params: Mapping[str, Any]) -> None:
        self._client = client
        self._name: str = params["name"]

    @classmethod
    def find(cls, client: RestClient, where: Mapping[str, Any]) -> Iterator[State]:
        """The role named ``name``, or all of the workspace that people made: three requests, or two where no permission needs a name."""
        roles = [role for role in accounts.roles(client) if where.get("name") in (None, role["name"])]
        members: dict[int, list[str]] = {}
        for user in accounts.users(client) if roles else []:
            for role in user.get("roles", []):
                members.setdefault(role["id"], []).append(user["username"])
        targets = Targets(client)
        for role in roles:
            yield _state(role, sorted(members.get(role["id"], [])), targets)

    def read(self) -> State | None:
        """The role's description, permissions and users, or None."""
        return next(self.find(self._client, {"name": self._name}), None)

    def check(self, plan: Plan) -> None:
        """Raise Unmet for a user or a resource that is not there, Unsupported for what the server is too old for."""
        targets = Targets(self._client)
        for change in plan.changes_under("permissions"):
            if change.after is not ABSENT:
                resource_type, _colon, resource = change.path[1].partition(":")
                targets.check(resource_type, resource, change.after)
        for username in _gained(plan.change_of("users")):
            accounts.require_user(self._client, "users", username)

    def apply(self, plan: Plan) -> None:
        """Create, change or delete."""
        before, after = plan.before or {}, plan.after or {}
        if plan.action == "delete":
            self._client.write("DELETE", f"{_API}/delete", {"role_id": before["role_id"]})
            return
        description = plan.change_of("description")
        if plan.action == "create":
            body = {"name": self._name, "workspace": accounts.workspace(self._client), "description": after.get("description", "")}
            number = self._client.write("POST", f"{_API}/create", body, idempotent=False)["role"]["id"]
        else:
            number = before["role_id"]
            if description:
                self._client.write("PATCH", f"{_API}/update", {"role_id": number, "description": description.after})
        self._set_permissions(number, plan)
        self._set_users(number, plan.change_of("users"))

    def _set_permissions(self, number: int, plan: Plan) -> None:
        targets = Targets(self._client)
        there: dict[str, int] = (plan.before or {}).get("permission_ids", {})
        for change in plan.changes_under("permissions"):
            what = change.path[1]
            if change.after is ABSENT:
                self._client.write("DELETE", f"{_API}/permissions/remove", {"role_permission_id": there[what]})
            elif what in there:
                self._client.write("PATCH", f"{_API}/permissions/update", {"role_permission_id": there[what], "permission": change.after})
            else:
                resource_type, _colon, resource = what.partition(":")
                body = {
                    "role_id": number,
                    "resource_type": resource_type,
                    "resource_pattern": targets.known(resource_type, resource).id,
                    "permission": change.after,
                }
                self._client.write("POST", f"{_API}/permissions/add", body, idempotent=False)

    def _set_users(self, number: int, change: Change | None) -> None:
        for username in _gained(change):
            self._client.write("POST", f"{_API}/assign", {"role_id": number, "username": username}, idempotent=False)
        for username in _lost(change):
            self._client.write("DELETE", f"{_API}/unassign", {"role_id": number, "username": username})


def _gained(change: Change | None) -> list[str]:
    return _less(change.after, change.before) if change else []


def _lost(change: Change | None) -> list[str]:
    return _less(change.before, change.after) if change else []


def _less(some: Any, others: Any) -> list[str]:
    """The users of ``some`` that ``others`` has not; either may be ABSENT."""
    return [username for username in (some if isinstance(some, list) else []) if not isinstance(others, list) or username not in others]


def _state(role: dict[str, Any], members: list[str], targets: Targets) -> State:
    permissions, numbers, unusable = {}, {}, []
    for entry in role["permissions"]:
        target = targets.named(entry["resource_type"], entry["resource_pattern"])
        what = f"{entry['resource_type']}:{target.name}"
        permissions[what], numbers[what] = entry["permission"], entry["id"]
        if target.deleted:
            unusable.append(what)
    return {
        "name": role["name"],
        "role_id": role["id"],
        "workspace": role["workspace"],
        "description": role["description"] or "",
        "permissions": permissions,
        "users": members,
        "permission_ids": numbers,
        "unusable": sorted(unusable),
    }


ROLE = Kind("roles", rules, Role, kept=rules.kept)
