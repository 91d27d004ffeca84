"""What the pod that renews a certificate makes: shown to a client that trusts the authority, in a TLS handshake in memory."""
from __future__ import annotations

import importlib.util
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FILE = Path(__file__).resolve().parents[3] / "roles" / "mlflow_server" / "files" / "renew.py"
HOST = "mlflow.example.com"
NOW = datetime.now(timezone.utc).replace(microsecond=0)
PEM = serialization.Encoding.PEM


def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("renew", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RENEW = program()


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def authority(days: int) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(name("ca"), name("ca"), key.public_key(), 1, NOW - timedelta(hours=1), NOW + timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(True, 0), critical=True)
    return builder.sign(key, hashes.SHA256()), key


def signed(by: tuple[x509.Certificate, ec.EllipticCurvePrivateKey], days: int) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    builder = x509.CertificateBuilder(by[0].subject, name("mlflow-tls"), key, 2, NOW - timedelta(days=1), NOW + timedelta(days=days))
    usage: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectAlternativeName([x509.DNSName(HOST)]), False),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
    ]
    for extension, critical in usage:
        builder = builder.add_extension(extension, critical)
    return builder.sign(by[1], hashes.SHA256())


def shaken(certificate: bytes, key: bytes, ca: x509.Certificate, folder: Path, host: str) -> None:
    """A handshake of a server that shows the certificate and a client that trusts the authority. ssl.SSLError where it fails."""
    file = folder / "server.pem"
    file.write_bytes(certificate + key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    client = ssl.create_default_context(cadata=ca.public_bytes(PEM).decode())
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides: list[Any] = [client.wrap_bio(back, there, server_hostname=host), server.wrap_bio(there, back, server_side=True)]
    for _number in range(6):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert sides[0].version()


def test_a_client_trusts_the_new_one(tmp_path: Path) -> None:
    """By the names of the one before, for a year, with another key."""
    by = authority(3650)
    old = signed(by, 10)
    certificate, key = RENEW.renewed(old, *by, NOW)
    new = x509.load_pem_x509_certificate(certificate)
    assert new.not_valid_after_utc == NOW + timedelta(days=365)
    assert new.public_key() != old.public_key()
    shaken(certificate, key, by[0], tmp_path, HOST)
    with pytest.raises(ssl.SSLCertVerificationError, match="doesn't match|not valid for|mismatch"):
        shaken(certificate, key, by[0], tmp_path, "other.example.com")
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(certificate, key, authority(3650)[0], tmp_path, HOST)


def test_it_ends_no_later_than_its_authority() -> None:
    by = authority(90)
    certificate, _key = RENEW.renewed(signed(by, 10), *by, NOW)
    assert x509.load_pem_x509_certificate(certificate).not_valid_after_utc == by[0].not_valid_after_utc


class Held:
    """The Secrets of a namespace, kept in memory: the fault of a lost race, and who signed what, cannot be had on demand otherwise."""

    def __init__(self, leaf: x509.Certificate, ca: tuple[x509.Certificate, ec.EllipticCurvePrivateKey], given: x509.Certificate) -> None:
        pem = ca[1].private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.values = {
            "tls": {"tls.crt": leaf.public_bytes(PEM), "ca.crt": given.public_bytes(PEM)},
            "tls-ca": {"tls.crt": ca[0].public_bytes(PEM), "tls.key": pem},
        }
        self.written: dict[str, bytes] = {}

    def read(self, name: str) -> tuple[dict[str, bytes], str]:
        return self.values[name], "7"

    def write(self, name: str, values: dict[str, bytes], version: str) -> None:
        assert (name, version) == ("tls", "7")
        self.written = values


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Held], dict[str, bytes]]:
    def ran(held: Held) -> dict[str, bytes]:
        monkeypatch.setattr(RENEW, "Secrets", lambda: held)
        RENEW.main("tls")
        return held.written

    return ran


@pytest.mark.parametrize(("days", "keys"), [(59, {"tls.crt", "tls.key"}), (61, set())])
def test_it_is_renewed_two_months_before_its_end(run: Callable[[Held], dict[str, bytes]], days: int, keys: set[str]) -> None:
    by = authority(3650)
    assert set(run(Held(signed(by, days), by, by[0]))) == keys


def test_an_authority_that_ends_is_for_a_run(run: Callable[[Held], dict[str, bytes]]) -> None:
    by = authority(30)
    with pytest.raises(SystemExit, match=r"tls-ca ends on .*run the playbook"):
        run(Held(signed(by, 10), by, by[0]))


def test_another_authority_than_the_clients_is_not_used(run: Callable[[Held], dict[str, bytes]]) -> None:
    by = authority(3650)
    with pytest.raises(SystemExit, match="another than the one that clients were given"):
        run(Held(signed(by, 10), by, authority(3650)[0]))
