"""Registering model versions, promoting the better one, rolling back, and handing a version to KServe.

    registry = ModelRegistry(connect())
    version = registry.register(f"runs:/{run_id}/model", "banking-risk-classifier")
    done = registry.promote(version.name, version.version, metric="f1_score")
    print(done.reason)      # f1_score is 0.91, the champion has 0.9: better by 0.01

A *reference* names a version: its number (``7`` or ``"7"``), ``"@alias"``, a stage (``"Production"``: the newest version in it), or ``"latest"``.

Of two clients that promote at the same moment the later one wins, or ``Conflict`` is raised; a promotion by a metric keeps the better one. How, and
what is left open, is told in ``_promotion``.
"""
from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from . import _history, _kserve
from ._alias_or_stage import CHAMPION, place_of
from ._kserve import KServeMetadata, sdk_object
from ._promotion import Conflict, Places, Promotion
from ._reading import NotFound, found
from ._selection import Direction, MetricCheck, check_improvement, checked_direction
from ._versions import RegistryError, checked, model_id_of

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

__all__ = ["Conflict", "KServeMetadata", "MetricCheck", "ModelRegistry", "NotFound", "Promotion", "RegistryError", "Rollback", "sdk_object"]


@dataclass(frozen=True)
class Rollback:
    """What ``rollback`` did: ``version`` holds the place now, ``replaced`` held it before (None where nothing did)."""

    name: str
    version: str
    place: str
    replaced: str | None


class ModelRegistry(Places):
    """The registry of one MLflow server.

    Errors of the server and of the way to it come as ``mlflow.exceptions.MlflowException``; what the methods find wrong themselves as
    ``RegistryError``, and what is not there as ``NotFound``.
    """

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
        model_id = model_id_of(model_uri)
        if model_id:
            logged = found(lambda: self._mlflow.get_logged_model(model_id), f"model_uri is {model_uri!r}, and there is no such logged model")
            return model_uri, logged.source_run_id, model_id
        registered = _version_uri(model_uri)
        if registered:
            original = self.version(*registered)
            return str(original.source), original.run_id or None, model_id_of(original.source)
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
        place = checked(lambda: place_of(alias, stage))
        checked(lambda: checked_direction(direction))
        if min_improvement < 0:
            raise RegistryError(f"min_improvement is {min_improvement}; it must be 0 or more, in the metric's unit")
        candidate = self.version(name, version)
        if metric is not None:
            return self._promote_if_better(
                candidate, place, lambda candidate, holder: self._compare(candidate, holder, metric, direction, min_improvement)
            )
        holder = self._holder(name, place)
        current = holder.version if holder else None
        if current == candidate.version:
            return Promotion(name, candidate.version, str(place), current, False, f"version {current} holds {place} already")
        self._write(name, place, _history.promotion(self._past(name, place), current, candidate.version))
        return Promotion(name, candidate.version, str(place), current, True, "no metric was asked for")

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
        place = checked(lambda: place_of(alias, stage))
        checked(lambda: checked_direction(direction))
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
        place = checked(lambda: place_of(alias, stage))
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
        place = checked(lambda: place_of(alias, stage))
        holder = self._holder(name, place)
        return _history.trimmed(self._past(name, place), holder.version if holder else None)

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
        return checked(lambda: KServeMetadata.from_tags(tags))

    def serving_advice(self, name: str, version: str | int = f"@{CHAMPION}") -> list[str]:
        """What keeps KServe from serving a version with its runtime for MLflow, a sentence each with the remedy; reads the model's file MLmodel.

        Nothing where another model format or a runtime of one's own is set. Raises NotFound.
        """
        import mlflow  # noqa: PLC0415 - costs two seconds
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above

        name, version = _version_uri(name) or (name, version)
        target = self.version(name, version)
        metadata = self.kserve(name, target.version)
        if metadata.model_format != "mlflow" or metadata.runtime is not None:
            return []
        uri = self._mlflow.get_model_version_download_uri(name, target.version)
        try:
            with tempfile.TemporaryDirectory() as folder:
                file = mlflow.artifacts.download_artifacts(f"{uri}/MLmodel", dst_path=folder, tracking_uri=self._mlflow.tracking_uri)
                return _kserve.serving_advice(yaml.safe_load(_text_of(file)))
        except (MlflowException, OSError, ImportError, ValueError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())[:200]
            return [f"the file MLmodel of version {target.version} at {uri} cannot be read, so whether KServe can serve it is not known: {reason}"]

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

        ``name`` may be MLflow's URI of the version, ``models:/name@alias``, in place of both.
        ``yaml.safe_dump`` or ``json.dumps`` writes it, and ``sdk_object`` makes the KServe SDK's object of it.
        ``artifact_root`` is the server's ``--artifacts-destination`` (``s3://bucket/path``), or the same place as KServe reaches it
        (``pvc://claim/path``); it is needed where the artifacts are proxied and the metadata has no ``storage_uri``. The annotations
        say which model, version and run it was. Raises NotFound, and RegistryError where KServe could not read it.
        """
        name, version = _version_uri(name) or (name, version)
        target = self.version(name, version)
        metadata = self.kserve(name, target.version)
        uri = metadata.storage_uri or self._mlflow.get_model_version_download_uri(name, target.version)
        origin = {"mlflow-utils/model": name, "mlflow-utils/version": str(target.version), "mlflow-utils/run-id": target.run_id or None}
        return checked(
            lambda: _kserve.manifest(
                metadata,
                storage_uri=_kserve.behind_proxy(uri, artifact_root),
                name=service_name or _kserve.service_name(name),
                namespace=namespace,
                service_account=service_account,
                annotations={key: value for key, value in origin.items() if value is not None},
            )
        )


def _version_uri(uri: str) -> tuple[str, str] | None:
    """The model and the reference of the version that MLflow's URI names; None where it is none of a version.

    >>> _version_uri("models:/risk@champion"), _version_uri("models:/risk/7"), _version_uri("risk")
    (('risk', '@champion'), ('risk', '7'), None)
    """
    parts = re.fullmatch(r"models:/+([^/@]+)(?:/([^/@]+)|(@[^/]+))", uri)
    return (parts[1], parts[2] or parts[3]) if parts else None


def _text_of(file: str) -> str:
    return Path(file).read_text(encoding="utf-8")
