"""What is said to be wrong with a deployment in a cluster: one cause for each fault, and what depends on it is skipped."""
from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.cluster_diagnosis import CHECKS, DECISIONS
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.diagnosis import runbook


def workload(component: str, name: str, **more: Any) -> dict[str, Any]:
    given = {"component": component, "kind": "Deployment", "name": name, "wanted": 1, "is_ready": True, "count": "1 of 1 ready", "reason": ""}
    return {**given, "remedy": "", "log": [], **more}


OK = {"status": 200, "says": "OK"}
GIVEN: dict[str, Any] = {
    "error": "", "unasked": "", "namespace": "akko", "deployment": "akko", "domain": "cluster.local",
    "seen": {
        "nodes": [{"name": "node-1", "is_ready": True, "pressure": [], "says": ""}],
        "workloads": [
            workload("database", "pg", kind="StatefulSet"), workload("artifacts", "s3"), workload("server", "mlflow"),
            workload("login", "oauth2-proxy"),
        ],
        "claims": [{"name": "data-pg-0", "phase": "Bound", "says": ""}],
        "references": [{"workload": "Deployment mlflow", "secret": "mlflow-env", "key": "PASSPHRASE"}],
        "secrets": {"mlflow-env": ["PASSPHRASE"]},
        "server": {
            "name": "mlflow", "pod": "mlflow-1", "port": 5000, "service": True, "endpoints": 1,
            "ingress": {"host": "mlflow.example.com", "address": "192.0.2.1", "class": "traefik", "status": 302, "says": "", "certificate": ""},
        },
        "clients": [{"namespace": "hub", "name": "mlflow-client", "uri": "http://mlflow.akko.svc:5000"}],
        "backups": [{"name": "backup", "suspended": False, "made": "2026-01-01T00:00:00Z", "succeeded": "2026-01-31T00:00:00Z"}],
        "now": 1769904000.0,  # 2026-02-01
    },
    "inside": {
        "databases": [{"name": "mlflow", "user": "mlflow", "error": "", "revision": "abc"}], "destination": "s3://b/p", "store": "",
        "schema": "current",
        "health": dict(OK), "api": dict(OK), "artifacts": dict(OK),
    },
}  # fmt: skip
Fault = Callable[[dict[str, Any]], Any]


def found(*faults: Fault) -> dict[str, Any]:
    """The diagnosis of a deployment that is in order but for these."""
    given = copy.deepcopy(GIVEN)
    for fault in faults:
        fault(given)
    return DECISIONS["diagnosis"](given)


def setting(path: str, value: Any) -> Fault:
    """Another value of what was given, at a path."""

    def fault(given: dict[str, Any]) -> None:
        *above, last = path.split(".")
        place: Any = given
        for part in above:
            place = place[int(part)] if isinstance(place, list) else place[part]
        place[last] = value

    return fault


def down(number: int, **more: Any) -> Fault:
    """A workload that is not ready."""
    return lambda given: given["seen"]["workloads"][number].update({"is_ready": False, "count": "0 of 1 ready", "reason": "pod x: crashed", **more})


def silent(given: dict[str, Any]) -> None:
    """No pod of MLflow can be asked."""
    given["inside"] = {}
    given["seen"]["server"]["pod"] = ""


def test_a_deployment_in_order_passes_all_checks() -> None:
    told = found()
    assert [each["status"] for each in told["checks"]] == ["ok"] * len(CHECKS)
    assert told["lines"][-1] == "All checks passed"
    assert told["failed"] == []


INGRESS = "seen.server.ingress."


@pytest.mark.parametrize(("check", "says", "faults"), [
    ("cluster", "kubernetes_kubeconfig leads elsewhere", [setting("error", "refused")]),
    ("nodes", "kubelet is down", [setting("seen.nodes.0.is_ready", False)]),
    ("nodes", "free space", [setting("seen.nodes.0.pressure", ["DiskPressure"])]),
    ("deployment", "kubernetes_namespace", [setting("seen.workloads", [])]),
    ("volumes", "storage class", [setting("seen.claims", [{"name": "data", "phase": "Pending", "says": "no class"}])]),
    ("volumes", "its volume was deleted", [setting("seen.claims.0.phase", "Lost")]),
    ("secrets", "restore it from a backup", [setting("seen.secrets", {})]),
    ("secrets", "restore it from a backup", [setting("seen.secrets", {"mlflow-env": ["OTHER"]})]),
    ("postgresql", "scaled it down", [setting("seen.workloads.0.wanted", 0)]),
    ("postgresql", "pod x: crashed", [down(0)]),
    ("database", "the database is missing", [setting("inside.databases.0.error", 'FATAL: database "mlflow" does not exist')]),
    ("database", "another password", [setting("inside.databases.0.error", "FATAL: password authentication failed for user")]),
    ("database", "another password", [silent, down(2, log=["psycopg2.OperationalError: FATAL: password authentication failed", "exiting"])]),
    ("schema", "of a later MLflow", [setting("inside.schema", "newer")]),
    ("schema", "migrates it", [setting("inside.schema", "old")]),
    ("schema", "cannot be read", [setting("inside.schema", "mlflow-schema: not found")]),
    ("s3", "pod x: crashed", [down(1)]),
    ("store", "the bucket does not exist", [setting("inside.store", "An error occurred (NoSuchBucket)")]),
    ("store", "keys in the Secret", [setting("inside.store", "An error occurred (InvalidAccessKeyId)")]),
    ("server", "its log: killed", [silent, down(2, log=["killed"])]),
    ("server", "overloaded", [setting("inside.health", {"status": 0, "says": "timed out"})]),
    ("service", "its selector", [setting("seen.server.endpoints", 0)]),
    ("service", "deleted it", [setting("seen.server.service", False)]),
    ("api", "another password than MLflow", [setting("inside.api.status", 401)]),
    ("api", "cannot use its database", [setting("inside.api", {"status": 500, "says": "error"})]),
    ("artifacts", "another store", [setting("inside.artifacts.status", 500)]),
    ("login", "pod x: crashed", [down(3)]),
    ("ingress", "no ingress controller", [setting(INGRESS + "address", "")]),
    ("ingress", "mlflow_server_ingress_pods", [setting(INGRESS + "status", 502)]),
    ("ingress", "sso_callers", [setting(INGRESS + "status", 500)]),
    ("ingress", "nothing answers", [setting(INGRESS + "status", 0), setting(INGRESS + "says", "timed out")]),
    ("certificate", "renewed", [setting(INGRESS + "certificate", "certificate has expired")]),
    ("certificate", "another certificate", [setting(INGRESS + "certificate", "self-signed certificate")]),
    ("clients", "restart the client", [setting("seen.clients.0.uri", "http://mlflow.old.svc:5000")]),
])  # fmt: skip
def test_each_fault_is_named_by_its_own_check_alone(check: str, says: str, faults: list[Fault]) -> None:
    told = found(*faults)
    by_status = {status: [each["id"] for each in told["checks"] if each["status"] == status] for status in ("failed", "warning")}
    assert by_status == {"failed": [check], "warning": []}
    assert says in told["failed"][0]
    wrong = next(each for each in told["checks"] if each["id"] == check)
    assert wrong["link"].endswith(f"docs/diagnose-cluster.md#{check}")
    assert all(wrong[part] for part in ("observed", "expected", "cause", "remedy"))


def test_what_needs_a_broken_layer_is_skipped_and_says_which() -> None:
    told = {each["id"]: each for each in found(down(0))["checks"]}
    assert {name for name, each in told.items() if each["status"] == "skipped"} == {
        "database", "schema", "server", "service", "api", "artifacts", "ingress", "certificate", "clients",
    }  # fmt: skip
    assert told["server"]["observed"] == "needs the check postgresql"


def test_what_could_not_be_asked_is_not_called_passed() -> None:
    told = {each["id"]: each for each in found(silent, down(2))["checks"]}
    assert {told[name]["status"] for name in ("database", "schema", "store")} == {"skipped"}
    assert told["server"]["status"] == "failed"


def test_a_pod_that_is_ready_and_gives_no_answer_is_a_warning_with_its_words() -> None:
    told = found(setting("inside", {}), setting("unasked", "exec is forbidden"))
    wrong = {each["id"]: each for each in told["checks"] if each["status"] == "warning"}
    assert wrong.keys() == {"database", "schema", "store", "api", "artifacts"}
    assert wrong["database"]["observed"] == "pod mlflow-1 cannot be asked"
    assert wrong["database"]["cause"] == "exec is forbidden"


@pytest.mark.parametrize("backups", [
    [], [{"name": "b", "suspended": True, "made": "2026-01-01T00:00:00Z", "succeeded": "2026-01-31T00:00:00Z"}],
    [{"name": "b", "suspended": False, "made": "2026-01-01T00:00:00Z", "succeeded": ""}],
])
def test_a_missing_backup_is_a_warning(backups: list[dict[str, Any]]) -> None:
    told = found(setting("seen.backups", backups))
    assert [each["id"] for each in told["checks"] if each["status"] == "warning"] == ["backup"]
    assert told["failed"] == []


def test_what_is_not_part_of_the_deployment_passes() -> None:
    told = found(setting("seen.workloads", [workload("server", "mlflow")]), setting(INGRESS.rstrip("."), {}), setting("seen.clients", []))
    assert told["failed"] == []


def test_the_page_has_a_section_for_each_check() -> None:
    for check in CHECKS:
        assert f"## {check.id}\n" in runbook(CHECKS)
