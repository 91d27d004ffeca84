# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The metrics of an MLflow server: the exporter beside it, who may scrape it, and what Prometheus and Grafana make of it. No I/O."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import server_settings, workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server import Server
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_alerts import Watched, groups
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_dashboard import dashboard
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import Deployed
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Container, Object, Volume, described

API, PORT_NAME, PROGRAM = "monitoring.coreos.com/v1", "metrics", "prometheus_exporter.py"
#: Where MLflow's workers and the exporter share what the former count, and where the exporter's program is.
FOLDER, PROGRAMS = "/var/lib/mlflow-metrics", "/metrics"
SCRATCH = workload.scratch("metrics", FOLDER, "100Mi")
#: What the exporter takes from the server's environment.
_PLAIN = ("MLFLOW_BACKEND_STORE_URI",)


def arguments(server: Server, host: str, home: str = "") -> list[str]:
    """Return the arguments of the exporter.

    >>> arguments(Server(), "127.0.0.1")
    ['--host', '127.0.0.1', '--port', '9464', '--server', 'http://127.0.0.1:5000/health']
    """
    words = ["--host", host, "--port", str(server.metrics_port), "--server", f"http://127.0.0.1:{server.port}/health"]
    return [*words, *(["--home", home] if home else [])]


def containers(deployed: Deployed) -> list[Container]:
    """Return the container beside the server's; none without metrics. It has the server's database and no other secret."""
    server, database = deployed.server, deployed.database
    if not server.metrics_enabled:
        return []
    settings = server_settings.settings(server, database, deployed.store)
    plain = {name: value for name, value in {**settings, **server.environment}.items() if name in _PLAIN or name in database.environment}
    secret = [each for each in database.secret_variables if each["name"] not in plain]
    if server.metrics_user:
        plain["MLFLOW_BACKEND_STORE_URI"] = with_user(plain["MLFLOW_BACKEND_STORE_URI"], server.metrics_user)
        secret = [workload.secret_value("PGPASSWORD", server.metrics_secret["name"], server.metrics_secret.get("key") or "password")]
    environment = [workload.value("MLFLOW_EXPOSE_PROMETHEUS", FOLDER), *secret, *(workload.value(name, text) for name, text in plain.items())]
    volumes = [SCRATCH, workload.files("exporter", PROGRAMS, f"{server.name}-metrics"), *database.mounts]
    resources = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "192Mi"}}
    return [Container("metrics", deployed.image, ["python", f"{PROGRAMS}/{PROGRAM}"], volumes, resources, environment, {
        "args": arguments(server, "0.0.0.0"),
        "imagePullPolicy": server.image_pull_policy,
        "ports": [{"name": PORT_NAME, "containerPort": server.metrics_port, "protocol": "TCP"}],
        # None for readiness: it is not what clients wait for.
        "livenessProbe": {"tcpSocket": {"port": PORT_NAME}, "initialDelaySeconds": 30, "periodSeconds": 30, "timeoutSeconds": 5},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    })]  # fmt: skip


def with_user(uri: str, user: str) -> str:
    """Return the URI of a database for another user, whose password is elsewhere.

    >>> with_user("postgresql+psycopg2://mlflow:p@db:5432/mlflow", "a@b"), with_user("postgresql://db/mlflow", "m")
    ('postgresql+psycopg2://a%40b@db:5432/mlflow', 'postgresql://m@db/mlflow')
    """
    scheme, _slashes, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{quote(user, safe='')}@{host.rpartition('@')[2]}{slash}{path}"


def volumes(server: Server) -> list[Volume]:
    """Return what the server's own container has for its metrics."""
    return [SCRATCH] if server.metrics_enabled else []


def service_ports(server: Server) -> list[Object]:
    """Return the further port of the Service. No Ingress and no HTTPRoute leads to it."""
    port = {"name": PORT_NAME, "port": server.metrics_port, "targetPort": PORT_NAME, "protocol": "TCP"}
    return [port] if server.metrics_enabled else []


def ingress_rules(server: Server) -> list[Object]:
    """Return the further rules of the NetworkPolicy: whoever scrapes reaches the metrics, and nobody else does."""
    if not server.metrics_enabled:
        return []
    pods = {"podSelector": {"matchLabels": dict(server.metrics_pods)}} if server.metrics_pods else {}
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": server.metrics_namespace}}, **pods}
    return [{"ports": [{"port": server.metrics_port, "protocol": "TCP"}], "from": [peer]}]


def config_map(deployed: Deployed) -> Object:
    """Return the exporter's program, and the alert rules as a file, for a Prometheus without an operator."""
    data = {PROGRAM: deployed.exporter, "alerts.json": alerts_file(deployed.server, deployed.cluster.namespace)}
    return workload.config_map(f"{deployed.server.name}-metrics", deployed.server.identity.labels, data)


def dashboard_config_map(deployed: Deployed) -> Object:
    """Return the dashboard, as the sidecar of Grafana's Helm chart finds it."""
    name = deployed.server.name
    labels = {**deployed.server.identity.labels, "grafana_dashboard": "1"}
    return workload.config_map(f"{name}-dashboard", labels, {f"{name}.json": dashboard_file()})


def service_monitor(deployed: Deployed) -> Object:
    """Return what the Prometheus operator scrapes."""
    spec = {"selector": {"matchLabels": deployed.server.identity.selector}, "endpoints": [{"port": PORT_NAME, "path": "/metrics"}]}
    return _for_the_operator(deployed.server, "ServiceMonitor", spec)


def prometheus_rule(deployed: Deployed) -> Object:
    """Return what it alerts of."""
    return _for_the_operator(deployed.server, "PrometheusRule", {"groups": groups(_watched(deployed.server, deployed.cluster.namespace))})


def _for_the_operator(server: Server, kind: str, spec: Mapping[str, Any]) -> Object:
    return described(API, kind, server.name, {**server.identity.labels, **server.service_monitor_labels}, spec=dict(spec))


def _watched(server: Server, namespace: str) -> Watched:
    return Watched(server.name, namespace, server.metrics_backup_hours)


def alerts_file(server: Server, namespace: str = "") -> str:
    """Return the alert rules as Prometheus reads them from a file. JSON is YAML."""
    return as_json({"groups": groups(_watched(server, namespace))}, indent=2) + "\n"


def dashboard_file() -> str:
    """Return the dashboard as Grafana imports it."""
    return as_json(dashboard(), indent=2) + "\n"


def embedded_files(server: Server, home: str, exporter: str) -> dict[str, str]:
    """Return the files of the exporter in an embedded stack, with their contents; {} without metrics."""
    made = {PROGRAM: exporter, "alerts.json": alerts_file(server), "dashboard.json": dashboard_file()}
    return {f"{home}/{name}": text for name, text in made.items()} if server.metrics_enabled else {}
