# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Experiments by MLflow's REST API (https://mlflow.org/docs/latest/rest-api.html, MlflowService)."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ServerError
from ansible_collections.mlops.mlflow.plugins.module_utils._ports import ABSENT, Plan, State

_API = "/api/2.0/mlflow/experiments"
#: The most that a page may hold (SEARCH_MAX_RESULTS_THRESHOLD of mlflow/store/tracking); the server wants the number said.
_PAGE = 50000


class Experiment:
    """One experiment, found by its name, or by the name it is to have; a deleted one still has its name."""

    immutable = frozenset({"artifact_location"})
    read_only = frozenset({"experiment_id", "creation_time", "last_update_time"})

    def __init__(self, client: RestClient, params: Mapping[str, Any]) -> None:
        self._client = client
        self._name: str = params["name"]
        new_name = params.get("new_name")
        self._new_name = new_name if new_name != self._name else None

    @classmethod
    def find(cls, client: RestClient, where: Mapping[str, Any]) -> Iterator[State]:
        """The experiment called ``name``, or those that ``filter`` and ``view`` leave; deleted ones too unless ``view`` says otherwise."""
        if where.get("name"):
            found = cls(client, where).read()
            yield from [found] if found else []
            return
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
        """Every plan can be carried out."""

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
