"""MLflow on a database of CloudNativePG's, as homelab has it: the real operator, a Cluster of one instance, its role and its databases declared.

The operator is built by tests/hosts from its Go module; PostgreSQL is Debian's, in an image as the operator wants one.
"""
from __future__ import annotations

import copy
import hashlib
import json
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from host_images import bring
from parts import parts
from playbook import Run, play, roles_playbook

# Not for what they break, but for the minutes that they take.
pytestmark = [pytest.mark.outage, pytest.mark.line("(beyond) PostgreSQL by CloudNativePG")]
NAMESPACE, OPERATORS, NAME, DATABASE, CLAIM = "cnpg-mlflow", "cnpg-system", "mlflow", "database", "artifacts"
IMAGES = ("ghcr.io/cloudnative-pg/postgresql:17.11", "ghcr.io/cloudnative-pg/postgresql:17")
VARIABLES: dict[str, Any] = {
    "kubernetes_namespace": NAMESPACE, "kubernetes_timeout": 600,
    "postgresql_provider": "cloudnative_pg", "postgresql_name": DATABASE, "postgresql_app": DATABASE, "postgresql_volume_size": "1Gi",
    "postgresql_storage_class": "local-path", "postgresql_image": IMAGES[0], "postgresql_node_selector": {"kubernetes.io/arch": "amd64"},
    "postgresql_operator": "install",
    "artifact_store_provider": "nfs", "artifact_store_name": "store", "artifact_store_app": "store", "artifact_store_existing_claim": CLAIM,
    "mlflow_server_name": NAME, "mlflow_server_app": NAME, "mlflow_server_host": "", "mlflow_server_ingress_auth": "none",
    "mlflow_server_replicas": 1, "mlflow_server_strategy": "Recreate", "mlflow_server_pool_size": 5, "mlflow_server_max_overflow": 2,
}  # fmt: skip
SITE = ("postgresql", "artifact_store", "mlflow_server", "mlflow_verify")
#: What a run may make in the namespace.
KINDS = ("clusters.postgresql.cnpg.io", "databases.postgresql.cnpg.io", "secret", "networkpolicy", "service", "pvc", "pod")


def manifest(folder: Path) -> Path:
    """The operator's own manifest, for hosts that have its image and no registry, and for machines that are busy."""
    text = (parts.part("cloudnative-pg-manifest") / "cloudnative-pg-manifest.yaml").read_text()
    changed = text.replace("imagePullPolicy: Always", "imagePullPolicy: IfNotPresent").replace("cpu: 100m", "cpu: 1000m", 1)
    changed = changed.replace("failureThreshold: 6", "failureThreshold: 60")
    assert changed != text
    (folder / "operator.yaml").write_text(changed)
    return folder / "operator.yaml"


@dataclass
class Homelab:
    """The server: its cluster, as ``kubectl`` in its namespace has it, the folder for playbooks, and the variables of the operator."""

    cluster: Cluster
    folder: Path
    more: dict[str, Any]

    def deploy(self, *roles: str, words: Sequence[str] = (), **variables: Any) -> Run:
        """Run roles on the first server with the variables of this server, and others, and further words of the command line."""
        return play(roles_playbook(self.folder, roles or SITE), {**VARIABLES, **self.more, **variables}, words=words, timeout=900)

    def there(self) -> dict[str, set[str]]:
        """The names of what a run may make."""
        return {kind: {each["metadata"]["name"] for each in self.cluster.get(kind)} for kind in KINDS}

    @property
    def primary(self) -> str:
        """The pod of the primary."""
        return str(self.cluster.get("clusters.postgresql.cnpg.io", DATABASE)["status"]["currentPrimary"])

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What PostgreSQL's superuser gets, in the pod alone."""
        words = ["exec", self.primary, "--container", "postgres", "--", "psql", "-tA", "-d", database, "-c", statement]
        return self.cluster.kubectl(*words).strip()

    def ask(self, path: str, body: Any = None) -> Any:
        """What MLflow answers on the first server."""
        url = f"http://{self.cluster.get('service', NAME)['spec']['clusterIP']}:5000/api/2.0/mlflow/{path}"
        data = ["--json", json.dumps(body)] if body is not None else []
        return json.loads(self.cluster.run(shlex.join(["curl", "-sSf", "--max-time", "20", *data, url])))


@pytest.fixture(scope="module")
def homelab(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homelab]:
    """The namespace with a volume for artifacts; at the end, it is removed with all that is in it, and the operator too."""
    image = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    apart, folder = copy.copy(cluster), tmp_path_factory.mktemp("homelab")
    apart.namespace = NAMESPACE
    file = manifest(folder)
    operator = {"postgresql_operator_manifest": str(file), "postgresql_operator_checksum": hashlib.sha256(file.read_bytes()).hexdigest()}
    made = Homelab(apart, folder, {"mlflow_server_image": image, "artifact_store_image": image, **operator})
    try:
        bring(cluster, "cloudnative-pg", "cloudnative-postgres")
        yield made
    finally:
        cluster.run(f"k3s kubectl delete cluster.postgresql.cnpg.io --all --namespace {NAMESPACE} --ignore-not-found --timeout=60s || true")
        cluster.delete_namespace(NAMESPACE)
        cluster.run("k3s kubectl delete --ignore-not-found --wait=false --filename -", stdin=file.read_text())


@pytest.fixture(scope="module")
def database(homelab: Homelab) -> Homelab:
    """The same once the operator is installed and the database is there."""
    run = homelab.deploy("postgresql")
    assert run.status == 0, run.output
    return homelab


@pytest.fixture(scope="module")
def deployed(database: Homelab) -> Homelab:
    """The same once MLflow is deployed and has passed its own verification."""
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "local-path", "resources": {"requests": {"storage": "1Gi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "spec": spec}
    database.cluster.kubectl("apply", "--filename", "-", stdin=json.dumps(claim))
    run = database.deploy()
    assert run.status == 0, run.output
    return database


def test_without_the_operator_the_remedy_is_said_before_the_first_change(homelab: Homelab) -> None:
    """Not even the namespace is made."""
    run = homelab.deploy("postgresql", postgresql_operator="existing")
    assert (run.status, run.changed) == (2, 0), run.output
    message = run.failures[-1][1]
    assert "postgresql_provider: there is no CustomResourceDefinition databases.postgresql.cnpg.io; nothing was changed" in message
    assert "kubectl apply --server-side --filename https://" in message
    assert NAMESPACE not in homelab.cluster.run("k3s kubectl get namespaces --output name")


def test_a_manifest_of_another_checksum_is_refused(homelab: Homelab) -> None:
    """Before any of it is applied."""
    run = homelab.deploy("postgresql", postgresql_operator_checksum="0" * 64)
    assert run.status == 2, run.output
    assert "postgresql_operator_checksum: '000" in run.failures[-1][1]
    assert OPERATORS not in homelab.cluster.run("k3s kubectl get namespaces --output name")


def test_check_mode_writes_nothing(homelab: Homelab) -> None:
    """Without the operator, and without the namespace."""
    run = homelab.deploy("postgresql", words=["--check"])
    assert run.status == 0, run.output
    assert run.changed > 0
    assert OPERATORS not in homelab.cluster.run("k3s kubectl get namespaces --output name")


def test_the_database_is_declared_without_a_superuser(database: Homelab) -> None:
    """Owner and databases as wanted, TLS with CloudNativePG's authority, no Secret of a superuser, no budget, and the parameters of homelab."""
    assert database.sql("SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = 'mlflow'") == "f|f|f"
    owners = database.sql("SELECT datname, pg_get_userbyid(datdba), datcollate, datlocprovider FROM pg_database WHERE datname ~ 'mlflow' ORDER BY 1")
    assert owners.splitlines() == ["mlflow|mlflow|C|b", "mlflow_auth|mlflow|C|b"]
    assert database.sql("SHOW max_connections") == "200"
    there = database.there()
    assert f"{DATABASE}-superuser" not in there["secret"]
    assert database.cluster.get("poddisruptionbudget") == []
    secret = database.cluster.get("secret", f"{DATABASE}-user")
    assert (secret["type"], secret["metadata"]["labels"]["cnpg.io/reload"]) == ("kubernetes.io/basic-auth", "true")


def test_mlflow_stands_on_it_and_the_next_runs_change_nothing(deployed: Homelab) -> None:
    """What it has registered is in the database; its connection is verified in full; check mode predicts nothing either."""
    deployed.ask("experiments/create", {"name": "on-cnpg"})
    assert deployed.sql("SELECT count(*) FROM experiments WHERE name = 'on-cnpg'", "mlflow") == "1"
    container = deployed.cluster.get("deployment", NAME)["spec"]["template"]["spec"]["containers"][0]
    environment = {each["name"]: each.get("value", "") for each in container["env"]}
    assert environment["PGSSLMODE"] == "verify-full"
    assert f"@{DATABASE}-rw.{NAMESPACE}.svc:5432/mlflow" in environment["MLFLOW_BACKEND_STORE_URI"]
    assert deployed.sql("SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'mlflow'") == "t"
    for words in ([], ["--check"]):
        run = deployed.deploy(words=words)
        assert (run.status, run.changed) == (0, 0), run.output


def lose_the_primary(deployed: Homelab) -> None:
    """Kill the primary's pod while a client writes; each write that MLflow has acknowledged is there once it writes again, on another pod."""
    experiment = deployed.ask("experiments/create", {"name": f"killed-{time.time_ns()}"})["experiment_id"]
    run = deployed.ask("runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
    before = deployed.cluster.get("pod", deployed.primary)["metadata"]["uid"]
    kept: list[int] = []

    def write(step: int) -> bool:
        try:
            deployed.ask("runs/log-metric", {"run_id": run, "key": "loss", "value": step, "timestamp": step, "step": step})
        except RuntimeError:
            return False
        kept.append(step)
        return True

    def is_another() -> bool:
        try:
            return bool(deployed.cluster.get("pod", deployed.primary)["metadata"]["uid"] != before)
        except RuntimeError:  # it is gone, and no other is primary yet
            return False

    assert all(write(step) for step in range(10))
    deployed.cluster.kubectl("delete", "pod", deployed.primary, "--force", "--grace-period=0", "--wait=false")
    end, step = time.monotonic() + 300, 10
    while time.monotonic() < end:
        is_new = write(step) and is_another()
        step += 1
        if is_new and write(step):
            break
    else:
        pytest.fail(f"MLflow did not write again within 300 s; acknowledged: {len(kept)} of {step}")
    history = deployed.ask(f"metrics/get-history?run_id={run}&metric_key=loss&max_results=1000")["metrics"]
    assert set(kept) <= {int(metric["step"]) for metric in history}


def test_nothing_acknowledged_is_lost_when_the_pod_is_killed(deployed: Homelab) -> None:
    """Another pod has its volume."""
    lose_the_primary(deployed)


def test_a_replica_takes_over_with_all_that_was_acknowledged(deployed: Homelab) -> None:
    """Two instances, of which the second has each commit before it is acknowledged; then one again. Runs that change nothing say so."""
    for instances in (2, 1):
        run = deployed.deploy("postgresql", postgresql_instances=instances)
        assert (run.status, run.changed > 0) == (0, True), run.output
        assert deployed.deploy("postgresql", postgresql_instances=instances).changed == 0
        pods = deployed.cluster.get("pod", "", "--selector", f"cnpg.io/cluster={DATABASE},cnpg.io/podRole=instance")
        assert len([each for each in pods if not each["metadata"].get("deletionTimestamp")]) == instances
        if instances == 2:
            assert deployed.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'") == "1"
            first = deployed.primary
            lose_the_primary(deployed)
            assert deployed.primary != first
            deployed.cluster.kubectl("wait", "cluster.postgresql.cnpg.io", DATABASE, "--for=condition=Ready", "--timeout=110s")


def test_while_the_operator_is_down_mlflow_goes_on_and_a_run_names_it(deployed: Homelab) -> None:
    """No run changes anything or goes past PostgreSQL, and each says what to look at; once the operator is back, the next one does its work."""
    operator = ["--namespace", OPERATORS, "deployment/cnpg-controller-manager"]
    deployed.cluster.kubectl("scale", *operator, "--replicas=0")
    try:
        pods = ["--namespace", OPERATORS, "pod", "--selector", "app.kubernetes.io/name=cloudnative-pg"]
        deployed.cluster.kubectl("wait", *pods, "--for=delete", "--timeout=60s")
        assert deployed.ask("experiments/create", {"name": f"without-operator-{time.time_ns()}"})["experiment_id"]
        # Kubernetes asks the operator about each object of its, also where nothing changes.
        for connections in (200, 190):
            run = deployed.deploy("postgresql", postgresql_max_connections=connections)
            assert (run.status, run.changed) == (2, 0), run.output
            assert "CloudNativePG's operator does not answer: check that it runs (kubectl get pods" in run.failures[-1][1]
    finally:
        deployed.cluster.kubectl("scale", *operator, "--replicas=1")
        deployed.cluster.kubectl("rollout", "status", *operator, "--timeout=110s")
    run = deployed.deploy("postgresql", postgresql_max_connections=190)
    assert run.status == 0, run.output
    assert deployed.sql("SHOW max_connections") == "190"
    assert deployed.deploy("postgresql").status == 0


def test_a_new_password_reaches_the_database_and_mlflow(deployed: Homelab) -> None:
    """The operator sets it, MLflow restarts with it, and the next run with it changes nothing."""
    word = "It's/a @password:%40"
    for expected in (True, False):
        run = deployed.deploy(postgresql_password=word)
        assert (run.status, run.changed > 0) == (0, expected), run.output
        assert word not in run.output
    assert deployed.ask("experiments/get?experiment_id=0")["experiment"]["name"] == "Default"


def test_a_minor_upgrade_is_a_variable(deployed: Homelab) -> None:
    """The run ends once the instance has the other image, and its data are there."""
    run = deployed.deploy("postgresql", postgresql_image=IMAGES[1])
    assert run.status == 0, run.output
    containers = deployed.cluster.get("pod", deployed.primary)["spec"]["containers"]
    assert [each["image"] for each in containers if each["name"] == "postgres"] == [IMAGES[1]]
    assert deployed.sql("SELECT count(*) FROM experiments WHERE name = 'on-cnpg'", "mlflow") == "1"
    assert deployed.deploy("postgresql", postgresql_image=IMAGES[1]).changed == 0
    assert deployed.deploy("postgresql").status == 0


def test_a_hibernated_cluster_is_named_and_woken_by_what_is_said(deployed: Homelab) -> None:
    """By the diagnosis, which has nothing to say before, and by a run."""
    words = {"kubernetes_namespace": NAMESPACE}
    before = play("mlops.mlflow.diagnose", words)
    assert before.status == 0, before.output
    deployed.cluster.kubectl("annotate", "cluster.postgresql.cnpg.io", DATABASE, "cnpg.io/hibernation=on", "--overwrite")
    deployed.cluster.kubectl("wait", "pod", f"{DATABASE}-1", "--for=delete", "--timeout=110s")
    try:
        for run in (play("mlops.mlflow.diagnose", words), deployed.deploy("postgresql")):
            assert run.status == 2, run.output
            message = " ".join(text for _host, text in run.failures)
            assert "it is hibernated" in message
            assert f"wake it: kubectl annotate cluster {DATABASE} cnpg.io/hibernation=off --overwrite" in message
    finally:
        deployed.cluster.kubectl("annotate", "cluster.postgresql.cnpg.io", DATABASE, "cnpg.io/hibernation=off", "--overwrite")
    run = deployed.deploy()
    assert run.status == 0, run.output


def test_a_cluster_of_somebody_else_is_refused_and_adopted_as_it_is(database: Homelab) -> None:
    """By its name, before the first change; once adopted, it has the role beside its own, and nothing else of it is another's."""
    spec = {"instances": 1, "imageName": IMAGES[0], "storage": {"size": "1Gi"}, "enablePDB": False}
    theirs = {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": {"name": "theirs"}, "spec": spec}
    database.cluster.kubectl("apply", "--filename", "-", stdin=json.dumps(theirs))
    variables: dict[str, Any] = {
        "postgresql_name": "theirs", "postgresql_app": "theirs", "postgresql_volume_size": "2Gi", "postgresql_max_connections": 50,
        "kubernetes_fresh_start": True,
    }  # fmt: skip
    try:
        run = database.deploy("postgresql", **variables)
        assert (run.status, run.changed) == (2, 0), run.output
        assert f"Cluster/theirs in namespace {NAMESPACE} belongs to someone using kubectl" in run.failures[-1][1]
        before = database.cluster.get("clusters.postgresql.cnpg.io", "theirs")["spec"]
        for expected in (True, False):
            run = database.deploy("postgresql", kubernetes_adopt=["Cluster/theirs"], **variables)
            assert (run.status, run.changed > 0) == (0, expected), run.output
        after = database.cluster.get("clusters.postgresql.cnpg.io", "theirs")["spec"]
        assert [role["name"] for role in after.pop("managed")["roles"]] == ["mlflow"]
        assert after == before
        assert "theirs" not in database.there()["networkpolicy"]
    finally:
        objects = ["cluster.postgresql.cnpg.io/theirs", "database.postgresql.cnpg.io/theirs-tracking", "database.postgresql.cnpg.io/theirs-auth"]
        database.cluster.kubectl("delete", "--ignore-not-found", "--wait=false", *objects, "secret/theirs-user")


def test_a_removal_keeps_the_database_unless_it_is_told_twice(deployed: Homelab) -> None:
    """MLflow goes; the Cluster, its volume and its password stay, and the next deployment finds what was there."""
    run = play("mlops.mlflow.remove", {**VARIABLES, "remove_confirmed": "yes"})
    assert run.status == 0, run.output
    there = deployed.there()
    assert DATABASE in there["clusters.postgresql.cnpg.io"]
    assert f"{DATABASE}-1" in there["pvc"]
    assert f"{DATABASE}-user" in there["secret"]
    assert deployed.cluster.get("deployment") == []
    again = deployed.deploy()
    assert again.status == 0, again.output
    assert deployed.ask("experiments/get-by-name?experiment_name=on-cnpg")["experiment"]["lifecycle_stage"] == "active"
    twice = play("mlops.mlflow.remove", {**VARIABLES, "remove_confirmed": "yes", "remove_databases": "yes"})
    assert twice.status == 0, twice.output
    assert deployed.there()["clusters.postgresql.cnpg.io"] == set()
    # The operator is everybody's.
    assert OPERATORS in deployed.cluster.run("k3s kubectl get namespaces --output name")
