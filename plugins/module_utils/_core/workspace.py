# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What a workspace must become: options in, state out. No I/O."""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._core import tags
from ansible_collections.mlops.mlflow.plugins.module_utils._core.options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._core.plan import State

LABEL = "workspace"
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "description": {"type": "str"},
    "default_artifact_root": {"type": "str"},
    "mode": {"type": "str", "choices": ["restrict", "set_default", "cascade"], "default": "restrict"},
    "force": {"type": "bool", "default": False},
}

#: The workspace that MLflow makes, and what it says of it (mlflow/store/db_migrations).
DEFAULT = "default"
DEFAULT_DESCRIPTION = "Default workspace for legacy resources"

# WorkspaceNameValidator of mlflow/store/workspace/abstract_store.py, MLflow 3.17.
_RESERVED = frozenset({"workspaces", "api", "ajax-api", "static-files"})
# Length of an artifact location: mlflow/utils/validation.py.
MAX_ROOT = 2048


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that MLflow would refuse."""
    check_name("name", params["name"])
    if params["name"] == DEFAULT and params.get("state") == "absent":
        raise InvalidOption("name", DEFAULT, "is the workspace that MLflow falls back on, and stays", "name another")
    root = params.get("default_artifact_root")
    if root:
        _check_root(root)


def check_name(option: str, name: str) -> None:
    """Raise InvalidOption for what cannot be the name of a workspace.

    >>> check_name("workspace", "Team_A")
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: workspace: 'Team_A' is no workspace's name to MLflow; use 2 to 63 lower-case letters, ...
    """
    if not re.fullmatch(r"(?=.{2,63}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?", name):
        remedy = "use 2 to 63 lower-case letters, digits and '-', with a letter or a digit first and last"
        raise InvalidOption(option, name, "is no workspace's name to MLflow", remedy)
    if name in _RESERVED:
        raise InvalidOption(option, name, "is reserved by MLflow", "choose another name")


def _check_root(root: str) -> None:
    if len(root) > MAX_ROOT:
        raise InvalidOption("default_artifact_root", root[:20] + "…", f"has {len(root)} characters", f"MLflow takes at most {MAX_ROOT}")
    if root != root.strip() or not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:|/", root) or any(mark in root for mark in "?#"):
        remedy = "give a URI such as s3://bucket/prefix, or a path from the root on"
        raise InvalidOption("default_artifact_root", root, "is no place for artifacts", remedy)


def identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The workspace's name."""
    return (entry["name"],)


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """The state that ``params`` ask for, given the workspace as it is.

    Raises Refused where that would delete what is in the workspace without ``force``.

    >>> desired_state({"name": "team-a", "state": "present"}, None)
    {'name': 'team-a', 'description': '', 'default_artifact_root': ''}
    >>> desired_state({"name": "team-a", "state": "absent", "mode": "cascade"}, {"name": "team-a"})
    Traceback (most recent call last):
    ...
    ansible_collections...Refused: mode: cascade deletes workspace 'team-a' with every experiment, model ...; set force: true to do so
    """
    if params["state"] == "absent":
        if current is not None and params.get("mode") == "cascade" and not params.get("force"):
            raise Refused(
                f"mode: cascade deletes workspace {params['name']!r} with every experiment, model and whatever else is in it, and nothing "
                "brings them back; set force: true to do so"
            )
        return None
    desired: State = {"name": params["name"]}
    if current is None:
        desired.update({"description": "", "default_artifact_root": ""})
    desired.update({option: params[option] for option in ("description", "default_artifact_root") if params.get(option) is not None})
    return desired


def declared(state: State) -> dict[str, Any] | None:
    """The entry of an export; the workspace that every server has is left out as long as it is as MLflow made it.

    >>> declared({"name": "team-a", "description": "", "default_artifact_root": "s3://b/a"})
    {'name': 'team-a', 'default_artifact_root': 's3://b/a'}
    >>> declared({"name": "default", "description": "Default workspace for legacy resources", "default_artifact_root": ""})
    """
    entry = tags.declared({key: state[key] for key in ("name", "description", "default_artifact_root")})
    return None if entry in ({"name": DEFAULT}, {"name": DEFAULT, "description": DEFAULT_DESCRIPTION}) else entry


def kept(state: State) -> bool:
    """The workspace that MLflow falls back on."""
    return bool(state["name"] == DEFAULT)
