# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""oauth2-proxy, which Traefik asks about each request (ForwardAuth): its arguments, its pages and its Kubernetes objects. No I/O."""
from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import sso, workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.sso import API_PATHS, COOKIE_SECRET, IDENTITY, PORT, REDIS_PASSWORD, Given, Sso
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, checksum, read
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Container, Object, described

#: The user of the official image, and where its files are mounted.
USER, FOLDER = 65532, "/etc/oauth2-proxy"
#: What changes if the pods must restart although their specification stays the same.
CHECKSUM = "mlops.mlflow/checksum"
#: The cookie of a session, of whose prefix browsers know that no other host and no plain HTTP may set it.
COOKIE = "__Host-mlflow_sso"
TRAEFIK = "traefik.io/v1alpha1"


@dataclass(frozen=True)
class Proxy:
    """The proxy of a deployment: the role's variables, and what they stand on."""

    sso: Sso
    cluster: Cluster
    #: The files of its ConfigMap.
    files: Mapping[str, str] = field(default_factory=dict)
    #: The values that its pods read from Secrets.
    secrets: Sequence[str] = ()
    #: What lets pods reach the issuer, and Redis.
    servers_egress: Sequence[Mapping[str, Any]] = ()

    @property
    def checksum(self) -> str:
        """What changes if its files or its secrets change, of which the cookie's secret cannot be guessed."""
        return checksum(as_json([self.files, self.secrets], sort_keys=True))


def arguments(given: Sso) -> list[str]:
    """Return the arguments, none of which is secret."""
    return [
        f"--http-address=0.0.0.0:{PORT}",
        *_of_requests(given), *_of_issuer(given), *_of_tokens(given), *_of_session(given),
    ]  # fmt: skip


def _of_requests(given: Sso) -> list[str]:
    """How requests are answered that Traefik asks about: each at the address / of this proxy."""
    return [
        "--upstream=static://202", "--reverse-proxy=true", *(f"--trusted-proxy-ip={network}" for network in given.trusted_proxies),
        f"--api-route=^{API_PATHS}(/|[?]|$)", "--skip-provider-button=true", f"--custom-templates-dir={FOLDER}",
        # Of requests, the log would have the codes that are exchanged for tokens; who logs in, and who is refused, it has anyway.
        "--request-logging=false",
    ]  # fmt: skip


def _of_issuer(given: Sso) -> list[str]:
    found = [
        "--provider=oidc", f"--oidc-issuer-url={given.issuer_url}", f"--client-id={given.client_id}", f"--scope={given.scope}",
        "--code-challenge-method=S256",
    ]  # fmt: skip
    if given.internal_issuer_url:
        found += [
            "--skip-oidc-discovery=true", f"--login-url={sso.keycloak(given.issuer_url, 'auth')}",
            f"--redeem-url={sso.keycloak(given.internal_issuer_url, 'token')}", f"--oidc-jwks-url={sso.keycloak(given.internal_issuer_url, 'certs')}",
        ]  # fmt: skip
    if given.ends_session_at:
        sign = "&" if "?" in given.ends_session_at else "?"
        hint = "" if "{id_token}" in given.ends_session_at else f"{sign}id_token_hint={{id_token}}"
        found.append(f"--backend-logout-url={given.ends_session_at}{hint}")
    return found


def _of_tokens(given: Sso) -> list[str]:
    """Who is let in. Nobody is known by an e-mail address, which users need not have and services have none of that is verified."""
    return [
        "--email-domain=*", "--oidc-email-claim=sub", f"--oidc-groups-claim={given.groups_claim}",
        *(f"--allowed-group={group}" for group in given.allowed_groups),
        *(["--set-authorization-header=true"] if given.forward_token else []),
        "--skip-jwt-bearer-tokens=true", *(f"--oidc-extra-audience={audience}" for audience in given.extra_audiences),
        *(f"--extra-jwt-issuers={each['issuer']}={each['audience']}" for each in given.extra_issuers),
    ]  # fmt: skip


def _of_session(given: Sso) -> list[str]:
    return [
        f"--cookie-name={COOKIE}", "--cookie-secure=true", "--cookie-httponly=true", "--cookie-samesite=lax",
        f"--cookie-refresh={given.session_refresh}", f"--cookie-expire={given.session_expire}",
        # Two tabs may log in at the same time, and a tab that never does leaves a cookie behind.
        "--cookie-csrf-per-request=true", "--cookie-csrf-per-request-limit=10", "--cookie-csrf-expire=15m",
        *(["--session-store-type=redis", f"--redis-connection-url={given.redis_url}"] if given.redis_url else []),
    ]  # fmt: skip


def files(given: Sso, error_page: str) -> dict[str, str]:
    """Return the files of the ConfigMap: what a browser is shown, what a program is told, and the authority of the issuer's certificate.

    ``error_page`` is a template in which $groups and $other are replaced; oauth2-proxy fills in the rest.
    """
    groups = f"a member of one of these groups: {', '.join(given.allowed_groups)}" if given.allowed_groups else "known to the issuer"
    other = sso.keycloak(given.issuer_url, "logout") or given.issuer_url
    page = Template(error_page).safe_substitute(groups=_inert(groups), other=_inert(other))
    return {"error.html": page, "robots.txt": sso.refusal(given), **({"ca.crt": given.issuer_ca} if given.issuer_ca else {})}


def _inert(text: str) -> str:
    """A text in a page that is a template.

    >>> _inert("<{{.Message}}>")
    '&lt;&#123;&#123;.Message}}&gt;'
    """
    return html.escape(text).replace("{", "&#123;")


# Its objects


def objects(proxy: Proxy) -> list[Object]:
    """Return the objects in the order in which they are applied."""
    given, name, labels = proxy.sso, proxy.sso.name, proxy.sso.identity.labels
    egress = [*proxy.cluster.dns_egress, *proxy.servers_egress, *given.egress]
    return [
        workload.service_account(name, labels),
        workload.config_map(name, labels, proxy.files),
        workload.service(given.identity, name, "http", PORT),
        workload.network_policy(given.identity, name, egress, "http", given.callers),
        *([workload.disruption_budget(given.identity, name)] if given.replicas > 1 else []),
        _deployment(proxy),
        *_middlewares(proxy),
    ]


def _deployment(proxy: Proxy) -> Object:
    given, identity = proxy.sso, proxy.sso.identity
    pod = workload.pod(
        given.name, workload.user(USER, group_of_volumes=False), [_container(given)], terminationGracePeriodSeconds=30,
        **workload.spread(identity, given.replicas),
    )  # fmt: skip
    return described("apps/v1", "Deployment", given.name, identity.labels, spec={
        "replicas": given.replicas,
        "revisionHistoryLimit": 3,
        # Old pods stay until new ones are ready: wrong variables lock nobody out.
        "strategy": workload.ROLLING_UPDATE,
        "selector": {"matchLabels": identity.selector},
        "template": {"metadata": {"labels": identity.labels, "annotations": {CHECKSUM: proxy.checksum}}, "spec": pod},
    })  # fmt: skip


def _container(given: Sso) -> Container:
    environment = [
        workload.secret_value("OAUTH2_PROXY_CLIENT_SECRET", *given.secret),
        workload.secret_value("OAUTH2_PROXY_COOKIE_SECRET", given.name, COOKIE_SECRET),
        *([workload.secret_value("OAUTH2_PROXY_REDIS_PASSWORD", given.name, REDIS_PASSWORD)] if given.redis_password else []),
        # Beside the well-known authorities, for all its connections.
        *([workload.value("SSL_CERT_DIR", FOLDER)] if given.issuer_ca else []),
    ]
    volumes = [workload.files("files", FOLDER, given.name)]
    return Container("oauth2-proxy", given.image, ["/bin/oauth2-proxy"], volumes, given.resources, environment, {
        "args": arguments(given),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "livenessProbe": {"httpGet": {"path": "/ping", "port": "http"}, "periodSeconds": 20, "timeoutSeconds": 5},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5, "timeoutSeconds": 5},
        # Why it ended, in the pod's status: what is wrong with its arguments, or with the issuer.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        # Requests come for a moment after the pod is told to stop.
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
    })  # fmt: skip


def _middlewares(proxy: Proxy) -> list[Object]:
    """What Traefik does with a request, from outside to inside.

    A 401 gets words that MLflow's clients show, in the file that oauth2-proxy serves to everybody. The proxy is asked, which is told of the request
    by Traefik alone, since nothing that a client sends counts as forwarded. What would say to MLflow who somebody is goes no further, except for the
    token that the proxy has verified, where it is wanted.
    """
    given, labels = proxy.sso, proxy.sso.identity.labels
    explain = {"errors": {"status": ["401"], "query": "/robots.txt", "service": {"name": given.name, "port": PORT}}}
    authenticate = {"forwardAuth": {
        "address": f"http://{given.name}.{proxy.cluster.namespace}.svc:{PORT}/",
        "trustForwardHeader": False,
        # A session that was refreshed; a long one is in several cookies.
        "addAuthCookiesToResponse": [COOKIE, *(f"{COOKIE}_{number}" for number in range(4))],
        # In the place of the client's own.
        **({"authResponseHeaders": ["Authorization"]} if given.forward_token else {}),
    }}  # fmt: skip
    stripped = [name for name in IDENTITY if not (given.forward_token and name == "Authorization")]
    strip = {"headers": {"customRequestHeaders": dict.fromkeys(stripped, "")}}
    specs = {"explain": explain, "authenticate": authenticate, "strip": strip}
    return [described(TRAEFIK, "Middleware", name, labels, spec=specs[what]) for what, name in given.middlewares.items()]


def decided(given: Given) -> list[Object]:
    """The objects, from what the role gives."""
    variables = sso.of(given)
    secrets = [given["secrets"].get(variables.name, {}).get(COOKIE_SECRET, ""), sso.client_secret(given)]
    secrets += [variables.redis_password] if variables.redis_password else []
    return objects(Proxy(variables, read(Cluster, given["kubernetes"], ""), files(variables, given["error_page"]), secrets, given["egress"]))
