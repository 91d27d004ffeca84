"""MLflow's web application, with what this server does otherwise around it."""
from __future__ import annotations

import importlib
import os

from json_logs import Logged, everything_as_json
from proxied_artifacts import Application, Message, Proxied, Receive, Send

# Where MLflow's own application is, MODULE:NAME, and whether that is a function which makes it.
APPLICATION, IS_FACTORY = "MLOPS_MLFLOW_APPLICATION", "MLOPS_MLFLOW_APPLICATION_IS_FACTORY"
# What is done otherwise (serve.py).
PRESIGNED, LOG_FORMAT = "MLOPS_MLFLOW_PRESIGNED_ARTIFACTS", "MLOPS_MLFLOW_LOG_FORMAT"
# An application with users of its own, which takes requests past what MLflow's own applications look at first.
PLUGIN = "mlflow_oidc_auth.app"


class WithoutMetrics:
    """An application that tells nobody its metrics: the plugin would tell everybody, and the exporter has them from a folder."""

    def __init__(self, mlflow: Application) -> None:
        self._mlflow = mlflow

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer that there are none."""
        if scope["type"] != "http" or not scope["path"].startswith("/metrics"):
            await self._mlflow(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"Not Found"})


def application() -> Application:
    """MLflow's application as ``serve.py`` names it in the environment, wrapped."""
    module, _colon, name = os.environ[APPLICATION].partition(":")
    found = getattr(importlib.import_module(module), name)
    made: Application = found() if os.environ.get(IS_FACTORY) else found
    if module == PLUGIN:
        from mlflow.server.fastapi_security import init_fastapi_security  # noqa: PLC0415 (it costs a second where it is not needed)

        # Hosts and origins, before anybody is asked who he is.
        init_fastapi_security(found)
        made = WithoutMetrics(made)
    if os.environ.get(PRESIGNED) != "true":
        made = Proxied(made)
    if os.environ.get(LOG_FORMAT) == "json":
        everything_as_json()
        made = Logged(made)
    return made
