"""JupyterHub and Airflow as somebody else has deployed them: pods, accounts, policies, and what their users do with them.

All that they know of MLflow is what the role mlflow_clients has written, which they load as it is.
"""
from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from images import images
from others import SECURITY, account, rule, service, thing
from websocket import create_connection

KEY, PATIENCE = "for-the-tests-alone-and-no-more", 900
HUB_CONFIG = f"""
c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.bind_url = "http://:8000"
c.JupyterHub.hub_bind_url = "http://:8081"
c.JupyterHub.hub_connect_url = "http://hub:8081"
c.ConfigurableHTTPProxy.command = ["configurable-http-proxy"]
c.JupyterHub.db_url = "sqlite:////tmp/hub.sqlite"
c.JupyterHub.cookie_secret_file = "/tmp/cookie"
c.JupyterHub.services = [{{"name": "tests", "api_token": "{KEY}"}}]
c.JupyterHub.load_roles = [{{"name": "tests-role", "scopes": ["admin:users", "tokens"], "services": ["tests"]}}]
c.KubeSpawner.image = "{images.ON_DEMAND["jupyterhub"].names[0]}"
c.KubeSpawner.cmd = ["jupyterhub-singleuser"]
c.KubeSpawner.working_dir = "/tmp"
c.KubeSpawner.start_timeout = c.KubeSpawner.http_timeout = {PATIENCE}
c.KubeSpawner.environment = {{"HOME": "/tmp", "GIT_PYTHON_REFRESH": "quiet", "MLFLOW_DISABLE_TELEMETRY": "true"}}
load_subconfig("/etc/jupyterhub/mlflow.py")
"""


def jupyterhub(namespace: str, written: str) -> list[dict[str, Any]]:
    """A hub with KubeSpawner, its own configuration, and beside it the file that the role wrote."""
    rules = [rule("get watch list create delete", "pods", "services", "persistentvolumeclaims", "secrets"), rule("get watch list", "events")]
    image = images.ON_DEMAND["jupyterhub"].names[0]
    command = ["jupyterhub", "--config", "/etc/jupyterhub/hub.py"]
    container = {
        "name": "hub", "image": image, "command": command, "workingDir": "/tmp", "securityContext": SECURITY,
        "ports": [{"containerPort": 8000}, {"containerPort": 8081}], "env": [{"name": "HOME", "value": "/tmp"}],
        "readinessProbe": {"httpGet": {"path": "/hub/health", "port": 8081}, "periodSeconds": 2},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/jupyterhub"}],
    }  # fmt: skip
    labels = {"app": "jupyterhub", "component": "hub"}
    spec = {"serviceAccountName": "hub", "enableServiceLinks": False, "containers": [container],
            "volumes": [{"name": "config", "configMap": {"name": "hub-config"}}]}
    return [
        *account(namespace, "hub", rules), service(namespace, "hub", 8000, 8081),
        thing("ConfigMap", "hub-config", namespace, data={"hub.py": HUB_CONFIG, "mlflow.py": written}),
        thing("Pod", "hub", namespace, labels=labels, spec=spec),
    ]  # fmt: skip


def airflow(namespace: str, template: str) -> list[dict[str, Any]]:
    """Airflow with the KubernetesExecutor and a PostgreSQL of its own, in one pod, and the pod template that the role wrote."""
    rules = [rule("get watch list create delete patch", "pods"), rule("get", "pods/log"), rule("list get watch create", "events")]
    image, postgres = images.ON_DEMAND["airflow"].names[0], images.SCENARIOS["postgres"].names[0]
    repository, _colon, tag = image.partition(":")
    # Pods of tasks have what the image says, the template and a token of their own from the scheduler.
    environment = {
        "HOME": "/tmp", "AIRFLOW__CORE__EXECUTOR": "KubernetesExecutor", "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "false",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "true", "AIRFLOW__API_AUTH__JWT_SECRET": KEY * 2, "AIRFLOW__API__SECRET_KEY": KEY,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://postgres@127.0.0.1/postgres", "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE": namespace, "AIRFLOW__KUBERNETES_EXECUTOR__DELETE_WORKER_PODS": "false",
        "AIRFLOW__KUBERNETES_EXECUTOR__POD_TEMPLATE_FILE": "/etc/airflow/pod-template.yaml",
        "AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_REPOSITORY": repository, "AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_TAG": tag,
    }  # fmt: skip
    base = {
        "image": image, "workingDir": "/tmp", "securityContext": SECURITY,
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/airflow"}],
    }  # fmt: skip
    ready = {"httpGet": {"path": "/api/v2/version", "port": 8080}, "periodSeconds": 3, "timeoutSeconds": 10}
    containers = [{"name": name, **base, "command": ["airflow", name]} for name in ("scheduler", "dag-processor", "api-server")]
    containers[2] |= {"readinessProbe": ready, "ports": [{"containerPort": 8080}]}
    start = 'initdb --pgdata "$PGDATA" --auth trust >/dev/null && exec postgres -c listen_addresses=127.0.0.1'
    database = {
        "name": "postgres", "image": postgres, "restartPolicy": "Always", "command": ["sh", "-c", start], "volumeMounts": [
            {"name": "data", "mountPath": "/var/lib/postgresql"}, {"name": "run", "mountPath": "/var/run/postgresql"}],
        "securityContext": {**SECURITY, "runAsUser": 999}, "startupProbe": {"exec": {"command": ["pg_isready"]}, "periodSeconds": 2},
    }  # fmt: skip
    spec = {
        "serviceAccountName": "airflow", "enableServiceLinks": False, "securityContext": {"fsGroup": 999},
        "initContainers": [database, {"name": "migrate", **base, "command": ["airflow", "db", "migrate"]}], "containers": containers,
        "volumes": [{"name": "config", "configMap": {"name": "airflow-config"}}, {"name": "data", "emptyDir": {}}, {"name": "run", "emptyDir": {}}],
    }  # fmt: skip
    return [
        *account(namespace, "airflow", rules), service(namespace, "airflow", 8080),
        thing("ConfigMap", "airflow-config", namespace, data={"pod-template.yaml": template}),
        thing("Pod", "airflow", namespace, labels={"component": "airflow"}, spec=spec),
    ]  # fmt: skip


def until(is_so: Callable[[], Any], what: str) -> Any:
    """What it comes to, once that is true."""
    end = time.monotonic() + PATIENCE
    while not (found := is_so()):
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
        time.sleep(2)
    return found


@dataclass
class Api:
    """A REST API with a token."""

    url: str
    scheme: str = ""
    token: str = ""

    def __call__(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """An answer. HTTPError where it is a refusal."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"{self.scheme} {self.token}"} if self.token else {})
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers, method=method), timeout=120) as answer:
            return json.loads(answer.read() or b"null")


class Notebook:
    """The server of a user of the hub, and a kernel in it, reached through the hub's proxy with the user's own token."""

    def __init__(self, url: str, user: str) -> None:
        service = Api(url, "token", KEY)
        service("POST", f"/hub/api/users/{user}")
        self.user = user
        self._api = Api(url, "token", service("POST", f"/hub/api/users/{user}/tokens", {"note": "the user's own"})["token"])
        self._api("POST", f"/hub/api/users/{user}/server")
        until(lambda: (self._api("GET", f"/hub/api/users/{user}")["servers"].get("") or {}).get("ready"), f"the server of {user} is ready")
        kernel = self._api("POST", f"/user/{user}/api/kernels", {})["id"]
        there = f"{url.replace('http', 'ws', 1)}/user/{user}/api/kernels/{kernel}/channels"
        self._socket = create_connection(there, timeout=PATIENCE, header={"Authorization": f"token {self._api.token}"})

    def cell(self, code: str) -> str:
        """What a cell prints, and the name and words of the error that it ends with."""
        number = uuid.uuid4().hex
        header = {"msg_id": number, "msg_type": "execute_request", "username": self.user, "session": number, "version": "5.3", "date": ""}
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False, "stop_on_error": False}
        self._socket.send(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}))
        printed = ""
        while True:
            said = json.loads(self._socket.recv())
            if said["parent_header"].get("msg_id") != number:
                continue
            found, kind = said["content"], said["msg_type"]
            if kind == "stream":
                printed += found["text"]
            elif kind == "error":
                printed += f"{found['ename']}: {found['evalue']}\n"
            elif kind == "status" and found["execution_state"] == "idle":
                return printed


class Airflow:
    """Airflow's REST API."""

    def __init__(self, url: str) -> None:
        self._api = Api(url, "Bearer", Api(url)("GET", "/auth/token")["access_token"])

    def known(self, dag: str) -> bool:
        """Whether it has read the DAG's file."""
        try:
            return not self._api("GET", f"/api/v2/dags/{dag}")["is_paused"]
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return False

    def run(self, dag: str) -> dict[str, str]:
        """Run a DAG: the state of each of its tasks at the end."""
        until(lambda: self.known(dag), f"Airflow has read {dag}")
        run = f"/api/v2/dags/{dag}/dagRuns/{self._api('POST', f'/api/v2/dags/{dag}/dagRuns', {'logical_date': None})['dag_run_id']}"
        until(lambda: self._api("GET", run)["state"] in ("success", "failed"), f"{dag} ends")
        return {each["task_id"]: each["state"] for each in self._api("GET", f"{run}/taskInstances")["task_instances"]}
