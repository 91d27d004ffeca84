"""sso_provider: oidc_plugin with a real MLflow, mlflow-oidc-auth, PostgreSQL and Keycloak, and the settings that the roles give them."""
from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from ssl import SSLContext, create_default_context
from typing import Any

import pytest
from harness import ROOT, ModuleRunner, Stack
from installations import installation
from keycloak_server import PASSWORD, KeycloakServer, Place, user
from login_realm import GROUP, SECRET, audience_mapper, groups_mapper, program, realm
from plugin_server import SECRETS, VERSION, Person, Plugin, log_in
from postgresql import private_postgresql
from test_login import certificate
from test_site import eventually

pytestmark = pytest.mark.slow
HOST, KEYCLOAK, ADMINS = "experiments.akko.local", 27550, "mlflow-admins"
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=5"


def own_realm() -> dict[str, Any]:
    """The realm of a login, with the client that docs/single-sign-on.md asks for, an administrator, and bob, to whom nobody gives anything."""
    made = realm(HOST)
    page = made["clients"][0]
    page["redirectUris"] = [f"https://{HOST}/callback"]
    page["attributes"]["post.logout.redirect.uris"] = f"https://{HOST}/*"
    leaver = program("leaver", groups_mapper(), audience_mapper("mlflow"))
    account = {"username": "service-account-leaver", "enabled": True, "serviceAccountClientId": "leaver", "groups": [f"/{GROUP}"]}
    made = {**made, "clients": [*made["clients"], leaver], "users": [*made["users"], account]}
    return {**made, "groups": [*made["groups"], {"name": ADMINS}], "users": [*made["users"], user("root", [ADMINS]), user("bob", [GROUP])]}


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


def test_who_says_nothing_of_himself_sees_nothing(door: Door) -> None:
    nobody = door.person()
    for path in (SEARCH, "/ajax-api/2.0/mlflow/users/current", "/v1/traces", "/version", "/graphql", "/get-artifact?path=a&run_uuid=b", "/gateway/x"):
        answer = nobody(path)
        assert (answer.status, answer.json) == (401, {"detail": "Authentication required"}), path
    assert [nobody(path).status for path in ("/metrics", "/docs", "/openapi.json")] == [404, 404, 404]
    assert (nobody("/health").text, nobody("/scim/v2/Users").status) == ("OK", 401)
    assert nobody.open("/#/experiments").location == "/login?next=%2F"
    assert nobody.open("/login").location.startswith(f"{door.keycloak.issuer}/protocol/openid-connect/auth?")


def test_another_name_and_another_page_are_refused_before_anybody_is_asked(door: Door) -> None:
    assert door.person()(SEARCH, Host="evil.example").status == 403
    root = door.person("root")
    body = {"username": "planted", "display_name": "planted"}
    assert root("/api/2.0/mlflow/users", body, Origin="https://evil.example").status == 403
    assert root("/api/2.0/mlflow/users", body, Origin=f"https://{HOST}").status == 201


def test_a_person_of_the_group_gets_in_and_has_no_permission(door: Door) -> None:
    bob = Person(HOST, door.ports[0])
    back = log_in(bob, "bob", PASSWORD, door.issuer)
    [cookie] = back.headers.get_all("Set-Cookie") or []
    assert cookie.startswith("__Host-mlflow_session=")
    assert {"path=/", "httponly", "secure", "samesite=lax", "max-age=43200"} <= {each.strip().lower() for each in cookie.split(";")[1:]}
    assert back.location.startswith(f"https://{HOST}/")
    assert bob("/api/2.0/mlflow/users/current").json["groups"][0]["group_name"] == GROUP
    assert (bob.experiment("Default"), bob(SEARCH).json) == (403, {"next_page_token": ""})


def test_who_is_in_no_group_is_told_so(door: Door) -> None:
    mallory = Person(HOST, door.ports[0])
    back = log_in(mallory, "mallory", PASSWORD, door.issuer)
    assert back.location == f"https://{HOST}/oidc/ui/auth?error=User+is+not+allowed+to+login"
    assert mallory(SEARCH).status == 401


def test_an_administrator_gives_permissions(door: Door) -> None:
    alice, root = door.person("alice"), door.person("root")
    number = root("/api/2.0/mlflow/experiments/create", {"name": "given"}).json["experiment_id"]
    assert alice.experiment("given") == 403
    assert alice(f"/api/2.0/mlflow/permissions/users/alice/experiments/{number}", {"permission": "MANAGE"}).status == 403
    assert root(f"/api/2.0/mlflow/permissions/users/alice/experiments/{number}", {"permission": "READ"}).status == 200
    there = Person(HOST, door.ports[1], dict(alice.cookies))
    assert eventually(lambda: (alice.experiment("given"), there.experiment("given")) == (200, 200))
    assert alice("/api/2.0/mlflow/experiments/set-experiment-tag", {"experiment_id": number, "key": "a", "value": "b"}).status == 403


def test_tokens(door: Door) -> None:
    training = door.token("training")
    assert training(SEARCH).status == 200
    assert training("/api/2.0/mlflow/users/current").json["is_admin"] is False
    assert [door.token(client)(SEARCH).status for client in ("elsewhere", "outsider")] == [401, 401]
    head, _body, signature = training.headers["Authorization"].split(".")
    made_up = base64.urlsafe_b64encode(b'{"preferred_username": "root", "aud": "mlflow", "exp": 9999999999}').decode().rstrip("=")
    assert door.program(f"{head}.{made_up}.{signature}")(SEARCH).status == 401
    short = door.token("short")
    assert short(SEARCH).status == 200
    time.sleep(4)
    assert short(SEARCH).status == 401


def test_who_has_left_the_group_is_let_in_by_a_token_until_deactivated(door: Door) -> None:
    """It looks at the groups of a token at its first sight alone, as docs/single-sign-on.md says."""
    name = "service-account-leaver"
    assert door.token("leaver")(SEARCH).status == 200
    [person] = door.keycloak.admin("GET", f"/akko/users?username={name}&exact=true")
    [group] = door.keycloak.admin("GET", f"/akko/users/{person['id']}/groups")
    door.keycloak.admin("DELETE", f"/akko/users/{person['id']}/groups/{group['id']}")
    assert door.token("leaver")(SEARCH).status == 200
    assert door.person("root")(f"/api/2.0/mlflow/users/{name}/active", {"active": False}, method="PATCH").status == 200
    assert door.token("leaver")(SEARCH).status == 401


def test_pods_share_sessions_and_a_new_one_keeps_them(door: Door) -> None:
    first = Person(HOST, door.ports[0])
    second = Person(HOST, door.ports[1], first.cookies)  # a browser does not know which pod it gets
    assert log_in(first, "alice", PASSWORD, door.issuer, comes_back_to=second).status == 302
    assert [each(SEARCH).status for each in (first, second)] == [200, 200]
    kept = dict(first.cookies)
    with door.plugin.pod() as port:
        third = Person(HOST, port, dict(first.cookies))
        assert third(SEARCH).status == 200
    left = first.open("/logout")
    assert left.location.startswith(f"{door.keycloak.issuer}/protocol/openid-connect/logout?post_logout_redirect_uri=https%3A%2F%2F{HOST}%2F")
    second.cookies = kept  # somebody has copied it
    assert [each(SEARCH).status for each in (first, second)] == [401, 401]


def test_headers_that_anybody_can_send_do_nothing(door: Door) -> None:
    forged = {name: "root" for name in ("X-Forwarded-User", "X-Auth-Request-User", "X-Remote-User", "X-Forwarded-Preferred-Username")}
    forged |= {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "X-Forwarded-Prefix": "/health"}
    for address in ("127.0.0.1", "127.0.0.2"):
        spoofed = Person(HOST, door.ports[0], headers=forged if address != "127.0.0.1" else {**forged, "X-Forwarded-Host": HOST}, address=address)
        assert [spoofed(path).status for path in (SEARCH, "/")] == [401, 401]
        assert spoofed(f"/health{SEARCH}").status in (401, 404)
    sent = Person(HOST, door.ports[0], headers=forged, address="127.0.0.2").open("/login").location
    assert f"redirect_uri=https%3A%2F%2F{HOST}%2Fcallback" in sent
    alice = door.person("alice")
    assert alice("/api/2.0/mlflow/users/current", X_Forwarded_User="root").json["username"] == "alice"


SDK = """
import sys
import mlflow
client = mlflow.MlflowClient()
experiment = client.create_experiment(sys.argv[1])
run = client.create_run(experiment)
client.log_metric(run.info.run_id, "accuracy", 0.9)
client.log_text(run.info.run_id, "what it has written", "notes.txt")
print(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/notes.txt"), [each.name for each in client.search_experiments()])
"""


def sdk(door: Door, name: str, **login: str) -> tuple[str, str]:
    """What MLflow's own client prints with this login, and the end of its errors."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    own = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{door.ports[0]}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", **login}
    command = [str(installation(VERSION).python), "-c", SDK, name]
    done = subprocess.run(command, env=kept | own, capture_output=True, text=True, check=False)
    return done.stdout.strip(), done.stderr.strip().rpartition("\n")[2]


def test_mlflow_s_client_logs_in_by_tokens_of_the_issuer_and_of_the_plugin(door: Door) -> None:
    assert sdk(door, "of-a-token", MLFLOW_TRACKING_TOKEN=door.keycloak.token("training", SECRET))[0] == "what it has written ['of-a-token']"
    root = door.person("root")
    assert root("/api/2.0/mlflow/users", {"username": "robot", "display_name": "r", "is_service_account": True}).status == 201
    end = (datetime.now(timezone.utc) + timedelta(days=30)).isoformat()
    token = root("/api/2.0/mlflow/users/robot/tokens", {"name": "hub", "expiration": end}).json["token"]
    assert sdk(door, "of-robot", MLFLOW_TRACKING_USERNAME="robot", MLFLOW_TRACKING_PASSWORD=token)[0] == "what it has written ['of-robot']"
    assert "Authentication required" in sdk(door, "nobody")[1]


def test_the_roles_ask_as_a_service_account_whose_token_is_in_the_secret(door: Door) -> None:
    plugin = door.plugin
    assert door.administrator("/api/2.0/mlflow/users/current").json["is_admin"] is True
    assert plugin.program("administrator_token.py", "set", MLFLOW_AUTH_ADMIN_PASSWORD="another-password").returncode == 0
    assert door.administrator(SEARCH).status == 401
    assert plugin.program("administrator_token.py", "set").returncode == 0
    assert door.administrator(SEARCH).status == 200
    door.person("alice")
    taken = plugin.program("administrator_token.py", "set", MLFLOW_AUTH_ADMIN_USERNAME="alice")
    assert "mlflow_server_admin_username: 'alice' is a person who has logged in; set another name" in taken.stderr


def test_modules_do_what_they_can_and_say_what_they_cannot(door: Door) -> None:
    run = ModuleRunner(Stack(f"http://127.0.0.1:{door.ports[0]}", "admin", SECRETS["admin-password"], python=sys.executable))
    assert run("mlflow_experiment", {"name": "declared"})["changed"] is True
    assert run("mlflow_experiment", {"name": "declared"})["changed"] is False
    refused: dict[str, dict[str, Any]] = {
        "mlflow_user": {"username": "ada", "password": "for-the-tests-alone"}, "mlflow_role": {"name": "readers"},
        "mlflow_grant": {"username": "alice", "resource_type": "experiment", "resource": "declared", "permission": "READ"},
        "mlflow_user_info": {}, "mlflow_role_info": {}, "mlflow_grant_info": {"username": "alice"},
    }  # fmt: skip
    for module, arguments in refused.items():
        assert "keeps users and permissions by mlflow-oidc-auth, where this module cannot" in run.fail(module, **arguments)
    server = run("mlflow_server_info", {})["server"]
    assert (server["authentication"], server["username"], server["healthy"], server["ready"]) == ("oidc_plugin", "admin", True, True)


def test_the_verification_passes(door: Door) -> None:
    own = {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{door.ports[0]}", "MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_VERIFY_HOSTS": HOST,
        "MLFLOW_TRACKING_PASSWORD": SECRETS["admin-password"],
    }  # fmt: skip
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    command = [str(installation(VERSION).python), str(ROOT / "roles/mlflow_verify/files/verify.py")]
    done = subprocess.run(command, env=kept | own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_users_share_no_database_with_mlflow_s(door: Door) -> None:
    plugin, (tracking, users) = door.plugin, door.plugin.uris
    again = plugin.program("schema.py", "upgrade")
    assert (again.returncode, again.stdout.count("as before")) == (0, 2), again
    assert plugin.program("schema.py", "status").stdout == "current"
    tables = [plugin.tables(uri) for uri in (tracking, users)]
    assert "user_tokens" in tables[1]
    assert not {"user_tokens", "auth_sessions"} & tables[0]
    assert tables[0] & tables[1] <= {"alembic_version", "permissions"}
    said = "has the users of another way to log in; set another name, for a database that is made, such as mlflow_oidc"
    mixed = plugin.program("schema.py", "check", MLFLOW_SCHEMA_OIDC_URI="", MLFLOW_SCHEMA_AUTH_URI=plugin.deployed().database.auth_uri)
    assert said in mixed.stderr
    with plugin.postgresql.database("of_passwords") as other:
        where = f"postgresql+psycopg2://postgres@{other.rpartition('@')[2]}"
        assert plugin.program("schema.py", "upgrade", MLFLOW_SCHEMA_OIDC_URI="", MLFLOW_SCHEMA_AUTH_URI=where).returncode == 0
        assert said in plugin.program("schema.py", "upgrade", MLFLOW_SCHEMA_OIDC_URI=where).stderr
