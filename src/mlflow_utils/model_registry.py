"""Registering model versions, promoting the better one, rolling back, and handing a version to KServe.

    registry = ModelRegistry(connect())
    version = registry.register(f"runs:/{run_id}/model", "banking-risk-classifier")
    done = registry.promote(version.name, version.version, metric="f1_score")
    print(done.reason)      # f1_score is 0.91, the champion has 0.9: better by 0.01

A *reference* names a version: its number (``7`` or ``"7"``), ``"@alias"``, a stage (``"Production"``: the newest version in it), or ``"latest"``.

What MLflow's API does not give: it has no compare-and-set, so of two clients that promote at the same moment the later one wins, and the history may
miss one step. Each promotion reads the place back afterwards and raises ``Conflict`` where another client has been there in between.
"""
from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from . import _history, _kserve
from ._kserve import KServeMetadata, sdk_object
from ._lookup import NotFound, found, or_none, paged
from ._place import CHAMPION, STAGES, Place, place_of, stage_of
from ._selection import Direction, MetricCheck, check_improvement, checked_direction, present

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

    from .client import Client

__all__ = ["Conflict", "KServeMetadata", "MetricCheck", "ModelRegistry", "NotFound", "Promotion", "RegistryError", "Rollback", "sdk_object"]

PAGE = 1000  # the most that registered-models/search gives at once
Made = TypeVar("Made")


class RegistryError(Exception):
    """The registry cannot do what was asked. The message is one sentence that names the argument, the value and the remedy."""


class Conflict(RegistryError):
    """Another client changed the same alias or stage at the same moment."""


@dataclass(frozen=True)
class Promotion:
    """What ``promote`` did: ``place`` is ``alias champion`` or ``stage Production``, ``previous`` the version that held it before, if any.

    ``promoted`` is False where the version was not good enough, or held the place already. ``check`` is the comparison, None without a metric.
    """

    name: str
    version: str
    place: str
    previous: str | None
    promoted: bool
    reason: str
    check: MetricCheck | None = None


@dataclass(frozen=True)
class Rollback:
    """What ``rollback`` did: ``version`` holds the place now, ``replaced`` held it before (None where nothing did)."""

    name: str
    version: str
    place: str
    replaced: str | None


class ModelRegistry:
    """The registry of one MLflow server.

    Errors of the server and of the way to it come as ``mlflow.exceptions.MlflowException``; what the methods find wrong themselves as
    ``RegistryError``, and what is not there as ``NotFound``.
    """

    def __init__(self, client: Client) -> None:
        self._mlflow = client.mlflow

    # Reading

    def models(self) -> list[RegisteredModel]:
        """Every registered model, by name, prompts left out."""

        def page(token: str | None) -> Any:
            return self._mlflow.search_registered_models(max_results=PAGE, order_by=["name ASC"], page_token=token)

        return list(paged(page))

    def model(self, name: str) -> RegisteredModel:
        """The registered model; raises NotFound."""
        return found(lambda: self._mlflow.get_registered_model(name), f"there is no registered model {name!r}; register a version of it first")

    def versions(self, name: str) -> list[ModelVersion]:
        """The versions of a model, newest first; raises NotFound where there is no such model."""
        self.model(name)
        # MLflow's search has no way to write a quote, so a name that has one is searched with a wildcard in its place.
        condition = f"name = '{name}'" if "'" not in name else "name LIKE '" + re.sub(r"['\\]", "_", name) + "'"

        def page(token: str | None) -> Any:
            return self._mlflow.search_model_versions(condition, max_results=PAGE, order_by=["version_number DESC"], page_token=token)

        return [version for version in paged(page) if version.name == name]

    def version(self, name: str, reference: str | int) -> ModelVersion:
        """The version that ``reference`` names; raises NotFound, and RegistryError where it is no reference."""
        text = str(reference)
        if text.isascii() and text.isdigit():
            return found(lambda: self._mlflow.get_model_version(name, text), f"the model {name!r} has no version {text}")
        if text.startswith("@"):
            held = self.model(name).aliases.get(text[1:])
            if held is None:
                raise NotFound(f"no version of the model {name!r} has the alias {text[1:]!r}; promote one to it first")
            return self.version(name, held)
        if text == "latest":
            return self._newest(name, lambda version: True, f"the model {name!r} has no version")
        if text.capitalize() not in STAGES:
            raise RegistryError(f"{text!r} names no version; write a number, '@alias', 'latest' or a stage ({', '.join(STAGES)})")
        stage = stage_of(text)
        return self._newest(name, lambda version: bool(version.current_stage == stage), f"no version of the model {name!r} is in the stage {stage}")

    def _newest(self, name: str, wanted: Callable[[ModelVersion], bool], missing: str) -> ModelVersion:
        for version in self.versions(name):
            if wanted(version):
                return version
        raise NotFound(missing)

    def metric(self, version: ModelVersion, metric: str) -> float | None:
        """The latest value of ``metric`` for a version, None where there is none or it is NaN.

        The logged model's own value counts before the run's, which another model of the same run may have set last. MLflow 3.17 gives a logged
        model's NaN as 0.0 (seen on 3.17.2), so a 0.0 is looked up in the run's history, which keeps NaN.
        """
        model_id = _model_id(version.source)
        own = self._logged_metric(model_id, metric) if model_id else None
        if own is not None:
            return own.value if own.value != 0.0 or not self._was_nan(own) else None
        run = self._run_of(version)
        value = run.data.metrics.get(metric) if run else None
        return value if present(value) else None

    def _logged_metric(self, model_id: str, metric: str) -> Any:
        logged = or_none(lambda: self._mlflow.get_logged_model(model_id))
        values = [entry for entry in (logged.metrics or [] if logged else []) if entry.key == metric]
        return max(values, key=lambda entry: (entry.step, entry.timestamp), default=None)

    def _was_nan(self, entry: Any) -> bool:
        history = or_none(lambda: self._mlflow.get_metric_history(entry.run_id, entry.key)) or []
        return any(not present(past.value) and (past.step, past.timestamp) == (entry.step, entry.timestamp) for past in history)

    def _run_of(self, version: ModelVersion) -> Run | None:
        run_id = version.run_id
        return or_none(lambda: self._mlflow.get_run(run_id)) if run_id else None

    # Registering

    def register(
        self,
        model_uri: str,
        name: str,
        *,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        kserve: KServeMetadata | None = None,
        alias: str | None = None,
    ) -> ModelVersion:
        """Register a new version of ``name``, which is made where it does not exist.

        ``model_uri`` is ``runs:/<run id>/<name of the logged model>``, ``models:/<model id>``, ``models:/<name>/<version>`` (a copy, from one
        registered model to another), or where the artifacts lie (``s3://…``). MLflow makes a new version at each call. Raises NotFound where the
        run has no such model.
        """
        all_tags = {**(tags or {}), **(kserve.to_tags() if kserve else {})}
        source, run_id, model_id = self._source(model_uri)
        self._ensure_model(name)
        version = self._mlflow.create_model_version(name, source, run_id, tags=all_tags, description=description, model_id=model_id)
        if alias is not None:
            self.promote(name, version.version, alias=alias)
        return self.version(name, version.version)

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - costs two seconds

        try:
            self._mlflow.create_registered_model(name)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
                raise

    def _source(self, model_uri: str) -> tuple[str, str | None, str | None]:
        """Where the artifacts of ``model_uri`` are, by which run, and the id of the logged model."""
        run_uri = re.fullmatch(r"runs:/+([^/]+)/(.+?)/*", model_uri)
        if run_uri:
            return self._source_of_run(run_uri[1], run_uri[2])
        model_id = _model_id(model_uri)
        if model_id:
            logged = found(lambda: self._mlflow.get_logged_model(model_id), f"model_uri is {model_uri!r}, and there is no such logged model")
            return model_uri, logged.source_run_id, model_id
        registered = re.fullmatch(r"models:/+([^/@]+)(?:/([^/@]+)|(@[^/]+))", model_uri)
        if registered:
            original = self.version(registered[1], registered[2] or registered[3])
            return str(original.source), original.run_id or None, _model_id(original.source)
        if model_uri.startswith(("runs:", "models:")):
            raise RegistryError(f"model_uri is {model_uri!r}; write runs:/<run id>/<model>, models:/<model id> or models:/<name>/<version>")
        return model_uri, None, None

    def _source_of_run(self, run_id: str, path: str) -> tuple[str, str, str | None]:
        run = found(lambda: self._mlflow.get_run(run_id), f"model_uri names the run {run_id!r}, which does not exist")
        outputs = sorted(run.outputs.model_outputs if run.outputs else [], key=lambda output: -output.step)
        models = {output.model_id: self._mlflow.get_logged_model(output.model_id).name for output in outputs}
        for model_id, name in models.items():
            if name == path:
                return f"models:/{model_id}", run_id, model_id
        if any(file.path == f"{path}/MLmodel" for file in self._mlflow.list_artifacts(run_id, path)):
            return f"{run.info.artifact_uri}/{path}", run_id, None
        known = ", ".join(sorted({repr(name) for name in models.values()})) or "none"
        raise NotFound(f"the run {run_id!r} has no model {path!r}; the models that it logged: {known}")

    # Promoting and rolling back

    def promote(
        self,
        name: str,
        version: str | int,
        *,
        alias: str | None = None,
        stage: str | None = None,
        metric: str | None = None,
        direction: Direction = "max",
        min_improvement: float = 0.0,
    ) -> Promotion:
        """Give ``alias`` (``champion`` where neither is said) or ``stage`` to a version, if it is better than the one that holds it.

        With ``metric`` the version must beat the holder in it by ``min_improvement`` (in the metric's unit; ``direction`` says which way is
        better); without one it is promoted whatever the figures. A candidate or a holder without the metric means no promotion: promote without
        ``metric`` to settle it by hand. A stage is given to one version at a time: those that held it are archived in the same request.

        Raises NotFound for a version that is not there, Conflict where another client was quicker, RegistryError for a wrong argument.
        """
        place = _checked(lambda: place_of(alias, stage))
        _checked(lambda: checked_direction(direction))
        if min_improvement < 0:
            raise RegistryError(f"min_improvement is {min_improvement}; it must be 0 or more, in the metric's unit")
        candidate = self.version(name, version)
        holder = self._holder(name, place)
        current = holder.version if holder else None
        check = None
        if metric is not None and current != candidate.version:
            check = self._compare(candidate, holder, metric, direction, min_improvement)
            if not check.passed:
                return Promotion(name, candidate.version, str(place), current, False, check.reason, check)
        if current == candidate.version:
            return Promotion(name, candidate.version, str(place), current, False, f"version {current} holds {place} already")
        self._write(name, place, _history.promotion(self._past(name, place), current, candidate.version))
        return Promotion(name, candidate.version, str(place), current, True, check.reason if check else "no metric was asked for", check)

    def compare(
        self,
        name: str,
        version: str | int,
        *,
        metric: str,
        alias: str | None = None,
        stage: str | None = None,
        direction: Direction = "max",
        min_improvement: float = 0.0,
    ) -> MetricCheck:
        """What ``promote`` with the same arguments would base its decision on; nothing is written. Raises as ``promote``."""
        place = _checked(lambda: place_of(alias, stage))
        _checked(lambda: checked_direction(direction))
        return self._compare(self.version(name, version), self._holder(name, place), metric, direction, min_improvement)

    def _compare(
        self, candidate: ModelVersion, holder: ModelVersion | None, metric: str, direction: Direction, min_improvement: float
    ) -> MetricCheck:
        champion = self.metric(holder, metric) if holder else None
        return check_improvement(
            metric, self.metric(candidate, metric), champion, has_champion=holder is not None, direction=direction, min_improvement=min_improvement
        )

    def rollback(self, name: str, *, alias: str | None = None, stage: str | None = None) -> Rollback:
        """Give the alias or the stage back to the version that held it before; again, to the one before that (50 steps are kept).

        Versions that have been deleted since are passed over. Only what ``promote`` of this package did is known. Raises NotFound where no earlier
        version is known, Conflict where another client was quicker.
        """
        place = _checked(lambda: place_of(alias, stage))
        holder = self._holder(name, place)
        current = holder.version if holder else None
        existing = {version.version for version in self.versions(name)}
        writes = _history.rollback(self._past(name, place), current, existing)
        target = next((write.holder for write in writes if write.holder is not None), None)
        if target is None:
            raise NotFound(f"no earlier version of the model {name!r} is known to have held the {place}; promote the version that you want")
        self._write(name, place, writes)
        return Rollback(name, target, str(place), current)

    def history(self, name: str, *, alias: str | None = None, stage: str | None = None) -> list[str]:
        """The versions that held the alias or the stage before the one that does now, oldest first."""
        place = _checked(lambda: place_of(alias, stage))
        holder = self._holder(name, place)
        return _history.trimmed(self._past(name, place), holder.version if holder else None)

    def _past(self, name: str, place: Place) -> list[str]:
        return _history.parse(self.model(name).tags.get(place.history_tag))

    def _holder(self, name: str, place: Place) -> ModelVersion | None:
        if place.kind == "alias":
            held = self.model(name).aliases.get(place.name)
            return self.version(name, held) if held is not None else None
        return next((version for version in self.versions(name) if version.current_stage == place.name), None)

    def _write(self, name: str, place: Place, writes: Iterable[_history.Write]) -> None:
        for write in writes:
            if write.holder is not None:
                self._give(name, place, write.holder)
            else:
                self._mlflow.set_registered_model_tag(name, place.history_tag, _history.render(write.history))

    def _give(self, name: str, place: Place, version: str) -> None:
        if place.kind == "alias":
            self._mlflow.set_registered_model_alias(name, place.name, version)
        else:
            with warnings.catch_warnings():  # who asks for a stage knows that aliases are newer
                warnings.simplefilter("ignore", FutureWarning)
                self._mlflow.transition_model_version_stage(name, version, place.name, archive_existing_versions=place.is_active_stage)
        holder = self._holder(name, place)
        if holder is None or holder.version != version:
            now = f"version {holder.version} has it" if holder else "no version has it"
            raise Conflict(f"version {version} of the model {name!r} got the {place}, and another client changed that at once: {now}; try again")

    # KServe

    def set_kserve(self, name: str, version: str | int, metadata: KServeMetadata) -> None:
        """Write the metadata as tags ``kserve.*`` of the version, in place of those that are there. Raises NotFound."""
        target = self.version(name, version)
        tags = metadata.to_tags()
        for key, value in tags.items():
            if target.tags.get(key) != value:
                self._mlflow.set_model_version_tag(name, target.version, key, value)
        for key in target.tags:
            if key.startswith(_kserve.PREFIX) and key not in tags:
                self._mlflow.delete_model_version_tag(name, target.version, key)

    def kserve(self, name: str, version: str | int) -> KServeMetadata:
        """The metadata that the version carries, with defaults for the rest. Raises NotFound; RegistryError where a tag cannot be right."""
        tags = self.version(name, version).tags
        return _checked(lambda: KServeMetadata.from_tags(tags))

    def inference_service(
        self,
        name: str,
        version: str | int = f"@{CHAMPION}",
        *,
        artifact_root: str | None = None,
        service_name: str | None = None,
        namespace: str | None = None,
        service_account: str | None = None,
    ) -> dict[str, Any]:
        """The manifest of a KServe InferenceService for a version, as a dictionary.

        ``yaml.safe_dump`` or ``json.dumps`` writes it, and ``sdk_object`` makes the KServe SDK's object of it.
        ``artifact_root`` is the server's ``--artifacts-destination`` (``s3://bucket/path``), or the same place as KServe reaches it
        (``pvc://claim/path``); it is needed where the artifacts are proxied and the metadata has no ``storage_uri``. The annotations
        say which model, version and run it was. Raises NotFound, and RegistryError where KServe could not read it.
        """
        target = self.version(name, version)
        metadata = self.kserve(name, target.version)
        uri = metadata.storage_uri or self._mlflow.get_model_version_download_uri(name, target.version)
        origin = {"mlflow-utils/model": name, "mlflow-utils/version": str(target.version), "mlflow-utils/run-id": target.run_id or None}
        return _checked(
            lambda: _kserve.manifest(
                metadata,
                storage_uri=_kserve.behind_proxy(uri, artifact_root),
                name=service_name or _kserve.service_name(name),
                namespace=namespace,
                service_account=service_account,
                annotations={key: value for key, value in origin.items() if value is not None},
            )
        )


def _model_id(uri: str | None) -> str | None:
    """The id in ``models:/m-…``, None for any other URI."""
    match = re.fullmatch(r"models:/+(m-[^/@]+)", uri or "")
    return match[1] if match else None


def _checked(make: Callable[[], Made]) -> Made:
    """What ``make`` gives; a ValueError of the pure code becomes a RegistryError."""
    try:
        return make()
    except ValueError as error:
        raise RegistryError(str(error)) from error
