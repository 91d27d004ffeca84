"""The login in front of a server: what is said of its variables, what it publishes, and what each object is there for."""
from __future__ import annotations

import base64
import json
import re
from typing import Any

import deployments
import pytest
import variants

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import server_decisions, sso
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.sso_decisions import DECISIONS

CERTIFICATE = "-----BEGIN CERTIFICATE-----"
INTERNAL = "http://keycloak.akko.svc:8080/realms/akko"


def objects(**given: Any) -> dict[str, dict[str, Any]]:
    """The objects by KIND/NAME."""
    return {f"{made['kind']}/{made['metadata']['name']}": made for made in DECISIONS["oauth2_proxy"](deployments.sso(**given))}


def container(**given: Any) -> dict[str, Any]:
    found: dict[str, Any] = objects(**given)["Deployment/oauth2-proxy"]["spec"]["template"]["spec"]["containers"][0]
    return found


def server(**given: Any) -> dict[str, dict[str, Any]]:
    """The same of the server behind it."""
    plan = server_decisions.DECISIONS["deployment"](deployments.server(**{**variants.ENTRANCE, "sso": variants.LOGIN, **given}))
    return {f"{made['kind']}/{made['metadata']['name']}": made for made in plan["objects"]}


# Its variables


@pytest.mark.parametrize("given", [
    {}, {"provider": "none", "client_id": "", "callers": []}, {"issuer_url": "http://10.0.0.9:8080/realms/akko"}, {"internal_issuer_url": INTERNAL},
    {"client_secret": "", "existing_secret": {"name": "login"}}, {"allowed_groups": ["/akko/data science"]}, {"issuer_ca": CERTIFICATE},
    {"session_refresh": "1h30m", "session_expire": "24h"}, {"extra_issuers": [{"issuer": "https://kubernetes.default.svc", "audience": "mlflow"}]},
])
def test_nothing_is_said_where_nothing_is_wrong(given: dict[str, Any]) -> None:
    assert DECISIONS["problems"](deployments.sso(**given)) == []


@pytest.mark.parametrize(("given", "said"), [
    ({"runtime": "embedded"}, "sso_provider: oauth2_proxy stands in front of a server in a cluster, but this one listens on loopback alone"),
    ({"issuer_url": ""}, "sso_issuer_url: '' is not the URL of an issuer; set one such as https://"),
    ({"issuer_url": "login.example.com/realms/akko"}, "sso_issuer_url: 'login.example.com/realms/akko' is not the URL of an issuer"),
    ({"internal_issuer_url": "keycloak"}, "sso_internal_issuer_url: 'keycloak' is not the URL of an issuer"),
    ({"internal_issuer_url": "http://dex.svc"}, "sso_internal_issuer_url: 'http://dex.svc' is not the URL of a realm of Keycloak"),
    ({"logout_url": "/logout"}, "sso_logout_url: '/logout' is not the URL of an issuer"),
    ({"issuer_ca": "/etc/ca.pem"}, "sso_issuer_ca: contains no certificate; set it to the text of a PEM file"),
    ({"client_id": ""}, "sso_client_id: it is empty; set the ID of the client"),
    ({"client_secret": ""}, "sso_client_secret: a login needs either the client's secret, or the name of a Secret that has it"),
    ({"existing_secret": {"name": "x"}}, "set one of them, not both"),
    ({"scope": "profile"}, "sso_scope: 'profile' has no openid"),
    ({"allowed_groups": ["a,b"]}, "sso_allowed_groups: 'a,b' is empty or contains a comma"),
    ({"extra_audiences": [""]}, "sso_extra_audiences: '' is empty or contains a comma"),
    ({"extra_issuers": [{"issuer": "https://a.example"}]}, "sso_extra_issuers: issuer 'https://a.example' with audience '' is not a URL"),
    ({"extra_issuers": [{"issuer": "a", "audience": "b"}]}, "sso_extra_issuers: issuer 'a' with audience 'b' is not a URL with an audience"),
    ({"session_refresh": "4 minutes"}, "sso_session_refresh: '4 minutes' is not a duration; write it as 90s, 4m or 12h"),
    ({"session_refresh": "12h"}, "sso_session_refresh: 12h is not between 0 and sso_session_expire, 12h"),
    ({"session_refresh": "0s"}, "sso_session_refresh: 0s is not between 0 and sso_session_expire, 12h"),
    ({"name": "p" * 51}, "use at most 50 lower-case letters"),
    ({"replicas": 0}, "sso_replicas: 0 pods cannot let anybody in; set 1 or more"),
    ({"callers": []}, "sso_callers: is empty, which Kubernetes treats as everyone"),
    ({"trusted_proxies": []}, "sso_trusted_proxies: is empty, which oauth2-proxy treats as everyone"),
    ({"trusted_proxies": ["traefik"]}, "sso_trusted_proxies: 'traefik' is not a network; write it as 10.42.0.0/16"),
])
def test_one_sentence_says_what_is_wrong_and_what_to_do(given: dict[str, Any], said: str) -> None:
    found = [problem for problem in DECISIONS["problems"](deployments.sso(**given)) if said in problem]
    assert len(found) == 1
    assert "the-client-secret" not in found[0]


@pytest.mark.parametrize(("given", "said"), [
    ({"ingress_class": "nginx"}, "mlflow_server_ingress_class: 'nginx' does not know the Middlewares by which the role sso asks for a login"),
    ({"ingress_auth": "basic"}, "mlflow_server_ingress_auth: basic and the login of the role sso would both read the one Authorization header"),
    ({"auth": "basic"}, "mlflow_server_auth: basic and the login of the role sso would both read the one Authorization header"),
    ({"tls": "none"}, "mlflow_server_tls: none is plain HTTP, over which browsers do not send the cookie of the login"),
])
def test_the_server_says_what_does_not_go_with_a_login(given: dict[str, Any], said: str) -> None:
    [found] = server_decisions.DECISIONS["problems"](deployments.server(**variants.ENTRANCE | {"sso": variants.LOGIN} | given))
    assert said in found
    assert server_decisions.DECISIONS["problems"](deployments.server(**variants.ENTRANCE | {"sso": variants.LOGIN})) == []


@pytest.mark.parametrize(("given", "secret", "found"), [
    ({}, {}, "namespace mlflow has no Secret 'login' with a key 'client-secret'"),
    ({"key": "k"}, {"data": {"client-secret": "eA=="}}, "namespace mlflow has no Secret 'login' with a key 'k'"),
    ({"key": "k"}, {"data": {"k": "eA=="}}, ""),
])
def test_a_secret_that_should_exist_already_is_looked_at(given: dict[str, Any], secret: dict[str, Any], found: str) -> None:
    said = DECISIONS["missing_secret"](deployments.sso(existing_secret={"name": "login", **given}, client_secret="") | {"existing": secret})
    assert found in said
    assert bool(found) == bool(said)


# What it publishes, and what the server makes of it


def test_without_a_login_nothing_is_published_and_nothing_is_made() -> None:
    none = deployments.sso(provider="none")
    assert (DECISIONS["connection"](none), DECISIONS["claims"]({"provider": "none", "name": "oauth2-proxy"})) == ({}, [])
    assert DECISIONS["left_behind"](none) == []


def test_requests_for_the_server_pass_the_login_and_those_for_its_pages_do_not() -> None:
    made = server()
    annotations = made["Ingress/mlflow"]["metadata"]["annotations"]
    expected = "mlflow-oauth2-proxy-explain@kubernetescrd,mlflow-oauth2-proxy@kubernetescrd,mlflow-oauth2-proxy-strip@kubernetescrd"
    assert annotations["traefik.ingress.kubernetes.io/router.middlewares"] == expected
    routes = made["Ingress/mlflow-routes"]
    assert routes["spec"]["rules"] == [{"host": "mlflow.example.com", "http": {"paths": [
        {"path": "/oauth2/", "pathType": "Prefix", "backend": {"service": {"name": "oauth2-proxy", "port": {"number": 4180}}}},
    ]}}]  # fmt: skip
    assert routes["metadata"]["annotations"] == {
        "traefik.ingress.kubernetes.io/router.entrypoints": "websecure", "traefik.ingress.kubernetes.io/router.tls": "true",
    }
    assert routes["spec"]["tls"] == made["Ingress/mlflow"]["spec"]["tls"]
    # The Middlewares that the server names are those that the role makes.
    named = {each.removeprefix("mlflow-").removesuffix("@kubernetescrd") for each in expected.split(",")}
    assert named == {title.removeprefix("Middleware/") for title in objects() if title.startswith("Middleware/")}


def test_a_route_of_a_gateway_does_the_same_by_filters() -> None:
    pages, rest = server(gateways=[{"name": "public"}], tls="external")["HTTPRoute/mlflow"]["spec"]["rules"]
    assert [each["extensionRef"]["name"] for each in rest["filters"]] == ["oauth2-proxy-explain", "oauth2-proxy", "oauth2-proxy-strip"]
    assert "filters" not in pages
    assert pages["matches"] == [{"path": {"type": "PathPrefix", "value": "/oauth2/"}}]
    assert pages["backendRefs"] == [{"name": "oauth2-proxy", "port": 4180}]


def test_a_login_is_an_authentication_and_people_are_told_of_it() -> None:
    without = deployments.server(**variants.ENTRANCE)
    assert "exposes MLflow without authentication" in server_decisions.DECISIONS["problems"](without)[0]
    endpoint = server_decisions.DECISIONS["deployment"](deployments.server(**variants.ENTRANCE, sso=variants.LOGIN))["endpoint"]
    told = "\n".join(endpoint["how_to_use"])
    assert "People log in at https://login.example.com/realms/akko" in told
    assert "MLFLOW_TRACKING_TOKEN, an access token of https://login.example.com/realms/akko for the audience mlflow" in told


def test_who_must_reach_the_server_and_whom_it_must_reach_is_in_its_policy() -> None:
    more: dict[str, list[Any]] = {"callers": [{"podSelector": {"matchLabels": {"a": "b"}}}], "egress": [{"ports": [{"port": 444}]}]}
    spec = server(sso=variants.LOGIN | more)["NetworkPolicy/mlflow"]["spec"]
    assert more["callers"][0] in spec["ingress"][0]["from"]
    assert more["egress"][0] in spec["egress"]


def test_issuers_and_audiences_are_those_of_all_tokens() -> None:
    found = DECISIONS["connection"](deployments.sso(extra_audiences=["other"], extra_issuers=[{"issuer": "https://k", "audience": "mlflow"}]))
    assert found["issuers"] == ["https://login.example.com/realms/akko", "https://k"]
    assert found["audiences"] == ["mlflow", "other"]


# Its objects


def test_what_is_made_was_claimed() -> None:
    claimed = {f"{each['kind']}/{each['name']}" for each in DECISIONS["claims"]({"provider": "oauth2_proxy", "name": "oauth2-proxy"})}
    assert {*objects(replicas=2), "Secret/oauth2-proxy"} == claimed
    assert "PodDisruptionBudget/oauth2-proxy" not in objects()
    assert [each["kind"] for each in DECISIONS["left_behind"](deployments.sso())] == ["PodDisruptionBudget"]
    assert DECISIONS["left_behind"](deployments.sso(replicas=2)) == []


def test_what_is_left_of_another_login_goes() -> None:
    there = [{"kind": "Deployment", "name": "old", "component": "login"}, {"kind": "Deployment", "name": "mlflow", "component": "server"}]
    for given in ({"provider": "none"}, {"replicas": 2}):
        gone = DECISIONS["left_behind"](deployments.sso(workloads=there, **given))
        assert {each["name"] for each in gone} == {"old", "old-explain", "old-strip"}
        assert len(gone) == len(DECISIONS["claims"]({"provider": "oauth2_proxy", "name": "old"}))


def test_no_secret_is_in_an_object() -> None:
    given = deployments.sso(existing_secret={"name": "login"}, client_secret="")
    existing = {"data": {"client-secret": base64.b64encode(b"the-client-secret").decode()}}
    for made in (*objects().values(), *DECISIONS["oauth2_proxy"](given | {"existing": existing})):
        assert "the-client-secret" not in str(made)
        assert "the-cookie-secret" not in str(made)


def test_pods_restart_if_a_file_or_a_secret_changes() -> None:
    def checksum(given: dict[str, Any]) -> str:
        deployment = next(made for made in DECISIONS["oauth2_proxy"](given) if made["kind"] == "Deployment")
        return str(deployment["spec"]["template"]["metadata"]["annotations"]["mlops.mlflow/checksum"])

    before = deployments.sso()
    seen = {checksum(before), checksum(deployments.sso(issuer_ca=CERTIFICATE))}
    held = before["secrets"]["oauth2-proxy"]
    for key in held:
        seen.add(checksum(before | {"secrets": {"oauth2-proxy": held | {key: "other"}}}))
    existing = deployments.sso(existing_secret={"name": "login"}, client_secret="")
    seen |= {checksum(existing | {"existing": {"data": {"client-secret": value}}}) for value in ("eA==", "eQ==")}
    assert len(seen) == 6
    assert checksum(before) == checksum(deployments.sso(replicas=2))


@pytest.mark.parametrize(("given", "arguments"), [
    ({}, {
        "--reverse-proxy=true", "--trusted-proxy-ip=10.42.0.0/16", "--code-challenge-method=S256", "--cookie-secure=true", "--email-domain=*",
        "--skip-jwt-bearer-tokens=true", "--upstream=static://202",
        "--backend-logout-url=https://login.example.com/realms/akko/protocol/openid-connect/logout?id_token_hint={id_token}",
    }),
    ({"internal_issuer_url": INTERNAL}, {
        "--oidc-issuer-url=https://login.example.com/realms/akko", "--skip-oidc-discovery=true",
        "--login-url=https://login.example.com/realms/akko/protocol/openid-connect/auth", f"--redeem-url={INTERNAL}/protocol/openid-connect/token",
        f"--oidc-jwks-url={INTERNAL}/protocol/openid-connect/certs",
        f"--backend-logout-url={INTERNAL}/protocol/openid-connect/logout?id_token_hint={{id_token}}",
    }),
    ({"logout_url": "https://a/out?b=c"}, {"--backend-logout-url=https://a/out?b=c&id_token_hint={id_token}"}),
    ({"logout_url": "https://a/out?t={id_token}"}, {"--backend-logout-url=https://a/out?t={id_token}"}),
    ({"allowed_groups": ["a", "b"]}, {"--allowed-group=a", "--allowed-group=b"}),
    ({"extra_audiences": ["a"], "extra_issuers": [{"issuer": "https://k", "audience": "m"}]}, {
        "--oidc-extra-audience=a", "--extra-jwt-issuers=https://k=m",
    }),
])
def test_the_proxy_is_told(given: dict[str, Any], arguments: set[str]) -> None:
    found = container(**given)["args"]
    assert arguments <= set(found)
    # No way around the login, and no header of a client's that is believed.
    assert not [each for each in found if re.match("--(skip-auth|trusted-ip|bearer-token-login-fallback|insecure|ssl-insecure)", each)]


def test_no_logout_is_made_up_for_an_issuer_that_is_not_keycloak() -> None:
    assert not [each for each in container(issuer_url="https://accounts.example.com")["args"] if "logout" in each]


def test_the_authority_of_the_issuer_is_trusted_beside_the_known_ones() -> None:
    names = [each["name"] for each in container(issuer_ca=CERTIFICATE)["env"]]
    assert "SSL_CERT_DIR" in names
    assert "SSL_CERT_FILE" not in names
    assert objects(issuer_ca=CERTIFICATE)["ConfigMap/oauth2-proxy"]["data"]["ca.crt"] == CERTIFICATE
    assert "SSL_CERT_DIR" not in [each["name"] for each in container()["env"]]


def test_traefik_believes_no_client_and_passes_no_identity_on() -> None:
    made = objects()
    authenticate = made["Middleware/oauth2-proxy"]["spec"]["forwardAuth"]
    assert authenticate["trustForwardHeader"] is False
    assert "authResponseHeaders" not in authenticate
    assert authenticate["address"] == "http://oauth2-proxy.mlflow.svc:4180/"
    stripped = made["Middleware/oauth2-proxy-strip"]["spec"]["headers"]["customRequestHeaders"]
    assert {"Authorization", "X-Forwarded-User", "X-Forwarded-Groups", "X-Auth-Request-Email", "X-Auth-Request-Access-Token"} <= stripped.keys()
    assert set(stripped.values()) == {""}


@pytest.mark.parametrize(("path", "is_api"), [
    ("/api/2.0/mlflow/runs/create", True), ("/ajax-api/2.0/mlflow/experiments/search?max_results=1", True), ("/v1/traces", True),
    ("/graphql", True), ("/version", True), ("/health", True), ("/get-artifact?path=a", True), ("/", False), ("/apiary", False),
    ("/static-files/api/x.js", False), ("/?next=/api/2.0", False),
])
def test_programs_are_refused_and_people_are_sent_to_the_issuer(path: str, is_api: bool) -> None:
    assert bool(re.search(f"^{sso.API_PATHS}(/|[?]|$)", path)) == is_api


def test_a_program_is_told_what_to_send_in_the_form_that_mlflow_shows() -> None:
    data = objects(extra_audiences=["other"])["ConfigMap/oauth2-proxy"]["data"]
    said = json.loads(data["robots.txt"])
    assert said["error_code"] == "UNAUTHENTICATED"
    assert "MLFLOW_TRACKING_TOKEN" in said["message"]
    assert "of https://login.example.com/realms/akko, for the audience mlflow or other" in said["message"]


def test_the_page_of_a_refusal_names_the_groups_and_the_way_out_and_is_no_program() -> None:
    page = objects(allowed_groups=["<b>", "{{.Secret}}"])["ConfigMap/oauth2-proxy"]["data"]["error.html"]
    assert "one of these groups: &lt;b&gt;, &#123;&#123;.Secret}}" in page
    assert 'href="https://login.example.com/realms/akko/protocol/openid-connect/logout"' in page
    assert "$" not in page


@pytest.mark.parametrize(("url", "host", "port"), [
    ("https://login.example.com/realms/akko", "login.example.com", 443), ("http://keycloak/realms/akko", "keycloak", 80),
    ("https://[fd00::1]:8443/realms/akko", "fd00::1", 8443),
])
def test_the_issuer_is_reached_at_its_port(url: str, host: str, port: int) -> None:
    assert DECISIONS["addresses"](deployments.sso(issuer_url=url)) == [{"host": host, "port": port}]
    assert DECISIONS["addresses"](deployments.sso(issuer_url=url, internal_issuer_url=INTERNAL)) == [{"host": "keycloak.akko.svc", "port": 8080}]


def test_sessions_are_in_redis_whose_password_is_in_the_secret() -> None:
    given = deployments.sso(redis_url="rediss://valkey.akko.svc:6380/0", redis_password="of-valkey")
    assert DECISIONS["addresses"](given)[1:] == [{"host": "valkey.akko.svc", "port": 6380}]
    assert DECISIONS["secret_keys"](given)["redis-password"] == "of-valkey"
    made = objects(redis_url="rediss://valkey.akko.svc:6380/0", redis_password="of-valkey")
    pod = made["Deployment/oauth2-proxy"]["spec"]["template"]
    [container] = pod["spec"]["containers"]
    assert container["args"][-2:] == ["--session-store-type=redis", "--redis-connection-url=rediss://valkey.akko.svc:6380/0"]
    assert "of-valkey" not in json.dumps(made)
    other = objects(redis_url="rediss://valkey.akko.svc:6380/0", redis_password="another")["Deployment/oauth2-proxy"]["spec"]["template"]
    assert other["metadata"]["annotations"] != pod["metadata"]["annotations"]
    assert not any("redis" in each for each in objects()["Deployment/oauth2-proxy"]["spec"]["template"]["spec"]["containers"][0]["args"])


@pytest.mark.parametrize(("variables", "said"), [
    ({"redis_url": "redis://:secret@valkey"}, "sso_redis_url: it is not the URL of a Redis or Valkey without a password"),
    ({"redis_url": "valkey:6379"}, "sso_redis_url: it is not the URL"), ({"redis_password": "secret"}, "sso_redis_password: there is no Redis"),
])
def test_a_redis_that_cannot_be_meant_is_refused_without_its_password(variables: dict[str, Any], said: str) -> None:
    [problem] = DECISIONS["problems"](deployments.sso(**variables))
    assert problem.startswith(said)
    assert "secret" not in problem
