# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The desired state of an AI gateway endpoint: options in, state out. No I/O."""
from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import tags
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, State

LABEL = "gateway endpoint"
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "models": {
        "type": "list",
        "elements": "dict",
        "options": {
            "model_definition": {"type": "str", "required": True},
            "linkage": {"type": "str", "choices": ["PRIMARY", "FALLBACK"], "default": "PRIMARY"},
            "weight": {"type": "float", "default": 1.0},
        },
    },
    "routing_strategy": {"type": "str", "choices": ["REQUEST_BASED_TRAFFIC_SPLIT"]},
    "fallback": {
        "type": "dict",
        "options": {"strategy": {"type": "str", "choices": ["SEQUENTIAL"]}, "max_attempts": {"type": "int"}},
    },
    "usage_tracking": {"type": "bool"},
    "experiment": {"type": "str"},
    "tags": {"type": "dict"},
    "purge_tags": {"type": "bool", "default": False},
}

# The columns of SqlGatewayEndpoint and SqlGatewayEndpointTag, mlflow/store/tracking/dbmodels/models.py, MLflow 3.17.
#: The column for the name of the endpoint's experiment, which has the prefix ``gateway/``, has 256 characters.
MAX_NAME = 248
MAX_EXPERIMENT = 256
MAX_TAG_KEY = 250
MAX_TAG_VALUE = 5000


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that MLflow would refuse, or would take and then fail on at the first request.

    >>> check_options({"name": "chat/eu"})
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: name: 'chat/eu' is not a valid endpoint name; use ASCII letters, digits, '_', '-' and '.'
    """
    tags.check_length("name", params["name"], MAX_NAME, "endpoint")
    # is_valid_endpoint_name of mlflow/gateway/utils.py.
    if not re.fullmatch(r"[a-zA-Z0-9_\-.]+", params["name"]):
        raise InvalidOption("name", params["name"], "is not a valid endpoint name", "use ASCII letters, digits, '_', '-' and '.'")
    if params.get("models") is not None:
        _check_models(params["models"])
    attempts = (params.get("fallback") or {}).get("max_attempts")
    if attempts is not None and not 0 <= attempts < 2**31:
        raise InvalidOption("fallback", attempts, "is not a valid number of attempts", "give max_attempts: 1 or more, or 0 for no limit")
    if params.get("experiment") is not None:
        tags.check_length("experiment", params["experiment"], MAX_EXPERIMENT, "experiment")
    for key, value in (params.get("tags") or {}).items():
        _check_tag(key, value)


def _check_models(models: Sequence[Mapping[str, Any]]) -> None:
    seen: set[tuple[str, str]] = set()
    for model in models:
        name, key = model["model_definition"], (model["model_definition"], model["linkage"])
        if key in seen:
            raise InvalidOption("models", name, f"is named twice as {model['linkage']}", "name it once, with the sum of the weights")
        seen.add(key)
        if not 0 <= model["weight"] < 1e9:
            raise InvalidOption("models", name, f"has the weight {model['weight']}", "give 0 or more")
    # The gateway counts weights in hundredths, and divides by their sum (mlflow/server/gateway_api.py).
    if not any(model["linkage"] == "PRIMARY" and model["weight"] >= 0.01 for model in models):
        raise InvalidOption("models", sorted(name for name, _linkage in seen), "has no PRIMARY model with a weight of 0.01 or more", "give one")


def _check_tag(key: str, value: Any) -> None:
    if not key or len(key) > MAX_TAG_KEY:
        raise InvalidOption("tags", key[:20], f"is a key of {len(key)} characters", f"use 1 to {MAX_TAG_KEY}")
    if isinstance(value, (dict, list)):
        raise InvalidOption("tags", key, "has a value that is a list or a dictionary", "give a string; to_json makes one")
    if value is not None and len(tags.text(value)) > MAX_TAG_VALUE:
        raise InvalidOption("tags", key, f"has a value of {len(tags.text(value))} characters", f"MLflow stores at most {MAX_TAG_VALUE}")


def identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The endpoint's name."""
    return (entry["name"],)


def own_experiment(name: str) -> str:
    """Return the name of the experiment that MLflow creates for an endpoint without one.

    >>> own_experiment("chat")
    'gateway/chat'
    """
    return f"gateway/{name}"


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """Return the desired state for ``params``, given the current one. Raises Refused for a new one without models.

    >>> desired_state({"name": "chat", "state": "present", "usage_tracking": True}, {"name": "chat", "experiment": None, "usage_tracking": False})
    {'name': 'chat', 'usage_tracking': True, 'experiment': 'gateway/chat'}
    >>> desired_state({"name": "chat", "state": "present"}, None)
    Traceback (most recent call last):
    ...
    ansible_collections...Refused: models: gateway endpoint 'chat' does not exist, and cannot be created without models; give at least a PRIMARY one
    """
    if params["state"] == "absent":
        return None
    desired: State = {"name": params["name"]}
    if current is None:
        if params.get("models") is None:
            raise Refused(
                f"models: gateway endpoint {params['name']!r} does not exist, and cannot be created without models; give at least a PRIMARY one"
            )
        desired.update({"routing_strategy": None, "fallback": {}, "usage_tracking": True, "experiment": None, "tags": {}})
    for option in ("routing_strategy", "usage_tracking", "experiment"):
        if params.get(option) is not None:
            desired[option] = params[option]
    if params.get("models") is not None:
        desired["models"] = _desired_models(params["models"])
    if params.get("fallback") is not None:
        desired["fallback"] = {key: value or ABSENT for key, value in params["fallback"].items() if value is not None}
    # With tracking but no experiment, MLflow creates one.
    if desired.get("usage_tracking") and not desired.get("experiment") and not (current or {}).get("experiment"):
        desired["experiment"] = own_experiment(params["name"])
    return {**desired, **tags.desired_tags(params, current)}


def _desired_models(models: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """``models`` in the order of a state: PRIMARY by name, since their order does not matter, then FALLBACK in the order given."""
    entries = [{**model, "weight": single(model["weight"])} for model in models]
    primary = sorted((entry for entry in entries if entry["linkage"] == "PRIMARY"), key=lambda entry: str(entry["model_definition"]))
    return primary + [entry for entry in entries if entry["linkage"] == "FALLBACK"]


def single(number: float) -> float:
    """Return ``number`` as MLflow returns it, which stores weights in single precision.

    >>> single(0.3), single(33.333333333), single(1)
    (0.3, 33.333332, 1.0)
    """
    stored = struct.unpack("f", struct.pack("f", number))[0]
    texts = (f"{stored:.{digits}g}" for digits in range(6, 10))
    return next(float(text) for text in texts if struct.pack("f", float(text)) == struct.pack("f", number))


def declared(state: State) -> dict[str, Any] | None:
    """Return the entry of an export. MLflow's defaults are left out: tracking, the endpoint's own experiment, a weight of 1.

    >>> declared({"name": "chat", "models": [{"model_definition": "gpt", "linkage": "PRIMARY", "weight": 1.0}], "routing_strategy": None,
    ...           "fallback": {}, "usage_tracking": True, "experiment": "gateway/chat", "tags": {}})
    {'name': 'chat', 'models': [{'model_definition': 'gpt'}]}
    """
    usual = {"linkage": "PRIMARY", "weight": 1.0}
    return tags.declared(
        {
            "name": state["name"],
            "models": [{key: value for key, value in model.items() if usual.get(key) != value} for model in state["models"]],
            "routing_strategy": state["routing_strategy"],
            "fallback": state["fallback"],
            "usage_tracking": None if state["usage_tracking"] else False,
            "experiment": None if state["experiment"] == own_experiment(state["name"]) else state["experiment"],
            "tags": tags.own_tags(state),
        }
    )
