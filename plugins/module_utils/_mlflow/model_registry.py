# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What models and prompts, and their versions, share in MLflow's REST API (ModelRegistryService), which keeps both in the same tables."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import accounts
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.registered_model.rules import PROMPT_TAG
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Listings
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, Plan

MODELS = "/api/2.0/mlflow/registered-models"
VERSIONS = "/api/2.0/mlflow/model-versions"
#: MLflow leaves prompts out of every search but one that asks for them.
PROMPTS_ALONE = f"tags.`{PROMPT_TAG}` = 'true'"
#: Aliases came with MLflow 2.3.0 (mlflow#7896); before, stages were all there was.
ALIASES_SINCE = (2, 3, 0)
#: The column of a permission's resource (mlflow/server/auth/db/models.py); that of a model's name has one character more.
LONGEST_PERMITTED = 255
#: The most that a page of models may hold (SEARCH_REGISTERED_MODEL_MAX_RESULTS_THRESHOLD of mlflow/store/model_registry).
MODELS_PAGE = 1000
#: Of 200,000 allowed; so many are a few megabytes.
VERSIONS_PAGE = 10_000


def check_new_name(client: RestClient, name: str) -> None:
    """Raise Unsupported for the name of a new model or prompt that the server's authentication has no room for."""
    if len(name) > LONGEST_PERMITTED and accounts.are_known(client):
        raise Unsupported(
            f"name: {name[:20]!r}… has {len(name)} characters, and with basic authentication MLflow stores the creator's permission for at most "
            f"{LONGEST_PERMITTED}; give a shorter one"
        )


def equals(attribute: str, value: str) -> str:
    r"""A clause of a filter that leaves what has ``value``, and where that holds a quote or ends with a backslash perhaps more.

    MLflow takes a quote within quotes neither doubled nor behind a backslash: it finds nothing then, and says nothing. A backslash before the
    closing quote hides that quote, so that the next clause becomes part of the text (sqlparse/keywords.py, SQL_REGEX).

    >>> equals("name", "iris"), equals("name", "Ann's"), equals("name", "C:\\")
    ("name = 'iris'", "name LIKE 'Ann_s'", "name LIKE 'C:_'")
    """
    if "'" not in value and not value.endswith("\\"):
        return f"{attribute} = '{value}'"
    pattern = value.replace("'", "_").replace("\\", "_")
    return f"{attribute} LIKE '{pattern}'"


def models(client: RestClient, where: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All registered models that ``where["filter"]`` leaves; prompts excepted, unless it asks for them."""
    query = {"filter": where["filter"]} if where.get("filter") else {}
    return client.listed(f"{MODELS}/search", "registered_models", max_results=MODELS_PAGE, **query)


def shared_models(client: RestClient, listings: Listings) -> list[dict[str, Any]]:
    """All registered models, which models and versions need, listed once a run."""
    return listings.once("registered models", lambda: models(client, {}))


def versions(client: RestClient, clauses: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The model versions that all ``clauses`` leave, by name and then by number, the oldest first. They come without aliases."""
    query: dict[str, Any] = {"max_results": VERSIONS_PAGE, "order_by": ["name ASC", "version_number ASC"]}
    given = " AND ".join(clause for clause in clauses if clause)
    if given:
        query["filter"] = given
    return client.listed(f"{VERSIONS}/search", "model_versions", **query)


def tags_of(entry: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a model or a version."""
    return {tag["key"]: tag.get("value", "") for tag in entry.get("tags", [])}


def aliases_of(model: Mapping[str, Any]) -> dict[str, list[str]]:
    """The aliases of each version of ``model`` that has some, by its number."""
    found: dict[str, list[str]] = {}
    for alias in model.get("aliases", []):
        found.setdefault(str(alias["version"]), []).append(alias["alias"])
    return {version: sorted(aliases) for version, aliases in found.items()}


def is_prompt(model: Mapping[str, Any]) -> bool:
    """Whether ``model``, or a version, is a prompt's."""
    return tags_of(model).get(PROMPT_TAG, "").lower() == "true"


def as_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as a request has them."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def update_model(client: RestClient, name: str, plan: Plan) -> None:
    """Carry out what the plan says of the description and the tags of a model or a prompt."""
    description = plan.change_of("description")
    if description:
        # Leaving the description out of an update clears it, so no other update is ever sent.
        client.write("PATCH", f"{MODELS}/update", {"name": name, "description": description.after})
    for change in plan.changes_under("tags"):
        body = {"name": name, "key": change.path[1]}
        if change.after is ABSENT:
            client.write("DELETE", f"{MODELS}/delete-tag", body)
        else:
            client.write("POST", f"{MODELS}/set-tag", {**body, "value": change.after})


class VersionWriter:
    """Changes one version of a model or a prompt."""

    def __init__(self, client: RestClient, name: str, version: str) -> None:
        self._client = client
        self._key = {"name": name, "version": version}

    def describe(self, text: str) -> None:
        """Set the description. Leaving it out of an update clears it, so no other update is ever sent."""
        self._client.write("PATCH", f"{VERSIONS}/update", {**self._key, "description": text})

    def tag(self, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """Set and delete tags until they are ``after``."""
        for key in sorted(after):
            if before.get(key) != after[key]:
                self._client.write("POST", f"{VERSIONS}/set-tag", {**self._key, "key": key, "value": after[key]})
        for key in sorted(set(before) - set(after)):
            self._client.write("DELETE", f"{VERSIONS}/delete-tag", {**self._key, "key": key})

    def alias(self, before: Iterable[str], after: Iterable[str]) -> None:
        """Give the version the aliases of ``after``, from whichever version has them, and take away the others of ``before``."""
        for alias in sorted(set(after) - set(before)):
            self._client.write("POST", f"{MODELS}/alias", {**self._key, "alias": alias})
        going = sorted(set(before) - set(after))
        # Deleting an alias does not say of which version: one that has moved meanwhile is another's.
        still = aliases_of(self._client.get(f"{MODELS}/get", name=self._key["name"])["registered_model"]) if going else {}
        for alias in going:
            if alias in still.get(self._key["version"], []):
                self._client.write("DELETE", f"{MODELS}/alias", {"name": self._key["name"], "alias": alias})
