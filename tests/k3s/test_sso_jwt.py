"""One identity from the browser to the permission: MLflow verifies the token of who has logged in, which the proxy passes on.

The provider and the login are those of test_sso.py, before a server that asks for tokens itself.
"""
from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import test_sso
from cluster import Cluster
from keycloak_server import KeycloakServer
from login_realm import GROUP, SECRET
from playbook import play, roles_playbook
from test_sso import REFRESH, Behind

pytestmark = [
    pytest.mark.akko, pytest.mark.alters, pytest.mark.long,
    pytest.mark.line("MLflow is protected by OAuth2-Proxy (ForwardAuth), users authenticate via Keycloak"),
]  # fmt: skip
#: Not those of test_sso.py, so that both may run in one cluster at the same time.
NAMESPACE, HOST, PORT = "jwtc-sso", "sso-jwt.akko.local", 8744
ROLES = (*test_sso.ROLES, "mlflow_resources")
WHO = "/2.0/mlflow/users/current"
GET = "/2.0/mlflow/experiments/get-by-name?experiment_name=banking-risk"


@pytest.fixture(scope="module")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeycloakServer]:
    """The provider of this server."""
    with test_sso.provider(tmp_path_factory.mktemp("keycloak"), HOST, PORT) as server:
        yield server


@pytest.fixture(scope="module")
def known(cluster: Cluster, keycloak: KeycloakServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """A server behind the login to which the token is passed on; it is removed with its namespace."""
    image = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    may_read = {"resource_type": "experiment", "resource": "banking-risk", "permission": "READ"}
    variables: dict[str, Any] = {
        **test_sso.VARIABLES, "kubernetes_namespace": NAMESPACE, "mlflow_server_host": HOST, "mlflow_server_image": image,
        "sso_provider": "oauth2_proxy", "sso_issuer_url": keycloak.issuer, "sso_client_id": "mlflow", "sso_client_secret": SECRET,
        "sso_issuer_ca": keycloak.place.authority, "sso_session_refresh": f"{REFRESH}s", "sso_forward_token": True,
        "mlflow_server_auth": "jwt", "mlflow_server_default_permission": "NO_PERMISSIONS",
        "mlflow_server_jwt_issuers": [{"issuer": keycloak.issuer, "audience": "mlflow", "ca": keycloak.place.authority}],
        "mlflow_server_jwt_roles": [{"value": GROUP, "role": "readers"}],
        "mlflow_resources_declaration": {"experiments": [{"name": "banking-risk"}], "roles": [{"name": "readers", "permissions": [may_read]}]},
    }  # fmt: skip
    made = Behind(cluster.apart(variables), keycloak, tmp_path_factory.mktemp("sso-jwt"), variables)
    try:
        run = play(roles_playbook(made.folder, ROLES), variables, timeout=1200)
        assert run.status == 0, run.output
        yield made
    finally:
        cluster.delete_namespace(NAMESPACE)


def me(answer: str) -> str:
    """The user as whom MLflow has answered."""
    return str(json.loads(answer)["user"]["username"])


def test_a_person_is_known_to_mlflow_and_has_the_roles_of_the_groups(known: Behind) -> None:
    """After a login in Keycloak's pages, alice of the group reads what the role lets her, and mallory does not."""
    for name, status in (("alice", 200), ("mallory", 403)):
        browser, page = known.log_in(name)
        assert page.status == 200
        assert me(browser.open(f"{known.url}/ajax-api{WHO}").body) == name
        assert browser.open(f"{known.url}/ajax-api{GET}").status == status


def test_what_a_client_claims_to_be_does_not_reach_mlflow(known: Behind) -> None:
    """With a session, alice stays alice, whatever made-up token, password or name she sends beside it; without one, nobody is let in by them."""
    browser, _page = known.log_in("alice")
    administrator = f"admin:{known.cluster.secret(known.cluster.name)['admin-password']}"
    names = ("User", "Email", "Preferred-Username", "Access-Token")
    claimed = {f"X-{kind}-{name}": "admin" for kind in ("Forwarded", "Auth-Request") for name in names}
    basic = f"Basic {base64.b64encode(administrator.encode()).decode()}"
    made_up = [f"Bearer {test_sso.TOKENS[which](known.keycloak)}" for which in ("tampered", "another audience", "alg none", "no token")]
    for forged in (*made_up, basic):
        headers = {**claimed, "Authorization": forged}
        answer = browser.open(f"{known.url}/ajax-api{WHO}", headers=headers)
        assert (answer.status, me(answer.body)) == (200, "alice"), forged.partition(" ")[0]
        assert known.get(f"/api{WHO}", headers).status == 401
    assert known.get(f"/api{WHO}", claimed).status == 401


def test_a_valid_token_counts_before_a_session(known: Behind) -> None:
    """oauth2-proxy looks for a token first. Its holder is who the token says, as without the session, and no one else."""
    browser, _page = known.log_in("alice")
    headers = {"Authorization": f"Bearer {known.keycloak.token('training', SECRET)}"}
    beside, alone = browser.open(f"{known.url}/ajax-api{WHO}", headers=headers), known.get(f"/api{WHO}", headers)
    assert me(beside.body) == me(alone.body) == "service-account-training"
    assert me(browser.open(f"{known.url}/ajax-api{WHO}").body) == "alice"


def test_a_program_is_known_by_its_own_token(known: Behind) -> None:
    """A service account of Keycloak, as the user that it is; what is signed by nobody, or for somebody else, is refused."""
    token = known.keycloak.token("training", SECRET)
    answer = known.get(f"/api{WHO}", {"Authorization": f"Bearer {token}"})
    assert (answer.status, me(answer.body)) == (200, "service-account-training")
    assert known.get(f"/api{GET}", {"Authorization": f"Bearer {token}"}).status == 200
    for which in ("tampered", "another audience", "alg none"):
        assert known.get(f"/api{WHO}", {"Authorization": f"Bearer {test_sso.TOKENS[which](known.keycloak)}"}).status == 401


def test_inside_a_call_without_a_token_is_refused(known: Behind) -> None:
    """The Service is no way around the login any more."""
    url = f"http://{known.cluster.name}:5000/api{WHO}"
    said = known.cluster.kubectl("exec", f"deploy/{known.cluster.name}", "--", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url)
    assert said.strip() == "401"


def test_a_second_run_changes_nothing(known: Behind) -> None:
    """Nor does check mode predict anything."""
    for words in ([], ["--check"]):
        run = known.run(words)
        assert (run.status, run.changed) == (0, 0), run.output
