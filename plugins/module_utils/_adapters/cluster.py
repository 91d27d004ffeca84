# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Looks at a Kubernetes cluster by its API on ``http.client``, with the credentials of a kubeconfig file.

It does not import ``kubernetes``, which costs 0.8 seconds of CPU a start: a wait starts every few seconds, on the very
host where what it waits for is starting too.
"""
from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import ssl
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError, MissingLibrary, NotPermitted, Unreachable, Unsupported

YAML_ERROR = ""
try:
    import yaml
except ImportError as error:
    yaml = None  # type: ignore[assignment]
    YAML_ERROR = str(error)

#: Where a kind is in the API (https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/).
_PATHS = {
    "Deployment": ("/apis/apps/v1", "deployments"),
    "StatefulSet": ("/apis/apps/v1", "statefulsets"),
    "DaemonSet": ("/apis/apps/v1", "daemonsets"),
    "Job": ("/apis/batch/v1", "jobs"),
}
_LISTS = {
    "replica_sets": ("/apis/apps/v1", "replicasets"),
    "pods": ("/api/v1", "pods"),
    "events": ("/api/v1", "events"),
    "claims": ("/api/v1", "persistentvolumeclaims"),
}
#: An API server that restarts, as k3s does with its configuration, is away for some twenty seconds.
_TRIES = 8


class Cluster:
    """One namespace of the cluster that ``kubeconfig``, a file's path, names. Opens no connection yet.

    Raises Unreachable or Unsupported for a file that is none, and MissingLibrary where PyYAML is.
    """

    def __init__(self, kubeconfig: str, namespace: str) -> None:
        self._file, self._namespace = kubeconfig, namespace
        self._cluster, self._user = self._entries()
        url = urlsplit(str(self._cluster.get("server", "")))
        if url.scheme != "https" or not url.hostname:
            raise Unsupported(f"kubeconfig: {kubeconfig} names no https server of its current context; give the file of a cluster")
        self._host, self._port, self._path = url.hostname, url.port or 443, url.path.rstrip("/")
        self._tls = self._context()
        self._connection: http.client.HTTPSConnection | None = None
        self._now = 0.0

    def look(self, rollouts: Iterable[Mapping[str, str]]) -> dict[str, Any]:
        """The workloads, each a ``kind`` and a ``name``, and all that may tell why one is not ready.

        Keys: ``objects`` by ``KIND/NAME`` (None for what is not there), ``replica_sets``, ``pods``, ``events``, ``claims``,
        and ``now``, the server's clock in seconds since 1970.
        """
        objects = {f"{one['kind']}/{one['name']}": self._object(one["kind"], one["name"]) for one in rollouts}
        lists = {key: self._listed(*place) for key, place in _LISTS.items()}
        return {"objects": objects, **lists, "now": self._now}

    def log(self, pod: str, container: str, previous: bool, lines: int = 80) -> str:
        """The end of a container's log, of its run before where ``previous``; empty where Kubernetes has none."""
        query = urlencode({"container": container, "previous": str(previous).lower(), "tailLines": lines})
        status, payload = self._send("GET", f"/api/v1/namespaces/{self._namespace}/pods/{pod}/log?{query}")
        if status == 200:
            return payload.decode("utf-8", "replace")
        return self.log(pod, container, False, lines) if previous else ""

    def delete_pod(self, name: str) -> None:
        """Delete a pod, so that what it belongs to makes another. One that is gone already is no error."""
        path = f"/api/v1/namespaces/{self._namespace}/pods/{name}"
        status, payload = self._send("DELETE", path)
        if status not in (202, 404):
            self._answer(f"DELETE {path}", status, payload)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # Requests

    def _object(self, kind: str, name: str) -> dict[str, Any] | None:
        group, plural = _PATHS[kind]
        path = f"{group}/namespaces/{self._namespace}/{plural}/{name}"
        status, payload = self._send("GET", path)
        return None if status == 404 else self._answer(f"GET {path}", status, payload)

    def _listed(self, group: str, plural: str) -> list[dict[str, Any]]:
        path = f"{group}/namespaces/{self._namespace}/{plural}"
        items: list[dict[str, Any]] = self._answer(f"GET {path}", *self._send("GET", path)).get("items") or []
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

    def _send(self, method: str, path: str) -> tuple[int, bytes]:
        """Status and body, after as many tries as an API server needs to come back."""
        reason = ""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(min(0.5 * 2**attempt, 5.0))
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPSConnection(self._host, self._port, timeout=15, context=self._tls)
                self._connection.request(method, self._path + path, headers=self._headers())
                response = self._connection.getresponse()
                status, payload = response.status, response.read()
            except ssl.SSLCertVerificationError as error:
                self.close()
                raise Unreachable(
                    f"kubeconfig: the certificate of https://{self._host}:{self._port} is not trusted by {self._file}: {error.verify_message}; "
                    "fetch the cluster's kubeconfig anew"
                ) from None
            except (OSError, http.client.HTTPException) as error:
                self.close()
                reason = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
                continue
            if status not in (429, 500, 502, 503, 504):
                self._now = parsedate_to_datetime(response.getheader("Date", "")).timestamp() if response.getheader("Date") else time.time()
                return status, payload
            reason = f"it answers {status}"
        raise Unreachable(
            f"kubeconfig: the API server https://{self._host}:{self._port} of {self._file} gives no answer: {reason}; "
            "check that the cluster is up: systemctl status k3s"
        )

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "mlops.mlflow"}
        token = self._user.get("token") or (_text(self._user["tokenFile"]).strip() if self._user.get("tokenFile") else "")
        if token:
            headers["Authorization"] = f"Bearer {token}"
        elif self._user.get("username"):
            secret = base64.b64encode(f"{self._user['username']}:{self._user.get('password', '')}".encode()).decode()
            headers["Authorization"] = f"Basic {secret}"
        return headers

    # The file (https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/)

    def _entries(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The cluster and the user of the current context."""
        if yaml is None:
            raise MissingLibrary("PyYAML", YAML_ERROR)
        try:
            content = yaml.safe_load(_text(self._file)) or {}
            context = _named(content, "contexts", content["current-context"])["context"]
            found = _named(content, "clusters", context["cluster"])["cluster"], _named(content, "users", context["user"])["user"]
        except OSError as error:
            raise Unreachable(f"kubeconfig: {self._file} cannot be read: {error.strerror}; give the path of the cluster's kubeconfig") from None
        except (AttributeError, KeyError, StopIteration, TypeError, yaml.YAMLError):
            raise Unsupported(f"kubeconfig: {self._file} is no kubeconfig with a current context; give the path of the cluster's") from None
        if found[1].keys() & {"exec", "auth-provider"}:
            raise Unsupported(f"kubeconfig: the user of {self._file} logs in by a program; give a file with a certificate or a token")
        return found

    def _context(self) -> ssl.SSLContext:
        folder = os.path.dirname(os.path.abspath(self._file))
        try:
            authority = self._cluster.get("certificate-authority-data")
            path = self._cluster.get("certificate-authority")
            context = ssl.create_default_context(
                cadata=base64.b64decode(authority).decode() if authority else None,
                cafile=os.path.join(folder, path) if path and not authority else None,
            )
            if self._cluster.get("insecure-skip-tls-verify"):
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with self._pem("client-certificate", folder) as certificate, self._pem("client-key", folder) as key:
                if certificate:
                    context.load_cert_chain(certificate, key)
        except (OSError, ValueError) as error:
            raise Unsupported(f"kubeconfig: a certificate that {self._file} names cannot be used: {error}; fetch the kubeconfig anew") from None
        return context

    @contextlib.contextmanager
    def _pem(self, key: str, folder: str) -> Iterator[str | None]:
        """The path of what the user has under ``key``; ssl reads files alone, so data go into one that only the user can read."""
        data = self._user.get(f"{key}-data")
        if not data:
            yield os.path.join(folder, self._user[key]) if self._user.get(key) else None
            return
        with tempfile.NamedTemporaryFile(prefix="mlops-mlflow-") as file:
            file.write(base64.b64decode(data))
            file.flush()
            yield file.name


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _named(content: Mapping[str, Any], section: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(entry for entry in content[section] if entry["name"] == name)
    return found
