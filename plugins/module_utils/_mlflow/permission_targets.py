# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Resources of permissions: names in a declaration, and for some types IDs on the server."""
from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import Unmet
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import model_registry
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.permission import WHOLE_TYPES
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient

_API = "/api/2.0/mlflow"
_API_3 = "/api/3.0/mlflow"
#: The lists of the AI gateway: path, key, id, name. Names are unique within each (mlflow/store/tracking/dbmodels/models.py).
_GATEWAY = {
    "gateway_secret": ("secrets", "secrets", "secret_id", "secret_name"),
    "gateway_endpoint": ("endpoints", "endpoints", "endpoint_id", "name"),
    "gateway_model_definition": ("model-definitions", "model_definitions", "model_definition_id", "name"),
}
_PAGE = 50000
#: Levels and types that came with MLflow 3.17 and 3.18 (mlflow/server/auth/permissions.py).
_NEW = dict.fromkeys(("DENY", *WHOLE_TYPES), (3, 17, 0))
_NEW["skill"] = (3, 18, 0)


class Target(NamedTuple):
    """What one permission is for; ``deleted`` is an experiment that can be restored, or what is gone for good."""

    id: str
    name: str
    deleted: bool = False


class Targets:
    """The targets of one server. What has to be listed for ids to become names is listed once."""

    def __init__(self, client: RestClient) -> None:
        self._client = client
        self._listed: dict[str, dict[str, Target]] = {}

    def resolve(self, resource_type: str, resource: str) -> Target | None:
        """The target named ``resource``; None where its id is not to be found. What has no id is not looked up."""
        if resource == "*":
            return Target(resource, resource)
        if resource_type == "experiment":
            answer = self._client.get_or_none(f"{_API}/experiments/get-by-name", experiment_name=resource)
            return _experiment(answer["experiment"]) if answer else None
        if resource_type == "scorer":
            return self._scorer(resource)
        if resource_type in _GATEWAY:
            return next((target for target in self._all(resource_type).values() if target.name == resource), None)
        return Target(resource, resource)

    def known(self, resource_type: str, resource: str) -> Target:
        """The target named ``resource``. Raises Unmet if its id is not to be found."""
        target = self.resolve(resource_type, resource)
        if target is None:
            raise _missing(resource_type, resource)
        return target

    def check(self, resource_type: str, resource: str, permission: str) -> None:
        """Raise Unsupported for what a server with roles is too old for, and Unmet for what is not there, which MLflow would accept."""
        for word, minimum in ((word, _NEW[word]) for word in (resource_type, permission) if word in _NEW):
            self._client.require(minimum, f"the permission {permission} for type {resource_type}" if word == permission else f"type {word}")
        self.known(resource_type, resource)
        if resource != "*" and not self._exists(resource_type, resource):
            raise _missing(resource_type, resource)

    def named(self, resource_type: str, number: str) -> Target:
        """The target with the id ``number``; what is gone is called by its id, after ``#``."""
        if number == "*" or resource_type not in ("experiment", "scorer", *_GATEWAY):
            return Target(number, number)
        if resource_type == "scorer":
            experiment, _slash, scorer = number.partition("/")
            parent = self.named("experiment", experiment)
            return Target(number, f"{parent.name}/{scorer}", parent.deleted)
        return self._all(resource_type).get(number) or Target(number, f"#{number}", deleted=True)

    def _exists(self, resource_type: str, resource: str) -> bool:
        if resource_type in ("registered_model", "prompt"):
            answer = self._client.get_or_none(f"{_API}/registered-models/get", name=resource)
            return answer is not None and model_registry.is_prompt(answer["registered_model"]) == (resource_type == "prompt")
        if resource_type == "mcp_server":
            return self._client.get_or_none(f"{_API_3}/mcp-servers/{quote(resource)}") is not None
        return True

    def _scorer(self, resource: str) -> Target | None:
        """A scorer by EXPERIMENT/SCORER, either of which may hold a slash."""
        at = [index for index, character in enumerate(resource) if character == "/"]
        for index in reversed(at):
            experiment, scorer = self.resolve("experiment", resource[:index]), resource[index + 1 :]
            if experiment and scorer and self._client.get_or_none(f"{_API_3}/scorers/get", experiment_id=experiment.id, name=scorer):
                return Target(f"{experiment.id}/{scorer}", resource, experiment.deleted)
        return None

    def _all(self, resource_type: str) -> dict[str, Target]:
        if resource_type not in self._listed:
            self._listed[resource_type] = {target.id: target for target in self._list(resource_type)}
        return self._listed[resource_type]

    def _list(self, resource_type: str) -> Iterator[Target]:
        if resource_type == "experiment":
            for entry in self._client.listed(f"{_API}/experiments/search", "experiments", max_results=_PAGE, view_type="ALL"):
                yield _experiment(entry)
            return
        path, key, number, name = _GATEWAY[resource_type]
        for entry in self._client.listed(f"{_API_3}/gateway/{path}/list", key):
            yield Target(entry[number], entry.get(name, f"#{entry[number]}"))


def _experiment(entry: dict[str, str]) -> Target:
    return Target(entry["experiment_id"], entry["name"], entry.get("lifecycle_stage") == "deleted")


def _missing(resource_type: str, resource: str) -> Unmet:
    what = resource_type.replace("_", " ")
    hint = "; MLflow does not support patterns" if "*" in resource else ""
    return Unmet(
        f"resource: there is no {what} {resource!r}, and MLflow would store the permission anyway; "
        f"declare the {what} first, or correct the name{hint}",
        [(f"{resource_type}s", resource)],
    )
