# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Secrets of the AI gateway by MLflow's REST API (https://mlflow.org/docs/latest/rest-api.html, MlflowService)."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError, ServerError
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway import Gateway, in_use
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_secret import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kind
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import Plan, State


class GatewaySecret:
    """One secret, identified by its name, where the server uses only its ID."""

    immutable = frozenset({"provider"})
    read_only = frozenset({"secret_id", "value", "created_at", "last_updated_at"})

    def __init__(self, client: RestClient, params: Mapping[str, Any]) -> None:
        self._gateway = Gateway(client)
        self._name: str = params["name"]
        self._value: Mapping[str, Any] = params.get("value") or {}
        self._force = bool(params.get("force"))

    @classmethod
    def find(cls, client: RestClient, where: Mapping[str, Any]) -> Iterator[State]:
        """The secret named ``name``, or all."""
        for entry in Gateway(client).secrets():
            if where.get("name") in (None, entry["secret_name"]):
                yield _state(entry)

    def read(self) -> State | None:
        """The secret's name, provider and settings, its value in masks, its id and its times, or None."""
        return next((_state(entry) for entry in self._gateway.secrets() if entry["secret_name"] == self._name), None)

    def check(self, plan: Plan) -> None:
        """Raise Unsupported if there is no gateway, ServerError for a provider that is not allowed, Unmet for a secret in use."""
        self._gateway.require()
        if plan.action == "delete":
            self._refuse_if_used(plan)
        provider = plan.change_of("provider")
        if provider and provider.after is not None:
            self._gateway.check_provider(provider.after)

    def apply(self, plan: Plan) -> None:
        """Create, update or delete."""
        state = plan.before or {}
        if plan.action == "delete":
            self._refuse_if_used(plan)
            self._gateway.write("DELETE", "secrets/delete", {"secret_id": state["secret_id"]})
            return
        after = plan.after or {}
        body: dict[str, Any] = {}
        if plan.changes_under("value"):
            body["secret_value"] = {str(part): str(text) for part, text in self._value.items()}
        if plan.changes_under("auth_config"):
            # MLflow ignores an empty map; a blank api_base is dropped, and the rest replaces the settings.
            body["auth_config"] = after["auth_config"] or {"api_base": ""}
        if plan.action == "create":
            provider = {"provider": after["provider"]} if after["provider"] else {}
            self._write("secrets/create", {"secret_name": after["name"], **provider, **body}, after, idempotent=False)
        else:
            self._write("secrets/update", {"secret_id": state["secret_id"], **body}, after)

    def _write(self, path: str, body: Mapping[str, Any], after: State, idempotent: bool = True) -> None:
        try:
            self._gateway.write("POST", path, body, idempotent)
        except ApiError as error:
            base = after["auth_config"].get("api_base")
            if error.code != "INVALID_PARAMETER_VALUE" or not base or "api_base" not in str(error):
                raise
            raise ServerError(
                f"auth_config: the server does not accept the api_base {base!r}: {str(error).partition('): ')[2]}; give an https address of a public "
                "host, or set MLFLOW_GATEWAY_API_BASE_ALLOWED_SCHEMES and MLFLOW_GATEWAY_API_BASE_ALLOW_PRIVATE_IPS on the server"
            ) from None

    def _refuse_if_used(self, plan: Plan) -> None:
        if self._force:
            return
        number = (plan.before or {})["secret_id"]
        users = sorted(entry["name"] for entry in self._gateway.model_definitions() if entry.get("secret_id") == number)
        if users:
            remedy = "deleting it would break them; give them another secret, or delete it anyway with force: true"
            raise in_use("gateway secret", self._name, "gateway model definition", "gateway_model_definitions", users, remedy)


def _state(entry: dict[str, Any]) -> State:
    return {
        "name": entry["secret_name"],
        "secret_id": entry["secret_id"],
        "provider": entry.get("provider"),
        # Servers before 3.17 store a blank api_base, which means none.
        "auth_config": {key: value for key, value in entry.get("auth_config", {}).items() if key != "api_base" or value.strip()},
        "value": entry.get("masked_values", {}),
        "created_at": entry.get("created_at"),
        "last_updated_at": entry.get("last_updated_at"),
    }


GATEWAY_SECRET = Kind("gateway_secrets", rules, GatewaySecret, unreadable=("value", "add the value to each"))
