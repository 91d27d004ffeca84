"""The module keycloak_realm against a real Keycloak: what it makes, changes and leaves alone, and what it says where it cannot."""
from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import COLLECTIONS, PLUGINS
from keycloak_server import PASSWORD, KeycloakServer, Place
from loopback import Authority

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.keycloak_decisions import DECISIONS

pytestmark = pytest.mark.slow
PORT = 27443
ADA = {"name": "ada", "groups": ["science"], "email": "ada@example.com", "first_name": "Ada", "last_name": "L", "temporary_password": False}


class Declared:
    """A Keycloak that the module is run against, and what the last run said."""

    def __init__(self, server: KeycloakServer) -> None:
        self.server = server

    def run(self, check: bool = False, options: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
        """Run the module with the realm that the role decides from these variables."""
        import deployments  # noqa: PLC0415 (it imports Ansible's control node, which engine.py must not be next to)

        realm = DECISIONS["realm"](deployments.keycloak(**{"users": [ADA], "programs": [{"name": "training", "groups": ["science"]}], **given}))
        address = {"url": f"https://localhost:{PORT}", "address": "127.0.0.1", "ca": self.server.place.authority}
        login = {"username": "admin", "password": PASSWORD, "realm": "mlflow"}
        asked = {"ANSIBLE_MODULE_ARGS": {**address, **login, **realm, **(options or {}), "_ansible_check_mode": check}}
        words, environment = [sys.executable, str(PLUGINS / "modules" / "keycloak_realm.py")], os.environ | {"PYTHONPATH": str(COLLECTIONS)}
        done = subprocess.run(words, input=json.dumps(asked), env=environment, capture_output=True, text=True, check=False)
        assert not [secret for secret in ("the-client-secret", "the-user-ada", PASSWORD) if secret in done.stdout + done.stderr]
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def all_steps(self, **given: Any) -> list[str]:
        """What a run does: check mode says the same before, and neither finds anything after."""
        predicted, happened = self.run(True, **given), self.run(**given)
        assert predicted["actions"] == happened["actions"]
        assert predicted["changed"] == happened["changed"] == bool(happened["actions"])
        for check in (True, False):
            assert self.run(check, **given)["actions"] == []
        return list(happened["actions"])

    def client(self, name: str) -> dict[str, Any]:
        """A client, as Keycloak has it."""
        [found] = self.server.admin("GET", f"/mlflow/clients?clientId={name}")
        return dict(found)


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Declared]:
    """Keycloak over TLS with a certificate of an authority of its own, and a realm that nobody declares."""
    folder = tmp_path_factory.mktemp("keycloak")
    authority = Authority(folder)
    ca = authority.path.read_text().partition("-----BEGIN PRIVATE KEY-----")[0]
    certificate, begin, key = authority.issue("server", ["localhost"]).read_text().partition("-----BEGIN PRIVATE KEY-----")
    paths: tuple[Path, Path] = (folder / "tls.crt", folder / "tls.key")
    paths[0].write_text(certificate)
    paths[1].write_text(begin + key)
    with KeycloakServer(folder, Place("localhost", PORT, paths, ca), {"realm": "other", "enabled": True}) as server:
        yield Declared(server)


def test_a_realm_is_made_changed_and_left_alone(declared: Declared) -> None:
    assert declared.all_steps() == [
        "create realm mlflow", "create group science", "create client mlflow", "create client training",
        "add service account training to group science", "create user ada", "add user ada to group science",
    ]  # fmt: skip
    assert declared.all_steps(
        users=[{**ADA, "groups": ["ops"], "email": "new@example.com"}], programs=[{"name": "training", "state": "absent"}],
        redirect_uris=["https://other.example.com/oauth2/callback"], realm_settings={"accessTokenLifespan": 200}, groups=["science"],
    ) == [
        "change realm mlflow: accessTokenLifespan", "create group ops", "change client mlflow: attributes, redirectUris", "change user ada: email",
        "add user ada to group ops", "remove user ada from group science", "remove client training",
    ]  # fmt: skip
    assert "create client training" in declared.all_steps()
    assert "remove user ada" in declared.all_steps(users=[{"name": "ada", "state": "absent"}])


def test_what_somebody_has_changed_is_changed_back(declared: Declared) -> None:
    """A client's secret, its proof key and its mapper; what is not declared stays."""
    declared.run()
    client = declared.client("mlflow")
    mappers = [{**each, "config": {**each["config"], "full.path": "true"}} for each in client["protocolMappers"]]
    extra = {"name": "extra", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper", "config": {"included.client.audience": "x"}}
    attributes = {**client["attributes"], "pkce.code.challenge.method": "plain", "own": "kept"}
    changed = {**client, "secret": "other", "attributes": attributes, "protocolMappers": [*mappers, extra], "description": "kept"}
    declared.server.admin("PUT", f"/mlflow/clients/{client['id']}", changed)
    assert declared.all_steps() == ["change client mlflow: secret, attributes, protocolMappers"]
    found = declared.client("mlflow")
    assert (found["secret"], found["description"], found["attributes"]["own"]) == ("the-client-secret", "kept", "kept")
    assert sorted(each["name"] for each in found["protocolMappers"]) == ["audience", "groups"]


def test_a_program_gets_a_token_with_its_groups_for_the_client(declared: Declared) -> None:
    declared.run()
    token = declared.server.token("training", "the-program-training", realm="mlflow")
    part = token.split(".")[1]
    content = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert "mlflow" in content["aud"]
    assert (content["groups"], bool(content["sub"])) == (["science"], True)


@pytest.mark.parametrize(("options", "said"), [
    ({"password": "wrong"}, "username: admin cannot log in to https://localhost:27443 with this password; if it was changed in Keycloak"),
    ({"url": "https://localhost:1"}, "url: https://localhost:1 does not answer: "),
    ({"url": f"https://other.example.com:{PORT}"}, "CERTIFICATE_VERIFY_FAILED"),
    ({"ca": "no certificate"}, "ca: it contains no certificate"),
    ({"settings": {"accessTokenLifespan": "long"}}, "PUT /admin/realms/mlflow: Keycloak answered 400: "),
])
def test_one_sentence_says_what_is_wrong(declared: Declared, options: dict[str, Any], said: str) -> None:
    declared.run()
    found = declared.run(options=options)
    assert found["failed"]
    assert said in found["msg"]
