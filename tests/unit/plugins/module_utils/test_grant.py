"""What may be granted, and what the options of a grant ask for."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.grant.rules import check_options, declared, desired_state, identity, kept
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State

CHURN = {"username": "ann", "resource_type": "experiment", "resource": "churn", "permission": "EDIT"}


def churn(**more: Any) -> State:
    return {**CHURN, "resource_id": "7", "resource_deleted": False, "role_permission_id": 11, "to_admin": False, **more}


@pytest.mark.parametrize(
    "change", [{}, {"resource": "n" * 500}, {"permission": "NO_PERMISSIONS"}, {"state": "absent", "permission": None}, {"resource": "*"}]
)
def test_what_mlflow_takes(change: dict[str, Any]) -> None:
    check_options({**CHURN, "state": "present", **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"username": "a:b"}, "username: 'a:b' contains ':'"),
        ({"username": "system:masters"}, "username: 'system:masters' contains ':'"),
        ({"permission": None}, "permission: None is not a level; give READ, USE, EDIT, MANAGE or DENY"),
        ({"resource": "n" * 501}, "resource: .* has 501 characters"),
        ({"resource_type": "prompt", "resource": "team-*"}, r"resource: 'team-\*' is a pattern"),
    ],
)
def test_what_mlflow_refuses_or_never_applies(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        check_options({**CHURN, "state": "present", **change})


def test_presence_and_absence() -> None:
    assert desired_state({**CHURN, "state": "present"}, None) == CHURN
    assert desired_state({**CHURN, "state": "absent"}, churn()) is None
    assert identity(churn()) == ("ann", "experiment", "churn")


def test_an_export_leaves_out_what_has_no_effect() -> None:
    assert declared(churn()) == CHURN
    assert declared(churn(to_admin=True)) is None
    assert declared(churn(resource_deleted=True)) is None
    assert declared(churn(resource_type="workspace", resource="*", permission="USE")) is None


def test_pruning_keeps_what_mlflow_makes_for_administrators() -> None:
    assert kept(churn(to_admin=True))
    assert kept(churn(resource_type="workspace"))
    assert not kept(churn())
