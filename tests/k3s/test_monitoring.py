"""Metrics of a server in a namespace of its own: scraped without a password by whom the deployment names, and by nobody else."""
from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster, CommandError
from playbook import Run, play, roles_playbook

# Not for what they break, but for the minutes that they take.
pytestmark = [pytest.mark.outage, pytest.mark.line("(beyond) metrics for Prometheus, without a password")]
NAMESPACE, NAME, PROMETHEUS, ELSEWHERE = "watching", "watched", "watching-prometheus", "watching-elsewhere"
PORT, LABELS = 9464, {"app.kubernetes.io/name": "prometheus"}
VARIABLES: dict[str, Any] = {
    "kubernetes_namespace": NAMESPACE, "postgresql_name": "watched-database", "postgresql_volume_size": "1Gi",
    "artifact_store_name": "watched-store", "artifact_store_app": "watched-store", "artifact_store_volume_size": "1Gi",
    "mlflow_server_name": NAME, "mlflow_server_app": NAME, "mlflow_server_host": "", "mlflow_server_ingress_auth": "none",
    "mlflow_server_auth": "basic", "mlflow_server_pool_size": 5, "mlflow_server_max_overflow": 2, "mlflow_server_workers": 2,
    "mlflow_server_metrics_enabled": True, "mlflow_server_metrics_namespace": PROMETHEUS, "mlflow_server_metrics_pods": LABELS,
}
ROLES = ("postgresql", "artifact_store", "mlflow_server")
ASK = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=6).read().decode())"
NEW_RUN = """
import mlflow
mlflow.set_tracking_uri("http://127.0.0.1:5000")
mlflow.set_experiment("watched")
for number in range(3):
    mlflow.start_run()
    mlflow.end_run("FINISHED" if number else "FAILED")
"""


def values(text: str) -> dict[str, float]:
    """The samples of a scrape, by name and labels, these in order."""
    found = {}
    for name, labels, value in re.findall(r"^(mlflow_\w+)(?:\{(.*)\})? (\S+)$", text, re.M):
        found[f"{name}{{{','.join(sorted(labels.split(',')))}}}" if labels else name] = float(value)
    return found


@dataclass
class Watched:
    """The server: its cluster, as ``kubectl`` in its namespace has it, and the folder for playbooks."""

    cluster: Cluster
    folder: Path
    image: str

    def deploy(self, *, words: Sequence[str] = (), **variables: Any) -> Run:
        """Run the roles, but for the verification, which is a minute."""
        images = {"mlflow_server_image": self.image}
        return play(roles_playbook(self.folder, ROLES), {**VARIABLES, **images, **variables}, words=words, timeout=1800)

    def pod(self, namespace: str, name: str, labels: dict[str, str]) -> None:
        """A pod that asks."""
        restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        container = {
            "name": "ask", "image": self.image, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"], "securityContext": restricted,
        }  # fmt: skip
        security = {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}}
        spec = {"containers": [container], "securityContext": security, "terminationGracePeriodSeconds": 0, "enableServiceLinks": False}
        made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": spec}
        self.cluster.run("k3s kubectl apply --filename -", stdin=json.dumps(made))
        self.cluster.run(f"k3s kubectl wait --namespace {namespace} --for=condition=Ready pod/{name} --timeout=90s", timeout=100)

    def ask(self, namespace: str, pod: str, port: int = PORT, path: str = "/metrics") -> str:
        """What the Service answers a pod. CommandError where it does not."""
        url = f"http://{NAME}.{NAMESPACE}.svc:{port}{path}"
        return self.cluster.run(f"k3s kubectl exec --namespace {namespace} {pod} -- python -c '{ASK}' {url}", timeout=60)

    def scrape(self) -> dict[str, float]:
        """What Prometheus gets."""
        return values(self.ask(PROMETHEUS, "prometheus"))

    def until(self, is_there: Callable[[dict[str, float]], bool], timeout: float = 180) -> dict[str, float]:
        """Scrape until something is there. A new pod is let through after a moment."""
        deadline, found = time.monotonic() + timeout, dict[str, float]()
        while True:
            with suppress(CommandError):
                found = self.scrape()
            if is_there(found):
                return found
            assert time.monotonic() < deadline, found
            time.sleep(3)


@pytest.fixture(scope="module")
def watched(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The server, and a namespace for Prometheus and one for others; at the end, they are removed with all that is in them."""
    image = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    apart = copy.copy(cluster)
    apart.namespace = NAMESPACE
    made = Watched(apart, tmp_path_factory.mktemp("watched"), image)
    try:
        run = made.deploy()
        assert run.status == 0, run.output
        for namespace in (PROMETHEUS, ELSEWHERE):
            cluster.run(f"k3s kubectl create namespace {namespace}")
        for namespace, name, labels in (
            (PROMETHEUS, "prometheus", LABELS), (PROMETHEUS, "grafana", {}), (ELSEWHERE, "prometheus", LABELS), (NAMESPACE, "neighbour", LABELS),
        ):  # fmt: skip
            made.pod(namespace, name, labels)
        made.until(lambda found: "mlflow_schema_current" in found)
        yield made
    finally:
        for namespace in (PROMETHEUS, ELSEWHERE, NAMESPACE):
            cluster.delete_namespace(namespace)


def test_prometheus_scrapes_without_a_password(watched: Watched) -> None:
    """By the Service's name, with the server's allowed hosts and its passwords on; no secret is told."""
    text = watched.ask(PROMETHEUS, "prometheus")
    found = values(text)
    assert (found["mlflow_up"], found["mlflow_database_up"], found["mlflow_schema_current"]) == (1, 1, 1)
    assert found['mlflow_experiments{stage="active"}'] == 1
    assert any(name.startswith("mlflow_http_request_total") for name in found), "the workers' own counts are there"
    secrets = [value for name in (NAME, "watched-database") for value in watched.cluster.secret(name).values()]
    assert not [value for value in secrets if value in text]


@pytest.mark.parametrize(("namespace", "pod", "port"), [
    (PROMETHEUS, "grafana", PORT), (ELSEWHERE, "prometheus", PORT), (NAMESPACE, "neighbour", PORT), (PROMETHEUS, "prometheus", 5000),
], ids=["other pods of the namespace", "another namespace", "the server's own namespace", "the server itself"])
def test_nobody_else_scrapes(watched: Watched, namespace: str, pod: str, port: int) -> None:
    """Refused by the NetworkPolicy, which lets Prometheus reach the metrics and not MLflow."""
    with pytest.raises(CommandError, match="timed out|refused|No route"):
        watched.ask(namespace, pod, port, "/health" if port == 5000 else "/metrics")


def test_runs_are_counted_by_their_status(watched: Watched) -> None:
    """As many more as were made."""
    before = watched.scrape()
    password = watched.cluster.secret(NAME)["admin-password"]
    login = f"export MLFLOW_TRACKING_USERNAME=admin MLFLOW_TRACKING_PASSWORD={password}; exec python -"
    watched.cluster.kubectl("exec", "--stdin", f"deployment/{NAME}", "--container", "mlflow", "--", "sh", "-c", login, stdin=NEW_RUN)
    wanted = {'mlflow_runs{stage="active",status="FINISHED"}': 2, 'mlflow_runs{stage="active",status="FAILED"}': 1}
    watched.until(lambda found: {name: found.get(name, 0) - before.get(name, 0) for name in wanted} == wanted)


def test_a_second_run_changes_nothing(watched: Watched) -> None:
    """With metrics too."""
    run = watched.deploy()
    assert (run.status, run.changed) == (0, 0), run.output


def test_a_database_that_is_gone_is_told(watched: Watched) -> None:
    """MLflow still answers its health check; nothing old is told, and all comes back by itself."""
    watched.cluster.kubectl("scale", "statefulset/watched-database", "--replicas=0")
    try:
        found = watched.until(lambda found: found.get("mlflow_database_up") == 0)
        assert found["mlflow_up"] == 1
        assert not [name for name in found if name.startswith(("mlflow_runs", "mlflow_experiments"))]
    finally:
        watched.cluster.kubectl("scale", "statefulset/watched-database", "--replicas=1")
    watched.until(lambda found: found.get("mlflow_database_up") == 1 and 'mlflow_experiments{stage="active"}' in found)


def test_metrics_are_turned_off(watched: Watched) -> None:
    """As check mode foresees; no object and no container of theirs is left."""
    off: dict[str, Any] = {"mlflow_server_metrics_enabled": False}
    foreseen, run = watched.deploy(words=["--check"], **off), watched.deploy(**off)
    assert (foreseen.status, run.status, run.changed) == (0, 0, foreseen.changed), foreseen.output + run.output
    assert not {f"{NAME}-metrics", f"{NAME}-dashboard"} & {each["metadata"]["name"] for each in watched.cluster.get("configmap")}
    assert [each["name"] for each in watched.cluster.get("deployment", NAME)["spec"]["template"]["spec"]["containers"]] == ["mlflow"]
    assert [each["name"] for each in watched.cluster.get("service", NAME)["spec"]["ports"]] == ["http"]
