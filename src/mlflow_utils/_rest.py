"""The few calls of MLflow's REST API that an inference service needs, without ``import mlflow``, which costs it two seconds and 160 MiB.

Each call tries once and raises `Unavailable`, where trying again can help, or `Refused`, where it cannot.
"""
from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import requests

from .client import Settings, session

#: What one log-batch request may hold (mlflow/utils/validation.py, MAX_METRICS_PER_BATCH and MAX_ENTITIES_PER_BATCH).
MAX_BATCH: Final = 1000
#: The tag by which a run is found again that was made by a request whose answer was lost.
SESSION_TAG: Final = "mlflow_utils.session"

#: One metric as MLflow stores it: key, value, milliseconds since the epoch, step.
Row = tuple[str, float, int, int]


class Unavailable(Exception):
    """No answer, or one that says: later."""


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
        data = None if body is None else json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
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
        # Only what MLflow itself says of a request is final. Credentials may be renewed, an ingress may come back.
        if answer.status_code in {400, 404, 409, 413} and code:
            raise Refused(text, code)
        raise Unavailable(text)

    def experiment_id(self, name: str) -> str:
        """The id of the experiment ``name``, made where there is none."""
        try:
            return str(self._call("GET", "experiments/get-by-name", query={"experiment_name": name})["experiment"]["experiment_id"])
        except Refused as error:
            if error.code != "RESOURCE_DOES_NOT_EXIST":
                raise
        try:
            return str(self._call("POST", "experiments/create", body={"name": name})["experiment_id"])
        except Refused as error:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise
        return self.experiment_id(name)  # another process was quicker

    def run_id(self, experiment: str, run_name: str, tags: Mapping[str, str], started: int) -> str:
        """The id of the run with the `SESSION_TAG` of ``tags``, made where there is none. ``started`` is in milliseconds since the epoch."""
        experiment_id = self.experiment_id(experiment)
        wanted = {"experiment_ids": [experiment_id], "filter": f"tags.`{SESSION_TAG}` = '{tags[SESSION_TAG]}'", "order_by": ["attributes.start_time"]}
        found = self._call("POST", "runs/search", body=wanted).get("runs")
        if found:
            return str(found[0]["info"]["run_id"])
        pairs = [{"key": key, "value": value} for key, value in tags.items()]
        body = {"experiment_id": experiment_id, "run_name": run_name, "start_time": started, "tags": pairs}
        return str(self._call("POST", "runs/create", body=body)["run"]["info"]["run_id"])

    def log_batch(self, run_id: str, rows: Sequence[Row]) -> None:
        """Log at most `MAX_BATCH` metrics. Logging the same rows again changes nothing: see `mlflow_utils.inference_tracker`."""
        metrics = [{"key": key, "value": number(value), "timestamp": timestamp, "step": step} for key, value, timestamp, step in rows]
        self._call("POST", "runs/log-batch", body={"run_id": run_id, "metrics": metrics})

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
