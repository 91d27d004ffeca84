"""The few calls of MLflow's REST API that an inference service needs, without ``import mlflow``, which costs it two seconds and 160 MiB.

Each call tries once and raises `Unavailable`, where trying again can help, or `Refused`, where it cannot.
"""
from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import requests

from .client import Settings, session

_log = logging.getLogger("mlflow_utils")
#: What one log-batch request may hold (mlflow/utils/validation.py, MAX_METRICS_PER_BATCH and MAX_ENTITIES_PER_BATCH).
MAX_BATCH: Final = 1000
#: The tag by which a run is found again that was made by a request whose answer was lost.
SESSION_TAG: Final = "mlflow_utils.session"

#: One metric as MLflow stores it: key, value, milliseconds since the epoch, step.
Row = tuple[str, float, int, int]


class Unavailable(Exception):
    """No answer, or one that says: later."""


class Denied(Unavailable):
    """The server knows the user, who may not do this. Another user may, and the user may be allowed to later."""


class Refused(Exception):
    """The server will never accept this request."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def number(value: float) -> float | str:
    """``value`` as protobuf's JSON writes it.

    >>> number(0.5), number(math.nan), number(-math.inf)
    (0.5, 'NaN', '-Infinity')
    """
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


class Api:
    """MLflow's REST API over one kept-alive connection. For one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = session(settings)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _call(self, method: str, path: str, *, body: Mapping[str, Any] | None = None, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        url = f"{self._settings.tracking_uri}/api/2.0/mlflow/{path}"
        try:
            data = None if body is None else json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        except ValueError as error:  # a lone surrogate, as the environment may hold one
            raise Refused(f"{method} {url} cannot be written as UTF-8: {error}", "INVALID_PARAMETER_VALUE") from None
        try:
            answer = self._http.request(
                method,
                url,
                data=data,
                params=query,
                headers={"Content-Type": "application/json"},
                timeout=self._settings.timeout,
                allow_redirects=False,
            )
            content = answer.json() if answer.ok and answer.status_code < 300 else {}
        except (requests.RequestException, ValueError) as error:
            raise Unavailable(f"{method} {url} got no answer that is MLflow's: {type(error).__name__}") from None
        if answer.ok and answer.status_code < 300 and isinstance(content, dict):
            return content
        code, message = _reason(answer)
        text = f"{method} {url} answered {answer.status_code} {code}: {message}"
        # Only what MLflow itself says of a request is final, and that it is too large. Credentials may be renewed, an ingress may come back.
        if (answer.status_code in {400, 404, 409} and code) or answer.status_code == 413:
            raise Refused(text, code)
        if answer.status_code == 403 and code:
            raise Denied(text)
        raise Unavailable(text)

    def experiment_id(self, name: str) -> str:
        """The id of the experiment ``name``, made where there is none."""
        found = self._find_experiment(name)
        if found is None:
            try:
                return str(self._call("POST", "experiments/create", body={"name": name})["experiment_id"])
            except Refused as error:
                found = self._find_experiment(name) if error.code == "RESOURCE_ALREADY_EXISTS" else None  # another process was quicker
                if found is None:
                    raise
        return found

    def _find_experiment(self, name: str) -> str | None:
        try:
            return str(self._call("GET", "experiments/get-by-name", query={"experiment_name": name})["experiment"]["experiment_id"])
        except Refused as error:
            if error.code != "RESOURCE_DOES_NOT_EXIST":
                raise
        return None

    def run_id(self, experiment: str, run_name: str, tags: Mapping[str, str], started: int) -> str:
        """The id of the run with the `SESSION_TAG` of ``tags``, made where there is none. ``started`` is in milliseconds since the epoch."""
        experiment_id = self.experiment_id(experiment)
        wanted = {"experiment_ids": [experiment_id], "filter": f"tags.`{SESSION_TAG}` = '{tags[SESSION_TAG]}'", "order_by": ["attributes.start_time"]}
        found = self._call("POST", "runs/search", body=wanted).get("runs")
        if found:
            return str(found[0]["info"]["run_id"])
        body = {"experiment_id": experiment_id, "run_name": run_name, "start_time": started}
        try:
            return self._create_run(body, tags)
        except Refused as error:
            # One tag may be the reason. The run is worth more than its tags, and has those that the server takes.
            run_id = self._create_run(body, {SESSION_TAG: tags[SESSION_TAG]})
            rest = {key: value for key, value in tags.items() if key != SESSION_TAG}
            refused = [key for key, value in rest.items() if not self._set_tag(run_id, key, value)]
            _log.warning("MLflow refuses the tags %s of run %s, which goes on without them: %s", ", ".join(map(repr, refused)), run_id, error)
            return run_id

    def _create_run(self, body: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        pairs = [{"key": key, "value": value} for key, value in tags.items()]
        return str(self._call("POST", "runs/create", body={**body, "tags": pairs})["run"]["info"]["run_id"])

    def _set_tag(self, run_id: str, key: str, value: str) -> bool:
        try:
            self._call("POST", "runs/set-tag", body={"run_id": run_id, "key": key, "value": value})
        except Refused:
            return False
        return True

    def is_there(self, run_id: str) -> bool:
        """Whether the run is there, and not deleted."""
        try:
            return bool(self._call("GET", "runs/get", query={"run_id": run_id})["run"]["info"].get("lifecycle_stage", "active") == "active")
        except Refused:
            return False

    def log_batch(self, run_id: str, rows: Sequence[Row]) -> None:
        """Log at most `MAX_BATCH` metrics. Logging the same rows again changes nothing: see `mlflow_utils.inference_tracker`."""
        metrics = [{"key": key, "value": number(value), "timestamp": timestamp, "step": step} for key, value, timestamp, step in rows]
        self._call("POST", "runs/log-batch", body={"run_id": run_id, "metrics": metrics})

    def delete_runs(self, experiment: str, before: int) -> int:
        """Delete the trackers' runs of an experiment that ended before ``before``, in milliseconds since the epoch; gives their number."""
        experiment_id = self._find_experiment(experiment)
        condition = f"tags.`{SESSION_TAG}` LIKE '%' AND attributes.end_time > 0 AND attributes.end_time < {before}"
        deleted = 0
        while experiment_id is not None:
            wanted = {"experiment_ids": [experiment_id], "filter": condition, "max_results": 1000}
            found = self._call("POST", "runs/search", body=wanted).get("runs", [])
            for run in found:
                self._call("POST", "runs/delete", body={"run_id": run["info"]["run_id"]})
            deleted += len(found)
            if not found:
                break
        return deleted

    def end_run(self, run_id: str, status: str, ended: int) -> None:
        """Set the status (FINISHED, KILLED) and the end of a run, in milliseconds since the epoch."""
        self._call("POST", "runs/update", body={"run_id": run_id, "status": status, "end_time": ended})


def _reason(answer: requests.Response) -> tuple[str, str]:
    """MLflow's error code and message; an empty code where the answer is not MLflow's."""
    try:
        content = answer.json()
    except ValueError:
        return "", answer.reason or ""
    if not isinstance(content, dict):
        return "", answer.reason or ""
    return str(content.get("error_code", "")), str(content.get("message", ""))[:300]
