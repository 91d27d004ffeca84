"""The metrics of a server: who reaches them, what the exporter is given, and that alerts, dashboard and documentation speak of what is there."""
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import deployments
import pytest
import variants

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_alerts import RUNBOOK, Watched, groups
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_dashboard import dashboard, expressions
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_decisions import DECISIONS

ROOT = Path(__file__).resolve().parents[5]
METRICS = {"metrics_enabled": True, "auth": "basic", "metrics_namespace": "monitoring", "metrics_pods": {"app": "prometheus"}}
PLACES = [Watched(), Watched("tracking", "ml", 50)]
#: What others tell: the kubelet, and kube-state-metrics.
OTHERS = {
    "kubelet_volume_stats_available_bytes", "kubelet_volume_stats_capacity_bytes", "kube_cronjob_status_last_successful_time", "kube_cronjob_created",
    "kube_job_status_failed", "kube_job_status_start_time",
}  # fmt: skip


def objects(**given: Any) -> dict[str, dict[str, Any]]:
    """The objects of a server by kind and name."""
    return {f"{made['kind']}/{made['metadata']['name']}": made for made in variants.of_server(given)}


def rules(watched: Watched) -> list[dict[str, Any]]:
    return [rule for group in groups(watched) for rule in group["rules"]]


def names(expression: str) -> set[str]:
    """The metrics that an expression speaks of."""
    return set(re.findall(r"\b([a-z_]+)\{", expression))


def test_prometheus_alone_reaches_the_metrics_and_nothing_else() -> None:
    ingress = objects(**METRICS)["NetworkPolicy/mlflow"]["spec"]["ingress"]
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    peer = {"namespaceSelector": namespace, "podSelector": {"matchLabels": {"app": "prometheus"}}}
    assert [rule["from"] for rule in ingress if rule["ports"] == [{"port": 9464, "protocol": "TCP"}]] == [[peer]]
    assert not [rule for rule in ingress if peer in rule["from"] and rule["ports"][0]["port"] != 9464]


@pytest.mark.parametrize("more", [{}, {"gateways": [{"name": "public"}], "tls": "external"}], ids=["Ingress", "HTTPRoute"])
def test_no_entrance_leads_to_the_metrics(more: dict[str, Any]) -> None:
    made = objects(**METRICS, **variants.ENTRANCE, **more)
    assert any(port["name"] == "metrics" for port in made["Service/mlflow"]["spec"]["ports"])
    entrances = [each for each in made.values() if each["kind"] in ("Ingress", "HTTPRoute")]
    assert entrances
    assert not [each for each in entrances if "9464" in json.dumps(each["spec"]) or '"metrics"' in json.dumps(each["spec"])]


def test_the_exporter_has_the_database_and_no_other_secret() -> None:
    server, exporter = objects(**METRICS)["Deployment/mlflow"]["spec"]["template"]["spec"]["containers"]
    secret = {each["name"] for each in exporter["env"] if "valueFrom" in each}
    assert secret == {"PGPASSWORD"}
    assert {each["name"] for each in exporter["env"]} >= {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_EXPOSE_PROMETHEUS"}
    assert "envFrom" not in exporter
    assert "readinessProbe" not in exporter, "clients do not wait for it"
    folder = {"name": "metrics", "mountPath": "/var/lib/mlflow-metrics"}
    assert folder in server["volumeMounts"]
    assert folder in exporter["volumeMounts"]


def test_a_role_of_its_own_takes_the_place_of_mlflows() -> None:
    made = objects(**METRICS, metrics_user="counter", metrics_secret={"name": "login"})
    server, exporter = made["Deployment/mlflow"]["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each for each in exporter["env"]}
    assert "//counter@" in environment["MLFLOW_BACKEND_STORE_URI"]["value"]
    assert environment["PGPASSWORD"]["valueFrom"]["secretKeyRef"] == {"name": "login", "key": "password"}
    assert "counter" not in json.dumps(server)


def test_without_metrics_nothing_is_left_of_them() -> None:
    plan = DECISIONS["deployment"](deployments.server())
    assert {(each["kind"], each["name"]) for each in plan["absent"]} >= {
        ("ConfigMap", "mlflow-metrics"), ("ConfigMap", "mlflow-dashboard"), ("PrometheusRule", "mlflow"), ("ServiceMonitor", "mlflow"),
    }  # fmt: skip
    assert "metrics" not in json.dumps([each for each in plan["objects"] if each["kind"] != "NetworkPolicy"])


def test_another_exporter_restarts_the_pods_where_there_are_metrics() -> None:
    def checksum(exporter: str, **given: Any) -> str:
        asked = deployments.server(**given) | {"exporter": exporter}
        made = next(each for each in DECISIONS["deployment"](asked)["objects"] if each["kind"] == "Deployment")
        return str(made["spec"]["template"]["metadata"]["annotations"])

    assert checksum("a", metrics_enabled=True) != checksum("b", metrics_enabled=True)
    assert checksum("a") == checksum("b")


@pytest.mark.parametrize("watched", PLACES, ids=["embedded", "cluster"])
def test_each_alert_says_what_is_wrong_and_where_to_read_on(watched: Watched) -> None:
    sections = {title.lower() for title in re.findall(r"^## (\w+)$", (ROOT / "docs/alerts.md").read_text(), re.M)}
    for rule in rules(watched):
        assert rule["annotations"]["summary"], rule
        assert rule["annotations"]["description"].endswith("."), rule
        page, _hash, section = rule["annotations"]["runbook_url"].partition("#")
        assert (page, section) == (RUNBOOK, rule["alert"].lower())
        assert section in sections
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_each_section_has_its_alert() -> None:
    sections = re.findall(r"^## (MLflow\w+)$", (ROOT / "docs/alerts.md").read_text(), re.M)
    assert sorted(sections) == sorted({rule["alert"] for watched in PLACES for rule in rules(watched)})


def test_rules_are_about_one_server() -> None:
    for rule in rules(PLACES[1]):
        selectors = re.findall(r"\{(.*?)\}", rule["expr"])
        assert selectors
        assert all('namespace="ml"' in each for each in selectors), rule


@pytest.mark.parametrize("expression", [
    *(rule["expr"] for watched in PLACES for rule in rules(watched)), *expressions(dashboard()),
])  # fmt: skip
def test_each_metric_that_is_spoken_of_is_told(expression: str) -> None:
    """By the exporter as it is written; that a real one tells them is seen in tests/integration/test_metrics.py."""
    program = (ROOT / "roles/mlflow_server/files/prometheus_exporter.py").read_text()
    of_mlflow = {"mlflow_http_request_total", "mlflow_http_request_duration_seconds_bucket"}
    found = names(expression)
    assert found
    assert not [each for each in found - of_mlflow - OTHERS if f'"{each.removeprefix("mlflow_")}"' not in program]


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    made = dashboard()
    taken = [
        (x, y) for panel in made["panels"] for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
    ]  # fmt: skip
    assert len(taken) == len(set(taken))
    assert max(x for x, _y in taken) < 24
    assert len({panel["id"] for panel in made["panels"]}) == len({panel["title"] for panel in made["panels"]})
    assert json.loads(objects(**METRICS)["ConfigMap/mlflow-dashboard"]["data"]["mlflow.json"]) == made
