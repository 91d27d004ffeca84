"""mlflow_role and mlflow_role_info against real servers."""
from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
from harness import ModuleRunner, Stack, Table, WriteGuard, twelve_steps
from kinds import bring, foresee, settled
from tracking_servers import Flavour, Server, Servers

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import Unmet, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.experiment.adapter import EXPERIMENT
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.registered_model.adapter import REGISTERED_MODEL
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.role.adapter import ROLE
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.user.adapter import USER
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption

MODULE = "mlflow_role"
ODD = ["имя 模型 🤖", " a/b\\c: 'quote' \"double\" %20 & + ; $(x) ", "n" * 250, ".leading", "*"]


def permission(resource_type: str, resource: str, level: str) -> dict[str, str]:
    return {"resource_type": resource_type, "resource": resource, "permission": level}


@pytest.fixture
def name(server: RestClient, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a role that is not there, and will be deleted; an experiment, a model and two users, "NAME ann" and "NAME bob", are."""
    name = f"role {request.node.name}"
    bring(server, ROLE, name=name, state="absent")
    bring(server, EXPERIMENT, name=name)
    bring(server, REGISTERED_MODEL, name=name)
    for user in ("ann", "bob"):
        bring(server, USER, username=f"{name} {user}", password="a password for a test", update_password="on_create")
    yield name
    bring(server, ROLE, name=name, state="absent")
    bring(server, EXPERIMENT, name=name, state="absent")
    bring(server, REGISTERED_MODEL, name=name, state="absent")
    for user in ("ann", "bob"):
        bring(server, USER, username=f"{name} {user}", state="absent")


def test_twelve_steps(run: ModuleRunner, stack: Stack, name: str) -> None:
    table = Table(
        module=MODULE,
        create={
            "name": name,
            "description": "first",
            "permissions": [permission("experiment", name, "READ"), permission("registered_model", "*", "USE")],
            "users": [f"{name} ann"],
        },
        change={
            "name": name,
            "description": "",
            "permissions": [permission("experiment", name, "MANAGE"), permission("run", "*", "DENY")],
            "purge_permissions": True,
            "users": [f"{name} bob"],
            "purge_users": True,
        },
        delete={"name": name, "state": "absent"},
        result="role",
    )
    with WriteGuard(stack.tracking_uri).running() as guard:
        twelve_steps(run, table, {"MLFLOW_TRACKING_URI": guard.uri}, lambda: guard.writes)


@pytest.mark.parametrize("odd", ODD)
def test_names(server: RestClient, odd: str) -> None:
    bring(server, EXPERIMENT, name=odd)
    state = settled(server, ROLE, name=odd, description=odd, permissions=[permission("experiment", odd, "EDIT")])
    assert (state["name"], state["description"], state["permissions"]) == (odd, odd, {f"experiment:{odd}": "EDIT"})
    assert bring(server, ROLE, name=odd, state="absent").action == "delete"
    bring(server, EXPERIMENT, name=odd, state="absent")


def test_what_is_not_given_stays(server: RestClient, name: str) -> None:
    model, experiment = permission("registered_model", name, "READ"), permission("experiment", name, "READ")
    first = settled(server, ROLE, name=name, description="d", permissions=[model], users=[f"{name} ann"])
    assert bring(server, ROLE, name=name).is_empty
    second = settled(server, ROLE, name=name, permissions=[experiment], users=[f"{name} bob"])
    assert second["users"] == [f"{name} ann", f"{name} bob"]
    assert second["permissions"] == {f"registered_model:{name}": "READ", f"experiment:{name}": "READ"}
    # A level is changed in place: no moment without the permission.
    third = settled(server, ROLE, name=name, permissions=[{**model, "permission": "MANAGE"}])
    assert third["permission_ids"] == second["permission_ids"]
    assert third["permission_ids"].items() >= first["permission_ids"].items()
    fourth = settled(server, ROLE, name=name, permissions=[], purge_permissions=True, users=[], purge_users=True)
    assert (fourth["permissions"], fourth["users"], fourth["role_id"]) == ({}, [], first["role_id"])


def test_what_is_not_there_is_refused(run: ModuleRunner, server: RestClient, name: str) -> None:
    message = run.fail(MODULE, check=True, name=name, permissions=[permission("experiment", "nowhere", "READ")])
    assert message.startswith("resource: there is no experiment 'nowhere', and MLflow would store the permission anyway; declare")
    for resource_type in ("experiment", "registered_model", "prompt", "scorer", "mcp_server", "gateway_secret", "gateway_endpoint"):
        nowhere = "nowhere" if resource_type in ("registered_model", "prompt") else "no/where"
        with pytest.raises(Unmet, match=f"there is no {resource_type.replace('_', ' ')} '{nowhere}'") as caught:
            foresee(server, ROLE, name=name, permissions=[permission(resource_type, nowhere, "READ")])
        assert caught.value.resources == {(f"{resource_type}s", nowhere)}
    with pytest.raises(Unmet, match="there is no prompt"):
        foresee(server, ROLE, name=name, permissions=[permission("prompt", name, "READ")])
    with pytest.raises(Unmet, match=r"there is no experiment 'team-\*', .*; MLflow does not support patterns"):
        foresee(server, ROLE, name=name, permissions=[permission("experiment", "team-*", "READ")])
    with pytest.raises(Unmet, match="users: there is no user 'nobody'") as caught:
        foresee(server, ROLE, name=name, users=["nobody"])
    assert caught.value.resources == {("users", "nobody")}


def test_patterns_and_reserved_names_are_refused(run: ModuleRunner, server: RestClient) -> None:
    message = run.fail(MODULE, name="r", permissions=[permission("registered_model", "team-*", "READ")])
    assert message == "resource: 'team-*' is a pattern, which MLflow does not support; give one name, or '*' for all"
    with pytest.raises(InvalidOption, match="begins with '__user_'"):
        bring(server, ROLE, name="__user_1__")


def test_every_type_for_all(server: RestClient, name: str) -> None:
    (types,) = (ROLE.rules.OPTIONS["permissions"]["options"][key]["choices"] for key in ["resource_type"])
    wanted = [permission(kind, "*", "USE") for kind in types if kind != "skill"]
    state = settled(server, ROLE, name=name, permissions=wanted)
    assert state["permissions"] == {f"{entry['resource_type']}:*": "USE" for entry in wanted}
    with pytest.raises(Unsupported, match=r"runs MLflow 3\.17\.2, and type skill needs 3\.18\.0 or later"):
        bring(server, ROLE, name=name, permissions=[permission("skill", "*", "READ")])


def test_a_deleted_experiment(server: RestClient, name: str) -> None:
    settled(server, ROLE, name=name, permissions=[permission("experiment", name, "READ")])
    bring(server, EXPERIMENT, name=name, state="absent")
    state = settled(server, ROLE, name=name, permissions=[permission("experiment", name, "READ")])
    assert state["unusable"] == [f"experiment:{name}"]
    assert ROLE.rules.declared(state) == {"name": name}


def test_grants_to_single_users_are_no_roles(server: RestClient, name: str) -> None:
    settled(server, ROLE, name=name)
    listed = [role["name"] for role in server.get("/api/3.0/mlflow/roles/list")["roles"]]
    assert any(role.startswith("__user_") for role in listed)
    assert not any(state["name"].startswith("__user_") for state in ROLE.adapter.find(server, {}))


def test_an_export_makes_the_same_role(server: RestClient, name: str) -> None:
    permissions = [permission("experiment", name, "READ"), permission("run", "*", "DENY")]
    state = settled(server, ROLE, name=name, description="d", permissions=permissions, users=[f"{name} ann"])
    entry = ROLE.rules.declared(state)
    assert entry == {"name": name, "description": "d", "permissions": permissions, "users": [f"{name} ann"]}
    bring(server, ROLE, name=name, state="absent")
    assert ROLE.rules.declared(settled(server, ROLE, **entry)) == entry


def test_four_at_once_lose_nothing(stack: Stack, server: RestClient, name: str) -> None:
    asked = [
        {"permissions": [permission("experiment", name, "EDIT"), permission("trace", "*", "READ")]},
        {"permissions": [permission("registered_model", name, "READ"), permission("trace", "*", "READ")]},
        {"users": [f"{name} ann"]},
        {"users": [f"{name} bob"], "description": "d"},
    ]

    def write(options: dict[str, object]) -> None:
        with closing(RestClient(server.connection)) as client:
            bring(client, ROLE, name=name, **options)

    for _round in range(3):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, asked))
        (state,) = ROLE.adapter.find(server, {"name": name})
        assert state["permissions"] == {f"experiment:{name}": "EDIT", f"registered_model:{name}": "READ", "trace:*": "READ"}
        assert (state["users"], state["description"]) == ([f"{name} ann", f"{name} bob"], "d")
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(write, [{"state": "absent"}] * 2))
        assert list(ROLE.adapter.find(server, {"name": name})) == []


def test_info(run: ModuleRunner, server: RestClient, name: str) -> None:
    state = settled(server, ROLE, name=name, users=[f"{name} ann"])
    assert run.succeed(f"{MODULE}_info", name=name)["roles"] == [state]
    assert run.succeed(f"{MODULE}_info", name="nowhere")["roles"] == []


def test_workspaces(servers: Servers) -> None:
    with closing(servers(Flavour("3.17.2", "sqlite", auth=True, workspaces=True)).client()) as client:
        client.write("POST", "/api/3.0/mlflow/workspaces", {"name": "team-a"}, idempotent=False)
        with closing(RestClient(replace(client.connection, workspace="team-a"))) as inside:
            seeded = list(ROLE.adapter.find(inside, {}))
            assert sorted(state["name"] for state in seeded) == ["admin", "user"]
            assert all(ROLE.kept(state) for state in seeded)
            state = settled(inside, ROLE, name="readers", permissions=[permission("workspace", "*", "USE")])
            assert state["workspace"] == "team-a"
        assert list(ROLE.adapter.find(client, {"name": "readers"})) == []
        assert settled(client, ROLE, name="readers")["workspace"] == "default"


def test_other_versions(any_server: Server) -> None:
    wanted = [permission("experiment", "*", "EDIT"), permission("prompt", "*", "READ")]
    with closing(any_server.client()) as client:
        if not any_server.flavour.auth:
            with pytest.raises(Unsupported, match="has no users, since it runs without authentication; start the server with --app-name basic-auth"):
                bring(client, ROLE, name="readers")
            return
        if any_server.flavour.version.startswith("2."):
            with pytest.raises(Unsupported, match="runs an MLflow without roles, and a role needs MLflow 3.16 or later; upgrade the server"):
                bring(client, ROLE, name="readers")
            return
        state = settled(client, ROLE, name="readers", permissions=wanted, users=[any_server.stack.tracking_username])
        assert state["permissions"] == {"experiment:*": "EDIT", "prompt:*": "READ"}
        if any_server.flavour.version.startswith("3.16"):
            with pytest.raises(Unsupported, match=r"runs MLflow 3\.16\.1, and the permission DENY for type experiment needs 3\.17\.0 or later"):
                bring(client, ROLE, name="readers", permissions=[permission("experiment", "*", "DENY")])
        bring(client, ROLE, name="readers", state="absent")
        assert bring(client, ROLE, name="readers", state="absent").is_empty
