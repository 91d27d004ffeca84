"""Renew the certificate of a TLS Secret by its own authority: ``renew.py SECRET``.

Runs in a pod, on cryptography alone. The authority is the Secret of the same name with ``-ca``. Where 60 days or more are left, nothing is done.
A new one has a key of its own, and names, uses and life of the one before, but ends no later than its authority. Prints what was done, and fails
with what was not.
"""
from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NoReturn

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

#: A run of the playbook renews at 30, so that one weekly failure after the other is made good by it.
RENEWAL_DAYS = 60
LIFE_DAYS = 365
#: A new pod's network is let through some seconds after the pod has started.
PATIENCE_SECONDS = 30
#: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def fail(message: str) -> NoReturn:
    """End with ``message`` and exit status 1."""
    sys.exit(f"FAILED: {message}")


def ends(certificate: x509.Certificate) -> datetime:
    """When it ends. Cryptography 42 has times with a zone, earlier ones have not."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_after_utc
    return certificate.not_valid_after.replace(tzinfo=timezone.utc)


def renewed(old: x509.Certificate, authority: x509.Certificate, authority_key: Any, now: datetime) -> tuple[bytes, bytes]:
    """A certificate like the old one, from now on, and its key; both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(min(now + timedelta(days=LIFE_DAYS), ends(authority)))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    for extension in old.extensions:
        if not isinstance(extension.value, x509.SubjectKeyIdentifier):
            builder = builder.add_extension(extension.value, critical=extension.critical)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), pem


class Secrets:
    """The Secrets of this pod's namespace, as its service account may see them."""

    def __init__(self) -> None:
        self.namespace = (ACCOUNT / "namespace").read_text()
        self.token = (ACCOUNT / "token").read_text()
        self.trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))

    def ask(self, method: str, name: str, body: Any = None) -> Any:
        """One request for a Secret, tried again while no connection is made."""
        path = f"/api/v1/namespaces/{self.namespace}/secrets/{name}"
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/merge-patch+json"}
        deadline = time.monotonic() + PATIENCE_SECONDS
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
        while True:
            connection = http.client.HTTPSConnection(host, port, timeout=10, context=self.trust)
            try:
                connection.connect()
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    fail(f"the API server at {host}:{port} is not reached: {error}; see kubernetes_api_egress")
                time.sleep(1)
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            fail(f"{method} of Secret {name}: {answer.status}: {json.loads(text).get('message', text)}")
        return json.loads(text)

    def read(self, name: str) -> tuple[dict[str, bytes], str]:
        """A Secret's values, and its version."""
        found = self.ask("GET", name)
        return {key: base64.b64decode(value) for key, value in found.get("data", {}).items()}, found["metadata"]["resourceVersion"]

    def write(self, name: str, values: dict[str, bytes], version: str) -> None:
        """Change some of a Secret's values, unless somebody else has changed it meanwhile."""
        data = {key: base64.b64encode(value).decode() for key, value in values.items()}
        self.ask("PATCH", name, {"metadata": {"resourceVersion": version}, "data": data})


def main(name: str) -> None:
    """Renew the Secret's certificate where it is time."""
    secrets, now = Secrets(), datetime.now(timezone.utc)
    held, version = secrets.read(name)
    old = x509.load_pem_x509_certificate(held["tls.crt"])
    if ends(old) - now >= timedelta(days=RENEWAL_DAYS):
        print(f"the certificate in {name} ends on {ends(old):%Y-%m-%d}: it is not time yet")
        return
    signing, _version = secrets.read(f"{name}-ca")
    authority = x509.load_pem_x509_certificate(signing["tls.crt"])
    if ends(authority) - now < timedelta(days=RENEWAL_DAYS):
        fail(f"the authority in {name}-ca ends on {ends(authority):%Y-%m-%d}: run the playbook, which makes another, and give its CA to the clients")
    if signing["tls.crt"] != held.get("ca.crt"):
        fail(f"the authority in {name}-ca is another than the one that clients were given in {name}: run the playbook")
    certificate, key = renewed(old, authority, serialization.load_pem_private_key(signing["tls.key"], None), now)
    secrets.write(name, {"tls.crt": certificate, "tls.key": key}, version)
    end = ends(x509.load_pem_x509_certificate(certificate))
    print(f"the certificate in {name} ended on {ends(old):%Y-%m-%d}; the new one ends on {end:%Y-%m-%d}")


if __name__ == "__main__":
    main(sys.argv[1])
