"""``mlflow-utils login``: what is kept, what is sent to whom, and when it is renewed; and the whole against a real Keycloak."""
from __future__ import annotations

import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from identity_provider import PENDING, Answer, IdentityProvider
from keycloak import Keycloak
from mlflow_server import free_port
from test_cli import execute
from test_cli import settings as environment

from mlflow_utils import _authorization
from mlflow_utils.client import Client, load_settings, session
from mlflow_utils.login import LoginError, access_token, login, logins, logout, oidc, stored
from mlflow_utils.login.provider import BearerToken

SERVER = "https://mlflow.example.org"
#: A minute's access token that is renewed at once, as most of its life is EARLY.
SHORT = 1.0


def issued(access: str, refresh: str = "refresh", expires_in: float = 300) -> Answer:
    return 200, {"access_token": access, "refresh_token": refresh, "expires_in": expires_in}


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the logins."""
    path = tmp_path / "config" / "logins.json"
    monkeypatch.setenv(logins.FILE_VARIABLE, str(path))
    return path


@contextmanager
def logged_in(*answers: Answer, uri: str = SERVER) -> Iterator[IdentityProvider]:
    """A provider that is asked for what comes after the login."""
    provider = IdentityProvider(answers)
    with provider.running() as issuer:
        login(uri, issuer, "mlflow", lambda _code: None)
        provider.asked.clear()
        yield provider


@contextmanager
def recording(answer: bytes = b'{"experiments": []}') -> Iterator[tuple[str, list[str | None]]]:
    """A server's address, and the Authorization headers that it got."""
    got: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            got.append(self.headers.get("Authorization"))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", got
        server.shutdown()


def test_a_login_waits_for_the_person_and_is_for_this_user_alone(kept: Path) -> None:
    provider = IdentityProvider([PENDING, PENDING, issued("first")])
    shown: list[oidc.Code] = []
    with provider.running() as issuer:
        made = login(SERVER, issuer, "mlflow", shown.append, scope="openid offline_access")
    assert [code.user_code for code in shown] == ["ABCD-EFGH"]
    assert [path for path, _form in provider.asked] == ["/device", "/token", "/token", "/token"]
    assert provider.asked[0][1]["scope"] == "openid offline_access"
    assert provider.asked[0][1]["code_challenge"] != provider.asked[1][1]["code_verifier"]
    assert access_token(f"{SERVER}/") == "first"
    assert access_token("https://mlflow.example.org.evil.example") is None
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert "first" not in repr(made) + str(made)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((400, {"error": "access_denied"}), "refused in the browser"),
        ((400, {"error": "expired_token"}), "not confirmed in time"),
        ((401, {"error": "invalid_client", "error_description": "no such client"}), "no such client"),
        ((200, {}), "without an access token"),
    ],
)
def test_a_login_that_fails_leaves_nothing(kept: Path, answer: Answer, says: str) -> None:
    with IdentityProvider([answer]).running() as issuer, pytest.raises(LoginError, match=says):
        login(SERVER, issuer, "mlflow", lambda _code: None)
    assert not kept.exists()


def test_a_provider_that_is_asked_too_often_is_asked_more_seldom() -> None:
    slept: list[float] = []
    provider = IdentityProvider([(400, {"error": "slow_down"}), PENDING, issued("first")])
    with provider.running() as issuer:
        found = oidc.discover(issuer)
        assert oidc.wait(found, "mlflow", oidc.begin(found, "mlflow", "openid"), slept.append).access_token == "first"
    assert slept == pytest.approx([0.01, 5.01, 5.01])


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"issuer": "https://other.example.org"}, "it is the issuer"),
        ({"device_authorization_endpoint": None}, "does not offer the device flow"),
        ({"token_endpoint": "http://elsewhere.example.org/token"}, "in clear text"),
    ],
)
def test_a_provider_that_cannot_be_trusted(document: dict[str, Any], says: str) -> None:
    with IdentityProvider([PENDING], **document).running() as issuer, pytest.raises(LoginError, match=says):
        login(SERVER, issuer, "mlflow", lambda _code: None)


def test_a_provider_that_is_not_there() -> None:
    with pytest.raises(LoginError, match="does not answer"):
        login(SERVER, f"http://127.0.0.1:{free_port()}", "mlflow", lambda _code: None)
    with pytest.raises(LoginError, match="in clear text"):
        login("http://mlflow.example.org", "https://sso.example.org", "mlflow", lambda _code: None)


def test_a_token_is_renewed_before_it_expires_and_by_one_alone() -> None:
    with logged_in(issued("first", "one", SHORT), issued("second", "two")) as provider:
        time.sleep(SHORT / 2 + 0.1)
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _number: access_token(SERVER), range(32))) == {"second"}
        assert [form.get("refresh_token") for _path, form in provider.asked] == ["one"]
        known = stored(SERVER)
        assert known is not None
        assert known.refresh_token == "two"


def test_of_several_processes_one_renews(kept: Path) -> None:
    with logged_in(issued("first", "one", SHORT), issued("second", "two")) as provider:
        time.sleep(SHORT / 2 + 0.1)
        words = [sys.executable, "-c", f"from mlflow_utils.login import access_token; print(access_token({SERVER!r}))"]
        variables = environment(**{logins.FILE_VARIABLE: str(kept)})
        running = [subprocess.Popen(words, env=variables, stdout=subprocess.PIPE, text=True) for _number in range(4)]
        assert {process.communicate()[0].strip() for process in running} == {"second"}
        assert len(provider.asked) == 1


def test_a_clock_that_was_set_back_does_not_make_a_token_last(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    with logged_in(issued("first"), issued("second")):
        monkeypatch.setattr("mlflow_utils.login.logins.time.time", lambda: now() - 3600)
        assert access_token(SERVER) == "second"


def test_a_provider_that_is_down_is_no_reason_as_long_as_the_token_holds() -> None:
    with logged_in(issued("first", "one", 4.0)) as provider:
        provider.answers = [(503, {})]
        time.sleep(2.1)
        assert access_token(SERVER) == "first"
        time.sleep(2.0)
        with pytest.raises(LoginError, match="cannot be renewed"):
            access_token(SERVER)


def test_a_login_that_is_over_is_a_warning_and_no_header(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow  # noqa: PLC0415 - two seconds

    monkeypatch.setattr("mlflow_utils.login.provider._warned", -60.0)
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    with logged_in(issued("first", "one", SHORT), (400, {"error": "invalid_grant", "error_description": "Session not active"})):
        mlflow.set_tracking_uri(SERVER)
        mlflow.set_registry_uri(SERVER)
        try:
            time.sleep(SHORT / 2 + 0.1)
            assert [BearerToken().request_headers() for _number in range(3)] == [{}] * 3
        finally:
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri(before[1])
    (said,) = [record.getMessage() for record in caplog.records if "is over" in record.getMessage()]
    assert "run mlflow-utils login again" in said


def test_only_its_own_server_gets_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow  # noqa: PLC0415 - two seconds

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    with recording() as (own, got), recording() as (other, nothing), logged_in(issued("the-token"), uri=own):
        Client(load_settings(tracking_uri=own)).health()
        Client(load_settings(tracking_uri=other)).health()
        Client(load_settings(tracking_uri=own, token="explicit")).health()
        try:
            for uri in (own, other):
                mlflow.set_tracking_uri(uri)
                mlflow.set_registry_uri(uri)
                mlflow.MlflowClient().search_experiments()
            mlflow.set_tracking_uri(own)
            mlflow.set_registry_uri(other)
            assert BearerToken().request_headers() == {}
        finally:
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri(before[1])
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "explicit")
        assert not BearerToken().in_context()
    assert set(got) == {"Bearer the-token", "Bearer explicit"}
    assert set(nothing) == {None}


def test_a_file_that_others_can_read_is_refused(kept: Path) -> None:
    with logged_in(issued("first")):
        kept.chmod(0o640)
        with pytest.raises(LoginError, match="open to other users"):
            access_token(SERVER)


@pytest.mark.parametrize("text", ["", "[]", '{"logins": {"a": {}}}', '{"logins": 1}'])
def test_a_file_that_is_something_else_is_refused(kept: Path, text: str) -> None:
    kept.parent.mkdir()
    kept.write_text(text)
    kept.chmod(0o600)
    with pytest.raises(LoginError, match="holds no logins"):
        access_token(SERVER)


def test_a_write_that_fails_keeps_what_was_there(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with logged_in(issued("first", "one", SHORT), issued("second", "two")):
        before = kept.read_bytes()
        time.sleep(SHORT / 2 + 0.1)

        def full(_file: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("mlflow_utils.login.logins.os.fsync", full)
        with pytest.raises(LoginError, match="No space left on device"):
            access_token(SERVER)
        assert kept.read_bytes() == before


def test_a_logout_ends_the_session_and_forgets() -> None:
    with logged_in(issued("first")) as provider:
        assert logout(SERVER)
        assert provider.asked == [("/revoke", {"token": "refresh", "token_type_hint": "refresh_token", "client_id": "mlflow"})]
        assert access_token(SERVER) is None
        assert not logout(SERVER)


def test_the_command(kept: Path) -> None:
    provider = IdentityProvider([issued("the-token")])
    with recording() as (uri, got), provider.running() as issuer:
        variables = environment(**{logins.FILE_VARIABLE: str(kept), "MLFLOW_TRACKING_URI": uri, "MLFLOW_UTILS_OIDC_ISSUER": issuer})
        assert "run mlflow-utils login" in execute("token", environment=variables, code=3).stderr
        done = execute("login", environment=variables)
        assert done.stdout == f"Logged in to {uri}\n"
        assert done.stderr == f"Open {issuer}/confirm in a browser, and confirm the code ABCD-EFGH\n"
        assert execute("token", environment=variables).stdout == "the-token\n"
        execute("health", environment=variables)
        assert set(got) == {"Bearer the-token"}
        assert execute("logout", environment=variables).stdout == f"Logged out of {uri}\n"
        assert execute("logout", environment=variables).stdout == f"There is no login to {uri}\n"
        missing = execute("login", environment={name: value for name, value in variables.items() if "ISSUER" not in name}, code=2)
        assert "--issuer" in missing.stderr


@pytest.mark.server
@pytest.mark.slow
def test_keycloak(tmp_path: Path, kept: Path) -> None:
    """A person confirms the code in Keycloak's pages; a training outlives several access tokens; a logout ends Keycloak's session."""
    with Keycloak(tmp_path, token_seconds=4) as keycloak, recording() as (uri, got):
        login(uri, keycloak.issuer, "mlflow-cli", lambda code: keycloak.confirm(code.address, "alice", "for-the-tests-alone"))
        script = "import mlflow, time\nfor _ in range(6):\n    mlflow.MlflowClient().search_experiments()\n    time.sleep(2)\n"
        variables = environment(**{logins.FILE_VARIABLE: str(kept), "MLFLOW_TRACKING_URI": uri})
        subprocess.run([sys.executable, "-c", script], env=variables, check=True, timeout=180)
        tokens = list(dict.fromkeys(str(header).removeprefix("Bearer ") for header in got))
        assert len(tokens) >= 3
        assert keycloak.user_of(access_token(uri) or "") == "alice"
        assert logout(uri)
        assert keycloak.sessions("alice") == 0


@pytest.mark.parametrize(
    ("variables", "sent"),
    [
        ({"MLFLOW_TRACKING_AUTH": "kubernetes"}, [("Bearer first", None), ("Bearer second", None), (None, None)]),
        ({"MLFLOW_TRACKING_AUTH": "kubernetes-namespaced"}, [("Bearer first", "team"), ("Bearer second", "team"), (None, "team")]),
        ({"MLFLOW_TRACKING_AUTH": "kubernetes", "MLFLOW_TRACKING_TOKEN": "given"}, [("Bearer given", None)] * 3),
        ({"MLFLOW_TRACKING_AUTH": "other"}, [("Bearer of the login", None)] * 3),
    ],
)
def test_a_pod_sends_its_service_account_token_as_it_is_now(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], sent: list[tuple[str | None, str | None]]
) -> None:
    token = tmp_path / "token"
    monkeypatch.setattr(_authorization, "SERVICE_ACCOUNT_TOKEN", token)
    (tmp_path / "namespace").write_text("team\n")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with logged_in(issued("of the login")), session(load_settings(tracking_uri=SERVER)) as http:
        got = []
        for now in ("first\n", "second\n", ""):
            token.write_text(now) if now else token.unlink()
            headers = http.prepare_request(requests.Request("GET", SERVER)).headers
            got.append((headers.get("Authorization"), headers.get("X-MLFLOW-WORKSPACE")))
    assert got == sent
