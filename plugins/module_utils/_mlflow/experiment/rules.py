# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The desired state of an experiment: options in, state out. No I/O."""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import tags
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State

LABEL = "experiment"
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "artifact_location": {"type": "str"},
    "tags": {"type": "dict"},
    "purge_tags": {"type": "bool", "default": False},
}

#: Marks the experiment that MLflow makes for a gateway endpoint's requests (mlflow/store/tracking/gateway, 3.17).
GATEWAY_TAG = "mlflow.experiment.isGateway"

# Limits: the smaller ones of mlflow/utils/validation.py and of the columns of mlflow/store/tracking/dbmodels/models.py, MLflow 3.17. The former
# lets longer names (500) and locations (2048) pass, on which PostgreSQL fails.
MAX_NAME = 256
MAX_TAG_VALUE = 20_000
MAX_LOCATION = 256


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that MLflow would reject, or would accept and then fail on."""
    for option in ("name", "new_name"):
        if params.get(option) is not None:
            tags.check_length(option, params[option], MAX_NAME, "experiment")
    if params.get("artifact_location") is not None:
        _check_location(params["artifact_location"])
    tags.check_tags("tags", params.get("tags"), MAX_TAG_VALUE)
    tags.refuse_key("tags", params.get("tags"), GATEWAY_TAG, "marks experiments that MLflow creates for a gateway endpoint", "leave it out")


def _check_location(location: str) -> None:
    if len(location) > MAX_LOCATION:
        raise InvalidOption("artifact_location", location[:20] + "…", f"has {len(location)} characters", f"MLflow stores at most {MAX_LOCATION}")
    if any(mark in location for mark in "?#;"):
        raise InvalidOption("artifact_location", location, "contains '?', '#' or ';'", "give a location without a query or fragment")
    # MLflow would resolve a relative path in the server's working folder, and replace an empty location with its own.
    if location.startswith("runs:") or not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:|/", location):
        raise InvalidOption("artifact_location", location, "is not an artifact location", "give a URI such as s3://bucket/prefix, or leave it out")


def identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The experiment's name."""
    return (entry["name"],)


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """The state that ``params`` ask for, given the current one; a deleted experiment is restored, not created again.

    >>> desired_state({"name": "a", "state": "present"}, {"name": "a", "lifecycle_stage": "deleted"})
    {'name': 'a', 'lifecycle_stage': 'active'}
    >>> desired_state({"name": "a", "state": "absent"}, {"name": "a", "lifecycle_stage": "deleted"})
    {}
    """
    if params["state"] == "absent":
        return {} if is_deleted(current) else None
    desired: State = {"name": params.get("new_name") or params["name"]}
    if params.get("artifact_location") is not None:
        desired["artifact_location"] = params["artifact_location"]
    if current is not None and is_deleted(current):
        desired["lifecycle_stage"] = "active"
        if desired["name"] != current["name"]:
            raise Refused(f"experiment {current['name']!r} is deleted, and MLflow cannot rename it; restore it first, by leaving new_name out")
    return {**desired, **tags.desired_tags(params, current)}


def is_deleted(state: State | None) -> bool:
    """Whether the experiment is deleted: MLflow keeps it, and its name, until ``mlflow gc`` removes it."""
    return (state or {}).get("lifecycle_stage") == "deleted"


def declared(state: State) -> dict[str, Any] | None:
    """Return the entry of an export. A location that MLflow derived from the experiment's ID is left out, since another server derives its own.

    >>> declared({"name": "a", "experiment_id": "7", "artifact_location": "mlflow-artifacts:/7", "lifecycle_stage": "active", "tags": {}})
    {'name': 'a'}
    >>> declared({"name": "a", "experiment_id": "7", "artifact_location": "s3://b/a", "lifecycle_stage": "active", "tags": {}})
    {'name': 'a', 'artifact_location': 's3://b/a'}
    """
    if is_deleted(state) or _is_gateways(state):
        return None
    location = state["artifact_location"]
    own = None if location.endswith(f"/{state['experiment_id']}") else location
    return tags.declared({"name": state["name"], "artifact_location": own, "tags": tags.own_tags(state)})


def kept(state: State) -> bool:
    """Whether MLflow created it, at its first start or for a gateway endpoint, or it is already deleted."""
    return state["experiment_id"] == "0" or is_deleted(state) or _is_gateways(state)


def _is_gateways(state: State) -> bool:
    return bool(state["tags"].get(GATEWAY_TAG) == "true")
