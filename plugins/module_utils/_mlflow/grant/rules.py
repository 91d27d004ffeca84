# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The desired state of a grant to a user: options in, state out. No I/O."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import permission
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.user import rules as user
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State

LABEL = "grant"
#: The level that only servers without roles support.
NO_PERMISSIONS = "NO_PERMISSIONS"
OPTIONS: dict[str, dict[str, Any]] = {
    "username": {"type": "str", "required": True},
    **permission.option((*permission.SINGLE_TYPES, *permission.WHOLE_TYPES), (*permission.LEVELS, NO_PERMISSIONS), required=False),
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that MLflow would reject, or would accept and never apply."""
    user.check_username("username", params["username"])
    permission.check(params["resource_type"], params["resource"], params.get("permission"))
    if params["state"] == "present" and params.get("permission") is None:
        raise InvalidOption("permission", None, "is not a level", f"give {', '.join(permission.LEVELS[:-1])} or {permission.LEVELS[-1]}")


def identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the user and the resource."""
    return (entry["username"], entry["resource_type"], entry["resource"])


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """Return the desired state for ``params``.

    >>> desired_state({"username": "ann", "resource_type": "run", "resource": "*", "permission": "READ", "state": "present"}, None)
    {'username': 'ann', 'resource_type': 'run', 'resource': '*', 'permission': 'READ'}
    """
    if params["state"] == "absent":
        return None
    return {option: params[option] for option in ("username", "resource_type", "resource", "permission")}


def declared(state: State) -> dict[str, Any] | None:
    """Return the entry of an export. None if it has no effect: a grant to an administrator, or on a deleted resource.

    >>> ann = {"username": "ann", "resource_type": "run", "resource": "*", "permission": "READ", "resource_deleted": False}
    >>> declared({**ann, "to_admin": False})
    {'username': 'ann', 'resource_type': 'run', 'resource': '*', 'permission': 'READ'}
    >>> declared({**ann, "to_admin": True})
    """
    if state["resource_deleted"] or kept(state):
        return None
    return {option: state[option] for option in ("username", "resource_type", "resource", "permission")}


def kept(state: State) -> bool:
    """Whether it is a grant to an administrator, which MLflow creates with each of their resources, or membership in a workspace."""
    return bool(state["to_admin"]) or state["resource_type"] == permission.WORKSPACE
