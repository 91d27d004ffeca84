"""What the akko deployment leaves at its default, on one more server in a namespace of its own: two pods, users, metrics, an autoscaler."""
from __future__ import annotations

import copy
import json
import shlex
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from playbook import Run, another, play, roles_playbook

line = pytest.mark.line
HERE = Path(__file__).parent
NAMESPACE, NAME = "options", "further"
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"
#: Another server than akko's, in nothing but what these tests are about and what keeps the two apart.
VARIABLES: dict[str, Any] = {
    **another(NAMESPACE, NAME), "mlflow_server_ingress_auth": "none",
    "mlflow_server_auth": "basic", "mlflow_server_replicas": 2, "mlflow_server_max_replicas": 3, "mlflow_server_metrics_enabled": True,
    "mlflow_server_pool_size": 5, "mlflow_server_max_overflow": 2,
}


@dataclass
class Further:
    """The further server: its cluster, as ``kubectl`` in its namespace has it, and the folder for playbooks."""

    cluster: Cluster
    folder: Path
    image: str

    def deploy(self, *roles: str, words: Sequence[str] = (), **variables: Any) -> Run:
        """Run roles on the first server with the variables of this server, and others, and further words of the command line."""
        return play(roles_playbook(self.folder, roles), {**VARIABLES, "mlflow_server_image": self.image, **variables}, words=words)

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
        cluster.delete_namespace(NAMESPACE)


@line("(beyond) more pods than one, on several hosts")
def test_spread(further: Further) -> None:
    """Two pods are on two hosts, and a drain may take one of them."""
    assert len({pod["spec"]["nodeName"] for pod in further.pods()}) == min(2, len(further.cluster.get("nodes")))
    budget = further.cluster.get("poddisruptionbudget", NAME)["status"]
    assert (budget["expectedPods"], budget["disruptionsAllowed"]) == (2, 1)


@line("(beyond) users and passwords of MLflow's own")
def test_users(further: Further) -> None:
    """401 for nobody and for a wrong password from every pod, 200 for the administrator; the users are in a database of their own."""
    for _ in range(3):
        assert [further.get(SEARCH, password)[0] for password in ("", "wrong", further.password)] == [401, 401, 200]
    query = "SELECT count(*) FROM users WHERE is_admin"
    assert further.cluster.kubectl("exec", "sts/database", "--", "psql", "-U", "postgres", "-d", "mlflow_auth", "-tAc", query).strip() == "1"


@line("(beyond) metrics for Prometheus")
def test_metrics(further: Further) -> None:
    """/metrics counts MLflow's requests, and asks for the password too."""
    assert further.get("/metrics")[0] == 401
    status, text = further.get("/metrics", further.password)
    assert status == 200
    assert "mlflow_http_request_total" in text


@line("(beyond) a rolling update drops no request")
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


@line("(beyond) the autoscaler's number of pods stays")
def test_autoscaled(further: Further) -> None:
    """After the number of pods went up within its bounds, a run changes nothing."""
    scaler = further.cluster.get("horizontalpodautoscaler", NAME)["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 3)
    further.cluster.kubectl("scale", f"deployment/{NAME}", "--replicas=3")
    run = further.site()
    assert (run.status, run.changed) == (0, 0), run.output
    assert further.cluster.get("deployment", NAME)["spec"]["replicas"] == 3


@line("(beyond) mishaps: one message that names the remedy, and a run after it converges")
@pytest.mark.parametrize(("variables", "words"), [
    ({"mlflow_server_workers": 9}, ["4 pods", "9 workers", "756, but PostgreSQL allows 200", "lower mlflow_server_replicas"]),
    (
        {"mlflow_server_service_monitor_enabled": True},
        ["mlflow_server_service_monitor_enabled", "does not have the kind ServiceMonitor", "the Prometheus operator"],
    ),
], ids=["pool", "ServiceMonitor"])
def test_refused(further: Further, variables: dict[str, Any], words: list[str]) -> None:
    """Sessions that do not fit PostgreSQL, and a kind that the cluster does not know."""
    nothing: dict[str, Any] = {"environment": {}, "secret_environment": {}, "volumes": [], "egress": [], "checksum": ""}
    connection = {"uri": "postgresql://db/mlflow", "auth_uri": "postgresql://db/auth", "database": "mlflow", "max_connections": 200, **nothing}
    store = {"destination": "s3://mlflow/artifacts", **nothing}
    run = further.deploy("kubernetes", "mlflow_server", postgresql_connection=connection, artifact_store_connection=store, **variables)
    assert run.status == 2, run.output
    message = run.failures[-1][1]
    for word in words:
        assert word in message


@line("(beyond) the password in the Secret is the administrator's")
def test_the_administrators_password_is_the_secrets(further: Further) -> None:
    """Edited in the Secret, it is set in MLflow by the next run, which check mode foresees; the old one lets nobody in any more."""
    before, mark = further.password, f"EditedAt{time.time_ns()}"
    further.cluster.kubectl("patch", "secret", NAME, "--patch", json.dumps({"stringData": {"admin-password": mark}}))
    foreseen = further.deploy("postgresql", "artifact_store", "mlflow_server", words=["--check"])
    run = further.site()
    assert (foreseen.status, run.status) == (0, 0), foreseen.output + run.output
    assert run.changed == foreseen.changed
    assert "Set the administrator's password to the one in the Secret" in run.output
    assert not [value for value in (before, mark) if value in run.output + foreseen.output]
    assert further.get(SEARCH, mark)[0] == 200
    assert further.get(SEARCH, before)[0] == 401
    del further.password
    again = further.site()
    assert (again.status, again.changed) == (0, 0), again.output


@line("(beyond) a server is renamed, and keeps its keys")
def test_a_renamed_server_finds_its_earlier_self(further: Further) -> None:
    """Refused without a word of the earlier name, which the message names; with it the keys are carried over, and one server is left."""
    keys = further.cluster.secret(NAME)
    renamed = {"mlflow_server_name": "renamed", "mlflow_server_app": "renamed"}
    refused = further.deploy("postgresql", "artifact_store", "mlflow_server", **renamed)
    assert refused.status == 2
    assert f"set mlflow_server_previous_name: {NAME}" in refused.failures[-1][1]
    run = further.deploy("postgresql", "artifact_store", "mlflow_server", **renamed, mlflow_server_previous_name=NAME)
    assert run.status == 0, run.output
    assert further.cluster.secret("renamed") == keys
    kinds = "deployment,service,secret,networkpolicy,serviceaccount,poddisruptionbudget,horizontalpodautoscaler,configmap,cronjob"
    left = further.cluster.get(kinds, "", "--selector", "app.kubernetes.io/managed-by=mlops.mlflow")
    names = sorted(f"{item['kind']}/{item['metadata']['name']}" for item in left)
    assert not [name for name in names if NAME in name], names
    assert "Deployment/renamed" in names
    again = further.deploy("postgresql", "artifact_store", "mlflow_server", **renamed, mlflow_server_previous_name=NAME)
    assert (again.status, again.changed) == (0, 0), again.output


@line("(beyond) variables of the k3s service, such as a proxy")
def test_service_environment(cluster: Cluster, tmp_path: Path) -> None:
    """Each variable is a line of its own, and k3s has it; the sysctl file is one that the kernel takes."""
    playbook = tmp_path / "k3s.yml"
    playbook.write_text("[{hosts: 'k3s_server:k3s_agent', gather_facts: false, become: true, roles: [mlops.mlflow.k3s]}]")
    variables = {"NO_PROXY": "10.0.0.0/8,.svc,.cluster.local", "MLOPS_MLFLOW_TEST": "of its own"}
    try:
        run = play(playbook, {"k3s_environment": variables})
        assert run.status == 0, run.output
        environment = cluster.run("tr '\\0' '\\n' </proc/$(systemctl show --property MainPID --value k3s)/environ").splitlines()
        assert {f"{name}={value}" for name, value in variables.items()} <= set(environment)
        cluster.run("sysctl --load /etc/sysctl.d/90-k3s.conf")
        assert play(playbook, {"k3s_environment": variables}).changed == 0
    finally:
        assert play(playbook).status == 0
