# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Model definitions of the AI gateway by MLflow's REST API (https://mlflow.org/docs/latest/rest-api.html, MlflowService)."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway import Gateway, id_of, in_use, missing
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_model_definition import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kind
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import Plan, State


class GatewayModelDefinition:
    """One model definition, identified by its name, where the server uses only its ID."""

    immutable: frozenset[str] = frozenset()
    read_only = frozenset({"model_definition_id", "created_at", "last_updated_at"})

    def __init__(self, client: RestClient, params: Mapping[str, Any]) -> None:
        self._gateway = Gateway(client)
        self._name: str = params["name"]

    @classmethod
    def find(cls, client: RestClient, where: Mapping[str, Any]) -> Iterator[State]:
        """The model definition named ``name``, or all."""
        for entry in Gateway(client).model_definitions():
            if where.get("name") in (None, entry["name"]):
                yield _state(entry)

    def read(self) -> State | None:
        """The model definition's name, secret, provider and model, its id and its times, or None."""
        return next((_state(entry) for entry in self._gateway.model_definitions() if entry["name"] == self._name), None)

    def check(self, plan: Plan) -> None:
        """Raise Unsupported if there is no gateway, ServerError for a provider that is not allowed.

        Raises Unmet if the secret is not there, and for a model definition in use.
        """
        self._gateway.require()
        if plan.action == "delete":
            self._refuse_if_used(plan)
        provider, secret = plan.change_of("provider"), plan.change_of("secret")
        if provider:
            self._gateway.check_provider(provider.after)
        if secret:
            self._secret_id(secret.after)

    def apply(self, plan: Plan) -> None:
        """Create, update or delete."""
        state = plan.before or {}
        if plan.action == "delete":
            self._delete(plan)
            return
        body = {key: change.after for key in ("provider", "model_name") for change in [plan.change_of(key)] if change}
        secret = plan.change_of("secret")
        if secret:
            body["secret_id"] = self._secret_id(secret.after)
        if plan.action == "create":
            self._gateway.write("POST", "model-definitions/create", {"name": self._name, **body}, idempotent=False)
        else:
            self._gateway.write("POST", "model-definitions/update", {"model_definition_id": state["model_definition_id"], **body})

    def _delete(self, plan: Plan) -> None:
        try:
            self._gateway.write("DELETE", "model-definitions/delete", {"model_definition_id": (plan.before or {})["model_definition_id"]})
        except ApiError as error:
            if error.code == "INVALID_STATE":
                self._refuse_if_used(plan)
            raise

    def _secret_id(self, name: str) -> str:
        number = id_of(self._gateway.secrets(), "secret", name)
        if number is None:
            raise missing("secret", "gateway secret", "gateway_secrets", [name])
        return number

    def _refuse_if_used(self, plan: Plan) -> None:
        number = (plan.before or {})["model_definition_id"]
        users = sorted(
            entry["name"]
            for entry in self._gateway.endpoints()
            if any(mapping["model_definition_id"] == number for mapping in entry.get("model_mappings", []))
        )
        if users:
            remedy = "give the endpoints other models, or delete them first"
            raise in_use("gateway model definition", self._name, "gateway endpoint", "gateway_endpoints", users, remedy)


def _state(entry: dict[str, Any]) -> State:
    return {
        "name": entry["name"],
        "model_definition_id": entry["model_definition_id"],
        # None where the secret was deleted.
        "secret": entry.get("secret_name"),
        "provider": entry["provider"],
        "model_name": entry["model_name"],
        "created_at": entry.get("created_at"),
        "last_updated_at": entry.get("last_updated_at"),
    }


GATEWAY_MODEL_DEFINITION = Kind("gateway_model_definitions", rules, GatewayModelDefinition)
