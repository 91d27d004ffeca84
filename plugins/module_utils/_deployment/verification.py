# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The verification of a server in a cluster: its objects, and what the test from outside is given. No I/O."""
from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import ANYWHERE
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import USER
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import read
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import BY_COMPONENT, Container, Identity, Object, Volume

#: The annotation of the ConfigMap that says which deployment was verified.
VERIFIED = "mlops.mlflow/verified"


@dataclass(frozen=True)
class Endpoint:
    """``mlflow_server_endpoint`` of a server in a cluster."""

    name: str = ""
    uri: str = ""
    public_uri: str = ""
    image: str = ""
    image_pull_policy: str = "IfNotPresent"
    username: str = ""
    #: none, basic or jwt.
    auth: str = "none"
    #: The audience of the tokens by which service accounts of the cluster log in, "" if none do.
    account_audience: str = ""
    anonymous: bool = False
    password_secret: Mapping[str, str] = field(default_factory=dict)
    hosts: Sequence[str] = ()
    egress: Sequence[Mapping[str, Any]] = field(default_factory=lambda: ANYWHERE)
    public: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verification(self) -> str:
        """The name of the objects."""
        return f"{self.name}-verify"

    @property
    def identity(self) -> Identity:
        """Whose the objects are."""
        return Identity(self.verification, self.name, "verification", BY_COMPONENT)


def config_map(endpoint: Endpoint, program: str, verified: str = "") -> Object:
    """Return the ConfigMap with the test client, and the deployment that it has verified."""
    made = workload.config_map(endpoint.verification, endpoint.identity.labels, {"verify.py": program})
    if verified:
        made["metadata"]["annotations"] = {VERIFIED: verified}
    return made


def network_policy(endpoint: Endpoint) -> Object:
    """Return the policy of the test client: it reaches the server, and nobody calls it."""
    return workload.network_policy(endpoint.identity, endpoint.verification, endpoint.egress)


def job(endpoint: Endpoint, run_name: str) -> Object:
    """Return the Job that runs the test client in MLflow's namespace. ``run_name`` is that of the experiment and the model that it makes."""
    login: list[Object] = []
    if endpoint.username:
        secret = endpoint.password_secret
        login.append(workload.value("MLFLOW_TRACKING_USERNAME", endpoint.username))
        login.append(workload.secret_value("MLFLOW_TRACKING_PASSWORD", secret["name"], secret["key"]))
    environment = [
        workload.value("MLFLOW_TRACKING_URI", endpoint.uri), *login, workload.value("MLFLOW_VERIFY_HOSTS", ",".join(endpoint.hosts)),
    ]  # fmt: skip
    return client_job(endpoint, endpoint.verification, endpoint.identity.labels, endpoint.name, run_name, environment)


def client_job(
    endpoint: Endpoint, name: str, labels: Mapping[str, str], account: str, run_name: str, environment: Sequence[Object],
    volumes: Sequence[Volume] = (), **more: Any,
) -> Object:  # fmt: skip
    """Return a Job that runs the test client, which is in the ConfigMap of the same name, with the environment of a client."""
    environment = [
        workload.value("HOME", "/tmp"),
        *environment,
        workload.value("MLFLOW_VERIFY_NAME", run_name),
        workload.value("MLFLOW_DISABLE_TELEMETRY", "true"),
        workload.value("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"),
        # A server that is down is reported within a minute, not after MLflow's five.
        workload.value("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3"),
        workload.value("GIT_PYTHON_REFRESH", "quiet"),
    ]
    mounted = [workload.scratch("tmp", "/tmp", "200Mi"), workload.files("verify", "/verify", name), *volumes]
    resources = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
    more = {"imagePullPolicy": endpoint.image_pull_policy, "workingDir": "/tmp", **more}
    container = Container("verify", endpoint.image, ["python", "/verify/verify.py"], mounted, resources, environment, more)
    pod = workload.pod(account, workload.user(USER, group_of_volumes=False), [container])
    return workload.job(name, labels, pod, backoffLimit=0, activeDeadlineSeconds=600, ttlSecondsAfterFinished=3600)


def outside(endpoint: Endpoint, address: str, ca: str, ingress: Mapping[str, Any], certificate: Mapping[str, str], password: str) -> Object:
    """Return what the test from outside is given: the URI, the address that the name leads to, the authority, and the login.

    ``ingress`` is the Ingress as it is, ``certificate`` the data of its Secret; ``address`` and ``ca``, from the variables, come before them. If
    TLS is terminated in front of the ingress, the ingress's own address has no certificate for that name.
    """
    balanced = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    is_own = bool(endpoint.public.get("tls_secret")) or endpoint.public_uri.startswith("http:")
    trusted = [b64decode(certificate[key]).decode() for key in ("ca.crt", "tls.crt") if key in certificate]
    return {
        "uri": endpoint.public_uri,
        "address": address or (next((each["ip"] for each in balanced if each.get("ip")), "") if is_own else ""),
        "ca": ca or "\n".join(trusted),
        "username": endpoint.public.get("username", ""),
        "password": password,
    }


# What the role asks for


def _endpoint(given: Mapping[str, Any]) -> Endpoint:
    return read(Endpoint, given["endpoint"], "")


def _decide_objects(given: Mapping[str, Any]) -> list[Object]:
    endpoint = _endpoint(given)
    return [config_map(endpoint, given["program"]), network_policy(endpoint), job(endpoint, given["run_name"])]


def _decide_outside(given: Mapping[str, Any]) -> Object:
    endpoint = _endpoint(given)
    reference = endpoint.public.get("password_secret") or {}
    password = given["secrets"][reference["name"]][reference["key"]] if reference else ""
    return outside(endpoint, given["address"], given["ca"], given["ingress"], given["certificate"], password)


DECISIONS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "objects": _decide_objects,
    "outside": _decide_outside,
    "record": lambda given: config_map(_endpoint(given), given["program"], given["endpoint"]["deployment"]),
}
