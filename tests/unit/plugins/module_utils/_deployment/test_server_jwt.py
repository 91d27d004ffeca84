"""A server that takes tokens: its files are what the program reads, its pods have them, and others have nothing of it."""
from __future__ import annotations

import json
from typing import Any

import deployments
import pytest
import variants
from jwt_tokens import Settings

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import server_jwt
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients import decisions as clients
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server import Server
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_decisions import DECISIONS
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import CHECKSUM
from roles import PUBLISHED, Role

KEYCLOAK: dict[str, Any] = {"issuer": "https://login.example.com/realms/akko", "audience": "mlflow"}
CLUSTER: dict[str, Any] = {"kubernetes": True, "audience": "mlflow"}
PEM = "-----BEGIN CERTIFICATE-----"
ROLES = [{"value": "/risk", "role": "editor", "workspace": "team"}]
API = {"ports": [{"port": 6443, "protocol": "TCP"}]}


def plan(services: list[Any] | None = None, **given: Any) -> dict[str, Any]:
    """The objects by kind and name."""
    wanted = deployments.server(**given)
    wanted |= {"jwt_services": services, "kubernetes": wanted["kubernetes"] | {"api_egress": [API]}}
    return {f"{made['kind']}/{made['metadata']['name']}": made for made in DECISIONS["deployment"](wanted)["objects"]}


def problems(**given: Any) -> list[str]:
    found: list[str] = DECISIONS["problems"](deployments.server(**{"auth": "jwt", "jwt_issuers": [KEYCLOAK], **given}))
    return found


def test_the_configuration_is_what_the_program_reads() -> None:
    issuers = [KEYCLOAK | {"ca": PEM, "groups_claim": "roles", "kubernetes": False}, CLUSTER]
    made = plan(auth="jwt", jwt_issuers=issuers, jwt_roles=ROLES, auth_cache_ttl="5", jwt_anonymous="user", admin_username="root")
    data = made["ConfigMap/mlflow-jwt"]["data"]
    assert data.keys() == {"jwt_auth.py", "jwt_tokens.py", "jwt.json"}
    read = Settings(**json.loads(data["jwt.json"]))
    keycloak, cluster = read.trusted
    assert (keycloak.issuer, keycloak.ca, keycloak.groups_claim, keycloak.username_claim) == (KEYCLOAK["issuer"], PEM, "roles", "preferred_username")
    assert (cluster.issuer, cluster.kubernetes) == ("https://kubernetes.default.svc.cluster.local", True)
    assert cluster.jwks_url == "https://kubernetes.default.svc/openid/v1/jwks"
    assert read.managed == {("team", "editor")}
    assert (read.cache_seconds, read.anonymous, read.administrator, read.clock_skew) == (5, "user", "root", 30)


def test_a_pod_finds_the_program_and_the_token_for_the_api_server() -> None:
    made = plan(auth="jwt", jwt_issuers=[KEYCLOAK, CLUSTER], environment={"PYTHONPATH": "/own"})
    spec = made["Deployment/mlflow"]["spec"]["template"]["spec"]
    container = spec["containers"][0]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    mounts = {each["mountPath"] for each in container["volumeMounts"]}
    assert variables["PYTHONPATH"] == "/etc/mlflow/jwt:/own"
    assert variables["MLOPS_MLFLOW_JWT"] == "/etc/mlflow/jwt/jwt.json"
    assert container["args"][-2:] == ["--app-name", "basic-auth"]
    cluster = Settings(**json.loads(made["ConfigMap/mlflow-jwt"]["data"]["jwt.json"])).trusted[1]
    assert {cluster.token_file.rpartition("/")[0], cluster.ca_file.rpartition("/")[0], "/etc/mlflow/jwt"} <= mounts
    # No client in the pod takes the server's own token for that of a client.
    assert "/var/run/secrets/kubernetes.io/serviceaccount" not in mounts
    other = plan(auth="jwt", jwt_issuers=[KEYCLOAK])["Deployment/mlflow"]["spec"]["template"]["spec"]
    assert "jwt-account" not in {volume["name"] for volume in other["volumes"]}


def test_pods_restart_for_what_they_read_when_they_start() -> None:
    def checksum(**given: Any) -> str:
        deployment = plan(auth="jwt", **{"jwt_issuers": [KEYCLOAK], **given})["Deployment/mlflow"]
        return str(deployment["spec"]["template"]["metadata"]["annotations"][CHECKSUM])

    assert len({checksum(), checksum(jwt_roles=ROLES), checksum(jwt_anonymous="user"), checksum(jwt_issuers=[KEYCLOAK | {"ca": PEM}])}) == 4
    assert checksum() == checksum(host="mlflow.example.com")


@pytest.mark.parametrize(("issuer", "services", "rules"), [
    (KEYCLOAK, [], [{"ports": [{"port": 443, "protocol": "TCP"}]}]),
    (KEYCLOAK | {"issuer": "https://10.0.0.9:8443/a"}, [], [
        {"ports": [{"port": 8443, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.0.0.9/32"}}]}]),
    (CLUSTER, [], [API]),
    (KEYCLOAK | {"jwks_url": "https://keycloak.akko.svc:8443/certs"},
     [{"metadata": {"name": "keycloak", "namespace": "akko"}, "spec": {"selector": {"app": "k"}, "ports": [{"port": 8443, "targetPort": "https"}]}}],
     [{"ports": [{"port": "https", "protocol": "TCP"}], "to": [{
         "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "akko"}}, "podSelector": {"matchLabels": {"app": "k"}}}]}]),
])
def test_it_may_reach_the_issuers_and_nobody_else(issuer: dict[str, Any], services: list[Any], rules: list[Any]) -> None:
    without = plan(auth="basic")["NetworkPolicy/mlflow"]["spec"]["egress"]
    found = plan(services, auth="jwt", jwt_issuers=[issuer, issuer])["NetworkPolicy/mlflow"]["spec"]["egress"]
    assert [rule for rule in found if rule not in without] == rules
    assert [rule for rule in without if rule not in found] == []


@pytest.mark.parametrize("auth", ["none", "basic"])
def test_other_servers_have_nothing_of_it(auth: str) -> None:
    wrong: dict[str, Any] = {"jwt_anonymous": "everything", "jwt_algorithms": [], "jwt_clock_skew": -1}
    given: dict[str, Any] = {"jwt_issuers": [KEYCLOAK, CLUSTER], "jwt_roles": ROLES, **wrong}
    assert plan(auth=auth, **given) == plan(auth=auth)
    assert "jwt" not in json.dumps(plan(auth=auth)).lower()
    assert DECISIONS["problems"](deployments.server(auth=auth, **given)) == []


def test_one_that_no_longer_takes_tokens_loses_the_files() -> None:
    absent = DECISIONS["deployment"](deployments.server(auth="basic"))["absent"]
    assert {"kind": "ConfigMap", "name": "mlflow-jwt"} in absent


def test_it_has_what_a_server_with_passwords_has() -> None:
    """So that the administrator, and whoever has a password, can still come in."""
    basic, jwt = (DECISIONS["deployment"](deployments.server(auth=auth, jwt_issuers=[KEYCLOAK])) for auth in ("basic", "jwt"))
    assert jwt["endpoint"]["username"] == "admin"
    assert jwt["endpoint"]["password_secret"] == basic["endpoint"]["password_secret"] != {}
    assert jwt["jobs"] == basic["jobs"]
    assert Server(auth="jwt").engines == 3


def test_embedded_the_files_are_in_a_folder_of_their_own() -> None:
    connections = {name: PUBLISHED[name] | {"secret_environment": {}} for name in ("postgresql_connection", "artifact_store_connection")}
    stack = {"home": "/home/x", "postgresql_programs": "/p", "mlflow_version": "3.17.2"}
    role = Role("mlflow_server", groups={}, ansible_check_mode=False, embedded_runtime=stack, embedded_secrets={}, **connections)
    files = role.decided("embedded", mlflow_server_auth="jwt", mlflow_server_jwt_issuers=[KEYCLOAK])["service_files"]
    names = {path.removeprefix("/home/x/mlflow/") for path in files}
    assert names == {"server.env", "auth.ini", "jwt/jwt_auth.py", "jwt/jwt_tokens.py", "jwt/jwt.json"}
    assert files["/home/x/mlflow/auth.ini"].endswith("authorization_function = jwt_auth:authorize\n")
    for line in ("PYTHONPATH=/home/x/mlflow/jwt", "MLOPS_MLFLOW_JWT=/home/x/mlflow/jwt/jwt.json"):
        assert line in files["/home/x/mlflow/server.env"].splitlines()
    for program in server_jwt.PROGRAMS:
        assert files[f"/home/x/mlflow/jwt/{program}"] == (role.path / "files" / "jwt" / program).read_text()
    names = {path.removeprefix("/home/x/mlflow/") for path in role.decided("embedded", mlflow_server_auth="basic")["service_files"]}
    assert names == {"server.env", "auth.ini"}


def test_clients_need_a_login_unless_those_without_one_are_let_in() -> None:
    def said(environment: dict[str, Any], **given: Any) -> list[str]:
        entry = {"kind": "namespace", "namespace": "shop", "environment": environment}
        endpoint = DECISIONS["deployment"](deployments.server(**given))["endpoint"]
        found: list[str] = clients.DECISIONS["problems"](deployments.clients(entry, endpoint=endpoint))
        return found

    jwt: dict[str, Any] = {"auth": "jwt", "jwt_issuers": [CLUSTER]}
    assert said({}, **jwt) == said({"MLFLOW_TRACKING_AUTH": "kubernetes"}, **jwt) == []
    keycloak = jwt | {"jwt_issuers": [KEYCLOAK]}
    assert said({}, **keycloak) == [
        "mlflow_clients[0].secret_environment: MLflow asks namespace in namespace shop for a token, and trusts none of this cluster's service "
        "accounts; add {kubernetes: true, audience: mlflow} to mlflow_server_jwt_issuers, or name a Secret with MLFLOW_TRACKING_TOKEN here"
    ]
    assert said({"MLFLOW_TRACKING_TOKEN": "x"}, **keycloak) == said({}, **keycloak, jwt_anonymous="everything") == []
    assert len(said({}, auth="basic", jwt_anonymous="everything")) == 1


LOGIN = variants.LOGIN


@pytest.mark.parametrize("given", [
    {}, {"jwt_issuers": [CLUSTER, KEYCLOAK]}, {"jwt_anonymous": "everything"}, {"host": "mlflow.example.com"},
    {"runtime": "embedded", "jwt_issuers": [{"issuer": "http://127.0.0.1:8080/realms/a", "audience": "mlflow"}]},
    {"host": "mlflow.example.com", "sso": LOGIN | {"forwards_token": True}, "jwt_anonymous": "everything"},
    {"jwt_issuers": [KEYCLOAK | {"ca": PEM, "jwks_url": "https://keycloak.akko.svc:8443/certs"}]},
])
def test_nothing_is_said_where_nothing_is_wrong(given: dict[str, Any]) -> None:
    assert problems(**given) == []


@pytest.mark.parametrize(("given", "said"), [
    ({"jwt_issuers": []}, "mlflow_server_jwt_issuers: it is empty"),
    ({"jwt_issuers": [KEYCLOAK | {"issuer": ""}]}, "the issuer '' is not an https:// URL"),
    ({"jwt_issuers": [KEYCLOAK | {"issuer": "http://keycloak.akko.svc:8080/realms/akko"}]}, "is not an https:// URL, without which"),
    ({"jwt_issuers": [KEYCLOAK | {"jwks_url": "http://keycloak.akko.svc/certs"}]}, "the jwks_url 'http://keycloak.akko.svc/certs' is not an https"),
    ({"jwt_issuers": [KEYCLOAK | {"audience": ""}]}, "has no audience, so that tokens for any other service would be valid here"),
    ({"jwt_issuers": [KEYCLOAK | {"ca": "/etc/ca.pem"}]}, "the ca of issuer 'https://login.example.com/realms/akko' contains no certificate"),
    ({"jwt_issuers": [CLUSTER], "runtime": "embedded"}, "kubernetes stands for the cluster in which MLflow runs"),
    ({"jwt_algorithms": []}, "mlflow_server_jwt_algorithms: it is empty"),
    ({"jwt_clock_skew": -1}, "mlflow_server_jwt_clock_skew: -1 seconds"),
    ({"host": "m.example", "jwt_anonymous": "everything"}, "mlflow_server_jwt_anonymous: 'everything' lets whoever reaches 'm.example' in without"),
    ({"host": "m.example", "jwt_anonymous": "user"}, "mlflow_server_jwt_anonymous: 'user' lets whoever reaches"),
    ({"host": "m.example", "ingress_auth": "basic"}, "mlflow_server_ingress_auth: basic and mlflow_server_auth: jwt would both read"),
    ({"host": "m.example", "sso": LOGIN}, "mlflow_server_auth: jwt reads the token that the login of the role sso keeps to itself; set sso"),
])
def test_one_sentence_says_what_is_wrong_and_what_to_do(given: dict[str, Any], said: str) -> None:
    found = problems(**given)
    assert len(found) == 1, found
    assert said in found[0]
    assert found[0].startswith("mlflow_server_")
    assert ";" in found[0]
