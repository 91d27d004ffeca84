"""What an experiment may be called and hold, and what its options ask for."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.experiment.rules import check_options, declared, desired_state, kept
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, State

GOOD: list[dict[str, Any]] = [
    {"name": "n" * 256},
    {"name": "имя/模型: 🤖 100%"},
    {"name": "a", "new_name": "b", "artifact_location": "s3://bucket/a", "tags": {"k": "v" * 20_000, "gone": None}},
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": " "}, "name: ' ' is empty; give the experiment a name"),
    ({"name": "n" * 257}, "name: .* has 257 characters; MLflow stores at most 256"),
    ({"name": "a", "new_name": ""}, "new_name: '' is empty"),
    ({"name": "a", "artifact_location": "s3://" + "l" * 2048}, "artifact_location: .* has 2053 characters"),
    ({"name": "a", "artifact_location": "s3://b/?x=1"}, "artifact_location: .* contains '[?]', '#' or ';'"),
    ({"name": "a", "artifact_location": "s3://b/" + "l" * 250}, "artifact_location: .* has 257 characters; MLflow stores at most 256"),
    ({"name": "a", "artifact_location": "s3://b/a;b"}, "artifact_location: .* contains '[?]', '#' or ';'"),
    ({"name": "a", "artifact_location": "runs:/0f3a/a"}, "artifact_location: .* is not an artifact location"),
    ({"name": "a", "artifact_location": "a/b"}, "artifact_location: .* is not an artifact location"),
    ({"name": "a", "artifact_location": ""}, "artifact_location: '' is not an artifact location"),
    ({"name": "a", "tags": {"k": "v" * 20_001}}, "tags: 'k' has a value of 20001 characters"),
    ({"name": "a", "tags": {"mlflow.experiment.isGateway": "true"}}, "tags: 'mlflow.experiment.isGateway' marks experiments that MLflow creates"),
]


@pytest.mark.parametrize("params", GOOD)
def test_what_mlflow_takes(params: dict[str, Any]) -> None:
    check_options(params)


@pytest.mark.parametrize(("params", "message"), BAD)
def test_what_mlflow_refuses(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        check_options(params)


def wanted(current: State | None = None, **params: Any) -> State | None:
    return desired_state({"name": "iris", "state": "present", **params}, current)


def iris(**more: Any) -> State:
    return {"name": "iris", "experiment_id": "7", "artifact_location": "mlflow-artifacts:/7", "lifecycle_stage": "active", "tags": {}, **more}


def test_what_is_not_given_is_left_alone() -> None:
    assert wanted(iris(tags={"a": "1"})) == {"name": "iris"}


def test_purging_keeps_what_is_mlflows_own() -> None:
    found = iris(tags={"a": "1", "mlflow.note.content": "n"})
    assert wanted(found, tags={"b": 2}, purge_tags=True) == {"name": "iris", "tags": {"b": "2", "a": ABSENT}}


def test_absence() -> None:
    assert wanted(iris(), state="absent") is None
    assert wanted(None, state="absent") is None
    assert wanted(iris(lifecycle_stage="deleted"), state="absent") == {}


def test_a_deleted_one_is_restored_and_not_renamed() -> None:
    assert wanted(iris(lifecycle_stage="deleted")) == {"name": "iris", "lifecycle_stage": "active"}
    with pytest.raises(Refused, match="experiment 'iris' is deleted, .*restore it first"):
        wanted(iris(lifecycle_stage="deleted"), new_name="rose")


def test_an_export_leaves_out_what_another_server_makes_itself() -> None:
    assert declared(iris(tags={"mlflow.x": "1", "b": "2", "a": ""})) == {"name": "iris", "tags": {"a": "", "b": "2"}}
    assert declared(iris(artifact_location="s3://b/x")) == {"name": "iris", "artifact_location": "s3://b/x"}
    assert declared(iris(lifecycle_stage="deleted")) is None


def test_an_experiment_of_the_gateway_is_mlflows_own() -> None:
    own = iris(tags={"mlflow.experiment.isGateway": "true"})
    assert kept(own)
    assert declared(own) is None


def test_pruning_keeps_the_first_experiment() -> None:
    assert kept(iris(experiment_id="0"))
    assert kept(iris(lifecycle_stage="deleted"))
    assert not kept(iris())
