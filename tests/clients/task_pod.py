"""Load a pod template, and a connection, as Airflow does, and print the pod of a task and the connection.

Usage: task_pod.py TEMPLATE [CONNECTION]
Runs in the environment of Airflow and its provider for Kubernetes, without a cluster and without a database.
"""
from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

from airflow.models.connection import Connection
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from airflow.providers.cncf.kubernetes.secrets.kubernetes_secrets_backend import KubernetesSecretsBackend
from kubernetes.client import ApiClient

template, *connections = sys.argv[1:]
pod = PodGenerator.construct_pod(
    dag_id="etl", task_id="log", pod_id="etl-log", try_number=1, kube_image="apache/airflow:3.3.2", date=datetime.datetime(2026, 11, 30), run_id="r",
    args=["airflow"], pod_override_object=None, base_worker_pod=PodGenerator.deserialize_model_file(template), namespace="etl", scheduler_job_id="1",
)  # fmt: skip
found = {}
if connections:
    made = Connection.from_json(Path(connections[0]).read_text())
    found = {name: getattr(made, name) for name in ("conn_type", "host", "port", "schema", "login", "password")}
print(json.dumps({
    "pod": ApiClient().sanitize_for_serialization(pod), "connection": found, "label": KubernetesSecretsBackend.DEFAULT_CONNECTIONS_LABEL,
}))  # fmt: skip
