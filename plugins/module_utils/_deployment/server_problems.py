# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What is wrong with the variables of an MLflow server, one sentence each: the variable, its value, the remedy. No I/O."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import oidc_plugin, server_jwt
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Database
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server import RESERVED_SESSIONS, Server
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import minute
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object

_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_DNS_NAME, _SERVICE_NAME = re.compile(rf"{_LABEL}([.]{_LABEL})*"), re.compile("[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_TRAEFIK = "traefik.io/v1alpha1"


def unpublished(published: Mapping[str, Any]) -> list[str]:
    """Return what is said where an earlier role has not published its connection; ``published`` is each by the role's name.

    >>> unpublished({"postgresql": None, "artifact_store": {}})[0][:57]
    'postgresql_connection: it is not set; run the role mlops.'
    """
    return [
        f"{role}_connection: it is not set; run the role mlops.mlflow.{role} earlier in the same play, or the playbook mlops.mlflow.site, which runs "
        "all roles in order"
        for role, connection in published.items()
        if not connection
    ]


def problems(server: Server, database: Database) -> list[str]:
    """Return what is wrong with the variables and the database together."""
    most = database.max_connections
    found = [*_sessions(server, most), *_unset(server, most), *_of_metrics(server), *server_jwt.problems(server)]
    if not server.is_on_kubernetes:
        return found
    return [*found, *_of_deployment(server), *_of_host(server), *_of_login(server), *_of_tls(server)]


def _sessions(server: Server, most: int) -> Iterator[str]:
    if server.sessions(most) <= most - RESERVED_SESSIONS:
        return
    surge = ", one of them while a rolling update lasts," if server.strategy == "RollingUpdate" else ""
    pods = f"{server.processes} pods{surge} × " if server.is_on_kubernetes else ""
    fewer = "mlflow_server_replicas, mlflow_server_max_replicas, " if server.is_on_kubernetes else ""
    yield (
        f"mlflow_server_pool_size: {pods}{server.workers} workers × {server.engines} engines × ({server.pool(most)} + {server.max_overflow}) "
        f"connections = {server.sessions(most)}, but PostgreSQL allows {most}, {RESERVED_SESSIONS} of them reserved for others; lower {fewer}"
        "mlflow_server_workers, mlflow_server_pool_size or mlflow_server_max_overflow, or raise postgresql_max_connections"
    )


def _unset(server: Server, most: int) -> Iterator[str]:
    numbers = [server.workers, server.pool(most), server.max_overflow]
    if min(numbers) < 1:
        yield (
            "mlflow_server_workers, mlflow_server_pool_size and mlflow_server_max_overflow: one of "
            f"{', '.join(map(str, numbers))} is below 1, which MLflow treats as unset; set 1 or more"
        )


def _of_metrics(server: Server) -> Iterator[str]:
    if server.metrics_enabled and server.metrics_port == server.port:
        yield f"mlflow_server_metrics_port: {server.metrics_port} is mlflow_server_port, too; set another, such as 9464"
    if bool(server.metrics_user) != bool(server.metrics_secret.get("name")):
        yield (
            f"mlflow_server_metrics_user: is '{server.metrics_user}', and mlflow_server_metrics_secret names "
            f"'{server.metrics_secret.get('name') or ''}'; set both, the role and the Secret with its password, or neither"
        )
    if server.metrics_user and not server.is_on_kubernetes:
        yield f"mlflow_server_metrics_user: '{server.metrics_user}' is for Kubernetes; leave it out, the embedded exporter logs in as MLflow does"
    if server.metrics_backup_hours < 1:
        yield f"mlflow_server_metrics_backup_hours: {server.metrics_backup_hours} is too short; set the hours between two backups, and some more"


def _of_deployment(server: Server) -> Iterator[str]:
    if not _SERVICE_NAME.fullmatch(server.name):
        yield (
            f"mlflow_server_name: '{server.name}' is not a valid Service name; use at most 40 lower-case letters, digits and dashes, starting with a "
            "letter"
        )
    if not server.image:
        yield "mlflow_server_image: no image is set, and the role mlflow_image has not published one; run that role before this one, or set an image"
    if server.replicas < 1:
        yield f"mlflow_server_replicas: {server.replicas} pods cannot serve requests; set 1 or more"
    if 0 < server.max_replicas < server.replicas:
        yield (
            f"mlflow_server_max_replicas: {server.max_replicas} is below mlflow_server_replicas, {server.replicas}; raise it, or set 0 for no "
            "autoscaler"
        )
    if server.service_monitor_enabled and not server.metrics_enabled:
        yield "mlflow_server_service_monitor_enabled: there are no metrics to collect; set mlflow_server_metrics_enabled: true too"


def _of_host(server: Server) -> Iterator[str]:
    """What is wrong with the way from outside, and with who is let through."""
    is_traefik = server.ingress_class == "traefik"
    if server.is_public and not _DNS_NAME.fullmatch(server.host):
        yield f"mlflow_server_host: '{server.host}' is not a DNS name; use one in lower-case letters, without scheme and port"
    if server.is_public and server.is_open and not server.is_jwt:
        yield (
            f"mlflow_server_host: '{server.host}' exposes MLflow without authentication; set mlflow_server_auth: basic, "
            "mlflow_server_ingress_auth: basic, sso_provider, or mlflow_server_middlewares that authenticate requests, or leave mlflow_server_host "
            "empty"
        )
    if server.is_public and server.is_open and server.is_jwt:
        yield (
            f"mlflow_server_jwt_anonymous: '{server.jwt_anonymous}' lets whoever reaches '{server.host}' in without a token; set refuse, or "
            "sso_provider, or leave mlflow_server_host empty"
        )
    if server.is_ingress_basic and server.is_basic:
        yield (
            f"mlflow_server_ingress_auth: basic and mlflow_server_auth: {server.auth} would both read the one Authorization header that a request "
            "has; set one of them to none"
        )
    if server.is_ingress_basic and server.is_ingress and not is_traefik:
        yield (
            f"mlflow_server_ingress_auth: basic needs Traefik, but mlflow_server_ingress_class is '{server.ingress_class}'; set mlflow_server_auth: "
            "basic, or external with mlflow_server_ingress_annotations that require a password"
        )
    if server.middlewares and server.is_ingress and not is_traefik:
        yield (
            f"mlflow_server_middlewares: they need Traefik, but mlflow_server_ingress_class is '{server.ingress_class}'; use "
            "mlflow_server_ingress_annotations"
        )
    elsewhere = [name for name in server.middlewares if "/" in name]
    if server.is_route and elsewhere:
        yield (
            f"mlflow_server_middlewares: an HTTPRoute can use only Middlewares in its own namespace, but {', '.join(elsewhere)} names another; "
            "create one there"
        )


def _of_login(server: Server) -> Iterator[str]:
    """What does not go together with a login in front of the server."""
    if server.is_plugin:
        yield from oidc_plugin.server_problems(server)
    if not server.login or not server.is_public:
        return
    if server.login.policies and server.middlewares:
        yield (
            f"mlflow_server_middlewares: {', '.join(server.middlewares)} would be for Traefik, but sso_provider: envoy_gateway is for a Gateway of "
            "Envoy Gateway; remove them, or set sso_provider: oauth2_proxy"
        )
    if server.login.middlewares and server.is_ingress and server.ingress_class != "traefik":
        yield (
            f"mlflow_server_ingress_class: '{server.ingress_class}' does not know the Middlewares by which the role sso asks for a login; set "
            "traefik, or sso_provider: none with mlflow_server_ingress_annotations that ask for one"
        )
    for variable, value in (("mlflow_server_ingress_auth", server.ingress_auth), ("mlflow_server_auth", server.auth)):
        if value == "basic" and not (server.is_plugin and variable == "mlflow_server_auth"):
            yield (
                f"{variable}: basic and the login of the role sso would both read the one Authorization header that a request has; set {variable}: "
                "none, or sso_provider: none"
            )
    if server.is_jwt and not server.login.forwards_token and not server.is_plugin:
        yield (
            "mlflow_server_auth: jwt reads the token that the login of the role sso keeps to itself; set sso_forward_token: true, so that MLflow "
            "knows who has logged in"
        )
    if server.tls == "none":
        yield (
            "mlflow_server_tls: none is plain HTTP, over which browsers do not send the cookie of the login of the role sso; set generated, "
            "provided, cert_manager or external"
        )


def _of_tls(server: Server) -> Iterator[str]:
    if server.is_route and server.tls not in ("external", "none"):
        yield (
            f"mlflow_server_tls: '{server.tls}' is for an Ingress; an HTTPRoute uses the certificate of its Gateway's listener, so set external"
        )
    if server.tls == "cert_manager" and not server.tls_issuer:
        yield f"mlflow_server_tls_issuer: mlflow_server_tls is cert_manager, but no issuer is set; set the name of a {server.tls_issuer_kind}"
    if server.tls == "provided" and not (server.tls_certificate and server.tls_key):
        yield (
            "mlflow_server_tls: provided needs mlflow_server_tls_certificate and mlflow_server_tls_key, as PEM text, for example with the lookup "
            "ansible.builtin.file"
        )


def kinds(server: Server) -> list[Object]:
    """Return the kinds that not every cluster has and that this server needs: kind, api_version, and what ``says`` that they are missing."""
    middleware = "mlflow_server_http_redirect: %s; install Traefik's CRDs, or set it to false"
    if server.is_ingress_basic:
        middleware = "mlflow_server_ingress_auth: %s; deploy Traefik in the cluster, or set mlflow_server_auth: basic instead"
    known = (
        ("HTTPRoute", "gateway.networking.k8s.io/v1", server.is_route,
         "mlflow_server_gateways: %s; install the Gateway API and a controller for it, or set [] for an Ingress"),
        ("Middleware", _TRAEFIK, server.is_ingress_basic or server.is_redirected, middleware),
        ("Certificate", "cert-manager.io/v1", server.is_ingress and server.tls == "cert_manager",
         "mlflow_server_tls: %s; install cert-manager, or use generated or provided"),
        *((kind, "monitoring.coreos.com/v1", server.service_monitor_enabled,
           "mlflow_server_service_monitor_enabled: %s; install the Prometheus operator, or set it to false")
          for kind in ("ServiceMonitor", "PrometheusRule")),
    )  # fmt: skip
    return [
        {"kind": kind, "api_version": version, "says": says % f"the cluster does not have the kind {kind} of {version}"}
        for kind, version, is_needed, says in known if is_needed
    ]  # fmt: skip


def certificate_problems(server: Server, certificate: Mapping[str, Any], key: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the provided certificate and its key, as community.crypto describes them."""
    if not certificate.get("public_key"):
        return [
            "mlflow_server_tls_certificate: it cannot be read as a PEM certificate; set it to the text that begins with "
            "-----BEGIN CERTIFICATE-----"
        ]
    if not key.get("public_key"):
        return [
            "mlflow_server_tls_key: it cannot be read as a PEM key without a passphrase; set it to the text that begins with "
            "-----BEGIN PRIVATE KEY-----"
        ]
    return [*_of_pair(certificate, key), *_of_time(certificate), *_of_names(server.host, certificate.get("subject_alt_name") or [])]


def _of_pair(certificate: Mapping[str, Any], key: Mapping[str, Any]) -> Iterator[str]:
    if certificate["public_key"].strip() != key["public_key"].strip():
        yield "mlflow_server_tls_key: it is not the key of mlflow_server_tls_certificate; set a certificate and its own key"


def _of_time(certificate: Mapping[str, Any]) -> Iterator[str]:
    if certificate.get("expired"):
        yield f"mlflow_server_tls_certificate: it expired at {minute(certificate['not_after'])} UTC; renew it, or set mlflow_server_tls: generated"
    elif not (certificate.get("valid_at") or {}).get("now", True):
        yield (
            f"mlflow_server_tls_certificate: it is valid from {minute(certificate['not_before'])} UTC, which is in the future; wait, correct this "
            "host's clock, or set mlflow_server_tls: generated"
        )


def _of_names(host: str, names: Sequence[str]) -> Iterator[str]:
    wildcard = f"DNS:*.{host.partition('.')[2]}"
    if f"DNS:{host}" not in names and wildcard not in names:
        yield (
            f"mlflow_server_tls_certificate: it is for {', '.join(names) or 'no name'}, not for mlflow_server_host '{host}'; use one that has it "
            "among its subject alternative names"
        )
