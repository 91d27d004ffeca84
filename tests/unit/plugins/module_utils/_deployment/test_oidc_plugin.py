"""The login within MLflow's server: what is said of its variables, its settings, and what the server makes of them."""
from __future__ import annotations

from typing import Any

import deployments
import pytest
import variants

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import server_decisions
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.backup_kubernetes_given import deployed
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients import decisions as clients
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.sso_decisions import DECISIONS

CERTIFICATE = "-----BEGIN CERTIFICATE-----"
ISSUER = "https://login.example.com/realms/akko"


def given(**more: Any) -> dict[str, Any]:
    """What the role gives, with the lines of an inventory."""
    made = deployments.sso(**variants.PLUGIN | more)
    return made | {"secrets": {"mlflow-login": {"client-secret": "the-client-secret"}}}


def connection(**more: Any) -> dict[str, Any]:
    made: dict[str, Any] = DECISIONS["connection"](given(**more))
    return made


def server(**more: Any) -> dict[str, Any]:
    """What the role mlflow_server gives for a server with it."""
    return deployments.server(**variants.ENTRANCE | {"sso": connection()} | more)


def container(**more: Any) -> dict[str, Any]:
    objects = server_decisions.DECISIONS["deployment"](server(**more))["objects"]
    [made] = next(each for each in objects if each["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(made)


# Its variables


@pytest.mark.parametrize("more", [
    {}, {"issuer_ca": CERTIFICATE}, {"internal_issuer_url": "http://keycloak.akko.svc:8080/realms/akko"}, {"scope": "openid offline_access"},
    {"client_secret": "", "existing_secret": {"name": "login", "key": "k"}}, {"issuer_url": "https://accounts.example.com"},
    # What is for oauth2-proxy alone.
    {"callers": [], "replicas": 0, "session_refresh": "x"},
])
def test_nothing_is_said_where_nothing_is_wrong(more: dict[str, Any]) -> None:
    assert DECISIONS["problems"](given(**more)) == []


@pytest.mark.parametrize(("more", "said"), [
    ({"runtime": "embedded"}, "sso_provider: oidc_plugin stands in front of a server in a cluster, but this one listens on loopback alone"),
    ({"allowed_groups": []}, "sso_allowed_groups: it is empty, and with sso_provider: oidc_plugin only members of its groups are let in"),
    ({"admin_groups": []}, "sso_admin_groups: it is empty, so that nobody could give permissions"),
    ({"admin_groups": ["a,b"]}, "sso_admin_groups: 'a,b' is empty or contains a comma"),
    ({"extra_audiences": ["a"]}, "sso_extra_audiences: sso_provider: oidc_plugin does not read it"),
    ({"extra_issuers": [{"issuer": "https://k", "audience": "a"}]}, "sso_extra_issuers: sso_provider: oidc_plugin does not read it"),
    ({"redis_url": "redis://valkey"}, "sso_redis_url: sso_provider: oidc_plugin does not read it, since it keeps sessions in its database"),
    ({"jwks_url": "https://a.example"}, "sso_jwks_url: sso_provider: oidc_plugin does not read it"),
    ({"logout_url": "https://a.example"}, "sso_logout_url: sso_provider: oidc_plugin does not read it"),
    ({"forward_token": True}, "sso_forward_token: sso_provider: oidc_plugin does not read it"),
    ({"session_expire": "1d"}, "sso_session_expire: '1d' is not a duration"),
    ({"trusted_proxies": []}, "sso_trusted_proxies: is empty, which mlflow-oidc-auth treats as nobody"),
    ({"trusted_proxies": ["x"]}, "sso_trusted_proxies: 'x' is not a network"),
    ({"provider": "oauth2_proxy"}, "sso_admin_groups: sso_provider: oauth2_proxy gives no permissions"),
])
def test_one_sentence_says_what_is_wrong_and_what_to_do(more: dict[str, Any], said: str) -> None:
    [found] = DECISIONS["problems"](given(**more))
    assert said in found
    assert "the-client-secret" not in found


def test_there_must_be_a_name_for_browsers() -> None:
    asked = given()
    [found] = DECISIONS["problems"](asked | {"server": asked["server"] | {"host": ""}})
    assert "set mlflow_server_host" in found


@pytest.mark.parametrize(("more", "said"), [
    ({"auth": "basic"}, "mlflow_server_auth: basic and sso_provider: oidc_plugin are two applications"),
    (variants.TOKENS, "mlflow_server_auth: jwt and sso_provider: oidc_plugin are two applications"),
    ({"ingress_auth": "basic"}, "mlflow_server_ingress_auth: basic and the login of the role sso would both read"),
    ({"admin_username": "Root"}, "mlflow_server_admin_username: 'Root' has capital letters"),
    ({"tls": "none"}, "mlflow_server_tls: none is plain HTTP"),
    # Any ingress controller will do: the server asks itself.
    ({"ingress_class": "nginx"}, ""), ({"gateways": [{"name": "public"}], "tls": "external"}, ""), ({}, ""),
])
def test_the_server_says_what_does_not_go_with_it(more: dict[str, Any], said: str) -> None:
    found = server_decisions.DECISIONS["problems"](server(**more))
    assert len(found) == bool(said)
    assert said in "".join(found)


# Its settings


def test_nobody_gets_in_or_gets_more_than_was_asked_for() -> None:
    found = connection()["environment"]
    expected = {
        "DEFAULT_MLFLOW_PERMISSION": "NO_PERMISSIONS", "SESSION_COOKIE_SECURE": "true", "SESSION_COOKIE_SAMESITE": "lax", "OIDC_VERIFY_SSL": "true",
        "OIDC_AUDIENCE": "mlflow", "OIDC_ISSUER": ISSUER, "OIDC_GROUP_NAME": "data-science", "OIDC_ADMIN_GROUP_NAME": "mlflow-admins",
        "OIDC_TRUST_BEARER_GROUP_CLAIMS": "false", "OIDC_CODE_CHALLENGE": "S256", "ENABLE_API_DOCS": "false", "TRUSTED_PROXIES": "10.42.0.0/16",
        "OIDC_USERNAME_FIELD": "preferred_username",
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert found["SESSION_COOKIE_NAME"].startswith("__Host-")
    assert "the-client-secret" not in str(connection())


def test_a_browser_comes_back_to_the_server() -> None:
    found = connection(session_expire="1h30m")["environment"]
    assert found["OIDC_REDIRECT_URI"] == "https://mlflow.example.com/callback"
    assert found["OIDC_DISCOVERY_URL"] == f"{ISSUER}/.well-known/openid-configuration"
    assert (found["SESSION_COOKIE_MAX_AGE_SECONDS"], found["OIDC_USE_REFRESH_TOKEN"]) == ("5400", "false")
    assert connection(scope="openid offline_access")["environment"]["OIDC_USE_REFRESH_TOKEN"] == "true"
    inside = "http://keycloak.akko.svc:8080/realms/akko"
    reached = connection(internal_issuer_url=inside)["environment"]
    assert (reached["OIDC_DISCOVERY_URL"], reached["OIDC_ISSUER"]) == (f"{inside}/.well-known/openid-configuration", ISSUER)


def test_the_server_has_the_authority_of_the_issuer_and_its_way_to_it() -> None:
    found = connection(issuer_ca=CERTIFICATE, egress=[{"ports": [{"port": 8443}]}])
    [made] = DECISIONS["oidc_plugin"](given(issuer_ca=CERTIFICATE))
    assert (made["kind"], made["metadata"]["name"], made["data"]) == ("ConfigMap", "mlflow-login", {"ca.crt": CERTIFICATE})
    assert found["environment"]["SSL_CERT_FILE"] == f"{found['volumes'][0]['mount_path']}/ca.crt"
    assert found["egress"] == [{"ports": [{"port": 443, "protocol": "TCP"}]}, {"ports": [{"port": 8443}]}]
    assert DECISIONS["oidc_plugin"](given()) == [] == connection()["volumes"]
    assert {"kind": "ConfigMap", "name": "mlflow-login"} in DECISIONS["forsaken_by_plugin"](given())
    assert {"kind": "ConfigMap", "name": "mlflow-login"} not in DECISIONS["forsaken_by_plugin"](given(issuer_ca=CERTIFICATE))


def test_oauth2_proxy_goes_once_the_server_asks_itself() -> None:
    before = [{"kind": "Deployment", "name": "oauth2-proxy", "component": "login"}]
    assert {"kind": "Deployment", "api_version": "apps/v1", "name": "oauth2-proxy"} in DECISIONS["forsaken_by_plugin"](given(workloads=before))


def test_what_restarts_the_server_is_a_new_secret_or_authority() -> None:
    changed = given() | {"secrets": {"mlflow-login": {"client-secret": "another"}}}
    sums = {connection()["checksum"], connection(issuer_ca=CERTIFICATE)["checksum"], DECISIONS["connection"](changed)["checksum"]}
    assert len(sums) == 3
    plain = [each["spec"]["template"] for each in variants.of_server(variants.ENTRANCE | {"sso": connection()}) if each["kind"] == "Deployment"]
    other = [each["spec"]["template"] for each in variants.of_server(variants.ENTRANCE | {"sso": connection() | {"checksum": "x"}})
             if each["kind"] == "Deployment"]
    assert plain != other


# The server


def test_the_server_runs_it_with_keys_that_all_pods_share() -> None:
    made = container(replicas=2)
    values = {each["name"]: each.get("value") or each["valueFrom"] for each in made["env"]}
    assert made["args"][-2:] == ["--app-name", "oidc-auth"]
    assert values["SECRET_KEY"] == {"secretKeyRef": {"name": "mlflow-env", "key": "SECRET_KEY"}}
    assert values["OIDC_CLIENT_SECRET"] == {"secretKeyRef": {"name": "mlflow-login", "key": "client-secret"}}
    assert values["OIDC_USERS_DB_URI"].endswith("/mlflow_auth")
    assert "MLFLOW_AUTH_CONFIG_PATH" not in values
    assert made["livenessProbe"]["httpGet"]["path"] == "/health"


def test_a_setting_of_the_inventory_comes_in_the_place_of_the_role_s() -> None:
    values = {each["name"]: each.get("value") for each in container(environment={"OIDC_USERNAME_FIELD": "email"})["env"]}
    assert values["OIDC_USERNAME_FIELD"] == "email"


def test_its_users_are_in_a_database_of_their_own_that_the_job_migrates() -> None:
    environment = server_decisions.DECISIONS["schema_environment"](server())
    assert (environment["MLFLOW_SCHEMA_URI"][-7:], environment["MLFLOW_SCHEMA_OIDC_URI"][-12:]) == ("/mlflow", "/mlflow_auth")
    assert "MLFLOW_SCHEMA_AUTH_URI" not in environment
    jobs = {server_decisions.DECISIONS["deployment"](deployments.server(**variants.ENTRANCE, **more))["jobs"]["upgrade"]
            for more in ({"sso": connection()}, {"auth": "basic"}, {"ingress_auth": "basic"})}
    assert len(jobs) == 3


def test_roles_ask_it_as_a_service_account() -> None:
    endpoint = server_decisions.DECISIONS["deployment"](server())["endpoint"]
    assert (endpoint["auth"], endpoint["username"]) == ("oidc_plugin", "admin")
    assert endpoint["password_secret"] == endpoint["public"]["password_secret"] == {"name": "mlflow", "key": "admin-password"}
    assert "https://mlflow.example.com/oidc/ui/, for members of mlflow-admins" in "\n".join(endpoint["how_to_use"])
    assert "log out at /logout" in "\n".join(endpoint["how_to_use"])


def found(**given: Any) -> list[dict[str, Any]]:
    """What the cluster says of a server that runs with these variables."""
    objects = server_decisions.DECISIONS["deployment"](deployments.server(**given))["objects"]
    return [{"resources": [each for each in objects if each["kind"] == "Deployment"]}, {"resources": []}, {"resources": []}]


@pytest.mark.parametrize("now", [{"sso": connection()}, {"auth": "basic"}, variants.TOKENS])
@pytest.mark.parametrize(("before", "is_first"), [
    ({"ingress_auth": "basic"}, True), ({"sso": variants.LOGIN}, True), ({"sso": connection()}, False), ({"auth": "basic"}, False),
])
def test_the_way_in_changes_once_the_pods_behind_it_ask(before: dict[str, Any], is_first: bool, now: dict[str, Any]) -> None:
    """Pods that were open behind a login are replaced before the Ingress goes without it."""
    given_now = deployments.server(**variants.ENTRANCE | now)
    assert server_decisions.DECISIONS["deployment"](given_now)["before_the_entrance"] == []
    plan = server_decisions.DECISIONS["deployment"](given_now | {"looked": found(**variants.ENTRANCE | before)})
    kinds = {each["kind"] for each in plan["before_the_entrance"]}
    assert bool(kinds) is is_first
    assert not kinds & {"Ingress", "Middleware", "HTTPRoute"}
    assert not is_first or kinds >= {"Deployment", "Secret", "NetworkPolicy"}


def test_where_a_login_stays_in_front_all_changes_at_once() -> None:
    """It is not open for a moment, and whoever is logged in would be refused until the way passes tokens on."""
    given_now = deployments.server(**variants.ENTRANCE | variants.TOKENS | {"sso": variants.LOGIN | {"forwards_token": True}})
    plan = server_decisions.DECISIONS["deployment"](given_now | {"looked": found(**variants.ENTRANCE | {"sso": variants.LOGIN})})
    assert plan["before_the_entrance"] == []


def test_a_client_needs_a_token_that_nobody_can_declare() -> None:
    endpoint = deployments.ENDPOINT | {"auth": "oidc_plugin", "username": "admin"}
    entry = {"kind": "jupyterhub", "namespace": "shop"}
    [found] = clients.DECISIONS["problems"](deployments.clients(entry, endpoint=endpoint))
    assert "make a service account with a token on its page /oidc/ui" in found
    assert clients.DECISIONS["problems"](deployments.clients(entry | {"username": "hub", "password": "mlf_x"}, endpoint=endpoint)) == []


def test_backups_have_its_users() -> None:
    made = next(each for each in server_decisions.DECISIONS["deployment"](server())["objects"] if each["kind"] == "Deployment")
    assert "mlflow_auth" in deployed(made).plain["OIDC_USERS_DB_URI"]
