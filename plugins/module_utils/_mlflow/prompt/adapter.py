# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Prompts by MLflow's REST API: a prompt is a registered model with a tag, and its versions keep their templates in tags.

The tags are those of MLflow 3.17 (mlflow/prompt/constants.py, ``register_prompt`` of mlflow/tracking/client.py); 2.22 has the first two.
"""
from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ServerError
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import model_registry
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.prompt import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.registered_model.rules import PROMPT_TAG
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kind
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import Plan, State

_TEXT = "mlflow.prompt.text"
_TYPE = "_mlflow_prompt_type"
_JSON = {"response_format": "_mlflow_prompt_response_format", "model_config": "_mlflow_prompt_model_config"}
_RESERVED = frozenset({PROMPT_TAG, _TEXT, _TYPE, *_JSON.values()})
#: Required for every version, but not used by prompts; the server accepts only this value.
_SOURCE = "dummy-source"
#: Prompts came with MLflow 2.21; chats, and texts of more than 5000 characters, with 3.
_SINCE = (2, 21, 0)
_CHATS_SINCE = (3, 0, 0)
_SHORT = 5000


class Prompt:
    """One prompt with its versions, identified by its name."""

    immutable: frozenset[str] = frozenset()
    read_only = frozenset({"version_numbers", "creation_timestamp", "last_updated_timestamp"})

    def __init__(self, client: RestClient, params: Mapping[str, Any]) -> None:
        self._client = client
        self._name: str = params["name"]

    @classmethod
    def find(cls, client: RestClient, where: Mapping[str, Any]) -> Iterator[State]:
        """The prompts that match ``filter``, or all, with all their versions."""
        clauses = [model_registry.PROMPTS_ALONE] + ([where["filter"]] if where.get("filter") else [])
        query = " AND ".join(clauses)
        models = list(model_registry.models(client, {"filter": query}))
        versions: dict[str, list[dict[str, Any]]] = {}
        for entry in model_registry.versions(client, [model_registry.PROMPTS_ALONE]) if models else ():
            versions.setdefault(entry["name"], []).append(entry)
        for model in models:
            yield _state(model, versions.get(model["name"], []))

    def read(self) -> State | None:
        """The prompt's description, tags and versions, or None. Raises ServerError if the name is a model's."""
        answer = self._client.get_or_none(f"{model_registry.MODELS}/get", name=self._name)
        if answer is None:
            return None
        model = answer["registered_model"]
        if not model_registry.is_prompt(model):
            raise ServerError(
                f"name: {self._name!r} is a registered model, not a prompt: they share one namespace; use another name, or mlflow_registered_model"
            )
        found = model_registry.versions(self._client, [model_registry.equals("name", self._name), model_registry.PROMPTS_ALONE])
        return _state(model, [entry for entry in found if entry["name"] == self._name])

    def check(self, plan: Plan) -> None:
        """Raise Unsupported for prompts, or for their newer features, on a server without them."""
        if plan.action == "delete":
            return
        if plan.action == "create":
            self._client.require(_SINCE, "a prompt")
            model_registry.check_new_name(self._client, self._name)
        for version in _made(plan):
            if not isinstance(version["template"], str):
                self._client.require(_CHATS_SINCE, "a template that is a list of messages")
            elif len(version["template"]) > _SHORT:
                self._client.require(_CHATS_SINCE, f"a template of more than {_SHORT} characters")
            for key in _JSON:
                if key in version:
                    self._client.require(_CHATS_SINCE, f"a {key}")

    def apply(self, plan: Plan) -> None:
        """Create, change or delete. New versions are created in order."""
        if plan.action == "delete":
            self._client.write("DELETE", f"{model_registry.MODELS}/delete", {"name": self._name})
            return
        before, after = plan.before or {}, plan.after or {}
        if plan.action == "create":
            tags = {PROMPT_TAG: "true", **after.get("tags", {})}
            body = {"name": self._name, "description": after.get("description", ""), "tags": model_registry.as_list(tags)}
            self._client.write("POST", f"{model_registry.MODELS}/create", body, idempotent=False)
        else:
            model_registry.update_model(self._client, self._name, plan)
        self._change_versions(before, after)

    def _change_versions(self, before: State, after: State) -> None:
        old: dict[str, State] = before.get("versions", {})
        new: dict[str, State] = after.get("versions", {})
        numbers: dict[str, str] = dict(before.get("version_numbers", {}))
        for place in sorted(set(new) - set(old), key=int):
            numbers[place] = self._make(new[place])
        held = {alias for version in new.values() for alias in version["aliases"]}
        for place in sorted(new, key=int):
            had, wanted = old.get(place, {}), new[place]
            writer = model_registry.VersionWriter(self._client, self._name, numbers[place])
            if had and had["commit_message"] != wanted["commit_message"]:
                writer.describe(wanted["commit_message"])
            if had:
                writer.tag(had.get("tags", {}), wanted.get("tags", {}))
            # An alias that another version gets is moved when it is set there.
            writer.alias([alias for alias in had.get("aliases", []) if alias in wanted["aliases"] or alias not in held], wanted["aliases"])

    def _make(self, version: State) -> str:
        """Create a version, and return its number."""
        template = version["template"]
        chat = not isinstance(template, str)
        tags = {
            **version.get("tags", {}),
            PROMPT_TAG: "true",
            _TYPE: "chat" if chat else "text",
            _TEXT: json.dumps(template) if chat else template,
            **{tag: version[key] for key, tag in _JSON.items() if key in version},
        }
        body = {"name": self._name, "source": _SOURCE, "description": version["commit_message"], "tags": model_registry.as_list(tags)}
        # Each request creates a version, so before a retry, check whether it succeeded.
        answer = self._client.write("POST", f"{model_registry.VERSIONS}/create", body, idempotent=False)
        return str(answer["model_version"]["version"])


def _made(plan: Plan) -> Iterable[State]:
    """Return the versions that the plan creates."""
    there = (plan.before or {}).get("versions", {})
    return [version for place, version in (plan.after or {}).get("versions", {}).items() if place not in there]


def _state(model: Mapping[str, Any], versions: list[dict[str, Any]]) -> State:
    ordered = sorted(versions, key=lambda entry: int(entry["version"]))
    aliases = model_registry.aliases_of(model)
    return {
        "name": model["name"],
        "description": model.get("description", ""),
        "tags": _open_tags(model),
        "versions": {str(place): _version(entry, aliases.get(entry["version"], [])) for place, entry in enumerate(ordered, 1)},
        "version_numbers": {str(place): entry["version"] for place, entry in enumerate(ordered, 1)},
        "creation_timestamp": model.get("creation_timestamp"),
        "last_updated_timestamp": model.get("last_updated_timestamp"),
    }


def _version(entry: Mapping[str, Any], aliases: list[str]) -> State:
    tags, own = model_registry.tags_of(entry), _open_tags(entry)
    template: Any = tags.get(_TEXT)
    if template is not None and tags.get(_TYPE) == "chat":
        template = _json(template)
    texts = {key: tags[tag] for key, tag in _JSON.items() if tags.get(tag)}
    return {
        "template": template,
        "commit_message": entry.get("description", ""),
        "aliases": aliases,
        **{key: json.dumps(_json(text), sort_keys=True) for key, text in texts.items()},
        **({"tags": own} if own else {}),
    }


def _json(text: str) -> Any:
    """Parse ``text``; return it unchanged if it is not JSON, as another client may have written it."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _open_tags(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags that are not part of the prompt itself."""
    return {key: value for key, value in model_registry.tags_of(entry).items() if key not in _RESERVED}


PROMPT = Kind(
    "prompts", rules, Prompt, selectors={"name": {"type": "str"}, "filter": {"type": "str"}}, read_by="name", exclusive=[("name", "filter")]
)
