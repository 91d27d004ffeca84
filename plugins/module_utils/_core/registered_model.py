# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What a registered model must become: options in, state out. No I/O."""
from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._core.options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._core.plan import ABSENT, State, purged

#: Marks a prompt, which MLflow keeps among the registered models (mlflow.prompt.constants).
PROMPT_TAG = "mlflow.prompt.is_prompt"
#: Tags with this prefix are MLflow's own; purging leaves them alone.
SYSTEM_TAG_PREFIX = "mlflow."

# Limits: mlflow/utils/validation.py and the columns of mlflow/store/model_registry/dbmodels/models.py, MLflow 3.17.
MAX_NAME = 256
MAX_DESCRIPTION = 5000
MAX_TAG_KEY = 250
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
            _check_name(option, params[option])
    description = params.get("description")
    if description is not None and len(description) > MAX_DESCRIPTION:
        raise InvalidOption("description", description[:20] + "…", f"has {len(description)} characters", f"MLflow stores at most {MAX_DESCRIPTION}")
    for key, value in (params.get("tags") or {}).items():
        _check_tag(key, value)
    for alias, version in (params.get("aliases") or {}).items():
        _check_alias(alias, version)


def _check_name(option: str, name: str) -> None:
    if not name.strip():
        raise InvalidOption(option, name, "is empty", "give the model a name")
    for character in "/:":
        if character in name:
            raise InvalidOption(option, name, f"contains {character!r}", "MLflow takes names without '/' and ':'")
    if len(name) > MAX_NAME:
        raise InvalidOption(option, name[:20] + "…", f"has {len(name)} characters", f"MLflow stores at most {MAX_NAME}")


def _check_tag(key: str, value: Any) -> None:
    if not key or len(key) > MAX_TAG_KEY:
        raise InvalidOption("tags", key[:20], f"is a key of {len(key)} characters", f"use 1 to {MAX_TAG_KEY}")
    # validate_param_and_metric_name and path_not_unique of mlflow/utils/validation.py.
    if not re.fullmatch(r"[/\w.\- :]+", key) or posixpath.normpath(key) != key or key.startswith(("..", "/")) or key == ".":
        raise InvalidOption("tags", key, "is no tag's key to MLflow", "use letters, digits, '_', '-', '.', ':', spaces, and '/' inside, as in a path")
    if isinstance(value, (dict, list)):
        raise InvalidOption("tags", key, "has a value that is a list or a dictionary", "give a string; to_json makes one")
    if value is not None and len(_text(value)) > MAX_TAG_VALUE:
        raise InvalidOption("tags", key, f"has a value of {len(_text(value))} characters", f"MLflow stores at most {MAX_TAG_VALUE}")


def _check_alias(alias: str, version: Any) -> None:
    if alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias):
        raise InvalidOption("aliases", alias, "is reserved by MLflow", "use a name other than 'latest' and 'v' with digits")
    if not re.fullmatch(rf"[\w-]{{1,{MAX_ALIAS}}}", alias):
        raise InvalidOption("aliases", alias, "is not an alias", f"use 1 to {MAX_ALIAS} letters, digits, '_' and '-'")
    if version is not None and not re.fullmatch(r"[1-9]\d*", _text(version)):
        raise InvalidOption("aliases", f"{alias}: {version}", "does not name a version", "give the version's number")


def _text(value: Any) -> str:
    """A YAML scalar as MLflow stores it: a string.

    >>> _text(True), _text(3), _text("3")
    ('true', '3', '3')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _entries(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: ABSENT if value is None else _text(value) for key, value in given.items()}


def _is_system_tag(key: str) -> bool:
    return key.startswith(SYSTEM_TAG_PREFIX)


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
    for field, purge, keep in (("tags", "purge_tags", _is_system_tag), ("aliases", "purge_aliases", lambda key: False)):
        if params.get(field) is not None:
            wanted = _entries(params[field])
            desired[field] = purged((current or {}).get(field, {}), wanted, keep) if params.get(purge) else wanted
    return desired
