"""When a schema is migrated, when the server stops for it, and what is said of data that are gone."""
from __future__ import annotations

from typing import Any

import pytest
from deployments import server

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_decisions import DECISIONS

READY = {"metadata": {"name": "a"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
STARTING = {"metadata": {"name": "b"}, "status": {"conditions": [{"type": "Ready", "status": "False"}]}}
OLD = {"status": {"containerStatuses": [{"state": {"terminated": {"message": "old"}}}]}}
CURRENT = {"status": {"containerStatuses": [{"state": {"terminated": {"message": "current"}}}]}}


def decided(name: str, **given: Any) -> Any:
    return DECISIONS[name](server() | given)


def migration(**variables: Any) -> str:
    name: str = DECISIONS["deployment"](server(**variables))["jobs"]["upgrade"]
    return name


def looked(schema: str = "", pods: list[dict[str, Any]] | None = None, replicas: int = 1, image: str = "before") -> list[dict[str, Any]]:
    """What is there: a Deployment that follows that migration, and its pods."""
    spec = {"replicas": replicas, "template": {"spec": {"containers": [{"image": image}]}}}
    there = {"metadata": {"annotations": {"mlops.mlflow/schema": schema}}, "spec": spec}
    return [{"resources": [there]}, {"resources": []}, {"resources": pods or []}]


@pytest.mark.parametrize(("pods", "schema", "done"), [
    ([], {}, True),
    ([READY], {"rc": 0, "stdout": "current"}, True),
    ([READY, STARTING], {"rc": 0, "stdout": "unreachable"}, True),
    ([STARTING], {}, False),
    ([READY], {"rc": 0, "stdout": "old"}, False),
    ([READY], {"rc": 1, "stdout": ""}, False),
    ([READY], {"skipped": True}, True),
])
def test_a_schema_is_the_images_if_the_deployment_follows_its_migration_and_serves(pods: Any, schema: Any, done: bool) -> None:
    assert decided("is_migrated", looked=looked(migration(), pods), schema=schema) is done
    assert decided("is_migrated", looked=looked("another", pods), schema=schema) is False


def test_there_is_one_migration_for_an_image_and_a_database() -> None:
    assert migration() == migration(replicas=3, host="m.example", ingress_auth="basic", environment={"A": "b"})
    assert len({migration(), migration(image="other"), migration(auth="basic")}) == 3
    content = server() | {"image": {"image": "i", "hash": "another"}}
    assert DECISIONS["deployment"](content)["jobs"]["upgrade"] != migration()


def test_the_check_is_another_job_of_the_same_number() -> None:
    jobs = DECISIONS["deployment"](server(name="x-migrate-y"))["jobs"]
    assert jobs["check"] == jobs["upgrade"].replace("y-migrate-", "y-schema-")


@pytest.mark.parametrize(("replicas", "checked", "check_mode", "stops"), [
    (1, [OLD], False, True), (1, [CURRENT], False, False), (1, [], False, False), (0, [OLD], False, False), (1, [], True, True), (0, [], True, False),
    (1, [{"status": {}}], False, False), (1, [{"status": {"containerStatuses": [{"state": {"running": {}}}]}}], False, False),
])
def test_a_server_stops_for_a_schema_that_is_old(replicas: int, checked: list[Any], check_mode: bool, stops: bool) -> None:
    assert decided("must_stop", looked=looked(replicas=replicas), checked=checked, check_mode=check_mode) is stops


@pytest.mark.parametrize(("said", "stops"), [("old", True), ("current", False), ("fresh", False)])
@pytest.mark.parametrize("check_mode", [True, False])
def test_what_a_pod_of_the_same_image_says_is_known_in_check_mode_too(said: str, stops: bool, check_mode: bool) -> None:
    asked = {"schema": {"rc": 0, "stdout": said}, "check_mode": check_mode}
    assert decided("must_stop", looked=looked("another"), **asked) is stops
    assert decided("must_stop", looked=looked("another", replicas=0), **asked) is False
    assert decided("must_check", looked=looked("another"), **asked) is False


@pytest.mark.parametrize("schema", [{}, {"skipped": True}, {"rc": 0, "stdout": "unreachable"}, {"rc": 1, "stdout": "newer"}])
def test_a_job_looks_where_no_pod_knows(schema: dict[str, Any]) -> None:
    assert decided("must_check", looked=looked("another"), schema=schema) is True
    assert decided("must_check", looked=looked("another", replicas=0), schema=schema) is False


@pytest.mark.parametrize(("schema", "image", "asks"), [(migration(), "before", True), ("another", "new", True), ("another", "before", False)])
def test_a_pod_is_asked_that_follows_the_migration_or_has_the_image(schema: str, image: str, asks: bool) -> None:
    given = server(image="new") if image == "new" else server()
    assert DECISIONS["deployment"](given | {"looked": looked(schema, [READY], image=image)})["may_ask"] is asks


@pytest.mark.parametrize(("replicas", "checked", "again", "said"), [
    (0, [], {}, "no server was started"),
    (1, [CURRENT], {}, "the previous server, before, is still serving"),
    (1, [OLD], {}, "the previous server, before, is serving again"),
    (1, [OLD], {"msg": "no node"}, "the previous server, before, was started again but is not ready: no node"),
])
def test_it_is_said_what_serves_after_a_failure(replicas: int, checked: list[Any], again: dict[str, str], said: str) -> None:
    assert decided("what_serves", looked=looked(replicas=replicas), checked=checked, started_again=again) == said


@pytest.mark.parametrize(("has_data", "schema", "models", "losses"), [
    (True, {"stdout": "current"}, {"json": {"model_versions": []}}, []),
    (True, {"stdout": "fresh"}, {}, ["database mlflow no longer has the MLflow schema"]),
    (False, {"stdout": "fresh"}, {}, []),
    (True, {}, {"json": {"model_versions": [{}]}}, ["s3://mlflow/artifacts is empty, although the database has models"]),
    (True, {"skipped": True}, {"skipped": True}, []),
])
def test_data_that_are_gone_are_a_loss(has_data: bool, schema: Any, models: Any, losses: list[str]) -> None:
    given = server()
    kubernetes = given["kubernetes"] | {"has_data": has_data}
    assert decided("losses", kubernetes=kubernetes, schema=schema, models=models, looked=looked(migration())) == losses


def test_no_schema_for_users_is_no_loss_where_there_were_none() -> None:
    kubernetes = server()["kubernetes"] | {"has_data": True}
    assert decided("losses", kubernetes=kubernetes, schema={"stdout": "fresh"}, looked=looked("without users")) == []


@pytest.mark.parametrize(("earlier", "there", "image"), [
    ("localhost/mlflow-server:3", "localhost/mlflow-server:3", "localhost/mlflow-server:3"),
    ("localhost/mlflow-server:3", "another", "localhost/mlflow-server:3.17.2-0123"),
    ("", "", "localhost/mlflow-server:3.17.2-0123"),
])
def test_a_deployment_keeps_its_images_earlier_name_while_the_content_is_the_same(earlier: str, there: str, image: str) -> None:
    given = server()
    given["image"] = given["image"] | {"earlier": earlier}
    own = DECISIONS["deployment"](given)["objects"][5]["spec"]["template"]["metadata"]["annotations"]["mlops.mlflow/checksum"]
    given["looked"] = looked(image=there)
    given["looked"][0]["resources"][0]["spec"]["template"]["metadata"] = {"annotations": {"mlops.mlflow/checksum": own}}
    assert DECISIONS["deployment"](given)["endpoint"]["image"] == image
    given["looked"][0]["resources"][0]["spec"]["template"]["metadata"]["annotations"] = {}
    assert DECISIONS["deployment"](given)["endpoint"]["image"] == "localhost/mlflow-server:3.17.2-0123"


@pytest.mark.parametrize(("now", "expected"), [(0, 2), (1, 2), (3, 3), (9, 5)])
def test_the_number_of_pods_is_the_autoscalers_within_its_bounds(now: int, expected: int) -> None:
    made = DECISIONS["deployment"](server(replicas=2, max_replicas=5) | {"looked": looked(replicas=now)})["objects"][5]
    assert made["spec"]["replicas"] == expected
    assert DECISIONS["deployment"](server(replicas=2) | {"looked": looked(replicas=now)})["objects"][5]["spec"]["replicas"] == 2


def test_what_is_left_of_a_server_under_its_previous_name_is_known() -> None:
    owned = [
        {"kind": "Deployment", "name": "old", "instance": "old", "api_version": "apps/v1"}, {"kind": "Secret", "name": "old-tls-ca", "instance": ""},
        {"kind": "Secret", "name": "postgresql", "instance": ""}, {"kind": "Deployment", "name": "mlflow", "instance": "mlflow"},
    ]
    assert DECISIONS["left_behind"](server(previous_name="old") | {"owned": owned}) == [
        {"kind": "Deployment", "name": "old", "api_version": "apps/v1"}, {"kind": "Secret", "name": "old-tls-ca"},
    ]


def test_the_previous_keys_are_carried_over_and_the_others_made() -> None:
    keys = decided("secret_keys", previous_secret={"webhook-key": "aGVsbG8=", "own": "eA=="})
    assert keys["webhook-key"] == "hello"
    assert keys["own"] == "x"
    assert [key for key, value in keys.items() if value == ""] == ["crypto-passphrase", "flask-secret-key", "admin-password", "ingress-password"]


@pytest.mark.parametrize(("answer", "administrator", "log", "said"), [
    ({"status": 500, "msg": "HTTP 500"}, {}, ["x.OperationalError: no route"],
     "HTTP 500; its log: x.OperationalError: no route; check that PostgreSQL is running and accepts the password in Secret postgresql"),
    ({}, {}, [], "within a minute: no answer; check that PostgreSQL"),
    ({"status": 401, "msg": "Unauthorized"}, {"stderr_lines": ["a", "no such user"]}, [], "Secret mlflow, key admin-password: no such user"),
    ({"status": 401, "msg": "Unauthorized"}, {}, [], "key admin-password: no pod is ready"),
])
def test_it_is_said_why_a_server_does_not_answer(answer: Any, administrator: Any, log: list[str], said: str) -> None:
    found = decided("no_answer", answer=answer, administrator=administrator, log=log)
    assert found.startswith("MLflow is running, but http://10.43.0.7:5000 did not answer from the database within a minute: ")
    assert said in found
