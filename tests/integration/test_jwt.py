"""mlflow_server_auth: jwt with a real MLflow, two workers of it, and an issuer whose keys are fetched over TLS."""
from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from deployment import Deployment, changed
from harness import ModuleRunner
from loopback import Authority, Server, reply
from test_site import eventually
from tokens import AUDIENCE, Signer, base64url, unsigned, with_mac

pytestmark = pytest.mark.slow
#: How long a token is not verified again, in seconds.
CACHED = 2
ROLES = [{"value": "/risk", "role": "readers"}, {"value": "/risk-leads", "role": "editors"}]


@dataclass
class Issuer:
    """An issuer that publishes ``signers``' keys, until ``is_down``."""

    folder: Path
    signers: list[Signer] = field(default_factory=lambda: [Signer("first")])
    is_down: bool = False
    url: str = ""
    ca: str = ""

    @contextmanager
    def running(self) -> Iterator[Issuer]:
        """Serve until the block ends."""
        authority = Authority(self.folder)
        self.ca = authority.path.read_text().split("-----BEGIN PRIVATE")[0]

        def answer(handler: Any, script: Server) -> None:
            document = {"issuer": self.url, "jwks_uri": f"{self.url}/certs"}
            found = document if handler.path.endswith("/openid-configuration") else {"keys": [each.jwk for each in self.signers]}
            reply(503 if self.is_down else 200, found)(handler, script)

        with Server([answer]).running(authority.context("127.0.0.1")) as server:
            self.url = f"https://127.0.0.1:{server.port}/realms/test"
            yield self

    def token(self, username: str, *groups: str, **claims: Any) -> str:
        """A token of the newest key."""
        now = time.time()
        given = {"iss": self.url, "preferred_username": username, "groups": groups, "iat": now, "exp": now + 300, **claims}
        return self.signers[-1].token(**given)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with Issuer(tmp_path_factory.mktemp("issuer")).running() as made:
        yield made


@pytest.fixture(scope="module")
def deployment(issuer: Issuer) -> Iterator[Deployment]:
    trusted = {"issuer": issuer.url, "audience": AUDIENCE, "ca": issuer.ca}
    made = Deployment("jwt", 27600, {
        "mlflow_server_auth": "jwt", "mlflow_server_workers": 2, "mlflow_server_jwt_issuers": [trusted], "mlflow_server_jwt_roles": ROLES,
        "mlflow_server_default_permission": "NO_PERMISSIONS", "mlflow_server_auth_cache_ttl": CACHED,
    })  # fmt: skip
    if os.environ.get("MLFLOW_TEST_KEEP"):
        made.up()
    else:
        made.deploy()
    yield made
    if not os.environ.get("MLFLOW_TEST_KEEP"):
        made.remove()


@dataclass(frozen=True)
class Caller:
    """Calls the server with a header."""

    port: int
    header: str

    def __call__(self, path: str, body: Any = None, method: str = "") -> tuple[int, Any]:
        """The status and the answer, from any worker: each call has a connection of its own."""
        headers = {"Content-Type": "application/json", **({"Authorization": self.header} if self.header else {})}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method or ("GET" if body is None else "POST"), path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        return answer.status, json.loads(text) if text.startswith("{") else text

    def experiment(self, name: str) -> int:
        """The status of reading an experiment."""
        return self(f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(name)}")[0]

    def tag(self, experiment_id: str) -> int:
        """The status of changing one."""
        return self("/api/2.0/mlflow/experiments/set-experiment-tag", {"experiment_id": experiment_id, "key": "a", "value": "b"})[0]


def bearer(deployment: Deployment, token: str) -> Caller:
    return Caller(deployment.first_port, f"Bearer {token}")


def password(deployment: Deployment, username: str, secret: str) -> Caller:
    return Caller(deployment.first_port, f"Basic {base64.b64encode(f'{username}:{secret}'.encode()).decode()}")


@pytest.fixture(scope="module")
def administrator(deployment: Deployment) -> Caller:
    return password(deployment, "admin", deployment.secret("mlflow_admin_password").strip())


@pytest.fixture(scope="module")
def experiment(deployment: Deployment, administrator: Caller) -> str:
    """The ID of the experiment "risk", which one role may read and another change, declared by our own modules with the administrator's password."""
    run = ModuleRunner(deployment.stack())
    assert not run("mlflow_experiment", {"name": "risk"}).get("failed")
    for role, level in (("readers", "READ"), ("editors", "EDIT")):
        permissions = [{"resource_type": "experiment", "resource": "risk", "permission": level}]
        assert not run("mlflow_role", {"name": role, "permissions": permissions}).get("failed")
    status, found = administrator("/api/2.0/mlflow/experiments/get-by-name?experiment_name=risk")
    assert status == 200
    return str(found["experiment"]["experiment_id"])


def users(administrator: Caller) -> dict[str, tuple[int, set[str]]]:
    """The ID and the roles of each user."""
    status, found = administrator("/api/2.0/mlflow/users/list")
    assert status == 200
    return {each["username"]: (each["id"], {role["name"] for role in each["roles"]}) for each in found["users"]}


def test_a_second_run_changes_nothing_and_check_mode_knows_it(deployment: Deployment) -> None:
    assert changed(deployment.up("--check")) == []
    assert changed(deployment.up()) == []


def test_groups_of_the_token_are_roles_in_mlflow(deployment: Deployment, issuer: Issuer, administrator: Caller, experiment: str) -> None:
    reader = bearer(deployment, issuer.token("ann", "/risk", "/lunch"))
    for _on_both_workers in range(10):
        assert (reader.experiment("risk"), reader.tag(experiment)) == (200, 403)
    first = users(administrator)["ann"]
    assert first[1] == {"readers"}
    nobody = bearer(deployment, issuer.token("bob", "/lunch"))
    assert (nobody.experiment("risk"), nobody.tag(experiment)) == (403, 403)
    lead = bearer(deployment, issuer.token("cleo", "/risk-leads"))
    assert (lead.experiment("risk"), lead.tag(experiment)) == (200, 200)
    # Other groups, other roles, and the same user.
    promoted = bearer(deployment, issuer.token("ann", "/risk-leads"))
    assert promoted.tag(experiment) == 200
    assert users(administrator)["ann"] == (first[0], {"editors"})
    assert users(administrator)["bob"][1] == set()


def test_a_grant_to_a_user_holds(deployment: Deployment, issuer: Issuer, experiment: str) -> None:
    caller = bearer(deployment, issuer.token("dora"))
    assert caller.experiment("risk") == 403
    grant = {"username": "dora", "resource_type": "experiment", "resource": "risk", "permission": "READ"}
    assert not ModuleRunner(deployment.stack())("mlflow_grant", grant).get("failed")
    assert (caller.experiment("risk"), caller.tag(experiment)) == (200, 403)


def test_many_first_requests_at_once_make_one_user(deployment: Deployment, issuer: Issuer, administrator: Caller, experiment: str) -> None:
    assert experiment
    program = "import sys, urllib.request; urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers={'Authorization': sys.stdin.read()}))"
    url = f"http://127.0.0.1:{deployment.first_port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=risk"
    header = f"Bearer {issuer.token('eve', '/risk')}"
    calls = [subprocess.Popen([deployment.stack().python, "-c", program, url], stdin=subprocess.PIPE, text=True) for _each in range(8)]
    for call in calls:
        call.communicate(header, timeout=120)
    assert [call.returncode for call in calls] == [0] * 8
    assert users(administrator)["eve"][1] == {"readers"}


def test_whoever_has_no_right_token_is_refused(deployment: Deployment, issuer: Issuer, administrator: Caller, experiment: str) -> None:
    token, now, signer = issuer.token("ann", "/risk-leads"), time.time(), issuer.signers[-1]
    mine: dict[str, Any] = {"iss": issuer.url, "iat": now, "exp": now + 300}
    hostile = {
        "none": f"{unsigned({'alg': 'none', 'kid': signer.kid}, mine)}.", "mac": with_mac(signer.pem, signer.kid, **mine),
        "other key": Signer(signer.kid).token(**mine), "expired": issuer.token("ann", exp=now - 60), "audience": issuer.token("ann", aud="account"),
        "issuer": issuer.token("ann", iss="https://attacker.example"), "administrator": issuer.token("admin"), "huge": "a" * 20000,
        "cut": token[:-4] + base64url(b"123"),
    }  # fmt: skip
    # Routes of Flask and of FastAPI.
    for path in (f"/api/2.0/mlflow/experiments/get?experiment_id={experiment}", "/api/2.0/mlflow-artifacts/artifacts/x", "/version", "/"):
        for what, bad in hostile.items():
            assert bearer(deployment, bad)(path)[0] == 401, (what, path)
        assert Caller(deployment.first_port, "")(path)[0] == 401
        status, found = password(deployment, "ann", token)(path)
        assert (status, "A token is no password" in found["message"]) == (401, True)
    status, found = Caller(deployment.first_port, "")("/api/2.0/mlflow/experiments/get?experiment_id=0")
    assert (status, found["error_code"]) == (401, "UNAUTHENTICATED")
    assert f"Set MLFLOW_TRACKING_TOKEN to an access token of {issuer.url} for the audience mlflow" in found["message"]
    assert password(deployment, "ann", "a wrong password")("/api/2.0/mlflow/users/current")[0] == 401
    assert administrator("/api/2.0/mlflow/users/current")[1]["user"]["is_admin"] is True
    assert token not in (deployment.home / "log/mlflow.log").read_text(errors="replace")


def test_mlflows_client_logs_a_run_and_shows_the_words(deployment: Deployment, issuer: Issuer, experiment: str, tmp_path: Path) -> None:
    assert experiment
    (tmp_path / "model.txt").write_text("weights")
    program = "import mlflow, sys; mlflow.set_experiment('risk'); mlflow.start_run(); mlflow.log_metric('a', 1); mlflow.log_artifact(sys.argv[1])"
    base = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING")}

    def client(token: str) -> subprocess.CompletedProcess[str]:
        environment = {**base, "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{deployment.first_port}", "MLFLOW_TRACKING_TOKEN": token}
        command = [deployment.stack().python, "-c", program, str(tmp_path / "model.txt")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)

    done = client(issuer.token("cleo", "/risk-leads"))
    assert done.returncode == 0, done.stderr
    refused = client(issuer.token("cleo", aud="account"))
    assert refused.returncode != 0
    assert "UNAUTHENTICATED: MLflow does not take this token: the token is not for the audience mlflow" in refused.stderr


def test_a_new_key_needs_no_restart_and_an_issuer_that_is_down_stops_nobody(deployment: Deployment, issuer: Issuer, experiment: str) -> None:
    assert experiment
    old = issuer.token("ann", "/risk")
    assert bearer(deployment, old).experiment("risk") == 200
    issuer.signers.append(Signer("second"))
    # Keys that are not known are asked for every ten seconds at most, by each worker.
    new = bearer(deployment, issuer.token("ann", "/risk"))
    assert eventually(lambda: {new.experiment("risk") for _each in range(10)} == {200}, 60)
    issuer.is_down = True
    try:
        time.sleep(CACHED)
        for token in (old, issuer.token("finn", "/risk")):
            assert {bearer(deployment, token).experiment("risk") for _each in range(10)} == {200}
        assert bearer(deployment, Signer("third").token(iss=issuer.url)).experiment("risk") == 401
    finally:
        issuer.is_down = False


def test_what_callers_without_a_token_may_do_is_one_variable(deployment: Deployment, experiment: str) -> None:
    assert changed(deployment.up(mlflow_server_jwt_anonymous="everything")) != []
    anonymous = Caller(deployment.first_port, "")
    assert (anonymous.experiment("risk"), anonymous.tag(experiment)) == (200, 200)
    assert anonymous("/api/2.0/mlflow/users/list")[0] == 401
    assert anonymous("/api/2.0/mlflow/users/create", {"username": "mallory", "password": "a long password"})[0] == 401
    assert bearer(deployment, "a.b.c").experiment("risk") == 401
    # As before this variable: whoever has a password keeps it, tokens are of no use.
    assert changed(deployment.up(mlflow_server_auth="basic")) != []
    assert anonymous.experiment("risk") == 401
