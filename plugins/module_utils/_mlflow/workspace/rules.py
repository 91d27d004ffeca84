# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The desired state of a workspace: options in, state out. No I/O."""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import tags
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.experiment import rules as experiment
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State

LABEL = "workspace"
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "description": {"type": "str"},
    "default_artifact_root": {"type": "str"},
    "mode": {"type": "str", "choices": ["restrict", "set_default", "cascade"], "default": "restrict"},
    "force": {"type": "bool", "default": False},
}

#: The workspace that MLflow creates, and its description (mlflow/store/db_migrations).
DEFAULT = "default"
DEFAULT_DESCRIPTION = "Default workspace for legacy resources"

# WorkspaceNameValidator of mlflow/store/workspace/abstract_store.py, MLflow 3.17.
_RESERVED = frozenset({"workspaces", "api", "ajax-api", "static-files"})
# Length of an artifact location: mlflow/utils/validation.py.
MAX_ROOT = 2048
#: Leaves room for an experiment's ID in the column of its location.
MAX_USABLE_ROOT = experiment.MAX_LOCATION - 11


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that MLflow would refuse."""
    check_name("name", params["name"])
    if params["name"] == DEFAULT and params.get("state") == "absent":
        raise InvalidOption("name", DEFAULT, "is MLflow's default workspace, which cannot be deleted", "name another")
    root = params.get("default_artifact_root")
    if root:
        _check_root(root)


def check_name(option: str, name: str) -> None:
    """Raise InvalidOption for what cannot be the name of a workspace.

    >>> check_name("workspace", "Team_A")
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: workspace: 'Team_A' is not a valid workspace name; use 2 to 63 lower-case letters, ...
    """
    if not re.fullmatch(r"(?=.{2,63}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?", name):
        remedy = "use 2 to 63 lower-case letters, digits and '-', with a letter or a digit first and last"
        raise InvalidOption(option, name, "is not a valid workspace name", remedy)
    if name in _RESERVED:
        raise InvalidOption(option, name, "is reserved by MLflow", "choose another name")


def _check_root(root: str) -> None:
    if len(root) > MAX_ROOT:
        raise InvalidOption("default_artifact_root", root[:20] + "…", f"has {len(root)} characters", f"MLflow accepts at most {MAX_ROOT}")
    if len(root) > MAX_USABLE_ROOT:
        problem = f"has {len(root)} characters, which leave no room for the ID of an experiment"
        raise InvalidOption("default_artifact_root", root[:20] + "…", problem, f"give at most {MAX_USABLE_ROOT}")
    if root != root.strip() or not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:|/", root) or any(mark in root for mark in "?#;") or root.startswith("runs:"):
        remedy = "give a URI such as s3://bucket/prefix, or an absolute path"
        raise InvalidOption("default_artifact_root", root, "is not an artifact location", remedy)


def identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The workspace's name."""
    return (entry["name"],)


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """Return the desired state for ``params``, given the current one.

    Raises Refused if that would delete the contents of the workspace without ``force``.

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
                f"mode: cascade deletes workspace {params['name']!r} with every experiment, model and everything else in it, which "
                "cannot be restored; set force: true to do so"
            )
        return None
    desired: State = {"name": params["name"]}
    if current is None:
        desired.update({"description": "", "default_artifact_root": ""})
    desired.update({option: params[option] for option in ("description", "default_artifact_root") if params.get(option) is not None})
    return desired


def declared(state: State) -> dict[str, Any] | None:
    """Return the entry of an export; the default workspace is left out if it is unchanged.

    >>> declared({"name": "team-a", "description": "", "default_artifact_root": "s3://b/a"})
    {'name': 'team-a', 'default_artifact_root': 's3://b/a'}
    >>> declared({"name": "default", "description": "Default workspace for legacy resources", "default_artifact_root": ""})
    """
    entry = tags.declared({key: state[key] for key in ("name", "description", "default_artifact_root")})
    return None if entry in ({"name": DEFAULT}, {"name": DEFAULT, "description": DEFAULT_DESCRIPTION}) else entry


def kept(state: State) -> bool:
    """Whether it is MLflow's default workspace."""
    return bool(state["name"] == DEFAULT)
