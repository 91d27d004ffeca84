# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The way to an MLflow server from outside the cluster: Ingress or HTTPRoute, certificate, redirection and password. No I/O."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server import Server
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import Deployed, base64
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, described

NETWORKING, TRAEFIK = "networking.k8s.io/v1", "traefik.io/v1alpha1"


def ingress(deployed: Deployed) -> Object:
    """Return the Ingress, with the annotations that its class of controllers reads."""
    server = deployed.server
    middlewares = [_in_traefik(name, deployed.cluster.namespace) for name in server.all_middlewares]
    annotations = {**_by_class(server, middlewares), **_issuer(server), **server.ingress_annotations}
    return _ingress(server, server.name, [_path("/", server.name, "http")], annotations, server.has_own_tls)


def routed_ingress(deployed: Deployed) -> Object:
    """Return the Ingress for what is not for the server: the same host and certificate, without the Middlewares."""
    server = deployed.server
    paths = [_path(route["path"], route["service"], int(route["port"])) for route in server.login.routes]
    return _ingress(server, f"{server.name}-routes", paths, _by_class(server, []), server.has_own_tls)


def _path(path: str, service: str, port: str | int) -> Object:
    named = {"name": port} if isinstance(port, str) else {"number": port}
    return {"path": path, "pathType": "Prefix", "backend": {"service": {"name": service, "port": named}}}


def _ingress(server: Server, name: str, paths: Sequence[Object], annotations: Mapping[str, str], has_tls: bool) -> Object:
    tls = {"tls": [{"hosts": [server.host], "secretName": server.tls_secret}]} if has_tls else {}
    rule = {"host": server.host, "http": {"paths": [*paths]}}
    spec = {"ingressClassName": server.ingress_class, "rules": [rule], **tls}
    made = described(NETWORKING, "Ingress", name, server.identity.labels, spec=spec)
    made["metadata"]["annotations"] = dict(annotations)
    return made


def _by_class(server: Server, middlewares: Sequence[str]) -> dict[str, str]:
    """The annotations that a controller of this class reads."""
    if server.ingress_class == "nginx":
        limits = {"body-size": "0", "request-buffering": "off", "read-timeout": server.transfer_timeout, "send-timeout": server.transfer_timeout}
        return {f"nginx.ingress.kubernetes.io/proxy-{name}": str(limit) for name, limit in limits.items()}
    if server.ingress_class != "traefik":
        return {}
    router = {}
    if middlewares:
        router["middlewares"] = ",".join(middlewares)
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
    annotations = {
        "traefik.ingress.kubernetes.io/router.entrypoints": "web",
        "traefik.ingress.kubernetes.io/router.middlewares": _in_traefik(f"{server.name}-https", deployed.cluster.namespace),
    }
    return _ingress(server, f"{server.name}-http", [_path("/", server.name, "http")], annotations, has_tls=False)


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
    filters: list[Object] = [
        {"type": "ExtensionRef", "extensionRef": {"group": "traefik.io", "kind": "Middleware", "name": name}} for name in server.all_middlewares
    ]
    if server.login.removed_headers:
        filters.append({"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": [*server.login.removed_headers]}})
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        **({"filters": filters} if filters else {}),
        "backendRefs": [{"name": server.name, "port": server.port}],
        "timeouts": {"request": limit, "backendRequest": limit},
    }
    others = [
        {
            "matches": [{"path": {"type": "PathPrefix", "value": each["path"]}}],
            "backendRefs": [{"name": each["service"], "port": int(each["port"])}],
        }
        for each in server.login.routes
    ]
    spec = {"parentRefs": [*server.gateways], "hostnames": [server.host], "rules": [*others, rule]}
    return described("gateway.networking.k8s.io/v1", "HTTPRoute", server.name, server.identity.labels, spec=spec)
