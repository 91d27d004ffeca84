"""What goes wrong on a running deployment: one message that names the remedy, or nothing to do but to run again.

Most runs are of the roles that the mishap concerns; the last two are of the whole playbook, and the very last changes nothing.
"""
from __future__ import annotations

import base64
import json
import re
import shlex
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from playbook import Run, play, roles_playbook

pytestmark = [pytest.mark.akko, pytest.mark.alters]
line = pytest.mark.line("(beyond) mishaps: one message that names the remedy, and a run after it converges")
SERVER = ["mlflow_image", "postgresql", "artifact_store", "mlflow_server"]
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"
#: A database and an artifact store of their own, on a disk that becomes full.
APART = {
    "kubernetes_namespace": "mishaps", "postgresql_name": "small-database", "postgresql_app": "small-database", "postgresql_storage_class": "mishaps",
    "artifact_store_name": "small-store", "artifact_store_app": "small-store", "artifact_store_storage_class": "mishaps",
}
DISK = "/var/tmp/mishaps"


@pytest.fixture
def deploy(tmp_path: Path) -> Callable[..., Run]:
    """Runs some roles on the first server, as a playbook of a user's own would."""

    def run(roles: list[str], **variables: object) -> Run:
        return play(roles_playbook(tmp_path, roles), variables)

    return run


@pytest.fixture(autouse=True)
def secrets(cluster: Cluster) -> set[str]:
    """Every secret value that there is before a run."""
    return values(cluster)


def values(cluster: Cluster) -> set[str]:
    """The values of all Secrets that the collection has made, in every namespace, but for certificates and names."""
    found = cluster.get("secrets", "", "--all-namespaces", "--selector", "app.kubernetes.io/managed-by=mlops.mlflow")
    return {
        base64.b64decode(value).decode()
        for secret in found for key, value in secret["data"].items() if not key.endswith(".crt") and len(value) > 20
    }


def assert_says(run: Run, *words: str) -> None:
    """The run failed, and the message that it ended with has these words."""
    assert run.status == 2, run.output
    message = run.failures[-1][1]
    print(f"{run.seconds:.0f} s: {message}")
    for word in words:
        assert word in message


def assert_discreet(run: Run, cluster: Cluster, secrets: set[str]) -> None:
    """Neither a stack trace nor a secret is in what the run printed."""
    assert "Traceback" not in run.output
    assert not [value for value in secrets | values(cluster) if value in run.output], "a secret was printed"


def assert_leads_there(cluster: Cluster, run: Run) -> None:
    """The commands that a run ends with, pasted on the first server and on another host, let a client there reach the page."""
    client = cluster.agents[0]
    commands = re.findall(r"^  ((?:echo|kubectl) .*)$", run.output, re.M)
    password, ca = (cluster.run(command) for command in commands if command.startswith("kubectl "))
    hosts = next(command for command in commands if command.endswith(">>/etc/hosts"))
    try:
        cluster.run(hosts, client)
        cluster.run("umask 077; cat >/run/page.crt", client, stdin=ca)
        login = f'user = "{cluster.credentials[0]}:{password.strip()}"\n'
        answer = cluster.run(f"curl -s -K - --cacert /run/page.crt -w '%{{http_code}}' -o /dev/null https://{cluster.host}/", client, stdin=login)
        assert answer == "200"
    finally:
        cluster.run(f"sed -i '/ {cluster.host}$/d' /etc/hosts; rm -f /run/page.crt", client)


def sql(cluster: Cluster, statement: str) -> None:
    """Run a statement as the superuser, by the socket, which asks for no password."""
    cluster.kubectl("exec", f"sts/{cluster.variables['postgresql_name']}", "--", "psql", "-U", "postgres", "-c", statement)


def patch(cluster: Cluster, secret: str, changed: dict[str, str]) -> None:
    """Put other values into a Secret, behind the back of whom it belongs to."""
    cluster.kubectl("patch", "secret", secret, "--patch", json.dumps({"stringData": changed}))


def pods(cluster: Cluster) -> list[str]:
    """The pods of the server, by name."""
    selector = f"app.kubernetes.io/name={cluster.variables['mlflow_server_app']},app.kubernetes.io/component=server"
    return sorted(pod["metadata"]["name"] for pod in cluster.get("pods", "", "--selector", selector))


def until(condition: Callable[[], bool], timeout: float = 60) -> None:
    """Wait until a condition holds. TimeoutError after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("what was broken works on")
        time.sleep(0.5)


def serves(cluster: Cluster) -> bool:
    """Whether the server answers from its database, through the ingress and its certificate."""
    return cluster.https("GET", SEARCH).status == 200


def tls_failure(cluster: Cluster) -> str:
    """What keeps a client from trusting the ingress."""
    try:
        cluster.https("GET", SEARCH)
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    return ""


def expired(names: list[str], authority: dict[str, str] | None = None) -> dict[str, str]:
    """A certificate that was valid until yesterday, and its key; signed by itself, or by the authority of a Secret."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    issuer = x509.load_pem_x509_certificate(authority["tls.crt"].encode()).subject if authority else name
    signer: Any = serialization.load_pem_private_key(authority["tls.key"].encode(), None) if authority else key
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=90)).not_valid_after(now - timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    plain = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {"tls.crt": made.public_bytes(serialization.Encoding.PEM).decode(), "tls.key": plain.decode()}


@line
def test_an_image_without_the_driver(cluster: Cluster, deploy: Callable[..., Run], secrets: set[str]) -> None:
    """The deployed image with a layer that takes psycopg2 away: the migration says so, and the server of before serves on."""
    image = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    program = "import psycopg2; print(psycopg2.__path__[0])"
    folder = cluster.kubectl("exec", f"deploy/{cluster.name}", "--", "python", "-c", program).strip()
    # What an overlay takes for "there is none of this below": https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
    whiteout = str(Path(folder).with_name(f".wh.{Path(folder).name}")).lstrip("/")
    tag = f"{image.split('@')[0]}-without-driver"
    bad = cluster.run(f"""set -e; work=$(mktemp -d); trap 'rm -r "$work"' EXIT; cd "$work"
        mkdir -p {shlex.quote(str(Path(whiteout).parent))}; touch {shlex.quote(whiteout)}; tar -cf layer.tar {shlex.quote(whiteout)}
        crane append --base {shlex.quote(image)} --new_layer layer.tar --new_tag {shlex.quote(tag)}""").strip()
    before = pods(cluster)

    run = deploy(SERVER, mlflow_image_existing=bad)

    assert_says(run, "lacks PostgreSQL's driver", "use an image that has it", f"the previous server, {image}, is still serving")
    assert_discreet(run, cluster, secrets)
    assert pods(cluster) == before
    assert serves(cluster)


@line
def test_an_expired_certificate_that_is_given(cluster: Cluster, deploy: Callable[..., Run], secrets: set[str], tmp_path: Path) -> None:
    """It is refused before anything is changed, with the day it expired, and the one of before is served on."""
    given = expired([cluster.host])
    for name, text in given.items():
        (tmp_path / name).write_text(text)

    run = deploy(SERVER, mlflow_server_tls="provided",
                 mlflow_server_tls_certificate=f"{{{{ lookup('ansible.builtin.file', '{tmp_path}/tls.crt') }}}}",
                 mlflow_server_tls_key=f"{{{{ lookup('ansible.builtin.file', '{tmp_path}/tls.key') }}}}")

    yesterday = (datetime.now(timezone.utc) - timedelta(days=1)).strftime("%Y-%m-%d")
    assert_says(run, f"mlflow_server_tls_certificate: it expired at {yesterday}", "renew it, or set mlflow_server_tls: generated")
    assert_discreet(run, cluster, secrets | {given["tls.key"]})
    assert run.changed == 0
    assert serves(cluster)


@pytest.fixture
def disk(cluster: Cluster) -> Iterator[str]:
    """A disk of 24 MiB on the first server with two volumes, in a storage class of its own; its folder."""
    node = cluster.run("hostname").strip()
    here = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    volumes = [
        {
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"mishaps-{number}"},
            "spec": {
                "capacity": {"storage": "100Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "mishaps",
                "local": {"path": f"{DISK}/{number}"}, "nodeAffinity": {"required": {"nodeSelectorTerms": [here]}},
            },
        }
        for number in (1, 2)
    ]
    try:
        cluster.run(f"mkdir -p {DISK} && mount -t tmpfs -o size=24m tmpfs {DISK} && mkdir {DISK}/1 {DISK}/2")
        cluster.run("k3s kubectl apply --filename -", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": volumes}))
        yield DISK
    finally:
        cluster.run(f"""k3s kubectl delete namespace mishaps --ignore-not-found
            k3s kubectl delete persistentvolume mishaps-1 mishaps-2 --ignore-not-found
            rm -f /run/mlops-mlflow-mishaps-*; umount {DISK}; rmdir {DISK}""", timeout=180)


@line
def test_a_full_disk(cluster: Cluster, deploy: Callable[..., Run], secrets: set[str], disk: str) -> None:
    """Too small for PostgreSQL from the start, then full while it and MinIO run: each time a message, and a run after the remedy goes through."""
    small = deploy(["postgresql"], **APART, kubernetes_timeout=15)
    assert_says(small, "StatefulSet small-database", "No space left on device", "the volume is full: enlarge it, or free space")

    cluster.run(f"mount -o remount,size=256m {disk}")
    enlarged = deploy(["postgresql", "artifact_store"], **APART)
    assert enlarged.status == 0, enlarged.output

    cluster.run(f"dd if=/dev/zero of={disk}/filler bs=1M || true")
    database = deploy(["postgresql"], **APART)
    assert_says(database, "small-database: The volume is full, 0 KiB are left", "enlarge it with postgresql_volume_size, or free space on its disk")
    store = deploy(["artifact_store"], **APART)
    assert_says(store, "the server's volume is full (507 XMinioStorageFull", "enlarge it, or delete what is no longer needed")

    cluster.run(f"rm {disk}/filler")
    freed = deploy(["postgresql", "artifact_store"], **APART)
    assert freed.status == 0, freed.output
    assert freed.changed == 0
    for run in (small, enlarged, database, store, freed):
        assert_discreet(run, cluster, secrets)


@line
def test_keys_that_are_gone(cluster: Cluster, secrets: set[str]) -> None:
    """Secrets on which data, clients and people depend are not made anew: the run ends before its first change, and goes on with them put back."""
    store, database = cluster.variables["artifact_store_name"], cluster.variables["postgresql_name"]
    names = [cluster.name, database, f"{store}-root", f"{store}-mlflow", f"{cluster.name}-tls-ca"]
    kept = json.dumps({"apiVersion": "v1", "kind": "List", "items": [cluster.get("secret", name) for name in names]})
    try:
        cluster.kubectl("delete", "secret", *names)
        run = play()
        assert_says(run, *(f"Secret {name} in namespace {cluster.namespace} does not exist" for name in names), "kubernetes_fresh_start: true",
                    f"Deployment {cluster.name} and Secret {cluster.name}-env depend on its webhook-key, crypto-passphrase",
                    f"kubectl --namespace {cluster.namespace} apply --filename BACKUP")
        assert run.changed == 0
        assert_discreet(run, cluster, secrets)
    finally:
        cluster.kubectl("apply", "--filename", "-", stdin=kept)
    again = play()
    assert (again.status, again.changed) == (0, 0), again.output


@pytest.mark.outage
@line
def test_data_that_are_gone(cluster: Cluster, secrets: set[str]) -> None:
    """An emptied volume of PostgreSQL, then a bucket that is gone: an alarm, and not a fresh start. With the data put back all goes on."""
    database, store = cluster.variables["postgresql_name"], cluster.variables["artifact_store_name"]
    with moved_away(cluster, database, f"statefulset/{database}"):
        run = play()
        assert_says(run, "database 'mlflow' does not exist, and create is false", "backup")
        assert_discreet(run, cluster, secrets)
    with moved_away(cluster, store, f"deployment/{store}"):
        run = play()
        assert_says(run, f"bucket '{cluster.variables['artifact_store_bucket']}' does not exist, and create is false", "backup")
        assert_discreet(run, cluster, secrets)
    until(lambda: serves(cluster))
    again = play()
    assert (again.status, again.changed) == (0, 0), again.output


@contextmanager
def moved_away(cluster: Cluster, claim: str, workload: str) -> Iterator[None]:
    """While this lasts, the workload runs on an emptied volume, and afterwards on what was there before."""
    volume = json.loads(cluster.run(f"k3s kubectl get pv {cluster.get('pvc', claim)['spec']['volumeName']} --output json"))
    folder = shlex.quote(volume["spec"].get("hostPath", volume["spec"].get("local"))["path"])
    [node] = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"]
    host = next(name for name in [*cluster.servers, *cluster.agents] if cluster.run("hostname", name).strip() == node)

    def on_its_own(command: str) -> None:
        cluster.kubectl("scale", workload, "--replicas=0")
        cluster.kubectl("rollout", "status", workload, "--timeout=90s")
        cluster.kubectl("wait", "pod", "--for=delete", f"--selector=app.kubernetes.io/instance={workload.split('/')[1]}", "--timeout=90s")
        cluster.run(command, host)
        cluster.kubectl("scale", workload, "--replicas=1")
        cluster.kubectl("rollout", "status", workload, "--timeout=120s", timeout=130)

    try:
        on_its_own(f"mkdir {folder}.away && mv {folder}/* {folder}.away/")
        yield
    finally:
        on_its_own(f"rm -rf {folder}/*; mv {folder}.away/* {folder}/; rmdir {folder}.away")


@line
def test_what_was_altered_in_the_services(cluster: Cluster, deploy: Callable[..., Run], secrets: set[str]) -> None:
    """Both passwords in PostgreSQL and MLflow's key in MinIO are others, the certificates of ingress and database have expired: one run heals all."""
    database, store = cluster.variables["postgresql_name"], cluster.variables["artifact_store_name"]
    cluster.kubectl("exec", f"deploy/{store}", "--", "mc", "admin", "user", "add", "local", "mlflow", "another-key")
    sql(cluster, "ALTER ROLE postgres PASSWORD 'another'")
    sql(cluster, "ALTER ROLE mlflow PASSWORD 'another'")
    sql(cluster, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mlflow'")
    until(lambda: not serves(cluster))
    for name, host in ((f"{database}-tls", database), (f"{cluster.name}-tls", cluster.host)):
        patch(cluster, name, expired([host], cluster.secret(f"{name}-ca")))
    until(lambda: tls_failure(cluster) == "certificate has expired")

    run = deploy(SERVER)

    assert run.status == 0, run.output
    assert_discreet(run, cluster, secrets)
    assert tls_failure(cluster) == ""
    assert serves(cluster)


@line
def test_secrets_that_were_edited(cluster: Cluster, secrets: set[str]) -> None:
    """What the Secrets hold is what counts: one run tells it to PostgreSQL, MinIO, MLflow and the ingress. The run after it changes nothing."""
    mark = f"EditedAt{time.time_ns()}"
    patch(cluster, cluster.variables["postgresql_name"], {"admin-password": f"{mark}A", "password": f"{mark}B"})
    patch(cluster, f"{cluster.variables['artifact_store_name']}-mlflow", {"secret-key": f"{mark}C"})
    patch(cluster, cluster.name, {"ingress-password": f"{mark}D"})

    run = play()

    assert run.status == 0, run.output
    assert_discreet(run, cluster, secrets)
    del cluster.credentials
    assert cluster.credentials[1] == f"{mark}D"
    assert serves(cluster)
    again = play()
    assert again.status == 0, again.output
    assert again.changed == 0, again.output
    assert_leads_there(cluster, again)
    print(f"a run of the whole playbook: {run.seconds:.0f} s, one that changes nothing: {again.seconds:.0f} s")
