# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What a registered model must become: options in, state out. No I/O."""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._core import tags
from ansible_collections.mlops.mlflow.plugins.module_utils._core.options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._core.plan import State, purged

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

#: Marks a prompt, which MLflow keeps among the registered models (mlflow.prompt.constants).
PROMPT_TAG = "mlflow.prompt.is_prompt"

# Limits: mlflow/utils/validation.py and the columns of mlflow/store/model_registry/dbmodels/models.py, MLflow 3.17.
MAX_NAME = 256
MAX_TAG_VALUE = 5000
MAX_ALIAS = 255


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that MLflow would refuse, or would accept and then fail on.

    >>> check_options({"name": "fraud/eu"})
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: name: 'fraud/eu' contains '/'; MLflow takes names without '/' and ':'
    """
    for option in ("name", "new_name"):
        if params.get(option) is not None:
            check_name(option, params[option])
    tags.check_description("description", params.get("description"))
    tags.check_tags("tags", params.get("tags"), MAX_TAG_VALUE)
    for alias, version in (params.get("aliases") or {}).items():
        check_alias("aliases", alias)
        if version is not None and not re.fullmatch(r"[1-9]\d*", tags.text(version)):
            raise InvalidOption("aliases", f"{alias}: {version}", "does not name a version", "give the version's number")


def check_name(option: str, name: str) -> None:
    """Raise InvalidOption for what cannot be the name of a registered model or a prompt."""
    tags.check_length(option, name, MAX_NAME, "model")
    for character in "/:":
        if character in name:
            raise InvalidOption(option, name, f"contains {character!r}", "MLflow takes names without '/' and ':'")


def check_alias(option: str, alias: str) -> None:
    """Raise InvalidOption for what cannot be an alias of a version."""
    if alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias):
        raise InvalidOption(option, alias, "is reserved by MLflow", "use a name other than 'latest' and 'v' with digits")
    if not re.fullmatch(rf"[\w-]{{1,{MAX_ALIAS}}}", alias):
        raise InvalidOption(option, alias, "is not an alias", f"use 1 to {MAX_ALIAS} letters, digits, '_' and '-'")


def identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The model's name."""
    return (entry["name"],)


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """The state that ``params`` ask for, given the model as it is.

    Raises Refused where that would delete versions without ``force``, or touch a prompt.

    >>> desired_state({"name": "iris", "state": "present", "aliases": {"champion": 3, "old": None}}, None)
    {'name': 'iris', 'description': '', 'tags': {}, 'aliases': {'champion': '3', 'old': ABSENT}}
    >>> desired_state({"name": "iris", "state": "absent"}, {"name": "iris", "latest_versions": [{"version": "2"}]})
    Traceback (most recent call last):
    ...
    ansible_collections...Refused: registered model 'iris' has versions, 2 the newest, and ...; set force: true to delete it with them
    """
    if current is not None and current.get("tags", {}).get(PROMPT_TAG) == "true":
        raise Refused(f"{current['name']!r} is a prompt, not a registered model: they share one set of names; use another name")
    if params["state"] == "absent":
        versions = [int(entry["version"]) for entry in (current or {}).get("latest_versions", [])]
        if versions and not params.get("force"):
            raise Refused(
                f"registered model {params['name']!r} has versions, {max(versions)} the newest, and MLflow cannot bring "
                "a deleted model back; set force: true to delete it with them"
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
    """The entry of an export; aliases name versions by their numbers.

    >>> declared({"name": "iris", "description": "", "tags": {"team": "a", "mlflow.x": "y"}, "aliases": {"champion": "3"}})
    {'name': 'iris', 'tags': {'team': 'a'}, 'aliases': {'champion': 3}}
    """
    aliases = {alias: int(version) for alias, version in sorted(state["aliases"].items())}
    return tags.declared({"name": state["name"], "description": state["description"], "tags": tags.own_tags(state), "aliases": aliases})


def kept(state: State) -> bool:
    """No model is MLflow's own."""
    return False
