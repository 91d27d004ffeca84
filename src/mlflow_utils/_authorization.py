"""What a session of requests sends in the headers of each request, as an ``auth`` of it."""
from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import requests

#: Where Kubernetes mounts a pod's token, which it renews: the one path that MLflow reads (mlflow/tracking/request_auth/kubernetes).
SERVICE_ACCOUNT_TOKEN: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class Authorization:
    """Sets the header of that name, as requests asks of an ``auth``."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request


def is_service_account() -> bool:
    """Whether ``MLFLOW_TRACKING_AUTH`` has MLflow send the token of the pod's service account, which settings with credentials override."""
    return os.environ.get("MLFLOW_TRACKING_AUTH", "") in ("kubernetes", "kubernetes-namespaced")


class ServiceAccount:
    """Adds the pod's token to each request, and with ``kubernetes-namespaced`` the pod's namespace as the workspace, as MLflow does.

    A token that cannot be read is left out: the server's answer says what is missing.
    """

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        wanted = {"Authorization": ("Bearer ", SERVICE_ACCOUNT_TOKEN)}
        if os.environ["MLFLOW_TRACKING_AUTH"] == "kubernetes-namespaced":
            wanted["X-MLFLOW-WORKSPACE"] = ("", SERVICE_ACCOUNT_TOKEN.with_name("namespace"))
        for header, (prefix, path) in wanted.items():
            with contextlib.suppress(OSError):
                request.headers[header] = prefix + path.read_text().strip()
        return request
