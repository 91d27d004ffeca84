"""A login for whoever has no identity provider: Keycloak on the deployment's PostgreSQL, and oauth2-proxy that takes all from it.

One more server beside akko's, with akko's inventory, and the lines of docs/single-sign-on.md. Keycloak's image is made when this story asks for it.
"""
from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, Page
from cluster import Cluster
from host_images import bring
from images import images
from playbook import Run, another, play, roles_playbook

# Not for what they break, but for the minutes that they take.
pytestmark = [pytest.mark.outage, pytest.mark.line("(beyond) a login without an identity provider")]
NAMESPACE, NAME, HOST, LOGIN, GROUP = "kc-akko", "behind", "kc.akko.local", "kc-login.akko.local", "data-science"
API = "/api/2.0/mlflow/experiments/search?max_results=1"
PASSWORD = "for-the-tests-alone"
ROLES = ("postgresql", "artifact_store", "keycloak", "sso", "mlflow_server")
ADA = {"name": "ada", "groups": [GROUP], "email": "ada@example.org", "first_name": "Ada", "last_name": "Lovelace", "password": PASSWORD}
MALLORY = {**ADA, "name": "mallory", "groups": ["guests"], "email": "mallory@example.org", "first_name": "Mallory"}
#: Keycloak's three lines, and what keeps this server apart from akko's.
VARIABLES: dict[str, Any] = {
    "keycloak_host": LOGIN, "sso_provider": "oauth2_proxy", "sso_allowed_groups": [GROUP],
    "keycloak_users": [{**each, "temporary_password": False} for each in (ADA, MALLORY)],
    "keycloak_programs": [{"name": "training", "groups": [GROUP]}, {"name": "outsider"}],
    **another(NAMESPACE, NAME, HOST), "mlflow_server_ingress_auth": "none",
    "mlflow_server_callers": [{"podSelector": {}}],
    "keycloak_image": images.ON_DEMAND["keycloak"].names[0],
}  # fmt: skip


@dataclass
class Behind:
    """The deployment behind its own login."""

    cluster: Cluster
    folder: Path
    variables: dict[str, Any]
    predicted: Run = field(init=False)
    happened: Run = field(init=False)

    def run(self, words: Sequence[str] = (), **variables: Any) -> Run:
        """Run the roles of the server with its variables, and others."""
        return play(roles_playbook(self.folder, ROLES), {**self.variables, **variables}, words=words, timeout=1500)

    def authority(self, secret: str) -> str:
        """The authority of a certificate of the deployment."""
        return self.cluster.secret(secret)["ca.crt"]

    def browser(self) -> Browser:
        """A browser without a session, that trusts the authorities of both names."""
        context = ssl.create_default_context(cadata=self.authority(f"{NAME}-tls") + self.authority("keycloak-public-tls"))
        return Browser(dict.fromkeys((HOST, LOGIN), self.cluster.address), context)

    def log_in(self, name: str) -> tuple[Browser, Page]:
        """A browser in which somebody has filled in Keycloak's form, and the page that this ended with."""
        browser = self.browser()
        form = browser.visit(f"https://{HOST}/")
        assert form.url.startswith(f"https://{LOGIN}/realms/mlflow/"), form
        return browser, browser.submit(form, {"username": name, "password": PASSWORD})

    def token(self, program: str) -> str:
        """An access token, as a program outside the cluster gets it."""
        form = {"grant_type": "client_credentials", "client_id": program, "client_secret": self.cluster.secret("keycloak")[f"program-{program}"]}
        page = self.browser().open(f"https://{LOGIN}/realms/mlflow/protocol/openid-connect/token", form)
        assert page.status == 200, page.body
        return str(json.loads(page.body)["access_token"])

    def asked(self, token: str) -> int:
        """The status of a request to the API with that token."""
        return self.browser().open(f"https://{HOST}{API}", headers={"Accept": "*/*", "Authorization": f"Bearer {token}"}).status


@pytest.fixture(scope="module")
def behind(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """A server with the three lines in its inventory; at the end, it is removed with its namespace."""
    bring(cluster, "keycloak")
    deployed = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    made = Behind(cluster.apart(VARIABLES), tmp_path_factory.mktemp("keycloak"), {**VARIABLES, "mlflow_server_image": deployed})
    try:
        made.predicted = made.run(["--check"])
        made.happened = made.run()
        assert made.happened.status == 0, made.happened.output
        yield made
        removed = play("mlops.mlflow.remove", {**made.variables, "remove_confirmed": "yes"})
        assert removed.status == 0, removed.output
    finally:
        cluster.delete_namespace(NAMESPACE)


def test_check_mode_predicts_it_and_a_second_run_changes_nothing(behind: Behind) -> None:
    """Task by task; PostgreSQL, Keycloak, its realm and the login."""
    assert behind.predicted.status == 0, behind.predicted.output
    assert behind.predicted.changes == behind.happened.changes != []
    again = behind.run()
    assert (again.status, again.changes) == (0, []), again.output


def test_a_browser_logs_in(behind: Behind) -> None:
    """At Keycloak, through Traefik, and comes back to MLflow with a session."""
    browser, page = behind.log_in("ada")
    assert (page.status, page.url) == (200, f"https://{HOST}/")
    assert "<title>MLflow</title>" in page.body
    assert browser.open(f"https://{HOST}{API.replace('/api/', '/ajax-api/')}").status == 200


def test_a_group_decides_who_is_let_in(behind: Behind) -> None:
    """Of people and of programs."""
    assert behind.log_in("mallory")[1].status == 403
    assert behind.asked(behind.token("training")) == 200
    assert behind.asked(behind.token("outsider")) == 403
    assert behind.asked("") == 401


def test_a_token_has_the_public_issuer_and_the_audience(behind: Behind) -> None:
    part = behind.token("training").split(".")[1]
    content = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert content["iss"] == f"https://{LOGIN}/realms/mlflow"
    assert "mlflow" in content["aud"]


def test_the_administration_is_not_outside(behind: Behind) -> None:
    """Neither the console nor the realm of administrators nor what monitoring reads."""
    for path in ("/admin/", "/admin/realms", "/realms/master/protocol/openid-connect/token", "/metrics", "/health"):
        assert behind.browser().open(f"https://{LOGIN}{path}").status == 404, path


def test_plain_http_is_for_the_ingress_controller(behind: Behind) -> None:
    """A pod of MLflow's does not reach the port that Traefik has."""
    ask = f"curl -s -m 5 -o /dev/null -w %{{http_code}} http://keycloak.{NAMESPACE}.svc:8080/realms/mlflow || true"
    assert behind.cluster.kubectl("exec", f"deploy/{NAME}", "--", "sh", "-c", ask) == "000"


def test_what_differs_is_predicted_and_changed_back(behind: Behind) -> None:
    """A group that somebody has left, and a lifetime of tokens that the inventory now names."""
    programs = [{"name": "training", "groups": []}, {"name": "outsider"}]
    other: dict[str, Any] = {"keycloak_realm_settings": {"accessTokenLifespan": 240}, "keycloak_programs": programs}
    predicted, happened = behind.run(("--check",), **other), behind.run((), **other)
    assert predicted.changes == happened.changes == ["mlops.mlflow.keycloak : Declare the realm"]
    assert behind.asked(behind.token("training")) == 403
    back = behind.run()
    assert back.changes == ["mlops.mlflow.keycloak : Declare the realm"]
    assert behind.asked(behind.token("training")) == 200


def test_no_secret_is_told(behind: Behind) -> None:
    """In the most verbose output of a run that changes the realm."""
    run = behind.run(["-vvv", "--check"], keycloak_realm_settings={"accessTokenLifespan": 250})
    assert run.status == 0, run.output
    assert not [key for key, value in behind.cluster.secret("keycloak").items() if value in run.output]


def test_it_goes_and_comes_back_with_its_users(behind: Behind) -> None:
    """Without its line, Keycloak is removed, but neither its database nor its Secret; with it, the same users log in."""
    before = behind.cluster.secret("keycloak")
    gone = behind.run(keycloak_host="", sso_provider="none", mlflow_server_ingress_auth="basic")
    assert gone.status == 0, gone.output
    assert "keycloak" not in [each["metadata"]["name"] for each in behind.cluster.get("deployment")]
    assert behind.cluster.secret("keycloak") == before
    back = behind.run()
    assert back.status == 0, back.output
    assert behind.log_in("ada")[1].status == 200
