# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The way to an MLflow server from outside the cluster: Ingress or HTTPRoute, certificate, redirection and password. No I/O."""
from __future__ import annotations

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server import Server
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import Deployed, base64
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, described

NETWORKING, TRAEFIK = "networking.k8s.io/v1", "traefik.io/v1alpha1"


def ingress(deployed: Deployed) -> Object:
    """Return the Ingress, with the annotations that its class of controllers reads."""
    server = deployed.server
    made = _ingress(server, server.name)
    made["metadata"]["annotations"] = {**_by_class(server, deployed.cluster.namespace), **_issuer(server), **server.ingress_annotations}
    if server.has_own_tls:
        made["spec"]["tls"] = [{"hosts": [server.host], "secretName": server.tls_secret}]
    return made


def _ingress(server: Server, name: str) -> Object:
    backend = {"service": {"name": server.name, "port": {"name": "http"}}}
    rule = {"host": server.host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    return described(NETWORKING, "Ingress", name, server.identity.labels, spec={"ingressClassName": server.ingress_class, "rules": [rule]})


def _by_class(server: Server, namespace: str) -> dict[str, str]:
    """The annotations that a controller of this class reads."""
    if server.ingress_class == "nginx":
        limits = {"body-size": "0", "request-buffering": "off", "read-timeout": server.transfer_timeout, "send-timeout": server.transfer_timeout}
        return {f"nginx.ingress.kubernetes.io/proxy-{name}": str(limit) for name, limit in limits.items()}
    if server.ingress_class != "traefik":
        return {}
    router = {}
    if server.all_middlewares:
        router["middlewares"] = ",".join(_in_traefik(name, namespace) for name in server.all_middlewares)
    if server.has_own_tls:
        router |= {"entrypoints": "websecure", "tls": "true"}
    return {f"traefik.ingress.kubernetes.io/router.{name}": text for name, text in router.items()}


def _in_traefik(middleware: str, namespace: str) -> str:
    """The name of a Middleware in an annotation.

    >>> _in_traefik("sso/forward-auth", "ml"), _in_traefik("own", "ml")
    ('sso-forward-auth@kubernetescrd', 'ml-own@kubernetescrd')
    """
    place, _slash, name = middleware.rpartition("/")
    return f"{place or namespace}-{name}@kubernetescrd"


def _issuer(server: Server) -> dict[str, str]:
    kind = "cluster-issuer" if server.tls_issuer_kind == "ClusterIssuer" else "issuer"
    return {f"cert-manager.io/{kind}": server.tls_issuer} if server.tls == "cert_manager" else {}


def redirected_ingress(deployed: Deployed) -> Object:
    """The way of http://, to https:// alone."""
    server = deployed.server
    made = _ingress(server, f"{server.name}-http")
    made["metadata"]["annotations"] = {
        "traefik.ingress.kubernetes.io/router.entrypoints": "web",
        "traefik.ingress.kubernetes.io/router.middlewares": _in_traefik(f"{server.name}-https", deployed.cluster.namespace),
    }
    return made


def redirection(deployed: Deployed) -> Object:
    """Return what sends http:// to https://."""
    server = deployed.server
    spec = {"redirectScheme": {"scheme": "https", "permanent": True}}
    return described(TRAEFIK, "Middleware", f"{server.name}-https", server.identity.labels, spec=spec)


def ingress_password(deployed: Deployed) -> Object:
    """Return the Secret with the user and the password that Traefik asks for."""
    server = deployed.server
    data = {"username": base64(server.ingress_username), "password": base64(deployed.secrets.get("ingress-password", ""))}
    return described("v1", "Secret", server.middleware, server.identity.labels, type="kubernetes.io/basic-auth", data=data)


def ingress_authentication(deployed: Deployed) -> Object:
    """Return what asks for them."""
    server = deployed.server
    spec = {"basicAuth": {"secret": server.middleware, "realm": server.host, "removeHeader": True}}
    return described(TRAEFIK, "Middleware", server.middleware, server.identity.labels, spec=spec)


def given_certificate(deployed: Deployed) -> Object:
    """Return the Secret with the certificate from the variables."""
    server = deployed.server
    data = {"tls.crt": base64(server.tls_certificate), "tls.key": base64(server.tls_key)}
    return described("v1", "Secret", f"{server.name}-given-tls", server.identity.labels, type="kubernetes.io/tls", data=data)


def route(deployed: Deployed) -> Object:
    """Return the HTTPRoute."""
    server, limit = deployed.server, f"{deployed.server.transfer_timeout}s"
    filters = [
        {"type": "ExtensionRef", "extensionRef": {"group": "traefik.io", "kind": "Middleware", "name": name}} for name in server.all_middlewares
    ]
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        **({"filters": filters} if filters else {}),
        "backendRefs": [{"name": server.name, "port": server.port}],
        "timeouts": {"request": limit, "backendRequest": limit},
    }
    spec = {"parentRefs": [*server.gateways], "hostnames": [server.host], "rules": [rule]}
    return described("gateway.networking.k8s.io/v1", "HTTPRoute", server.name, server.identity.labels, spec=spec)
