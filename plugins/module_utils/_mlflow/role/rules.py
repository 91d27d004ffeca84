# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The desired state of a role: options in, state out. No I/O."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import permission, tags
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.user import rules as user
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State, purged

LABEL = "role"
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "description": {"type": "str"},
    "permissions": {
        "type": "list",
        "elements": "dict",
        "options": permission.option((*permission.SINGLE_TYPES, *permission.WHOLE_TYPES, permission.WORKSPACE), permission.LEVELS, required=True),
    },
    "purge_permissions": {"type": "bool", "default": False},
    "users": {"type": "list", "elements": "str"},
    "purge_users": {"type": "bool", "default": False},
}

# Columns of mlflow/server/auth/db/models.py, MLflow 3.17.
MAX_NAME = 255
MAX_DESCRIPTION = 1024
#: The prefix of names that MLflow reserves for the grants of single users.
RESERVED = "__user_"
#: The roles that MLflow creates in each new workspace, and their permissions (_DEFAULT_WORKSPACE_ROLES of mlflow/server/auth).
_SEEDED = {"admin": {"workspace:*": "MANAGE"}, "user": {"workspace:*": "USE"}}


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that MLflow would reject, or would accept and never apply."""
    name, description = params["name"], params.get("description")
    tags.check_length("name", name, MAX_NAME, "role")
    if name.startswith(RESERVED):
        raise InvalidOption("name", name, f"begins with {RESERVED!r}, which MLflow reserves for the grants of single users", "use another name")
    if description is not None and len(description) > MAX_DESCRIPTION:
        raise InvalidOption("description", description[:20] + "…", f"has {len(description)} characters", f"MLflow stores at most {MAX_DESCRIPTION}")
    seen = set()
    for entry in params.get("permissions") or []:
        permission.check(entry["resource_type"], entry["resource"], entry["permission"])
        if key(entry) in seen:
            raise InvalidOption("permissions", key(entry), "is given twice", "keep one of the two")
        seen.add(key(entry))
    for username in params.get("users") or []:
        user.check_username("users", username)


def key(entry: Mapping[str, Any]) -> str:
    """Return the resource of a permission, as a key of a state.

    >>> key({"resource_type": "experiment", "resource": "churn", "permission": "EDIT"})
    'experiment:churn'
    """
    return f"{entry['resource_type']}:{entry['resource']}"


def identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The role's name, which is unique within its workspace."""
    return (entry["name"],)


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """Return the desired state for ``params``, given the current one.

    >>> desired_state({"name": "r", "state": "present", "users": ["bob"]}, {"name": "r", "users": ["ann"]})
    {'name': 'r', 'users': ['ann', 'bob']}
    """
    if params["state"] == "absent":
        return None
    there: State = current or {}
    desired: State = {"name": params["name"]}
    if current is None:
        desired.update({"description": "", "permissions": {}, "users": []})
    if params.get("description") is not None:
        desired["description"] = params["description"]
    if params.get("permissions") is not None:
        wanted: State = {key(entry): entry["permission"] for entry in params["permissions"]}
        desired["permissions"] = purged(there.get("permissions", {}), wanted) if params.get("purge_permissions") else wanted
    if params.get("users") is not None:
        kept_users = [] if params.get("purge_users") else there.get("users", [])
        desired["users"] = sorted({*kept_users, *params["users"]})
    return desired


def declared(state: State) -> dict[str, Any] | None:
    """Return the entry of an export, without the permissions for what is deleted.

    >>> declared({"name": "r", "description": "", "permissions": {"run:*": "READ"}, "users": ["ann"], "unusable": []})
    {'name': 'r', 'permissions': [{'resource_type': 'run', 'resource': '*', 'permission': 'READ'}], 'users': ['ann']}
    """
    permissions = [
        {"resource_type": what.partition(":")[0], "resource": what.partition(":")[2], "permission": level}
        for what, level in sorted(state["permissions"].items())
        if what not in state["unusable"]
    ]
    return tags.declared({"name": state["name"], "description": state["description"], "permissions": permissions, "users": state["users"]})


def kept(state: State) -> bool:
    """Whether it is a role that MLflow creates with a workspace."""
    return bool(_SEEDED.get(state["name"]) == state["permissions"])
