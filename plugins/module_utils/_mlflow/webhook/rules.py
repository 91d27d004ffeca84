# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The desired state of a webhook: options in, state out. No I/O."""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import tags
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State

LABEL = "webhook"
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "url": {"type": "str"},
    "events": {"type": "list", "elements": "str"},
    "description": {"type": "str"},
    "status": {"type": "str", "choices": ["ACTIVE", "DISABLED"]},
    "secret": {"type": "str", "no_log": True},
    "update_secret": {"type": "str", "choices": ["always", "on_create"], "default": "on_create", "no_log": False},
}

#: The events of each kind of entity (VALID_ENTITY_ACTIONS of mlflow/entities/webhook.py, MLflow 3.17).
EVENTS = (
    "registered_model.created",
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
    "prompt.created",
    "prompt_version.created",
    "prompt_tag.set",
    "prompt_tag.deleted",
    "prompt_version_tag.set",
    "prompt_version_tag.deleted",
    "prompt_alias.created",
    "prompt_alias.deleted",
    "budget_policy.exceeded",
)
#: Stands for a secret in a plan to write one.
NEW_SECRET = "written anew"

# Columns of mlflow/store/model_registry/dbmodels/models.py, MLflow 3.17.
MAX_URL = 500
MAX_DESCRIPTION = 1000
#: The longest secret in bytes of UTF-8 that fits its column of 1000 after encryption (https://github.com/fernet/spec).
MAX_SECRET = 687


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that MLflow would refuse, or would fail on without saying why.

    >>> check_options({"name": "ci", "url": "https://ci.example.com/hook", "events": ["prompt.created"]})
    >>> check_options({"name": "-ci"})
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: name: '-ci' is not a valid webhook name; use 1 to 63 letters, digits, '.', '_' and '-', ...
    """
    # _WEBHOOK_NAME_REGEX of mlflow/utils/validation.py.
    if not re.fullmatch(r"(?=.{1,63}\Z)[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", params["name"]):
        remedy = "use 1 to 63 letters, digits, '.', '_' and '-', with a letter or a digit first and last"
        raise InvalidOption("name", params["name"], "is not a valid webhook name", remedy)
    if params.get("url") is not None:
        _check_url(params["url"])
    if params.get("events") is not None:
        _check_events(params["events"])
    tags.check_description("description", params.get("description"), MAX_DESCRIPTION)
    size = len((params.get("secret") or "").encode(errors="surrogatepass"))
    if size > MAX_SECRET:
        raise InvalidOption("secret", "…", f"has {size} bytes", f"MLflow stores at most {MAX_SECRET}, encrypted")
    if params.get("update_secret") == "always" and params.get("secret") is None:
        raise InvalidOption("update_secret", "always", "needs a secret to write", "give secret")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", url)
    except ValueError:  # incomplete IPv6 address
        usable = False
    if not usable:
        raise InvalidOption("url", url, "is not an HTTP address", "give the https://HOST/PATH of the receiver")
    if len(url) > MAX_URL:
        raise InvalidOption("url", url[:20] + "…", f"has {len(url)} characters", f"MLflow stores at most {MAX_URL}")


def _check_events(events: list[str]) -> None:
    if not events:
        raise InvalidOption("events", [], "is empty", "name at least one event, or remove the webhook with state: absent")
    for event in events:
        if event not in EVENTS:
            raise InvalidOption("events", event, "is not an MLflow event", f"use {', '.join(EVENTS)}")


def identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the webhook's name, which this collection, unlike MLflow, keeps unique."""
    return (entry["name"],)


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """Return the desired state for ``params``, given the current one.

    Raises Refused if several have the name, and InvalidOption if a new one has no URL or events.

    >>> hook = {"name": "ci", "state": "present", "url": "https://ci.example.com/hook", "events": ["prompt_tag.set", "prompt.created"]}
    >>> desired_state(hook, None)["events"]
    ['prompt.created', 'prompt_tag.set']
    >>> desired_state({"name": "ci", "state": "present"}, {"name": "ci", "namesakes": []})
    {'name': 'ci'}
    >>> desired_state({"name": "ci", "state": "present"}, {"name": "ci", "webhook_id": "1", "namesakes": ["2"]})
    Traceback (most recent call last):
    ...
    ansible_collections...Refused: 2 webhooks are named 'ci' (1, 2); remove them all with state: absent, then declare the one you want again
    """
    if params["state"] == "absent":
        return None
    if current is not None and current["namesakes"]:
        numbers = sorted([current["webhook_id"], *current["namesakes"]])
        raise Refused(
            f"{len(numbers)} webhooks are named {params['name']!r} ({', '.join(numbers)}); remove them all with state: absent, "
            "then declare the one you want again"
        )
    desired: State = {"name": params["name"]}
    if current is None:
        for option in ("url", "events"):
            if params.get(option) is None:
                raise InvalidOption("name", params["name"], "does not exist yet", f"give {option}, without which no webhook is created")
        desired.update({"description": "", "status": "ACTIVE"})
    desired.update({option: params[option] for option in ("url", "description", "status") if params.get(option) is not None})
    if params.get("events") is not None:
        desired["events"] = sorted(set(params["events"]))
    if current is not None and params.get("update_secret") == "always":
        desired["secret"] = NEW_SECRET
    return desired


def declared(state: State) -> dict[str, Any] | None:
    """Return the entry of an export, without the secret, which cannot be read.

    >>> declared({"name": "ci", "url": "https://h/", "events": ["prompt.created"], "status": "ACTIVE", "description": ""})
    {'name': 'ci', 'url': 'https://h/', 'events': ['prompt.created']}
    """
    entry = {key: state[key] for key in ("name", "url", "events", "description")}
    return tags.declared({**entry, "status": None if state["status"] == "ACTIVE" else state["status"]})
