"""Each check of ``mlflow-utils doctor`` names its own fault, and no other one does. The servers and the faults are real where that can be had."""
from __future__ import annotations

import contextlib
import datetime
import functools
import ipaddress
import json
import re
import sqlite3
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from harness import Stack, WriteGuard, tls_in_front
from mlflow_server import Server, free_port
from test_cli import execute
from test_cli import settings as environment

from mlflow_utils.client import Client, Settings, load_settings
from mlflow_utils.doctor import Diagnosis, Finding, Status, diagnose, rules
from mlflow_utils.doctor.findings import CHECKS, Verdict
from mlflow_utils.doctor.rules import Answer

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "doctor.md"
PASSWORD = "for-the-tests-alone"


def broken(diagnosis: Diagnosis, name: str, status: Status = Status.FAILED) -> Finding:
    """The finding of the check ``name``, which must be the only one with something to say; those that need it must be skipped if it failed."""
    spoken = [finding for finding in diagnosis.findings if finding.status in (Status.FAILED, Status.WARNING)]
    assert [(finding.id, finding.status) for finding in spoken] == [(name, status)], diagnosis.findings
    assert all(spoken[0].__dict__.values())
    assert spoken[0].link.endswith(f"#{name}")
    return spoken[0]


@contextlib.contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of an HTTP server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def always(status: int, **headers: str) -> Callable[..., BaseHTTPRequestHandler]:
    """Answers every request so, as what stands in front of MLflow does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    return Handler


@contextlib.contextmanager
def tls(folder: Path, address: str, host: str = "127.0.0.1", days: float = 90) -> Iterator[tuple[str, Path]]:
    """``address`` behind TLS, by a certificate for ``host`` that is valid for so many days more; and its PEM file."""
    from cryptography import x509  # noqa: PLC0415 - it comes with MLflow's server
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    now, key = datetime.datetime.now(datetime.timezone.utc), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "doctor")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=100))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file, private = folder / "tls.crt", folder / "tls.key"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, private)
    with tls_in_front(address, context) as tls_address:
        yield tls_address, file


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, stack: Stack) -> Iterator[Server]:
    """A server with basic authentication, whose store is a real S3 server without the bucket."""
    variables = {
        "MLFLOW_S3_ENDPOINT_URL": stack.s3_endpoint,
        "AWS_ACCESS_KEY_ID": stack.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": stack.s3_secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with Server(tmp_path_factory.mktemp("guarded"), auth=True, artifacts="s3://nobody-made-it", variables=variables) as running:
        yield running


def test_a_server_that_works_is_read_alone(settings: Settings) -> None:
    guard = WriteGuard(settings.tracking_uri)
    with guard.running() as proxy:
        diagnosis = diagnose(settings.model_copy(update={"tracking_uri": proxy.uri}))
    assert guard.writes == []
    assert diagnosis.is_healthy
    assert [(finding.id, finding.status) for finding in diagnosis.findings] == [(check.id, Status.OK) for check in CHECKS]
    assert diagnosis.seconds < 60


def test_the_command_prints_a_table_and_json(settings: Settings) -> None:
    variables = environment(**settings.environment())
    told = execute("doctor", environment=variables)
    assert all(check.id in told.stdout for check in CHECKS)
    assert told.stderr == ""
    found = json.loads(execute("doctor", "--output", "json", environment=variables).stdout)
    assert found["is_healthy"] is True
    assert [finding["status"] for finding in found["findings"]] == ["ok"] * len(CHECKS)


def test_the_command_says_what_to_do(guarded: Server) -> None:
    variables = {"MLFLOW_TRACKING_URI": guarded.uri, "MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "wrong-and-secret"}
    told = execute("doctor", environment=environment(**variables), code=3)
    assert "the server does not accept them" in told.stdout
    assert "check the password of MLFLOW_TRACKING_USERNAME" in told.stdout
    assert "cannot be used as it is: the server does not accept them" in told.stderr
    assert "wrong-and-secret" not in told.stdout + told.stderr
    code = execute("doctor", "-o", "json", environment=environment(**variables), code=3)
    assert [finding["status"] for finding in json.loads(code.stdout)["findings"]] == ["ok"] * 7 + ["failed"] + ["skipped"] * 4


@pytest.mark.parametrize(("host", "says"), [("mlflow.nowhere.invalid", "DNS does not know"), ("mlflow.mlflow.svc.cluster.local", "its cluster only")])
def test_a_name_without_an_address(host: str, says: str) -> None:
    assert says in broken(diagnose(load_settings(tracking_uri=f"http://{host}:5000")), "name").cause


def test_a_port_where_nothing_listens() -> None:
    assert "nothing listens" in broken(diagnose(load_settings(tracking_uri=f"http://127.0.0.1:{free_port()}")), "connection").cause


@pytest.mark.parametrize(
    ("host", "days", "trusted", "says"),
    [
        ("127.0.0.1", 90, False, "its CA is not among those"),
        ("127.0.0.1", -1, True, "has expired"),
        ("127.0.0.9", 90, True, "for another name"),
        ("127.0.0.1", 3, True, "has not been renewed"),
    ],
)
def test_a_certificate(server: Server, tmp_path: Path, host: str, days: float, trusted: bool, says: str) -> None:
    with tls(tmp_path, server.uri, host, days) as (address, file):
        diagnosis = diagnose(load_settings(tracking_uri=address, ca_path=file if trusted else None))
    assert says in broken(diagnosis, "certificate", Status.WARNING if days == 3 else Status.FAILED).cause


def test_a_certificate_that_holds(server: Server, tmp_path: Path) -> None:
    with tls(tmp_path, server.uri) as (address, file):
        assert diagnose(load_settings(tracking_uri=address, ca_path=file)).is_healthy


def test_the_other_protocol(server: Server, tmp_path: Path) -> None:
    assert "without TLS" in broken(diagnose(load_settings(tracking_uri=server.uri.replace("http", "https"))), "certificate").cause
    with tls(tmp_path, server.uri) as (address, _file):
        assert "does not speak HTTP" in broken(diagnose(load_settings(tracking_uri=address.replace("https", "http"))), "server").cause


@pytest.mark.server
def test_a_host_name_that_is_not_allowed(tmp_path: Path) -> None:
    with Server(tmp_path, options=["--allowed-hosts", "localhost:*,localhost"]) as server:
        found = broken(diagnose(load_settings(tracking_uri=server.uri)), "host")
    assert found.cause == "MLflow does not allow this host name"
    assert f"127.0.0.1:{server.port}" in found.remedy


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (302, {"Location": "https://keycloak.example.org/realms/mlops"}, "single sign-on"),
        (308, {"Location": "https://127.0.0.1/health"}, "wants https"),
        (401, {"WWW-Authenticate": "Basic"}, "asks for a login"),
        (502, {}, "does not reach MLflow"),
        (404, {}, "something else than MLflow"),
    ],
)
def test_what_stands_in_front(status: int, headers: dict[str, str], says: str) -> None:
    with serving(always(status, **headers)) as address:
        assert says in broken(diagnose(load_settings(tracking_uri=address)), "server").cause


def test_another_application(tmp_path: Path) -> None:
    (tmp_path / "health").write_text("<html>fit</html>")
    with serving(functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))) as address:
        assert "something else than MLflow" in broken(diagnose(load_settings(tracking_uri=address)), "server").cause


def test_a_proxy_that_does_not_know_the_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(always(502)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.replace("http://", "http://user:secret@"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        found = broken(diagnose(load_settings(tracking_uri=server.uri)), "server")
        assert found.remedy == "add 127.0.0.1 to NO_PROXY"
        assert "secret" not in str(found)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert diagnose(load_settings(tracking_uri=server.uri)).is_healthy


def test_credentials(guarded: Server) -> None:
    assert "asks for a login" in broken(diagnose(load_settings(tracking_uri=guarded.uri)), "login").cause
    wrong = load_settings(tracking_uri=guarded.uri, username="admin", password="wrong-and-secret")
    found = broken(diagnose(wrong), "login")
    assert "does not accept them" in found.cause
    assert "wrong-and-secret" not in str(found)


def test_a_bucket_that_is_not_there(guarded: Server) -> None:
    found = broken(diagnose(load_settings(tracking_uri=guarded.uri, username="admin", password=PASSWORD)), "artifacts")
    assert "the bucket is not there" in found.cause
    assert "500" in found.observed


def test_a_deleted_experiment(server: Server) -> None:
    client = Client(load_settings(tracking_uri=server.uri)).mlflow
    experiment_id = client.create_experiment("gone")
    client.delete_experiment(experiment_id)
    found = broken(diagnose(load_settings(tracking_uri=server.uri, experiment="gone")), "experiment")
    assert f"mlflow experiments restore --experiment-id {experiment_id}" in found.remedy
    assert diagnose(load_settings(tracking_uri=server.uri, experiment="never made")).is_healthy


def test_a_registry_that_is_elsewhere_and_down(server: Server) -> None:
    settings = load_settings(tracking_uri=server.uri, registry_uri=f"http://127.0.0.1:{free_port()}")
    assert "MLFLOW_REGISTRY_URI" in broken(diagnose(settings), "registry").remedy


def test_a_clock_that_is_wrong(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr("mlflow_utils.doctor.probe.time.time", lambda: now() + 3600)
    assert "ahead of the server's" in broken(diagnose(load_settings(tracking_uri=server.uri)), "clock", Status.WARNING).observed


def test_a_client_that_is_newer_than_the_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlflow_utils.doctor._diagnosis.client_version", lambda: "3.99.0")
    assert "mlflow-skinny==3." in broken(diagnose(load_settings(tracking_uri=server.uri)), "version", Status.WARNING).remedy


@pytest.mark.server
def test_a_schema_that_is_not_there(tmp_path: Path) -> None:
    """Last of all, since it breaks a server."""
    with Server(tmp_path) as server:
        with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
            database.execute("ALTER TABLE experiments RENAME TO elsewhere")
        found = broken(diagnose(load_settings(tracking_uri=server.uri)), "database")
    assert "the schema is not that of this MLflow" in found.cause


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ('(psycopg2.OperationalError) FATAL:  password authentication failed for user "mlflow"', "refuses the server's user"),
        ('(psycopg2.OperationalError) FATAL:  database "mlflow" does not exist', "the database does not exist"),
        ("(psycopg2.OperationalError) connection to server at ..., port 5432 failed: Connection refused", "PostgreSQL is down"),
        ('(psycopg2.OperationalError) could not translate host name "postgresql" to address', "does not find PostgreSQL's name"),
        ("(psycopg2.OperationalError) FATAL:  remaining connection slots are reserved", "no connection left"),
        ("(psycopg2.errors.ReadOnlySqlTransaction) cannot execute INSERT in a read-only transaction", "read-only"),
        ('(psycopg2.errors.UndefinedTable) relation "experiments" does not exist', "schema"),
        ('(psycopg2.errors.DiskFull) could not extend file "base/1": No space left on device', "disk is full"),
        ("something new", "cannot do its work"),
    ],
)
def test_what_postgresql_says(message: str, says: str) -> None:
    content = {"error_code": "INTERNAL_ERROR", "message": message}
    assert says in rules.judge_database(Answer(500, json.dumps(content), {"content-type": "application/json"}, content)).cause


def test_a_server_that_does_not_pass_on_artifacts() -> None:
    content = {"error_code": "INTERNAL_ERROR", "message": "MLflow server was started without --serve-artifacts"}
    assert "does not pass on artifacts" in rules.judge_proxied_artifacts(Answer(503, "", {}, content), "").cause


def direct(location: str, error: str = "", *, has_library: bool = True, has_keys: bool = True, is_there: bool = False) -> Verdict:
    return rules.judge_direct_artifacts(location, error, has_library=has_library, has_keys=has_keys, is_there=is_there)


def test_artifacts_without_the_server() -> None:
    assert direct("s3://b/1").status is Status.OK
    assert "boto3" in direct("s3://b/1", has_library=False).remedy
    assert "MLFLOW_S3_ENDPOINT_URL" in direct("s3://b/1", "refused").remedy
    assert direct("s3://b/1", has_keys=False).status is Status.WARNING
    assert direct("/srv/mlruns/1").status is Status.FAILED
    assert direct("file:///srv/mlruns/1", is_there=True).status is Status.WARNING
    assert direct("gs://b/1").status is Status.OK


def test_every_check_is_described() -> None:
    headings = re.findall(r"^## (\S+)$", DOCUMENTATION.read_text(), re.M)
    assert headings == [check.id for check in CHECKS]
