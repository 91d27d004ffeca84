"""Settings and their order of precedence, the client's environment, and the health check against real servers."""
from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from mlflow_server import Server, free_port

from mlflow_utils import Client, Settings, SettingsError, connect, load_settings
from mlflow_utils.client import HOMELAB, VARIABLES


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for names in VARIABLES.values():
        for name in names:
            monkeypatch.delenv(name, raising=False)


def test_without_anything_there_are_the_defaults_of_the_homelab() -> None:
    settings = load_settings()
    assert {name: getattr(settings, name) for name in HOMELAB} == dict(HOMELAB)
    assert {name for name in VARIABLES if getattr(settings, name) is not None} == set(HOMELAB)
    assert set(VARIABLES) == set(Settings.model_fields)


@pytest.mark.parametrize(("suffix", "text"), [(".yaml", "timeout: 2\nretries: 2\n"), (".json", '{"timeout": 2, "retries": 2}')])
def test_the_environment_wins_over_a_file_and_that_over_arguments(
    suffix: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / f"client{suffix}"
    file.write_text(text)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    settings = load_settings(file, timeout=3, retries=3, experiment="three")
    assert (settings.timeout, settings.retries, settings.experiment) == (1, 2, "three")


def test_the_file_that_eval_reads_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "client.env"
    lines = ["export MLFLOW_TRACKING_URI=http://mlflow:5000", "export MLFLOW_TRACKING_USERNAME='a b'", 'MLFLOW_TRACKING_PASSWORD="p$x"', "HOME=/tmp"]
    file.write_text("\n".join(lines))
    monkeypatch.setenv("MLFLOW_UTILS_FILE", str(file))
    settings = load_settings()
    assert (settings.tracking_uri, settings.username) == ("http://mlflow:5000", "a b")
    assert settings.password is not None
    assert settings.password.get_secret_value() == "p$x"


def test_an_empty_variable_and_none_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert load_settings(tracking_uri=None) == load_settings()


def test_credentials_of_another_kind_are_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "client.yml"
    file.write_text("username: file\npassword: secret\n")
    assert load_settings(file, token="argument").token is None
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "environment")
    settings = load_settings(file)
    assert settings.username is None
    assert settings.environment()["MLFLOW_TRACKING_TOKEN"] == "environment"


def test_a_region_is_given_to_others_only_with_an_endpoint() -> None:
    assert "AWS_DEFAULT_REGION" not in load_settings().environment()
    assert load_settings(s3_endpoint="http://s3:9000").environment()["AWS_DEFAULT_REGION"] == "us-east-1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tracking_uri": "mlflow:5000"}, "the argument tracking_uri is 'mlflow:5000': it must be a URL that starts with http:// or https://"),
        ({"tracking_uri": "http://a:b@mlflow"}, "it must not hold credentials"),
        ({"username": "ann"}, "username and password belong together; give both or neither"),
        ({"username": "a", "password": "b", "token": "c"}, "token and username exclude one another"),
        ({"s3_access_key": "a"}, "s3_access_key and s3_secret_key belong together"),
        ({"ca_path": "/nowhere/ca.pem"}, "the argument ca_path is '/nowhere/ca.pem': it must name a file that exists"),
        ({"timeout": "soon"}, "the argument timeout is 'soon': it should be a valid number"),
        ({"retries": 11}, "the argument retries is 11: it should be less than or equal to 10"),
        ({"uri": "http://a"}, "the argument uri is not a setting; the settings are tracking_uri, registry_uri"),
    ],
)
def test_an_error_is_one_sentence(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(**arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_names_where_the_value_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "client.yml"
    file.write_text("timeout: soon\n")
    with pytest.raises(SettingsError, match=f"^timeout in {file} is 'soon'"):
        load_settings(file)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "later")
    with pytest.raises(SettingsError, match="^the variable MLFLOW_HTTP_REQUEST_TIMEOUT is 'later'"):
        load_settings(file)


@pytest.mark.parametrize(("name", "text"), [("a.yml", "password: [hush-hush"), ("a.yml", "- hush-hush"), ("a.json", '{"token": ["hush-hush"]}')])
def test_no_secret_is_told(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(file)
    assert str(file) in str(caught.value)
    assert "hush-hush" not in str(caught.value)
    assert "hush-hush" not in repr(load_settings(username="ann", password="hush-hush"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"the settings file {tmp_path / 'no.yml'} cannot be read"):
        load_settings(tmp_path / "no.yml")


def test_connect_sets_the_state_of_the_process_and_a_child_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    import mlflow  # noqa: PLC0415 - costs two seconds

    first = connect(tracking_uri="http://one:5000", username="ann", password="one")
    program = "from mlflow_utils import load_settings as l; s = l(); print(s.tracking_uri, s.username, s.password.get_secret_value())"
    child = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **first.environment()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout == "http://one:5000 ann one\n"
    second = connect(first.settings.model_copy(update={"tracking_uri": "http://two:5000", "username": None, "password": None}))
    assert mlflow.get_tracking_uri() == mlflow.get_registry_uri() == "http://two:5000"
    assert "MLFLOW_TRACKING_PASSWORD" not in os.environ
    assert second.mlflow.tracking_uri == "http://two:5000"
    with pytest.raises(SettingsError, match="settings or arguments"):
        connect(second.settings, timeout=2)


# Health


def test_a_server_is_healthy(server: Server) -> None:
    health = Client(load_settings(tracking_uri=server.uri)).health()
    assert health.reachable, health
    assert health.version.startswith("3.")
    assert 0 < health.latency < 30
    assert health.message == f"MLflow {health.version} answers at {server.uri}"


@pytest.mark.server
def test_credentials_are_checked(tmp_path: Path) -> None:
    with Server(tmp_path, auth=True) as server:
        right = Client(load_settings(tracking_uri=server.uri, username="admin", password="for-the-tests-alone"))
        assert right.health().reachable
        assert [experiment.name for experiment in connect(right.settings).mlflow.search_experiments()] == ["Default"]
        for name in right.environment():
            os.environ.pop(name, None)
        wrong = Client(load_settings(tracking_uri=server.uri, username="admin", password="something-else")).health()
        none = Client(load_settings(tracking_uri=server.uri)).health()
    assert not wrong.reachable
    assert not none.reachable
    assert wrong.message.startswith(f"{server.uri} refuses the credentials; check username and password")
    assert "something-else" not in wrong.message


def test_no_server_is_said_so() -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    health = Client(load_settings(tracking_uri=uri)).health()
    assert (health.reachable, health.version) == (False, "")
    assert health.message == f"no server answers at {uri}; check tracking_uri (MLFLOW_TRACKING_URI) and that the server runs"


class LoginPage(BaseHTTPRequestHandler):
    """What stands before a server behind single sign-on."""

    def _serve(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<html>Sign in, and this page is longer than a version would ever be</html>")

    do_GET = do_POST = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def login_page() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), LoginPage)
    yield server
    server.shutdown()
    server.server_close()


def test_a_login_page_is_not_mlflow(login_page: HTTPServer) -> None:
    threading.Thread(target=login_page.serve_forever, daemon=True).start()
    health = Client(load_settings(tracking_uri=f"http://127.0.0.1:{login_page.server_port}")).health()
    assert (health.reachable, health.version) == (False, "")
    assert "a login page perhaps" in health.message


def test_a_certificate_is_checked_against_the_ca(login_page: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = tmp_path / "server.pem"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1".split()
    subprocess.run([*words, "-keyout", certificate, "-out", tmp_path / "ca.pem"], check=True, capture_output=True)
    with certificate.open("a") as file:
        file.write((tmp_path / "ca.pem").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    login_page.socket = context.wrap_socket(login_page.socket, server_side=True)
    threading.Thread(target=login_page.serve_forever, daemon=True).start()
    uri = f"https://127.0.0.1:{login_page.server_port}"
    import certifi  # noqa: PLC0415 - comes with requests

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())  # which must not win over ca_path
    assert "the certificate" in Client(load_settings(tracking_uri=uri)).health().message
    trusting = Client(load_settings(tracking_uri=uri, ca_path=tmp_path / "ca.pem"))
    assert "a login page perhaps" in trusting.health().message
    assert trusting.environment()["MLFLOW_TRACKING_SERVER_CERT_PATH"] == str(tmp_path / "ca.pem")
