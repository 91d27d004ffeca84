# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Permissions of MLflow's authentication, their resource types and levels, for grants and roles alike. No I/O."""
from __future__ import annotations

from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import tags
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.registered_model import rules as registered_model
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption

# Types and levels: mlflow/server/auth/permissions.py, MLflow 3.17.
LEVELS = ("READ", "USE", "EDIT", "MANAGE", "DENY")
#: Types whose resources have permissions of their own.
SINGLE_TYPES = (
    "experiment",
    "registered_model",
    "prompt",
    "scorer",
    "gateway_secret",
    "gateway_endpoint",
    "gateway_model_definition",
    "mcp_server",
    "skill",
)
#: Types that can be granted only as a whole.
WHOLE_TYPES = (
    "run",
    "trace",
    "assessment",
    "logged_model",
    "review_queue",
    "registered_model_version",
    "prompt_version",
    "scorer_version",
    "mcp_server_version",
)
#: Not a type of resource, but membership in and administration of a workspace.
WORKSPACE = "workspace"

EVERY = "*"
MAX_RESOURCE = 255
#: What MLflow accepts; PostgreSQL stores 256.
MAX_EXPERIMENT = 500
#: A scorer is stored as its experiment's ID and its own name.
MAX_SCORER = MAX_RESOURCE - 11


def check(resource_type: str, resource: str, permission: str | None) -> None:
    """Raise InvalidOption for a permission that MLflow would reject, or would store and never apply.

    >>> check("registered_model", "team-*", "READ")
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: resource: 'team-*' is a pattern, which MLflow does not support; give one name, or '*' for all
    """
    longest = {"experiment": MAX_EXPERIMENT, "scorer": MAX_EXPERIMENT + 1 + MAX_SCORER}
    tags.check_length("resource", resource, longest.get(resource_type, MAX_RESOURCE), "resource")
    if resource != EVERY and resource_type not in SINGLE_TYPES:
        raise InvalidOption("resource", resource, f"cannot be selected, since a permission of type {resource_type} applies to all", "give '*'")
    # An experiment may have such a name.
    if EVERY in resource and resource != EVERY and resource_type != "experiment":
        raise InvalidOption("resource", resource, "is a pattern, which MLflow does not support", "give one name, or '*' for all")
    if resource_type in ("registered_model", "prompt"):
        registered_model.check_name("resource", resource)
    if resource_type == "scorer" and resource != EVERY and "/" not in resource:
        raise InvalidOption("resource", resource, "names no scorer", "give EXPERIMENT/SCORER")
    if resource_type == WORKSPACE and permission not in (None, "USE", "MANAGE"):
        raise InvalidOption("permission", permission, "is not a level for a workspace", "give USE or MANAGE")
    if resource_type == "skill" and permission == "USE":
        raise InvalidOption("permission", permission, "is not a level for a skill", "give READ, EDIT, MANAGE or DENY")


def option(types: tuple[str, ...], levels: tuple[str, ...], required: bool) -> dict[str, dict[str, Any]]:
    """The options that describe one permission."""
    return {
        "resource_type": {"type": "str", "required": True, "choices": [*types]},
        "resource": {"type": "str", "required": True},
        "permission": {"type": "str", "required": required, "choices": [*levels]},
    }
