"""Runs of training code: a context manager and a decorator.

    with track("churn", params=config) as run:
        run.log_metrics({"loss": 0.3}, step=1)

    @track("churn", autolog=["sklearn"])
    def train() -> None: ...

The user's error ends the run as FAILED, with its traceback as an artifact, and goes on. MLflow's own errors are logged as warnings and training
goes on, unless ``strict`` is true: metrics wait in memory for the server to come back, anything else that it misses is gone.
"""
from __future__ import annotations

import functools
import inspect
import logging
import os
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from contextvars import ContextVar, Token
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from . import _autolog
from ._context import COMMIT_TAG, context_tags, git_tags
from ._params import flatten
from .client import Client, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_P = ParamSpec("_P")
_R = TypeVar("_R")
_log = logging.getLogger("mlflow_utils")
#: The tag by which a run is found again after a restart.
RESUME_TAG: Final = "mlflow_utils.resume"
#: After a failure of MLflow nothing is sent for so many seconds, so that a server that is down does not slow each step of the training down.
REST: Final = 60.0
#: What one log-batch request may hold (mlflow/utils/validation.py).
MAX_METRICS: Final = 1000
MAX_PAIRS: Final = 100
MAX_WAITING: Final = 100_000

_current: ContextVar[Run | None] = ContextVar("mlflow_utils_run", default=None)


def current_run() -> Run | None:
    """The innermost run that `track` has opened here."""
    return _current.get()


class Run:
    """A run that `track` has opened. Its methods raise MLflow's errors only where the run is strict."""

    def __init__(self, client: Client, *, strict: bool) -> None:
        self.client = client
        self.strict = strict
        #: The run's id; None where MLflow was not there when it began, in which case every method does nothing.
        self.id: str | None = None
        #: Whether it goes on with a run that was there before.
        self.resumed = False
        self._waiting: list[Metric] = []
        self._dropped = 0
        self._rest_until = 0.0

    @property
    def mlflow(self) -> MlflowClient:
        """MLflow's own client."""
        return self.client.mlflow

    def log_params(self, source: Any) -> None:
        """Log the fields of a dataclass, a pydantic model or a mapping, nested ones with dots. Raises TypeError for anything else."""
        from mlflow.entities import Param  # noqa: PLC0415 - costs two seconds

        pairs = [Param(key, value) for key, value in flatten(source).items()]
        for start in range(0, len(pairs), MAX_PAIRS):
            self.attempt("log parameters", lambda id, part=pairs[start : start + MAX_PAIRS]: self.mlflow.log_batch(id, params=part))  # type: ignore[misc]

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag  # noqa: PLC0415 - costs two seconds

        pairs = [RunTag(key, str(value)) for key, value in tags.items()]
        for start in range(0, len(pairs), MAX_PAIRS):
            self.attempt("set tags", lambda id, part=pairs[start : start + MAX_PAIRS]: self.mlflow.log_batch(id, tags=part))  # type: ignore[misc]

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log metrics at the current time. Where MLflow is not there they wait, at most `MAX_WAITING`, and are sent with the next ones."""
        from mlflow.entities import Metric  # noqa: PLC0415 - costs two seconds

        now = int(time.time() * 1000)
        self._waiting += [Metric(key, float(value), now, step) for key, value in metrics.items()]
        if len(self._waiting) > MAX_WAITING:
            self._dropped += len(self._waiting) - MAX_WAITING
            del self._waiting[:-MAX_WAITING]
        self._send()

    def log_metric(self, key: str, value: float, step: int = 0) -> None:
        """Log one metric, as `log_metrics`."""
        self.log_metrics({key: value}, step)

    def log_artifact(self, path: Path | str, folder: str | None = None) -> None:
        """Upload a file or a folder into ``folder`` of the run's artifacts."""
        upload = self.mlflow.log_artifacts if Path(path).is_dir() else self.mlflow.log_artifact
        self.attempt(f"upload {path}", lambda id: upload(id, str(path), folder))

    def log_text(self, text: str, name: str) -> None:
        """Store ``text`` as the artifact ``name``."""
        self.attempt(f"upload {name}", lambda id: self.mlflow.log_text(id, text, name))

    def log_dict(self, content: Any, name: str) -> None:
        """Store ``content`` as the artifact ``name``, JSON or YAML by its suffix."""
        self.attempt(f"upload {name}", lambda id: self.mlflow.log_dict(id, content, name))

    def last(self, key: str) -> tuple[int, float] | None:
        """The greatest step of a metric and its value, for a resumed run to go on from; None without one."""
        found: list[tuple[int, float]] = []
        self.attempt(f"read {key}", lambda id: found.extend((metric.step, metric.value) for metric in self.mlflow.get_metric_history(id, key)))
        return max(found, default=None)

    def attempt(self, what: str, call: Callable[[str], object], *, urgent: bool = False) -> bool:
        """Call ``call`` with the run's id; True if it went well.

        Where MLflow fails, a strict run raises; another warns, and skips what follows for `REST` seconds, except what is ``urgent``.
        """
        if self.id is None or (not urgent and time.monotonic() < self._rest_until):
            return False
        try:
            call(self.id)
        except Exception as error:
            if self.strict:
                raise
            if _is_outage(error):
                self._rest_until = time.monotonic() + REST
            _log.warning("MLflow could not %s in run %s, and the program goes on: %s", what, self.id, error)
            return False
        self._rest_until = 0.0
        return True

    def finish(self, status: str) -> None:
        """Send what waits and end the run. For `track`."""
        self._send(urgent=True)
        if self._waiting or self._dropped:
            _log.warning("%d metrics of run %s did not reach MLflow", len(self._waiting) + self._dropped, self.id)
        self.attempt("end the run", lambda id: _end(self.mlflow, id, status), urgent=True)

    def _send(self, *, urgent: bool = False) -> None:
        while self._waiting:
            part = self._waiting[:MAX_METRICS]
            if not self.attempt("log metrics", lambda id, part=part: self.mlflow.log_batch(id, metrics=part), urgent=urgent):  # type: ignore[misc]
                if time.monotonic() >= self._rest_until and self.id is not None:
                    del self._waiting[: len(part)]  # MLflow refuses them, and would again
                    self._dropped += len(part)
                return
            del self._waiting[: len(part)]


def _is_outage(error: Exception) -> bool:
    """Whether MLflow is out of reach, rather than against this one request."""
    code = getattr(error, "error_code", None)
    return code is None or code in {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"}


def _end(client: MlflowClient, run_id: str, status: str) -> None:
    """End the run, as MLflow's active one if the program has left it so."""
    import mlflow  # noqa: PLC0415 - costs two seconds

    active = mlflow.active_run()
    if active is not None and active.info.run_id == run_id:
        mlflow.end_run(status)
    else:
        client.set_terminated(run_id, status)


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
        self._switched: list[str] = []
        self._run: Run | None = None
        self._token: Token[Run | None] | None = None
        self._outer: Run | None = None

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Decorate ``function``."""
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
                return function(*args, **kwargs)

        return tracked

    def __enter__(self) -> Run:
        options = self._options
        self._outer = _current.get()
        client = options["client"] or (self._outer.client if self._outer else connect())
        run = Run(client, strict=options["strict"])
        try:
            self._start(run)
        except Exception as error:
            if run.strict:
                raise
            _log.warning("MLflow could not start a run, and the program goes on without one: %s", error)
        self._run, self._token = run, _current.set(run)
        if run.id is not None:
            self._switched = _autolog.enable(self._flavours)
            try:
                if options["params"] is not None:
                    run.log_params(options["params"])
            except BaseException as error:
                self.__exit__(type(error), error, error.__traceback__)
                raise
        return run

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        run = self._run
        assert run is not None, "the block was entered"
        if self._token is not None:
            _current.reset(self._token)
            self._token = None
        _autolog.disable(self._switched)
        if run.id is None:
            return
        if error is None or (isinstance(error, SystemExit) and error.code in {None, 0}):
            run.finish("FINISHED")
            return
        run.strict = False  # the user's error is the one to see
        text = "".join(traceback.format_exception(kind, error, trace))
        run.attempt("upload traceback.txt", lambda id: run.mlflow.log_text(id, text, "traceback.txt"), urgent=True)
        run.finish("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")

    def _start(self, run: Run) -> None:
        """Open the run on the server and make it MLflow's active one. Raises MLflow's errors."""
        import mlflow  # noqa: PLC0415 - costs two seconds

        options = self._options
        if mlflow.get_tracking_uri() != run.client.settings.tracking_uri:
            connect(run.client.settings)  # the active run and autologging follow the process-wide state
        experiment_id = self._experiment_id(run)
        key = options["resume"]
        known = _unfinished(run.mlflow, experiment_id, key) if key else None
        asked = _asked_for()
        tags = {**context_tags(), **({RESUME_TAG: key} if key else {}), **{name: str(value) for name, value in (options["tags"] or {}).items()}}
        if COMMIT_TAG not in tags:
            tags.update(git_tags())
        active = mlflow.start_run(
            run_id=known,
            experiment_id=experiment_id,
            run_name=None if known else options["run_name"],
            nested=mlflow.active_run() is not None,
            tags=tags,
            log_system_metrics=options["system_metrics"] or None,
        )
        run.id = active.info.run_id
        run.resumed = known is not None or asked == run.id

    def _experiment_id(self, run: Run) -> str:
        name = self._options["experiment"]
        if name is None and self._outer is not None and self._outer.id is not None:
            return str(run.mlflow.get_run(self._outer.id).info.experiment_id)
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
