"""``mlflow server``, which then replaces itself with the web server that it would start.

``mlflow server`` prepares its environment, starts uvicorn as a child, and stays: about 250 MiB that do nothing but wait,
and a child that keeps the port when the parent is killed. With the background jobs off there is nothing to wait for.
"""
from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import mlflow.server
from mlflow.cli import cli
from mlflow.environment_variables import MLFLOW_SERVER_ENABLE_JOB_EXECUTION


def _become(command: list[str], *, extra_env: dict[str, str], **_options: Any) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], [str(word) for word in command], {**os.environ, **extra_env})


def _prepare_metrics(folder: Path) -> None:
    """Without the exporter MLflow's workers would crash for ever; with an earlier process's files it would count that one's requests."""
    if importlib.util.find_spec("prometheus_flask_exporter") is None:
        sys.exit("metrics are asked for, and prometheus-flask-exporter, which MLflow needs for them, is not installed here")
    for left in folder.glob("*.db"):
        left.unlink()


if __name__ == "__main__":
    if os.environ.get("MLFLOW_EXPOSE_PROMETHEUS"):
        _prepare_metrics(Path(os.environ["MLFLOW_EXPOSE_PROMETHEUS"]))
    # A private name of MLflow's. Where a version has it no longer, the server runs as MLflow means it to.
    if hasattr(mlflow.server, "_exec_cmd") and not MLFLOW_SERVER_ENABLE_JOB_EXECUTION.get():
        mlflow.server._exec_cmd = _become
    cli(args=["server", *sys.argv[1:]])
