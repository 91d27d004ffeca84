"""Certificates of the deployment's own authority, near their ends: renewed with nobody there, or long; and nothing restarts for it."""
from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cluster import Cluster
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playbook import play, roles_playbook

pytestmark = [pytest.mark.akko, pytest.mark.alters]
line = pytest.mark.line("(beyond) certificates outlive a year without a run")
PEM = serialization.Encoding.PEM


def left(certificate: x509.Certificate) -> int:
    """How many days it has left."""
    return (certificate.not_valid_after_utc - datetime.now(timezone.utc)).days


def put_short_one(cluster: Cluster, name: str, days: int) -> None:
    """Put a certificate of the same authority and names, which ends in so many days, in place of that of a Secret, as earlier releases made it."""
    held, signing = cluster.secret(name), cluster.secret(f"{name}-ca")
    old, authority = x509.load_pem_x509_certificate(held["tls.crt"].encode()), x509.load_pem_x509_certificate(signing["tls.crt"].encode())
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    builder = x509.CertificateBuilder(authority.subject, old.subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=365 - days)).not_valid_after(now + timedelta(days=days, minutes=5))
    for extension in old.extensions:
        if not isinstance(extension.value, x509.SubjectKeyIdentifier):
            builder = builder.add_extension(extension.value, critical=extension.critical)
    signer = serialization.load_pem_private_key(signing["tls.key"].encode(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    new = builder.sign(signer, hashes.SHA256()).public_bytes(PEM).decode()
    pem = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    patch = json.dumps({"stringData": {"tls.crt": new, "tls.key": pem}})
    cluster.run(f"cat >/run/short.json; k3s kubectl -n {cluster.namespace} patch secret {name} --patch-file /run/short.json; rm /run/short.json",
                stdin=patch)


def served_by_database(cluster: Cluster) -> x509.Certificate:
    """The certificate that PostgreSQL shows to a new connection."""
    address = cluster.get("service", str(cluster.variables["postgresql_name"]))["spec"]["clusterIP"]
    shown = cluster.run(f"openssl s_client -connect {address}:5432 -starttls postgres </dev/null 2>/dev/null | openssl x509")
    return x509.load_pem_x509_certificate(shown.encode())


def served_by_ingress(cluster: Cluster) -> x509.Certificate:
    """The certificate that the ingress shows to a browser; the client has trusted it."""
    assert cluster.https("GET", "/health").status == 200
    name = cluster.host
    shown = cluster.run(f"openssl s_client -connect {cluster.address}:443 -servername {name} </dev/null 2>/dev/null | openssl x509")
    return x509.load_pem_x509_certificate(shown.encode())


def pods(cluster: Cluster) -> dict[str, int]:
    """The pods that serve, with how often their containers restarted."""
    found = cluster.get("pods", "", "--selector", "app.kubernetes.io/component in (server, database, artifacts)")
    return {pod["metadata"]["uid"]: pod["status"]["containerStatuses"][0]["restartCount"] for pod in found}


def renewal(cluster: Cluster, job: str) -> str:
    """What the CronJob says, run now."""
    cluster.kubectl("create", "job", job, f"--from=cronjob/{cluster.name}-certificate")
    try:
        cluster.kubectl("wait", f"job/{job}", "--for=condition=Complete", "--timeout=90s")
        return cluster.kubectl("logs", f"job/{job}")
    finally:
        cluster.kubectl("delete", "job", job)


@line
def test_the_ingress_certificate_is_renewed_without_a_run(cluster: Cluster) -> None:
    """Ten days before its end the CronJob makes another, which a client trusts as before; a second one later does nothing."""
    before, name = pods(cluster), f"{cluster.name}-tls"
    put_short_one(cluster, name, 10)
    assert "the new one ends on" in renewal(cluster, "renew-it")
    kept = x509.load_pem_x509_certificate(cluster.secret(name)["tls.crt"].encode())
    assert left(kept) >= 364
    deadline = time.monotonic() + 30
    while served_by_ingress(cluster) != kept:
        assert time.monotonic() < deadline
        time.sleep(1)
    assert "it is not time yet" in renewal(cluster, "renew-it-again")
    assert pods(cluster) == before


@line
def test_the_renewal_sees_its_own_two_secrets_alone(cluster: Cluster) -> None:
    """By what RBAC lets its service account do, in its own namespace and elsewhere."""
    account = f"--as=system:serviceaccount:{cluster.namespace}:{cluster.name}-certificate"

    def may(verb: str, name: str, *words: str) -> bool:
        asked = f"k3s kubectl auth can-i {verb} {name} {account} {' '.join(words)} || true"
        return cluster.run(f"k3s kubectl -n {cluster.namespace} {asked.removeprefix('k3s kubectl ')}").strip() == "yes"

    assert may("get", f"secret/{cluster.name}-tls")
    assert may("patch", f"secret/{cluster.name}-tls")
    assert may("get", f"secret/{cluster.name}-tls-ca")
    for verb, name in (("patch", f"secret/{cluster.name}-tls-ca"), ("get", f"secret/{cluster.name}"), ("list", "secrets"), ("create", "secrets"),
                       ("delete", f"secret/{cluster.name}-tls"), ("get", "pods")):
        assert not may(verb, name), (verb, name)
    assert not may("list", "secrets", "--all-namespaces")


@pytest.mark.outage  # not for what it breaks, but for the minutes that it takes
@line
def test_a_database_certificate_of_a_year_becomes_a_long_one(cluster: Cluster, tmp_path: Path) -> None:
    """As earlier releases made them: the next run makes one for ten years, which PostgreSQL shows, and neither it nor MLflow restarts."""
    name = f"{cluster.variables['postgresql_name']}-tls"
    roles = roles_playbook(tmp_path, ["mlflow_image", "postgresql", "artifact_store", "mlflow_server"])
    assert left(served_by_database(cluster)) > 3600
    before = pods(cluster)
    put_short_one(cluster, name, 200)
    predicted = play(roles, words=["--check"])
    done = play(roles)
    assert (done.status, done.changed, predicted.changed) == (0, 2, 2), done.output
    shown = served_by_database(cluster)
    assert left(shown) > 3600
    assert shown == x509.load_pem_x509_certificate(cluster.secret(name)["tls.crt"].encode())
    assert pods(cluster) == before
    again = play(roles)
    assert (again.status, again.changed) == (0, 0), again.output
    assert pods(cluster) == before
