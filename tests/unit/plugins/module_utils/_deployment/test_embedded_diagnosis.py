"""What is said to be wrong with an embedded stack: one cause for each fault, and what depends on it is skipped."""
from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.diagnosis import runbook
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.embedded_diagnosis import CHECKS, DECISIONS

diagnosis = DECISIONS["diagnosis"]

DATABASES = [
    {"name": "mlflow", "user": "mlflow", "error": "", "revision": "abc"}, {"name": "mlflow_auth", "user": "mlflow", "error": "", "revision": ""},
]  # fmt: skip
SEEN: dict[str, Any] = {
    "there": True,
    "disk": {"free": 1 << 40, "files": 1 << 20, "read_only": False},
    "inside": {"mlflow": "3.17.2", "port": 5432, "databases": DATABASES, "destination": "/s/artifacts", "store": ""},
    "processes": [{"name": "mlflow", "state": "RUNNING"}, {"name": "postgresql", "state": "RUNNING"}],
    "foreign": {"mlflow": "", "postgresql": ""},
    "ports": {"mlflow": 5000, "postgresql": 5432},
    "head": "abc",
    "uri": "http://127.0.0.1:5000",
    "health": {"status": 200, "says": "OK"},
    "api": {"status": 200, "says": "{}"},
    "artifacts": {"status": 200, "says": "{}"},
    "backups": {"repository": "/b", "backup": {"set": "0123456789", "time": "2026-01-01T00:00:00Z", "sets": 1}},
    "now": 1767225600.0,
}
GIVEN: dict[str, Any] = {"home": "/s", "found": {"has_run": True, "problems": [], "losses": []}, "seen": SEEN}
Fault = Callable[[dict[str, Any]], Any]


def with_fault(fault: Fault) -> dict[str, Any]:
    """The diagnosis of a stack that is in order but for a fault."""
    given = copy.deepcopy(GIVEN)
    fault(given)
    return diagnosis(given)


def setting(path: str, value: Any) -> Fault:
    """A fault that is another value in what was seen, at a path."""

    def fault(given: dict[str, Any]) -> None:
        *above, last = path.split(".")
        place: Any = given["seen"]
        for part in above:
            place = place[int(part)] if isinstance(place, list) else place[part]
        place[last] = value

    return fault


def by_id(found: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The findings by the identifiers of their checks."""
    return {each["id"]: each for each in found["checks"]}


def test_a_stack_in_order_passes_all_checks() -> None:
    found = diagnosis(GIVEN)
    assert {each["status"] for each in found["checks"]} == {"ok"}
    assert found["failed"] == []
    assert found["lines"][-1] == "All checks passed"


FAULTS: list[tuple[Fault, str, str]] = [
    (setting("there", False), "folder", "nothing was deployed there"),
    (lambda given: given["found"].update(has_run=False), "folder", "nothing was deployed there"),
    (setting("disk.read_only", True), "disk", "is mounted read-only"),
    (setting("disk.free", 1000), "disk", "is full"),
    (setting("disk.files", 10), "disk", "is full"),
    (setting("inside", {"broken": "No module named 'psycopg2'"}), "packages", "damaged or missing"),
    (lambda given: given["found"]["losses"].append("/s/secrets/k is missing, and x depend on it; put it back"), "secrets", "/s/secrets/k is missing"),
    (setting("inside.unreadable", "/s/mlflow/server.env: Permission denied"), "secrets", "changed an owner or a mode"),
    (setting("processes", []), "supervisor", "the stack is stopped"),
    (setting("processes.1.state", "STOPPED"), "postgresql", "it was stopped"),
    (setting("processes.1.state", "FATAL"), "postgresql", "its log says why: /s/log/postgresql.log"),
    (setting("inside.databases.1.error", 'password authentication failed for user "mlflow"'), "database", "secrets/postgresql_password is not"),
    (setting("inside.databases.1.error", 'database "mlflow" does not exist'), "database", "database or its user is missing"),
    (setting("inside.databases.0.error", "sorry, too many clients already"), "database", "all connections are in use"),
    (setting("inside.databases.0.error", "something else"), "database", "PostgreSQL refuses the server"),
    (setting("inside.databases.0.revision", "older"), "schema", "another version of MLflow"),
    (setting("inside.databases.0.revision", ""), "schema", "the database is empty"),
    (setting("inside.store", "there is no folder '/s/artifacts'"), "store", "moved or deleted"),
    (setting("inside.store", "'/s/artifacts' cannot be read by this user"), "store", "no right to it"),
    (setting("processes.0.state", "FATAL"), "server", "its log says why: /s/log/mlflow.log"),
    (setting("health", {"status": 0, "says": "timed out"}), "server", "is stuck"),
    (setting("api", {"status": 401, "says": ""}), "login", "client.env has the old one"),
    (setting("api", {"status": 403, "says": ""}), "login", "host of the address is not allowed"),
    (setting("api", {"status": 500, "says": "x"}), "login", "cannot read its database"),
    (setting("artifacts", {"status": 500, "says": "x"}), "artifacts", "uses another store"),
]


@pytest.mark.parametrize(("fault", "check", "cause"), FAULTS)
def test_a_fault_is_named_by_one_check_and_what_depends_on_it_is_skipped(fault: Fault, check: str, cause: str) -> None:
    found = with_fault(fault)
    findings = by_id(found)
    assert [each["id"] for each in found["checks"] if each["status"] == "failed"] == [check]
    assert cause in findings[check]["cause"]
    assert findings[check]["remedy"]
    assert findings[check]["expected"]
    assert findings[check]["link"].endswith(f"docs/diagnose.md#{check}")
    assert len(found["failed"]) == 1
    for each in CHECKS:
        depends = any(findings[need]["status"] in ("failed", "skipped") for need in each.needs)
        assert (findings[each.id]["status"] == "skipped") == depends, each.id
        assert not depends or findings[each.id]["observed"] == f"needs the check {check}"


@pytest.mark.parametrize(("process", "port", "option"), [("mlflow", 5000, "mlflow_server_port"), ("postgresql", 5432, "postgresql_port")])
def test_who_holds_a_port_is_named(process: str, port: int, option: str) -> None:
    def fault(given: dict[str, Any]) -> None:
        given["seen"]["foreign"][process] = "nginx (process 7)"
        next(each for each in given["seen"]["processes"] if each["name"] == process)["state"] = "BACKOFF"

    [failed] = with_fault(fault)["failed"]
    assert f"port {port} is held by nginx (process 7); end that process or set another {option}" in failed


def test_a_process_of_the_store_that_does_not_run_is_named() -> None:
    def fault(given: dict[str, Any]) -> None:
        given["seen"]["processes"].append({"name": "artifact-store", "state": "STOPPED"})
        given["seen"]["inside"].update(store="Could not connect", destination="s3://mlflow")

    assert by_id(with_fault(fault))["store"]["cause"] == "artifact-store does not run"


@pytest.mark.parametrize(("fault", "check"), [
    (setting("disk.free", 500 << 20), "disk"),
    (setting("backups", {}), "backup"),
    (setting("now", 1767225600.0 + 5 * 86400), "backup"),
    (setting("backups.gone", True), "backup"),
])
def test_a_warning_is_no_failure_and_skips_nothing(fault: Fault, check: str) -> None:
    found = with_fault(fault)
    assert {each["id"] for each in found["checks"] if each["status"] != "ok"} == {check}
    assert by_id(found)[check]["status"] == "warning"
    assert found["failed"] == []
    assert found["lines"][-1] == "1 warning"


def test_checks_need_what_is_before_them_and_each_has_a_section() -> None:
    known: set[str] = set()
    for check in CHECKS:
        assert set(check.needs) <= known
        assert f"## {check.id}\n" in runbook(CHECKS)
        known.add(check.id)
