# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Versions of registered models by MLflow's REST API (https://mlflow.org/docs/latest/rest-api.html, ModelRegistryService)."""
from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import Conflict, ServerError, Unmet
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import model_registry
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.model_version import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import ALONE, Kind, Listings, Surroundings
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import Identity, Plan, State

#: Seconds between two polls of a version that is being registered.
_POLL = 1.0
#: How often, and at which interval in seconds, the older of two concurrent versions checks whether the newer one gives way.
_LOOKS, _PAUSE = 10, 0.2


class ModelVersion:
    """The newest version with an identity, or the version with a number.

    If a declaration has several entries of one identity, they match the newest versions, in order.
    """

    immutable = frozenset({"source", "run_id"})
    read_only = frozenset({"version", "status_message", "creation_timestamp", "last_updated_timestamp"})

    def __init__(self, client: RestClient, params: Mapping[str, Any], surroundings: Surroundings = ALONE) -> None:
        self._client = client
        self._params = params
        self._surroundings = surroundings
        self._name: str = params["name"]

    @classmethod
    def find(cls, client: RestClient, where: Mapping[str, Any]) -> Iterator[State]:
        """The versions of the model ``name``, those that match ``filter``, or all, sorted by model, oldest first, without those of prompts."""
        name = where.get("name")
        if name is not None:
            model = _model(client, name)
            models = [model] if model else []
        else:
            models = list(model_registry.models(client, {}))
        yield from _versions(client, models, name, where.get("filter"))

    @classmethod
    def listed(cls, client: RestClient, listings: Listings) -> Iterator[State]:
        """All versions, in a run that also needs the models for something else."""
        yield from _versions(client, model_registry.shared_models(client, listings))

    @classmethod
    def resolved(cls, client: RestClient, params: Mapping[str, Any], stored: Collection[Identity] | None = None) -> Mapping[str, Any]:
        """Return ``params`` with the source and the run as MLflow stores them; ``stored`` has the existing identities, None to ask the server.

        MLflow's UI registers and stores a model as ``runs:/RUN/PATH``. So a version with exactly this source matches, and nothing is looked
        up, not even whether the run still exists. Otherwise the source is what ``mlflow.register_model`` stores. For a model given by its
        path in a run, which could be either, the latter takes precedence. Raises ServerError.
        """
        source = str(rules.identity(params)[1])
        if not source.startswith(("runs:/", "models:/")):
            return params
        as_it_is = {**params, "source": source, "artifact_path": None, "model_id": None}
        if params.get("artifact_path") is None and cls._is_stored(client, as_it_is, stored):
            return as_it_is
        try:
            found = _looked_up(client, params)
        except ServerError:
            if params.get("artifact_path") is not None and cls._is_stored(client, as_it_is, stored):
                return as_it_is
            raise
        if params.get("artifact_path") is not None and not cls._is_stored(client, found, stored) and cls._is_stored(client, as_it_is, stored):
            return as_it_is
        return found

    @classmethod
    def _is_stored(cls, client: RestClient, params: Mapping[str, Any], stored: Collection[Identity] | None) -> bool:
        return bool(cls(client, params)._entries_alike()) if stored is None else rules.identity(params) in stored

    def read(self) -> State | None:
        """The version's source, run, description, tags, aliases, stage and status, or None. Raises ServerError for a prompt's."""
        if self._params.get("version") is not None:
            return self._read_number(str(self._params["version"]))
        model = _model(self._client, self._name)
        found = self._alike(model) if model else []
        index = self._surroundings.index + max(0, len(found) - self._surroundings.count)
        return found[index] if index < len(found) else None

    def check(self, plan: Plan) -> None:
        """Raise Unmet for a missing model, Unsupported for aliases on a server without them, ServerError for an ambiguous deletion."""
        if plan.action == "create" and not self._surroundings.parent_is_new and not _model(self._client, self._name):
            raise Unmet(
                f"name: registered model {self._name!r} does not exist, and a version needs its model; create it first, with mlflow_registered_model",
                [("registered_models", self._name)],
            )
        if plan.action == "delete" and self._params.get("version") is None:
            model = _model(self._client, self._name)
            found = self._alike(model) if model else []
            if len(found) > 1:
                numbers = ", ".join(state["version"] for state in found)
                raise ServerError(f"source: versions {numbers} of registered model {self._name!r} have it; name the one to delete by version")
        if plan.changes_under("aliases") and (plan.after or {})["aliases"]:
            self._client.require(model_registry.ALIASES_SINCE, "an alias")

    def apply(self, plan: Plan) -> None:
        """Register, change or delete."""
        state = plan.before or {}
        if plan.action == "delete":
            self._client.write("DELETE", f"{model_registry.VERSIONS}/delete", {"name": self._name, "version": state["version"]})
        elif plan.action == "create":
            self._create(plan.after or {})
        else:
            self._update(plan, state, plan.after or {})

    def _create(self, state: State) -> None:
        source: str = state["source"]
        body = {"name": self._name, "source": source, "description": state["description"], "tags": model_registry.as_list(state["tags"])}
        if state["run_id"]:
            body["run_id"] = state["run_id"]
        if _logged(source):
            body["model_id"] = _logged(source)
        # Each request creates a version, so before a retry, check whether it succeeded.
        made = self._client.write("POST", f"{model_registry.VERSIONS}/create", body, idempotent=False)["model_version"]
        if made.get("status", "READY") != "READY":
            self._wait(made["version"])
        self._settle(str(made["version"]))
        if state["current_stage"] != "None":
            self._move(made["version"], state["current_stage"])
        model_registry.VersionWriter(self._client, self._name, made["version"]).alias([], state.get("aliases", []))

    def _settle(self, number: str) -> None:
        """Make sure that version ``number`` is not a duplicate of one that another client created at the same time.

        MLflow numbers versions sequentially, so the newer one always sees the older. It is deleted at once, before it has an alias, and its
        creator reads again. The older one waits for that; a newer one that remains was created on purpose.
        """
        index = self._surroundings.index
        for _look in range(_LOOKS):
            numbers = [str(entry["version"]) for entry in self._entries_alike()]
            if number in numbers[index + 1 :]:
                self._client.write("DELETE", f"{model_registry.VERSIONS}/delete", {"name": self._name, "version": number})
                raise Conflict(f"source: another client created a version of registered model {self._name!r} of the same source at the same time")
            if len(numbers) <= index + 1:
                return
            time.sleep(_PAUSE)

    def _update(self, plan: Plan, before: State, after: State) -> None:
        number: str = before["version"]
        writer = model_registry.VersionWriter(self._client, self._name, number)
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
        self._client.write("POST", f"{model_registry.VERSIONS}/transition-stage", {**body, "archive_existing_versions": archive})

    def _wait(self, number: str) -> None:
        """Wait until the version is ready, at most ``wait_timeout`` seconds; not at all with 0."""
        limit: int = self._params.get("wait_timeout") or 0
        started = time.monotonic()
        while limit:
            entry = self._client.get(f"{model_registry.VERSIONS}/get", name=self._name, version=number)["model_version"]
            status = entry.get("status", "READY")
            if status == "READY":
                return
            what = f"version {number} of registered model {self._name!r}"
            if status == "FAILED_REGISTRATION":
                reason = entry.get("status_message") or "the server gives no reason"
                raise ServerError(f"{what} could not be registered: {reason}; fix that, delete the version, and run again")
            if time.monotonic() - started >= limit:
                raise ServerError(f"wait_timeout: {what} is still {status} after {limit} seconds; run again to keep waiting, or raise wait_timeout")
            time.sleep(_POLL)

    def _read_number(self, number: str) -> State | None:
        answer = self._client.get_or_none(f"{model_registry.VERSIONS}/get", name=self._name, version=number)
        if answer is None:
            return None
        entry = answer["model_version"]
        _refuse_prompt(entry)
        return _state(entry, sorted(entry.get("aliases", [])))

    def _alike(self, model: Mapping[str, Any]) -> list[State]:
        """Return the versions with the same identity, oldest first."""
        aliases = model_registry.aliases_of(model)
        return [_state(entry, aliases.get(entry["version"], [])) for entry in self._entries_alike()]

    def _entries_alike(self) -> list[dict[str, Any]]:
        """The same as the server has them."""
        wanted = rules.identity(self._params)
        entries = model_registry.versions(self._client, [model_registry.equals("name", wanted[0]), model_registry.equals("source_path", wanted[1])])
        return [entry for entry in entries if rules.identity({"run_id": "", "source": "", **entry}) == wanted]


def _versions(client: RestClient, models: list[dict[str, Any]], name: str | None = None, condition: str | None = None) -> Iterator[State]:
    """The versions of ``models``: of the one named ``name`` alone if it is given, and of all otherwise, if they meet the filter ``condition``."""
    aliases = {model["name"]: model_registry.aliases_of(model) for model in models}
    clauses = ["" if name is None else model_registry.equals("name", name), condition or ""]
    for entry in model_registry.versions(client, clauses) if models else ():
        if name is None or entry["name"] == name:
            yield _state(entry, aliases.get(entry["name"], {}).get(entry["version"], []))


def _looked_up(client: RestClient, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``params`` with source and run resolved by the server for a model in a run, a logged model or another version.

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
    """Return where the model at ``path`` of the run is: in the run's own artifacts or, since MLflow 3, among the logged models."""
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
    body = {"experiment_ids": [run["info"]["experiment_id"]], "filter": model_registry.equals("name", name)}
    for entry in client.listed("/api/2.0/mlflow/logged-models/search", "models", "POST", **body):
        if entry["info"]["name"] == name:
            yield entry["info"]


def _run_of(client: RestClient, source: str) -> str:
    """Return the run of the logged model or version that ``source`` refers to; empty if it has none."""
    if _logged(source):
        client.require((3, 0, 0), "a logged model")
        answer = client.get_or_none(f"/api/2.0/mlflow/logged-models/{_logged(source)}")
        if answer is None:
            raise ServerError(f"model_id: the server has no logged model {_logged(source)!r}; give the ID of one of this server")
        return str(answer["model"]["info"].get("source_run_id", ""))
    name, number = source[len("models:/") :].split("/")
    answer = client.get_or_none(f"{model_registry.VERSIONS}/get", name=name, version=number)
    if answer is None:
        raise ServerError(f"source: {source!r} refers to a version that does not exist; give one of this server")
    return str(answer["model_version"].get("run_id", ""))


def _logged(source: str) -> str:
    """Return the ID of the logged model that ``source`` is, or an empty string."""
    scheme, _slash, rest = source.partition(":/")
    return rest if scheme == "models" and "/" not in rest else ""


def _model(client: RestClient, name: str) -> dict[str, Any] | None:
    answer = client.get_or_none(f"{model_registry.MODELS}/get", name=name)
    if answer is None:
        return None
    model: dict[str, Any] = answer["registered_model"]
    _refuse_prompt(model)
    return model


def _refuse_prompt(entry: Mapping[str, Any]) -> None:
    if model_registry.is_prompt(entry):
        raise ServerError(f"name: {entry['name']!r} is a prompt, not a registered model: they share one namespace; use mlflow_prompt")


def _state(entry: Mapping[str, Any], aliases: list[str]) -> State:
    return {
        "name": entry["name"],
        "version": entry["version"],
        "source": entry.get("source", ""),
        "run_id": entry.get("run_id", ""),
        # Unset and empty fields are left out of some answers.
        "description": entry.get("description", ""),
        "tags": model_registry.tags_of(entry),
        "aliases": aliases,
        "current_stage": entry.get("current_stage", "None"),
        "status": entry.get("status", "READY"),
        "status_message": entry.get("status_message", ""),
        "creation_timestamp": entry.get("creation_timestamp"),
        "last_updated_timestamp": entry.get("last_updated_timestamp"),
    }


MODEL_VERSION = Kind(
    "model_versions",
    rules,
    ModelVersion,
    module_options={"version": {"type": "str"}},
    selectors={"name": {"type": "str"}, "filter": {"type": "str"}},
    resolved=ModelVersion.resolved,
    listing=ModelVersion.listed,
    repeats=True,
    parent="registered_models",
    undeclared="created from files that only this server has; log or copy the models to the other server, and register them",
    portable=rules.portable,
    called=rules.called,
)
