# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What the roles publish for those that follow: the database, the artifact store, the image, and the cluster that is deployed to. No I/O."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, Volume

#: What a connection has that says nothing of where it leads: pods may connect to anything.
ANYWHERE: list[Object] = [{}]


@dataclass(frozen=True)
class Connection:
    """What the reader of a connection must do (docs/adr/0026-a-connection-says-what-to-do.md)."""

    environment: Mapping[str, Any] = field(default_factory=dict)
    #: Environment variables whose values are in Secrets, {name, key}, or, for the embedded server, in files, {file}.
    secret_environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    volumes: Sequence[Mapping[str, Any]] = ()
    egress: Sequence[Mapping[str, Any]] = ()
    checksum: str = ""

    @property
    def mounts(self) -> list[Volume]:
        """Its volumes; by default, a container may only read them."""
        return [Volume(each["name"], each["mount_path"], each["source"], _read_only(each)) for each in self.volumes]

    @property
    def secret_variables(self) -> list[Object]:
        """Its secret environment, as a container has it."""
        return [{"name": name, "valueFrom": {"secretKeyRef": dict(reference)}} for name, reference in self.secret_environment.items()]


def _read_only(volume: Mapping[str, Any]) -> bool:
    return volume.get("read_only") is None or bool(volume["read_only"])


@dataclass(frozen=True)
class Database(Connection):
    """``postgresql_connection``."""

    uri: str = ""
    auth_uri: str = ""
    database: str = ""
    auth_database: str = ""
    host: str = ""
    port: int = 5432
    user: str = ""
    max_connections: int = 100
    certificate_ends: str = ""


@dataclass(frozen=True)
class Store(Connection):
    """``artifact_store_connection``."""

    destination: str = ""
    #: When the kubelet gives the volumes the group of the server's pods; "" leaves it to Kubernetes, which means at each start.
    fs_group_change_policy: str = ""
    #: The NFS export that the volume is, with its ``server``, ``path``, ``mount_options`` and ``size``; empty if it is none.
    export: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pod_security(self) -> Object:
        """What the store adds to the security context of the server's pods.

        >>> Store(fs_group_change_policy="OnRootMismatch").pod_security, Store().pod_security
        ({'fsGroupChangePolicy': 'OnRootMismatch'}, {})
        """
        return {"fsGroupChangePolicy": self.fs_group_change_policy} if self.fs_group_change_policy else {}


@dataclass(frozen=True)
class Login(Connection):
    """``sso_connection``: what stands between people and a server that is reached from outside the cluster.

    Its ``egress`` is whom the server must reach, as rules of a NetworkPolicy.
    """

    #: Traefik's Middlewares in the server's namespace that each request from outside passes through, in this order.
    middlewares: Sequence[str] = ()
    #: What is not for the server: requests for ``path`` go to ``port`` of the Service ``service``, without those Middlewares.
    routes: Sequence[Mapping[str, Any]] = ()
    #: What a Gateway does with the requests for the server's HTTPRoute, each a ``kind`` and a ``name``; it is there before the route, and waited for.
    policies: Sequence[Mapping[str, str]] = ()
    #: The headers that a Gateway takes from a request before it goes on to the server.
    removed_headers: Sequence[str] = ()
    #: Who must reach the server besides the ingress controller, as peers of a NetworkPolicy.
    callers: Sequence[Mapping[str, Any]] = ()
    #: Whose tokens clients outside the cluster send, for whom these are issued, and what people are told of it.
    issuers: Sequence[str] = ()
    audiences: Sequence[str] = ()
    how_to_use: Sequence[str] = ()
    #: Whether a request reaches the server with the token of who has logged in.
    forwards_token: bool = False
    #: The application of MLflow that asks for a login itself, wherever a request comes from, with users and permissions of its own.
    application: str = ""

    def __bool__(self) -> bool:
        """Whether anything asks for a login."""
        return bool(self.middlewares or self.policies or self.application)


@dataclass(frozen=True)
class Image:
    """``mlflow_image_reference``: the image, and how it was called before images were named by their content."""

    image: str = ""
    earlier: str = ""
    hash: str = ""


@dataclass(frozen=True)
class Cluster:
    """``kubernetes_runtime``: where the objects of a deployment are, and who its pods may talk to."""

    namespace: str = ""
    kubeconfig: str = ""
    dns_egress: Sequence[Mapping[str, Any]] = field(default_factory=lambda: ANYWHERE)
    api_egress: Sequence[Mapping[str, Any]] = field(default_factory=lambda: ANYWHERE)
    #: The addresses of all nodes, and of the one that the modules run on, each as a network such as 10.0.0.1/32.
    node_addresses: Sequence[str] = ()
    host_addresses: Sequence[str] = ()
    workloads: Sequence[Mapping[str, Any]] = ()
    #: The labels, annotations and patches that users add.
    additions: Mapping[str, Any] = field(default_factory=dict)
    has_data: bool = False
