"""``mlflow server``, which then replaces itself with the web server that it would start.

``mlflow server`` prepares its environment, starts uvicorn as a child, and stays: about 250 MiB that do nothing but wait,
and a child that keeps the port when the parent is killed. With the background jobs off there is nothing to wait for.
"""
from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import mlflow.server
from mlflow.cli import cli
from mlflow.environment_variables import MLFLOW_SERVER_ENABLE_JOB_EXECUTION


def _become(command: list[str], *, extra_env: dict[str, str], **_options: Any) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], [str(word) for word in command], {**os.environ, **extra_env})


if __name__ == "__main__":
    # A private name of MLflow's. Where a version has it no longer, the server runs as MLflow means it to.
    if hasattr(mlflow.server, "_exec_cmd") and not MLFLOW_SERVER_ENABLE_JOB_EXECUTION.get():
        mlflow.server._exec_cmd = _become
    cli(args=["server", *sys.argv[1:]])
