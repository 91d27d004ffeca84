"""A login within MLflow's server: an image with mlflow-oidc-auth, made for it, two pods, and the provider of test_sso.py."""
from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import test_sso
from browser import Browser
from cluster import Cluster
from keycloak_server import PASSWORD, KeycloakServer, user
from login_realm import GROUP, SECRET
from playbook import play, roles_playbook
from test_sso import API, Behind

pytestmark = [
    pytest.mark.akko, pytest.mark.alters, pytest.mark.long,
    pytest.mark.line("MLflow is protected by OAuth2-Proxy (ForwardAuth), users authenticate via Keycloak"),
]  # fmt: skip
#: Not those of the other logins, so that all may run in one cluster at the same time.
NAMESPACE, HOST, PORT, ADMINS = "oidc-plugin", "oidc-plugin.akko.local", 8746, "mlflow-admins"
ROLES = ("mlflow_image", *test_sso.ROLES, "mlflow_resources", "mlflow_verify")
WHO, GET = "/2.0/mlflow/users/current", "/2.0/mlflow/experiments/get-by-name?experiment_name=banking-risk"


@pytest.fixture(scope="module")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeycloakServer]:
    """The provider, with the address of this login and an administrator of MLflow."""
    with test_sso.provider(tmp_path_factory.mktemp("keycloak"), HOST, PORT) as server:
        [client] = server.admin("GET", "/akko/clients?clientId=mlflow")
        attributes = {**client["attributes"], "post.logout.redirect.uris": f"https://{HOST}/*"}
        server.admin("PUT", f"/akko/clients/{client['id']}", {**client, "redirectUris": [f"https://{HOST}/callback"], "attributes": attributes})
        server.admin("POST", "/akko/groups", {"name": ADMINS})
        server.admin("POST", "/akko/users", user("root", [ADMINS]))
        yield server


@pytest.fixture(scope="module")
def within(cluster: Cluster, keycloak: KeycloakServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """A server that asks for the login itself; it is removed with its namespace."""
    variables: dict[str, Any] = {
        **test_sso.VARIABLES, "kubernetes_namespace": NAMESPACE, "mlflow_server_host": HOST, "mlflow_server_replicas": 2,
        "mlflow_server_pool_size": 5, "mlflow_server_max_overflow": 2, "mlflow_image_oidc_plugin": True, "mlflow_image_tag": "oidc-plugin",
        "sso_provider": "oidc_plugin", "sso_issuer_url": keycloak.issuer, "sso_client_id": "mlflow", "sso_client_secret": SECRET,
        "sso_issuer_ca": keycloak.place.authority, "sso_allowed_groups": [GROUP], "sso_admin_groups": [ADMINS],
        "mlflow_resources_declaration": {"experiments": [{"name": "banking-risk"}]},
    }  # fmt: skip
    made = Behind(cluster.apart(variables), keycloak, tmp_path_factory.mktemp("oidc-plugin"), variables)
    try:
        run = play(roles_playbook(made.folder, ROLES), variables, timeout=2400)
        assert run.status == 0, run.output
        yield made
    finally:
        cluster.delete_namespace(NAMESPACE)


def logged_in(within: Behind, name: str) -> Browser:
    """A browser in which somebody has logged in."""
    browser = within.browser()
    form = browser.visit(f"{within.url}/")
    assert form.url.startswith(within.keycloak.issuer), form
    page = browser.submit(form, {"username": name, "password": PASSWORD})
    assert page.url.startswith(within.url), page
    return browser


def test_a_second_run_changes_nothing(within: Behind) -> None:
    """Nor does check mode say that it would."""
    for words in ([], ["--check"]):
        run = play(roles_playbook(within.folder, ROLES), within.variables, timeout=1200, words=words)
        assert (run.status, run.changed) == (0, 0), run.output


def test_a_person_is_let_in_and_given_permissions_by_an_administrator(within: Behind) -> None:
    """In the browser, whichever of the two pods answers; somebody of another group is not let in."""
    alice, root = logged_in(within, "alice"), logged_in(within, "root")
    assert json.loads(alice.open(f"{within.url}/ajax-api{WHO}").body)["username"] == "alice"
    assert alice.open(f"{within.url}/ajax-api{GET}").status == 403
    found = root.open(f"{within.url}/ajax-api{GET}")
    assert (found.status, json.loads(root.open(f"{within.url}/ajax-api{WHO}").body)["is_admin"]) == (200, True)
    assert {alice.open(f"{within.url}/ajax-api{API.removeprefix('/api')}").status for _ in range(10)} == {200}
    mallory = logged_in(within, "mallory")
    assert mallory.open(f"{within.url}/ajax-api{WHO}").status == 401


def test_a_program_is_let_in_by_a_token_alone(within: Behind) -> None:
    """Outside and inside the cluster; a bad one is refused, and so are names that anybody can send."""
    assert within.with_token(within.keycloak.token("training", SECRET)).status == 200
    for which in ("tampered", "another audience", "alg none", "no token"):
        assert within.with_token(test_sso.TOKENS[which](within.keycloak)).status == 401
    assert within.get(API, {"X-Forwarded-User": "root", "X-Auth-Request-User": "root", "X-Forwarded-Prefix": "/health"}).status == 401
    url = f"http://{within.cluster.name}:5000{API}"
    said = within.cluster.kubectl("exec", f"deploy/{within.cluster.name}", "--", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url)
    assert said.strip() == "401"
    assert within.get("/metrics").status == 404


def test_a_session_outlives_the_pods(within: Behind) -> None:
    """The key is in the server's Secret, and the session in the database."""
    alice = logged_in(within, "alice")
    within.cluster.kubectl("rollout", "restart", f"deploy/{within.cluster.name}")
    within.cluster.kubectl("rollout", "status", f"deploy/{within.cluster.name}", "--timeout=300s")
    assert json.loads(alice.open(f"{within.url}/ajax-api{WHO}").body)["username"] == "alice"
