"""MLflow's web application, with what this server does otherwise around it."""
from __future__ import annotations

import importlib
import os

from json_logs import Logged, everything_as_json
from proxied_artifacts import Application, Proxied

# Where MLflow's own application is, MODULE:NAME, and whether that is a function which makes it.
APPLICATION, IS_FACTORY = "MLOPS_MLFLOW_APPLICATION", "MLOPS_MLFLOW_APPLICATION_IS_FACTORY"
# What is done otherwise (serve.py).
PRESIGNED, LOG_FORMAT = "MLOPS_MLFLOW_PRESIGNED_ARTIFACTS", "MLOPS_MLFLOW_LOG_FORMAT"


def application() -> Application:
    """MLflow's application as ``serve.py`` names it in the environment, wrapped."""
    module, _colon, name = os.environ[APPLICATION].partition(":")
    found = getattr(importlib.import_module(module), name)
    made: Application = found() if os.environ.get(IS_FACTORY) else found
    if os.environ.get(PRESIGNED) != "true":
        made = Proxied(made)
    if os.environ.get(LOG_FORMAT) == "json":
        everything_as_json()
        made = Logged(made)
    return made
