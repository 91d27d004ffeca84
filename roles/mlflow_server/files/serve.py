"""``mlflow server``, which serves artifacts itself, and replaces itself with the web server that it would start.

``mlflow server`` prepares its environment, starts uvicorn as a child, and stays: about 250 MiB that do nothing but wait,
and a child that keeps the port when the parent is killed. With the background jobs off there is nothing to wait for.

MLOPS_MLFLOW_PRESIGNED_ARTIFACTS=true lets clients send and fetch artifacts straight to and from S3 (see ``proxied_artifacts``).
MLOPS_MLFLOW_LOG_FORMAT=json has everything logged as JSON (see ``json_logs``).
MLOPS_MLFLOW_PACKAGES names a file without which the server does not start.
"""
from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import mlflow.server
from json_logs import everything_as_json, start
from mlflow.cli import cli
from mlflow.environment_variables import MLFLOW_SERVER_ENABLE_JOB_EXECUTION

HERE, FACTORY = Path(__file__).resolve().parent, "--factory"
LOGS_JSON = os.environ.get("MLOPS_MLFLOW_LOG_FORMAT") == "json"
# A private name of MLflow's. Where a version has it no longer, the server runs as MLflow means it to.
EXECUTES = getattr(mlflow.server, "_exec_cmd", None)


def _wrapped(command: list[str]) -> tuple[list[str], dict[str, str]]:
    """The command of uvicorn, which names the application last, with ours around it, and the environment that ours needs."""
    *options, application = (str(word) for word in command)
    # Ours writes a line for each request itself.
    logs = ["--log-config", str(HERE / "log_config.json"), "--no-access-log"] if LOGS_JSON else []
    ours = [*logs, "--app-dir", str(HERE), FACTORY, "application:application"]
    is_factory = "true" if FACTORY in options else ""
    environment = {"MLOPS_MLFLOW_APPLICATION": application, "MLOPS_MLFLOW_APPLICATION_IS_FACTORY": is_factory}
    return [word for word in options if word != FACTORY] + ours, environment


def _start(command: list[str], *, extra_env: dict[str, str], **options: Any) -> Any:
    if "uvicorn" in command:
        command, added = _wrapped(command)
        extra_env = {**extra_env, **added}
    start = EXECUTES if MLFLOW_SERVER_ENABLE_JOB_EXECUTION.get() else _become
    return start(command, extra_env=extra_env, **options)


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


def _check_packages(mark: Path) -> None:
    """After packages were replaced, the schema is migrated and the configuration written anew before MLflow may start."""
    if not mark.exists():
        sys.exit("the packages are not those that this server was configured with; run the site playbook again (in a checkout: make up)")


if __name__ == "__main__":
    if os.environ.get("MLOPS_MLFLOW_PACKAGES"):
        _check_packages(Path(os.environ["MLOPS_MLFLOW_PACKAGES"]))
    if os.environ.get("MLFLOW_EXPOSE_PROMETHEUS"):
        _prepare_metrics(Path(os.environ["MLFLOW_EXPOSE_PROMETHEUS"]))
    if LOGS_JSON:
        start()
        everything_as_json()
    if EXECUTES:
        mlflow.server._exec_cmd = _start
    cli(args=["server", *sys.argv[1:]])
