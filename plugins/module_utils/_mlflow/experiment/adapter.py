# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Experiments by MLflow's REST API (https://mlflow.org/docs/latest/rest-api.html, MlflowService)."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ServerError, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import accounts
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.experiment import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kind
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, Plan, State

_API = "/api/2.0/mlflow/experiments"
#: The most that a page may hold (SEARCH_MAX_RESULTS_THRESHOLD of mlflow/store/tracking); the server requires the number.
_PAGE = 50000
#: The maximum length of tag values before (mlflow/store/db_migrations, 17e22815139b).
_SHORT, _LONG_SINCE = 5000, (3, 17, 0)


class Experiment:
    """One experiment, identified by its name or its new name; a deleted one keeps its name."""

    immutable = frozenset({"artifact_location"})
    read_only = frozenset({"experiment_id", "creation_time", "last_update_time"})

    def __init__(self, client: RestClient, params: Mapping[str, Any]) -> None:
        self._client = client
        self._name: str = params["name"]
        new_name = params.get("new_name")
        self._new_name = new_name if new_name != self._name else None

    @classmethod
    def find(cls, client: RestClient, where: Mapping[str, Any]) -> Iterator[State]:
        """The experiments that match ``filter`` and ``view``; deleted ones too unless ``view`` says otherwise."""
        query: dict[str, Any] = {"max_results": _PAGE, "view_type": (where.get("view") or "all").upper()}
        if where.get("filter"):
            query["filter"] = where["filter"]
        for entry in client.listed(f"{_API}/search", "experiments", **query):
            yield _state(entry)

    def read(self) -> State | None:
        """The experiment's name, number, location, life-cycle stage and tags, or None."""
        answer = self._client.get_or_none(f"{_API}/get-by-name", experiment_name=self._name)
        if self._new_name:
            renamed = self._client.get_or_none(f"{_API}/get-by-name", experiment_name=self._new_name)
            if answer and renamed:
                raise ServerError(
                    f"new_name: experiments {self._name!r} and {self._new_name!r} both exist, so the one cannot take the other's "
                    "name, which a deleted one keeps too; choose another new_name"
                )
            answer = answer or renamed
        return _state(answer["experiment"]) if answer else None

    def check(self, plan: Plan) -> None:
        """Raise Unsupported for a location that the server does not allow for a new experiment, or that its users could not write to."""
        location = (plan.after or {}).get("artifact_location")
        if plan.action == "create" and location:
            if self._client.server_info().get("workspaces_enabled"):
                raise Unsupported(
                    f"artifact_location: {location!r} cannot be chosen on a server with workspaces, which have a place of their own each; leave it "
                    "out, or give the workspace a default_artifact_root"
                )
            if location.startswith("mlflow-artifacts:") and accounts.are_known(self._client):
                raise Unsupported(
                    f"artifact_location: {location!r} cannot be used with basic authentication, where MLflow looks for the experiment's "
                    "ID in the path of an upload, and lets only administrators in without it; leave it out for a location that works"
                )
        longest = max((len(change.after) for change in plan.changes_under("tags") if change.after is not ABSENT), default=0)
        if longest > _SHORT:
            self._client.require(_LONG_SINCE, f"a tag of {longest} characters")

    def apply(self, plan: Plan) -> None:
        """Create, restore, rename, tag or delete."""
        state = plan.before or {}
        if plan.action == "delete":
            self._client.write("POST", f"{_API}/delete", {"experiment_id": state["experiment_id"]})
        elif plan.action == "create":
            self._create(plan.after or {})
        else:
            self._update(state["experiment_id"], plan)

    def _create(self, state: State) -> None:
        tags = [{"key": key, "value": value} for key, value in state.get("tags", {}).items()]
        body = {"name": state["name"], "artifact_location": state.get("artifact_location", ""), "tags": tags}
        self._client.write("POST", f"{_API}/create", body, idempotent=False)

    def _update(self, number: str, plan: Plan) -> None:
        if plan.change_of("lifecycle_stage"):
            self._client.write("POST", f"{_API}/restore", {"experiment_id": number})
        rename = plan.change_of("name")
        if rename:
            self._client.write("POST", f"{_API}/update", {"experiment_id": number, "new_name": rename.after})
        for change in plan.changes_under("tags"):
            body = {"experiment_id": number, "key": change.path[1]}
            if change.after is ABSENT:
                self._client.write("POST", f"{_API}/delete-experiment-tag", body)
            else:
                self._client.write("POST", f"{_API}/set-experiment-tag", {**body, "value": change.after})


def _state(entry: dict[str, Any]) -> State:
    return {
        "name": entry["name"],
        "experiment_id": entry["experiment_id"],
        "artifact_location": entry.get("artifact_location", ""),
        "lifecycle_stage": entry.get("lifecycle_stage", "active"),
        "tags": {tag["key"]: tag.get("value", "") for tag in entry.get("tags", [])},
        "creation_time": entry.get("creation_time"),
        "last_update_time": entry.get("last_update_time"),
    }


EXPERIMENT = Kind(
    "experiments",
    rules,
    Experiment,
    module_options={"new_name": {"type": "str"}},
    selectors={
        "name": {"type": "str"},
        "filter": {"type": "str"},
        "view": {"type": "str", "choices": ["active_only", "deleted_only", "all"], "default": "active_only"},
    },
    read_by="name",
    exclusive=[("name", "filter")],
    kept=rules.kept,
    undeclared="deleted, or created by MLflow for a gateway endpoint; restore those to be declared",
)
