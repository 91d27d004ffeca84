"""Clients without a password: MLflow trusts the cluster's service accounts, and each client's pods log in by their own.

The server stands in a namespace of its own beside akko's. What the role wrote for the clients is run as it is, but for an image and a program.
"""
from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster
from others import apply, thing
from playbook import Run, play, roles_playbook

# Not for what they break, but for the minutes that they take.
pytestmark = [pytest.mark.outage, pytest.mark.line("JupyterHub and Airflow find MLflow by themselves")]
NAMESPACE, NAME, CLAIM = "jwtc-mlflow", "mlflow", "artifacts"
HUB, ETL, PODS = "jwtc-hub", "jwtc-etl", "jwtc-pods"
CLIENTS: list[dict[str, Any]] = [
    {"kind": "jupyterhub", "namespace": HUB},
    {"kind": "airflow", "namespace": ETL, "service_account": "worker"},
    {"kind": "namespace", "namespace": PODS},
]
#: Those of docs/clients.md, in test namespaces.
VARIABLES: dict[str, Any] = {
    "kubernetes_namespace": NAMESPACE, "postgresql_name": "database", "postgresql_volume_size": "1Gi",
    "artifact_store_provider": "nfs", "artifact_store_name": "store", "artifact_store_app": "store", "artifact_store_existing_claim": CLAIM,
    "mlflow_server_name": NAME, "mlflow_server_app": NAME, "mlflow_server_host": "", "mlflow_server_ingress_auth": "none",
    "mlflow_server_strategy": "Recreate",
    "mlflow_server_auth": "jwt", "mlflow_server_jwt_issuers": [{"kubernetes": True, "audience": "mlflow"}],
    "mlflow_server_default_permission": "NO_PERMISSIONS",
    "mlflow_server_jwt_roles": [
        {"value": f"system:serviceaccount:{ETL}:worker", "role": "pipelines"}, {"value": f"system:serviceaccounts:{HUB}", "role": "notebooks"},
    ],
    "mlflow_resources_declaration": {
        "experiments": [{"name": "banking-risk"}],
        "roles": [
            {"name": name, "permissions": [{"resource_type": "experiment", "resource": "banking-risk", "permission": permission}]}
            for name, permission in (("pipelines", "EDIT"), ("notebooks", "READ"))
        ],
    },
    "mlflow_clients": CLIENTS,
}  # fmt: skip
SITE = ("postgresql", "artifact_store", "mlflow_server", "mlflow_resources", "mlflow_clients")
ACCOUNT = "system:serviceaccount:{}:{}"
SECURITY = {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "runAsUser": 10001, "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"}}
#: As MLflow's image is not that of a client, which has the package kubernetes, of which MLflow wants no more than that it is there.
TRAINING = """
import json, sys, types
sys.modules["kubernetes"] = types.ModuleType("kubernetes")
sys.modules["kubernetes"].client = sys.modules["kubernetes"].config = None
import mlflow
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
mlflow.set_experiment(sys.argv[1])
with mlflow.start_run() as run:
    mlflow.log_metric("accuracy", 0.9)
    mlflow.log_text("trained", "notes.txt")
me = http_request(get_default_host_creds(mlflow.get_tracking_uri()), "/api/2.0/mlflow/users/current", "GET").json()["user"]["username"]
print("said:" + json.dumps([run.info.run_id, run.info.experiment_id, me]))
"""
#: With the token that MLflow's client would read, if there is one.
CALL = """
import json, os, pathlib, sys, time, urllib.error, urllib.request
method, path, body, token = sys.argv[1:5] + ["/var/run/secrets/kubernetes.io/serviceaccount/token"]
there = {"Authorization": "Bearer " + pathlib.Path(token).read_text()} if pathlib.Path(token).exists() else {}
headers = {"Content-Type": "application/json", **there}
request = urllib.request.Request(os.environ["MLFLOW_TRACKING_URI"] + path, body.encode() or None, headers, method=method)
for _policy_of_a_new_pod in range(20):
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            said = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        said = error.code, error.read().decode()
    except OSError:
        time.sleep(0.5)
        continue
    break
print("said:" + json.dumps(said))
"""
GET = "/api/2.0/mlflow/experiments/get-by-name?experiment_name="


@dataclass
class Trusting:
    """The server, as ``kubectl`` in its namespace has it, the folder for playbooks and the clients' files, and what the runs came to."""

    cluster: Cluster
    folder: Path
    image: str
    check: Run
    first: Run
    variables: dict[str, Any] = field(default_factory=lambda: VARIABLES)

    def run(self, *words: str, roles: tuple[str, ...] = SITE, **variables: Any) -> Run:
        """Run the roles of the server, its declaration and its clients."""
        return play(roles_playbook(self.folder, roles), {**self.variables, **self.own, **variables}, words=words, timeout=1200)

    @property
    def own(self) -> dict[str, Any]:
        """The variables that are known only here."""
        return {"mlflow_server_image": self.image, "artifact_store_image": self.image, "mlflow_clients_folder": str(self.folder / "files")}

    def file(self, namespace: str, name: str) -> Any:
        """A file that the role wrote."""
        return yaml.safe_load((self.folder / "files" / f"{namespace}.mlflow-client.{name}").read_text())

    def said(self, namespace: str, written: dict[str, Any], program: str, *words: str) -> Any:
        """What a program prints in a pod with this specification, in which a container has no name or image yet."""
        spec = copy.deepcopy(written["spec"])
        command = ["python", "-c", program, *words]
        spec["containers"][0] |= {"name": "base", "image": self.image, "command": command, "securityContext": SECURITY, "workingDir": "/tmp"}
        more = {"HOME": "/tmp", "GIT_PYTHON_REFRESH": "quiet", "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3"}
        spec["containers"][0].setdefault("env", []).extend({"name": name, "value": value} for name, value in more.items())
        metadata = {"name": "client", "labels": written.get("metadata", {}).get("labels", {})}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**spec, "restartPolicy": "Never"}}
        kubectl = f"k3s kubectl --namespace {namespace}"
        try:
            self.cluster.run(f"{kubectl} apply -f -", stdin=json.dumps(pod))
            phase = f"$({kubectl} get pod client -o 'jsonpath={{.status.phase}}')"
            self.cluster.run(f"for i in $(seq 100); do case {phase} in Succeeded|Failed) break;; esac; sleep 1; done")
            log = self.cluster.run(f"{kubectl} logs client")
        finally:
            self.cluster.run(f"{kubectl} delete pod client --ignore-not-found --now")
        found = [line for line in log.splitlines() if line.startswith("said:")]
        assert found, log
        return json.loads(found[0].removeprefix("said:"))

    def administrator(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """An answer to the administrator; with a body, to a POST."""
        password = self.cluster.secret(NAME)["admin-password"]
        url = f"http://{self.cluster.get('service', NAME)['spec']['clusterIP']}:5000{path}"
        post = f'json = {json.dumps(json.dumps(body))}\n' if body is not None else ""
        return json.loads(self.cluster.run("curl -sSf -K -", stdin=f'user = "admin:{password}"\nurl = "{url}"\n{post}'))


@pytest.fixture(scope="module")
def trusting(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trusting]:
    """The server and its clients in namespaces that deny all connections, deployed after a check of the clients."""
    image = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    apart = copy.copy(cluster)
    apart.namespace = NAMESPACE
    nothing = Run(0, "", 0)
    made = Trusting(apart, tmp_path_factory.mktemp("trusting"), image, nothing, nothing)
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": "local-path", "resources": {"requests": {"storage": "1Gi"}}}
    objects = [
        *(thing("Namespace", name) for name in (HUB, ETL, PODS)),
        *(thing("NetworkPolicy", "deny", name, "networking.k8s.io/v1", spec=deny) for name in (HUB, ETL, PODS)),
        thing("ServiceAccount", "worker", ETL), thing("ServiceAccount", "other", PODS),
    ]  # fmt: skip
    try:
        run = made.run(roles=("postgresql",), mlflow_clients=[])
        assert run.status == 0, run.output
        apply(apart, [*objects, thing("PersistentVolumeClaim", CLAIM, NAMESPACE, spec=claim)])
        run = made.run(roles=SITE[:-1], mlflow_clients=[])
        assert run.status == 0, run.output
        made.check = made.run("--check")
        made.first = made.run()
        assert made.first.status == 0, made.first.output
        yield made
    finally:
        for name in (HUB, ETL, PODS, NAMESPACE):
            cluster.delete_namespace(name)
        cluster.run(f"k3s kubectl delete pv --selector mlops.mlflow/deployment={NAMESPACE} --wait=false")


def test_each_client_is_verified_under_its_own_account(trusting: Trusting) -> None:
    """The Jobs log in with no password, and the end of the run names the accounts."""
    told = " ".join(trusting.first.output.split())
    for client in CLIENTS:
        account = ACCOUNT.format(client["namespace"], client.get("service_account", "default"))
        how = f"a Job in its namespace, with its labels, environment and own account {account}, logged a run and an artifact"
        assert f"Client {client['kind']} in namespace {client['namespace']}: {how}" in told
    users = {each["username"] for each in trusting.administrator("/api/2.0/mlflow/users/list")["users"]}
    assert users == {"admin", ACCOUNT.format(HUB, "default"), ACCOUNT.format(ETL, "worker"), ACCOUNT.format(PODS, "default")}


def test_the_check_tells_it_before_and_the_next_runs_change_nothing(trusting: Trusting) -> None:
    """No client has a Secret."""
    assert trusting.check.status == 0, trusting.check.output
    assert trusting.check.changed > 0
    for words in ([], ["--check"]):
        run = trusting.run(*words)
        assert (run.status, run.changed) == (0, 0), run.output
    for namespace in (HUB, ETL, PODS):
        assert trusting.cluster.run(f"k3s kubectl --namespace {namespace} get secret -o name").strip() == ""


def test_a_pod_with_the_written_part_logs_a_run_as_itself(trusting: Trusting) -> None:
    """With the real mlflow package; the run is the administrator's to see, and the account's to change."""
    run_id, experiment_id, me = trusting.said(PODS, trusting.file(PODS, "pod.yaml"), TRAINING, "of-the-pods")
    assert me == ACCOUNT.format(PODS, "default")
    run = trusting.administrator(f"/api/2.0/mlflow/runs/get?run_id={run_id}")["run"]
    assert (run["info"]["status"], run["info"]["experiment_id"]) == ("FINISHED", experiment_id)
    status, _found = trusting.said(ETL, trusting.file(ETL, "airflow-pod-template.yaml"), CALL, "GET", f"{GET}of-the-pods", "")
    assert status == 403


def test_a_task_of_airflow_has_the_role_of_its_account(trusting: Trusting) -> None:
    """The pod template as it was written logs a run to the experiment that its role may edit, which notebooks' accounts may only read."""
    _run_id, experiment_id, me = trusting.said(ETL, trusting.file(ETL, "airflow-pod-template.yaml"), TRAINING, "banking-risk")
    assert me == ACCOUNT.format(ETL, "worker")
    values = trusting.file(HUB, "jupyterhub-values.yaml")["singleuser"]
    notebook = {
        "metadata": {"labels": {"app": "jupyterhub", "component": "singleuser-server"}},
        "spec": {
            "containers": [{"env": [{"name": name, **place} for name, place in values["extraEnv"].items()],
                            "volumeMounts": values["storage"]["extraVolumeMounts"]}],
            "volumes": values["storage"]["extraVolumes"], "automountServiceAccountToken": False,
        },
    }  # fmt: skip
    assert trusting.said(HUB, notebook, CALL, "GET", f"{GET}banking-risk", "")[0] == 200
    tag = json.dumps({"experiment_id": experiment_id, "key": "a", "value": "b"})
    assert trusting.said(HUB, notebook, CALL, "POST", "/api/2.0/mlflow/experiments/set-experiment-tag", tag)[0] == 403


def test_another_account_of_the_namespace_is_somebody_else(trusting: Trusting) -> None:
    """403, for what the namespace's own account may read."""
    written = trusting.file(PODS, "pod.yaml")
    assert trusting.said(PODS, written, CALL, "GET", f"{GET}banking-risk", "")[0] == 403
    trusting.said(PODS, written, TRAINING, "of-one-account")
    assert trusting.said(PODS, written, CALL, "GET", f"{GET}of-one-account", "")[0] == 200
    other = {"spec": {**written["spec"], "serviceAccountName": "other"}}
    assert trusting.said(PODS, other, CALL, "GET", f"{GET}of-one-account", "")[0] == 403


def test_a_grant_names_a_single_account(trusting: Trusting) -> None:
    """As docs/clients.md has it, once MLflow knows the account: it reads what it could not, a second run changes nothing, and it can be revoked."""
    written, words = trusting.file(PODS, "pod.yaml"), (CALL, "GET", f"{GET}banking-risk", "")
    assert trusting.said(PODS, written, *words)[0] == 403
    grant = {"username": ACCOUNT.format(PODS, "default"), "resource_type": "experiment", "resource": "banking-risk"}
    for more, changed, status in (({"permission": "READ"}, True, 200), ({"permission": "READ"}, False, 200), ({"state": "absent"}, True, 403)):
        declared = {**VARIABLES["mlflow_resources_declaration"], "grants": [grant | more]}
        run = trusting.run(roles=SITE[:-1], mlflow_resources_declaration=declared)
        assert (run.status, run.changed > 0) == (0, changed), run.output
        assert trusting.said(PODS, written, *words)[0] == status


@pytest.mark.parametrize(("which", "why"), [
    ("another audience", "the token is not for the audience mlflow"), ("the API server's token", "the token is not for the audience mlflow"),
    ("no token", "The request has no token"),
])
def test_a_pod_without_a_token_for_mlflow_is_refused(trusting: Trusting, which: str, why: str) -> None:
    """401, and words that say what to send."""
    written = copy.deepcopy(trusting.file(PODS, "pod.yaml"))
    [volume] = written["spec"]["volumes"]
    if which == "another audience":
        volume["projected"]["sources"][0]["serviceAccountToken"]["audience"] = "elsewhere"
    else:
        del written["spec"]["volumes"], written["spec"]["containers"][0]["volumeMounts"]
        written["spec"]["automountServiceAccountToken"] = which != "no token"
    status, body = trusting.said(PODS, written, CALL, "GET", f"{GET}banking-risk", "")
    assert status == 401
    message = json.loads(body)["message"]
    assert why in message
    assert "MLFLOW_TRACKING_AUTH=kubernetes in a pod" in message
