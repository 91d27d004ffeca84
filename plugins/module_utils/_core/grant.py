# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What a grant to one user must become: options in, state out. No I/O."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._core import permission, user
from ansible_collections.mlops.mlflow.plugins.module_utils._core.options import InvalidOption
from ansible_collections.mlops.mlflow.plugins.module_utils._core.plan import State

LABEL = "grant"
#: The level that only servers without roles know.
NO_PERMISSIONS = "NO_PERMISSIONS"
OPTIONS: dict[str, dict[str, Any]] = {
    "username": {"type": "str", "required": True},
    **permission.option((*permission.SINGLE_TYPES, *permission.WHOLE_TYPES), (*permission.LEVELS, NO_PERMISSIONS), required=False),
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that MLflow would refuse, or would accept and never apply."""
    user.check_username("username", params["username"])
    permission.check(params["resource_type"], params["resource"], params.get("permission"))
    if params["state"] == "present" and params.get("permission") is None:
        raise InvalidOption("permission", None, "is no level", f"give {', '.join(permission.LEVELS[:-1])} or {permission.LEVELS[-1]}")


def identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Who may, and what it is about."""
    return (entry["username"], entry["resource_type"], entry["resource"])


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """The state that ``params`` ask for.

    >>> desired_state({"username": "ann", "resource_type": "run", "resource": "*", "permission": "READ", "state": "present"}, None)
    {'username': 'ann', 'resource_type': 'run', 'resource': '*', 'permission': 'READ'}
    """
    if params["state"] == "absent":
        return None
    return {option: params[option] for option in ("username", "resource_type", "resource", "permission")}


def declared(state: State) -> dict[str, Any] | None:
    """The entry of an export. None for what has no effect: a grant to an administrator, or on what is deleted.

    >>> ann = {"username": "ann", "resource_type": "run", "resource": "*", "permission": "READ", "resource_deleted": False}
    >>> declared({**ann, "to_admin": False})
    {'username': 'ann', 'resource_type': 'run', 'resource': '*', 'permission': 'READ'}
    >>> declared({**ann, "to_admin": True})
    """
    if state["resource_deleted"] or kept(state):
        return None
    return {option: state[option] for option in ("username", "resource_type", "resource", "permission")}


def kept(state: State) -> bool:
    """Those of administrators, which MLflow makes with everything that they create, and membership in a workspace."""
    return bool(state["to_admin"]) or state["resource_type"] == permission.WORKSPACE
