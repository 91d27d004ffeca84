# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Runs by MLflow's REST API (https://mlflow.org/docs/latest/rest-api.html, MlflowService). They are read, not managed."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ServerError
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient

_EXPERIMENTS = "/api/2.0/mlflow/experiments"
_RUNS = "/api/2.0/mlflow/runs"
#: MLflow's own number of runs a page, of 50000 at most: a run may be large.
_PAGE = 1000


def find(client: RestClient, where: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The run ``run_id``, or those of ``experiments``, names or ids, that ``filter`` and ``view`` leave, as ``order_by`` sorts them.

    ``max_results`` is their number over all pages. Raises ServerError for an experiment that is not there.
    """
    if where.get("run_id") is not None:
        answer = client.get_or_none(f"{_RUNS}/get", run_id=where["run_id"])
        yield from [_run(answer["run"])] if answer else []
        return
    query = {
        "experiment_ids": [_experiment_id(client, name) for name in where["experiments"]],
        "max_results": min(where["max_results"], _PAGE),
        "run_view_type": (where.get("view") or "active_only").upper(),
        **{key: where[key] for key in ("filter", "order_by") if where.get(key)},
    }
    if query["experiment_ids"]:
        yield from map(_run, islice(client.listed(f"{_RUNS}/search", "runs", "POST", **query), where["max_results"]))


def _experiment_id(client: RestClient, name: str) -> str:
    """The id of the experiment that is named ``name`` or, where there is none, has it as its id."""
    answer = client.get_or_none(f"{_EXPERIMENTS}/get-by-name", experiment_name=name) if name else None
    if answer is None and name.isdecimal():
        answer = client.get_or_none(f"{_EXPERIMENTS}/get", experiment_id=name)
    if answer is None:
        raise ServerError(f"experiment {name!r} does not exist; give the name or the id of one that does, or the workspace that it is in")
    return str(answer["experiment"]["experiment_id"])


def _run(entry: Mapping[str, Any]) -> dict[str, Any]:
    info, data = entry["info"], entry.get("data", {})
    inputs, outputs = entry.get("inputs", {}), entry.get("outputs", {})
    return {
        "run_id": info["run_id"],
        # Unset and empty fields are left out of the answer.
        "run_name": info.get("run_name", ""),
        "experiment_id": info["experiment_id"],
        "status": info.get("status"),
        "lifecycle_stage": info.get("lifecycle_stage"),
        "start_time": info.get("start_time"),
        "end_time": info.get("end_time"),
        "user_id": info.get("user_id", ""),
        "artifact_uri": info.get("artifact_uri", ""),
        # NaN is the text "NaN" in JSON, which has no number for it.
        "metrics": {metric["key"]: metric["value"] for metric in data.get("metrics", [])},
        "params": {param["key"]: param.get("value", "") for param in data.get("params", [])},
        "tags": {tag["key"]: tag.get("value", "") for tag in data.get("tags", [])},
        "datasets": [_dataset(dataset) for dataset in inputs.get("dataset_inputs", [])],
        "input_models": [model["model_id"] for model in inputs.get("model_inputs", [])],
        "output_models": [model["model_id"] for model in outputs.get("model_outputs", [])],
    }


def _dataset(entry: Mapping[str, Any]) -> dict[str, Any]:
    dataset = entry["dataset"]
    tags = {tag["key"]: tag.get("value", "") for tag in entry.get("tags", [])}
    return {**{key: dataset.get(key, "") for key in ("name", "digest", "source_type", "source")}, "context": tags.get("mlflow.data.context", "")}
