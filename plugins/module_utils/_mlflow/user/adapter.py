# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Users by MLflow's authentication API (https://mlflow.org/docs/latest/auth/rest-api.html)."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ServerError
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import accounts
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.user import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kind
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import Plan, State


class User:
    """One user, identified by its name."""

    immutable: frozenset[str] = frozenset()
    read_only = frozenset({"user_id", "is_me"})

    def __init__(self, client: RestClient, params: Mapping[str, Any]) -> None:
        self._client = client
        self._name: str = params["username"]
        self._password: str | None = params.get("password")
        self._compares = params.get("update_password") == "always"

    @classmethod
    def find(cls, client: RestClient, where: Mapping[str, Any]) -> Iterator[State]:
        """All users. Raises Unsupported on a server that is too old to list them."""
        me = accounts.own_name(client)
        for entry in accounts.users(client):
            yield _state(entry, me)

    def read(self) -> State | None:
        """The user, or None. ``password`` is ``set``, or ``differs`` where one is asked for that does not log in."""
        entry = accounts.user(self._client, self._name)
        if entry is None:
            return None
        return self.completed(_state(entry, accounts.own_name(self._client)))

    def completed(self, state: State) -> State:
        """``state``, as a listing has it, with what only a login tells: whether the password is the one that is asked for."""
        if self._password is None or not self._compares:
            return state
        # A server that caches logins may be wrong for as long as it does (auth_cache_ttl_seconds).
        is_accepted = self._client.accepts(self._name, self._password, f"{accounts.USERS}/get", username=self._name)
        return state if is_accepted else {**state, "password": "differs"}

    def check(self, plan: Plan) -> None:
        """Raise ServerError for a new password of the connection's user, where it has no present one to vouch for it."""
        if plan.change_of("password") and _is_own(plan) and not self._client.connection.password:
            raise ServerError(
                f"password: {self._name!r} is the connecting user, whose current password is needed to change it; give tracking_password"
            )

    def apply(self, plan: Plan) -> None:
        """Create, change or delete."""
        if plan.action == "delete":
            self._delete()
            return
        if plan.action == "create":
            body = {"username": self._name, "password": self._password}
            self._client.write("POST", f"{accounts.USERS}/create", body, idempotent=False)
        elif plan.change_of("password"):
            self._set_password(_is_own(plan))
        admin = plan.change_of("is_admin")
        if admin and (admin.after or plan.action == "update"):
            self._client.write("PATCH", f"{accounts.USERS}/update-admin", {"username": self._name, "is_admin": admin.after})

    def _delete(self) -> None:
        # A server without roles deletes no user who has permissions: NOT NULL constraint failed, 400 BAD_REQUEST.
        entry = accounts.user(self._client, self._name) or {}
        for resource_type, (path, field) in accounts.OLD_PERMISSIONS.items():
            for row in entry.get(f"{resource_type}_permissions", []):
                self._client.write("DELETE", f"{path}/delete", {"username": self._name, field: row[field]})
        self._client.write("DELETE", f"{accounts.USERS}/delete", {"username": self._name})

    def _set_password(self, own: bool) -> None:
        body = {"username": self._name, "password": self._password}
        if own:
            body["current_password"] = self._client.connection.password
        # Sent twice, it would fail the second time, since the user of the connection has the new password by then.
        self._client.write("PATCH", f"{accounts.USERS}/update-password", body, idempotent=not own)
        if own:
            self._client.log_in(self._password or "")


def _is_own(plan: Plan) -> bool:
    return bool(plan.before and plan.before["is_me"])


def _state(entry: dict[str, Any], me: str | None) -> State:
    name = entry["username"]
    return {"username": name, "user_id": entry["id"], "is_admin": entry["is_admin"], "password": "set", "is_me": name == me}


USER = Kind(
    "users",
    rules,
    User,
    selectors={"username": {"type": "str"}},
    read_by="username",
    unlisted=frozenset({"password"}),  # only a login tells whether a password is the declared one
    comes_last=rules.is_me,  # once its password changes, the other connections would be rejected
    kept=rules.is_me,  # it cannot delete itself
    unreadable=("password", "add a password for each user that the other server does not have yet"),
    undeclared="the connecting user; whoever applies this has one",
)
