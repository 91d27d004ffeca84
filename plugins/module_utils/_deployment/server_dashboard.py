# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The Grafana dashboard of MLflow servers: one for all, chosen by namespace and job. No I/O."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_alerts import Watched
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
#: A server of the embedded stack has no namespace, which ".*" matches too.
_SELECTED = 'job=~"$job", namespace=~"$namespace"'
_WIDTH, _HEIGHT = 24, 8


@dataclass(frozen=True)
class Panel:
    """One panel: its title, its expressions by their legends, its unit, and how wide it is, of 24."""

    title: str
    queries: Mapping[str, str]
    unit: str = "short"
    width: int = 8
    kind: str = "timeseries"
    #: The value from which on it is as good, or as bad, as the color says; below, it is in the other one. Without it, it is in neither.
    good_from: float | None = None
    bad_from: float | None = None
    #: Whether it shows what is counted, and not how many there are.
    is_name: bool = False

    @property
    def steps(self) -> list[Object]:
        """Its colors. Grafana's own are green, and red from 80 on, of whatever.

        >>> Panel("x", {}, good_from=1).steps
        [{'color': 'red', 'value': None}, {'color': 'green', 'value': 1}]
        >>> Panel("x", {}).steps
        [{'color': 'blue', 'value': None}]
        """
        if self.good_from is not None:
            return [{"color": "red", "value": None}, {"color": "green", "value": self.good_from}]
        if self.bad_from is not None:
            return [{"color": "green", "value": None}, {"color": "red", "value": self.bad_from}]
        return [{"color": "blue", "value": None}]

    @property
    def options(self) -> Object:
        """How it shows what it shows."""
        if self.kind == "stat":
            return {"textMode": "name" if self.is_name else "value_and_name"}
        return {"legend": {"displayMode": "list", "placement": "bottom"}}


def _of(metric: str, *more: str) -> str:
    return f"{metric}{{{', '.join([_SELECTED, *more])}}}"


def _worst(metric: str, function: str = "min") -> str:
    return f"{function} by (namespace, job) ({_of(metric)})"


def _rate(metric: str, *more: str) -> str:
    return f"rate({_of(metric, *more)}[5m])"


def _late(share: str) -> str:
    return f"histogram_quantile({share}, sum by (le) ({_rate('mlflow_http_request_duration_seconds_bucket')}))"


def _counts(metric: str, label: str) -> str:
    """Each pod tells all that is in the database."""
    return f"max by (namespace, job, {label}) (sum by (namespace, job, pod, {label}) ({_of(metric)}))"


PANELS: Sequence[Panel] = (
    Panel("MLflow answers", {"{{namespace}} {{job}}": _worst("mlflow_up", "max")}, "bool_yes_no", 4, "stat", good_from=1),
    Panel("Database answers", {"{{namespace}} {{job}}": _worst("mlflow_database_up", "max")}, "bool_yes_no", 4, "stat", good_from=1),
    Panel("Schema is current", {"{{namespace}} {{job}}": _worst("mlflow_schema_current")}, "bool_yes_no", 4, "stat", good_from=1),
    Panel("Version", {"{{version}}": f"count by (version) ({_of('mlflow_server_info')})"}, "short", 4, "stat", is_name=True),
    Panel("Database", {"{{namespace}} {{job}}": _worst("mlflow_database_size_bytes", "max")}, "bytes", 4, "stat"),
    Panel("Age of the last backup", {
        "{{namespace}} {{job}}": f"time() - {_worst('mlflow_backup_last_success_timestamp_seconds', 'max')}",
        "{{namespace}} {{cronjob}}": (
            'time() - max by (namespace, cronjob) (kube_cronjob_status_last_successful_time{namespace=~"$namespace", cronjob=~"($job)-backup"})'
        ),
    }, "s", 4, "stat", bad_from=3600 * Watched.backup_hours),
    Panel("Requests by status", {"{{status}}": f"sum by (status) ({_rate('mlflow_http_request_total')})"}, "reqps"),
    Panel("Failed requests", {
        "5xx": f"""(sum({_rate('mlflow_http_request_total', 'status=~"5.."')}) or vector(0)) / sum({_rate('mlflow_http_request_total')})""",
    }, "percentunit"),
    Panel("Duration of requests", {"median": _late("0.5"), "95 %": _late("0.95"), "99 %": _late("0.99")}, "s"),
    Panel("Runs", {"{{status}}": _counts("mlflow_runs", "status")}),
    Panel("Experiments, models and versions", {
        "experiments": _worst("mlflow_experiments", "sum") + f" / count by (namespace, job) ({_of('mlflow_up')})",
        "registered models": _worst("mlflow_registered_models", "max"),
        "model versions": _worst("mlflow_model_versions", "sum") + f" / count by (namespace, job) ({_of('mlflow_up')})",
    }),
    Panel("Traces", {"{{status}}": _counts("mlflow_traces", "status")}),
    Panel("Connections to the database", {
        "open": _worst("mlflow_database_connections", "max"), "most": _worst("mlflow_database_max_connections", "max"),
    }),
    Panel("Size of the database", {"{{namespace}} {{job}}": _worst("mlflow_database_size_bytes", "max")}, "bytes"),
    Panel("Free space", {
        "{{persistentvolumeclaim}}": 'kubelet_volume_stats_available_bytes{namespace=~"$namespace"} / '
                                     'kubelet_volume_stats_capacity_bytes{namespace=~"$namespace"}',
        "{{job}}": f"{_of('mlflow_disk_free_bytes')} / {_of('mlflow_disk_size_bytes')}",
    }, "percentunit"),
)  # fmt: skip


def dashboard() -> Object:
    """Return the dashboard, https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model."""
    panels: list[Object] = []
    x = y = 0
    for number, panel in enumerate(PANELS, start=1):
        if x + panel.width > _WIDTH:
            x, y = 0, y + panels[-1]["gridPos"]["h"]
        height = 4 if panel.kind == "stat" else _HEIGHT
        panels.append({
            "id": number, "title": panel.title, "type": panel.kind, "datasource": _SOURCE,
            "gridPos": {"x": x, "y": y, "w": panel.width, "h": height},
            "fieldConfig": {
                "defaults": {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": panel.steps}}, "overrides": [],
            },
            "options": panel.options,
            "targets": [
                {"refId": chr(ord("A") + each), "datasource": _SOURCE, "expr": query, "legendFormat": legend, "instant": panel.kind == "stat"}
                for each, (legend, query) in enumerate(panel.queries.items())
            ],
        })  # fmt: skip
        x += panel.width
    return {
        "uid": "mlops-mlflow", "title": "MLflow", "tags": ["mlflow"], "schemaVersion": 39, "editable": True, "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"}, "panels": panels, "templating": {"list": _variables()},
    }  # fmt: skip


def _variables() -> list[Object]:
    def chosen(name: str, query: str) -> Object:
        return {
            "name": name, "type": "query", "datasource": _SOURCE, "query": {"query": query, "refId": name}, "refresh": 2, "includeAll": True,
            "allValue": ".*", "multi": True, "current": {"text": ["All"], "value": ["$__all"]},
        }  # fmt: skip

    return [
        {"name": "datasource", "type": "datasource", "query": "prometheus"},
        chosen("namespace", "label_values(mlflow_up, namespace)"), chosen("job", 'label_values(mlflow_up{namespace=~"$namespace"}, job)'),
    ]  # fmt: skip


def expressions(made: Mapping[str, Any]) -> list[str]:
    """Return each expression of a dashboard, with its variables set to all."""
    found = [target["expr"] for panel in made["panels"] for target in panel["targets"]]
    return [each.replace("$namespace", ".*").replace("$job", ".*") for each in found]
