# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The desired state of an AI gateway secret: options in, state out. No I/O.

Only the options contain the value itself. A state has what the server shows of it, its masks.
"""
from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import tags
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State, purged

LABEL = "gateway secret"
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "value": {"type": "dict", "no_log": True},
    "update_value": {"type": "str", "choices": ["on_difference", "on_create", "always"], "default": "on_difference", "no_log": False},
    "provider": {"type": "str"},
    "auth_config": {"type": "dict"},
    "force": {"type": "bool", "default": False},
}

# The columns of SqlGatewaySecret, mlflow/store/tracking/dbmodels/models.py, MLflow 3.17.
MAX_NAME = 255
MAX_PROVIDER = 64
MAX_MASKS = 500


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that MLflow would refuse, or would take and store as something else. Tells nothing of the value.

    >>> check_options({"name": "openai", "value": {"api_key": None}})
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: value: 'api_key' is not a string; give a string; to_json makes one of a dictionary
    """
    tags.check_length("name", params["name"], MAX_NAME, "secret")
    if params.get("provider") is not None:
        tags.check_length("provider", params["provider"], MAX_PROVIDER, "provider")
    value = params.get("value")
    if value is not None:
        _check_value(value)
    elif params.get("update_value") == "always":
        raise InvalidOption("update_value", "always", "needs a value to write", "give value")
    for key, setting in (params.get("auth_config") or {}).items():
        if setting is None or isinstance(setting, (dict, list)):
            raise InvalidOption("auth_config", key, "is not a string", "give a string, or leave the key out")


def _check_value(value: Mapping[str, Any]) -> None:
    if not value:
        raise InvalidOption("value", {}, "is empty", "give the secret's parts, as in {api_key: …}")
    for part, text in value.items():
        # MLflow accepts anything other than a string with status 200, but does not store it.
        if isinstance(text, bool) or not isinstance(text, (str, int)):
            raise InvalidOption("value", part, "is not a string", "give a string; to_json makes one of a dictionary")
        if text == "":
            raise InvalidOption("value", part, "is empty", "give a value, or leave the field out")
    length = len(json.dumps(masks(value)))
    if length > MAX_MASKS:
        raise InvalidOption("value", sorted(value)[0], f"and the other fields take {length} characters when masked", f"MLflow stores {MAX_MASKS}")


def identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The secret's name."""
    return (entry["name"],)


def masks(value: Mapping[str, Any]) -> dict[str, str]:
    """Return what MLflow shows of a value: its first three and last four characters, if it has at least eight (mlflow/utils/crypto.py).

    >>> masks({"api_key": "sk-test-12345678", "pin": "1234567"})
    {'api_key': 'sk-...5678', 'pin': '***'}
    """
    texts = {str(part): str(text) for part, text in value.items()}
    return {part: f"{text[:3]}...{text[-4:]}" if len(text) >= 8 else "***" for part, text in texts.items()}


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """Return the desired state for ``params``, given the current one.

    Different masks mean a different value; values with equal masks look the same, and only ``always`` writes those.
    Raises Refused for a new secret without a value.

    >>> here = {"name": "openai", "provider": "openai", "auth_config": {}, "value": {"api_key": "sk-...5678"}}
    >>> options = {"name": "openai", "state": "present", "update_value": "on_difference"}
    >>> desired_state({**options, "value": {"api_key": "sk-live-12345678"}}, here)
    {'name': 'openai'}
    >>> desired_state({**options, "value": {"api_key": "sk-live-87654321"}}, here)
    {'name': 'openai', 'value': {'api_key': 'sk-...4321'}}
    >>> desired_state(options, None)
    Traceback (most recent call last):
    ...
    ansible_collections...Refused: value: gateway secret 'openai' does not exist, and cannot be created without its value; give it, as in {api_key: …}
    """
    if params["state"] == "absent":
        return None
    desired: State = {"name": params["name"]}
    if current is None:
        if params.get("value") is None:
            raise Refused(
                f"value: gateway secret {params['name']!r} does not exist, and cannot be created without its value; give it, as in {{api_key: …}}"
            )
        desired.update({"provider": None, "auth_config": {}, "value": masks(params["value"])})
    if params.get("provider") is not None:
        desired["provider"] = params["provider"]
    if params.get("auth_config") is not None:
        desired["auth_config"] = purged((current or {}).get("auth_config", {}), _settings(params["auth_config"]))
    if current is not None and params.get("value") is not None:
        desired.update(_desired_value(params, current["value"]))
    return desired


def _desired_value(params: Mapping[str, Any], shown: State) -> State:
    wanted = masks(params["value"])
    if params["update_value"] == "always" and wanted == shown:
        return {"value": dict.fromkeys(wanted, "********")}
    if params["update_value"] == "on_create" or wanted == shown:
        return {}
    return {"value": purged(shown, wanted)}


def _settings(given: Mapping[str, Any]) -> State:
    """``auth_config`` as MLflow stores it: strings, and no blank ``api_base``."""
    settings = {str(key): tags.text(setting) for key, setting in given.items()}
    base = settings.pop("api_base", "").strip()
    return {**settings, "api_base": base} if base else settings


def declared(state: State) -> dict[str, Any] | None:
    """Return the entry of an export, without the value, which nobody can read.

    >>> declared({"name": "openai", "provider": "openai", "auth_config": {}, "value": {"api_key": "sk-...5678"}, "secret_id": "s-1"})
    {'name': 'openai', 'provider': 'openai'}
    """
    return tags.declared({"name": state["name"], "provider": state["provider"], "auth_config": dict(sorted(state["auth_config"].items()))})
