"""The deployment's own identity provider: what is said of its variables, what it publishes, and what each object is there for."""
from __future__ import annotations

from typing import Any

import deployments
import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import sso_decisions
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.keycloak_decisions import DECISIONS
from roles import CLUSTER, PUBLISHED, ROLES, Role

NOTED = {"kind": "Deployment", "name": "keycloak", "component": "identity-provider", "annotations": {"mlops.mlflow/database": "keycloak"}}
OTHERS = {"database": "mlflow", "auth_database": "mlflow_auth"}


def objects(**given: Any) -> dict[str, dict[str, Any]]:
    """The objects by KIND/NAME."""
    return {f"{made['kind']}/{made['metadata']['name']}": made for made in DECISIONS["objects"](deployments.keycloak(**given))}


def pod(**given: Any) -> dict[str, Any]:
    found: dict[str, Any] = objects(**given)["Deployment/keycloak"]["spec"]["template"]["spec"]
    return found


def environment(**given: Any) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in pod(**given)["containers"][0]["env"]}


# Its variables


@pytest.mark.parametrize("given", [
    {}, {"host": "", "realm": "master", "callers": []}, {"users": [], "programs": []}, {"tls": "existing", "tls_secret": "login-tls"},
    {"programs": [{"name": "mlflow", "state": "absent"}]}, {"groups": ["data science"]}, {"workloads": [NOTED]},
])
def test_nothing_is_said_where_nothing_is_wrong(given: dict[str, Any]) -> None:
    assert DECISIONS["problems"](deployments.keycloak(**given)) == []


@pytest.mark.parametrize(("given", "said"), [
    ({"runtime": "embedded"}, "keycloak_host: Keycloak is deployed to a cluster, and this server is embedded"),
    ({"host": "https://login.example.com"}, "keycloak_host: 'https://login.example.com' is not a host name"),
    ({"host": "mlflow.example.com"}, "keycloak_host: 'mlflow.example.com' is MLflow's own name"),
    ({"realm": "a/b"}, "keycloak_realm: 'a/b' has characters other than letters"),
    ({"realm": "master"}, "keycloak_realm: master is the realm of Keycloak's own administrators"),
    ({"name": "k" * 41}, "use at most 40 lower-case letters"),
    ({"redirect_uris": []}, "keycloak_redirect_uris: is empty, and mlflow_server_host is not set"),
    ({"users": [{"name": "a b"}]}, "keycloak_users: the name 'a b' has characters other than"),
    ({"users": [{"name": "Ada"}]}, "keycloak_users: Keycloak writes the name 'Ada' in lower case"),
    ({"users": [{"name": "a"}, {"name": "a"}]}, "keycloak_users: 'a' is listed more than once"),
    ({"programs": [{"name": "mlflow"}]}, "keycloak_programs: 'mlflow' is the client of the login itself"),
    ({"users": [{"name": "a", "groups": ["x/y"]}]}, "keycloak_groups: 'x/y' is empty or contains a slash"),
    ({"tls": "existing"}, "keycloak_tls_secret: is empty, but keycloak_tls is existing"),
    ({"tls": "cert_manager"}, "keycloak_tls_issuer: is empty, but keycloak_tls is cert_manager"),
    ({"callers": []}, "keycloak_callers: is empty, which Kubernetes treats as everyone"),
    ({"ingress_callers": []}, "keycloak_ingress_callers: is empty, which Kubernetes treats as everyone"),
    ({"database": "mlflow_auth"}, "keycloak_database: 'mlflow_auth' is MLflow's own"),
    ({"database": "new", "workloads": [NOTED]}, "keycloak_database: 'new' is not 'keycloak', in which Keycloak has its users"),
])
def test_one_sentence_says_what_is_wrong_and_what_to_do(given: dict[str, Any], said: str) -> None:
    assert len([problem for problem in DECISIONS["problems"](deployments.keycloak(**given)) if said in problem]) == 1


def test_a_database_whose_administrator_is_not_known_needs_a_password() -> None:
    external = {"postgresql": {**OTHERS, "host": "db.example.com"}}
    [found] = DECISIONS["problems"](deployments.keycloak() | external)
    assert found.startswith("keycloak_database_password: is empty, and PostgreSQL's administrator is not known here; create the database 'keycloak'")
    assert DECISIONS["problems"](deployments.keycloak(database_password="p") | external) == []
    assert not DECISIONS["database"](deployments.keycloak() | external)["is_managed"]
    [found] = DECISIONS["problems"](deployments.keycloak() | {"postgresql": {}})
    assert found.startswith("postgresql_connection: it is not set; run the role mlops.mlflow.postgresql")


def test_a_lost_database_is_not_made_anew() -> None:
    """Unless kubernetes_fresh_start says so, which makes has_data false."""
    for has_data, workloads, may in ((False, [], True), (True, [], True), (True, [NOTED], False), (False, [NOTED], True)):
        given = deployments.keycloak(workloads=workloads)
        assert DECISIONS["database"](given | {"kubernetes": given["kubernetes"] | {"has_data": has_data}})["may_create"] is may
    assert DECISIONS["database"](deployments.keycloak())["admin_password"] == "a"


def test_what_is_removed_keeps_its_secrets() -> None:
    assert DECISIONS["left_behind"](deployments.keycloak(workloads=[NOTED])) == []
    gone = DECISIONS["left_behind"](deployments.keycloak(host="", workloads=[NOTED]))
    assert [each["kind"] for each in gone] == ["ServiceAccount", "Service", "NetworkPolicy", "Ingress", "Deployment"]
    assert all(each.keys() <= {"kind", "name", "api_version"} for each in gone)
    assert DECISIONS["left_behind"](deployments.keycloak(host="")) == []
    assert DECISIONS["claims"]({"host": "", "name": "keycloak"}) == []


# Its objects


def test_what_is_made_was_claimed() -> None:
    claimed = {f"{each['kind']}/{each['name']}" for each in DECISIONS["claims"]({"host": "a.example", "name": "keycloak"})}
    assert objects().keys() <= claimed


def test_no_secret_is_in_an_object() -> None:
    given = deployments.keycloak()
    for made in DECISIONS["objects"](given):
        assert not [value for value in given["secrets"].values() if value in str(made)]
        assert "keycloak-public-tls-ca" not in str(made)


def test_the_database_is_reached_as_mlflow_reaches_it() -> None:
    found = environment()
    assert found["KC_DB_URL"].startswith("jdbc:postgresql://postgresql:5432/keycloak?sslmode=verify-full&sslrootcert=%2Fetc%2Fmlflow%2Fpostgresql")
    assert found["KC_DB_PASSWORD"] == {"secretKeyRef": {"name": "keycloak", "key": "database-password"}}
    assert "/etc/mlflow/postgresql" in [each["mountPath"] for each in pod()["containers"][0]["volumeMounts"]]


def test_it_is_in_production_mode_with_one_public_name() -> None:
    assert pod()["containers"][0]["args"] == ["start"]
    found = environment()
    assert (found["KC_HOSTNAME"], found["KC_PROXY_HEADERS"], found["KC_CACHE"]) == ("https://login.example.com", "xforwarded", "local")


def test_half_of_the_memory_is_for_the_heap() -> None:
    assert environment()["JAVA_OPTS_KC_HEAP"] == "-Xms64m -Xmx512m"
    assert environment(resources={"limits": {"memory": "2Gi"}})["JAVA_OPTS_KC_HEAP"] == "-Xms64m -Xmx1024m"


def test_the_realm_of_administrators_is_inside_unless_the_console_is_wanted() -> None:
    def paths(**given: Any) -> list[str]:
        return [each["path"] for each in objects(**given)["Ingress/keycloak"]["spec"]["rules"][0]["http"]["paths"]]

    assert paths() == ["/realms/mlflow/", "/resources/"]
    assert paths(console=True) == ["/"]


def test_pods_come_by_tls_alone() -> None:
    plain, encrypted = objects()["NetworkPolicy/keycloak"]["spec"]["ingress"]
    assert (plain["ports"][0]["port"], encrypted["ports"][0]["port"]) == ("http", "https")
    assert "kube-system" in str(plain["from"])
    assert encrypted["from"] == [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "mlflow"}}}, {"ipBlock": {"cidr": "10.0.0.1/32"}},
    ]


def test_the_pod_restarts_if_a_secret_or_a_certificate_changes() -> None:
    def checksum(given: dict[str, Any]) -> str:
        deployment = next(made for made in DECISIONS["objects"](given) if made["kind"] == "Deployment")
        return str(deployment["spec"]["template"]["metadata"]["annotations"]["mlops.mlflow/checksum"])

    before = deployments.keycloak()
    others = [
        before | {"secrets": before["secrets"] | {"database-password": "other"}}, before | {"certificates": {"keycloak-tls": {"checksum": "other"}}},
        before | {"postgresql": before["postgresql"] | {"checksum": "other"}},
    ]
    assert len({checksum(before), *map(checksum, others)}) == 4
    assert checksum(before | {"secrets": before["secrets"] | {"user-ada": "other"}}) == checksum(before)


# Its realm


def test_the_realm_has_what_the_login_needs() -> None:
    realm = DECISIONS["realm"](deployments.keycloak(programs=[{"name": "training", "groups": ["robots"]}, {"name": "old", "state": "absent"}]))
    page, program = realm["clients"]
    assert page["settings"]["redirectUris"] == ["https://mlflow.example.com/oauth2/callback"]
    assert page["settings"]["attributes"] == {"pkce.code.challenge.method": "S256", "post.logout.redirect.uris": "https://mlflow.example.com/*"}
    assert [each["name"] for each in page["settings"]["protocolMappers"]] == ["groups", "audience"]
    assert not page["settings"]["directAccessGrantsEnabled"]
    assert "groups" not in page
    assert [each["name"] for each in program["settings"]["protocolMappers"]] == ["groups", "audience"]
    assert program["settings"]["protocolMappers"][1]["config"]["included.client.audience"] == "mlflow"
    assert (page["secret"], program["secret"]) == ("the-client-secret", "the-program-training")
    assert (realm["groups"], realm["absent_clients"]) == (["robots", "science"], ["old"])
    assert realm["users"][0]["temporary_password"]


def test_an_email_address_counts_as_verified() -> None:
    given = {"name": "ada", "email": "ada@example.com", "first_name": "Ada", "temporary_password": "no"}
    [user] = DECISIONS["realm"](deployments.keycloak(users=[given]))["users"]
    assert user["settings"] == {"enabled": True, "email": "ada@example.com", "firstName": "Ada", "emailVerified": True}
    assert user["temporary_password"] is False


def test_each_secret_is_made_once_unless_it_is_given() -> None:
    given = deployments.keycloak(programs=[{"name": "training", "secret": "s"}, {"name": "old", "state": "absent"}])
    assert DECISIONS["secret_keys"](given) == {
        "admin-password": "", "client-secret": "", "database-password": "", "program-training": "s", "user-ada": "",
    }  # fmt: skip


# Together with the login


def published(**given: Any) -> dict[str, Any]:
    found: dict[str, Any] = DECISIONS["connection"](deployments.keycloak(**given))
    return found


def login(**given: Any) -> dict[str, Any]:
    """What the role sso gives with one line of the inventory."""
    variables = {"issuer_url": "", "client_id": "", "client_secret": ""} | given
    secrets = {"oauth2-proxy": {"cookie-secret": "c"}, "keycloak": {"client-secret": "the-client-secret"}}
    return deployments.sso(**variables) | {"keycloak": published(), "secrets": secrets}


def test_the_login_takes_all_from_keycloak() -> None:
    assert sso_decisions.DECISIONS["problems"](login()) == []
    assert sso_decisions.DECISIONS["secret_keys"](login()) == {"cookie-secret": ""}
    assert sso_decisions.DECISIONS["addresses"](login()) == [{"host": "keycloak.mlflow.svc", "port": 8443}]
    made = {f"{each['kind']}/{each['metadata']['name']}": each for each in sso_decisions.DECISIONS["oauth2_proxy"](login())}
    container = made["Deployment/oauth2-proxy"]["spec"]["template"]["spec"]["containers"][0]
    assert {
        "--oidc-issuer-url=https://login.example.com/realms/mlflow", "--client-id=mlflow",
        "--redeem-url=https://keycloak.mlflow.svc:8443/realms/mlflow/protocol/openid-connect/token",
    } <= set(container["args"])  # fmt: skip
    assert {"name": "OAUTH2_PROXY_CLIENT_SECRET", "valueFrom": {"secretKeyRef": {"name": "keycloak", "key": "client-secret"}}} in container["env"]
    assert made["ConfigMap/oauth2-proxy"]["data"]["ca.crt"] == "-----BEGIN CERTIFICATE-----"
    assert "the-client-secret" not in str(made)
    assert any("admin-password" in line for line in sso_decisions.DECISIONS["connection"](login())["how_to_use"])


def test_another_issuer_is_left_alone() -> None:
    given = deployments.sso() | {"keycloak": published()}
    assert sso_decisions.DECISIONS["connection"](given)["issuers"] == ["https://login.example.com/realms/akko"]
    assert sso_decisions.DECISIONS["problems"](given) == []


@pytest.mark.parametrize(("name", "value"), [
    ("client_id", "other"), ("client_secret", "s"), ("existing_secret", {"name": "x"}), ("issuer_ca", "-----BEGIN CERTIFICATE----- other"),
    ("internal_issuer_url", "http://x.svc/realms/y"),
])
def test_what_is_for_another_issuer_is_not_dropped_in_silence(name: str, value: Any) -> None:
    [found] = sso_decisions.DECISIONS["problems"](login(**{name: value}))
    assert found.startswith(f"sso_{name}: it is set, but sso_issuer_url is empty")


def test_without_keycloak_the_login_says_how_to_get_one() -> None:
    found = sso_decisions.DECISIONS["problems"](login() | {"keycloak": {}})
    assert found[0].endswith("https://login.example.com/realms/akko, or deploy one with keycloak_host")


# The role


def test_the_connection_is_known_before_the_first_change_and_taken_as_it_is_published() -> None:
    early = {"groups": {"k3s_server": ["a"]}, "keycloak_host": "login.example.com", "mlflow_server_host": "mlflow.example.com"}
    role = Role("keycloak", **early)
    value = role.said("keycloak_connection")
    assert value["issuer_url"] == "https://login.example.com/realms/mlflow"
    specs = ROLES / "sso" / "meta" / "argument_specs.yml"
    options = yaml.safe_load(specs.read_text())["argument_specs"]["main"]["options"]["keycloak_connection"]
    assert ArgumentSpecValidator({"keycloak_connection": options}).validate({"keycloak_connection": value}).error_messages == []
    assert value.keys() == options["options"].keys()
    assert len(role.said("keycloak_claims")) == 10
    nothing = Role("keycloak", groups={"k3s_server": ["a"]})
    assert (nothing.said("keycloak_connection"), nothing.said("keycloak_claims")) == ({}, [])


def test_the_role_gives_what_its_decisions_need() -> None:
    role = Role("keycloak", **CLUSTER, **PUBLISHED, keycloak_host="login.example.com", mlflow_server_host="mlflow.example.com")
    assert role.decided("problems") == []
    for name in ("objects", "realm", "database", "secret_keys", "certificate_hosts", "left_behind"):
        role.decided(name)
    embedded = Role("keycloak", groups={})
    assert (embedded.decided("problems"), embedded.decided("left_behind")) == ([], [])
