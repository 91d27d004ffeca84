"""Runs of training code: a context manager and a decorator.

    with track("churn", params=config) as run:
        run.log_metrics({"loss": 0.3}, step=1)

    @track("churn", autolog=["sklearn"])
    def train() -> None: ...

The user's error ends the run as FAILED, with its traceback as an artifact, and goes on. MLflow's own errors are logged as warnings and training
goes on, unless ``strict`` is true: metrics wait in memory for the server to come back, anything else that it misses is gone. What MLflow refuses, a
metric's name for instance, takes nothing else with it: each name is warned of once, counted in `Run.refused`, and the method that was given it
returns False, as it does where MLflow is not there.
"""
from __future__ import annotations

import functools
import inspect
import logging
import os
import threading
import traceback
from collections.abc import Callable, Collection, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from . import _autolog
from ._origin_tags import COMMIT_TAG, context_tags, git_tags
from ._tracked_run import Run
from .client import Client, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["Run", "current_run", "track"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_log = logging.getLogger("mlflow_utils")
#: The tag by which a run is found again after a restart.
RESUME_TAG: Final = "mlflow_utils.resume"

_current: ContextVar[Run | None] = ContextVar("mlflow_utils_run", default=None)


def current_run() -> Run | None:
    """The innermost run that `track` has opened here."""
    return _current.get()


@dataclass(frozen=True)
class _Opened:
    """A run that `track` has opened, with what is to be put back at its end."""

    run: Run
    token: Token[Run | None]
    flavours: Collection[str]


class track:
    """Opens a run for a block or, as a decorator, for each call of a function, ``async`` ones too.

    ``experiment`` is made where there is none; None is the settings' one, or within another run that run's. Within another run of the same thread
    or task the run is nested. ``run_name`` defaults to the decorated function's name. ``params`` is a dataclass, a pydantic model or a mapping.
    ``tags`` are added to the commit, host, image and Argo or Kubeflow identifiers.
    ``autolog`` is true for scikit-learn, PyTorch (Lightning), XGBoost and LightGBM, those of them that are used, or names some; outside of
    tracked runs it is off. ``system_metrics`` samples CPU, memory, disk, network and GPU. ``resume`` is a key, the same after a restart, such as a
    workflow's uid with the step's name: the newest run of the experiment with that key goes on if it has not FINISHED. The variable MLFLOW_RUN_ID
    names a run to go on with too. ``strict`` lets MLflow's errors end the training. ``client`` is what `connect` gives where it is None, and is
    connected anew if another one has been since.

    MLflow has one stack of active runs a thread, so two blocks that overlap in one thread without one lying within the other, as two asyncio tasks
    may, are not for it: open those in threads of their own.

    A run that ends by an error is FAILED, by KeyboardInterrupt KILLED; ``traceback.txt`` is among its artifacts, and the error goes on.
    Raises `SettingsError`, and ValueError for a wrong ``autolog`` or ``resume``.
    """

    def __init__(  # noqa: PLR0913 - options, by name
        self,
        experiment: str | None = None,
        run_name: str | None = None,
        *,
        params: Any = None,
        tags: Mapping[str, Any] | None = None,
        autolog: bool | Collection[str] = True,
        system_metrics: bool = False,
        resume: str | None = None,
        strict: bool = False,
        client: Client | None = None,
    ) -> None:
        self._options: dict[str, Any] = {
            "experiment": experiment,
            "run_name": run_name,
            "params": params,
            "tags": tags,
            "autolog": autolog,
            "system_metrics": system_metrics,
            "resume": resume,
            "strict": strict,
            "client": client,
        }
        if resume is not None and "'" in resume and '"' in resume:
            raise ValueError(f"resume is {resume!r}; MLflow cannot search for a text with both kinds of quotes, so leave one out")
        self._flavours = _autolog.chosen(autolog)
        self._here = threading.local()

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Decorate ``function``. Raises TypeError for a generator, whose work is done after the call, in the thread and run of whoever asks it."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            name = function.__qualname__
            raise TypeError(f"@track is on {name}, a generator, whose work is not done when the call returns; put it on the function that uses it")
        options = {**self._options, "run_name": self._options["run_name"] or function.__name__}
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def tracked_async(*args: _P.args, **kwargs: _P.kwargs) -> Any:
                with track(**options):
                    return await function(*args, **kwargs)

            return tracked_async  # type: ignore[return-value] # a coroutine function for a coroutine function

        @functools.wraps(function)
        def tracked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with track(**options):
                found = function(*args, **kwargs)
                if inspect.isgenerator(found) or inspect.isasyncgen(found) or inspect.isawaitable(found):
                    _log.warning("%s returns a %s, whose work is not in its run", function.__qualname__, type(found).__name__)
                return found

        return tracked

    def _opened(self) -> list[_Opened]:
        """What this thread has opened, the innermost last."""
        found: list[_Opened] = self._here.__dict__.setdefault("opened", [])
        return found

    def __enter__(self) -> Run:
        options = self._options
        outer = _current.get()
        client = options["client"] or (outer.client if outer else connect())
        run = Run(client, strict=options["strict"])
        tags: dict[str, str] = {}
        try:
            tags = self._start(run, outer)
        except Exception as error:
            if run.strict:
                raise
            _log.warning("MLflow could not start a run, and the program goes on without one: %s", error)
        flavours = self._flavours if run.id is not None else []
        self._opened().append(_Opened(run, _current.set(run), flavours))
        _autolog.enable(flavours)
        if run.id is not None:
            try:
                run.set_tags(tags)
                if options["params"] is not None:
                    run.log_params(options["params"])
            except BaseException as error:
                self.__exit__(type(error), error, error.__traceback__)
                raise
        return run

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        opened = self._opened().pop()
        run = opened.run
        try:
            _current.reset(opened.token)
        except ValueError:
            _current.set(None)  # it was opened in another context, as in an asynchronous generator that is thrown away
        _autolog.disable(opened.flavours)
        if run.id is None:
            return
        if error is None or (isinstance(error, SystemExit) and error.code in {None, 0}):
            run.finish("FINISHED")
            return
        run.strict = False  # the user's error is the one to see
        text = "".join(traceback.format_exception(kind, error, trace))
        run.attempt("upload traceback.txt", lambda id: run.mlflow.log_text(id, text, "traceback.txt"), urgent=True)
        run.finish("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")

    def _start(self, run: Run, outer: Run | None) -> dict[str, str]:
        """Open the run on the server and make it MLflow's active one; gives the tags that are still to be set. Raises MLflow's errors.

        They are set afterwards, so that one that MLflow refuses does not cost the run.
        """
        import mlflow  # noqa: PLC0415 - costs two seconds

        options = self._options
        if mlflow.get_tracking_uri() != run.client.settings.tracking_uri:
            connect(run.client.settings)  # the active run and autologging follow the process-wide state
        experiment_id = self._experiment_id(run, outer)
        key = options["resume"]
        known = _unfinished(run.mlflow, experiment_id, key) if key else None
        asked = _asked_for()
        tags = {**context_tags(), **{name: str(value) for name, value in (options["tags"] or {}).items()}}
        if COMMIT_TAG not in tags:
            tags.update(git_tags())
        active = mlflow.start_run(
            run_id=known,
            experiment_id=experiment_id,
            run_name=None if known else options["run_name"],
            nested=mlflow.active_run() is not None,
            tags={RESUME_TAG: key} if key else None,
            log_system_metrics=options["system_metrics"] or None,
        )
        run.id = active.info.run_id
        run._artifact_uri = str(active.info.artifact_uri)
        run.resumed = known is not None or asked == run.id
        return tags

    def _experiment_id(self, run: Run, outer: Run | None) -> str:
        name = self._options["experiment"]
        if name is None and outer is not None and outer.id is not None:
            return str(run.mlflow.get_run(outer.id).info.experiment_id)
        name = name or run.client.settings.experiment
        found = run.mlflow.get_experiment_by_name(name)
        if found is None:
            try:
                return str(run.mlflow.create_experiment(name))
            except Exception:
                found = run.mlflow.get_experiment_by_name(name)  # another process may have been quicker
                if found is None:
                    raise
        return str(found.experiment_id)


def _asked_for() -> str | None:
    """The run that MLFLOW_RUN_ID names, which ``mlflow.start_run`` goes on with, removing the variable."""
    return os.environ.get("MLFLOW_RUN_ID")


def _unfinished(client: MlflowClient, experiment_id: str, key: str) -> str | None:
    """The newest run with the key that has not finished."""
    quote = '"' if "'" in key else "'"  # MLflow's search knows both, and no escape
    found = client.search_runs([experiment_id], f"tags.`{RESUME_TAG}` = {quote}{key}{quote}", max_results=1, order_by=["attributes.start_time DESC"])
    return str(found[0].info.run_id) if found and found[0].info.status != "FINISHED" else None
