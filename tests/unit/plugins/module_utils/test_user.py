"""What a user may be called, and what the options of a user ask for."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ServerError
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import Connection, RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.user.adapter import USER, User
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.user.rules import check_options, declared, desired_state, identity
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State, make_plan


@pytest.mark.parametrize("params", [
    {"username": "n" * 255}, {"username": "system:serviceaccount:airflow:worker"}, {"username": "имя @x/'\" 🤖", "password": "p" * 12},
])
def test_what_mlflow_takes(params: dict[str, Any]) -> None:
    check_options(params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"username": " "}, "username: ' ' is empty; give the user a name"),
        ({"username": "n" * 256}, "username: .* has 256 characters; MLflow stores at most 255"),
        ({"username": "a:b"}, "username: 'a:b' contains ':'"),
        ({"username": "system:serviceaccount:"}, "username: 'system:serviceaccount:' contains ':'"),
        ({"username": "system:serviceaccount:a:b", "password": "p" * 12}, "password: '…' is for a service account, with whose name"),
        ({"username": "ann", "password": "p" * 11}, "password: '…' has fewer than 12 characters; use 12 or more"),
        ({"username": "ann", "password": "p" * 1001}, "password: '…' has 1001 characters, with which nobody could log in; give at most 1000"),
        (
            {"username": "ann", "password": "längliches Passwort"},
            "password: '…' has non-ASCII characters, with which MLflow does not allow uploading artifacts",
        ),
        ({"username": "ann", "password": ""}, "password: '…' has fewer than 12 characters"),
    ],
)
def test_what_mlflow_refuses(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        check_options(params)


def ann(**more: Any) -> State:
    return {"username": "ann", "user_id": 2, "is_admin": False, "password": "set", "is_me": False, **more}


def wanted(current: State | None = None, **params: Any) -> State | None:
    return desired_state({"username": "ann", "state": "present", "update_password": "always", **params}, current)


def test_a_new_user_needs_a_password() -> None:
    with pytest.raises(Refused, match="there is no user 'ann', and a new one needs a password; give password"):
        wanted()
    assert wanted(password="p" * 12) == {"username": "ann", "is_admin": False, "password": "set"}
    assert wanted(password="p" * 12, is_admin=True, update_password="on_create") == {"username": "ann", "is_admin": True, "password": "set"}


def test_a_service_account_is_created_by_its_token_alone() -> None:
    with pytest.raises(Refused, match="there is no user 'system:serviceaccount:a:b'; MLflow creates that of a service account"):
        wanted(username="system:serviceaccount:a:b")
    account = ann(username="system:serviceaccount:a:b")
    assert wanted(account, username=account["username"], is_admin=True) == {"username": account["username"], "is_admin": True}


def test_what_is_not_given_is_left_alone() -> None:
    assert make_plan(ann(is_admin=True), wanted(ann(is_admin=True))).is_empty


def test_a_password_is_compared_unless_it_is_for_new_users() -> None:
    found = ann(password="differs")
    (change,) = make_plan(found, wanted(found, password="p" * 12)).changes
    assert (change.path, change.before, change.after) == (("password",), "differs", "set")
    assert make_plan(found, wanted(found, password="p" * 12, update_password="on_create")).is_empty


def test_the_user_of_the_connection_is_not_locked_out() -> None:
    me = ann(is_me=True, is_admin=True)
    with pytest.raises(Refused, match="'ann' is the connecting user, whom MLflow does not delete"):
        wanted(me, state="absent")
    with pytest.raises(Refused, match="is_admin: 'ann' is the connecting user"):
        wanted(me, is_admin=False)
    assert wanted(me, is_admin=True) == {"username": "ann", "is_admin": True}
    assert USER.kept(me)
    assert declared(me) is None


def test_absence_and_export() -> None:
    assert wanted(None, state="absent") is None
    assert wanted(ann(), state="absent") is None
    assert not USER.kept(ann())
    assert declared(ann()) == {"username": "ann", "is_admin": False}
    assert identity(ann()) == ("ann",)


def test_nobody_changes_the_own_password_without_the_present_one() -> None:
    mine = make_plan(ann(is_me=True, password="differs"), {"password": "set"})
    params = {"username": "ann", "password": "p" * 12, "update_password": "always"}
    with pytest.raises(ServerError, match="password: 'ann' is the connecting user, .*; give tracking_password"):
        User(RestClient(Connection("http://127.0.0.1:1", token="t")), params).check(mine)
    User(RestClient(Connection("http://127.0.0.1:1", "ann", "the present one")), params).check(mine)
    User(RestClient(Connection("http://127.0.0.1:1", token="t")), params).check(make_plan(ann(password="differs"), {"password": "set"}))


def test_a_new_user_is_named_in_ascii() -> None:
    options = {"username": "jürg", "password": "p" * 12, "state": "present", "update_password": "always"}
    with pytest.raises(Refused, match="username: 'jürg' has non-ASCII characters, with which MLflow does not allow uploading artifacts"):
        desired_state(options, None)
    assert desired_state(options, ann(username="jürg")) == {"username": "jürg", "password": "set"}
    assert desired_state({**options, "state": "absent"}, None) is None
