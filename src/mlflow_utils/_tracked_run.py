"""The run that training code logs into, whatever becomes of MLflow meanwhile."""
from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._halves import send_all
from ._params import flatten
from ._seldom import Seldom
from .client import Client

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_log = logging.getLogger("mlflow_utils")
#: After a failure of MLflow nothing is sent for so many seconds, so that a server that is down does not slow each step of the training down.
REST: Final = 60.0
#: What one log-batch request may hold (mlflow/utils/validation.py).
MAX_METRICS: Final = 1000
MAX_PAIRS: Final = 100
MAX_WAITING: Final = 100_000


class Run:
    """A run that `track` has opened. Its methods raise MLflow's errors only where the run is strict."""

    def __init__(self, client: Client, *, strict: bool) -> None:
        self.client = client
        self.strict = strict
        #: The run's id; None where MLflow was not there when it began, in which case every method does nothing.
        self.id: str | None = None
        #: Whether it goes on with a run that was there before.
        self.resumed = False
        #: How many metrics, parameters, tags and files MLflow has refused.
        self.refused = 0
        self._artifact_uri = ""
        self._waiting: list[Metric] = []
        self._dropped = 0
        self._skipped = 0
        self._rest_until = 0.0
        self._names: dict[str, set[str]] = {}
        self._seldom = Seldom()

    @property
    def mlflow(self) -> MlflowClient:
        """MLflow's own client."""
        return self.client.mlflow

    def log_params(self, source: Any) -> bool:
        """Log the fields of a dataclass, a pydantic model or a mapping, nested ones with dots; True if MLflow took all.

        Raises TypeError for anything else.
        """
        from mlflow.entities import Param  # noqa: PLC0415 - costs two seconds

        pairs = [Param(key, value) for key, value in flatten(source).items()]
        return self._log_pairs("parameter", pairs, lambda id, part: self.mlflow.log_batch(id, params=part))

    def set_tags(self, tags: Mapping[str, Any]) -> bool:
        """Set tags; True if MLflow took all."""
        from mlflow.entities import RunTag  # noqa: PLC0415 - costs two seconds

        pairs = [RunTag(key, str(value)) for key, value in tags.items()]
        return self._log_pairs("tag", pairs, lambda id, part: self.mlflow.log_batch(id, tags=part))

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> bool:
        """Log metrics at the current time; True if MLflow has them all, and those that waited.

        Where MLflow is not there they wait, at most `MAX_WAITING`, and are sent with the next ones. Raises what ``float`` raises for a value that is
        no number, once the others are logged.
        """
        from mlflow.entities import Metric  # noqa: PLC0415 - costs two seconds

        now = int(time.time() * 1000)
        wrong: Exception | None = None
        refused = self._names.get("metric", set())
        known = len([key for key in metrics if key in refused])
        for key, value in metrics.items():
            try:
                if key not in refused:
                    self._waiting.append(Metric(key, float(value), now, step))
            except Exception as error:
                wrong = wrong or error
        self._count("metric", known)
        if len(self._waiting) > MAX_WAITING:
            self._dropped += len(self._waiting) - MAX_WAITING
            del self._waiting[:-MAX_WAITING]
        sent = self._send()
        if wrong is not None:
            raise wrong
        return sent and not known

    def log_metric(self, key: str, value: float, step: int = 0) -> bool:
        """Log one metric, as `log_metrics`."""
        return self.log_metrics({key: value}, step)

    def log_artifact(self, path: Path | str, folder: str | None = None) -> bool:
        """Upload a file or a folder into ``folder`` of the run's artifacts; True if all of it is there."""
        local = Path(path)
        if not local.is_dir():
            return self._upload_file(local, folder)
        if not self._by_the_server():
            return self._upload(folder or "", str(path), lambda id: self.mlflow.log_artifacts(id, str(local), folder))
        # MLflow's client sends a file a request here, and the first that fails would be the last.
        done = True
        for file in sorted(file for file in local.rglob("*") if not file.is_dir()):
            within = [*([folder] if folder else []), *file.relative_to(local).parent.parts]
            done = self._upload_file(file, "/".join(within) or None) and done
        return done

    def log_text(self, text: str, name: str) -> bool:
        """Store ``text`` as the artifact ``name``; True if it is there."""
        return self._upload(name, name, lambda id: self.mlflow.log_text(id, text, name))

    def log_dict(self, content: Any, name: str) -> bool:
        """Store ``content`` as the artifact ``name``, JSON or YAML by its suffix; True if it is there."""
        return self._upload(name, name, lambda id: self.mlflow.log_dict(id, content, name))

    def last(self, key: str) -> tuple[int, float] | None:
        """The greatest step of a metric and its value, for a resumed run to go on from; None without one."""
        found: list[tuple[int, float]] = []
        self.attempt(f"read {key}", lambda id: found.extend((metric.step, metric.value) for metric in self.mlflow.get_metric_history(id, key)))
        return max(found, default=None)

    def attempt(self, what: str, call: Callable[[str], object], *, urgent: bool = False) -> bool:
        """Call ``call`` with the run's id; True if it went well.

        Where MLflow fails, a strict run raises; another warns, and skips what follows for `REST` seconds, except what is ``urgent``.
        """
        if self.id is None:
            return False
        if not urgent and time.monotonic() < self._rest_until:
            self._skipped += 1
            return False
        try:
            call(self.id)
        except Exception as error:
            if self.strict:
                raise
            if _is_outage(error):
                self._rest_until = time.monotonic() + REST
            else:
                self.refused += 1
            text = what.replace("%", "%%")
            self._seldom.log(logging.WARNING, f"MLflow could not {text} in run %s, and the program goes on: %s", self.id, error)
            return False
        self._rest_until = 0.0
        return True

    def finish(self, status: str) -> None:
        """Send what waits and end the run. For `track`."""
        self._send(urgent=True)
        if self._waiting or self._dropped:
            _log.warning("%d metrics of run %s did not reach MLflow", len(self._waiting) + self._dropped, self.id)
        if self._skipped:
            _log.warning("%d requests of run %s were not made, as MLflow had not answered shortly before", self._skipped, self.id)
        self.attempt("end the run", lambda id: _end(self.mlflow, id, status), urgent=True)

    def _send(self, *, urgent: bool = False) -> bool:
        """Send the metrics that wait; True if MLflow has taken all."""
        done = True
        while self._waiting:
            part = self._waiting[:MAX_METRICS]
            refused = self._log_part("metric", part, lambda id, some: self.mlflow.log_batch(id, metrics=some), urgent=urgent)
            if refused is None:
                return False
            del self._waiting[: len(part)]
            self._count("metric", len([metric for metric in part if metric.key in refused]))
            done = done and not refused
            self._raise(refused)
        return done

    def _log_pairs(self, kind: str, pairs: Sequence[Any], send: Callable[[str, Sequence[Any]], object]) -> bool:
        """Log parameters or tags; True if MLflow has taken all."""
        all_refused: dict[str, Exception] = {}
        done = True
        for start in range(0, len(pairs), MAX_PAIRS):
            refused = self._log_part(kind, pairs[start : start + MAX_PAIRS], send)
            done = done and refused == {}
            all_refused |= refused or {}
        self._count(kind, len(all_refused))
        self._raise(all_refused)
        return done

    def _log_part(
        self, kind: str, part: Sequence[Any], send: Callable[[str, Sequence[Any]], object], *, urgent: bool = False
    ) -> dict[str, Exception] | None:
        """Send what one request may hold; gives what MLflow refuses of it, by name, or None where it is not there."""
        refused: dict[str, Exception] = {}

        def call(id: str) -> None:
            try:
                send(id, part)
                return
            except Exception as error:
                if _is_outage(error):
                    raise
                if self._is_gone(id):
                    text = "the run %s has been deleted, and the program goes on; what it logs is refused: %s"
                    self._seldom.log(logging.WARNING, text, id, error)
                    refused.update(dict.fromkeys((item.key for item in part), error))
                    return
            refused.update(send_all(part, lambda item: item.key, lambda some: send(id, some), lambda error: not _is_outage(error)))
            names = self._names.setdefault(kind, set())
            for name in refused.keys() - names:
                names.add(name)
                _log.warning("MLflow refuses the %s %r of run %s, and the program goes on: %s", kind, name, id, refused[name])

        return refused if self.attempt(f"log {kind}s", call, urgent=urgent) else None

    def _is_gone(self, id: str) -> bool:
        try:
            return bool(self.mlflow.get_run(id).info.lifecycle_stage != "active")
        except Exception as error:
            if _is_outage(error):
                raise
            return True

    def _count(self, kind: str, refused: int) -> None:
        self.refused += refused
        if kind == "metric":
            self._dropped += refused

    def _raise(self, refused: Mapping[str, Exception]) -> None:
        """Raise the first reason where the run is strict."""
        if self.strict:
            for error in refused.values():
                raise error

    def _upload_file(self, file: Path, folder: str | None) -> bool:
        def upload(id: str) -> None:
            if not file.is_file():
                raise FileNotFoundError(f"{file} is not there, or no file")  # a pipe would be waited for without end
            self.mlflow.log_artifact(id, str(file), folder)

        return self._upload(f"{folder or ''}/{file.name}", str(file), upload)

    def _upload(self, name: str, what: str, call: Callable[[str], object]) -> bool:
        """Upload what becomes the artifact ``name``; ``what`` is how the user knows it."""

        def checked(id: str) -> None:
            # MLflow's client puts names into a URL as they are: `a#1.txt` and `a#2.txt` would both be stored as `a`, the one over the other.
            unsafe = [mark for mark in "#?%" if mark in name] if self._by_the_server() else []
            if unsafe:
                raise ValueError(f"MLflow's client cannot upload a name with {' and '.join(unsafe)} through the server; give it another one")
            call(id)

        return self.attempt(f"upload {what}", checked)

    def _by_the_server(self) -> bool:
        """Whether artifacts are sent to the server, and not straight to where it keeps them."""
        return self._artifact_uri.partition(":")[0] in {"mlflow-artifacts", "http", "https"}


#: Where users import it from, which is what a traceback or a pickle is to say.
Run.__module__ = "mlflow_utils.tracker"

#: What MLflow answers where the same request will be refused again. Credentials, for one, may be renewed.
_FINAL: Final = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE", "NOT_FOUND"}


def _is_outage(error: Exception) -> bool:
    """Whether MLflow is out of reach, rather than against this one request."""
    import requests  # noqa: PLC0415 - not needed before
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - costs two seconds

    if isinstance(error, MlflowException):
        return error.error_code not in _FINAL
    if isinstance(error, requests.HTTPError) and error.response is not None:  # of an upload
        return error.response.status_code >= 500 or error.response.status_code in {401, 403, 408, 429}
    return isinstance(error, requests.RequestException)


def _end(client: MlflowClient, run_id: str, status: str) -> None:
    """End the run, as MLflow's active one if the program has left it so."""
    import mlflow  # noqa: PLC0415 - costs two seconds

    active = mlflow.active_run()
    if active is not None and active.info.run_id == run_id:
        mlflow.end_run(status)
    else:
        client.set_terminated(run_id, status)
