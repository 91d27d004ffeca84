# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Endpoints of the AI gateway by MLflow's REST API (https://mlflow.org/docs/latest/rest-api.html, MlflowService)."""
from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError, Conflict, NotPermitted, Unmet
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway import Gateway, id_of, missing
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_endpoint import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kind
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, Plan, State

_EXPERIMENTS = "/api/2.0/mlflow/experiments"
#: The most that a page may hold (SEARCH_MAX_RESULTS_THRESHOLD of mlflow/store/tracking).
_PAGE = 50000


class GatewayEndpoint:
    """One endpoint, identified by its name. Refers to model definitions and the experiment by name, where the server uses IDs."""

    immutable: frozenset[str] = frozenset()
    read_only = frozenset({"endpoint_id", "experiment_id", "created_at", "last_updated_at"})

    def __init__(self, client: RestClient, params: Mapping[str, Any]) -> None:
        self._client = client
        self._gateway = Gateway(client)
        self._name: str = params["name"]

    @classmethod
    def find(cls, client: RestClient, where: Mapping[str, Any]) -> Iterator[State]:
        """All endpoints that have a model, since MLflow lists no others."""
        entries = Gateway(client).endpoints()
        experiments: dict[str, str] = {}
        if any(entry.get("experiment_id") for entry in entries):
            listed = client.listed(f"{_EXPERIMENTS}/search", "experiments", max_results=_PAGE, view_type="ALL")
            experiments = {experiment["experiment_id"]: experiment["name"] for experiment in listed}
        for entry in entries:
            yield _state(entry, experiments.get(entry.get("experiment_id", "")))

    def read(self) -> State | None:
        """The endpoint's name, models, routing, experiment and tags, its ids and its times, or None."""
        entry = self._gateway.endpoint(self._name)
        return _state(entry, self._experiment_name(entry)) if entry else None

    def check(self, plan: Plan) -> None:
        """Raise Unsupported if there is no gateway, Unmet where a model definition or the experiment is not there."""
        self._gateway.require()
        models = plan.change_of("models")
        if models:
            self._definition_ids(models.after)
        self._experiment_id(plan)

    def apply(self, plan: Plan) -> None:
        """Create, update or delete. The experiment is kept."""
        state = plan.before or {}
        if plan.action == "delete":
            self._gateway.write("DELETE", "endpoints/delete", {"endpoint_id": state["endpoint_id"]})
            return
        number = state.get("endpoint_id")
        body = self._body(plan)
        if number is None:
            answer = self._write("endpoints/create", {"name": self._name, **body}, idempotent=False)
            number = answer["endpoint"]["endpoint_id"]
        elif body:
            self._write("endpoints/update", {"endpoint_id": number, **body})
        for change in plan.changes_under("tags"):
            if change.after is ABSENT:
                self._gateway.write("DELETE", "endpoints/delete-tag", {"endpoint_id": number, "key": change.path[1]})
            else:
                self._write("endpoints/set-tag", {"endpoint_id": number, "key": change.path[1], "value": change.after})

    def _body(self, plan: Plan) -> dict[str, Any]:
        """Return the changes in the form that the server expects."""
        after = plan.after or {}
        body: dict[str, Any] = {}
        models = plan.change_of("models")
        if models:
            body["model_configs"] = self._configurations(models.after)
        if plan.changes_under("fallback") or (models and after["fallback"]):
            # It is cleared if new models are sent without it.
            body["fallback_config"] = after["fallback"]
        if plan.change_of("routing_strategy") and after["routing_strategy"]:
            body["routing_strategy"] = after["routing_strategy"]
        experiment = self._experiment_id(plan)
        if experiment:
            body["experiment_id"] = experiment
        if plan.change_of("usage_tracking") or (plan.change_of("experiment") and not experiment and after["usage_tracking"]):
            body["usage_tracking"] = after["usage_tracking"]
        return body

    def _configurations(self, models: list[dict[str, Any]]) -> list[dict[str, Any]]:
        numbers = self._definition_ids(models)
        fallbacks = [model["model_definition"] for model in models if model["linkage"] == "FALLBACK"]
        configurations = []
        for model in models:
            name, linkage = model["model_definition"], model["linkage"]
            order = {"fallback_order": fallbacks.index(name)} if linkage == "FALLBACK" else {}
            configurations.append({"model_definition_id": numbers[name], "linkage_type": linkage, "weight": model["weight"], **order})
        return configurations

    def _definition_ids(self, models: list[dict[str, Any]]) -> dict[str, str]:
        listed = self._gateway.model_definitions()
        found = {model["model_definition"]: id_of(listed, "model_definition", model["model_definition"]) for model in models}
        absent = sorted(name for name, number in found.items() if number is None)
        if absent:
            raise missing("models", "gateway model definition", "gateway_model_definitions", absent)
        return {name: number for name, number in found.items() if number is not None}

    def _experiment_id(self, plan: Plan) -> str | None:
        """Return the ID of the experiment that the plan sets; None if it sets none, or MLflow creates it."""
        change = plan.change_of("experiment")
        if plan.action == "delete" or not change or change.after is None:
            return None
        answer = self._client.get_or_none(f"{_EXPERIMENTS}/get-by-name", experiment_name=change.after)
        if answer is None and self._is_made_by_mlflow(plan):
            return None
        if answer is None:
            raise missing("experiment", "experiment", "experiments", [change.after])
        if answer["experiment"].get("lifecycle_stage") == "deleted":
            raise Unmet(
                f"experiment: {change.after!r} is deleted, and MLflow would log the endpoint's requests to it unseen; restore it with "
                "mlflow_experiment, or name another",
                [("experiments", change.after)],
                ("update",),
            )
        number: str = answer["experiment"]["experiment_id"]
        return number

    def _is_made_by_mlflow(self, plan: Plan) -> bool:
        after = plan.after or {}
        own = after["experiment"] == f"gateway/{self._name}" and after["usage_tracking"]
        return bool(own and not (plan.before or {}).get("experiment_id"))

    def _experiment_name(self, entry: Mapping[str, Any]) -> str | None:
        if not entry.get("experiment_id"):
            return None
        try:
            answer = self._client.get_or_none(f"{_EXPERIMENTS}/get", experiment_id=entry["experiment_id"])
        except NotPermitted:
            return None
        name: str | None = answer["experiment"]["name"] if answer else None
        return name

    def _write(self, path: str, body: Mapping[str, Any], idempotent: bool = True) -> dict[str, Any]:
        """Send it; raise Conflict if the database rejects a duplicate by another client, which MLflow reports as an SQL error."""
        try:
            return self._gateway.write("POST", path, body, idempotent)
        except ApiError as error:
            if error.code != "BAD_REQUEST":
                raise
            raise Conflict(f"gateway endpoint {self._name!r}: the server's database refused {path}: {str(error).splitlines()[0]}") from None


def _state(entry: dict[str, Any], experiment: str | None) -> State:
    mappings = sorted(entry.get("model_mappings", []), key=_order)
    fallback = entry.get("fallback_config", {})
    # Servers before 3.17 return 0 if nothing was set, which means the same: no limit.
    return {
        "name": entry["name"],
        "endpoint_id": entry["endpoint_id"],
        "models": [_model(mapping) for mapping in mappings],
        "routing_strategy": entry.get("routing_strategy"),
        "fallback": {key: fallback[key] for key in ("strategy", "max_attempts") if fallback.get(key)},
        "usage_tracking": entry.get("usage_tracking", False),
        "experiment": experiment,
        "experiment_id": entry.get("experiment_id"),
        "tags": {tag["key"]: tag.get("value", "") for tag in entry.get("tags", [])},
        "created_at": entry.get("created_at"),
        "last_updated_at": entry.get("last_updated_at"),
    }


def _model(mapping: Mapping[str, Any]) -> dict[str, Any]:
    # Users who may read the endpoint but not the definition see only its ID.
    name = mapping.get("model_definition", {}).get("name") or mapping["model_definition_id"]
    return {"model_definition": name, "linkage": mapping["linkage_type"], "weight": float(mapping.get("weight", 0))}


def _order(mapping: Mapping[str, Any]) -> tuple[bool, float, str]:
    """Sort PRIMARY models by name, then FALLBACK ones in order: those without a number last."""
    fallback = mapping["linkage_type"] == "FALLBACK"
    return fallback, mapping.get("fallback_order", math.inf) if fallback else 0, _model(mapping)["model_definition"]


GATEWAY_ENDPOINT = Kind("gateway_endpoints", rules, GatewayEndpoint, read_by="name")
