"""mlflow_registered_model against a real MLflow."""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import loopback
import pytest
from harness import ModuleRunner, Stack, Table, WriteGuard, tls_in_front, twelve_steps

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient

MODULE = "mlflow_registered_model"
MODELS = "/api/2.0/mlflow/registered-models"
VERSIONS = "/api/2.0/mlflow/model-versions"

# In several scripts, of the greatest length, with what URLs, SQL and shells would mangle. MLflow takes no '*' with authentication on.
NAMES = ["имя модели 模型 🤖", "quote ' double \" percent %20 & plus + ; $(x) \\", "n" * 250, ".leading"]

Model = Callable[..., dict[str, Any]]
Refused = Callable[..., str]


@pytest.fixture
def name(server: RestClient, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a model that is not there, and will not be."""
    name = f"test {request.node.name}"
    for model in (name, f"{name} renamed"):
        remove(server, model)
    yield name
    for model in (name, f"{name} renamed"):
        remove(server, model)


def remove(server: RestClient, model: str) -> None:
    if server.get_or_none(f"{MODELS}/get", name=model):
        server.write("DELETE", f"{MODELS}/delete", {"name": model})


def add_versions(server: RestClient, model: str, count: int) -> None:
    for number in range(1, count + 1):
        server.write("POST", f"{VERSIONS}/create", {"name": model, "source": f"s3://elsewhere/{number}"}, idempotent=False)


@pytest.fixture
def model(run: ModuleRunner) -> Model:
    """Runs the module, which must succeed."""
    return partial(run.succeed, MODULE)


def test_a_name_that_authentication_has_no_room_for_is_refused_before_it_is_made(run: ModuleRunner) -> None:
    for check in (True, False):
        message = run.fail(MODULE, name="l" * 256, check=check)
        assert "has 256 characters, and with basic authentication MLflow stores the creator's permission for at most 255" in message
    assert run.succeed(f"{MODULE}_info", name="l" * 256)["registered_models"] == []


def test_twelve_steps(run: ModuleRunner, stack: Stack, name: str) -> None:
    table = Table(
        module=MODULE,
        create={"name": name, "description": "first", "tags": {"team": "risk", "tier": 1}},
        change={"name": name, "description": "", "tags": {"team": "fraud", "empty": ""}, "purge_tags": True},
        delete={"name": name, "state": "absent"},
        result="registered_model",
    )
    with WriteGuard(stack.tracking_uri).running() as guard:
        twelve_steps(run, table, {"MLFLOW_TRACKING_URI": guard.uri}, lambda: guard.writes)


@pytest.mark.parametrize("odd", NAMES)
def test_names(model: Model, odd: str) -> None:
    assert model(name=odd, tags={"имя 模型/a.b: c-d": odd})["changed"]
    again = model(name=odd, tags={"имя 模型/a.b: c-d": odd})
    assert not again["changed"]
    assert (again["registered_model"]["name"], again["registered_model"]["tags"]) == (odd, {"имя 模型/a.b: c-d": odd})
    assert model(name=odd, state="absent")["changed"]


def test_what_is_not_named_stays(model: Model, server: RestClient, name: str) -> None:
    model(name=name, description="kept", tags={"a": "1", "b": "2", "mlflow.note": "own"})
    add_versions(server, name, 2)
    model(name=name, aliases={"champion": 1, "challenger": 2})
    result = model(name=name, tags={"a": None, "c": True}, aliases={"challenger": None})
    state = result["registered_model"]
    assert (state["description"], state["tags"], state["aliases"]) == ("kept", {"b": "2", "c": "true", "mlflow.note": "own"}, {"champion": "1"})
    assert sorted(result["actions"]) == [f"update registered model {name} {path}" for path in ("aliases.challenger", "tags.a", "tags.c")]
    state = model(name=name, tags={"b": "2"}, purge_tags=True, aliases={"new": 2}, purge_aliases=True)["registered_model"]
    assert (state["tags"], state["aliases"]) == ({"b": "2", "mlflow.note": "own"}, {"new": "2"})
    assert [entry["version"] for entry in state["latest_versions"]] == ["2"]
    assert not model(name=name)["changed"]


def test_an_alias_moves_and_needs_its_version(model: Model, refused: Refused, server: RestClient, name: str) -> None:
    model(name=name)
    add_versions(server, name, 2)
    assert model(name=name, aliases={"champion": 1})["registered_model"]["aliases"] == {"champion": "1"}
    assert model(name=name, aliases={"champion": 2})["registered_model"]["aliases"] == {"champion": "2"}
    message = refused(name=name, description="not written", aliases={"champion": 3})
    assert "aliases: 'champion' cannot name version 3" in message
    assert "register it first" in message
    assert model(name=name)["registered_model"]["description"] == ""


def test_rename(model: Model, refused: Refused, server: RestClient, name: str) -> None:
    model(name=name, tags={"a": "1"})
    add_versions(server, name, 1)
    model(name=name, aliases={"champion": 1})
    renamed = model(name=name, new_name=f"{name} renamed", description="moved")
    assert renamed["changed"]
    state = renamed["registered_model"]
    assert (state["name"], state["tags"], state["aliases"], state["description"]) == (f"{name} renamed", {"a": "1"}, {"champion": "1"}, "moved")
    assert not model(name=name, new_name=f"{name} renamed")["changed"]
    model(name=name)
    message = refused(name=name, new_name=f"{name} renamed")
    assert message.startswith("new_name: ")
    assert "both exist" in message
    assert "choose another" in message


def test_a_model_with_versions_needs_force(model: Model, refused: Refused, server: RestClient, name: str) -> None:
    model(name=name)
    add_versions(server, name, 2)
    message = refused(name=name, state="absent")
    assert "has versions, up to version 2" in message
    assert "set force: true" in message
    assert model(name=name, state="absent", force=True)["changed"]


def test_a_prompt_is_left_alone(refused: Refused, server: RestClient, name: str) -> None:
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    server.write("POST", f"{MODELS}/create", {"name": name, "tags": tags}, idempotent=False)
    assert "is a prompt" in refused(name=name, state="absent", force=True)
    assert "use another name" in refused(name=name, description="x")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"name": "a/b"}, ["name: 'a/b' contains '/'", "without '/' and ':'"]),
        ({"name": ""}, ["name: '' is empty"]),
        ({"name": "n", "tags": "no"}, ["tags", "dict"]),
        ({"name": "n", "tags": {"k": {"deep": 1}}}, ["tags: 'k' has a value that is a list or a dictionary", "to_json"]),
        ({"name": "n", "aliases": {"latest": 1}}, ["aliases: 'latest' is reserved"]),
        ({"name": "n", "aliases": {"champion": "one"}}, ["aliases: 'champion: one' does not name a version"]),
        ({"name": "n", "description": "d" * 5001}, ["description: ", "5001 characters", "at most 5000"]),
        ({"name": "n", "tracking_uri": "sqlite:///mlflow.db"}, ["tracking_uri: 'sqlite:///mlflow.db' is not an HTTP address"]),
        ({"name": "n", "tracking_uri": "http://me:hunter2@host"}, ["contains credentials", "tracking_username"]),
        ({"name": "n", "timeout": 0}, ["timeout: 0 is too small"]),
        ({"name": "n", "state": "gone"}, ["state must be one of"]),
    ],
)
def test_bad_options(refused: Refused, args: dict[str, Any], expected: list[str]) -> None:
    message = refused(**args)
    assert [part for part in expected if part not in message] == [], message
    assert "hunter2" not in message


def test_an_address_where_nothing_listens(refused: Refused) -> None:
    message = refused(name="n", tracking_uri="http://127.0.0.1:9", retries=0)
    assert "Connection refused" in message
    assert "check tracking_uri" in message


def test_a_wrong_password(run: ModuleRunner) -> None:
    result = run(MODULE, {"name": "n"}, env={"MLFLOW_TRACKING_PASSWORD": "not the password"})
    assert result["failed"]
    assert "refused the credentials (401); check tracking_username and tracking_password" in result["msg"]
    assert "not the password" not in result["_output"]


def test_a_web_page_where_json_was_expected(refused: Refused) -> None:
    page = loopback.reply(200, "<html><title>Welcome to nginx</title></html>", "text/html")
    with loopback.Server([page]).running() as web:
        message = refused(name="n", tracking_uri=f"http://127.0.0.1:{web.port}")
    assert "answered 200 with text/html where MLflow answers JSON: 'Welcome to nginx'" in message
    assert "check that tracking_uri is an MLflow tracking server" in message


def test_an_mlflow_without_aliases(refused: Refused) -> None:
    known = loopback.reply(200, {"registered_model": {"name": "n"}})
    with loopback.Server([known, loopback.reply(200, "2.2.2", "text/plain")] * 2).running() as old:
        message = refused(name="n", aliases={"champion": 1}, tracking_uri=f"http://127.0.0.1:{old.port}")
    assert "runs MLflow 2.2.2, and an alias needs 2.3.0 or later; upgrade the server" in message
    assert {request.method for request in old.requests} == {"GET"}


def test_tls(model: Model, refused: Refused, stack: Stack, name: str, tmp_path: Path) -> None:
    authority = loopback.Authority(tmp_path)
    with tls_in_front(stack.tracking_uri, authority.context("127.0.0.1")) as address:
        message = refused(name=name, tracking_uri=address, retries=0)
        assert f"{address}: the server's TLS certificate is not trusted: " in message
        assert message.endswith("give the CA that signed it as ca_path")
        assert model(name=name, tracking_uri=address, ca_path=str(authority.path))["changed"]
        assert not model(name=name, tracking_uri=address, validate_certs=False)["changed"]


def test_two_writers_at_once(run: ModuleRunner, name: str) -> None:
    results: list[dict[str, Any]] = []

    def write(team: str) -> None:
        results.append(run(MODULE, {"name": name, "tags": {team: "1"}}))

    threads = [threading.Thread(target=write, args=(team,)) for team in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.get("failed") for result in results] == [None] * 3, results
    assert run(MODULE, {"name": name})["registered_model"]["tags"] == {"one": "1", "two": "1", "three": "1"}
