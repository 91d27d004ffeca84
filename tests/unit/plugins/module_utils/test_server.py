"""What a server's answers say of it."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.server.rules import described


def facts(**more: Any) -> dict[str, Any]:
    return described({"version": (3, 17, 2), "info": {}, "authenticated": True, "healthy": True, "ready": True, "is_basic": False, **more})


@pytest.mark.parametrize(
    ("version", "features"),
    [
        ((2, 2, 9), []),
        ((2, 3, 0), ["aliases"]),
        ((2, 22, 5), ["aliases", "prompts"]),
        ((3, 0, 0), ["aliases", "logged_models", "prompts"]),
        ((3, 3, 0), ["aliases", "logged_models", "prompts", "webhooks"]),
    ],
)
def test_features_of_a_version(version: tuple[int, ...], features: list[str]) -> None:
    assert [name for name, there in facts(version=version)["features"].items() if there] == features


def test_what_was_not_said_is_unknown() -> None:
    found = facts(version=None, info=None, is_basic=None, authenticated=False, ready=None, problem="no")
    assert (found["version"], found["authentication"], found["ready"], found["problem"]) == (None, "unknown", None, "no")
    assert set(found["features"].values()) == {None}


def test_what_the_server_says() -> None:
    info = {"store_type": "FileStore", "workspaces_enabled": True, "trace_archival_enabled": False, "features_enabled": {"gateway": True}}
    found = facts(info=info, is_basic=True, has_roles=True, user={"username": "ann", "is_admin": False})
    assert (found["authentication"], found["username"], found["is_admin"], found["store_type"]) == ("basic", "ann", False, "FileStore")
    expected = {"workspaces": True, "trace_archival": False, "gateway": True, "roles": True, "webhooks": False}
    assert {name: found["features"][name] for name in expected} == expected


def test_a_server_with_users_of_its_own_says_so() -> None:
    found = facts(is_basic=None, is_plugin=True, has_roles=False, user={"username": "admin", "is_admin": True, "is_service_account": True})
    assert (found["authentication"], found["username"], found["is_admin"], found["features"]["roles"]) == ("oidc_plugin", "admin", True, False)
