"""mlflow_grant and mlflow_grant_info against real servers."""
from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from harness import ModuleRunner, Stack, Table, WriteGuard, twelve_steps
from kinds import bring, foresee, settled, step_of
from tracking_servers import Flavour, Server, Servers

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import NotPermitted, Unmet, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.experiment.adapter import EXPERIMENT
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.grant.adapter import GRANT
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.registered_model.adapter import REGISTERED_MODEL
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.user.adapter import USER
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State

MODULE = "mlflow_grant"
PASSWORD = "a password for a test"
ODD = ["имя 模型 🤖", "a\\b 'quote' \"double\" %20 & + ; $(x)", "n" * 250, ".leading"]


@pytest.fixture
def name(server: RestClient, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of an experiment, a registered model and a user without grants."""
    name = f"grant {request.node.name}"
    bring(server, USER, username=name, state="absent")
    bring(server, USER, username=name, password=PASSWORD)
    bring(server, EXPERIMENT, name=name)
    bring(server, REGISTERED_MODEL, name=name)
    yield name
    bring(server, USER, username=name, state="absent")
    bring(server, EXPERIMENT, name=name, state="absent")
    bring(server, REGISTERED_MODEL, name=name, state="absent")


def granted(server: RestClient, name: str) -> list[tuple[str, str, str]]:
    return sorted((state["resource_type"], state["resource"], state["permission"]) for state in GRANT.adapter.find(server, {"username": name}))


def test_twelve_steps(run: ModuleRunner, stack: Stack, name: str) -> None:
    about = {"username": name, "resource_type": "experiment", "resource": name}
    table = Table(
        module=MODULE,
        create={**about, "permission": "READ"},
        change={**about, "permission": "MANAGE"},
        delete={**about, "state": "absent"},
        result="grant",
    )
    with WriteGuard(stack.tracking_uri).running() as guard:
        twelve_steps(run, table, {"MLFLOW_TRACKING_URI": guard.uri}, lambda: guard.writes)


@pytest.mark.parametrize("odd", ODD)
def test_names(server: RestClient, name: str, odd: str) -> None:
    for kind, made in (("experiment", EXPERIMENT), ("registered_model", REGISTERED_MODEL)):
        bring(server, made, name=odd)
        state = settled(server, GRANT, username=name, resource_type=kind, resource=odd, permission="EDIT")
        assert (state["resource"], state["permission"], state["to_admin"]) == (odd, "EDIT", False)
        bring(server, GRANT, username=name, resource_type=kind, resource=odd, state="absent")
        bring(server, made, name=odd, state="absent")
    assert granted(server, name) == []


def test_a_change_leaves_no_gap(server: RestClient, name: str) -> None:
    """The row stays the same, so the level is never absent."""
    about = {"username": name, "resource_type": "experiment", "resource": name}
    numbers = {settled(server, GRANT, **about, permission=level)["role_permission_id"] for level in ("READ", "DENY", "USE", "MANAGE", "EDIT")}
    assert len(numbers) == 1


def test_what_the_server_then_permits(server: RestClient, name: str) -> None:
    bring(server, GRANT, username=name, resource_type="experiment", resource=name, permission="DENY")
    with closing(RestClient(replace(server.connection, username=name, password=PASSWORD))) as as_user:
        step = step_of(as_user, EXPERIMENT, {"name": name})
        with pytest.raises(NotPermitted):
            step.resource.read()
        bring(server, GRANT, username=name, resource_type="experiment", resource=name, permission="EDIT")
        # The experiment of an earlier run comes back with its tags.
        assert [change.path for change in bring(as_user, EXPERIMENT, name=name, tags={"a": secrets.token_hex()}).changes] == [("tags", "a")]


def test_whoever_creates_manages(server: RestClient, stack: Stack, name: str) -> None:
    with closing(RestClient(replace(server.connection, username=name, password=PASSWORD))) as as_user:
        bring(as_user, REGISTERED_MODEL, name=f"{name} own")
    (state,) = GRANT.adapter.find(server, {"username": name})
    assert GRANT.rules.declared(state) == {"username": name, "resource_type": "registered_model", "resource": f"{name} own", "permission": "MANAGE"}
    assert not GRANT.kept(state)
    bring(server, REGISTERED_MODEL, name=f"{name} own", state="absent")
    assert granted(server, name) == []
    (mine,) = GRANT.adapter.find(server, {"username": stack.tracking_username, "resource_type": "experiment", "resource": name})
    assert (mine["permission"], mine["to_admin"], GRANT.kept(mine), GRANT.rules.declared(mine)) == ("MANAGE", True, True, None)


def test_all_of_a_type(server: RestClient, name: str) -> None:
    for kind in ("experiment", "trace"):
        state = settled(server, GRANT, username=name, resource_type=kind, resource="*", permission="READ")
        assert (state["resource"], state["resource_id"]) == ("*", "*")
    assert granted(server, name) == [("experiment", "*", "READ"), ("trace", "*", "READ")]


def test_what_has_names_and_ids(server: RestClient, name: str) -> None:
    """A prompt, a scorer whose name and experiment hold slashes, an MCP server and a secret of the gateway."""
    slash = f"{name}/a"
    bring(server, EXPERIMENT, name=slash)
    number = server.get("/api/2.0/mlflow/experiments/get-by-name", experiment_name=slash)["experiment"]["experiment_id"]
    scorer = {"experiment_id": number, "name": "b", "serialized_scorer": '{"name": "b"}'}
    server.write("POST", "/api/3.0/mlflow/scorers/register", scorer, idempotent=False)
    tag = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    server.write("POST", "/api/2.0/mlflow/registered-models/create", {"name": f"{name} p", "tags": [tag]}, idempotent=False)
    server.write("POST", "/api/3.0/mlflow/mcp-servers", {"name": "io.example/grant-test"}, idempotent=False)
    secret = {"secret_name": name, "secret_value": {"api_key": "k" * 20}, "provider": "openai"}
    secret_id = server.write("POST", "/api/3.0/mlflow/gateway/secrets/create", secret, idempotent=False)["secret"]["secret_id"]
    wanted = [("prompt", f"{name} p"), ("scorer", f"{slash}/b"), ("mcp_server", "io.example/grant-test"), ("gateway_secret", name)]
    for kind, resource in wanted:
        assert settled(server, GRANT, username=name, resource_type=kind, resource=resource, permission="READ")["resource"] == resource
    assert granted(server, name) == sorted((*entry, "READ") for entry in wanted)
    server.write("DELETE", "/api/3.0/mlflow/gateway/secrets/delete", {"secret_id": secret_id})
    server.write("DELETE", "/api/3.0/mlflow/mcp-servers/io.example%2Fgrant-test", {})
    server.write("DELETE", "/api/2.0/mlflow/registered-models/delete", {"name": f"{name} p"})
    bring(server, EXPERIMENT, name=slash, state="absent")
    assert [entry[0] for entry in granted(server, name)] == ["scorer"]


def test_a_deleted_experiment(server: RestClient, name: str) -> None:
    about = {"username": name, "resource_type": "experiment", "resource": name, "permission": "READ"}
    bring(server, EXPERIMENT, name=name, state="absent")
    state = settled(server, GRANT, **about)
    assert (state["resource_deleted"], GRANT.rules.declared(state)) == (True, None)


def test_what_is_not_there_is_refused(run: ModuleRunner, server: RestClient, name: str) -> None:
    about: dict[str, Any] = {"username": name, "resource_type": "registered_model", "permission": "READ"}
    for check in (True, False):
        message = run.fail(MODULE, check=check, **about, resource="nowhere")
        assert message.startswith("resource: there is no registered model 'nowhere', and MLflow would store the permission anyway")
    with pytest.raises(Unmet, match="username: there is no user 'nobody'"):
        foresee(server, GRANT, **{**about, "username": "nobody"}, resource=name)
    assert bring(server, GRANT, **{**about, "username": "nobody"}, resource=name, state="absent").is_empty
    assert bring(server, GRANT, **about, resource="nowhere", state="absent").is_empty
    assert granted(server, name) == []


def test_levels_and_patterns_that_do_not_exist(server: RestClient, name: str) -> None:
    about = {"username": name, "resource_type": "experiment", "resource": name}
    with pytest.raises(InvalidOption, match="permission: None is not a level; give READ, USE, EDIT, MANAGE or DENY"):
        bring(server, GRANT, **about)
    with pytest.raises(Unsupported, match="permission: NO_PERMISSIONS is not a level on .*, which has roles; give DENY"):
        bring(server, GRANT, **about, permission="NO_PERMISSIONS")
    with pytest.raises(InvalidOption, match=r"resource: 'x' cannot be selected, since a permission of type run applies to all; give '\*'"):
        bring(server, GRANT, **{**about, "resource_type": "run", "resource": "x"}, permission="READ")


def test_an_export_makes_the_same_grant(server: RestClient, name: str) -> None:
    entry = {"username": name, "resource_type": "experiment", "resource": name, "permission": "USE"}
    assert GRANT.rules.declared(settled(server, GRANT, **entry)) == entry


def test_four_at_once(server: RestClient, name: str) -> None:
    about = {"username": name, "resource_type": "experiment", "resource": name}

    def write(options: dict[str, str]) -> None:
        with closing(RestClient(server.connection)) as client:
            bring(client, GRANT, **about, **options)

    for asked in ([{"permission": "READ"}] * 4, [{"permission": "EDIT"}, {"permission": "MANAGE"}] * 2, [{"state": "absent"}] * 4):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, asked))
        left = granted(server, name)
        assert len(left) == (0 if "state" in asked[0] else 1)
        assert all({"permission": level} in asked for _type, _resource, level in left)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, [{"permission": "EDIT"}, {"permission": "MANAGE"}]))
    assert [level for _type, _resource, level in granted(server, name)] in (["EDIT"], ["MANAGE"])


def test_info(run: ModuleRunner, server: RestClient, name: str) -> None:
    state = settled(server, GRANT, username=name, resource_type="experiment", resource=name, permission="READ")
    assert run.succeed(f"{MODULE}_info", username=name)["grants"] == [state]
    everybody = run.succeed(f"{MODULE}_info", resource_type="experiment", resource=name)["grants"]
    assert sorted(entry["permission"] for entry in everybody) == ["MANAGE", "READ"]
    assert run.succeed(f"{MODULE}_info", username="nobody")["grants"] == []


def test_workspaces(servers: Servers) -> None:
    with closing(servers(Flavour("3.17.2", "sqlite", auth=True, workspaces=True)).client()) as client:
        client.write("POST", "/api/3.0/mlflow/workspaces", {"name": "team-b"}, idempotent=False)
        bring(client, USER, username="ann", password=PASSWORD)
        options = {"username": "ann", "resource_type": "experiment", "resource": "*", "permission": "READ"}
        with closing(RestClient(replace(client.connection, workspace="team-b"))) as inside:
            settled(inside, GRANT, **options)
            assert granted(client, "ann") == []
            bring(client, GRANT, **{**options, "permission": "EDIT"})
            assert (granted(inside, "ann"), granted(client, "ann")) == ([("experiment", "*", "READ")], [("experiment", "*", "EDIT")])


def test_other_versions(any_server: Server) -> None:
    with closing(any_server.client()) as client:
        about = {"username": "ann", "resource_type": "experiment", "resource": "granted"}
        bring(client, EXPERIMENT, name="granted")
        bring(client, REGISTERED_MODEL, name="granted")
        if not any_server.flavour.auth:
            with pytest.raises(Unsupported, match="has no users, since it runs without authentication; start the server with --app-name basic-auth"):
                bring(client, GRANT, **about, permission="READ")
            return
        bring(client, USER, username="ann", password=PASSWORD)
        for resource_type in ("experiment", "registered_model"):
            for options in ({"permission": "READ"}, {"permission": "MANAGE"}):
                bring(client, GRANT, **{**about, "resource_type": resource_type}, **options)
                assert bring(client, GRANT, **{**about, "resource_type": resource_type}, **options).is_empty
        assert granted(client, "ann") == [("experiment", "granted", "MANAGE"), ("registered_model", "granted", "MANAGE")]
        with pytest.raises(Unmet, match="there is no experiment 'nowhere'"):
            bring(client, GRANT, **{**about, "resource": "nowhere"}, permission="READ")
        bring(client, GRANT, **about, state="absent")
        assert bring(client, GRANT, **about, state="absent").is_empty
        assert granted(client, "ann") == [("registered_model", "granted", "MANAGE")]
        bring(client, USER, username="ann", state="absent")


def test_2_22_knows_less(servers: Servers) -> None:
    with closing(servers(Flavour("2.22.5", "sqlite", auth=True)).client()) as client:
        bring(client, USER, username="bob", password=PASSWORD)
        bring(client, EXPERIMENT, name="of 2.22")
        about = {"username": "bob", "resource_type": "experiment", "resource": "of 2.22"}
        bring(client, GRANT, **about, permission="NO_PERMISSIONS")
        state: State = step_of(client, GRANT, {**about, "state": "absent"}).resource.read() or {}
        assert (state["permission"], state["role_permission_id"]) == ("NO_PERMISSIONS", None)
        refused = [
            ({"permission": "USE"}, "permission: .* runs an MLflow without roles, where USE is not a level; give one of READ, EDIT"),
            ({"permission": "READ", "resource": "*"}, "resource: .* where permissions cannot apply to all; name one experiment, or upgrade"),
            ({"permission": "READ", "resource_type": "prompt"}, "resource_type: .* where prompt has no permissions; give experiment or"),
        ]
        for options, message in refused:
            with pytest.raises(Unsupported, match=message):
                bring(client, GRANT, **{**about, **options})
        with pytest.raises(Unsupported, match="runs an MLflow without roles, and a list of all users needs MLflow 3.16"):
            list(GRANT.adapter.find(client, {}))
        # Its permission notwithstanding, which MLflow 2.22 would fail on.
        bring(client, USER, username="bob", state="absent")
        assert bring(client, USER, username="bob", state="absent").is_empty
