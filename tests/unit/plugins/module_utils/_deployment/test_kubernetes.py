"""What the role kubernetes does with namespaces and Secrets, and what a removal takes."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.kubernetes import DECISIONS

PLAIN: dict[str, Any] = {"labels": {}, "annotations": {}, "patches": []}
LABELS = {"app.kubernetes.io/managed-by": "mlops.mlflow", "mlops.mlflow/deployment": "d", "pod-security.kubernetes.io/enforce": "restricted"}


@pytest.mark.parametrize(("found", "additions", "applied"), [
    ({}, {}, True),
    ({"own": True, "labels": LABELS}, {}, False),
    ({"own": True, "labels": LABELS | {"more": "x"}}, {"labels": {"more": "x"}}, False),
    ({"own": True, "labels": LABELS}, {"labels": {"more": "x"}}, True),
    ({"own": True, "labels": LABELS, "annotations": {"a": "b"}}, {"annotations": {"a": "c"}}, True),
    ({"own": True, "labels": {}}, {}, True),
    ({"own": True, "labels": LABELS}, {"patches": [{"kind": "Namespace", "name": "*", "patch": {}}]}, True),
    ({"own": False, "labels": {}}, {"labels": {"more": "x"}}, False),
])
def test_a_namespace_is_applied_where_it_lacks_something_and_left_alone_where_it_is_anothers(found: Any, additions: Any, applied: bool) -> None:
    decided = DECISIONS["namespace"]({"name": "n", "deployment": "d", "found": found, "additions": PLAIN | additions})
    assert decided["is_applied"] is applied
    assert decided["object"]["metadata"] == {"name": "n", "labels": LABELS}


def test_patches_may_be_for_what_no_role_claims() -> None:
    claims = [{"kind": "Deployment", "name": "mlflow", "component": "server"}, {"kind": "Secret", "name": "x"}]
    given = {"name": "n", "claims": claims, "earlier_claims": [{"kind": "StatefulSet", "name": "postgresql"}]}
    assert DECISIONS["targets"](given) == [
        "Namespace/n", "Job/mlflow-migrate-0000000000", "Job/mlflow-schema-0000000000", "StatefulSet/postgresql",
    ]
    assert DECISIONS["targets"](given | {"claims": claims[1:]}) is None


HELD = {"metadata": {"labels": {"mlops.mlflow/deployment": "d"}}, "data": {"password": "b2xk", "further": "eA=="}}


@pytest.mark.parametrize(("secret", "keys", "check_mode", "values"), [
    ({}, {"password": "", "given": "g"}, False, {"password": "new-1", "given": "g"}),
    ({}, {"password": ""}, True, {"password": ""}),
    (HELD, {"password": "", "second": ""}, False, {"second": "new-2", "password": "old", "further": "x"}),
    (HELD, {"password": "changed"}, False, {"password": "changed", "further": "x"}),
])
def test_given_values_come_first_then_those_that_are_held_then_new_ones(secret: Any, keys: Any, check_mode: bool, values: Any) -> None:
    given = {"secret": secret, "keys": keys, "check_mode": check_mode, "new": ["new-1", "new-2"]}
    assert DECISIONS["secret_values"](given) == values


@pytest.mark.parametrize(("values", "deployment", "additions", "right"), [
    ({"password": "old", "further": "x"}, "d", {}, True),
    ({"password": "new", "further": "x"}, "d", {}, False),
    ({"password": "old", "further": "x"}, "another", {}, False),
    ({"password": "old", "further": "x"}, "d", {"labels": {"a": "b"}}, False),
    ({"password": "old", "further": "x"}, "d", {"patches": [{"kind": "Secret", "name": "*", "patch": {}}]}, False),
])
def test_a_secret_is_applied_where_it_is_not_right(values: Any, deployment: str, additions: Any, right: bool) -> None:
    given = {"name": "s", "secret": HELD, "values": values, "deployment": deployment, "additions": PLAIN | additions}
    assert DECISIONS["secret"](given)["is_right"] is right
    assert DECISIONS["secret"](given)["object"]["data"].keys() == values.keys()


OWNED = [{"kind": "Deployment", "name": "mlflow", "api_version": "apps/v1", "instance": "mlflow"}]


@pytest.mark.parametrize(("namespace", "foreign", "goes", "last"), [
    ("own", [], True, "to be removed: Namespace n"),
    ("own", [{"kind": "Secret", "name": "x", "owner": "someone else"}], False, "kept: Secret x of someone else"),
    ("foreign", [], False, "kept: Namespace n"),
    ("absent", [], False, "there is no Namespace n"),
])
def test_a_namespace_goes_if_it_is_own_and_empty(namespace: str, foreign: list[Any], goes: bool, last: str) -> None:
    found = DECISIONS["removal"]({"name": "n", "owned": {"owned": OWNED, "foreign": foreign, "namespace": namespace}})
    assert found["namespace_goes"] is goes
    assert found["lines"][0] == "to be removed: Deployment mlflow"
    assert found["lines"][-1] == last
    assert found["absent"] == [{"kind": "Deployment", "name": "mlflow", "api_version": "apps/v1"}]


def test_what_has_served_has_data() -> None:
    given = {"read": [], "own_addresses": "", "claims": [], "there": [], "earlier_checked": {}}
    noted = {"component": "server", "annotations": {"mlops.mlflow/schema": "x"}}
    assert DECISIONS["runtime"](given | {"workloads": [noted]})["has_served"]
    for other in ({"component": "server", "annotations": {}}, {"component": "database", "annotations": {"mlops.mlflow/schema": "x"}}):
        assert not DECISIONS["runtime"](given | {"workloads": [other]})["has_served"]


def pod(name: str, app: str, ready: str = "True", **metadata: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"app": app}, **metadata}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


@pytest.mark.parametrize(("pods", "found"), [
    ([pod("a-1", "a"), pod("b-1", "b")], "b-1"),
    ([pod("b-1", "b", "False"), pod("b-2", "b")], "b-2"),
    ([pod("b-1", "b", deletionTimestamp="2026-11-30T00:00:00Z")], ""),
    ([{"metadata": {"name": "b-1", "labels": {"app": "b"}}}], ""),
    ([pod("a-1", "a")], ""),
])
def test_a_pod_of_the_deployments_own_server_that_is_ready_is_found(pods: list[dict[str, Any]], found: str) -> None:
    """Another deployment in the same namespace has a server too."""
    servers = [
        {"metadata": {"name": app, "labels": {"mlops.mlflow/deployment": app}}, "spec": {"selector": {"matchLabels": {"app": app}}}} for app in "ab"
    ]
    assert DECISIONS["server_pod"]({"deployment": "b", "results": [{"resources": servers}, {"resources": pods}]}) == found


def test_what_was_read_for_all_roles_is_found_by_name() -> None:
    claims = [{"kind": "Secret", "name": "db"}, {"kind": "Secret", "name": "db-ca"}, {"kind": "Secret", "name": "server"}]
    given = {"claims": claims, "read": [{"resources": []}, {"resources": [HELD]}, {"resources": []}], "reads_once": True}
    assert DECISIONS["found_secrets"](given) == {"db": HELD, "server": {}}
    # A playbook that changes Secrets reads each where it needs it. In check mode, there may be no cluster to read from.
    assert DECISIONS["found_secrets"](given | {"reads_once": False}) == {}
    assert DECISIONS["found_secrets"](given | {"read": []}) == {}
