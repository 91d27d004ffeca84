"""The functions that `mlflow_utils.kfp_components` makes components of.

kfp copies the source of each into the pod and reads its annotations, which therefore are not put off, are written as kfp knows them
(``Optional``), and name nothing but kfp's and typing's; each function imports what it uses.
"""
# ruff: noqa: PLC0415, UP006, UP035, UP045
from typing import Any, Dict, Optional

from kfp.dsl import Input, Model, PipelineTaskFinalStatus


def create_run(experiment: str, run_name: str = "", tags: Optional[Dict[str, Any]] = None, workflow_id: str = "") -> str:
    """Start a run and leave it running.

    Args:
        experiment: Its name; it is made where there is none.
        run_name: MLflow makes one up where it is empty.
        tags: Tags of the run.
        workflow_id: Identifies one execution of the pipeline, dsl.PIPELINE_JOB_ID_PLACEHOLDER; the same one finds the same run again.

    Returns:
        The run's id.

    """
    from mlflow_utils import steps

    return steps.create_run(experiment, run_name, tags, workflow_id)


def log_parameters(run_id: str, parameters: Dict[str, Any]) -> None:
    """Log parameters.

    Args:
        run_id: The run.
        parameters: Values by name; they are logged as text.

    """
    from mlflow_utils import steps

    steps.log_parameters(run_id, parameters)


def log_metrics(run_id: str, metrics: Dict[str, Any], step: int = 0) -> None:
    """Log metrics.

    Args:
        run_id: The run.
        metrics: Numbers by name.
        step: The step of training that they were measured at.

    """
    from mlflow_utils import steps

    steps.log_metrics(run_id, metrics, step)


def log_model(run_id: str, model: Input[Model], name: str = "model") -> str:
    """Log a model as an output of the run.

    Args:
        run_id: The run.
        model: What mlflow.<flavor>.save_model(..., path=model.path) wrote.
        name: The logged model's name.

    Returns:
        Its URI, models:/m-….

    """
    from mlflow_utils import steps

    return steps.log_model(run_id, model.path, name)


def register_model(model_uri: str, registered_model: str, tags: Optional[Dict[str, Any]] = None) -> str:
    """Make a logged model a version of a registered model.

    Args:
        model_uri: What log_model returned.
        registered_model: Its name; it is made where there is none.
        tags: Tags of the version.

    Returns:
        The version.

    """
    from mlflow_utils import steps

    return steps.register_model(model_uri, registered_model, tags)


def promote_model(
    registered_model: str,
    version: str,
    metric: str,
    alias: str = "champion",
    direction: str = "max",
    min_improvement: float = 0.0,
    threshold: Optional[float] = None,
) -> bool:
    """Give a version the alias if it is better than the one that has it.

    Args:
        registered_model: Its name.
        version: The candidate.
        metric: The metric that decides.
        alias: The alias.
        direction: max where more is better, min where less is.
        min_improvement: By how much it must be better, in the metric's unit.
        threshold: What the metric must reach in any case.

    Returns:
        Whether the version has the alias now.

    """
    from mlflow_utils import steps

    return steps.promote_model(
        registered_model, version, metric, alias=alias, direction=direction, min_improvement=min_improvement, threshold=threshold
    )


def finish_run(run_id: str, status: str = "FINISHED") -> None:
    """End a run, in a pipeline where every task runs; finish_workflow in an exit handler ends it in any case.

    Args:
        run_id: The run.
        status: FINISHED, FAILED or KILLED.

    """
    from mlflow_utils import steps

    steps.finish_run(run_id, status)


def finish_workflow(experiment: str, workflow_id: str, status: PipelineTaskFinalStatus) -> None:
    """End those runs of a pipeline that still run; for dsl.ExitHandler.

    Args:
        experiment: The experiment of the runs.
        workflow_id: What create_run was given.
        status: How the pipeline ended; Kubeflow fills it in.

    """
    from mlflow_utils import steps

    steps.finish_workflow(experiment, workflow_id, status.state)
