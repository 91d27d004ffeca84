"""The login by Envoy Gateway: what is said of its variables, what each part of its policies is there for, and what the server makes of it."""
from __future__ import annotations

import json
import re
from typing import Any

import deployments
import pytest
import variants

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import server_decisions
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.sso_decisions import DECISIONS

CERTIFICATE = "-----BEGIN CERTIFICATE-----"
ISSUER = "https://login.example.com/realms/akko"
INTERNAL = "https://keycloak.akko.svc:8443/realms/akko"
EXTRA = {"issuer": "https://kubernetes.default.svc", "audience": "pods", "jwks_url": "https://kubernetes.default.svc/openid/v1/jwks"}
ROUTE: dict[str, Any] = {"gateways": [{"name": "public"}], "tls": "external"}


def given(**more: Any) -> dict[str, Any]:
    """What the role gives, with the lines of an inventory."""
    return deployments.sso(provider="envoy_gateway", **more)


def objects(**more: Any) -> dict[str, dict[str, Any]]:
    """The specifications by kind; of a ConfigMap, its data."""
    return {made["kind"]: made.get("spec") or made["data"] for made in DECISIONS["envoy_gateway"](given(**more))}


def server(**more: Any) -> dict[str, Any]:
    """Everything about the server behind it."""
    variables = {**variants.ENTRANCE, **ROUTE, "sso": variants.POLICY_LOGIN, **more}
    plan: dict[str, Any] = server_decisions.DECISIONS["deployment"](deployments.server(**variables))
    return plan


# Its variables


@pytest.mark.parametrize("more", [
    {}, {"internal_issuer_url": INTERNAL, "issuer_ca": CERTIFICATE}, {"client_secret": "", "existing_secret": {"name": "login"}},
    {"issuer_url": "https://accounts.example.com", "jwks_url": "https://accounts.example.com/keys"}, {"extra_issuers": [EXTRA]},
    # What is for oauth2-proxy alone.
    {"callers": [], "trusted_proxies": [], "replicas": 0, "session_refresh": "x"},
])
def test_nothing_is_said_where_nothing_is_wrong(more: dict[str, Any]) -> None:
    assert DECISIONS["problems"](given(**more)) == []


@pytest.mark.parametrize(("more", "said"), [
    ({"runtime": "embedded"}, "sso_provider: envoy_gateway stands in front of a server in a cluster, but this one listens on loopback alone"),
    ({"issuer_url": "http://login.example.com/realms/akko"}, "is plain HTTP, which Envoy Gateway does not take for an issuer"),
    ({"issuer_url": "https://10.0.0.9/realms/akko"}, "sso_issuer_url: 'https://10.0.0.9/realms/akko' has an address for a host"),
    ({"internal_issuer_url": "https://[fd00::7]/realms/akko"}, "sso_internal_issuer_url: 'https://[fd00::7]/realms/akko' has an address for a host"),
    ({"issuer_url": "https://accounts.example.com"}, "sso_jwks_url: it is empty, and Envoy Gateway does not ask 'https://accounts.example.com'"),
    ({"jwks_url": "/keys"}, "sso_jwks_url: '/keys' is not the URL"),
    ({"extra_issuers": [{"issuer": "https://k", "audience": "a"}]}, "where the keys of 'https://k' are is not known; add jwks_url"),
    ({"client_secret": "", "existing_secret": {"name": "x", "key": "k"}}, "sso_existing_secret: Envoy Gateway reads the key client-secret, not 'k'"),
    ({"extra_audiences": [*"abcdefgh"]}, "sso_extra_audiences: Envoy Gateway takes 7 at most, but there are 8"),
    ({"redis_url": "redis://valkey"}, "sso_redis_url: with sso_provider: envoy_gateway, sessions are in cookies alone"),
    ({"allowed_groups": [""]}, "sso_allowed_groups: '' is empty"),
])
def test_one_sentence_says_what_is_wrong_and_what_to_do(more: dict[str, Any], said: str) -> None:
    [found] = DECISIONS["problems"](given(**more))
    assert said in found
    assert "the-client-secret" not in found


@pytest.mark.parametrize("missing", [{"gateways": []}, {"host": ""}])
def test_there_must_be_a_route(missing: dict[str, Any]) -> None:
    asked = given()
    [found] = DECISIONS["problems"](asked | {"server": asked["server"] | missing})
    assert "set mlflow_server_host and mlflow_server_gateways, or oauth2_proxy" in found


@pytest.mark.parametrize(("more", "said"), [
    ({"auth": "basic"}, "mlflow_server_auth: basic and the login of the role sso would both read the one Authorization header"),
    ({"ingress_auth": "basic"}, "mlflow_server_ingress_auth: basic and the login of the role sso would both read the one Authorization header"),
    ({"middlewares": ["own"]}, "mlflow_server_middlewares: own would be for Traefik"),
    (variants.TOKENS, "mlflow_server_auth: jwt reads the token that the login of the role sso keeps to itself; set sso_forward_token: true"),
    ({}, ""),
])
def test_the_server_says_what_does_not_go_with_it(more: dict[str, Any], said: str) -> None:
    variables = {**variants.ENTRANCE, **ROUTE, "sso": variants.POLICY_LOGIN, **more}
    found = server_decisions.DECISIONS["problems"](deployments.server(**variables))
    assert len(found) == bool(said)
    assert said in "".join(found)


def gateways(*controllers: str, there: bool = True) -> dict[str, Any]:
    """What the cluster says of the Gateway, and of classes with these controllers."""
    found = [{"spec": {"gatewayClassName": "class-0"}}] if there else []
    classes = [{"metadata": {"name": f"class-{number}"}, "spec": {"controllerName": name}} for number, name in enumerate(controllers)]
    return given() | {"found_gateways": [{"resources": found}, {"resources": classes}]}


def test_a_gateway_of_another_controller_would_let_everybody_in() -> None:
    assert DECISIONS["foreign_gateway"](gateways("gateway.envoyproxy.io/gatewayclass-controller")) == ""
    assert DECISIONS["foreign_gateway"](gateways("gateway.envoyproxy.io/second", "traefik.io/gateway-controller")) == ""
    said = DECISIONS["foreign_gateway"](gateways("traefik.io/gateway-controller", "gateway.envoyproxy.io/gatewayclass-controller"))
    assert "Gateway public is of the class class-0, whose controller is traefik.io/gateway-controller; set oauth2_proxy" in said
    assert "whose controller is unknown" in DECISIONS["foreign_gateway"](gateways())
    assert "the cluster has no Gateway public" in DECISIONS["foreign_gateway"](gateways("gateway.envoyproxy.io/x", there=False))
    asked = DECISIONS["gateways"](given())
    assert [(each["kind"], each.get("name")) for each in asked] == [("Gateway", "public"), ("GatewayClass", None)]


# Its policies


def test_they_are_for_the_route_of_the_server() -> None:
    made = objects()
    for kind in ("SecurityPolicy", "BackendTrafficPolicy"):
        assert made[kind]["targetRefs"] == [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "mlflow"}]
    assert [each["kind"] for each in server()["objects"] if each["metadata"]["name"] == "mlflow" and each["kind"] == "HTTPRoute"] == ["HTTPRoute"]


def test_a_browser_is_sent_to_the_issuer_and_comes_back() -> None:
    oidc = objects(scope="openid groups")["SecurityPolicy"]["oidc"]
    assert oidc["provider"] == {
        "issuer": ISSUER, "authorizationEndpoint": f"{ISSUER}/protocol/openid-connect/auth",
        "tokenEndpoint": f"{ISSUER}/protocol/openid-connect/token", "endSessionEndpoint": f"{ISSUER}/protocol/openid-connect/logout",
    }
    assert (oidc["redirectURL"], oidc["logoutPath"]) == ("https://mlflow.example.com/oauth2/callback", "/oauth2/sign_out")
    assert (oidc["clientID"], oidc["clientSecret"]["name"], oidc["scopes"]) == ("mlflow", "mlflow-login", ["openid", "groups"])
    assert all(name.startswith("__Host-") for name in oidc["cookieNames"].values())


@pytest.mark.parametrize(("path", "is_api"), [
    ("/api/2.0/mlflow/runs/create", True), ("/ajax-api/2.0/x?max_results=1", True), ("/v1/traces", True), ("/version", True),
    ("/get-artifact?path=a", True), ("/", False), ("/apiary", False), ("/static-files/api/x.js", False), ("/?next=/api/2.0", False),
])
def test_programs_are_refused_and_people_are_sent_to_the_issuer(path: str, is_api: bool) -> None:
    """Envoy's regular expressions match the whole of a text."""
    [header] = objects()["SecurityPolicy"]["oidc"]["denyRedirect"]["headers"]
    assert header["name"] == ":path"
    assert bool(re.fullmatch(header["value"], path)) == is_api


def test_a_session_and_a_program_are_known_by_a_token_that_is_verified() -> None:
    spec = objects(extra_audiences=["other"], extra_issuers=[EXTRA])["SecurityPolicy"]
    own, extra = spec["jwt"]["providers"]
    assert (own["issuer"], own["audiences"]) == (ISSUER, ["mlflow", "other"])
    assert own["remoteJWKS"] == {"uri": f"{ISSUER}/protocol/openid-connect/certs"}
    assert own["extractFrom"]["cookies"] == [spec["oidc"]["cookieNames"]["idToken"]]
    assert (extra["issuer"], extra["audiences"], extra["remoteJWKS"]) == (EXTRA["issuer"], ["pods"], {"uri": EXTRA["jwks_url"]})
    assert "cookies" not in extra["extractFrom"]
    assert spec["oidc"]["passThroughAuthHeader"] is True
    assert "optional" not in spec["jwt"]
    assert "failOpen" not in spec["jwt"]


def test_who_is_in_no_group_is_refused_whoever_gave_out_the_token() -> None:
    spec = objects(allowed_groups=["ops", "/akko/science"], groups_claim="realm_access.roles", extra_issuers=[EXTRA])["SecurityPolicy"]
    assert spec["authorization"]["defaultAction"] == "Deny"
    rules = {each["principal"]["jwt"]["provider"]: each for each in spec["authorization"]["rules"]}
    assert [*rules] == [each["name"] for each in spec["jwt"]["providers"]]
    for rule in rules.values():
        [claim] = rule["principal"]["jwt"]["claims"]
        assert claim == {"name": "realm_access.roles", "valueType": "StringArray", "values": ["ops", "/akko/science"]}
        assert rule["action"] == "Allow"
    assert "authorization" not in objects()["SecurityPolicy"]


def test_an_authority_of_ones_own_is_trusted_where_the_issuer_is() -> None:
    made = objects(issuer_ca=CERTIFICATE, internal_issuer_url=INTERNAL)
    assert made["ConfigMap"] == {"ca.crt": CERTIFICATE}
    assert made["Backend"]["endpoints"] == [{"fqdn": {"hostname": "keycloak.akko.svc", "port": 8443}}]
    assert made["Backend"]["tls"]["sni"] == "keycloak.akko.svc"
    oidc, [provider] = made["SecurityPolicy"]["oidc"], made["SecurityPolicy"]["jwt"]["providers"]
    assert oidc["provider"]["tokenEndpoint"] == f"{INTERNAL}/protocol/openid-connect/token"
    assert oidc["provider"]["authorizationEndpoint"] == f"{ISSUER}/protocol/openid-connect/auth"
    assert provider["remoteJWKS"]["uri"] == f"{INTERNAL}/protocol/openid-connect/certs"
    for place in (oidc["provider"], provider["remoteJWKS"]):
        assert [(each["kind"], each["name"], each["port"]) for each in place["backendRefs"]] == [("Backend", "mlflow-login", 8443)]
    # Nothing is verified where there is no TLS, and elsewhere is somebody else.
    plain = "http://keycloak.akko.svc/realms/akko"
    assert {*objects(issuer_ca=CERTIFICATE, internal_issuer_url=plain)} == {"SecurityPolicy", "BackendTrafficPolicy"}
    [provider] = objects(issuer_ca=CERTIFICATE, jwks_url="https://keys.example.com/a")["SecurityPolicy"]["jwt"]["providers"]
    assert provider["remoteJWKS"] == {"uri": "https://keys.example.com/a"}


def test_an_issuer_that_is_not_keycloak_is_asked_where_its_pages_are() -> None:
    url = "https://accounts.example.com"
    spec = objects(issuer_url=url, jwks_url=f"{url}/keys", logout_url=f"{url}/out")["SecurityPolicy"]
    assert spec["oidc"]["provider"] == {"issuer": url, "endSessionEndpoint": f"{url}/out"}
    assert spec["jwt"]["providers"][0]["remoteJWKS"] == {"uri": f"{url}/keys"}


def test_a_program_is_told_what_to_send_and_a_stranger_which_groups() -> None:
    refused, stranger = objects(allowed_groups=["100%"])["BackendTrafficPolicy"]["responseOverride"]
    assert [each["match"]["statusCodes"][0]["value"] for each in (refused, stranger)] == [401, 403]
    for each in (refused, stranger):
        # MLflow's own answers stay as they are.
        assert each["source"] == "Local"
    assert json.loads(refused["response"]["body"]["inline"])["error_code"] == "UNAUTHENTICATED"
    # Envoy takes a single percent sign for the beginning of something.
    assert "for the audience mlflow, and let in are members of these groups alone: 100%%. To" in stranger["response"]["body"]["inline"]
    [_refused, unknown] = objects(extra_audiences=["other"])["BackendTrafficPolicy"]["responseOverride"]
    assert "for the audience mlflow or other. To" in unknown["response"]["body"]["inline"]


def test_no_secret_is_in_an_object_and_the_role_keeps_only_what_it_is_given() -> None:
    assert "the-client-secret" not in json.dumps(objects())
    assert DECISIONS["secret_keys"](given()) == {"client-secret": "the-client-secret"}
    assert DECISIONS["secret_keys"](given(client_secret="", existing_secret={"name": "login"})) == {}
    assert DECISIONS["name"](given()) == "mlflow-login"


# What it publishes, and what the server makes of it


def test_what_is_made_was_claimed_and_nothing_is_in_two_hands() -> None:
    claims = DECISIONS["claims"]({"provider": "envoy_gateway", "name": "oauth2-proxy", "server": "mlflow"})
    claimed = {(each["kind"], each["name"]) for each in claims}
    assert {(kind, "mlflow-login") for kind in (*objects(issuer_ca=CERTIFICATE), "Secret")} == claimed
    variables = deployments.server(**variants.ENTRANCE, **ROUTE, sso=variants.POLICY_LOGIN)
    assert not claimed & {(each["kind"], each["name"]) for each in server_decisions.DECISIONS["claims"](variables)}


def test_the_server_removes_the_policies_where_there_is_another_login_or_none() -> None:
    """Together with the change of the route, and not before it."""
    for sso in ({}, variants.LOGIN):
        variables = deployments.server(**{**variants.ENTRANCE, **ROUTE, "sso": sso})
        gone = {each["kind"] for each in server_decisions.DECISIONS["deployment"](variables)["absent"] if each["name"] == "mlflow-login"}
        assert gone == {"SecurityPolicy", "BackendTrafficPolicy", "Backend", "ConfigMap", "Secret"}
        claims = [each for each in server_decisions.DECISIONS["claims"](variables) if each["name"] == "mlflow-login"]
        assert {each["kind"] for each in claims if not each["wanted"]} == gone
    assert not [each for each in server()["absent"] if each["name"] == "mlflow-login"]
    assert DECISIONS["left_behind"](deployments.sso(provider="none")) == []


def test_oauth2_proxy_goes_and_so_does_an_authority_that_is_not_needed() -> None:
    there = [{"kind": "Deployment", "name": "oauth2-proxy", "component": "login"}]
    assert "Deployment" in {each["kind"] for each in DECISIONS["forsaken"](given(workloads=there))}
    assert {each["kind"] for each in DECISIONS["forsaken"](given())} == {"ConfigMap", "Backend"}
    assert DECISIONS["forsaken"](given(issuer_ca=CERTIFICATE)) == []


def test_the_route_strips_who_somebody_is_and_waits_for_the_policies() -> None:
    plan = server()
    [rule] = next(each for each in plan["objects"] if each["kind"] == "HTTPRoute")["spec"]["rules"]
    [stripped] = rule["filters"]
    removed = stripped["requestHeaderModifier"]["remove"]
    assert {"Authorization", "Cookie", "X-Forwarded-User", "X-Auth-Request-Groups"} <= set(removed)
    # As many as a Gateway takes.
    assert len(removed) <= 16
    assert [each["kind"] for each in plan["rollouts"]] == ["Deployment", "HTTPRoute", "SecurityPolicy", "BackendTrafficPolicy"]


def test_a_token_goes_on_to_mlflow_where_it_is_wanted() -> None:
    login = DECISIONS["connection"](given(forward_token=True))
    assert objects(forward_token=True)["SecurityPolicy"]["oidc"]["forwardAccessToken"] is True
    assert objects()["SecurityPolicy"]["oidc"]["forwardAccessToken"] is False
    assert "Authorization" not in login["removed_headers"]
    assert "Cookie" in login["removed_headers"]
    variables = deployments.server(**{**variants.ENTRANCE, **ROUTE, **variants.TOKENS, "sso": login})
    assert server_decisions.DECISIONS["problems"](variables) == []
