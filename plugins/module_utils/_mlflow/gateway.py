# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What the resources of the AI gateway share: its REST API, its listings, and errors without a gateway."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError, NotPermitted, ServerError, Unmet, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient

_API = "/api/3.0/mlflow/gateway"
#: Used by MLflow's UI; not part of the documented REST API.
_PAGES_API = "/ajax-api/3.0/mlflow/gateway"
#: Endpoints have an experiment and usage tracking since MLflow 3.10.0; earlier versions had different calls and fields.
_SINCE = (3, 10, 0)


class Gateway:
    """The gateway's calls by one client. Raises Unsupported, with the remedy, where the server has no gateway."""

    def __init__(self, client: RestClient) -> None:
        self._client = client

    def secrets(self) -> list[dict[str, Any]]:
        """All secrets that the credentials may read, in one request."""
        return self._listed("secrets")

    def model_definitions(self) -> list[dict[str, Any]]:
        """All model definitions that the credentials may read, in one request."""
        return self._listed("model_definitions")

    def endpoints(self) -> list[dict[str, Any]]:
        """All endpoints that the credentials may read and that have a model, in one request."""
        return self._listed("endpoints")

    def endpoint(self, name: str) -> dict[str, Any] | None:
        """The endpoint named ``name``, with or without models, or None."""
        with self._explained():
            answer = self._client.get_or_none(f"{_API}/endpoints/get", name=name)
        return answer["endpoint"] if answer else None

    def write(self, method: str, path: str, body: Mapping[str, Any], idempotent: bool = True) -> dict[str, Any]:
        """Like the client's ``write``; ``path`` is relative to the gateway's API."""
        with self._explained():
            return self._client.write(method, f"{_API}/{path}", body, idempotent)

    def require(self) -> None:
        """Raise Unsupported if the server is too old."""
        self._client.require(_SINCE, "the AI gateway")

    def check_provider(self, provider: str) -> None:
        """Raise ServerError for a provider that the server does not allow, or spells differently.

        An unknown one is accepted, since LiteLLM supports more of them than MLflow lists. So is any if a proxy
        blocks the calls of the UI.
        """
        try:
            with self._explained():
                self._client.get(f"{_PAGES_API}/provider-config", provider=provider)
                listed = self._client.get(f"{_PAGES_API}/supported-providers").get("providers", [])
        except (Unsupported, NotPermitted):
            return
        except ApiError as error:
            if error.code != "INVALID_PARAMETER_VALUE":
                raise
            raise ServerError(
                f"provider: {provider!r} is not allowed on this server; choose another, or add it to the server's MLFLOW_GATEWAY_ALLOWED_PROVIDERS"
            ) from None
        written = provider.lower().replace("-", "_")
        if provider not in listed and written in listed:
            raise ServerError(f"provider: {provider!r} is not how MLflow spells it; give {written!r}")

    def _listed(self, key: str) -> list[dict[str, Any]]:
        with self._explained():
            return list(self._client.listed(f"{_API}/{key.replace('_', '-')}/list", key))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ApiError as error:
            if error.code == "NOT_IMPLEMENTED":
                raise Unsupported("the AI gateway is disabled on this server; start the server with MLFLOW_ENABLE_AI_GATEWAY=true") from None
            raise
        except Unsupported:
            self.require()
            raise


def id_of(found: Iterable[Mapping[str, Any]], field: str, name: str) -> str | None:
    """The id of the entry of a listing named ``name``; ``field`` is ``secret`` or ``model_definition``."""
    name_field = "secret_name" if field == "secret" else "name"
    return next((entry[f"{field}_id"] for entry in found if entry[name_field] == name), None)


def missing(option: str, label: str, section: str, names: list[str]) -> Unmet:
    """Return the error for missing resources that ``option`` refers to."""
    plural = len(names) > 1
    return Unmet(
        f"{option}: {label}{'s' if plural else ''} {_quoted(names)} {'do' if plural else 'does'} not exist, or not for these credentials; "
        f"create {'them' if plural else 'it'} first",
        ((section, name) for name in names),
    )


def in_use(label: str, name: str, user_label: str, section: str, users: list[str], remedy: str) -> Unmet:
    """Return the error for a deletion that would break, or is blocked by, ``users``."""
    plural = "s" if len(users) > 1 else ""
    used = f"{label} {name!r} is in use by {user_label}{plural} {_quoted(users)}"
    return Unmet(f"{used}; {remedy}", ((section, user) for user in users), ("update", "delete"))


def _quoted(names: list[str]) -> str:
    shown = [repr(name) for name in names[:5]]
    return ", ".join(shown) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
