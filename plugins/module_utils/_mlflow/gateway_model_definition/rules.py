# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The desired state of an AI gateway model definition: options in, state out. No I/O."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import tags
from ansible_collections.mlops.mlflow.plugins.module_utils._options import Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State

LABEL = "gateway model definition"
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "secret": {"type": "str", "no_log": False},
    "provider": {"type": "str"},
    "model_name": {"type": "str"},
}

# The columns of SqlGatewayModelDefinition, mlflow/store/tracking/dbmodels/models.py, MLflow 3.17.
LONGEST = {"name": 255, "secret": 255, "provider": 64, "model_name": 256}
_NEEDED = ("secret", "provider", "model_name")


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a text that is blank or does not fit its column."""
    for option, longest in LONGEST.items():
        if params.get(option) is not None:
            tags.check_length(option, params[option], longest, option.replace("_name", "").replace("name", "model definition"))


def identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The model definition's name."""
    return (entry["name"],)


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """Return the desired state for ``params``, given the current one. Raises Refused if a required option of a new one is missing.

    >>> desired_state({"name": "gpt", "state": "present", "model_name": "gpt-5"}, {"name": "gpt", "model_name": "gpt-4o"})
    {'name': 'gpt', 'model_name': 'gpt-5'}
    >>> desired_state({"name": "gpt", "state": "present", "provider": "openai"}, None)
    Traceback (most recent call last):
    ...
    ansible_collections...Refused: secret: gateway model definition 'gpt' does not exist, and needs secret, model_name to be created; give them
    """
    if params["state"] == "absent":
        return None
    given = {option: params[option] for option in _NEEDED if params.get(option) is not None}
    missing = [option for option in _NEEDED if option not in given]
    if current is None and missing:
        raise Refused(
            f"{missing[0]}: gateway model definition {params['name']!r} does not exist, and needs {', '.join(missing)} to be created; "
            f"give {'it' if len(missing) == 1 else 'them'}"
        )
    return {"name": params["name"], **given}


def declared(state: State) -> dict[str, Any] | None:
    """Return the entry of an export; one whose secret was deleted has none to name.

    >>> declared({"name": "gpt", "secret": None, "provider": "openai", "model_name": "gpt-5", "model_definition_id": "d-1"})
    {'name': 'gpt', 'provider': 'openai', 'model_name': 'gpt-5'}
    """
    return tags.declared({key: state[key] for key in ("name", *_NEEDED)})
