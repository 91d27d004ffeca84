"""Faults are put into one more server beside akko's, and the diagnosis names each by its own check, and no other; mended, all checks pass."""
from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from playbook import Run, another, play, roles_playbook

pytestmark = [pytest.mark.akko, pytest.mark.alters, pytest.mark.long]
line = pytest.mark.line
NAMESPACE, NAME = "diagnosed", "sick"
VARIABLES: dict[str, Any] = another(NAMESPACE, NAME, "diagnosed.akko.local")
PSQL = "exec sts/database -- psql -U postgres -v ON_ERROR_STOP=1 -d {} -c {}"


def sql(statement: str, database: str = "mlflow") -> str:
    return PSQL.format(database, shlex.quote(statement))


def patch(target: str, **spec: Any) -> str:
    return f"patch {target} --type=merge -p {shlex.quote(json.dumps({'spec': spec}))}"


def tls(secret: str) -> list[dict[str, Any]]:
    return [{"hosts": [VARIABLES["mlflow_server_host"]], "secretName": secret}]


CLAIM = {
    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "nowhere"},
    "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "not-there", "resources": {"requests": {"storage": "1Gi"}}},
}  # fmt: skip
CLIENT = {
    "apiVersion": "v1", "kind": "ConfigMap", "data": {"MLFLOW_TRACKING_URI": "http://mlflow.elsewhere.svc:5000"},
    "metadata": {"name": "client", "labels": {
        "app.kubernetes.io/managed-by": "mlops.mlflow", "mlops.mlflow/deployment": NAMESPACE, "app.kubernetes.io/component": "client",
    }},
}  # fmt: skip
ENTRANCE = f"ingress/{NAME}"
#: The check, what its failure says, the words of kubectl that make the fault, and those that mend it. ``@`` stands for an object on standard input.
FAULTS: list[tuple[str, str, list[str], list[str]]] = [
    ("volumes", "not-there", ["apply -f - @claim"], ["delete pvc nowhere"]),
    ("secrets", f"Secret {NAME}-env", [f"label secret {NAME}-env kept=yes", f"delete secret {NAME}-env"], ["apply -f - @secret"]),
    ("postgresql", "0 replicas", [patch("sts/database", replicas=0)], [patch("sts/database", replicas=1)]),
    (
        "database", "the database is missing", [
            # Nobody may be connected to a database that is renamed.
            sql("ALTER DATABASE mlflow ALLOW_CONNECTIONS false", "postgres"),
            sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'mlflow'", "postgres"),
            sql("ALTER DATABASE mlflow RENAME TO gone", "postgres"),
        ], [
            sql("ALTER DATABASE gone RENAME TO mlflow", "postgres"), sql("ALTER DATABASE mlflow ALLOW_CONNECTIONS true", "postgres"),
        ],
    ),
    (
        "schema", "of a later MLflow", [sql("UPDATE alembic_version SET version_num = 'x' || version_num")],
        [sql("UPDATE alembic_version SET version_num = substr(version_num, 2)")],
    ),
    ("s3", "0 replicas", [patch("deploy/store", replicas=0)], [patch("deploy/store", replicas=1)]),
    ("api", "cannot use its database", [sql("ALTER TABLE experiments RENAME TO gone")], [sql("ALTER TABLE gone RENAME TO experiments")]),
    (
        "server", "has it imported", [f"set image deploy/{NAME} mlflow=registry.invalid/nothing:1"],
        [f"rollout undo deploy/{NAME}"],
    ),
    (
        "service", "selector", [patch(f"svc/{NAME}", selector={"app.kubernetes.io/component": "nothing"})],
        [patch(f"svc/{NAME}", selector={"app.kubernetes.io/component": "server"})],
    ),
    ("ingress", "no router", [patch(ENTRANCE, ingressClassName="nobody")], [patch(ENTRANCE, ingressClassName="traefik")]),
    ("certificate", "another certificate", [patch(ENTRANCE, tls=tls("nothing"))], [patch(ENTRANCE, tls=tls(f"{NAME}-tls"))]),
    ("clients", "http://mlflow.elsewhere.svc:5000", ["apply -f - @client"], ["delete configmap client"]),
]  # fmt: skip


@dataclass
class Sick:
    """The server with the faults: its cluster, as ``kubectl`` in its namespace has it."""

    cluster: Cluster
    folder: Path

    def kubectl(self, words: str) -> None:
        """Run kubectl with these words, of which the last may name an object for its standard input."""
        words, _at, name = words.partition(" @")
        kept = self.folder / "secret.json"
        if words.startswith("label secret"):
            kept.write_text(self.cluster.kubectl("get", "secret", f"{NAME}-env", "-o", "json"))
        stdin = {"claim": json.dumps(CLAIM), "client": json.dumps(CLIENT), "secret": kept.read_text() if kept.exists() else ""}.get(name)
        self.cluster.kubectl(*shlex.split(words), stdin=stdin)

    def diagnosed(self) -> tuple[Run, dict[str, dict[str, str]]]:
        """Run the playbook; its findings by the checks' identifiers."""
        file = self.folder / "checks.json"
        run = play("mlops.mlflow.diagnose", {**VARIABLES, "kubernetes_diagnosis_file": str(file)})
        return run, {each["id"]: each for each in json.loads(file.read_text())}

    def settled(self) -> None:
        """Wait until everything is ready again."""
        for target in ("sts/database", "deploy/store", f"deploy/{NAME}"):
            self.cluster.kubectl("rollout", "status", target, "--timeout=180s", timeout=190)


@pytest.fixture(scope="module")
def sick(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sick]:
    """A server that is removed with its namespace."""
    image = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    apart = copy.copy(cluster)
    apart.namespace = NAMESPACE
    made = Sick(apart, tmp_path_factory.mktemp("diagnose"))
    try:
        run = play(roles_playbook(made.folder, ["postgresql", "artifact_store", "mlflow_server"]), {**VARIABLES, "mlflow_server_image": image})
        assert run.status == 0, run.output
        yield made
    finally:
        cluster.delete_namespace(NAMESPACE)


def wrong(checks: dict[str, dict[str, str]]) -> list[str]:
    return [name for name, each in checks.items() if each["status"] == "failed"]


@line("runbook: everything is in order")
def test_a_deployment_in_order_passes(sick: Sick) -> None:
    """Nothing fails, nothing changes, and no secret is in what is printed."""
    run, checks = sick.diagnosed()
    assert (run.status, run.changed, wrong(checks)) == (0, 0, []), run.output
    assert {each["status"] for name, each in checks.items() if name != "backup"} == {"ok"}
    secrets = [value for name in (f"{NAME}-env", NAME, "database") for value in sick.cluster.secret(name).values()]
    assert [value for value in secrets if len(value) > 7 and value in run.output] == []


@line("runbook: the cause of each failure, and its cure")
@pytest.mark.parametrize(("check", "says", "inject", "mend"), FAULTS, ids=[each[0] for each in FAULTS])
def test_each_fault_is_named_by_its_own_check_alone(sick: Sick, check: str, says: str, inject: list[str], mend: list[str]) -> None:
    """Failed are the check and nothing else, in a run that fails with one sentence; mended, nothing is."""
    for words in inject:
        sick.kubectl(words)
    try:
        for _ in range(12):
            run, checks = sick.diagnosed()
            if wrong(checks) == [check] and says in json.dumps(checks[check]):
                break
        assert wrong(checks) == [check], run.output
        assert says in json.dumps(checks[check]), checks[check]
        assert run.status != 0
        assert [message for _host, message in run.failures if message.startswith(f"{check}: {checks[check]['cause']}")]
    finally:
        for words in mend:
            sick.kubectl(words)
        sick.settled()
    for _ in range(12):
        run, checks = sick.diagnosed()
        if run.status == 0:
            break
    assert wrong(checks) == [], run.output


@line("runbook: nothing is deployed there")
def test_a_namespace_without_a_deployment_is_named(sick: Sick) -> None:
    """The variable that may be wrong is named."""
    file = sick.folder / "elsewhere.json"
    run = play("mlops.mlflow.diagnose", {**VARIABLES, "kubernetes_namespace": "not-there", "kubernetes_diagnosis_file": str(file)})
    assert run.status != 0
    assert wrong({each["id"]: each for each in json.loads(file.read_text())}) == ["deployment"]
    assert "kubernetes_namespace" in run.failures[-1][1]
