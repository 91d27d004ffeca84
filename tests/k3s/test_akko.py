"""The akko deployment, line by line of its text, as far as this collection makes it so far."""
from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster

pytestmark = pytest.mark.akko
line = pytest.mark.line
HERE = Path(__file__).parent


def in_pod(cluster: Cluster, *words: str, of: str = "") -> str:
    """Run a command in a pod, MLflow's if none is named."""
    return cluster.kubectl("exec", of or f"deploy/{cluster.name}", "--", *words)


@pytest.fixture(scope="module")
def environment(cluster: Cluster) -> dict[str, str]:
    """The environment of the running server, as `kubectl exec … -- env` prints it."""
    return dict(line.split("=", 1) for line in in_pod(cluster, "env").splitlines() if "=" in line)


@pytest.fixture(scope="module")
def container(cluster: Cluster) -> Any:
    """The server's container, of its Deployment."""
    return cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]


@pytest.fixture(scope="module")
def notebook(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the text's notebook, run with the real mlflow package through ingress and TLS, ended with."""
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "ca.crt").write_text(cluster.ca)
    user, password = cluster.credentials
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n{cluster.address} {cluster.host}\n")
    python = os.environ.get("MLFLOW_TEST_CLIENT_PYTHON", sys.executable)
    # With an /etc/hosts of its own, for the name is in no DNS.
    enter = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(folder / "hosts")]
    settings = {
        "MLFLOW_TRACKING_URI": f"https://{cluster.host}", "MLFLOW_TRACKING_SERVER_CERT_PATH": str(folder / "ca.crt"),
        "MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet",
    }
    done = subprocess.run([*enter, python, str(HERE / "notebook.py")], env=os.environ | settings, cwd=folder,
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# Architecture

@line("MLflow (:5000), Tracking Server + UI")
def test_server_and_page(cluster: Cluster) -> None:
    """From another node's network and a pod: /health says OK, / is the UI's page."""
    assert in_pod(cluster, "curl", "-s", f"http://{cluster.name}:5000/health") == "OK"
    assert "<title>MLflow</title>" in in_pod(cluster, "curl", "-s", f"http://{cluster.name}:5000/")


@line("PostgreSQL stores experiment metadata")
def test_metadata_in_postgresql(cluster: Cluster, notebook: dict[str, str]) -> None:
    """Psql finds the notebook's run, its parameters and metrics."""
    query = f"SELECT count(*) FROM params WHERE run_uuid = '{notebook['run_id']}'"
    found = in_pod(cluster, "psql", "-U", "postgres", "-d", "mlflow", "-tAc", query, of=f"sts/{cluster.variables['postgresql_name']}")
    assert int(found.split()[0]) == 2


@line("Object storage holds artifacts at s3://akko-warehouse/mlflow/")
def test_artifacts_in_the_bucket(cluster: Cluster, notebook: dict[str, str]) -> None:
    """`mc ls` in the MinIO pod lists the notebook's model."""
    listed = in_pod(cluster, "mc", "ls", "--recursive", "local/akko-warehouse/mlflow/", of=f"deploy/{cluster.variables['artifact_store_name']}")
    assert notebook["model_id"] in listed
    assert "MLmodel" in listed


# URLs

@line("https://experiments.akko.local")
def test_page_over_https(cluster: Cluster) -> None:
    """The UI's page through ingress and TLS, verified against the deployment's authority, with the password."""
    answer = cluster.https("GET", "/")
    assert answer.status == 200
    assert b"<title>MLflow</title>" in answer.body


@line("(beyond) http:// leads to https://")
def test_http_leads_to_https(cluster: Cluster) -> None:
    """Port 80 of the ingress redirects for good, with path and query, and asks for no password."""
    connection = http.client.HTTPConnection(cluster.address, 80, timeout=30)
    connection.request("GET", "/models?x=1", headers={"Host": cluster.host})
    answer = connection.getresponse()
    connection.close()
    assert answer.status in (301, 308)
    assert answer.getheader("Location") == f"https://{cluster.host}/models?x=1"


# Usage

@line("From Notebooks: parameters, metrics, mlflow.sklearn.log_model")
def test_notebook(notebook: dict[str, str]) -> None:
    """The text's program with the real mlflow package, through the ingress."""
    assert notebook["accuracy"] == "0.94"


@line("Experiment Comparison: search_runs, order_by metrics")
def test_comparison(notebook: dict[str, str]) -> None:
    """The text's program; the run just logged is the best one."""
    assert notebook["best"] == notebook["run_id"]


@line("Model Registry: register_model, transition to Production")
def test_registry(notebook: dict[str, str]) -> None:
    """The text's program; the stage read back, the model loaded and used."""
    assert notebook["stage"] == "Production"
    assert notebook["predicted"] == "ok"


# Configuration

@line("image localhost:5050/akko-mlflow:2026.03")
def test_image(cluster: Cluster, container: dict[str, Any]) -> None:
    """The Deployment's image, and that the nodes pulled it from the registry."""
    assert str(container["image"]).split("@")[0] == "localhost:5050/akko-mlflow:2026.03"
    catalog = cluster.run("curl -s http://localhost:5050/v2/akko-mlflow/tags/list")
    assert "2026.03" in json.loads(catalog)["tags"]


@line("database host akko-postgresql, name mlflow")
def test_database(environment: dict[str, str]) -> None:
    """MLFLOW_BACKEND_STORE_URI of the running server; no password in it."""
    uri = environment["MLFLOW_BACKEND_STORE_URI"]
    assert re.fullmatch(r"postgresql\+psycopg2://mlflow@akko-postgresql(\.akko\.svc(\.cluster\.local)?)?:5432/mlflow", uri), uri


@line("artifacts root s3://akko-warehouse/mlflow/")
def test_destination(environment: dict[str, str]) -> None:
    """MLFLOW_ARTIFACTS_DESTINATION of the running server."""
    assert environment["MLFLOW_ARTIFACTS_DESTINATION"].rstrip("/") == "s3://akko-warehouse/mlflow"


@line("artifacts s3Endpoint http://akko-minio:9000")
def test_endpoint(cluster: Cluster, environment: dict[str, str]) -> None:
    """MLFLOW_S3_ENDPOINT_URL, and that MinIO answers there."""
    assert environment["MLFLOW_S3_ENDPOINT_URL"] == "http://akko-minio:9000"
    in_pod(cluster, "curl", "-sf", "http://akko-minio:9000/minio/health/live")


@line("ingress host experiments.akko.local")
def test_ingress(cluster: Cluster) -> None:
    """The Ingress' rule and its TLS entry."""
    spec = cluster.get("ingress", cluster.name)["spec"]
    assert [rule["host"] for rule in spec["rules"]] == ["experiments.akko.local"]
    assert spec["tls"][0]["hosts"] == ["experiments.akko.local"]


@line("resources 100m/256Mi to 500m/512Mi")
def test_resources(container: dict[str, Any]) -> None:
    """The container's requests and limits."""
    assert container["resources"] == {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "500m", "memory": "512Mi"}}


@line("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY (from secret)")
def test_credentials_from_a_secret(cluster: Cluster, container: dict[str, Any], environment: dict[str, str]) -> None:
    """No value in the Deployment, and none of the deployment's passwords in any ConfigMap or Deployment."""
    assert environment["AWS_ACCESS_KEY_ID"]
    text = json.dumps([cluster.get("deployment"), cluster.get("statefulset"), cluster.get("configmap"), cluster.get("job")])
    secrets = [value for found in cluster.get("secret") for key, value in cluster.secret(found["metadata"]["name"]).items()
               if not key.endswith(".crt") and "user" not in key and len(value) >= 16]
    assert secrets
    assert [value[:4] + "…" for value in secrets if value in text] == []


# Authentication

@line("Protected at the ingress")
def test_no_entry_without_a_password(cluster: Cluster) -> None:
    """401 without credentials, for the page and for the API."""
    for path in ("/", "/api/2.0/mlflow/experiments/search?max_results=1"):
        assert cluster.https("GET", path, anonymous=True).status == 401


@line("Internal calls need no authentication")
def test_internal_calls(cluster: Cluster) -> None:
    """The API by http://akko-akko-mlflow:5000 from a pod."""
    path = "api/2.0/mlflow/experiments/search?max_results=1"
    assert "experiments" in json.loads(in_pod(cluster, "curl", "-s", f"http://akko-akko-mlflow:5000/{path}"))


# Healthcheck

@line("livenessProbe /health:5000, 15 s, every 30 s")
def test_liveness(container: dict[str, Any]) -> None:
    """The probe's path, port, delay and period."""
    probe = container["livenessProbe"]
    assert (probe["httpGet"]["path"], probe["initialDelaySeconds"], probe["periodSeconds"]) == ("/health", 15, 30)


@line("readinessProbe /health:5000, 10 s, every 10 s")
def test_readiness(container: dict[str, Any]) -> None:
    """The probe's path, port, delay and period."""
    probe = container["readinessProbe"]
    assert (probe["httpGet"]["path"], probe["initialDelaySeconds"], probe["periodSeconds"]) == ("/health", 10, 10)


@line("MLflow server within 512 Mi")
def test_never_killed(cluster: Cluster) -> None:
    """No container of the server was ended for its memory."""
    for pod in cluster.get("pods", "", "--selector", "app.kubernetes.io/name=akko-mlflow"):
        for status in pod["status"].get("containerStatuses", []):
            assert status.get("lastState", {}).get("terminated", {}).get("reason") != "OOMKilled"


@line("The mlflow database is created automatically")
def test_database_made(cluster: Cluster) -> None:
    """psql: the database's owner is a role of its own, no superuser."""
    query = "SELECT pg_get_userbyid(datdba), (SELECT rolsuper FROM pg_roles WHERE rolname = 'mlflow') FROM pg_database WHERE datname = 'mlflow'"
    assert in_pod(cluster, "psql", "-U", "postgres", "-tAc", query, of="sts/akko-postgresql").strip() == "mlflow|f"


# Troubleshooting: the commands as they stand, for what this collection makes

@line("runbook: the commands")
@pytest.mark.parametrize(("command", "expected"), [
    ("kubectl get pods -n akko -l app.kubernetes.io/name=minio", "Running"),
    ("kubectl exec -n akko deploy/akko-minio -- mc ls local/akko-warehouse/mlflow/", "/"),
    ('kubectl exec -n akko deploy/akko-akko-mlflow -- env | grep -E "AWS_|S3_ENDPOINT|ARTIFACT"', "AWS_ACCESS_KEY_ID"),
    ("kubectl get pods -n akko -l app.kubernetes.io/name=akko-postgresql", "Running"),
    (r'kubectl exec -n akko sts/akko-postgresql -- psql -U postgres -c "\l" | grep mlflow', "mlflow"),
    ("kubectl get pods -n akko -l app.kubernetes.io/name=akko-mlflow -o wide", "1/1"),
    ("kubectl exec -n akko deploy/akko-akko-mlflow -- curl -s http://localhost:5000/health", "OK"),
    ("kubectl exec -n akko deploy/akko-akko-mlflow -- curl -s http://localhost:5000/api/2.0/mlflow/registered-models/search | python3 -m json.tool",
     "banking-risk-classifier"),
    ("kubectl get ingress -n akko | grep mlflow", "experiments.akko.local"),
    ("kubectl describe ingress -n akko akko-akko-mlflow", "experiments.akko.local"),
    ("kubectl logs -n akko deploy/akko-akko-mlflow --tail=100", "INFO"),
], ids=lambda value: value.replace("kubectl ", "")[:60])
@pytest.mark.usefixtures("notebook")
def test_runbook(cluster: Cluster, command: str, expected: str) -> None:
    """On the first server, as the text writes it."""
    assert expected in cluster.run(command)


# Not in the text, and expected of whoever deploys it

@line("(beyond) only the names it is reached by")
def test_foreign_host(cluster: Cluster) -> None:
    """403 for a Host header that nobody named."""
    answer = in_pod(cluster, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: evil.example.com", f"http://{cluster.name}:5000/")
    assert answer == "403"


@line("(beyond) a browser can change things")
def test_origin(cluster: Cluster) -> None:
    """A POST with the page's own Origin is taken, another's is refused with 403."""
    url = f"http://{cluster.name}:5000/ajax-api/2.0/mlflow/experiments/search"
    words = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Host: {cluster.host}", "-H", "Content-Type: application/json",
             "-d", '{"max_results": 1}']
    assert in_pod(cluster, *words, "-H", f"Origin: https://{cluster.host}", url) == "200"
    assert in_pod(cluster, *words, "-H", "Origin: https://evil.example.com", url) == "403"


@line("(beyond) restricted pods, no token, no service links")
def test_restricted(cluster: Cluster) -> None:
    """The namespace enforces 'restricted'; no pod mounts a token; none has service links."""
    labels = cluster.get("namespace", cluster.namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in cluster.get("pods"):
        assert pod["spec"].get("automountServiceAccountToken") is False, pod["metadata"]["name"]
        assert pod["spec"].get("enableServiceLinks") is False, pod["metadata"]["name"]


@line("(beyond) TLS between MLflow and PostgreSQL")
def test_database_tls(cluster: Cluster) -> None:
    """pg_stat_ssl: every session over the network is encrypted; a plain one is refused."""
    query = "SELECT count(*), count(*) FILTER (WHERE ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL"
    every, encrypted = in_pod(cluster, "psql", "-U", "postgres", "-tAc", query, of="sts/akko-postgresql").strip().split("|")
    assert int(every) > 0
    assert every == encrypted


@line("(beyond) MLflow's key reaches its bucket alone")
def test_least_privilege(cluster: Cluster) -> None:
    """boto3 in the server's pod: its own prefix can be listed, making another bucket is denied."""
    program = ("import boto3, os; s = boto3.client('s3', endpoint_url=os.environ['MLFLOW_S3_ENDPOINT_URL']);"
               "print(s.list_objects_v2(Bucket='akko-warehouse', Prefix='mlflow/')['KeyCount'] >= 0)\n"
               "try: s.create_bucket(Bucket='another')\nexcept s.exceptions.ClientError as error: print(error.response['Error']['Code'])")
    assert in_pod(cluster, "python", "-c", program).split() == ["True", "AccessDenied"]


@line("(beyond) a 2 GiB artifact passes the ingress")
@pytest.mark.slow
def test_large_artifact(cluster: Cluster) -> None:
    """Curl on the first server sends 2 GiB through ingress and TLS, and reads their length back."""
    user, password = cluster.credentials
    path = "api/2.0/mlflow-artifacts/artifacts/large/2GiB.bin"
    cluster.run("cat > /var/tmp/mlflow-ca.crt", stdin=cluster.ca)
    cluster.run("umask 077; cat > /var/tmp/mlflow-netrc", stdin=f"machine {cluster.host} login {user} password {password}\n")
    curl = f"curl -s --netrc-file /var/tmp/mlflow-netrc --cacert /var/tmp/mlflow-ca.crt --resolve {cluster.host}:443:{cluster.address}"
    url = shlex.quote(f"https://{cluster.host}/{path}")
    try:
        sent = cluster.run(f"head -c 2147483648 /dev/zero | {curl} -o /dev/null -w '%{{http_code}}' -T - {url}", timeout=900)
        assert sent == "200"
        read = cluster.run(f"{curl} -o /dev/null -w '%{{http_code}} %{{size_download}}' {url}", timeout=900)
        assert read == "200 2147483648"
    finally:
        cluster.run(f"{curl} -X DELETE {url}; rm -f /var/tmp/mlflow-netrc /var/tmp/mlflow-ca.crt")
