# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Versions of registered models by MLflow's REST API (https://mlflow.org/docs/latest/rest-api.html, ModelRegistryService)."""
from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Callable

from ansible_collections.mlops.mlflow.plugins.module_utils._adapters import registry
from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ServerError, Unmet
from ansible_collections.mlops.mlflow.plugins.module_utils._ports import Plan, State

#: Seconds between two looks at a version that is being registered.
_POLL = 1.0


class ModelVersion:
    """The newest version of one identity, or the version of one number.

    ``identity`` is the rules'; the kind puts it in. Where a declaration has several entries of one identity, ``_place`` among
    the options is the entry's index among them and their count: they are the newest versions, in the order of both.
    ``_parent_is_made`` says that the same run makes the model.
    """

    immutable = frozenset({"source", "run_id"})
    read_only = frozenset({"version", "status_message", "creation_timestamp", "last_updated_timestamp"})
    identity: Callable[[Mapping[str, Any]], tuple[str, ...]]

    def __init__(self, client: RestClient, params: Mapping[str, Any]) -> None:
        self._client = client
        self._params = params
        self._name: str = params["name"]

    @classmethod
    def find(cls, client: RestClient, where: Mapping[str, Any]) -> Iterator[State]:
        """The versions of the model ``name``, those that ``filter`` leaves, or all: by model, the oldest first. A prompt's are none."""
        name = where.get("name")
        if name:
            model = _model(client, name)
            models = [model] if model else []
        else:
            models = list(client.listed(f"{registry.MODELS}/search", "registered_models", max_results=registry.MODELS_PAGE))
        aliases = {model["name"]: registry.aliases_of(model) for model in models}
        clauses = [registry.equals("name", name) if name else "", where.get("filter") or ""]
        for entry in registry.versions(client, clauses) if models else ():
            if not name or entry["name"] == name:
                yield _state(entry, aliases.get(entry["name"], {}).get(entry["version"], []))

    def read(self) -> State | None:
        """The version's source, run, description, tags, aliases, stage and status, or None. Raises ServerError for a prompt's."""
        if self._params.get("version") is not None:
            return self._read_number(str(self._params["version"]))
        model = _model(self._client, self._name)
        found = self._alike(model) if model else []
        index, count = self._params.get("_place", (0, 1))
        index += max(0, len(found) - count)
        return found[index] if index < len(found) else None

    def check(self, plan: Plan) -> None:
        """Raise Unmet for a model that is not there, Unsupported for aliases on a server without them, ServerError for a doubtful deletion."""
        if plan.action == "create" and not self._params.get("_parent_is_made") and not _model(self._client, self._name):
            raise Unmet(
                f"name: registered model {self._name!r} does not exist, and a version needs its model; make it first, with mlflow_registered_model",
                [("registered_models", self._name)],
            )
        if plan.action == "delete" and self._params.get("version") is None:
            model = _model(self._client, self._name)
            found = self._alike(model) if model else []
            if len(found) > 1:
                numbers = ", ".join(state["version"] for state in found)
                raise ServerError(f"source: versions {numbers} of registered model {self._name!r} have it; name the one to delete by version")
        if plan.changes_under("aliases") and (plan.after or {})["aliases"]:
            self._client.require(registry.ALIASES_SINCE, "an alias")

    def apply(self, plan: Plan) -> None:
        """Register, change or delete."""
        state = plan.before or {}
        if plan.action == "delete":
            self._client.write("DELETE", f"{registry.VERSIONS}/delete", {"name": self._name, "version": state["version"]})
        elif plan.action == "create":
            self._create(plan.after or {})
        else:
            self._update(plan, state, plan.after or {})

    def _create(self, state: State) -> None:
        source: str = state["source"]
        body = {"name": self._name, "source": source, "description": state["description"], "tags": registry.as_list(state["tags"])}
        if state["run_id"]:
            body["run_id"] = state["run_id"]
        if _logged(source):
            body["model_id"] = _logged(source)
        # Each one makes a version: what may have been carried out is looked for before it is sent again.
        made = self._client.write("POST", f"{registry.VERSIONS}/create", body, idempotent=False)["model_version"]
        if made.get("status", "READY") != "READY":
            self._wait(made["version"])
        if state["current_stage"] != "None":
            self._move(made["version"], state["current_stage"])
        registry.VersionWriter(self._client, self._name, made["version"]).alias([], state.get("aliases", []))

    def _update(self, plan: Plan, before: State, after: State) -> None:
        number: str = before["version"]
        writer = registry.VersionWriter(self._client, self._name, number)
        if plan.change_of("status"):
            self._wait(number)
        if plan.change_of("description"):
            writer.describe(after["description"])
        writer.tag(before["tags"], after["tags"])
        if plan.change_of("current_stage"):
            self._move(number, after["current_stage"])
        writer.alias(before["aliases"], after["aliases"])

    def _move(self, number: str, stage: str) -> None:
        body = {"name": self._name, "version": number, "stage": stage}
        archive = bool(self._params.get("archive_existing_versions"))
        self._client.write("POST", f"{registry.VERSIONS}/transition-stage", {**body, "archive_existing_versions": archive})

    def _wait(self, number: str) -> None:
        """Until the version can be used, ``wait_timeout`` seconds at most; none at all with 0."""
        limit: int = self._params.get("wait_timeout") or 0
        started = time.monotonic()
        while limit:
            entry = self._client.get(f"{registry.VERSIONS}/get", name=self._name, version=number)["model_version"]
            status = entry.get("status", "READY")
            if status == "READY":
                return
            what = f"version {number} of registered model {self._name!r}"
            if status == "FAILED_REGISTRATION":
                reason = entry.get("status_message") or "the server gives no reason"
                raise ServerError(f"{what} failed to be registered: {reason}; remedy that, delete the version, and run again")
            if time.monotonic() - started >= limit:
                raise ServerError(f"wait_timeout: {what} is still {status} after {limit} seconds; run again to wait on, or raise wait_timeout")
            time.sleep(_POLL)

    def _read_number(self, number: str) -> State | None:
        answer = self._client.get_or_none(f"{registry.VERSIONS}/get", name=self._name, version=number)
        if answer is None:
            return None
        entry = answer["model_version"]
        _refuse_prompt(entry)
        return _state(entry, sorted(entry.get("aliases", [])))

    def _alike(self, model: Mapping[str, Any]) -> list[State]:
        """The versions of the same identity, the oldest first."""
        name, source = self.identity(self._params)[:2]
        aliases = registry.aliases_of(model)
        entries = registry.versions(self._client, [registry.equals("name", name), registry.equals("source_path", source)])
        states = [_state(entry, aliases.get(entry["version"], [])) for entry in entries]
        return [state for state in states if self.identity(state) == self.identity(self._params)]


def resolved(client: RestClient, params: Mapping[str, Any]) -> dict[str, Any]:
    """``params`` with the source and the run of what only the server can tell: a model in a run, a logged model, another version.

    The same as ``mlflow.register_model`` sends for them (mlflow/tracking/_model_registry/fluent.py). Raises ServerError.
    """
    result = dict(params)
    source: str = params.get("source") or ""
    if params.get("model_id"):
        source = f"models:/{params['model_id']}"
    if source.startswith("runs:/"):
        run_id, path = source[len("runs:/") :].split("/", 1)
    else:
        run_id, path = params.get("run_id") or "", params.get("artifact_path") or ""
    if path:
        source = _source_in_run(client, run_id, path.strip("/"))
    elif source.startswith("models:/") and params.get("state") != "absent":
        run_id = _run_of(client, source)
    if source:
        result.update(source=source, run_id=run_id or None, artifact_path=None, model_id=None)
    return result


def _source_in_run(client: RestClient, run_id: str, path: str) -> str:
    """Where the model at ``path`` of the run is: in the run's own artifacts, or since MLflow 3 among the logged models."""
    answer = client.get_or_none("/api/2.0/mlflow/runs/get", run_id=run_id)
    if answer is None:
        raise ServerError(f"run_id: the server has no run {run_id!r}; give the ID of a run of this server")
    run = answer["run"]
    files = client.listed("/api/2.0/mlflow/artifacts/list", "files", run_id=run_id, path=path)
    if any(entry["path"].rpartition("/")[2] == "MLmodel" for entry in files):
        return f"{run['info']['artifact_uri'].rstrip('/')}/{path}"
    outputs = {output["model_id"]: int(output.get("step", 0)) for output in run.get("outputs", {}).get("model_outputs", [])}
    models = [info for info in _logged_models(client, run, path) if info.get("source_run_id") == run_id] if outputs else []
    if not models:
        raise ServerError(f"artifact_path: run {run_id} has no model at {path!r}; give the path, or the name, with which it was logged")
    newest = max(models, key=lambda info: outputs.get(info["model_id"], -1))
    return f"models:/{newest['model_id']}"


def _logged_models(client: RestClient, run: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    body = {"experiment_ids": [run["info"]["experiment_id"]], "filter": registry.equals("name", name)}
    for entry in client.listed("/api/2.0/mlflow/logged-models/search", "models", "POST", **body):
        if entry["info"]["name"] == name:
            yield entry["info"]


def _run_of(client: RestClient, source: str) -> str:
    """The run of the logged model, or of the version, that ``source`` names; empty where it has none."""
    if _logged(source):
        client.require((3, 0, 0), "a logged model")
        answer = client.get_or_none(f"/api/2.0/mlflow/logged-models/{_logged(source)}")
        if answer is None:
            raise ServerError(f"model_id: the server has no logged model {_logged(source)!r}; give the ID of one of this server")
        return str(answer["model"]["info"].get("source_run_id", ""))
    name, number = source[len("models:/") :].split("/")
    answer = client.get_or_none(f"{registry.VERSIONS}/get", name=name, version=number)
    if answer is None:
        raise ServerError(f"source: {source!r} names a version that is not there; give one of this server")
    return str(answer["model_version"].get("run_id", ""))


def _logged(source: str) -> str:
    """The ID of the logged model that ``source`` is, or nothing."""
    scheme, _slash, rest = source.partition(":/")
    return rest if scheme == "models" and "/" not in rest else ""


def _model(client: RestClient, name: str) -> dict[str, Any] | None:
    answer = client.get_or_none(f"{registry.MODELS}/get", name=name)
    if answer is None:
        return None
    model: dict[str, Any] = answer["registered_model"]
    _refuse_prompt(model)
    return model


def _refuse_prompt(entry: Mapping[str, Any]) -> None:
    if registry.is_prompt(entry):
        raise ServerError(f"name: {entry['name']!r} is a prompt, not a registered model: they share one set of names; use mlflow_prompt")


def _state(entry: Mapping[str, Any], aliases: list[str]) -> State:
    return {
        "name": entry["name"],
        "version": entry["version"],
        "source": entry.get("source", ""),
        "run_id": entry.get("run_id", ""),
        # Unset and empty fields are left out of some answers.
        "description": entry.get("description", ""),
        "tags": registry.tags_of(entry),
        "aliases": aliases,
        "current_stage": entry.get("current_stage", "None"),
        "status": entry.get("status", "READY"),
        "status_message": entry.get("status_message", ""),
        "creation_timestamp": entry.get("creation_timestamp"),
        "last_updated_timestamp": entry.get("last_updated_timestamp"),
    }
