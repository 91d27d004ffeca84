"""What a server tells nodes that join, and how an agent learns it with the token."""
from __future__ import annotations

import base64
import http.client
import json
from dataclasses import asdict
from pathlib import Path

from .api import Api, ApiError
from .errors import K3sError
from .kubeconfig import kubeconfig
from .layout import Layout, write
from .log import log
from .node import Access, Cluster
from .supervisor import Supervisor
from .token import Token

PUBLIC = "/api/v1/namespaces/kube-public/configmaps/cluster-info"
CLUSTER = "/api/v1/namespaces/kube-system/configmaps/k3s-cluster"
BOOTSTRAP = "/api/v1/namespaces/kube-system/secrets/k3s-bootstrap"
SHARED = ("*-ca.crt", "*-ca.key", "etcd/*-ca.crt", "etcd/*-ca.key", "service.key")
"""The files below server/tls that are the same on all servers."""
APPLY = "application/apply-patch+yaml"


def _put(api: Api, path: str, data: dict[str, str]) -> None:
    _empty, _api, _version, _namespaces, namespace, kind, name = path.split("/")
    kinds = {"configmaps": "ConfigMap", "secrets": "Secret"}
    body = {"apiVersion": "v1", "kind": kinds[kind], "metadata": {"name": name, "namespace": namespace}, "data": data}
    api.json("PATCH", f"{path}?fieldManager=k3s&force=true", body, APPLY)


def publish(api: Api, cluster: Cluster, tls: Path) -> None:
    """Put the CA where anybody may read it, and the cluster's settings and the servers' files where those with the token may."""
    _put(api, PUBLIC, {"ca.crt": (tls / "server-ca.crt").read_text()})
    _put(api, CLUSTER, {"cluster.json": json.dumps(asdict(cluster)), "client-ca.crt": (tls / "client-ca.crt").read_text()})
    files = sorted(path for pattern in SHARED for path in tls.glob(pattern))
    _put(api, BOOTSTRAP, {str(path.relative_to(tls)).replace("/", "__"): base64.b64encode(path.read_bytes()).decode() for path in files})


class Join:
    """A node's way into a cluster."""

    def __init__(self, server: str, token: Token, layout: Layout) -> None:
        self.server, self._token, self._layout = server.rstrip("/"), token, layout
        self._authority = layout.agent / "server-ca.crt"

    def wait(self, supervisor: Supervisor) -> Cluster:
        """Wait for the server, check it and the token, and keep what it says.

        Raises:
            K3sError: the server's CA is not the one in the token, or the server does not know the token.

        """
        supervisor.wait_for(f"the server {self.server}", self._fetch_authority, timeout=3600, every=3)
        found: list[Cluster] = []

        def settings() -> bool:
            found.extend(self._fetch_settings())
            return bool(found)

        supervisor.wait_for(f"the settings of {self.server}", settings, every=3)
        return found[0]

    def _fetch_authority(self) -> bool:
        try:
            status, body = Api(self.server, None).raw("GET", PUBLIC)
        except (OSError, http.client.HTTPException) as error:
            log(f"Failed to get CA certs from {self.server}: {error}", "error")
            return False
        if status != 200:
            log(f"Failed to get CA certs from {self.server}: HTTP status {status}", "error")
            return False
        text: str = json.loads(body)["data"]["ca.crt"]
        self._token.check_authority(text.encode())
        write(self._authority, text, 0o644)
        return True

    def _fetch_settings(self) -> list[Cluster]:
        try:
            data = self.api().json("GET", CLUSTER)["data"]
        except ApiError as error:
            if error.status in {401, 403}:
                raise K3sError(f"failed to validate token: {self.server} does not know it: not authorized") from error
            return []
        except K3sError as error:
            log(str(error), "error")
            return []
        write(self._layout.agent / "client-ca.crt", data["client-ca.crt"], 0o644)
        return [Cluster(**json.loads(data["cluster.json"]))]

    def fetch_servers_files(self, tls: Path) -> None:
        """Write what all servers of a cluster share, for one more of them.

        Raises:
            K3sError: the token is one for agents alone.

        """
        for name, text in self.api().json("GET", BOOTSTRAP)["data"].items():
            path = tls / name.replace("__", "/")
            write(path, base64.b64decode(text).decode(), 0o600 if path.suffix == ".key" else 0o644)

    def api(self) -> Api:
        """A connection to the API server with the token."""
        return Api(self.server, self._authority, token=self._token.secret)

    def access(self) -> Access:
        """Kubeconfigs for the agent's parts: the kubelet gets a certificate with the token, the others show the token itself."""
        agent = self._layout.agent
        text = kubeconfig(self.server, self._authority, {"token": self._token.secret})
        for name in ("bootstrap", "kube-proxy"):
            write(agent / f"{name}.kubeconfig", text)
        return Access(agent / "client-ca.crt", agent / "kubelet.kubeconfig", agent / "kube-proxy.kubeconfig", agent / "bootstrap.kubeconfig")
