"""sso_provider: oidc_plugin with a real MLflow, mlflow-oidc-auth, PostgreSQL and Keycloak, and the settings that the roles give them."""
from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from ssl import SSLContext, create_default_context
from typing import Any

import pytest
from harness import ModuleRunner, Stack
from installations import installation
from keycloak_server import PASSWORD, KeycloakServer, Place, user
from login_realm import GROUP, SECRET, realm
from plugin_server import SECRETS, VERSION, Person, Plugin, log_in
from postgresql import private_postgresql
from test_login import certificate

pytestmark = pytest.mark.slow
HOST, KEYCLOAK, ADMINS = "experiments.akko.local", 27550, "mlflow-admins"
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=5"


def own_realm() -> dict[str, Any]:
    """The realm of a login, with the client that docs/single-sign-on.md asks for, and an administrator."""
    made = realm(HOST)
    page = made["clients"][0]
    page["redirectUris"] = [f"https://{HOST}/callback"]
    page["attributes"]["post.logout.redirect.uris"] = f"https://{HOST}/*"
    return {**made, "groups": [*made["groups"], {"name": ADMINS}], "users": [*made["users"], user("root", [ADMINS])]}


@dataclass(frozen=True)
class Door:
    """Two pods, and the issuer."""

    plugin: Plugin
    keycloak: KeycloakServer
    issuer: SSLContext
    ports: tuple[int, int]

    def person(self, name: str = "", port: int = 0, **more: Any) -> Person:
        """Somebody who has logged in, or nobody yet."""
        found = Person(HOST, port or self.ports[0], **more)
        if name:
            assert log_in(found, name, PASSWORD, self.issuer).status == 302
        return found

    def program(self, header: str, **more: Any) -> Person:
        """A program with a header."""
        return Person(HOST, self.ports[0], headers={"Authorization": header}, **more)

    def token(self, client: str) -> Person:
        """A program with a token of a client."""
        return self.program(f"Bearer {self.keycloak.token(client, SECRET)}")

    @property
    def administrator(self) -> Person:
        """The roles themselves."""
        return self.program(f"Basic {base64.b64encode(('admin:' + SECRETS['admin-password']).encode()).decode()}")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("plugin")
    ca, *pair = certificate(folder, "localhost")
    (folder / "ca.crt").write_text(ca)
    with ExitStack() as stack:
        keycloak = stack.enter_context(KeycloakServer(folder, Place("localhost", KEYCLOAK, pair, ca), own_realm()))
        postgresql = stack.enter_context(private_postgresql("3.17.2"))
        uris = stack.enter_context(postgresql.database("mlflow")), stack.enter_context(postgresql.database("mlflow_auth"))
        variables = {
            "provider": "oidc_plugin", "issuer_url": keycloak.issuer, "client_id": "mlflow", "client_secret": SECRET, "issuer_ca": ca,
            "allowed_groups": [GROUP], "admin_groups": [ADMINS], "trusted_proxies": ["127.0.0.1/32"],
        }  # fmt: skip
        given = {
            "variables": {f"sso_{name}": value for name, value in variables.items()}, "server": {"name": "mlflow", "host": HOST}, "keycloak": {},
            "secrets": {"mlflow-login": {"client-secret": SECRET}}, "existing": {}, "egress": [],
        }  # fmt: skip
        plugin = Plugin(folder, postgresql, uris, given)
        with ThreadPoolExecutor() as pool:  # the migration is safe against another one
            jobs = [*pool.map(lambda _number: plugin.program("schema.py", "upgrade"), range(2))]
        assert [each.returncode for each in jobs] == [0, 0], jobs
        ports = stack.enter_context(plugin.pod()), stack.enter_context(plugin.pod())
        done = plugin.program("administrator_token.py", "set")
        assert done.returncode == 0, done
        yield Door(plugin, keycloak, create_default_context(cadata=ca), ports)
