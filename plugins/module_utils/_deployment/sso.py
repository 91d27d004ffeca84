# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The role sso's variables, the connection that it publishes, and what the role asks for. No I/O."""
from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, host_and_port, read
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Identity, Object

Given = Mapping[str, Any]
#: The providers, besides none.
OAUTH2_PROXY, ENVOY_GATEWAY, OIDC_PLUGIN = "oauth2_proxy", "envoy_gateway", "oidc_plugin"
#: The component of the workload that asks for a login.
COMPONENT = "login"
#: The keys of the role's Secret.
CLIENT_SECRET, COOKIE_SECRET, REDIS_PASSWORD = "client-secret", "cookie-secret", "redis-password"
#: Where oauth2-proxy listens.
PORT = 4180
#: The path of the login's own pages, and of those where the issuer sends a browser back, and where a session ends.
PAGES, CALLBACK, LOGOUT = "/oauth2/", "/oauth2/callback", "/oauth2/sign_out"
#: The API of Envoy Gateway, and the kinds of its policies, in the order in which they are applied.
ENVOY, POLICIES = "gateway.envoyproxy.io/v1alpha1", ("SecurityPolicy", "BackendTrafficPolicy")
#: The paths that programs ask, not people who look at a page: there, a missing login is a 401, not a redirection to the issuer.
API_PATHS = "/(api|ajax-api|v1|graphql|gateway|get-artifact|model-versions|health|version)"
#: The seconds of the units of a duration.
_SECONDS = {"s": 1, "m": 60, "h": 3600}
#: What says to MLflow who somebody is. Nothing of it is MLflow's business, and a client could have sent it.
IDENTITY = (
    "Authorization",
    *(f"X-Forwarded-{name}" for name in ("User", "Email", "Groups", "Preferred-Username", "Access-Token")),
    *(f"X-Auth-Request-{name}" for name in ("User", "Email", "Groups", "Preferred-Username", "Access-Token")),
)


@dataclass(frozen=True)
class Sso:
    """The variables sso_*, which roles/sso/meta/argument_specs.yml documents."""

    provider: str = "none"
    issuer_url: str = ""
    internal_issuer_url: str = ""
    issuer_ca: str = ""
    client_id: str = ""
    client_secret: str = ""
    existing_secret: Mapping[str, str] = field(default_factory=dict)
    jwks_url: str = ""
    scope: str = "openid profile"
    groups_claim: str = "groups"
    allowed_groups: Sequence[str] = ()
    admin_groups: Sequence[str] = ()
    extra_audiences: Sequence[str] = ()
    extra_issuers: Sequence[Mapping[str, str]] = ()
    forward_token: bool = False
    logout_url: str = ""
    session_refresh: str = "4m"
    session_expire: str = "12h"
    redis_url: str = ""
    redis_password: str = ""
    name: str = "oauth2-proxy"
    image: str = ""
    replicas: int = 1
    resources: Mapping[str, Any] = field(default_factory=dict)
    trusted_proxies: Sequence[str] = ()
    callers: Sequence[Mapping[str, Any]] = ()
    egress: Sequence[Mapping[str, Any]] = ()
    #: What the role keycloak publishes, if this deployment's own Keycloak is the issuer.
    keycloak: Mapping[str, Any] = field(default_factory=dict)
    #: The ``name``, the ``host`` and the ``gateways`` of the server behind the login.
    server: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> Identity:
        """Whose the objects are."""
        return Identity(self.provider.replace("_", "-"), self.name, COMPONENT)

    @property
    def secret(self) -> tuple[str, str]:
        """The name and the key of the Secret with the client's secret."""
        existing = self.existing_secret or self.keycloak.get("client_secret") or {}
        return existing.get("name") or self.name, existing.get("key") or CLIENT_SECRET

    @property
    def middlewares(self) -> dict[str, str]:
        """The names of the Middlewares, by what each does, in the order in which requests pass through them."""
        return {"explain": f"{self.name}-explain", "authenticate": self.name, "strip": f"{self.name}-strip"}

    @property
    def logout(self) -> str:
        """The path at which people log out."""
        return "/logout" if self.provider == OIDC_PLUGIN else LOGOUT

    @property
    def reached_issuer_url(self) -> str:
        """The issuer's URL as pods reach it."""
        return self.internal_issuer_url or self.issuer_url

    @property
    def ends_session_at(self) -> str:
        """Where the provider's session ends, as pods reach it, or "" if that is not known. Keycloak's is known."""
        return self.logout_url or keycloak(self.reached_issuer_url, "logout")


def keycloak(issuer_url: str, endpoint: str) -> str:
    """Return the address of an endpoint of Keycloak, or "" if the issuer is not Keycloak's.

    >>> keycloak("https://login.example.com/realms/akko/", "logout"), keycloak("https://login.example.com", "logout")
    ('https://login.example.com/realms/akko/protocol/openid-connect/logout', '')
    """
    return f"{issuer_url.rstrip('/')}/protocol/openid-connect/{endpoint}" if "/realms/" in issuer_url else ""


def connection(sso: Sso) -> Object:
    """Return what every provider publishes; {} where nobody is asked for a login."""
    if sso.provider == "none":
        return {}
    issuers = [sso.issuer_url, *(each["issuer"] for each in sso.extra_issuers)]
    audiences = [sso.client_id, *sso.extra_audiences, *(each["audience"] for each in sso.extra_issuers)]
    is_proxy, is_gateway = sso.provider == OAUTH2_PROXY, sso.provider == ENVOY_GATEWAY
    return {
        "middlewares": list(sso.middlewares.values()) if is_proxy else [],
        "routes": [{"path": PAGES, "service": sso.name, "port": PORT}] if is_proxy else [],
        "policies": [{"kind": kind, "name": sso.name} for kind in POLICIES] if is_gateway else [],
        "removed_headers": removed_headers(sso) if is_gateway else [],
        "egress": [], "callers": [], "forwards_token": sso.forward_token,
        # Of a server that asks for a login itself.
        "application": "", "environment": {}, "secret_environment": {}, "volumes": [], "checksum": "",
        "issuers": _distinct(issuers), "audiences": _distinct(audiences),
        "how_to_use": [
            f"People log in at {sso.issuer_url}, and log out at {sso.logout}",
            f"Programs outside the cluster need MLFLOW_TRACKING_TOKEN, an access token of {' or '.join(_distinct(issuers))} for the audience "
            f"{' or '.join(_distinct(audiences))}",
            *sso.keycloak.get("how_to_use", []),
        ],
    }  # fmt: skip


def removed_headers(sso: Sso) -> list[str]:
    """Return the headers that a Gateway takes from a request before it goes on. Cookies have the tokens of the session.

    >>> "Authorization" in removed_headers(Sso()), "Authorization" in removed_headers(Sso(forward_token=True))
    (True, False)
    """
    return ["Cookie", *(name for name in IDENTITY if not (sso.forward_token and name == "Authorization"))]


def refusal(sso: Sso) -> str:
    """Return what a program without a valid login is told, in the form in which MLflow's clients show a message."""
    known = connection(sso)
    return as_json({
        "error_code": "UNAUTHENTICATED",
        "message": (
            "This MLflow server requires a login, and the request has no valid one. Set MLFLOW_TRACKING_TOKEN to an access token that has not "
            f"expired, of {' or '.join(known['issuers'])}, for the audience {' or '.join(known['audiences'])}, and unset MLFLOW_TRACKING_USERNAME "
            "and MLFLOW_TRACKING_PASSWORD, which take precedence over it. In a browser, reload the page."
        ),
    })  # fmt: skip


def seconds(duration: str) -> int:
    """Return a duration in seconds.

    >>> seconds("1h30m")
    5400
    """
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall("([0-9]+)(s|m|h)", str(duration)))


def _distinct(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def objects_named(name: str) -> list[Object]:
    """Return what identifies each object that the role may create or change under a name."""
    networking, traefik = "networking.k8s.io/v1", "traefik.io/v1alpha1"
    middlewares = [{"kind": "Middleware", "api_version": traefik, "name": each} for each in Sso(name=name).middlewares.values()]
    return [
        {"kind": "Secret", "name": name}, {"kind": "ServiceAccount", "name": name}, {"kind": "ConfigMap", "name": name},
        {"kind": "Service", "name": name}, {"kind": "NetworkPolicy", "api_version": networking, "name": name},
        {"kind": "PodDisruptionBudget", "api_version": "policy/v1", "name": name},
        {"kind": "Deployment", "api_version": "apps/v1", "name": name}, *middlewares,
    ]  # fmt: skip


def policies_named(name: str) -> list[Object]:
    """Return what identifies each object that the role may create or change in front of a server's HTTPRoute, under a name."""
    own = [{"kind": kind, "api_version": ENVOY, "name": name} for kind in (*POLICIES, "Backend")]
    return [{"kind": "Secret", "name": name}, {"kind": "ConfigMap", "name": name}, *own]


def values_named(name: str) -> list[Object]:
    """Return what identifies each object of these that is no policy, but has the client's secret, and the authority of the issuer's certificate."""
    return [each for each in policies_named(name) if "api_version" not in each]


def policy_name(server: str) -> str:
    """Return the name of what belongs to a server's login, if that is not oauth2-proxy's."""
    return f"{server}-login"


# What the role asks for


def of(given: Given) -> Sso:
    """Return the role's variables. Without an issuer, the deployment's own Keycloak is it, if there is one."""
    variables, found = replace(read(Sso, given["variables"], "sso_"), server=given["server"]), given["keycloak"]
    if variables.provider in (ENVOY_GATEWAY, OIDC_PLUGIN):
        variables = replace(variables, name=policy_name(given["server"]["name"]))
    if variables.issuer_url or not found or variables.provider == "none":
        return variables
    return replace(
        variables, keycloak=found, issuer_url=found["issuer_url"], internal_issuer_url=variables.internal_issuer_url or found["internal_issuer_url"],
        issuer_ca=variables.issuer_ca or found["issuer_ca"], client_id=variables.client_id or found["client_id"],
    )  # fmt: skip


def claims(given: Given) -> list[Object]:
    """The objects that the role may create or change, checked before the first change of a run."""
    if given["provider"] in (ENVOY_GATEWAY, OIDC_PLUGIN):
        named = policies_named if given["provider"] == ENVOY_GATEWAY else values_named
        return [{**each, "option": "mlflow_server_name"} for each in named(policy_name(given["server"]))]
    made = objects_named(given["name"]) if given["provider"] == OAUTH2_PROXY else []
    return [{**each, "option": "sso_name"} for each in made]


def left_behind(given: Given) -> list[Object]:
    """What is left of oauth2-proxy where the deployment no longer has it, has it under another name, or with a single pod.

    What stands in front of an HTTPRoute is removed by the role of the server, once the route is another.
    """
    sso, cluster = of(given), read(Cluster, given["kubernetes"], "")
    kept = sso.name if sso.provider == OAUTH2_PROXY else ""
    names = [each["name"] for each in cluster.workloads if each.get("component") == COMPONENT and each["name"] != kept]
    single = [each for each in objects_named(kept) if kept and sso.replicas < 2 and each["kind"] == "PodDisruptionBudget"]
    return [*single, *(each for name in names for each in objects_named(name))]


def secret_keys(given: Given) -> dict[str, str]:
    """The values of the role's Secret, "" where one is to be made."""
    sso = of(given)
    return {
        **({COOKIE_SECRET: ""} if sso.provider == OAUTH2_PROXY else {}),
        **({} if sso.existing_secret or sso.keycloak else {CLIENT_SECRET: sso.client_secret}),
        **({REDIS_PASSWORD: sso.redis_password} if sso.redis_password else {}),
    }  # fmt: skip


def addresses(given: Given) -> list[Object]:
    """The host and the port at which pods reach the issuer and, if sessions are there, Redis."""
    sso = of(given)
    found = [host_and_port(sso.reached_issuer_url), *([redis_address(sso.redis_url)] if sso.redis_url else [])]
    return [{"host": host, "port": port} for host, port in found]


def redis_address(url: str) -> tuple[str, int]:
    """Return the host and the port of Redis.

    >>> redis_address("redis://valkey.akko.svc/0"), redis_address("rediss://[fd00::7]:6380")
    (('valkey.akko.svc', 6379), ('fd00::7', 6380))
    """
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 6379


def client_secret(given: Given) -> str:
    """The client's secret, of the Secret that exists already, of Keycloak's or of the role's own; "" if that has none."""
    sso, (name, key) = of(given), of(given).secret
    if not sso.existing_secret:
        return str(given["secrets"].get(name, {}).get(key, ""))
    return b64decode((given["existing"].get("data") or {}).get(key, "")).decode()


def missing_secret(given: Given) -> str:
    """Why the Secret that should exist already cannot be used, or ""."""
    name, key = of(given).secret
    if client_secret(given):
        return ""
    return (
        f"sso_existing_secret: namespace {given['kubernetes']['namespace']} has no Secret '{name}' with a key '{key}'; create it first, or set the "
        "name of its key as key"
    )
