# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What is wrong with the variables of the role sso, one sentence each: the variable, its value, the remedy. No I/O."""
from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import oidc_plugin
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.envoy_gateway import jwks_url
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.sso import (
    CLIENT_SECRET,
    ENVOY_GATEWAY,
    OAUTH2_PROXY,
    OIDC_PLUGIN,
    Sso,
    keycloak,
    seconds,
)
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import host_and_port

_NAME = re.compile("[a-z]([-a-z0-9]{0,48}[a-z0-9])?")
#: A duration as Go writes it, of which oauth2-proxy takes several parts.
_DURATION = re.compile("([0-9]+(s|m|h))+")
#: The most audiences that Envoy Gateway takes.
_AUDIENCES = 8


def problems(sso: Sso, runtime: str) -> list[str]:
    """Return what is wrong with the variables, one sentence each, without the client's secret.

    >>> problems(Sso(), "embedded")
    []
    """
    if sso.provider == "none":
        return []
    if runtime != "kubernetes":
        return [
            f"sso_provider: {sso.provider} stands in front of a server in a cluster, but this one listens on loopback alone; remove it, or set "
            "mlflow_server_auth: basic"
        ]
    shared = [*_of_issuer(sso), *_of_client(sso), *_of_tokens(sso)]
    return [*shared, *_OF_PROVIDER[sso.provider](sso)]


def _of_issuer(sso: Sso) -> Iterator[str]:
    for name, url in (("issuer_url", sso.issuer_url), ("internal_issuer_url", sso.internal_issuer_url), ("logout_url", sso.logout_url),
                      ("jwks_url", sso.jwks_url)):
        if not url and name != "issuer_url":
            continue
        if not _is_url(url):
            own = ", or deploy one with keycloak_host" if not url else ""
            yield f"sso_{name}: '{url}' is not the URL of an issuer; set one such as https://login.example.com/realms/akko{own}"
    if sso.internal_issuer_url and "/realms/" not in sso.internal_issuer_url:
        yield (
            f"sso_internal_issuer_url: '{sso.internal_issuer_url}' is not the URL of a realm of Keycloak, whose endpoints alone are known without "
            "asking; make sso_issuer_url reachable from pods instead, and leave it empty"
        )
    if sso.issuer_ca and "BEGIN CERTIFICATE" not in sso.issuer_ca:
        yield "sso_issuer_ca: contains no certificate; set it to the text of a PEM file, or leave it empty if a well-known CA signed"


def _is_url(text: str, *schemes: str) -> bool:
    """Whether a text is a URL with a host and without blanks, by default of HTTP.

    >>> [_is_url(each) for each in ("https://a.example/realms/b", "http://10.0.0.1:8080", "a.example", "https://", "https://a:b", "https://a b")]
    [True, True, False, False, False, False]
    """
    try:
        url = urlsplit(text)
        return url.scheme in (schemes or ("http", "https")) and bool(url.hostname) and (url.port or 1) > 0 and not re.search(r"\s", text)
    except ValueError:
        return False


def _of_client(sso: Sso) -> Iterator[str]:
    if sso.keycloak:
        yield from _of_keycloak(sso)
        return
    if not sso.client_id:
        yield "sso_client_id: it is empty; set the ID of the client that the issuer has for MLflow"
    if bool((sso.existing_secret or {}).get("name")) == bool(sso.client_secret):
        yield (
            "sso_client_secret: a login needs either the client's secret, or the name of a Secret that has it in sso_existing_secret; set one of "
            "them, not both"
        )
    if "openid" not in sso.scope.split():
        yield f"sso_scope: '{sso.scope}' has no openid, without which the issuer sends no ID token; add it"


def _of_keycloak(sso: Sso) -> Iterator[str]:
    """What is set for another issuer than the deployment's own Keycloak."""
    given = {
        "internal_issuer_url": sso.internal_issuer_url != sso.keycloak["internal_issuer_url"],
        "issuer_ca": sso.issuer_ca != sso.keycloak["issuer_ca"], "client_id": sso.client_id != sso.keycloak["client_id"],
        "client_secret": sso.client_secret, "existing_secret": sso.existing_secret,
    }  # fmt: skip
    for name in (name for name, is_given in given.items() if is_given):
        yield (
            f"sso_{name}: it is set, but sso_issuer_url is empty, so that the login uses the Keycloak of this deployment (keycloak_host), with its "
            "own client; remove it, or set sso_issuer_url"
        )


def _of_tokens(sso: Sso) -> Iterator[str]:
    """What is wrong with who is let in. oauth2-proxy takes a comma for the end of a value."""
    for name, values in (("allowed_groups", sso.allowed_groups), ("admin_groups", sso.admin_groups), ("extra_audiences", sso.extra_audiences)):
        for value in values:
            if not str(value) or re.search(r'[,"\n]', str(value)):
                yield f"sso_{name}: '{value}' is empty or contains a comma, a quotation mark or a line end; rename it at the issuer"
    if sso.admin_groups and sso.provider != OIDC_PLUGIN:
        yield f"sso_admin_groups: sso_provider: {sso.provider} gives no permissions, so that nobody becomes an administrator by it; remove it"
    for each in sso.extra_issuers:
        issuer, audience = str(each.get("issuer") or ""), str(each.get("audience") or "")
        if not _is_url(issuer) or not audience or re.search('[,="]', issuer + audience):
            yield (
                f"sso_extra_issuers: issuer '{issuer}' with audience '{audience}' is not a URL with an audience, without commas and equals signs; "
                "set both, such as {issuer: https://kubernetes.default.svc.cluster.local, audience: mlflow}"
            )


def _of_gateway(sso: Sso) -> Iterator[str]:
    """What Envoy Gateway does not take, or does not do."""
    if not sso.server.get("host") or not sso.server.get("gateways"):
        yield (
            f"sso_provider: {ENVOY_GATEWAY} asks for a login in front of an HTTPRoute, and the server has none; set mlflow_server_host and "
            "mlflow_server_gateways, or oauth2_proxy for an Ingress"
        )
    if _is_url(sso.issuer_url) and not sso.issuer_url.startswith("https:"):
        yield f"sso_issuer_url: '{sso.issuer_url}' is plain HTTP, which Envoy Gateway does not take for an issuer; set its https:// address"
    reached = sso.reached_issuer_url
    if _is_url(reached) and _is_address(host_and_port(reached)[0]):
        name = "sso_internal_issuer_url" if sso.internal_issuer_url else "sso_issuer_url"
        yield f"{name}: '{reached}' has an address for a host, which Envoy Gateway does not take; set a URL with a name that pods resolve"
    if sso.issuer_url and not sso.jwks_url and not keycloak(sso.issuer_url, "certs"):
        yield (
            f"sso_jwks_url: it is empty, and Envoy Gateway does not ask '{sso.issuer_url}' where its keys are; set the jwks_uri of its "
            ".well-known/openid-configuration"
        )
    for each in (each for each in sso.extra_issuers if not _is_url(jwks_url(each))):
        yield f"sso_extra_issuers: where the keys of '{each.get('issuer')}' are is not known; add jwks_url to it, their URL"
    if sso.existing_secret and sso.secret[1] != CLIENT_SECRET:
        yield f"sso_existing_secret: Envoy Gateway reads the key {CLIENT_SECRET}, not '{sso.secret[1]}'; give the Secret a key of that name"
    if len(sso.extra_audiences) >= _AUDIENCES:
        yield f"sso_extra_audiences: Envoy Gateway takes {_AUDIENCES - 1} at most, but there are {len(sso.extra_audiences)}; remove some"
    if sso.redis_url or sso.redis_password:
        yield f"sso_redis_url: with sso_provider: {ENVOY_GATEWAY}, sessions are in cookies alone; remove it, or set oauth2_proxy"


def _is_address(host: str) -> bool:
    """Whether a host is given by its address.

    >>> _is_address("10.0.0.9"), _is_address("fd00::7"), _is_address("login.example.com")
    (True, True, False)
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _of_duration(name: str, value: str) -> Iterator[str]:
    if not _DURATION.fullmatch(str(value)):
        yield f"sso_{name}: '{value}' is not a duration; write it as 90s, 4m or 12h"


def _of_session(sso: Sso) -> Iterator[str]:
    wrong = [*_of_duration("session_refresh", sso.session_refresh), *_of_duration("session_expire", sso.session_expire)]
    if wrong:
        yield wrong[0]
        return
    if not 0 < seconds(sso.session_refresh) < seconds(sso.session_expire):
        yield (
            f"sso_session_refresh: {sso.session_refresh} is not between 0 and sso_session_expire, {sso.session_expire}; set a little less than the "
            "life of an access token, such as 4m"
        )
    if sso.redis_password and not sso.redis_url:
        yield "sso_redis_password: there is no Redis that it is for; set sso_redis_url, or remove it"
    # Everybody would see a password in it, in the pod's arguments.
    if sso.redis_url and (not _is_url(sso.redis_url, "redis", "rediss") or urlsplit(sso.redis_url).password is not None):
        yield (
            "sso_redis_url: it is not the URL of a Redis or Valkey without a password; set one such as redis://valkey.akko.svc:6379/0, and the "
            "password as sso_redis_password"
        )


def _of_deployment(sso: Sso) -> Iterator[str]:
    if not _NAME.fullmatch(sso.name):
        yield (
            f"sso_name: '{sso.name}' is not a valid Service name; use at most 50 lower-case letters, digits and dashes, starting with a letter and "
            "not ending with a dash"
        )
    if sso.replicas < 1:
        yield f"sso_replicas: {sso.replicas} pods cannot let anybody in; set 1 or more"
    if not sso.callers:
        yield "sso_callers: is empty, which Kubernetes treats as everyone; list the ingress controller's pods"
    yield from _of_proxies(sso)


def _of_proxies(sso: Sso) -> Iterator[str]:
    if not sso.trusted_proxies:
        meaning = "nobody, so that it would not know of HTTPS" if sso.provider == OIDC_PLUGIN else "everyone"
        who = "mlflow-oidc-auth" if sso.provider == OIDC_PLUGIN else "oauth2-proxy"
        yield f"sso_trusted_proxies: is empty, which {who} treats as {meaning}; list the cluster's pod network, such as 10.42.0.0/16"
    for network in sso.trusted_proxies:
        try:
            ipaddress.ip_network(str(network))
        except ValueError:
            yield f"sso_trusted_proxies: '{network}' is not a network; write it as 10.42.0.0/16"


def _of_oauth2_proxy(sso: Sso) -> Iterator[str]:
    yield from (*_of_session(sso), *_of_deployment(sso))


def _of_plugin(sso: Sso) -> Iterator[str]:
    yield from (*oidc_plugin.problems(sso), *_of_duration("session_expire", sso.session_expire), *_of_proxies(sso))


_OF_PROVIDER = {OAUTH2_PROXY: _of_oauth2_proxy, ENVOY_GATEWAY: _of_gateway, OIDC_PLUGIN: _of_plugin}
