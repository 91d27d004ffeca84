"""What a model version is made of, and what its options ask for."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.model_version.adapter import MODEL_VERSION
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.model_version.rules import (
    check_options,
    declared,
    desired_state,
    identity,
    portable,
)
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, ImmutableField, State, make_plan

GOOD: list[dict[str, Any]] = [
    {"name": "имя", "source": "s3://bucket/a b/%20"},
    {"name": "a", "source": "s3://b/" + "b" * 493},
    {"name": "a", "source": "s3://b/c", "run_id": "0" * 32},
    {"name": "a", "source": "models:/other model/3"},
    {"name": "a", "source": "models:/m-1"},
    {"name": "a", "source": "s3://b/a//c/?x=..;y#z"},
    {"name": "a", "source": "runs:/0f3a/model/best"},
    {"name": "a", "source": "/srv/mlruns/1/0f3a/artifacts/model", "run_id": "0f3a"},
    {"name": "a", "source": "mlflow-artifacts:/1/0f3a/artifacts/model", "run_id": "0f3a"},
    {"name": "a", "run_id": "0f3a", "artifact_path": "model"},
    {"name": "a", "model_id": "m-4f1c"},
    {"name": "a", "version": "12"},
    {"name": "a", "version": "1", "stage": "Production", "archive_existing_versions": True, "wait_timeout": 0},
    {"name": "a", "version": "1", "description": "", "tags": {"k": "v" * 100_000}, "aliases": ["champion", "a" * 255]},
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": "a/b", "source": "s3://b"}, "name: 'a/b' contains '/'"),
    ({"name": "a"}, "name: 'a' selects a model, but no version of it; give source, run_id with artifact_path, or model_id$"),
    ({"name": "a", "version": None}, "name: 'a' selects a model, but no version .*, or version$"),
    ({"name": "a", "run_id": "r"}, "run_id: 'r' selects a run, but no model in it; give artifact_path too"),
    ({"name": "a", "artifact_path": "model"}, "artifact_path: 'model' is the path of a model within a run; give run_id too"),
    ({"name": "a", "artifact_path": "/", "run_id": "r"}, "artifact_path: '/' is empty"),
    ({"name": "a", "source": "s3://b", "artifact_path": "model"}, "source: 's3://b' is given together with artifact_path; give one of them"),
    ({"name": "a", "model_id": "m-1", "version": "1"}, "model_id: 'm-1' is given together with version"),
    ({"name": "a", "model_id": "m-1", "run_id": "r"}, "run_id: 'r' is given together with model_id"),
    ({"name": "a", "version": "1", "run_id": "r"}, "run_id: 'r' is given together with version"),
    ({"name": "a", "model_id": "models:/m-1"}, "model_id: .* is not the ID of a logged model"),
    ({"name": "a", "version": "latest"}, "version: 'latest' is not a version number"),
    ({"name": "a", "version": "0"}, "version: '0' is not a version number"),
    ({"name": "a", "source": " "}, "source: ' ' is empty"),
    ({"name": "a", "source": "s3://" + "b" * 496}, "source: .* has 501 characters; MLflow stores at most 500"),
    ({"name": "a", "source": "s3://b/a/../c"}, "source: .* has '..' in its path"),
    ({"name": "a", "source": "s3://b/a/%2e%2e/c"}, "source: .* has '..' in its path"),
    ({"name": "a", "source": "s3://b/a/%252e%252E/c"}, "source: .* has '..' in its path"),
    *(({"name": "a", "source": what}, "source: .* has no plain path for MLflow") for what in ("s3://b", "s3://b/", "s3://b/./c", "dbfs:c")),
    ({"name": "a", "source": "runs:/0f3a/model", "run_id": "0f3b"}, "run_id: '0f3b' is not the run of 'runs:/0f3a/model'"),
    ({"name": "a", "source": "s3://b/c", "wait_timeout": 86_401}, "wait_timeout: 86401 is too large; give at most 86400"),
    ({"name": "a", "source": "s3://b/c", "tags": {"mlflow.prompt.is_prompt": "true"}}, "tags: 'mlflow.prompt.is_prompt' turns it into a prompt"),
    *(
        ({"name": "a", "source": f"models:/iris{what}"}, "source: .* refers to a version that can change; give models:/NAME/NUMBER")
        for what in ("@champion", "/latest", "/Production", "/0", "/1/2")
    ),
    *(({"name": "a", "source": what}, "source: .* names no model in a run") for what in ("runs:/0f3a", "runs:/0f3a/", "runs:///x")),
    *(
        ({"name": "a", "source": what}, "source: .* is stored by the server itself.*; give run_id too")
        for what in ("mlflow-artifacts:/1/r/artifacts/m", "/srv/model", "file:///srv/model", "model")
    ),
    ({"name": "a", "source": "s3://b", "run_id": "0" * 33}, "run_id: .* is not a run ID"),
    ({"name": "a", "source": "s3://b", "description": "d" * 5001}, "description: .* has 5001 characters"),
    ({"name": "a", "source": "s3://b", "tags": {"k": "v" * 100_001}}, "tags: 'k' has a value of 100001 characters"),
    ({"name": "a", "source": "s3://b", "aliases": ["v1"]}, "aliases: 'v1' is reserved"),
    ({"name": "a", "source": "s3://b", "aliases": [""]}, "aliases: '' is not an alias"),
    ({"name": "a", "source": "s3://b", "archive_existing_versions": True}, "archive_existing_versions: True applies only to .*; set stage to"),
    ({"name": "a", "version": "1", "stage": "Archived", "archive_existing_versions": True}, "archive_existing_versions: True applies only to"),
    ({"name": "a", "source": "s3://b", "wait_timeout": -1}, "wait_timeout: -1 is too small"),
]


@pytest.mark.parametrize("params", GOOD)
def test_what_mlflow_takes(params: dict[str, Any]) -> None:
    check_options(params)


@pytest.mark.parametrize(("params", "message"), BAD)
def test_what_mlflow_refuses(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        check_options(params)


def wanted(current: State | None = None, **params: Any) -> State | None:
    return desired_state({"name": "iris", "state": "present", "source": "s3://b/iris", "wait_timeout": 300, **params}, current)


def iris(**more: Any) -> State:
    state = {"name": "iris", "version": "3", "source": "s3://b/iris", "run_id": "", "description": "old", "tags": {}, "aliases": []}
    return {**state, "current_stage": "None", "status": "READY", "status_message": "", **more}


def test_the_identity_of_options_is_that_of_the_version_that_they_make() -> None:
    assert identity({"name": "iris", "model_id": "m-1"}) == identity(iris(source="models:/m-1", run_id="0f3a"))
    assert identity({"name": "iris", "source": "s3://b/iris", "run_id": None}) == identity(iris())
    assert identity({"name": "iris", "source": "s3://b/iris"}) != identity(iris(run_id="0f3a"))
    assert identity({"name": "iris", "source": "s3://b/0f3a/artifacts/iris"}) == identity(iris(source="s3://b/0f3a/artifacts/iris", run_id="0f3a"))
    assert identity({"name": "iris", "run_id": "r", "artifact_path": "model/"}) == ("iris", "runs:/r/model", "")
    assert identity({"name": "iris", "version": "3"}) == ("iris", "version 3", "")


def test_a_new_version_has_all_fields_and_an_old_one_those_that_are_given() -> None:
    new = {"name": "iris", "source": "s3://b/iris", "run_id": "", "description": "", "tags": {}, "aliases": []}
    assert wanted() == {**new, "current_stage": "None", "status": "READY"}
    assert wanted(run_id="r", stage="Staging", aliases=["b", "a", "b"]) == {
        **new, "run_id": "r", "aliases": ["a", "b"], "current_stage": "Staging", "status": "READY",
    }
    assert wanted(iris(), wait_timeout=0) == {"name": "iris"}
    assert wanted(iris(), description="", tags={"n": 1, "gone": None}) == {
        "name": "iris", "description": "", "tags": {"n": "1", "gone": ABSENT}, "status": "READY",
    }


def test_aliases_are_added_or_with_purging_replaced() -> None:
    there = iris(aliases=["champion", "old"])
    assert (wanted(there, aliases=["new"]) or {})["aliases"] == ["champion", "new", "old"]
    assert (wanted(there, aliases=["new"], purge_aliases=True) or {})["aliases"] == ["new"]
    assert (wanted(there, aliases=[], purge_aliases=True) or {})["aliases"] == []
    assert "aliases" not in (wanted(there, purge_aliases=True) or {})


def test_the_run_of_a_version_stays() -> None:
    with pytest.raises(ImmutableField, match="run_id: cannot be changed from '' to '0f3a'"):
        make_plan(iris(), wanted(iris(), run_id="0f3a"), ["source", "run_id"])


def test_what_is_not_ready_is_waited_for_and_what_failed_is_refused() -> None:
    assert make_plan(iris(status="PENDING_REGISTRATION"), wanted(iris(status="PENDING_REGISTRATION"))).action == "update"
    failed = iris(status="FAILED_REGISTRATION", status_message="no space")
    with pytest.raises(Refused, match="version 3 of registered model 'iris' could not be registered: no space; delete it, and run again"):
        wanted(failed)
    assert wanted(failed, state="absent") is None


def test_a_number_makes_no_version() -> None:
    with pytest.raises(Refused, match="version: registered model 'iris' has no version 7, .*numbers versions itself; give the source"):
        wanted(None, source=None, version="7")
    assert wanted(None, source=None, version="7", state="absent") is None


@pytest.mark.parametrize("use", [{"aliases": ["champion"]}, {"current_stage": "Staging"}])
def test_what_is_in_use_is_deleted_by_force_alone(use: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=r"version 3 .* is in use \((champion|Staging)\).*force: true"):
        wanted(iris(**use), state="absent")
    assert wanted(iris(**use), state="absent", force=True) is None
    assert wanted(iris(), state="absent") is None
    assert wanted(None, state="absent") is None


STATES = [
    iris(description="", tags={"mlflow.x": "1", "a": ""}, aliases=["champion"]),
    iris(source="models:/m-1", run_id="0f3a"),
    iris(source="models:/other/3", run_id="0f3a", current_stage="Production"),
    iris(source="s3://b/0f3a/artifacts/m", run_id="0f3a"),
]


@pytest.mark.parametrize("state", STATES)
def test_an_export_asks_for_what_is_there(state: State) -> None:
    entry = declared(state) or {}
    check_options(entry)
    assert identity(entry) == identity(state)
    assert make_plan(state, desired_state({**entry, "state": "present"}, state)).is_empty
    assert not MODEL_VERSION.kept(state)


def test_what_another_server_can_make() -> None:
    there = ["s3://b/x", "gs://b/x", "abfss://c@a.dfs.core.windows.net/x", "hdfs://n/x"]
    not_there = ["models:/m-1", "models:/a/1", "mlflow-artifacts:/1/r/artifacts/m", "/srv/m", "file:///srv/m", "https://h/api/2.0/mlflow-artifacts/artifacts/1"]
    assert [portable({"source": source}) for source in there + not_there] == [True] * len(there) + [False] * len(not_there)
