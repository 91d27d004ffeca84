"""Reading registered models, and the versions that references name."""
from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ._alias_or_stage import STAGES, stage_of
from ._reading import NotFound, found, name_is, or_none, paged
from ._selection import present

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

    from .client import Client

PAGE = 1000  # the most that registered-models/search gives at once
Made = TypeVar("Made")


class RegistryError(Exception):
    """The registry cannot do what was asked. The message is one sentence that names the argument, the value and the remedy."""


class Versions:
    """The registered models and versions of one MLflow server."""

    def __init__(self, client: Client) -> None:
        self._mlflow = client.mlflow

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

        def page(token: str | None) -> Any:
            return self._mlflow.search_model_versions(name_is(name), max_results=PAGE, order_by=["version_number DESC"], page_token=token)

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
        model_id = model_id_of(version.source)
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


def model_id_of(uri: str | None) -> str | None:
    """The id in ``models:/m-…``, None for any other URI."""
    match = re.fullmatch(r"models:/+(m-[^/@]+)", uri or "")
    return match[1] if match else None


def checked(make: Callable[[], Made]) -> Made:
    """What ``make`` gives; a ValueError of the pure code becomes a RegistryError."""
    try:
        return make()
    except ValueError as error:
        raise RegistryError(str(error)) from error
