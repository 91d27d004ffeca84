# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The desired state of a registered model: options in, state out. No I/O."""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import tags
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State, purged

LABEL = "registered model"
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "description": {"type": "str"},
    "tags": {"type": "dict"},
    "purge_tags": {"type": "bool", "default": False},
    "aliases": {"type": "dict"},
    "purge_aliases": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
}

#: Marks a prompt, which MLflow stores as a registered model, and each of its versions (mlflow/prompt/constants.py).
PROMPT_TAG = "mlflow.prompt.is_prompt"

# Limits: mlflow/utils/validation.py and the columns of mlflow/store/model_registry/dbmodels/models.py, MLflow 3.17.
MAX_NAME = 256
MAX_TAG_VALUE = 5000
MAX_ALIAS = 255


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that MLflow would reject, or would accept and then fail on.

    >>> check_options({"name": "fraud/eu"})
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: name: 'fraud/eu' contains '/'; use a name without '/' and ':'
    """
    for option in ("name", "new_name"):
        if params.get(option) is not None:
            check_name(option, params[option])
    tags.check_description("description", params.get("description"))
    tags.check_tags("tags", params.get("tags"), MAX_TAG_VALUE)
    refuse_prompt_tag(params.get("tags"))
    for alias, version in (params.get("aliases") or {}).items():
        check_alias("aliases", alias)
        if version is not None and not re.fullmatch(r"[1-9]\d*", tags.text(version)):
            raise InvalidOption("aliases", f"{alias}: {version}", "does not name a version", "give the version's number")


def refuse_prompt_tag(given: Mapping[str, Any] | None) -> None:
    """Raise InvalidOption for the tag that makes a prompt of a model, or of a version."""
    tags.refuse_key("tags", given, PROMPT_TAG, "turns it into a prompt", "leave it out, or declare the prompt with mlflow_prompt")


def check_name(option: str, name: str) -> None:
    """Raise InvalidOption for what cannot be the name of a registered model or a prompt."""
    tags.check_length(option, name, MAX_NAME, "model")
    for character in "/:":
        if character in name:
            raise InvalidOption(option, name, f"contains {character!r}", "use a name without '/' and ':'")
    # path_not_unique of mlflow/utils/validation.py.
    if name == "." or name.startswith(".."):
        raise InvalidOption(option, name, "is a path to MLflow", "use a name other than '.' that does not begin with '..'")


def check_alias(option: str, alias: str) -> None:
    """Raise InvalidOption for what cannot be an alias of a version."""
    if alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias):
        raise InvalidOption(option, alias, "is reserved by MLflow", "use a name other than 'latest' and 'v' followed by digits")
    if not re.fullmatch(rf"[\w-]{{1,{MAX_ALIAS}}}", alias):
        raise InvalidOption(option, alias, "is not an alias", f"use 1 to {MAX_ALIAS} letters, digits, '_' and '-'")


def identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The model's name."""
    return (entry["name"],)


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """Return the desired state for ``params``, given the current one.

    Raises Refused if that would delete versions without ``force``, or touch a prompt.

    >>> desired_state({"name": "iris", "state": "present", "aliases": {"champion": 3, "old": None}}, None)
    {'name': 'iris', 'description': '', 'tags': {}, 'aliases': {'champion': '3', 'old': ABSENT}}
    >>> desired_state({"name": "iris", "state": "absent"}, {"name": "iris", "latest_versions": [{"version": "2"}]})
    Traceback (most recent call last):
    ...
    ansible_collections...Refused: registered model 'iris' has versions, up to version 2, and ...; set force: true to delete it with them
    """
    if current is not None and current.get("tags", {}).get(PROMPT_TAG) == "true":
        raise Refused(f"{current['name']!r} is a prompt, not a registered model: they share one namespace; use another name")
    if params["state"] == "absent":
        versions = [int(entry["version"]) for entry in (current or {}).get("latest_versions", [])]
        if versions and not params.get("force"):
            raise Refused(
                f"registered model {params['name']!r} has versions, up to version {max(versions)}, and MLflow cannot restore "
                "a deleted model; set force: true to delete it with them"
            )
        return None
    desired: State = {"name": params.get("new_name") or params["name"]}
    if current is None:
        desired.update({"description": "", "tags": {}, "aliases": {}})
    if params.get("description") is not None:
        desired["description"] = params["description"]
    if params.get("aliases") is not None:
        wanted = tags.entries(params["aliases"])
        desired["aliases"] = purged((current or {}).get("aliases", {}), wanted) if params.get("purge_aliases") else wanted
    return {**desired, **tags.desired_tags(params, current)}


def declared(state: State) -> dict[str, Any] | None:
    """Return the entry of an export; aliases name versions by their numbers.

    >>> declared({"name": "iris", "description": "", "tags": {"team": "a", "mlflow.x": "y"}, "aliases": {"champion": "3"}})
    {'name': 'iris', 'tags': {'team': 'a'}, 'aliases': {'champion': 3}}
    """
    aliases = {alias: int(version) for alias, version in sorted(state["aliases"].items())}
    return tags.declared({"name": state["name"], "description": state["description"], "tags": tags.own_tags(state), "aliases": aliases})


def exported(entries: list[dict[str, Any]], sections: Mapping[str, list[dict[str, Any]]], portable: bool) -> list[dict[str, Any]]:
    """Return the entries of an export without the aliases that are declared with a version; without any if it is to be ``portable``.

    >>> models = [{"name": "iris", "aliases": {"a": 3, "b": 2}}]
    >>> sections = {"model_versions": [{"name": "iris", "source": "s3://b/3", "aliases": ["a"]}]}
    >>> exported(models, sections, portable=False), exported(models, sections, portable=True)
    ([{'name': 'iris', 'aliases': {'b': 2}}], [{'name': 'iris'}])
    """
    named = {(version["name"], alias) for version in sections.get("model_versions", []) for alias in version.get("aliases", [])}
    return [_less_aliases(entry, None if portable else named) for entry in entries]


def _less_aliases(entry: dict[str, Any], named: set[tuple[str, str]] | None) -> dict[str, Any]:
    aliases = {alias: version for alias, version in entry.get("aliases", {}).items() if named is not None and (entry["name"], alias) not in named}
    rest = {key: value for key, value in entry.items() if key != "aliases"}
    return {**rest, "aliases": aliases} if aliases else rest
