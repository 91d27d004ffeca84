"""What is said of a running embedded stack, and what counts as wrong."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.embedded_status import report

NOW = 1767312000.0  # 2026-01-02T00:00:00Z
FOUND: dict[str, Any] = {"has_run": True, "mlflow_version": "3.17.2", "problems": [], "losses": []}
BACKUP = {"time": "2026-01-01T21:00:00Z", "set": "0123456789", "seconds": 4.2, "bytes": 2048, "added": 10, "sets": 3}
DRILL = {"time": "2026-01-01T22:00:00Z", "set": "0123456789", "seconds": 21, "problems": []}
MEASURED: dict[str, Any] = {
    "there": True, "uri": "http://127.0.0.1:5000", "silence": "", "sizes": {"databases": 1 << 20, "artifacts": 0}, "free": 5 << 30, "now": NOW,
    "processes": [{"name": "mlflow", "state": "RUNNING", "since": NOW - 300, "pid": 7}],
    "backups": {"repository": "/b", "gone": False, "failed": None, "backup": BACKUP, "drill": DRILL},
}  # fmt: skip


def said(found: dict[str, Any] | None = None, **measured: Any) -> dict[str, list[str]]:
    return report({"found": {**FOUND, **(found or {})}, "measured": {**MEASURED, **measured}, "home": "/s"})


def test_a_stack_in_order() -> None:
    assert said() == {"problems": [], "lines": [
        "MLflow 3.17.2 in /s, at http://127.0.0.1:5000",
        "  mlflow: RUNNING for 5 minutes",
        "  databases 1.0 MiB, artifacts 0 bytes; 5.0 GiB free",
        "  last backup 3 hours ago, set 01234567, 2.0 KiB in 4.2 seconds; 3 sets in /b",
        "  last drill 2 hours ago, of set 01234567, in 21 seconds",
    ]}  # fmt: skip


def test_no_backup_yet_is_said_and_not_wrong() -> None:
    told = said(backups={})
    assert told["problems"] == []
    assert any(line.startswith("  no backup yet; run the playbook mlops.mlflow.backup") for line in told["lines"])


@pytest.mark.parametrize(("found", "measured", "problem"), [
    ({"has_run": False}, {}, "No MLflow server has run in /s; "),
    ({"losses": ["/s/secrets/x is missing"]}, {}, "/s/secrets/x is missing"),
    ({}, {"processes": []}, "No supervisor answers, so that nothing runs; "),
    ({}, {"processes": [{"name": "mlflow", "state": "FATAL", "since": 0, "pid": 0}]}, "mlflow is FATAL; see /s/log/mlflow.log, then run the site"),
    ({}, {"silence": "HTTP 500"}, "MLflow does not answer at http://127.0.0.1:5000: HTTP 500; see /s/log/mlflow.log"),
    ({}, {"free": 1 << 20}, "The disk of /s has 1.0 MiB free"),
    ({}, {"backups": {"backup": {**BACKUP, "time": "2025-12-30T00:00:00Z"}, "repository": "/b"}}, "The last backup is 3 days old; "),
    ({}, {"backups": {**MEASURED["backups"], "gone": True}}, "The repository of the backups, /b, is not there"),
    ({}, {"backups": {**MEASURED["backups"], "failed": {"time": "t", "problem": "why"}}}, "The backup of t failed: why"),
    ({}, {"backups": {**MEASURED["backups"], "drill": {**DRILL, "problems": ["why"]}}}, "The drill of 2026-01-01T22:00:00Z has found that set"),
])
def test_what_is_wrong(found: dict[str, Any], measured: dict[str, Any], problem: str) -> None:
    told = said(found, **measured)["problems"]
    assert len(told) == 1
    assert told[0].startswith(problem)
