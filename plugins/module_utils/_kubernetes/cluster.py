# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""A cluster as a kubeconfig file names it, by the official client: objects, their metadata, logs.

``kubernetes`` is imported once a cluster is connected to, since it takes most of a second of CPU.
"""
from __future__ import annotations

import importlib
import json
import re
import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError, MissingLibrary, NotPermitted, Unreachable, Unsupported

#: The API path of each kind (https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/).
_PATHS = {
    "Deployment": ("/apis/apps/v1", "deployments"),
    "StatefulSet": ("/apis/apps/v1", "statefulsets"),
    "DaemonSet": ("/apis/apps/v1", "daemonsets"),
    "Job": ("/apis/batch/v1", "jobs"),
    "HTTPRoute": ("/apis/gateway.networking.k8s.io/v1", "httproutes"),
    "SecurityPolicy": ("/apis/gateway.envoyproxy.io/v1alpha1", "securitypolicies"),
    "BackendTrafficPolicy": ("/apis/gateway.envoyproxy.io/v1alpha1", "backendtrafficpolicies"),
    "Cluster": ("/apis/postgresql.cnpg.io/v1", "clusters"),
    "Database": ("/apis/postgresql.cnpg.io/v1", "databases"),
    "SecretStore": ("/apis/external-secrets.io/v1", "secretstores"),
    "ClusterSecretStore": ("/apis/external-secrets.io/v1", "clustersecretstores"),
    "ExternalSecret": ("/apis/external-secrets.io/v1", "externalsecrets"),
    "PushSecret": ("/apis/external-secrets.io/v1alpha1", "pushsecrets"),
}
_OF_CLUSTER = {"ClusterSecretStore"}
_LISTS = {
    "replica_sets": ("/apis/apps/v1", "replicasets"),
    "pods": ("/api/v1", "pods"),
    "events": ("/api/v1", "events"),
    "claims": ("/api/v1", "persistentvolumeclaims"),
}
#: Only the metadata of objects, without a Secret's values, for example
#: (https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches).
METADATA, METADATA_LIST = "PartialObjectMetadata", "PartialObjectMetadataList"
#: An API server that restarts, as k3s does when its configuration changes, is unavailable for about twenty seconds.
_TRIES = 8
#: Seconds for one request.
_TIMEOUT = 15


class Cluster:
    """One namespace of the cluster in the file ``kubeconfig``. Does not connect yet.

    Raises Unreachable or Unsupported for an unusable file, and MissingLibrary without ``kubernetes``.
    """

    def __init__(self, kubeconfig: str, namespace: str) -> None:
        self._file, self._namespace = kubeconfig, namespace
        self._api = _api_client(kubeconfig)
        self._where = str(self._api.configuration.host)
        self._now = 0.0

    def look(self, rollouts: Iterable[Mapping[str, str]]) -> dict[str, Any]:
        """Return the workloads, each with ``kind`` and ``name``, and everything that may explain why one is not ready.

        Keys: ``objects`` by ``KIND/NAME`` (None if it does not exist), ``replica_sets``, ``pods``, ``events``, ``claims``,
        and ``now``, the server's clock in seconds since 1970.
        """
        objects = {f"{one['kind']}/{one['name']}": self._object(one["kind"], one["name"]) for one in rollouts}
        lists = {key: self._listed(*place) for key, place in _LISTS.items()}
        return {"objects": objects, **lists, "now": self._now}

    def log(self, pod: str, container: str, previous: bool, lines: int = 80) -> str:
        """Return the end of a container's log, of its previous run if ``previous``; empty if Kubernetes has none."""
        query = urlencode({"container": container, "previous": str(previous).lower(), "tailLines": lines})
        status, payload = self._send("GET", f"/api/v1/namespaces/{self._namespace}/pods/{pod}/log?{query}")
        if status == 200:
            return payload.decode("utf-8", "replace")
        return self.log(pod, container, False, lines) if previous else ""

    def delete_pod(self, name: str) -> None:
        """Delete a pod, so that its controller creates another. A pod that is already gone is not an error."""
        path = f"/api/v1/namespaces/{self._namespace}/pods/{name}"
        status, payload = self._send("DELETE", path)
        if status not in (202, 404):
            self._answer(f"DELETE {path}", status, payload)

    def get(self, path: str, only: str = "") -> dict[str, Any] | None:
        """Return the object at ``path``, or None. ``only`` is METADATA for the metadata of an object, METADATA_LIST for that of a list.

        Raises NotPermitted, ApiError or Unreachable.
        """
        status, payload = self._send("GET", path, f"application/json;as={only};g=meta.k8s.io;v=v1" if only else "application/json")
        return None if status == 404 else self._answer(f"GET {path}", status, payload)

    def _object(self, kind: str, name: str) -> dict[str, Any] | None:
        group, plural = _PATHS[kind]
        place = "" if kind in _OF_CLUSTER else f"/namespaces/{self._namespace}"
        return self.get(f"{group}{place}/{plural}/{name}")

    def _listed(self, group: str, plural: str) -> list[dict[str, Any]]:
        path = f"{group}/namespaces/{self._namespace}/{plural}"
        items: list[dict[str, Any]] = (self.get(path) or {}).get("items") or []
        return items

    def _answer(self, what: str, status: int, payload: bytes) -> dict[str, Any]:
        if status in (401, 403):
            raise NotPermitted(f"kubeconfig: the user of {self._file} is not allowed to {what} ({status}); give one that may")
        try:
            answer = json.loads(payload)
        except ValueError:
            answer = None
        if status == 200 and isinstance(answer, dict):
            return answer
        raise ApiError(f"{what} of the cluster of {self._file} failed ({status}): {(answer or {}).get('message', 'no JSON')}", status)

    def _send(self, method: str, path: str, accept: str = "application/json") -> tuple[int, bytes]:
        """Return status and body, with retries until a restarting API server is back."""
        reason = ""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(min(0.5 * 2**attempt, 5.0))
            try:
                status, payload, date = self._asked(method, path, accept)
            except OSError as error:
                reason = error.strerror or str(error) or type(error).__name__
                continue
            if status not in (429, 500, 502, 503, 504):
                self._now = parsedate_to_datetime(date).timestamp() if date else time.time()
                return status, payload
            reason = f"it answers {status}"
        raise Unreachable(
            f"kubeconfig: the API server {self._where} of {self._file} does not answer: {reason}; check that the cluster is up: systemctl status k3s"
        )

    def _asked(self, method: str, path: str, accept: str) -> tuple[int, bytes, str]:
        """Return the status, body and date of one answer. Raises OSError if there is none, and Unreachable for a certificate that is not trusted."""
        exceptions = _import("urllib3.exceptions")
        headers = {"Accept": accept, "User-Agent": "mlops.mlflow"}
        self._api.update_params_for_auth(headers, [], ["BearerToken"])
        pool = self._api.rest_client.pool_manager
        try:
            # The client's own calls turn every answer into objects and exceptions; what is wanted here are a few fields, as they are.
            response = pool.request(method, self._where + path, headers=headers, timeout=_TIMEOUT, retries=False)
        except exceptions.SSLError as error:
            raise Unreachable(
                f"kubeconfig: the certificate of {self._where} is not trusted by {self._file}: {_reason(error)}; fetch the cluster's kubeconfig again"
            ) from None
        except exceptions.HTTPError as error:
            raise OSError(_reason(error)) from None
        return response.status, response.data, response.headers.get("Date", "")


def _api_client(kubeconfig: str) -> Any:
    """Return the client for the current context of the file. Raises Unreachable, Unsupported or MissingLibrary."""
    client, config = _import("kubernetes.client"), _import("kubernetes.config")
    configuration = client.Configuration()
    # It takes a proxy from the environment and, up to 35.0 at least, forgets what NO_PROXY excepts: the cluster of the host itself, as a rule.
    configuration.proxy = None
    try:
        with open(kubeconfig, encoding="utf-8"):
            pass
        return config.new_client_from_config(config_file=kubeconfig, persist_config=False, client_configuration=configuration)
    except OSError as error:
        raise Unreachable(f"kubeconfig: {kubeconfig} cannot be read: {error.strerror}; give the path of the cluster's kubeconfig") from None
    except Exception as error:  # whatever a file that is not one makes the library fail with
        raise Unsupported(
            f"kubeconfig: {kubeconfig} is not a usable kubeconfig: {' '.join(str(error).split())[:200]}; give that of a cluster"
        ) from None


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingLibrary("kubernetes", str(error)) from None


def _reason(error: Exception) -> str:
    """Return why there was no answer, without the objects that urllib3 names.

    >>> _reason(OSError("<HTTPSConnection object at 0x7f>: Failed to establish a new connection: [Errno 111] Connection refused"))
    'Connection refused'
    >>> _reason(OSError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1006)"))
    'certificate verify failed: self-signed certificate'
    """
    text = " ".join(str(error).split())
    text = re.sub(r".*\[Errno -?\d+\] |.*\[SSL: \w+\] | \(_ssl\.c:\d+\).*", "", text)
    return re.sub(r"^\S*<[^>]*>: ", "", text) or type(error).__name__
