# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Envoy Gateway, whose proxy itself asks for a login: its policies for the server's HTTPRoute, and what they refer to. No I/O."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import sso, workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.sso import API_PATHS, CALLBACK, ENVOY, LOGOUT, Given, Sso
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, host_and_port
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, described

#: How its controllers are called in GatewayClasses, of which a cluster may have several.
CONTROLLER = "gateway.envoyproxy.io/"
GATEWAYS = "gateway.networking.k8s.io"
#: The cookies of a session, of whose prefix browsers know that no other host and no plain HTTP may set them.
ACCESS_TOKEN, ID_TOKEN = "__Host-mlflow-access-token", "__Host-mlflow-id-token"
#: The name of the issuer where policies refer to its tokens.
ISSUER = "issuer"


def objects(given: Sso) -> list[Object]:
    """Return the objects in the order in which they are applied: what a policy refers to comes before it."""
    return [*(_reached(given) if _is_private(given) else []), security_policy(given), _answers(given)]


def _is_private(given: Sso) -> bool:
    """Whether the certificate of the issuer is of an authority that Envoy does not know."""
    return bool(given.issuer_ca) and given.reached_issuer_url.startswith("https:")


def _reached(given: Sso) -> list[Object]:
    """Where the issuer is, and the authority of its certificate."""
    host, port = host_and_port(given.reached_issuer_url)
    authority = {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": given.name}], "sni": host}
    spec = {"endpoints": [{"fqdn": {"hostname": host, "port": port}}], "tls": authority}
    return [
        workload.config_map(given.name, given.identity.labels, {"ca.crt": given.issuer_ca}),
        described(ENVOY, "Backend", given.name, given.identity.labels, spec=spec),
    ]


def _backend(given: Sso) -> Object:
    reference = {"group": ENVOY.partition("/")[0], "kind": "Backend", "name": given.name, "port": host_and_port(given.reached_issuer_url)[1]}
    return {"backendRefs": [reference]} if _is_private(given) else {}


def _policy(given: Sso, kind: str, **spec: Any) -> Object:
    target = {"group": GATEWAYS, "kind": "HTTPRoute", "name": given.server["name"]}
    return described(ENVOY, kind, given.name, given.identity.labels, spec={"targetRefs": [target], **spec})


def security_policy(given: Sso) -> Object:
    """Return what lets nobody through but members of a group, and programs with their tokens.

    A session is known by its ID token, in a cookie that Envoy decrypts before it verifies the token like that of a program. It verifies all that a
    request has, so that nobody adds a token of theirs to the session of somebody else.
    """
    groups = {"authorization": {"defaultAction": "Deny", "rules": [_rule(given, name) for name in _issuers(given)]}} if given.allowed_groups else {}
    providers = [_provider(given, name, *about) for name, about in _issuers(given).items()]
    return _policy(given, "SecurityPolicy", oidc=_oidc(given), jwt={"providers": providers}, **groups)


def _oidc(given: Sso) -> Object:
    logout = given.logout_url or sso.keycloak(given.issuer_url, "logout")
    endpoints = {"authorizationEndpoint": sso.keycloak(given.issuer_url, "auth"), "tokenEndpoint": sso.keycloak(given.reached_issuer_url, "token")}
    return {
        "provider": {
            "issuer": given.issuer_url,
            # What Keycloak's are is known. Of another issuer, Envoy Gateway asks.
            **({name: url for name, url in endpoints.items() if url}),
            **({"endSessionEndpoint": logout} if logout else {}),
            **_backend(given),
        },
        "clientID": given.client_id,
        "clientSecret": {"group": "", "kind": "Secret", "name": given.secret[0]},
        "redirectURL": f"https://{given.server['host']}{CALLBACK}",
        "logoutPath": LOGOUT,
        "scopes": given.scope.split(),
        "cookieNames": {"accessToken": ACCESS_TOKEN, "idToken": ID_TOKEN},
        "cookieConfig": {"sameSite": "Lax"},
        "refreshToken": True,
        "forwardAccessToken": given.forward_token,
        # A program's token is verified below, in the place of a session; who has neither, is not sent to a page where a person logs in.
        "passThroughAuthHeader": True,
        "denyRedirect": {"headers": [{"name": ":path", "type": "RegularExpression", "value": f"{API_PATHS}([/?].*)?"}]},
    }  # fmt: skip


def _issuers(given: Sso) -> dict[str, tuple[str, list[str], str]]:
    """Whose tokens are let in, each with its audiences and the address of its keys, by a name."""
    own = given.jwks_url or sso.keycloak(given.reached_issuer_url, "certs")
    others = {
        f"{ISSUER}-{number}": (each["issuer"], [each["audience"]], jwks_url(each)) for number, each in enumerate(given.extra_issuers, 2)
    }  # fmt: skip
    return {ISSUER: (given.issuer_url, [given.client_id, *given.extra_audiences], own), **others}


def jwks_url(extra: Mapping[str, Any]) -> str:
    """Return where the keys of a further issuer are, or "" if that is not known.

    >>> jwks_url({"issuer": "https://a.example/realms/b"}), jwks_url({"issuer": "https://a.example"})
    ('https://a.example/realms/b/protocol/openid-connect/certs', '')
    """
    return str(extra.get("jwks_url") or sso.keycloak(str(extra.get("issuer")), "certs"))


def _provider(given: Sso, name: str, issuer: str, audiences: list[str], keys: str) -> Object:
    cookies = {"cookies": [ID_TOKEN]} if name == ISSUER else {}
    is_reached = name == ISSUER and urlsplit(keys).netloc == urlsplit(given.reached_issuer_url).netloc
    return {
        "name": name, "issuer": issuer, "audiences": audiences,
        "remoteJWKS": {"uri": keys, **(_backend(given) if is_reached else {})},
        "extractFrom": {"headers": [{"name": "Authorization", "valuePrefix": "Bearer "}], **cookies},
    }  # fmt: skip


def _rule(given: Sso, issuer: str) -> Object:
    claim = {"name": given.groups_claim, "valueType": "StringArray", "values": [*given.allowed_groups]}
    return {"name": issuer, "action": "Allow", "principal": {"jwt": {"provider": issuer, "claims": [claim]}}}


def _answers(given: Sso) -> Object:
    """What a program is told by Envoy, not by MLflow, in the form in which MLflow's clients show a message."""
    return _policy(given, "BackendTrafficPolicy", mergeType="StrategicMerge", responseOverride=[
        _answer(401, sso.refusal(given)), _answer(403, _stranger(given)),
    ])  # fmt: skip


def _answer(status: int, text: str) -> Object:
    # A percent sign begins what Envoy replaces.
    body = {"type": "Inline", "inline": text.replace("%", "%%")}
    match = {"statusCodes": [{"type": "Value", "value": status}]}
    return {"match": match, "source": "Local", "response": {"contentType": "application/json", "body": body}}


def _stranger(given: Sso) -> str:
    """What is said to whom the issuer knows: Envoy answers so, too, where a token is for another audience."""
    groups = f", and let in are members of these groups alone: {', '.join(given.allowed_groups)}" if given.allowed_groups else ""
    audiences = " or ".join(sso.connection(given)["audiences"])
    return as_json({
        "error_code": "PERMISSION_DENIED",
        "message": (
            f"This MLflow server does not let you in. A token must be for the audience {audiences}{groups}. To log in as somebody else, log out "
            f"first: https://{given.server['host']}{LOGOUT}"
        ),
    })  # fmt: skip


# What the role asks for


def decided(given: Given) -> list[Object]:
    """The objects, from what the role gives."""
    return objects(sso.of(given))


def forsaken(given: Given) -> list[Object]:
    """What the policies refer to no longer."""
    made = sso.of(given)
    gone = () if _is_private(made) else ("ConfigMap", "Backend")
    return [each for each in sso.policies_named(made.name) if each["kind"] in gone] + sso.left_behind(given)


def gateways(given: Given) -> list[Object]:
    """What is read to know who serves the Gateways: each Gateway, and all their classes."""
    api = f"{GATEWAYS}/v1"
    found = [{"api_version": api, "kind": "Gateway", "name": each["name"], "namespace": each.get("namespace", "")} for each in _gateways(given)]
    return [*found, {"api_version": api, "kind": "GatewayClass"}]


def _gateways(given: Given) -> list[Mapping[str, Any]]:
    return list(sso.of(given).server["gateways"])


def foreign_gateway(given: Given) -> str:
    """Why a Gateway cannot ask for a login, or "". The proxy of another takes no notice of the policies, and would let everybody in."""
    *found, classes = [each.get("resources") or [] for each in given["found_gateways"]]
    controllers = {each["metadata"]["name"]: str(each["spec"].get("controllerName")) for each in classes}
    for wanted, there in zip(_gateways(given), found):
        name = "/".join(filter(None, (wanted.get("namespace", ""), wanted["name"])))
        if not there:
            return f"mlflow_server_gateways: the cluster has no Gateway {name}, which sso_provider: {sso.ENVOY_GATEWAY} needs; create it first"
        of_class = str(there[0]["spec"].get("gatewayClassName"))
        if not controllers.get(of_class, "").startswith(CONTROLLER):
            return (
                f"sso_provider: {sso.ENVOY_GATEWAY} asks for a login at Gateways of Envoy Gateway alone, but Gateway {name} is of the class "
                f"{of_class}, whose controller is {controllers.get(of_class, 'unknown')}; set {sso.OAUTH2_PROXY} for a Gateway of Traefik"
            )
    return ""
