"""What each step of a training workflow takes and gives, for its command line and for Argo. No I/O.

Values are given as text, as an orchestrator passes them on.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

#: MLflow's status for those of MLflow, Argo (``workflow.status``) and Kubeflow (``PipelineTaskFinalStatus.state``), in lower case.
STATUSES: Final[Mapping[str, str]] = {
    "finished": "FINISHED",
    "succeeded": "FINISHED",
    "failed": "FAILED",
    "error": "FAILED",
    "killed": "KILLED",
    "cancelled": "KILLED",
}


class Option(NamedTuple):
    """One option of a step. It is required where it has no ``default``."""

    default: str | None = None
    kind: Literal["text", "object", "integer", "number", "number or nothing", "folder"] = "text"
    help: str | None = None
    choices: tuple[str, ...] | None = None


class Step(NamedTuple):
    """What one step does, its options, and whether it has a result."""

    what: str
    options: Mapping[str, Option]
    has_result: bool = True


_REQUIRED: Final = Option()
_TAGS: Final = Option("{}", "object", "JSON object")

STEPS: Final[Mapping[str, Step]] = {
    "create-run": Step(
        "Start a run; prints its id.",
        {
            "experiment": _REQUIRED,
            "run-name": Option(""),
            "tags": _TAGS,
            "workflow-id": Option("", help="identifies this execution of the workflow: the same one finds the same run again"),
        },
    ),
    "log-parameters": Step("Log parameters.", {"run-id": _REQUIRED, "parameters": Option(None, "object", "JSON object")}, has_result=False),
    "log-metrics": Step(
        "Log metrics.",
        {
            "run-id": _REQUIRED,
            "metrics": Option(None, "object", "JSON object of numbers"),
            "step": Option("0", "integer", "the step of training that they were measured at"),
        },
        has_result=False,
    ),
    "log-model": Step(
        "Log a model that mlflow.<flavor>.save_model wrote; prints its URI.",
        {"run-id": _REQUIRED, "model": Option(None, "folder"), "name": Option("model")},
    ),
    "register-model": Step(
        "Make a logged model a version of a registered model; prints the version.",
        {"model-uri": _REQUIRED, "registered-model": _REQUIRED, "tags": _TAGS},
    ),
    "promote-model": Step(
        "Give a version the alias if it is better; prints true or false.",
        {
            "registered-model": _REQUIRED,
            "version": _REQUIRED,
            "metric": _REQUIRED,
            "alias": Option("champion"),
            "direction": Option("max", choices=("max", "min")),
            "min-improvement": Option("0", "number"),
            "threshold": Option("", "number or nothing"),
        },
    ),
    "finish-run": Step("End a run.", {"run-id": _REQUIRED, "status": Option("FINISHED", help=", ".join(STATUSES))}, has_result=False),
    "finish-workflow": Step(
        "End the runs of a workflow that still run; prints their ids.",
        {"experiment": _REQUIRED, "workflow-id": _REQUIRED, "status": _REQUIRED},
    ),
}
