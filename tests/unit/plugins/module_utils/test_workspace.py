"""What a workspace may be called, and what its options ask for."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.workspace.rules import check_options, declared, desired_state, kept
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State

GOOD: list[dict[str, Any]] = [
    {"name": "ab"},
    {"name": "9" * 63, "default_artifact_root": ""},
    {"name": "team-a", "default_artifact_root": "s3://bucket/a", "description": "имя 🤖"},
    {"name": "team-a", "default_artifact_root": "mlflow-artifacts:/a"},
    {"name": "team-a", "default_artifact_root": "/srv/a"},
    {"name": "default", "state": "present"},
]
BAD: list[tuple[dict[str, Any], str]] = [
    *(({"name": name}, "name: .* is not a valid workspace name; use 2") for name in ("", "a", "A1", "-a", "a-", "a_b", "имя", "n" * 64, "a\n")),
    *(({"name": name}, f"name: '{name}' is reserved by MLflow") for name in ("api", "ajax-api", "workspaces", "static-files")),
    ({"name": "default", "state": "absent"}, "name: 'default' is MLflow's default workspace, which cannot be deleted; name another"),
    *(
        ({"name": "ab", "default_artifact_root": root}, "default_artifact_root: .* is not an artifact location")
        for root in ("a/b", "c:x", " s3://b", "s3://b?x", "s3://b#x", "s3://b/a;b", "runs:/0f3a/a")
    ),
    ({"name": "ab", "default_artifact_root": "s3://" + "r" * 241}, "default_artifact_root: .* has 246 characters, which leave no room"),
    ({"name": "ab", "default_artifact_root": "s3://" + "r" * 2048}, "default_artifact_root: .* has 2053 characters; MLflow accepts at most 2048"),
]


@pytest.mark.parametrize("params", GOOD)
def test_what_mlflow_takes(params: dict[str, Any]) -> None:
    check_options(params)


@pytest.mark.parametrize(("params", "message"), BAD)
def test_what_mlflow_refuses(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        check_options(params)


def wanted(current: State | None = None, **params: Any) -> State | None:
    return desired_state({"name": "team-a", "state": "present", "mode": "restrict", "force": False, **params}, current)


def team(**more: Any) -> State:
    return {"name": "team-a", "description": "d", "default_artifact_root": "", **more}


def test_what_is_not_given_is_left_alone_and_an_empty_text_clears() -> None:
    assert wanted(team()) == {"name": "team-a"}
    assert wanted(team(), description="") == {"name": "team-a", "description": ""}
    assert wanted(None, default_artifact_root="s3://b") == {"name": "team-a", "description": "", "default_artifact_root": "s3://b"}


@pytest.mark.parametrize("mode", ["restrict", "set_default"])
def test_absence(mode: str) -> None:
    assert wanted(team(), state="absent", mode=mode) is None


def test_cascading_is_meant() -> None:
    with pytest.raises(Refused, match="mode: cascade deletes workspace 'team-a' with every .*; set force: true to do so"):
        wanted(team(), state="absent", mode="cascade")
    assert wanted(team(), state="absent", mode="cascade", force=True) is None
    assert wanted(None, state="absent", mode="cascade") is None


def test_an_export_and_pruning_leave_the_default_alone() -> None:
    default = {"name": "default", "description": "Default workspace for legacy resources", "default_artifact_root": ""}
    assert (declared(default), declared({**default, "description": ""})) == (None, None)
    assert declared({**default, "description": "ours"}) == {"name": "default", "description": "ours"}
    assert declared(team()) == {"name": "team-a", "description": "d"}
    assert (kept(default), kept(team())) == (True, False)
