"""Airflow loads the pod template that the role writes, and the connection that its secrets backend is given."""
from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import deployments

Write = Callable[..., Mapping[str, Path]]
ETL: dict[str, Any] = {"kind": "airflow", "namespace": "etl", "username": "etl", "password": "{{ x }}%/@:", "connection_id": "mlflow_default"}
FURTHER = {"ca": "-----BEGIN CERTIFICATE-----", "service_account": "worker", "secret_environment": {"OTHER": {"name": "theirs", "key": "k"}}}


def test_a_tasks_pod_is_a_client(write: Write, run: Callable[..., str]) -> None:
    template = write(**ETL, **FURTHER)["airflow-pod-template.yaml"]
    pod = json.loads(run("MLFLOW_TEST_AIRFLOW_PYTHON", "task_pod.py", template).splitlines()[-1])["pod"]
    assert pod["metadata"]["labels"].items() >= {"tier": "airflow", "component": "worker", "dag_id": "etl"}.items()
    assert pod["spec"]["enableServiceLinks"] is False
    assert pod["spec"]["serviceAccountName"] == "worker"
    [container] = pod["spec"]["containers"]
    assert (container["name"], container["image"]) == ("base", "apache/airflow:3.3.2")
    assert container["envFrom"] == [{"configMapRef": {"name": "mlflow-client"}}, {"secretRef": {"name": "mlflow-client"}}]
    assert {"name": "OTHER", "valueFrom": {"secretKeyRef": {"name": "theirs", "key": "k"}}} in container["env"]
    assert {"name": "mlflow-ca", "mountPath": "/etc/mlflow/client", "readOnly": True} in container["volumeMounts"]
    assert {"name": "mlflow-ca", "configMap": {"name": "mlflow-client-ca"}} in pod["spec"]["volumes"]


def test_a_tasks_pod_has_the_token_of_its_account(write: Write, run: Callable[..., str]) -> None:
    template = write(deployments.BY_ACCOUNT, kind="airflow", namespace="etl", service_account="worker")["airflow-pod-template.yaml"]
    spec = json.loads(run("MLFLOW_TEST_AIRFLOW_PYTHON", "task_pod.py", template).splitlines()[-1])["pod"]["spec"]
    [volume] = [each for each in spec["volumes"] if each["name"] == "mlflow-token"]
    token = {"audience": "the-server", "expirationSeconds": 3600, "path": "token"}
    assert volume["projected"]["sources"][0] == {"serviceAccountToken": token}
    place = {"name": "mlflow-token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
    assert place in spec["containers"][0]["volumeMounts"]


def test_the_connection_is_one(write: Write, run: Callable[..., str], tmp_path: Path) -> None:
    """Its Secret has the label by which the backend finds it."""
    from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.decisions import DECISIONS  # noqa: PLC0415 (after Ansible's loader)

    [secret] = [each for each in DECISIONS["plan"](deployments.clients(ETL))["objects"] if each["metadata"]["name"] == "mlflow-client-connection"]
    given = tmp_path / "connection.json"
    given.write_bytes(b64decode(secret["data"]["value"]))
    answer = json.loads(run("MLFLOW_TEST_AIRFLOW_PYTHON", "task_pod.py", write(**ETL)["airflow-pod-template.yaml"], given).splitlines()[-1])
    assert answer["connection"] == {
        "conn_type": "http", "host": "mlflow.mlflow.svc", "port": 5000, "schema": "http", "login": "etl", "password": ETL["password"],
    }  # fmt: skip
    assert secret["metadata"]["labels"][answer["label"]] == "mlflow_default"
