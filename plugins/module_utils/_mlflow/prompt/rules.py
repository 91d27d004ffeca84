# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The desired state of a prompt and its versions: options in, state out. No I/O.

In a state, ``versions`` is a dict. Its keys are the versions' positions, "1" being the oldest: the number of a new version cannot be
predicted, since MLflow never reuses that of a deleted one. A version has no ``tags``, ``response_format`` and ``model_config`` if
they are empty; the latter two are JSON strings, as MLflow stores them.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import tags
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.registered_model import rules as registered_model
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, State, purged

LABEL = "prompt"
VERSION: dict[str, dict[str, Any]] = {
    "template": {"type": "raw", "required": True},
    "commit_message": {"type": "str"},
    "tags": {"type": "dict"},
    "aliases": {"type": "list", "elements": "str"},
    "response_format": {"type": "dict"},
    "model_config": {"type": "dict"},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "description": {"type": "str"},
    "tags": {"type": "dict"},
    "purge_tags": {"type": "bool", "default": False},
    "versions": {"type": "list", "elements": "dict", "options": VERSION},
    "purge_aliases": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
}

#: Tags with these prefixes are MLflow's own; some inherited from Unity Catalog have no dot (mlflow/prompt/constants.py).
SYSTEM_TAG_PREFIXES = (tags.SYSTEM_TAG_PREFIX, "_mlflow_")
#: The longest text that MLflow 3 stores of a template, a response format and a model configuration each, in characters.
MAX_TEXT = 100_000


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that MLflow would reject, or would accept and then fail on.

    >>> check_options({"name": "greet", "versions": [{"template": []}]})
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: versions: [] is not a template; give a text, or a list of messages with role and content
    """
    name = params["name"]
    if name not in (".", ".."):
        registered_model.check_name("name", name)
    # PROMPT_NAME_RULE of mlflow/prompt/constants.py, which MLflow's clients enforce, but not its server, to which it is a path.
    if not re.fullmatch(r"[a-zA-Z0-9_.-]+", name) or name in (".", ".."):
        raise InvalidOption("name", name, "is not a valid prompt name", "use ASCII letters, digits, '_', '.' and '-'")
    tags.check_description("description", params.get("description"))
    _check_tags("tags", params.get("tags"), registered_model.MAX_TAG_VALUE)
    seen: set[str] = set()
    for version in params.get("versions") or []:
        _check_version(version)
        for alias in version.get("aliases") or []:
            if alias in seen:
                raise InvalidOption("versions", alias, "is an alias of two versions", "give it to one of them")
            seen.add(alias)


def _check_version(version: Mapping[str, Any]) -> None:
    template = version["template"]
    if isinstance(template, dict) or template is None or (isinstance(template, list) and not (template and all(map(_is_message, template)))):
        raise InvalidOption("versions", _excerpt(template), "is not a template", "give a text, or a list of messages with role and content")
    for part in ("template", "response_format", "model_config"):
        text = _stored(version, part) or ""
        if len(text) > MAX_TEXT:
            raise InvalidOption("versions", text[:20] + "…", f"is a {part} of {len(text)} characters", f"MLflow stores at most {MAX_TEXT}")
    tags.check_description("versions", version.get("commit_message"))
    _check_tags("versions", version.get("tags"), MAX_TEXT)
    for alias in version.get("aliases") or []:
        registered_model.check_alias("versions", alias)


def _excerpt(value: Any) -> Any:
    return value if len(repr(value)) <= 60 else repr(value)[:60] + "…"


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and isinstance(message.get("role"), str) and isinstance(message.get("content"), (str, list))


def _check_tags(option: str, given: Mapping[str, Any] | None, longest: int) -> None:
    tags.check_tags(option, given, longest)
    for key in given or {}:
        if key.startswith(("mlflow.prompt.", "_mlflow_")):
            raise InvalidOption(option, key, "is a tag by which MLflow itself keeps prompts", "use another key")


def identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The prompt's name."""
    return (entry["name"],)


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """Return the desired state for ``params``, given the current one.

    Raises Refused if that would delete versions without ``force``.

    >>> desired_state({"name": "greet", "state": "present", "versions": [{"template": "Hello", "aliases": ["production"]}]}, None)["versions"]
    {'1': {'template': 'Hello', 'commit_message': '', 'aliases': ['production']}}
    >>> there = {"name": "greet", "tags": {}, "versions": {"1": {"template": "Hello", "commit_message": "", "aliases": ["production"]}}}
    >>> desired_state({"name": "greet", "state": "present", "versions": [{"template": "Hi", "aliases": ["production"]}]}, there)["versions"]
    {'1': {'aliases': []}, '2': {'template': 'Hi', 'commit_message': '', 'aliases': ['production']}}
    """
    if params["state"] == "absent":
        count = len((current or {}).get("versions", {}))
        if count and not params.get("force"):
            raise Refused(
                f"prompt {params['name']!r} has {count} version{'s' if count > 1 else ''}, and MLflow cannot restore a deleted prompt; "
                "set force: true to delete it with them"
            )
        return None
    desired: State = {"name": params["name"]}
    if current is None:
        desired.update({"description": "", "tags": {}, "versions": {}})
    if params.get("description") is not None:
        desired["description"] = params["description"]
    if params.get("tags") is not None:
        wanted = tags.entries(params["tags"])
        desired["tags"] = purged((current or {}).get("tags", {}), wanted, is_system_tag) if params.get("purge_tags") else wanted
    if params.get("versions") is not None:
        desired["versions"] = _desired_versions(params, (current or {}).get("versions", {}))
    return desired


def _desired_versions(params: Mapping[str, Any], there: Mapping[str, State]) -> dict[str, State]:
    entries: Sequence[Mapping[str, Any]] = params["versions"]
    places = list(_places(entries, there))
    desired: dict[str, State] = {}
    for entry, place in zip(entries, places):
        desired[place] = _changed(params, entry, there[place]) if place in there else _new(entry)
    holder = {alias: place for entry, place in zip(entries, places) for alias in entry.get("aliases") or []}
    for place in {**there, **desired}:
        had = [] if params.get("purge_aliases") else there.get(place, {}).get("aliases", [])
        kept = {alias for alias in had if holder.get(alias, place) == place}
        desired.setdefault(place, {})["aliases"] = sorted(kept | {alias for alias, owner in holder.items() if owner == place})
    return {place: desired[place] for place in sorted(desired, key=int)}


def _places(entries: Sequence[Mapping[str, Any]], there: Mapping[str, State]) -> Iterator[str]:
    """Yield the position of each entry's version: the newest ones with its template, in order, or a new one after all existing ones."""
    found: dict[str, list[str]] = {}
    for place in sorted(there, key=int):
        found.setdefault(_print(there[place]), []).append(place)
    prints = [_print(entry) for entry in entries]
    matching = {print_: iter(found.get(print_, [])[-prints.count(print_) :]) for print_ in prints}
    free = len(there)
    for print_ in prints:
        match = next(matching[print_], None)
        free += match is None
        yield match or str(free)


def _print(version: Mapping[str, Any]) -> str:
    """Return a fingerprint, equal for versions with the same template, response format and model configuration."""
    return json.dumps([None if _is_null(version) else _template(version), *(_parsed(version, key) for key in _JSON)], sort_keys=True)


#: What MLflow stores of a version as JSON, only if not empty.
_JSON = ("response_format", "model_config")


def _is_null(version: Mapping[str, Any]) -> bool:
    """Whether the version has no template, which MLflow's server accepts but its clients do not load."""
    return version["template"] is None


def _template(version: Mapping[str, Any]) -> Any:
    """A text, or the messages of a chat."""
    template = version["template"]
    return _plain(template) if isinstance(template, list) else tags.text(template)


def _parsed(version: Mapping[str, Any], key: str) -> Any:
    value = version.get(key)
    value = _plain(json.loads(value) if isinstance(value, str) else value) or None
    if key == "model_config" and isinstance(value, dict):
        # As PromptModelConfig.to_dict has it (mlflow/entities/model_registry/prompt_version.py).
        value = {name: setting for name, setting in value.items() if setting is not None} or None
    return value


def _plain(value: Any) -> Any:
    """Return ``value`` with 1.0 as 1, which JSON distinguishes but MLflow does not."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _stored(version: Mapping[str, Any], part: str) -> str | None:
    """Return ``part`` of a version as the string that MLflow stores, None if it stores none."""
    if part == "template":
        template = _template(version)
        return template if isinstance(template, str) else json.dumps(template)
    value = _parsed(version, part)
    return None if value is None else json.dumps(value, sort_keys=True)


def _new(entry: Mapping[str, Any]) -> State:
    wanted = {key: tags.text(value) for key, value in (entry.get("tags") or {}).items() if value is not None}
    parts = {key: _stored(entry, key) for key in _JSON}
    return {
        "template": _template(entry),
        "commit_message": entry.get("commit_message") or "",
        **{key: text for key, text in parts.items() if text is not None},
        **({"tags": wanted} if wanted else {}),
    }


def _changed(params: Mapping[str, Any], entry: Mapping[str, Any], there: State) -> State:
    desired: State = {}
    if entry.get("commit_message") is not None:
        desired["commit_message"] = entry["commit_message"]
    if entry.get("tags") is not None:
        had = there.get("tags", {})
        wanted = tags.entries(entry["tags"])
        wanted = purged(had, wanted, is_system_tag) if params.get("purge_tags") else wanted
        left = {key for key in {**had, **wanted} if wanted.get(key) is not ABSENT}
        desired["tags"] = wanted if left else ABSENT
    return desired


def is_system_tag(key: str) -> bool:
    """Whether MLflow itself sets the tag of a prompt or of a version."""
    return key.startswith(SYSTEM_TAG_PREFIXES)


def declared(state: State) -> dict[str, Any] | None:
    """Return the entry of an export, its versions the oldest first.

    >>> declared({"name": "greet", "description": "", "tags": {"_mlflow_experiment_ids": ",1,"}, "versions": {
    ...     "1": {"template": "Hello", "commit_message": "first", "aliases": [], "model_config": '{"model_name": "gpt"}'}}})
    {'name': 'greet', 'versions': [{'template': 'Hello', 'commit_message': 'first', 'model_config': {'model_name': 'gpt'}}]}
    """
    versions = [state["versions"][place] for place in sorted(state["versions"], key=int)]
    entry = {"name": state["name"], "description": state["description"], "tags": tags.own_tags(state, is_system_tag)}
    return tags.declared({**entry, "versions": [_declared_version(version) for version in versions if not _is_null(version)]})


def _declared_version(version: State) -> dict[str, Any]:
    entry = {
        "commit_message": version["commit_message"],
        "tags": tags.own_tags(version, is_system_tag),
        "aliases": version["aliases"],
        **{key: _parsed(version, key) for key in _JSON},
    }
    return {"template": version["template"], **tags.declared(entry)}
