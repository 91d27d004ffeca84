# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The role mlflow_server's variables, and what follows from them alone: its names, its sessions, and which objects it has. No I/O."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Login
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Identity

#: The connections of PostgreSQL that are left for others.
RESERVED_SESSIONS = 5
#: A smaller pool opens and closes connections all the time; a larger one serves nobody.
SMALLEST_POOL, LARGEST_POOL = 5, 20
#: The values of the server's Secret: those that encrypt what is in the database and in webhooks, and the passwords that people know.
SECRET_KEYS = ("webhook-key", "crypto-passphrase", "flask-secret-key", "admin-password", "ingress-password")
#: The name of the TLS Secret, after the server's. They differ, so that a certificate that cert-manager renews is not taken for one of this role.
_TLS_SECRETS = {"provided": "given-tls", "cert_manager": "issued-tls"}


@dataclass(frozen=True)
class Server:
    """The variables mlflow_server_*, which roles/mlflow_server/meta/argument_specs.yml documents."""

    runtime: str = "kubernetes"
    port: int = 5000
    workers: int = 1
    auth: str = "none"
    admin_username: str = "admin"
    default_permission: str = "READ"
    auth_cache_ttl: int = 60
    jwt_issuers: Sequence[Mapping[str, Any]] = ()
    jwt_roles: Sequence[Mapping[str, Any]] = ()
    jwt_anonymous: str = "refuse"
    jwt_algorithms: Sequence[str] = ("RS256", "ES256")
    jwt_clock_skew: int = 30
    extra_hosts: Sequence[str] = ()
    extra_origins: Sequence[str] = ()
    pool_size: int | None = None
    max_overflow: int = 5
    jobs_enabled: bool = False
    telemetry_enabled: bool = False
    presigned_artifacts: bool = False
    log_format: str = "text"
    environment: Mapping[str, Any] = field(default_factory=dict)

    name: str = "mlflow"
    previous_name: str = ""
    app: str = "mlflow"
    image: str = ""
    image_pull_policy: str = "IfNotPresent"
    cluster_domain: str = "cluster.local"
    replicas: int = 1
    max_replicas: int = 0
    target_cpu: int = 80
    strategy: str = "RollingUpdate"
    resources: Mapping[str, Any] = field(default_factory=dict)
    migration_resources: Mapping[str, Any] = field(default_factory=dict)
    migration_timeout: int = 1800
    tmp_size: str = "5Gi"
    liveness_probe: Mapping[str, Any] = field(default_factory=dict)
    readiness_probe: Mapping[str, Any] = field(default_factory=dict)
    startup_probe: Mapping[str, Any] = field(default_factory=dict)
    stop_seconds: int = 60
    pod_spec: Mapping[str, Any] = field(default_factory=dict)
    environment_from: Sequence[Mapping[str, Any]] = ()

    host: str = ""
    ingress_class: str = "traefik"
    ingress_annotations: Mapping[str, Any] = field(default_factory=dict)
    ingress_auth: str = "none"
    ingress_username: str = "mlflow"
    middlewares: Sequence[str] = ()
    gateways: Sequence[Mapping[str, Any]] = ()
    transfer_timeout: int = 3600
    http_redirect: bool = True
    tls: str = "generated"
    tls_certificate: str = ""
    tls_key: str = ""
    tls_issuer: str = ""
    tls_issuer_kind: str = "ClusterIssuer"

    callers: Sequence[Mapping[str, Any]] = ()
    ingress_namespace: str = "kube-system"
    ingress_pods: Mapping[str, str] = field(default_factory=dict)
    egress: Sequence[Mapping[str, Any]] = ()
    metrics_enabled: bool = False
    metrics_port: int = 9464
    metrics_namespace: str = "monitoring"
    metrics_pods: Mapping[str, str] = field(default_factory=dict)
    metrics_user: str = ""
    metrics_secret: Mapping[str, str] = field(default_factory=dict)
    metrics_backup_hours: int = 26
    service_monitor_enabled: bool = False
    service_monitor_labels: Mapping[str, str] = field(default_factory=dict)

    #: No variable of this role's, but what the role sso has published.
    login: Login = field(default_factory=Login)

    @property
    def is_on_kubernetes(self) -> bool:
        """Whether it runs in a cluster, and not from a wheel."""
        return self.runtime == "kubernetes"

    @property
    def is_basic(self) -> bool:
        """Whether MLflow itself knows users, and takes their passwords."""
        return self.auth in ("basic", "jwt")

    @property
    def is_plugin(self) -> bool:
        """Whether an application of somebody else asks for a login, with users and permissions of its own."""
        return bool(self.login.application)

    @property
    def application(self) -> str:
        """The application that MLflow runs instead of its open one, or ""."""
        return "basic-auth" if self.is_basic else self.login.application

    @property
    def has_users(self) -> bool:
        """Whether whoever calls it, from wherever, has to say who he is."""
        return bool(self.application)

    @property
    def is_jwt(self) -> bool:
        """Whether it takes tokens, too."""
        return self.auth == "jwt"

    @property
    def is_anonymous(self) -> bool:
        """Whether it takes tokens, and lets callers without one in."""
        return self.is_jwt and self.jwt_anonymous != "refuse"

    @property
    def is_public(self) -> bool:
        """Whether it has a name outside the cluster."""
        return bool(self.host)

    @property
    def is_ingress(self) -> bool:
        """Whether an Ingress leads to it."""
        return self.is_public and not self.gateways

    @property
    def is_route(self) -> bool:
        """Whether an HTTPRoute leads to it."""
        return self.is_public and bool(self.gateways)

    @property
    def is_scaled(self) -> bool:
        """Whether an autoscaler sets the number of pods."""
        return self.max_replicas > self.replicas

    @property
    def is_ingress_basic(self) -> bool:
        """Whether Traefik asks for a password in front of it."""
        return self.is_public and self.ingress_auth == "basic"

    @property
    def is_open(self) -> bool:
        """Whether nothing that is known asks for a password."""
        return (self.auth == "none" or self.is_anonymous) and self.ingress_auth == "none" and not self.middlewares and not self.login

    @property
    def has_own_tls(self) -> bool:
        """Whether the Ingress has a certificate."""
        return self.is_ingress and self.tls in ("generated", "provided", "cert_manager")

    @property
    def is_certified(self) -> bool:
        """Whether that certificate is the deployment's own, which a CronJob renews."""
        return self.is_ingress and self.tls == "generated"

    @property
    def is_redirected(self) -> bool:
        """Whether Traefik sends http:// to https://; the other controllers do so by themselves."""
        return self.has_own_tls and self.ingress_class == "traefik" and self.http_redirect

    @property
    def most_replicas(self) -> int:
        """The largest number of pods that serve."""
        return max(self.replicas, self.max_replicas)

    @property
    def processes(self) -> int:
        """The largest number of servers at a time: while a rolling update lasts, there is one more."""
        if not self.is_on_kubernetes:
            return 1
        return self.most_replicas + (1 if self.strategy == "RollingUpdate" else 0)

    @property
    def engines(self) -> int:
        """The connection pools of a worker: of the tracking store and of the registry, and of the users if there are any."""
        return 3 if self.has_users else 2

    def pool(self, max_connections: int) -> int:
        """Return the size of each pool: as given, or what the database has for it.

        >>> [Server().pool(most) for most in (200, 100, 30)], Server(pool_size=7).pool(30)
        ([20, 18, 5], 7)
        """
        if self.pool_size is not None:
            return self.pool_size
        each = (max_connections - RESERVED_SESSIONS) // max(self.processes * self.workers * self.engines, 1) - self.max_overflow
        return min(LARGEST_POOL, max(each, SMALLEST_POOL))

    def sessions(self, max_connections: int) -> int:
        """Return how many connections all pools together may open.

        >>> Server(replicas=2, workers=4, pool_size=10).sessions(200)
        360
        """
        return self.processes * self.workers * self.engines * (self.pool(max_connections) + self.max_overflow)

    @property
    def identity(self) -> Identity:
        """Whose the objects are."""
        return Identity(self.app, self.name, "server")

    @property
    def middleware(self) -> str:
        """The name of the Middleware that asks for a password, and of the Secret that has it."""
        return f"{self.name}-auth"

    @property
    def all_middlewares(self) -> list[str]:
        """The Middlewares that requests pass through, each as NAME or NAMESPACE/NAME."""
        return [*self.login.middlewares, *self.middlewares, *([self.middleware] if self.is_ingress_basic else [])]

    @property
    def has_routes(self) -> bool:
        """Whether an Ingress of its own leads to what is not for the server."""
        return self.is_ingress and bool(self.login.routes)

    @property
    def certificate(self) -> str:
        """The name of what renews the certificate."""
        return f"{self.name}-certificate"

    @property
    def tls_secret(self) -> str:
        """The Secret with the certificate of the Ingress."""
        return f"{self.name}-{_TLS_SECRETS.get(self.tls, 'tls')}"

    @property
    def public_uri(self) -> str:
        """The address outside the cluster, or ""."""
        return f"{'http' if self.tls == 'none' else 'https'}://{self.host}" if self.is_public else ""

    @property
    def arguments(self) -> list[str]:
        """The arguments of the program that serves."""
        listen = ["--host", "0.0.0.0" if self.is_on_kubernetes else "127.0.0.1", "--port", str(self.port)]
        return [*listen, "--workers", str(self.workers), *(["--app-name", self.application] if self.application else [])]

    def service_names(self, namespace: str) -> list[str]:
        """Return the names of the Service.

        >>> Server().service_names("ml")
        ['mlflow', 'mlflow.ml', 'mlflow.ml.svc', 'mlflow.ml.svc.cluster.local']
        """
        full = f"{self.name}.{namespace}.svc"
        return [self.name, f"{self.name}.{namespace}", full, f"{full}.{self.cluster_domain}"]

    def uri(self, namespace: str) -> str:
        """Return the address within the cluster."""
        return f"http://{self.name}.{namespace}.svc:{self.port}"
