"""What Prometheus makes of the alert rules and the dashboard, by its own promtool: each rule fires, and is silent where all is well."""
from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from parts import parts

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_alerts import Watched, groups
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_dashboard import dashboard, expressions

# For the minutes in which a promtool is built.
pytestmark = pytest.mark.slow
PLACES = {"embedded": Watched(), "cluster": Watched("tracking", "ml")}
OF = {"embedded": 'job="mlflow", instance="a:1"', "cluster": 'job="tracking", namespace="ml", pod="tracking-0"'}
CLAIM, CRON = 'namespace="ml", persistentvolumeclaim="pg"', 'namespace="ml", cronjob="tracking-backup"'
DAYS = 1800  # minutes, longer than a backup may be old


#: A backup that began twenty minutes in, and failed.
JOB = 'namespace="ml", job_name="tracking-backup-29"'
FAILED_JOB = {
    f'kube_job_status_failed{{{JOB}, reason="BackoffLimitExceeded"}}': f"1+0x{DAYS}",
    f'kube_job_status_failed{{{JOB}, reason="Evicted"}}': f"0+0x{DAYS}",
    f"kube_job_status_start_time{{{JOB}}}": f"1200+0x{DAYS}",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """An alert that fires: where, the series of it, the value as its description has it, the minute, and its labels besides the severity."""

    alert: str
    place: str
    series: dict[str, str]
    value: str = ""
    minute: int = 30
    labels: dict[str, str] | None = None


def of(place: str, **values: str) -> dict[str, str]:
    """Series of a server, by metric. Two underscores begin a label's value, as in ``total__status_500``."""
    found = {}
    for name, value in values.items():
        metric, _mark, label = name.partition("__")
        key, _mark, text = label.partition("_")
        found[f"{metric}{{{OF[place]}{f', {key}={chr(34)}{text}{chr(34)}' if label else ''}}}"] = value
    return found


def both(alert: str, value: str, **values: str) -> list[Case]:
    """The alert in both places."""
    return [Case(alert, place, of(place, **values), value) for place in PLACES]


def constant(value: float) -> str:
    """A series that does not change."""
    return f"{value}+0x{DAYS}"


BUCKET = "mlflow_http_request_duration_seconds_bucket"
CASES = [
    *both("MLflowDown", "", mlflow_up=constant(0)),
    Case("MLflowDown", "embedded", {}, "", labels={"job": "mlflow"}),
    Case("MLflowDown", "cluster", {}, "", labels={"job": "tracking", "namespace": "ml"}),
    *both("MLflowErrors", "10%", mlflow_http_request_total__status_200="0+90x60", mlflow_http_request_total__status_500="0+10x60"),
    *both("MLflowSlow", "3s", **{
        f"{BUCKET}__le_1": "0+90x60", f"{BUCKET}__le_5": "0+100x60", f"{BUCKET}__le_+Inf": "0+100x60",
    }),
    *both("MLflowDatabaseUnreachable", "", mlflow_database_up=constant(0)),
    *both("MLflowDatabaseConnections", "90%", mlflow_database_connections=constant(90), mlflow_database_max_connections=constant(100)),
    *both("MLflowSchemaMismatch", "", mlflow_schema_current=constant(0)),
    Case("MLflowVolumeFull", "embedded", of("embedded", mlflow_disk_free_bytes=constant(10), mlflow_disk_size_bytes=constant(100)),
         "10%", labels={"job": "mlflow", "instance": "a:1"}),
    Case("MLflowVolumeFull", "cluster", {
        f"kubelet_volume_stats_available_bytes{{{CLAIM}}}": constant(10), f"kubelet_volume_stats_capacity_bytes{{{CLAIM}}}": constant(100),
    }, "10%", labels={"namespace": "ml", "persistentvolumeclaim": "pg"}),
    Case("MLflowBackupTooOld", "embedded", of("embedded", mlflow_backup_last_success_timestamp_seconds=constant(0)), "1d 2h 10m 0s", 1570),
    Case("MLflowBackupTooOld", "cluster", {
        f"kube_cronjob_status_last_successful_time{{{CRON}}}": constant(0), f"kube_cronjob_created{{{CRON}}}": constant(0),
    }, "1d 2h 10m 0s", 1570),
    # One that has never succeeded.
    Case("MLflowBackupTooOld", "cluster", {f"kube_cronjob_created{{{CRON}}}": constant(0)}, "1d 2h 10m 0s", 1570),
    Case("MLflowBackupFailed", "embedded", of("embedded", mlflow_backup_failed=constant(1))),
    Case("MLflowBackupFailed", "cluster", FAILED_JOB | {f"kube_cronjob_status_last_successful_time{{{CRON}}}": constant(600)}),
    Case("MLflowBackupFailed", "cluster", FAILED_JOB),
    Case("MLflowDrillFailed", "embedded", of("embedded", mlflow_backup_drill_problems=constant(2)), "2"),
]  # fmt: skip
#: Where all is well, and it is not with another team's.
WELL: dict[str, dict[str, str]] = {
    place: of(place, **{
        "mlflow_up": constant(1), "mlflow_database_up": constant(1), "mlflow_schema_current": constant(1),
        "mlflow_database_connections": constant(79), "mlflow_database_max_connections": constant(100),
        "mlflow_http_request_total__status_200": f"0+96x{DAYS}", "mlflow_http_request_total__status_500": f"0+4x{DAYS}",
        f"{BUCKET}__le_1": f"0+96x{DAYS}", f"{BUCKET}__le_+Inf": f"0+100x{DAYS}",
        "mlflow_disk_free_bytes": constant(16), "mlflow_disk_size_bytes": constant(100),
        "mlflow_backup_last_success_timestamp_seconds": constant(60000), "mlflow_backup_failed": constant(0),
        "mlflow_backup_drill_problems": constant(0),
    }) | {
        f"kubelet_volume_stats_available_bytes{{{CLAIM}}}": constant(16), f"kubelet_volume_stats_capacity_bytes{{{CLAIM}}}": constant(100),
        f"kube_cronjob_status_last_successful_time{{{CRON}}}": constant(60000), f"kube_cronjob_created{{{CRON}}}": constant(0),
        # One that failed before the last that did not, and another team's.
        **FAILED_JOB, 'kube_job_status_failed{namespace="theirs", job_name="tracking-backup"}': constant(1),
        'kube_job_status_start_time{namespace="theirs", job_name="tracking-backup"}': constant(90000),
        'mlflow_up{job="theirs", namespace="theirs"}': constant(0), 'mlflow_database_up{job="theirs", namespace="theirs"}': constant(0),
        'kube_cronjob_created{namespace="theirs", cronjob="tracking-backup"}': constant(0),
        'kubelet_volume_stats_available_bytes{namespace="theirs", persistentvolumeclaim="x"}': constant(0),
        'kubelet_volume_stats_capacity_bytes{namespace="theirs", persistentvolumeclaim="x"}': constant(1),
    } for place in PLACES
}  # fmt: skip


def rules(place: str) -> dict[str, dict[str, Any]]:
    """The rules of a place, by their names."""
    return {rule["alert"]: rule for group in groups(PLACES[place]) for rule in group["rules"]}


def promtool(*words: str | Path) -> None:
    """Run it. Fails the test with what it says if it does."""
    done = subprocess.run([parts.part("promtool") / "promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def checked(folder: Path, place: str, series: dict[str, str], expected: list[dict[str, Any]]) -> None:
    """Evaluate the rules of a place over series."""
    (folder / "alerts.json").write_text(json.dumps({"groups": groups(PLACES[place])}))
    given = [{"series": name, "values": values} for name, values in series.items()]
    tests = [{"interval": "1m", "input_series": given, "alert_rule_test": expected}]
    (folder / "test.json").write_text(json.dumps({"rule_files": ["alerts.json"], "evaluation_interval": "1m", "tests": tests}))
    promtool("test", "rules", folder / "test.json")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}-{case.place}-{len(case.series)}")
def test_an_alert_fires(case: Case, tmp_path: Path) -> None:
    rule = rules(case.place)[case.alert]
    written = rule["annotations"]["description"].replace("{{ $labels.persistentvolumeclaim }}", "pg")
    alert = {
        "exp_labels": {"severity": rule["labels"]["severity"], **(case.labels or {})},
        "exp_annotations": {**rule["annotations"], "description": re.sub(r"\{\{ \$value.*?\}\}", case.value, written)},
    }  # fmt: skip
    checked(tmp_path, case.place, case.series, [{"eval_time": f"{case.minute}m", "alertname": case.alert, "exp_alerts": [alert]}])


def test_every_alert_is_tried() -> None:
    assert {(case.place, case.alert) for case in CASES} == {(place, alert) for place in PLACES for alert in rules(place)}


@pytest.mark.parametrize("place", PLACES)
def test_all_are_silent_where_all_is_well(place: str, tmp_path: Path) -> None:
    silent = [{"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": []} for alert in rules(place) for minute in (30, 1600)]
    checked(tmp_path, place, WELL[place], silent)


def test_prometheus_reads_every_expression(tmp_path: Path) -> None:
    """Those of the dashboard as rules that record, which promtool only parses otherwise."""
    recorded = [{"record": f"dashboard:{number}", "expr": each} for number, each in enumerate(expressions(dashboard()))]
    made = [*(group for watched in PLACES.values() for group in groups(watched)), {"name": "dashboard", "rules": recorded}]
    (tmp_path / "all.json").write_text(json.dumps({"groups": made}))
    promtool("check", "rules", tmp_path / "all.json")


@pytest.mark.parametrize("place", PLACES)
def test_every_panel_shows_something(place: str, tmp_path: Path) -> None:
    """Of series as a scrape has them."""
    more = of(place, **{
        "mlflow_server_info__version_3": constant(1), "mlflow_database_size_bytes": constant(9), "mlflow_runs__status_FINISHED": constant(3),
        "mlflow_experiments__stage_active": constant(1), "mlflow_registered_models": constant(1), "mlflow_model_versions__stage_None": constant(1),
        "mlflow_traces__status_OK": constant(1),
    })  # fmt: skip
    recorded = [{"record": f"dashboard:{number}", "expr": f"count({each}) > bool 0"} for number, each in enumerate(expressions(dashboard()))]
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))
    series = [{"series": name, "values": values} for name, values in (WELL[place] | more).items()]
    shown = [
        {"expr": each["record"], "eval_time": "30m", "exp_samples": [{"labels": each["record"], "value": 1}]} for each in recorded
    ]  # fmt: skip
    tests = [{"interval": "1m", "input_series": series, "promql_expr_test": shown}]
    (tmp_path / "test.json").write_text(json.dumps({"rule_files": ["rules.json"], "evaluation_interval": "1m", "tests": tests}))
    promtool("test", "rules", tmp_path / "test.json")
