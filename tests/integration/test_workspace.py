"""mlflow_workspace, mlflow_workspace_info and the option workspace against a real MLflow."""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from harness import ModuleRunner, Table, WriteGuard, twelve_steps
from tracking_servers import Flavour, Server, Servers

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient

MODULE = "mlflow_workspace"
WORKSPACES = "/api/3.0/mlflow/workspaces"
ALL = ("test-a", "test-b", "test-twelve", "test-race")


@pytest.fixture
def server(servers: Servers) -> Iterator[Server]:
    """A server with workspaces, of which the test may make those of ALL."""
    server = servers(Flavour("3.17.2", "sqlite", auth=True, workspaces=True))
    yield server
    with closing(server.client()) as client:
        for name in ALL:
            if client.get_or_none(f"{WORKSPACES}/{name}"):
                client.write("DELETE", f"{WORKSPACES}/{name}?mode=CASCADE", {})


@pytest.fixture
def run(server: Server) -> ModuleRunner:
    return server.run


@pytest.fixture
def client(server: Server) -> Iterator[RestClient]:
    """Does by hand what a test needs."""
    with closing(server.client()) as client:
        yield client


def make(client: RestClient, name: str) -> RestClient:
    """A client in the new workspace ``name``."""
    client.write("POST", WORKSPACES, {"name": name}, idempotent=False)
    return client.within(name)


def test_a_location_cannot_be_chosen_where_workspaces_have_their_own(run: ModuleRunner) -> None:
    entries = [{"name": "written first"}, {"name": "elsewhere", "artifact_location": "s3://bucket/a"}]
    for check in (True, False):
        message = run.fail("mlflow_resources", experiments=entries, check=check)
        assert "experiments: 'elsewhere': artifact_location: 's3://bucket/a' cannot be chosen on a server with workspaces" in message
    assert run.succeed("mlflow_experiment_info", name="written first")["experiments"] == []


def test_twelve_steps(run: ModuleRunner, server: Server) -> None:
    table = Table(
        module=MODULE,
        create={"name": "test-twelve", "description": "имя 模型 🤖 ' \" %", "default_artifact_root": "s3://bucket/a"},
        change={"name": "test-twelve", "description": "", "default_artifact_root": ""},
        delete={"name": "test-twelve", "state": "absent"},
        result="workspace",
    )
    with WriteGuard(server.stack.tracking_uri).running() as guard:
        twelve_steps(run, table, {"MLFLOW_TRACKING_URI": guard.uri}, lambda: guard.writes)


@pytest.mark.parametrize("thing", ["deleted experiment", "registered model", "prompt", "webhook"])
def test_one_that_is_not_empty_stays(run: ModuleRunner, client: RestClient, thing: str) -> None:
    with closing(make(client, "test-a")) as inside:
        if thing == "deleted experiment":
            made = inside.write("POST", "/api/2.0/mlflow/experiments/create", {"name": "x"}, idempotent=False)
            inside.write("POST", "/api/2.0/mlflow/experiments/delete", made)
        elif thing == "webhook":
            body = {"name": "x", "url": "https://192.0.0.9/", "events": [{"entity": "PROMPT", "action": "CREATED"}]}
            inside.write("POST", "/api/2.0/mlflow/webhooks", body, idempotent=False)
        else:
            tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}] if thing == "prompt" else []
            inside.write("POST", "/api/2.0/mlflow/registered-models/create", {"name": "x", "tags": tags}, idempotent=False)
    what = thing.replace("deleted ", "")
    for check in (False, True):
        message = run.fail(MODULE, name="test-a", state="absent", check=check)
        wanted = f"mode: restrict does not delete workspace 'test-a', which contains the {what} 'x'; empty it, or choose set_default"
        assert message.startswith(wanted)


def test_what_becomes_of_the_things_in_it(run: ModuleRunner, client: RestClient) -> None:
    model = {"name": "test workspace"}
    models = "/api/2.0/mlflow/registered-models"
    for name in ("test-a", "test-b"):
        with closing(make(client, name)) as inside:
            inside.write("POST", f"{models}/create", model, idempotent=False)
    assert run.succeed(MODULE, name="test-a", state="absent", mode="set_default")["actions"] == ["delete workspace test-a"]
    assert client.get(f"{models}/get", **model)["registered_model"]["name"] == model["name"]
    message = run.fail(MODULE, name="test-b", state="absent", mode="set_default")
    assert message.startswith("mode: set_default does not delete workspace 'test-b': Cannot reassign resources")
    client.write("DELETE", f"{models}/delete", model)
    for check in (False, True):
        message = run.fail(MODULE, name="test-b", state="absent", mode="cascade", check=check)
        assert message.startswith("mode: cascade deletes workspace 'test-b' with every experiment")
        assert message.endswith("set force: true to do so")
    assert run.succeed(MODULE, name="test-b", state="absent", mode="cascade", force=True)["changed"]
    assert run.succeed(f"{MODULE}_info", name="test-b")["workspaces"] == []


def test_the_default_stays(run: ModuleRunner) -> None:
    assert "name: 'default' is MLflow's default workspace" in run.fail(MODULE, name="default", state="absent")
    assert not run.succeed(MODULE, name="default")["changed"]
    assert "default" in {entry["name"] for entry in run.succeed(f"{MODULE}_info")["workspaces"]}


def test_the_same_names_in_two_workspaces(run: ModuleRunner, client: RestClient) -> None:
    for name in ("test-a", "test-b"):
        make(client, name).close()
    for module, result in (("mlflow_experiment", "experiment"), ("mlflow_registered_model", "registered_model")):
        first, second = (run.succeed(module, name="same", tags={"in": name}, workspace=name) for name in ("test-a", "test-b"))
        assert (first["changed"], second["changed"]) == (True, True)
        again = run(module, {"name": "same"}, env={"MLFLOW_WORKSPACE": "test-a"})
        assert not again["changed"]
        assert again[result]["tags"] == {"in": "test-a"}
        key = f"{result}s"
        (found,) = run.succeed(f"{module}_info", workspace="test-b", name="same")[key]
        assert found["tags"] == {"in": "test-b"}
        assert run.succeed(f"{module}_info", name="same")[key] == []
    # The workspaces themselves are in none: the option may name one that is yet to be made.
    assert run.succeed(MODULE, name="test-race", workspace="test-race")["changed"]


def test_a_workspace_that_is_not_there(run: ModuleRunner) -> None:
    for check in (False, True):
        message = run.fail("mlflow_experiment", name="x", workspace="nowhere", check=check)
        assert message.startswith("workspace: 'nowhere' does not exist on http://")
        assert message.endswith("create it with mlflow_workspace, or correct the option")
    assert "does not exist on" in run.fail("mlflow_registered_model_info", workspace="nowhere")
    assert "workspace: 'Not_One' is not a valid workspace name" in run.fail("mlflow_experiment", name="x", workspace="Not_One")


@pytest.mark.parametrize("flavour", [Flavour("3.17.2", "sqlite"), Flavour("2.22.5", "sqlite", auth=True)], ids=str)
def test_a_server_without_workspaces(servers: Servers, flavour: Flavour) -> None:
    run = servers(flavour).run
    for module in (MODULE, f"{MODULE}_info"):
        message = run.fail(module, name="test-a")
        assert message.startswith("a workspace cannot be used, since http://")
        assert message.endswith("leave it out, or start the server, MLflow 3.10 or later, with --enable-workspaces")
    message = run.fail("mlflow_experiment", name="x", workspace="test-a")
    assert message.startswith("workspace: 'test-a' cannot be used, since http://")


def test_two_writers_at_once(run: ModuleRunner) -> None:
    results: list[dict[str, Any]] = []

    def write() -> None:
        results.append(run(MODULE, {"name": "test-race", "description": "d"}))

    threads = [threading.Thread(target=write) for _writer in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(result.get("failed"), result["workspace"]["description"]) for result in results] == [(None, "d")] * 2, results
