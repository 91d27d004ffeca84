"""The steps of a training workflow, each of which may run in a process and a container of its own: what Kubeflow and Argo run.

`mlflow_utils.kfp_components` calls these functions, and the containers of `mlflow_utils.argo` call them as ``python -m mlflow_utils.steps STEP
--help``. Each finds its server as `mlflow_utils.connect` does. An orchestrator runs a failed step again, so a step that did its work already does
not do it twice: `create_run` finds the run of the same workflow, `register_model` the version of the same model.

Errors are `StepError`, one sentence; `SettingsError`; those of `mlflow_utils.model_registry`; or what MLflow raises.
"""
from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from ._halves import send_all
from ._origin_tags import context_tags
from ._reading import NotFound, found, name_is
from ._selection import checked_direction
from ._step_options import STATUSES, STEPS
from .client import SettingsError, connect
from .model_registry import ModelRegistry, RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

#: The tag of a run that names the workflow which made it.
WORKFLOW_TAG: Final = "mlflow_utils.workflow_id"
#: The tag by which MLflow nests a run in another.
PARENT_TAG: Final = "mlflow.parentRunId"
#: What MLflow answers to a request in which something is wrong.
REFUSALS: Final = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST"})
#: MLflow's limits of one log-batch request.
PARAMETERS_A_REQUEST: Final = 100
METRICS_A_REQUEST: Final = 1000


class StepError(ValueError):
    """A step was given something it cannot use. The message is one sentence with the remedy."""


def mlflow_status(status: str) -> str:
    """MLflow's name for how a workflow ended. Raises `StepError`.

    >>> mlflow_status("Succeeded"), mlflow_status("CANCELLED"), mlflow_status("FINISHED")
    ('FINISHED', 'KILLED', 'FINISHED')
    """
    try:
        return STATUSES[status.lower()]
    except KeyError:
        raise StepError(f"status is {status!r}; use one of {', '.join(STATUSES)}") from None


def checked_workflow_id(workflow_id: str) -> str:
    """``workflow_id`` if it can stand in a search. Raises `StepError`."""
    if not re.fullmatch(r"[\w.:/-]{1,250}", workflow_id, re.ASCII):
        raise StepError(f"workflow_id is {workflow_id!r}; give the identifier of the workflow's run: letters, digits and ._:/- (250 at most)")
    return workflow_id


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """``metrics`` as floats. Raises `StepError`, naming the first that is not a number.

    >>> numbers({"f1": 1})
    {'f1': 1.0}
    """
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise StepError(f"the metric {name!r} is {value!r}; a metric must be a number")
    return {name: float(value) for name, value in metrics.items()}


def _log(kind: str, items: Sequence[Any], size: int, send: Callable[[Sequence[Any]], object]) -> None:
    """Log ``items``, at most ``size`` in a request. Raises `StepError` for those that MLflow refuses, once the others are logged."""
    refused: dict[str, Exception] = {}
    for part in _chunks(items, size):
        refused |= send_all(part, lambda item: item.key, send, lambda error: getattr(error, "error_code", "") in REFUSALS)
    if refused:
        name, reason = next(iter(refused.items()))
        names = ", ".join(map(repr, refused))
        raise StepError(f"MLflow refuses {kind} {names}, and has the others; correct what it says of {name!r}: {reason}")


def _client() -> MlflowClient:
    return connect().mlflow


def _chunks(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _experiment_id(client: MlflowClient, name: str) -> str:
    """The experiment's id; it is made where there is none, by this process or another at the same moment."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - costs two seconds

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        raise StepError(f"the experiment {name!r} is deleted; restore it or name another")
    return str(found.experiment_id)


def _runs_of(client: MlflowClient, experiment_id: str, workflow_id: str) -> list[Run]:
    """The runs of a workflow, oldest first; a thousand at most."""
    condition = f"tags.`{WORKFLOW_TAG}` = '{checked_workflow_id(workflow_id)}'"
    return list(client.search_runs([experiment_id], condition, order_by=["attributes.start_time ASC"]))


def create_run(experiment: str, run_name: str = "", tags: Mapping[str, Any] | None = None, workflow_id: str = "") -> str:
    """Start a run and leave it running; its id.

    The experiment is made where there is none. ``workflow_id`` identifies one execution of a workflow: a second call with the same one and the same
    ``run_name`` gives the run that is there, running again, so that a repeated step does not make a second run.

    Where the orchestrator has made a run for the step, and names it in MLFLOW_RUN_ID, as Kubeflow Pipelines' MLflow plugin does, no other is made:
    the run is that of the whole pipeline, in the plugin's experiment. It gets the tags, and the orchestrator ends it.
    """
    client = _client()
    injected = os.environ.get("MLFLOW_RUN_ID", "")
    if injected:
        return _adopted(client, injected, experiment, run_name, {**(tags or {}), **({WORKFLOW_TAG: workflow_id} if workflow_id else {})})
    experiment_id = _experiment_id(client, experiment)
    if workflow_id:
        for run in _runs_of(client, experiment_id, workflow_id):
            if not run_name or run.info.run_name == run_name:
                client.update_run(run.info.run_id, status="RUNNING")
                return str(run.info.run_id)
    given = {str(key): str(value) for key, value in (tags or {}).items()}
    identity = {WORKFLOW_TAG: workflow_id} if workflow_id else {}
    return str(client.create_run(experiment_id, run_name=run_name or None, tags={**context_tags(), **given, **identity}).info.run_id)


def _adopted(client: MlflowClient, run_id: str, experiment: str, run_name: str, tags: Mapping[str, Any]) -> str:
    """The id of the outermost run that ``run_id`` is nested in, with this name and these tags."""
    run = found(lambda: client.get_run(run_id), f"MLFLOW_RUN_ID is {run_id!r}, and there is no such run")
    parent = run.data.tags.get(PARENT_TAG)
    if parent:
        return _adopted(client, parent, experiment, run_name, tags)
    is_in = client.get_experiment(run.info.experiment_id).name
    if is_in != experiment:
        print(f"the run is that of MLFLOW_RUN_ID, in the experiment {is_in!r} instead of {experiment!r}", file=sys.stderr)
    if run_name and run_name != run.info.run_name:
        client.update_run(run_id, name=run_name)
    for key, value in {**context_tags(), **tags}.items():
        client.set_tag(run_id, str(key), str(value))
    return run_id


def log_parameters(run_id: str, parameters: Mapping[str, Any]) -> None:
    """Log parameters, in as few requests as MLflow's limit of a hundred each allows. Values are logged as text.

    The same value again changes nothing; MLflow refuses another value of a parameter that is there. Raises `StepError` for what MLflow refuses, once
    the others are logged.
    """
    from mlflow.entities import Param  # noqa: PLC0415 - as above

    client = _client()
    pairs = [Param(str(key), str(value)) for key, value in parameters.items()]
    _log("the parameters", pairs, PARAMETERS_A_REQUEST, lambda part: client.log_batch(run_id, params=part))


def log_metrics(run_id: str, metrics: Mapping[str, Any], step: int = 0) -> None:
    """Log metrics at ``step`` with the present time, in as few requests as MLflow's limit of a thousand each allows.

    Raises `StepError` for what MLflow refuses, once the others are logged.
    """
    from mlflow.entities import Metric  # noqa: PLC0415 - as above

    now = int(time.time() * 1000)
    entries = [Metric(name, value, now, step) for name, value in numbers(metrics).items()]
    client = _client()
    _log("the metrics", entries, METRICS_A_REQUEST, lambda part: client.log_batch(run_id, metrics=part))


def log_model(run_id: str, model: str, name: str = "model") -> str:
    """Log a model that lies in a folder as an output of the run; its URI, ``models:/m-…``.

    ``model`` is what ``mlflow.<flavor>.save_model`` wrote: a folder with a file ``MLmodel``. Nothing is unpickled, and the flavour's library is
    not needed.
    """
    from mlflow.entities import LoggedModelOutput  # noqa: PLC0415 - as above

    description = Path(model) / "MLmodel"
    if not description.is_file():
        raise StepError(f"there is no file MLmodel in {model}; write the model with mlflow.<flavor>.save_model(model, path)")
    client = _client()
    run = client.get_run(run_id)
    unsafe = [str(file.relative_to(model)) for file in sorted(Path(model).rglob("*")) if set("#?%") & set(file.name)]
    if unsafe and str(run.info.artifact_uri).startswith("mlflow-artifacts:"):
        raise StepError(f"MLflow's client cannot upload {unsafe[0]!r} through the server, for its '#', '?' or '%'; give the file another name")
    logged = client.create_logged_model(run.info.experiment_id, name=name, source_run_id=run_id, params=dict(run.data.params))
    try:
        client.log_model_artifacts(logged.model_id, model)
        with tempfile.TemporaryDirectory() as folder:
            # What log_model writes there: a model that is loaded knows where it came from.
            origin = {"run_id": run_id, "model_id": logged.model_id, "model_uuid": logged.model_id, "artifact_path": logged.artifact_location}
            content = {**yaml.safe_load(description.read_text(encoding="utf-8")), **origin}
            (Path(folder) / "MLmodel").write_text(yaml.safe_dump(content), encoding="utf-8")
            client.log_model_artifacts(logged.model_id, folder)
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    return str(client.finalize_logged_model(logged.model_id, "READY").model_uri)


def register_model(model_uri: str, registered_model: str, tags: Mapping[str, Any] | None = None) -> str:
    """Make the logged model a version of a registered model; the version's number.

    The registered model is made where there is none. A model that is a version of it already keeps that version. ``tags`` are the version's.
    """
    if not re.fullmatch(r"models:/m-[0-9a-f]+", model_uri):
        raise StepError(f"model_uri is {model_uri!r}; give the URI of a logged model, models:/m-…, which log_model returns")
    client = connect()
    found = client.mlflow.search_model_versions(f"{name_is(registered_model)} AND source_path = '{model_uri}'")
    there = [version for version in found if version.name == registered_model]
    given = {str(key): str(value) for key, value in (tags or {}).items()}
    if not there:
        return str(ModelRegistry(client).register(model_uri, registered_model, tags=given).version)
    version = str(min(int(version.version) for version in there))
    for key, value in given.items():
        client.mlflow.set_model_version_tag(registered_model, version, key, value)
    return version


def promote_model(
    registered_model: str,
    version: str,
    metric: str,
    *,
    alias: str = "champion",
    direction: str = "max",
    min_improvement: float = 0.0,
    threshold: float | None = None,
) -> bool:
    """Give the version the alias if its run's ``metric`` is better than that of the version that has it; whether the version has it now.

    ``direction`` is ``max`` where more is better, ``min`` where less is. The version must be better by ``min_improvement`` (in the metric's
    unit), and reach ``threshold`` if there is one: at least it for ``max``, at most it for ``min``. Where no version has the alias, the threshold
    alone counts.
    """
    try:
        way = checked_direction(direction)
    except ValueError as error:
        raise StepError(str(error)) from None
    registry = ModelRegistry(connect())
    if threshold is not None:
        value = registry.metric(registry.version(registered_model, version), metric)
        if value is None or (value < threshold if way == "max" else value > threshold):
            print(f"{metric} is {'missing' if value is None else f'{value:.6g}'}, the threshold is {threshold:.6g}: not promoted", file=sys.stderr)
            return False
    done = registry.promote(registered_model, version, alias=alias, metric=metric, direction=way, min_improvement=min_improvement)
    print(done.reason, file=sys.stderr)
    return done.promoted or done.previous == done.version


def finish_run(run_id: str, status: str = "FINISHED") -> None:
    """End a run. ``status`` is one of MLflow, Argo or Kubeflow: finished, succeeded, failed, error, killed, cancelled."""
    final = mlflow_status(status)
    _client().set_terminated(run_id, final)


def finish_workflow(experiment: str, workflow_id: str, status: str) -> list[str]:
    """End those runs of a workflow that still run, from its exit handler; their ids. A workflow that made no run has nothing to end."""
    final = mlflow_status(status)
    client = _client()
    found = client.get_experiment_by_name(experiment)
    running = [run for run in _runs_of(client, found.experiment_id, workflow_id) if run.info.status == "RUNNING"] if found else []
    for run in running:
        client.set_terminated(run.info.run_id, final)
    return [str(run.info.run_id) for run in running]


def _mapping(text: str) -> dict[str, Any]:
    """A JSON object, for argparse."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object such as {{\"a\": 1}}")
    return value


def _optional_number(text: str) -> float | None:
    """A number, or None for nothing, for argparse: an orchestrator passes an empty parameter as empty text."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


_TYPES: Final[Mapping[str, Callable[[str], Any]]] = {
    "text": str,
    "folder": str,
    "object": _mapping,
    "integer": int,
    "number": float,
    "number or nothing": _optional_number,
}


def parser() -> argparse.ArgumentParser:
    """The command line: one subcommand a step, one option an argument."""
    top = argparse.ArgumentParser(prog="python -m mlflow_utils.steps", description="Run one step of a training workflow.")
    steps = top.add_subparsers(required=True, metavar="STEP")
    for name, step in STEPS.items():
        added = steps.add_parser(name, help=step.what, description=step.what)
        added.set_defaults(function=name.replace("-", "_"))
        added.add_argument("--output", type=Path, help="write the result to this file too")
        for option, one in step.options.items():
            # A default is text too, which argparse converts.
            added.add_argument(
                f"--{option}", type=_TYPES[one.kind], default=one.default, required=one.default is None, choices=one.choices, help=one.help
            )
    return top


def as_text(result: Any) -> str:
    """A result as an orchestrator passes it on.

    >>> as_text(None), as_text(True), as_text("7"), as_text(["a"])
    ('', 'true', '7', '["a"]')
    """
    if result is None:
        return ""
    return result if isinstance(result, str) else json.dumps(result)


def main(words: Sequence[str] | None = None) -> int:
    """Run one step; 0, or 1 with one sentence on standard error."""
    given = vars(parser().parse_args(words))
    function, output = globals()[given.pop("function")], given.pop("output")
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - not for --help

    try:
        text = as_text(function(**given))
    except (StepError, SettingsError, RegistryError, NotFound, MlflowException) as error:
        print(f"mlflow_utils.steps: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
