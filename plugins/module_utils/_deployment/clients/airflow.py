# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Airflow 3: the pods in which tasks run are clients. No I/O."""
from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.client import Client, Kind, Part
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.namespace import container
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.objects import opaque
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, described

#: The label by which Airflow's secrets backend for Kubernetes finds a connection.
CONNECTION = "airflow.apache.org/connection-id"


def chart_values(client: Client) -> dict[str, Any]:
    """Return values for Airflow's official chart, which has ``extraEnvFrom`` as a text. They reach the pods of the KubernetesExecutor too.

    Volumes are for workers alone: the scheduler needs its own token, in the place of which the one for MLflow is.
    """
    references = [
        {"envName": name, "secretName": reference["name"], "secretKey": reference["key"]}
        for name, reference in client.entry.secret_environment.items()
    ]
    volumes = {"extraVolumes": [each.volume for each in client.volumes], "extraVolumeMounts": [each.mount for each in client.volumes]}
    return {
        "extraEnvFrom": "".join(f"- {as_json(source)}\n" for source in client.sources),
        **({"secret": references} if references else {}),
        **({"workers": volumes} if client.volumes else {}),
    }


def pod_template(client: Client) -> Object:
    """Return a pod template for the KubernetesExecutor without the chart. Airflow sets the image from its own configuration."""
    account = {"serviceAccountName": client.entry.service_account} if client.entry.service_account else {}
    spec = {
        "restartPolicy": "Never",
        # A Service named mlflow would be MLFLOW_PORT, which MLflow takes for its own.
        "enableServiceLinks": False,
        **account,
        "containers": [{"name": "base", **container(client)}],
        **({"volumes": [volume.volume for volume in client.volumes]} if client.volumes else {}),
    }
    return described("v1", "Pod", "task", client.pods, spec=spec)


def connection(client: Client) -> Object | None:
    """Return the Secret that Airflow's secrets backend for Kubernetes reads as a connection, if one is wanted."""
    entry, address = client.entry, urlsplit(client.uri)
    if not entry.connection_id:
        return None
    login = {"login": entry.username, "password": entry.password} if entry.password else {}
    default_port = 443 if address.scheme == "https" else 80
    value = {"conn_type": "http", "host": address.hostname, "port": address.port or default_port, "schema": address.scheme, **login}
    return opaque(client, f"{client.name}-connection", {"value": as_json(value)}, **{CONNECTION: entry.connection_id})


KIND = Kind(
    pods={"tier": "airflow", "component": "worker"},
    files=lambda client: {"airflow-values.yaml": chart_values(client), "airflow-pod-template.yaml": pod_template(client)},
    arrival="workers get it when they are started again; each pod of the KubernetesExecutor is new",
    parts=(Part("Secret", "-connection", connection),),
)
