"""What a role may be called and permit, and what its options ask for."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.role.rules import check_options, declared, desired_state, kept
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, State


def permission(resource_type: str, resource: str, level: str = "READ") -> dict[str, str]:
    return {"resource_type": resource_type, "resource": resource, "permission": level}


@pytest.mark.parametrize(
    "params",
    [
        {"name": "n" * 255, "description": "d" * 1024},
        {"name": "a", "permissions": [permission("experiment", "team-*"), permission("experiment", "*"), permission("run", "*", "DENY")]},
        {"name": "a", "permissions": [permission("workspace", "*", "MANAGE"), permission("scorer", "7/toxic")], "users": ["ann"]},
    ],
)
def test_what_mlflow_takes(params: dict[str, Any]) -> None:
    check_options(params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"name": ""}, "name: '' is empty; give the role a name"),
        ({"name": "n" * 256}, "name: .* has 256 characters"),
        ({"name": "__user_x"}, "name: '__user_x' begins with '__user_', which MLflow reserves"),
        ({"name": "a", "description": "d" * 1025}, "description: .* has 1025 characters; MLflow stores at most 1024"),
        ({"name": "a", "users": ["a:b"]}, "users: 'a:b' contains ':'"),
        (
            {"name": "a", "permissions": [permission("registered_model", "team-*")]},
            r"resource: 'team-\*' is a pattern, which MLflow does not support",
        ),
        ({"name": "a", "permissions": [permission("registered_model", "a/b")]}, "resource: 'a/b' contains '/'"),
        ({"name": "a", "permissions": [permission("prompt", " ")]}, "resource: ' ' is empty"),
        ({"name": "a", "permissions": [permission("prompt", "n" * 256)]}, "resource: .* has 256 characters; MLflow stores at most 255"),
        ({"name": "a", "permissions": [permission("run", "7")]}, "resource: '7' cannot be selected"),
        ({"name": "a", "permissions": [permission("scorer", "toxic")]}, "resource: 'toxic' names no scorer; give EXPERIMENT/SCORER"),
        ({"name": "a", "permissions": [permission("workspace", "team", "USE")]}, "resource: 'team' cannot be selected"),
        (
            {"name": "a", "permissions": [permission("workspace", "*", "READ")]},
            "permission: 'READ' is not a level for a workspace; give USE or MANAGE",
        ),
        ({"name": "a", "permissions": [permission("skill", "*", "USE")]}, "permission: 'USE' is not a level for a skill"),
        ({"name": "a", "permissions": [permission("run", "*"), permission("run", "*", "EDIT")]}, r"permissions: 'run:\*' is given twice"),
    ],
)
def test_what_mlflow_refuses_or_never_applies(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        check_options(params)


def team(**more: Any) -> State:
    return {"name": "team", "description": "", "permissions": {}, "users": [], "unusable": [], **more}


def wanted(current: State | None = None, **params: Any) -> State | None:
    return desired_state({"name": "team", "state": "present", **params}, current)


def test_what_is_not_given_stays() -> None:
    found = team(permissions={"run:*": "READ"}, users=["ann"])
    assert wanted(found) == {"name": "team"}
    given = {"permissions": [permission("trace", "*")], "users": ["bob"]}
    assert wanted(found, **given) == {"name": "team", "permissions": {"trace:*": "READ"}, "users": ["ann", "bob"]}
    purged = wanted(found, **given, purge_permissions=True, purge_users=True)
    assert purged == {"name": "team", "permissions": {"trace:*": "READ", "run:*": ABSENT}, "users": ["bob"]}


def test_a_new_one_and_absence() -> None:
    assert wanted(users=["b", "a", "b"]) == {"name": "team", "description": "", "permissions": {}, "users": ["a", "b"]}
    assert wanted(team(), state="absent") is None


def test_an_export_leaves_out_what_is_deleted() -> None:
    found = team(permissions={"experiment:b: c": "EDIT", "experiment:#7": "READ"}, unusable=["experiment:#7"])
    assert declared(found) == {"name": "team", "permissions": [permission("experiment", "b: c", "EDIT")]}


def test_pruning_keeps_the_roles_of_a_new_workspace() -> None:
    assert kept(team(name="admin", permissions={"workspace:*": "MANAGE"}))
    assert kept(team(name="user", permissions={"workspace:*": "USE"}))
    assert not kept(team(name="user", permissions={"workspace:*": "MANAGE"}))
    assert not kept(team())
