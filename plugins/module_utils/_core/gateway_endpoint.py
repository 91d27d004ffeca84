# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What an endpoint of the AI gateway must become: options in, state out. No I/O."""
from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._core import tags
from ansible_collections.mlops.mlflow.plugins.module_utils._core.options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._core.plan import ABSENT, State

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
#: The name of the endpoint's experiment, which is longer by ``gateway/``, has a column of 256.
MAX_NAME = 248
MAX_TAG_KEY = 250
MAX_TAG_VALUE = 5000


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that MLflow would refuse, or would take and then fail on at the first request.

    >>> check_options({"name": "chat/eu"})
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: name: 'chat/eu' is no endpoint's name to MLflow; use ASCII letters, digits, '_', '-' and '.'
    """
    tags.check_length("name", params["name"], MAX_NAME, "endpoint")
    # is_valid_endpoint_name of mlflow/gateway/utils.py.
    if not re.fullmatch(r"[a-zA-Z0-9_\-.]+", params["name"]):
        raise InvalidOption("name", params["name"], "is no endpoint's name to MLflow", "use ASCII letters, digits, '_', '-' and '.'")
    if params.get("models") is not None:
        _check_models(params["models"])
    attempts = (params.get("fallback") or {}).get("max_attempts")
    if attempts is not None and not 0 <= attempts < 2**31:
        raise InvalidOption("fallback", attempts, "is no number of attempts", "give max_attempts: 1 or more, or 0 for no limit")
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
        raise InvalidOption("models", sorted(name for name, _linkage in seen), "has no PRIMARY of a weight of 0.01 or more", "give one")


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
    """The experiment that MLflow makes for an endpoint that is given none.

    >>> own_experiment("chat")
    'gateway/chat'
    """
    return f"gateway/{name}"


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """The state that ``params`` ask for, given the endpoint as it is. Raises Refused for a new one without models.

    >>> desired_state({"name": "chat", "state": "present", "usage_tracking": True}, {"name": "chat", "experiment": None, "usage_tracking": False})
    {'name': 'chat', 'usage_tracking': True, 'experiment': 'gateway/chat'}
    >>> desired_state({"name": "chat", "state": "present"}, None)
    Traceback (most recent call last):
    ...
    ansible_collections...Refused: models: gateway endpoint 'chat' does not exist, and cannot be made without models; name a PRIMARY one at least
    """
    if params["state"] == "absent":
        return None
    desired: State = {"name": params["name"]}
    if current is None:
        if params.get("models") is None:
            raise Refused(
                f"models: gateway endpoint {params['name']!r} does not exist, and cannot be made without models; name a PRIMARY one at least"
            )
        desired.update({"routing_strategy": None, "fallback": {}, "usage_tracking": True, "experiment": None, "tags": {}})
    for option in ("routing_strategy", "usage_tracking", "experiment"):
        if params.get(option) is not None:
            desired[option] = params[option]
    if params.get("models") is not None:
        desired["models"] = _desired_models(params["models"])
    if params.get("fallback") is not None:
        desired["fallback"] = {key: value or ABSENT for key, value in params["fallback"].items() if value is not None}
    # Tracking without an experiment makes MLflow make one.
    if desired.get("usage_tracking") and not desired.get("experiment") and not (current or {}).get("experiment"):
        desired["experiment"] = own_experiment(params["name"])
    return {**desired, **tags.desired_tags(params, current)}


def _desired_models(models: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """``models`` in the order of a state: PRIMARY by name, as their order means nothing, then FALLBACK as they are tried."""
    entries = [{**model, "weight": single(model["weight"])} for model in models]
    primary = sorted((entry for entry in entries if entry["linkage"] == "PRIMARY"), key=lambda entry: str(entry["model_definition"]))
    return primary + [entry for entry in entries if entry["linkage"] == "FALLBACK"]


def single(number: float) -> float:
    """``number`` as it comes back from MLflow, which keeps weights in single precision.

    >>> single(0.3), single(33.333333333), single(1)
    (0.3, 33.333332, 1.0)
    """
    stored = struct.unpack("f", struct.pack("f", number))[0]
    texts = (f"{stored:.{digits}g}" for digits in range(6, 10))
    return next(float(text) for text in texts if struct.pack("f", float(text)) == struct.pack("f", number))


def declared(state: State) -> dict[str, Any] | None:
    """The entry of an export. What MLflow does by itself is left out: tracking, the endpoint's own experiment, a weight of 1.

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


def kept(state: State) -> bool:
    """No endpoint is MLflow's own."""
    return False
