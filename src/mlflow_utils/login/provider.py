"""MLflow's plugin: the access token of `mlflow_utils.login` in the header of each request to its server.

MLflow loads it whenever it is imported (https://mlflow.org/docs/latest/ml/plugins), so that it costs nothing where nobody has logged in.
"""
from __future__ import annotations

import logging
import os
import time
from typing import Final

from .logins import access_token, file, origin
from .oidc import LoginError

_log = logging.getLogger("mlflow_utils")
#: What is set explicitly and takes precedence; MLflow would overwrite the header anyway.
EXPLICIT: Final = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_AUTH")
#: Seconds between two warnings, as a training sends many requests.
SELDOM: Final = 60.0


_warned = -SELDOM


def bearer(uri: str) -> str | None:
    """The access token for the server of ``uri``; None without a login, and with a warning where it is over."""
    global _warned  # noqa: PLW0603 - one for the process
    try:
        return access_token(uri)
    except LoginError as error:
        if time.monotonic() - _warned >= SELDOM:
            _warned = time.monotonic()
            _log.warning("%s", error)
        return None


class BearerToken:
    """MLflow's interface ``RequestHeaderProvider``, by its methods alone: importing its class would import all of MLflow."""

    def in_context(self) -> bool:
        """Whether there may be a login for the server that MLflow is set to."""
        return not any(os.environ.get(name) for name in EXPLICIT) and file().exists()

    def request_headers(self) -> dict[str, str]:
        """The header with the token of the tracking server, none where the registry is on another server: MLflow does not say to which it sends."""
        import mlflow  # noqa: PLC0415 - it is the caller

        uri = mlflow.get_tracking_uri()
        if not uri.startswith(("http://", "https://")) or origin(mlflow.get_registry_uri()) != origin(uri):
            return {}
        token = bearer(uri)
        return {"Authorization": f"Bearer {token}"} if token else {}
