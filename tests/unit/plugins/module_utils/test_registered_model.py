"""What a registered model may be called and hold, and what its options ask for."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.registered_model.rules import check_options, desired_state
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, State

GOOD: list[dict[str, Any]] = [
    {"name": "n" * 256},
    {"name": "имя 模型 🤖"},
    {"name": "a", "new_name": "b"},
    {"name": "a", "description": "d" * 5000},
    {"name": "a", "description": ""},
    {"name": "a", "tags": {"k" * 250: "v" * 5000}},
    {"name": "a", "tags": {"имя 模型": "v", "a/b.c: d-e_f": "v", "mlflow.source": "v"}},
    {"name": "a", "tags": {"k": None, "n": 1, "b": True, "empty": ""}},
    {"name": "a", "aliases": {"a" * 255: 1}},
    {"name": "a", "aliases": {"champion": "12", "vx": 1, "v1-a": 1, "under_score": 1, "1": 1, "gone": None}},
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name: '' is empty"),
    ({"name": "a", "tags": {"mlflow.prompt.is_prompt": "true"}}, "tags: 'mlflow.prompt.is_prompt' turns it into a prompt"),
    ({"name": "  "}, "name: '  ' is empty"),
    ({"name": "a/b"}, "name: 'a/b' contains '/'"),
    ({"name": "a:b"}, "name: 'a:b' contains ':'"),
    *(({"name": name}, "name: .* is a path to MLflow") for name in (".", "..", "..a")),
    ({"name": "n" * 257}, "name: .* has 257 characters"),
    ({"name": "a", "new_name": "b/c"}, "new_name: 'b/c' contains '/'"),
    ({"name": "a", "new_name": ""}, "new_name: '' is empty"),
    ({"name": "a", "description": "d" * 5001}, "description: .* has 5001 characters"),
    ({"name": "a", "tags": {"": "v"}}, "tags: '' is a key of 0 characters"),
    ({"name": "a", "tags": {"k" * 251: "v"}}, "tags: .* is a key of 251 characters"),
    *(({"name": "a", "tags": {key: "v"}}, "tags: .* is not a valid tag key") for key in ("a+b", "🤖", "/a", "a//b", "..", "../a", ".")),
    ({"name": "a", "tags": {"k": "v" * 5001}}, "tags: 'k' has a value of 5001 characters"),
    ({"name": "a", "tags": {"k": ["v"]}}, "tags: 'k' has a value that is a list"),
    ({"name": "a", "tags": {"k": {"v": 1}}}, "tags: 'k' has a value that is a list or a dictionary"),
    ({"name": "a", "aliases": {"latest": 1}}, "aliases: 'latest' is reserved"),
    ({"name": "a", "aliases": {"Latest": None}}, "aliases: 'Latest' is reserved"),
    ({"name": "a", "aliases": {"v12": 1}}, "aliases: 'v12' is reserved"),
    ({"name": "a", "aliases": {"V1": 1}}, "aliases: 'V1' is reserved"),
    ({"name": "a", "aliases": {"": 1}}, "aliases: '' is not an alias"),
    ({"name": "a", "aliases": {"with space": 1}}, "aliases: 'with space' is not an alias"),
    ({"name": "a", "aliases": {"a" * 256: 1}}, "aliases: .* is not an alias"),
    ({"name": "a", "aliases": {"champion": "newest"}}, "aliases: 'champion: newest' does not name a version"),
    ({"name": "a", "aliases": {"champion": 0}}, "aliases: 'champion: 0' does not name a version"),
    ({"name": "a", "aliases": {"champion": True}}, "aliases: 'champion: True' does not name a version"),
    ({"name": "a", "aliases": {"champion": 1.5}}, "aliases: 'champion: 1.5' does not name a version"),
]


def wanted(current: State | None = None, **params: Any) -> State | None:
    return desired_state({"name": "iris", "state": "present", **params}, current)


def iris(**more: Any) -> State:
    return {"name": "iris", "description": "old", "tags": {}, "aliases": {}, "latest_versions": [], **more}


@pytest.mark.parametrize("params", GOOD)
def test_what_mlflow_takes_is_taken(params: dict[str, Any]) -> None:
    check_options(params)


@pytest.mark.parametrize(("params", "message"), BAD)
def test_what_mlflow_refuses_is_refused_with_the_option_and_a_remedy(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message + ".*; .+"):
        check_options(params)


def test_a_new_model_has_all_fields_and_an_old_one_those_that_are_given() -> None:
    assert wanted() == {"name": "iris", "description": "", "tags": {}, "aliases": {}}
    assert wanted(iris()) == {"name": "iris"}
    assert wanted(iris(), description="") == {"name": "iris", "description": ""}


def test_scalars_are_texts_and_null_is_absence() -> None:
    state = wanted(iris(), tags={"n": 1, "b": False, "f": 1.5, "gone": None}, aliases={"champion": 7, "gone": None})
    assert state == {"name": "iris", "tags": {"n": "1", "b": "false", "f": "1.5", "gone": ABSENT}, "aliases": {"champion": "7", "gone": ABSENT}}


def test_purging_removes_the_rest_but_mlflows_own_tags() -> None:
    current = iris(tags={"team": "a", "old": "1", "mlflow.source": "x"}, aliases={"champion": "1", "old": "2"})
    state = wanted(current, tags={"team": "b"}, purge_tags=True, aliases={"champion": 3}, purge_aliases=True)
    assert state == {"name": "iris", "tags": {"team": "b", "old": ABSENT}, "aliases": {"champion": "3", "old": ABSENT}}
    assert wanted(current, purge_tags=True, purge_aliases=True) == {"name": "iris"}


def test_a_rename_asks_for_the_new_name() -> None:
    assert wanted(iris(), new_name="rose") == {"name": "rose"}
    assert wanted(None, new_name="rose") == {"name": "rose", "description": "", "tags": {}, "aliases": {}}


def test_versions_are_deleted_by_force_alone() -> None:
    current = iris(latest_versions=[{"version": "9"}, {"version": "10"}])
    with pytest.raises(Refused, match=r"'iris' has versions, up to version 10.*force: true"):
        wanted(current, state="absent")
    assert wanted(current, state="absent", force=True) is None
    assert wanted(iris(), state="absent") is None
    assert wanted(None, state="absent") is None


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_prompt_is_left_alone(state: str) -> None:
    with pytest.raises(Refused, match="'iris' is a prompt"):
        wanted(iris(tags={"mlflow.prompt.is_prompt": "true"}), state=state, force=True)
