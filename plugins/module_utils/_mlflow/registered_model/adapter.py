# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Registered models by MLflow's REST API (https://mlflow.org/docs/latest/rest-api.html, ModelRegistryService)."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ServerError, Unmet
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import model_registry
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.registered_model import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kind, Listings
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, Change, Plan, State


class RegisteredModel:
    """One registered model, identified by its name or its new name."""

    immutable: frozenset[str] = frozenset()
    read_only = frozenset({"creation_timestamp", "last_updated_timestamp", "latest_versions"})

    def __init__(self, client: RestClient, params: Mapping[str, Any]) -> None:
        self._client = client
        self._name: str = params["name"]
        new_name = params.get("new_name")
        self._new_name = new_name if new_name != self._name else None

    @classmethod
    def find(cls, client: RestClient, where: Mapping[str, Any]) -> Iterator[State]:
        """The models that match ``filter``, or all; prompts, which share their table, are none."""
        for entry in model_registry.models(client, where):
            yield _state(entry)

    @classmethod
    def listed(cls, client: RestClient, listings: Listings) -> Iterator[State]:
        """All models, in a run that also needs them for something else."""
        yield from map(_state, model_registry.shared_models(client, listings))

    def read(self) -> State | None:
        """The model's name, description, tags and aliases, its timestamps and the newest version of each stage, or None."""
        answer = self._client.get_or_none(f"{model_registry.MODELS}/get", name=self._name)
        if self._new_name:
            renamed = self._client.get_or_none(f"{model_registry.MODELS}/get", name=self._new_name)
            if answer and renamed:
                raise ServerError(
                    f"new_name: registered models {self._name!r} and {self._new_name!r} both exist, so the one cannot take the other's "
                    "name; choose another new_name, or delete one of them"
                )
            answer = answer or renamed
        return _state(answer["registered_model"]) if answer else None

    def check(self, plan: Plan) -> None:
        """Raise Unsupported for aliases, or a name, that the server has no place for, Unmet for an alias to a version that is not there."""
        if plan.change_of("name"):
            model_registry.check_new_name(self._client, (plan.after or {})["name"])
        aliases = plan.changes_under("aliases")
        if aliases:
            self._client.require(model_registry.ALIASES_SINCE, "an alias")
        for change in aliases:
            if change.after is not ABSENT and not self._has_version(plan, change.after):
                raise Unmet(
                    f"aliases: {change.path[1]!r} cannot name version {change.after} of registered model {self._name!r}, which has no such "
                    "version; register it first",
                    [("model_versions", self._name)],
                )

    def apply(self, plan: Plan) -> None:
        """Create, rename, update or delete."""
        if plan.action == "delete":
            self._client.write("DELETE", f"{model_registry.MODELS}/delete", {"name": (plan.before or {})["name"]})
        elif plan.action == "create":
            self._create(plan)
        else:
            self._update(plan)

    def _create(self, plan: Plan) -> None:
        state = plan.after or {}
        tags = model_registry.as_list(state.get("tags", {}))
        body = {"name": state["name"], "description": state.get("description", ""), "tags": tags}
        self._client.write("POST", f"{model_registry.MODELS}/create", body, idempotent=False)
        for change in plan.changes_under("aliases"):
            self._set_alias(state["name"], change)

    def _update(self, plan: Plan) -> None:
        name: str = (plan.before or {})["name"]
        rename = plan.change_of("name")
        if rename:
            self._client.write("POST", f"{model_registry.MODELS}/rename", {"name": name, "new_name": rename.after}, idempotent=False)
            name = rename.after
        model_registry.update_model(self._client, name, plan)
        for change in plan.changes_under("aliases"):
            self._set_alias(name, change)

    def _set_alias(self, name: str, change: Change) -> None:
        alias = change.path[1]
        if change.after is ABSENT:
            self._client.write("DELETE", f"{model_registry.MODELS}/alias", {"name": name, "alias": alias})
        else:
            self._client.write("POST", f"{model_registry.MODELS}/alias", {"name": name, "alias": alias, "version": change.after})

    def _has_version(self, plan: Plan, version: str) -> bool:
        return bool(plan.before and self._client.get_or_none(f"{model_registry.VERSIONS}/get", name=plan.before["name"], version=version))


def _state(entry: dict[str, Any]) -> State:
    return {
        "name": entry["name"],
        # Unset and empty fields are left out of every answer.
        "description": entry.get("description", ""),
        "tags": model_registry.tags_of(entry),
        "aliases": {alias["alias"]: str(alias["version"]) for alias in entry.get("aliases", [])},
        "creation_timestamp": entry.get("creation_timestamp"),
        "last_updated_timestamp": entry.get("last_updated_timestamp"),
        "latest_versions": [_version(version) for version in entry.get("latest_versions", [])],
    }


def _version(entry: dict[str, Any]) -> dict[str, Any]:
    keys = ("version", "current_stage", "status", "source", "run_id", "description", "creation_timestamp", "last_updated_timestamp")
    return {key: entry[key] for key in keys if key in entry}


REGISTERED_MODEL = Kind(
    "registered_models",
    rules,
    RegisteredModel,
    module_options={"new_name": {"type": "str"}},
    selectors={"name": {"type": "str"}, "filter": {"type": "str"}},
    read_by="name",
    exclusive=[("name", "filter")],
    listing=RegisteredModel.listed,
    late=frozenset({"aliases"}),  # an alias refers to a version, which another entry may have to create first
    exported=rules.exported,
)
