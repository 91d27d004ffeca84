"""What the akko deployment leaves at its default, on one more server in a namespace of its own: two pods, users, metrics, an autoscaler."""
from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from playbook import Run, play, roles_playbook

seed = pytest.mark.seed
HERE = Path(__file__).parent
NAMESPACE, NAME = "options", "further"
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"
#: Another server than akko's, in nothing but what these tests are about and what keeps the two apart.
VARIABLES: dict[str, Any] = {
    "kubernetes_namespace": NAMESPACE,
    "postgresql_name": "database", "postgresql_volume_size": "1Gi",
    "artifact_store_name": "store", "artifact_store_app": "store", "artifact_store_volume_size": "1Gi",
    "mlflow_server_name": NAME, "mlflow_server_app": NAME, "mlflow_server_host": "", "mlflow_server_ingress_auth": "none",
    "mlflow_server_auth": "basic", "mlflow_server_replicas": 2, "mlflow_server_max_replicas": 3, "mlflow_server_metrics_enabled": True,
    "mlflow_server_pool_size": 5, "mlflow_server_max_overflow": 2,
}


@dataclass
class Further:
    """The further server: its cluster, as ``kubectl`` in its namespace has it, and the folder for playbooks."""

    cluster: Cluster
    folder: Path
    image: str

    def deploy(self, *roles: str, **variables: Any) -> Run:
        """Run roles on the first server with the variables of this server, and others."""
        return play(roles_playbook(self.folder, roles), {**VARIABLES, "mlflow_server_image": self.image, **variables})

    def site(self) -> Run:
        """Run all roles that the server takes, but for its verification, which is a minute."""
        return self.deploy("postgresql", "artifact_store", "mlflow_server")

    @cached_property
    def url(self) -> str:
        """The Service, by its address, as the hosts reach it."""
        return f"http://{self.cluster.get('service', NAME)['spec']['clusterIP']}:5000"

    @cached_property
    def password(self) -> str:
        """The administrator's."""
        return self.cluster.secret(NAME)["admin-password"]

    def pods(self) -> list[Any]:
        """The server's pods."""
        return list(self.cluster.get("pods", "", "--selector", f"app.kubernetes.io/name={NAME},app.kubernetes.io/component=server"))

    def get(self, path: str, password: str = "", user: str = "admin") -> tuple[int, str]:
        """Status and body of a GET from the first server; anonymous without a password."""
        login = f'user = "{user}:{password}"' if password else ""
        body, status = self.cluster.run(f"curl -s -K - -w '\\n%{{http_code}}' {shlex.quote(self.url + path)}", stdin=login).rsplit("\n", 1)
        return int(status), body


@pytest.fixture(scope="module")
def further(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Further]:
    """A further server, which is removed with its namespace."""
    image = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    apart = copy.copy(cluster)
    apart.namespace = NAMESPACE
    made = Further(apart, tmp_path_factory.mktemp("options"), image)
    try:
        run = made.site()
        assert run.status == 0, run.output
        yield made
    finally:
        delete = "k3s kubectl delete --ignore-not-found"
        cluster.run(f"{delete} namespace {NAMESPACE} --wait=false")
        # What they hold is not wanted any more.
        cluster.run(f"{delete} pods --all --namespace {NAMESPACE} --force --wait=false")
        cluster.run(f"{delete} namespace {NAMESPACE} --timeout=120s", timeout=130)


@seed("(beyond) more pods than one, on several hosts")
def test_spread(further: Further) -> None:
    """Two pods are on two hosts, and a drain may take one of them."""
    assert len({pod["spec"]["nodeName"] for pod in further.pods()}) == min(2, len(further.cluster.get("nodes")))
    budget = further.cluster.get("poddisruptionbudget", NAME)["status"]
    assert (budget["expectedPods"], budget["disruptionsAllowed"]) == (2, 1)


@seed("(beyond) users and passwords of MLflow's own")
def test_users(further: Further) -> None:
    """401 for nobody and for a wrong password from every pod, 200 for the administrator; the users are in a database of their own."""
    for _ in range(3):
        assert [further.get(SEARCH, password)[0] for password in ("", "wrong", further.password)] == [401, 401, 200]
    query = "SELECT count(*) FROM users WHERE is_admin"
    assert further.cluster.kubectl("exec", "sts/database", "--", "psql", "-U", "postgres", "-d", "mlflow_auth", "-tAc", query).strip() == "1"


@seed("(beyond) metrics for Prometheus")
def test_metrics(further: Further) -> None:
    """/metrics counts MLflow's requests, and asks for the password too."""
    assert further.get("/metrics")[0] == 401
    status, text = further.get("/metrics", further.password)
    assert status == 200
    assert "mlflow_http_request_total" in text


@seed("(beyond) a rolling update drops no request")
def test_rolling_update(further: Further) -> None:
    """Two callers ask through the Service while every pod is replaced."""
    before = {pod["metadata"]["name"] for pod in further.pods()}
    folder = further.cluster.run("mktemp -d").strip()
    further.cluster.run(f"cat > {folder}/caller.py", stdin=(HERE / "caller.py").read_text())
    words = json.dumps([further.url, "admin", further.password, f"{folder}/stop", "240"])
    try:
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(further.cluster.run, f"python3 {folder}/caller.py", timeout=270, stdin=words)
            try:
                further.cluster.kubectl("rollout", "restart", f"deployment/{NAME}")
                further.cluster.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=200s", timeout=210)
                # The last of the old pods has until now only been told to end.
                further.cluster.kubectl("wait", "--for=delete", *(f"pod/{name}" for name in before), "--timeout=60s")
            finally:
                further.cluster.run(f"touch {folder}/stop")
            found = json.loads(asking.result().splitlines()[-1])
    finally:
        further.cluster.run(f"rm -r {folder}")
    print(f"{found['answers']} answers, the slowest after {found['slowest']:.1f} s")
    assert not before & {pod["metadata"]["name"] for pod in further.pods()}
    assert found["answers"] > 50
    assert found["failures"] == []


@seed("(beyond) the autoscaler's number of pods stays")
def test_autoscaled(further: Further) -> None:
    """After the number of pods went up within its bounds, a run changes nothing."""
    scaler = further.cluster.get("horizontalpodautoscaler", NAME)["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 3)
    further.cluster.kubectl("scale", f"deployment/{NAME}", "--replicas=3")
    run = further.site()
    assert (run.status, run.changed) == (0, 0), run.output
    assert further.cluster.get("deployment", NAME)["spec"]["replicas"] == 3


@seed("(beyond) mishaps: one message that names the remedy, and a run after it converges")
@pytest.mark.parametrize(("variables", "words"), [
    ({"mlflow_server_workers": 9}, ["4 pods", "9 workers", "756, and PostgreSQL takes 200", "lower mlflow_server_replicas"]),
    ({"mlflow_server_service_monitor_enabled": True}, ["mlflow_server_service_monitor_enabled", "knows no ServiceMonitor", "Prometheus' operator"]),
], ids=["pool", "ServiceMonitor"])
def test_refused(further: Further, variables: dict[str, Any], words: list[str]) -> None:
    """Sessions that do not fit PostgreSQL, and a kind that the cluster does not know."""
    connection = {"host": "database", "port": 5432, "max_connections": 200, "user": "mlflow", "database": "mlflow", "auth_database": "mlflow_auth"}
    run = further.deploy("kubernetes", "mlflow_server", postgresql_connection=connection, **variables)
    assert run.status == 2, run.output
    message = run.failures[-1][1]
    for word in words:
        assert word in message
