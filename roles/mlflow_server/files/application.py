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
# MLflow's application with users of its own, and what is set where they have tokens beside passwords (jwt_auth.py).
USERS, TOKENS = "mlflow.server.auth", "MLOPS_MLFLOW_JWT"
# Whose requests have an Authorization for somebody else, and MLflow's login in another header.
GATEWAY = "/gateway/"
# An application with users of its own, which takes requests past what MLflow's own applications look at first.
PLUGIN = "mlflow_oidc_auth.app"


class LikeMlflow:
    """An application that is alive in MLflow's words, which others wait for, and tells nobody its metrics: the exporter has them from a folder."""

    def __init__(self, plugin: Application) -> None:
        self._plugin = plugin

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass everything else on as it is."""
        path = scope["path"] if scope["type"] == "http" else ""
        if path == "/health":
            await _say(send, 200, b"OK")
        elif path.startswith("/metrics"):
            await _say(send, 404, b"Not Found")
        else:
            await self._plugin(scope, receive, send)


class PasswordsAlone:
    """An application whose users have passwords: another kind of login, such as a token, is none, to which MLflow answers 401.

    Its cache of passwords takes no login without a user's name, and the answer would be 500, which clients try again for minutes.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Leave out an Authorization that is no name with a password."""
        if scope["type"] == "http" and not scope["path"].startswith(GATEWAY):
            headers = [(name, value) for name, value in scope["headers"] if name != b"authorization" or value.lower().startswith(b"basic ")]
            scope = {**scope, "headers": headers}
        await self._application(scope, receive, send)


async def _say(send: Send, status: int, text: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": text})


def application() -> Application:
    """MLflow's application as ``serve.py`` names it in the environment, wrapped."""
    module, _colon, name = os.environ[APPLICATION].partition(":")
    found = getattr(importlib.import_module(module), name)
    made: Application = found() if os.environ.get(IS_FACTORY) else found
    if module == PLUGIN:
        from mlflow.server.fastapi_security import init_fastapi_security  # noqa: PLC0415 (it costs a second where it is not needed)

        # Hosts and origins, before anybody is asked who he is.
        init_fastapi_security(found)
        made = LikeMlflow(made)
    if module == USERS and not os.environ.get(TOKENS):
        made = PasswordsAlone(made)
    if os.environ.get(PRESIGNED) != "true":
        made = Proxied(made)
    if os.environ.get(LOG_FORMAT) == "json":
        everything_as_json()
        made = Logged(made)
    return made
