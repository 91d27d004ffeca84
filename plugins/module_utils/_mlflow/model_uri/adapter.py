# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Resolves models:/ URIs by MLflow's REST API (ModelRegistryService)."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError, ServerError
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.model_registry import MODELS, VERSIONS
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.model_uri.rules import ModelUri
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient


def resolve(client: RestClient, address: ModelUri) -> dict[str, Any]:
    """Return the version that ``address`` refers to. Raises ServerError if there is none."""
    try:
        entry = _by_alias(client, address.name, address.alias) if address.alias else _by_number(client, address)
    except ApiError as error:
        if error.status not in (400, 404):
            raise
        entry = None
    if entry is None:
        raise ServerError(f"registered model {address.name!r} {_lack(address)}; name a model that exists, and a version of it")
    return _version(entry)


def _lack(address: ModelUri) -> str:
    if address.alias:
        return f"has no alias {address.alias!r}, or does not exist"
    if address.version:
        return f"has no version {address.version}, or does not exist"
    return f"has no version in stage {address.stage}, or does not exist" if address.stage else "has no version, or does not exist"


def _by_alias(client: RestClient, name: str, alias: str) -> Any:
    # For a missing alias, 400 INVALID_PARAMETER_VALUE, not 404.
    return client.get(f"{MODELS}/alias", name=name, alias=alias)["model_version"]


def _by_number(client: RestClient, address: ModelUri) -> Any:
    number = address.version
    if number is None:
        # The newest version of each stage, or of the given one.
        query = {"stages": address.stage} if address.stage else {}
        found = client.get(f"{MODELS}/get-latest-versions", name=address.name, **query).get("model_versions", [])
        if not found:
            return None
        number = max((entry["version"] for entry in found), key=int)
    return client.get(f"{VERSIONS}/get", name=address.name, version=number)["model_version"]


def _version(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": entry["name"],
        "version": str(entry["version"]),
        # Unset and empty fields are left out of some answers.
        "run_id": entry.get("run_id", ""),
        "model_id": entry.get("model_id", ""),
        "source": entry.get("source", ""),
        "status": entry.get("status", ""),
        "current_stage": entry.get("current_stage", "None"),
        "description": entry.get("description", ""),
        "aliases": sorted(entry.get("aliases", [])),
        "tags": {tag["key"]: tag.get("value", "") for tag in entry.get("tags", [])},
        "creation_timestamp": entry.get("creation_timestamp"),
        "last_updated_timestamp": entry.get("last_updated_timestamp"),
    }
