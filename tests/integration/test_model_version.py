"""mlflow_model_version and mlflow_model_version_info against a real MLflow."""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import loopback
import pytest
from faults import Faults
from harness import ModuleRunner, Stack, Table, WriteGuard, python, twelve_steps
from kinds import bring, foresee, settled
from tracking_servers import Server

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ServerError, Unmet
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.model_version.adapter import MODEL_VERSION
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import Connection, RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Surroundings
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State

MODULE = "mlflow_model_version"
MODELS = "/api/2.0/mlflow/registered-models"
VERSIONS = "/api/2.0/mlflow/model-versions"

# In several scripts, of the greatest length, with what URLs, SQL and shells would mangle. MLflow takes no '*' with authentication on.
NAMES = ["имя версии 模型 🤖", "it's ' double \" percent %20 & plus + ; $(x) \\ `", "v" * 250, ".leading version"]

#: What a user of MLflow's own client does: logs a model each way, and registers it.
CLIENT = """
import json, mlflow, sys
from mlflow import MlflowClient
name = sys.argv[1]
mlflow.set_experiment(name)
with mlflow.start_run() as run:
    mlflow.log_text("flavors: {}", "folder/model/MLmodel")
    logged = mlflow.initialize_logged_model(name="logged") if hasattr(mlflow, "initialize_logged_model") else None
    if logged:
        mlflow.log_outputs(models=[mlflow.entities.LoggedModelOutput(logged.model_id, 0)])
        mlflow.finalize_logged_model(logged.model_id, "READY")
found = {"run_id": run.info.run_id, "model_id": logged.model_id if logged else None}
for how, uri in {"folder": f"runs:/{run.info.run_id}/folder/model", "logged": f"runs:/{run.info.run_id}/logged"}.items():
    if how == "folder" or logged:
        version = mlflow.register_model(uri, name)
        found[how] = {"version": str(version.version), "source": version.source, "run_id": version.run_id}
print(json.dumps(found))
"""

Model = Callable[..., dict[str, Any]]
Refused = Callable[..., str]


def remove(server: RestClient, model: str) -> None:
    if server.get_or_none(f"{MODELS}/get", name=model):
        server.write("DELETE", f"{MODELS}/delete", {"name": model})


@pytest.fixture
def name(server: RestClient, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a model that is there, has no versions, and will be removed."""
    name = f"version {request.node.name.partition('[')[0]}"
    remove(server, name)
    server.write("POST", f"{MODELS}/create", {"name": name}, idempotent=False)
    yield name
    remove(server, name)


def add(server: RestClient, model: str, source: str, **more: Any) -> str:
    answer = server.write("POST", f"{VERSIONS}/create", {"name": model, "source": source, **more}, idempotent=False)
    return str(answer["model_version"]["version"])


def numbers(server: RestClient, model: str) -> list[str]:
    return [state["version"] for state in MODEL_VERSION.adapter.find(server, {"name": model})]


@pytest.fixture
def version(run: ModuleRunner) -> Model:
    """Runs the module, which must succeed."""
    return partial(run.succeed, MODULE)


def test_twelve_steps(run: ModuleRunner, stack: Stack, name: str) -> None:
    which = {"name": name, "source": "s3://elsewhere/a"}
    table = Table(
        module=MODULE,
        create={**which, "description": "first", "tags": {"team": "risk", "tier": 1}, "aliases": ["champion", "b"], "stage": "Staging"},
        change={
            **which, "description": "", "tags": {"team": "fraud", "empty": ""}, "purge_tags": True, "aliases": ["champion", "c"],
            "purge_aliases": True, "stage": "Production", "archive_existing_versions": True,
        },
        delete={**which, "state": "absent", "force": True},
        result="model_version",
    )
    with WriteGuard(stack.tracking_uri).running() as guard:
        twelve_steps(run, table, {"MLFLOW_TRACKING_URI": guard.uri}, lambda: guard.writes)


@pytest.mark.parametrize("odd", NAMES)
def test_names(server: RestClient, odd: str) -> None:
    remove(server, odd)
    server.write("POST", f"{MODELS}/create", {"name": odd}, idempotent=False)
    add(server, odd, "s3://elsewhere/other")
    state = settled(server, MODEL_VERSION, name=odd, source=f"s3://elsewhere/{odd}", tags={"имя 模型/a.b: c-d": odd}, aliases=["champion"])
    assert (state["source"], state["tags"]) == (f"s3://elsewhere/{odd}", {"имя 模型/a.b: c-d": odd})
    assert [entry["version"] for entry in MODEL_VERSION.adapter.find(server, {"name": odd})] == ["1", "2"]
    assert bring(server, MODEL_VERSION, name=odd, source=f"s3://elsewhere/{odd}", state="absent", force=True).action == "delete"
    remove(server, odd)


def test_a_version_is_made_once_a_source_and_run(server: RestClient, name: str) -> None:
    sources: list[dict[str, Any]] = [{"source": "s3://b/x"}, {"source": "s3://b/X"}, {"source": "s3://b/x", "run_id": "0f3a"}, {"source": "s3://b/x/"}]
    for options in sources + sources:
        bring(server, MODEL_VERSION, name=name, **options)
    assert numbers(server, name) == ["1", "2", "3", "4"]
    assert settled(server, MODEL_VERSION, name=name, source="s3://b/x", run_id="0f3a")["version"] == "3"


def test_of_several_of_one_source_the_newest_is_meant(version: Model, refused: Refused, server: RestClient, name: str) -> None:
    for source in ("s3://b/x", "s3://b/y", "s3://b/x"):
        add(server, name, source)
    result = version(name=name, source="s3://b/x", aliases=["champion"])
    assert (result["model_version"]["version"], result["actions"]) == ("3", [f"update model version {name} s3://b/x aliases"])
    assert "versions 1, 3 of registered model" in refused(name=name, source="s3://b/x", state="absent", force=True)
    assert version(name=name, version=1, state="absent")["actions"] == [f"delete model version {name} version 1"]
    assert version(name=name, source="s3://b/x", state="absent", force=True)["changed"]
    assert numbers(server, name) == ["2"]


def test_entries_of_one_source_are_the_newest_versions_in_their_order(server: RestClient, name: str) -> None:
    for _number in range(3):
        add(server, name, "s3://b/x")
    read: list[State | None] = []
    for place in ((0, 2), (1, 2), (0, 4), (3, 4)):
        adapter = MODEL_VERSION.resource(server, {"name": name, "source": "s3://b/x"}, Surroundings(*place))
        read.append(adapter.read())
    assert [state["version"] if state else None for state in read] == ["2", "3", "1", None]


def test_what_is_not_named_stays_and_numbers_are_not_given_twice(server: RestClient, name: str) -> None:
    which: dict[str, Any] = {"name": name, "source": "s3://b/x"}
    settled(server, MODEL_VERSION, **which, description="kept", tags={"a": "1", "mlflow.note": "own"}, aliases=["champion"])
    state = settled(server, MODEL_VERSION, **which, tags={"a": None, "b": True}, aliases=["b"])
    assert (state["description"], state["tags"], state["aliases"]) == ("kept", {"b": "true", "mlflow.note": "own"}, ["b", "champion"])
    state = settled(server, MODEL_VERSION, **which, tags={}, purge_tags=True, aliases=[], purge_aliases=True)
    assert (state["description"], state["tags"], state["aliases"]) == ("kept", {"mlflow.note": "own"}, [])
    bring(server, MODEL_VERSION, **which, state="absent")
    assert settled(server, MODEL_VERSION, **which)["version"] == "2"


def test_aliases_and_stages_move(version: Model, server: RestClient, name: str) -> None:
    for source in ("s3://b/1", "s3://b/2"):
        settled(server, MODEL_VERSION, name=name, source=source)
    settled(server, MODEL_VERSION, name=name, source="s3://b/1", aliases=["champion"], stage="Production")
    result = version(name=name, source="s3://b/2", aliases=["champion"], stage="Production", archive_existing_versions=True)
    assert result["actions"] == [f"update model version {name} s3://b/2 {key}" for key in ("aliases", "current_stage")]
    one, two = MODEL_VERSION.adapter.find(server, {"name": name})
    assert [(state["aliases"], state["current_stage"]) for state in (one, two)] == [([], "Archived"), (["champion"], "Production")]


def test_an_alias_that_moved_meanwhile_is_not_taken_away(server: RestClient, name: str) -> None:
    for source in ("s3://b/1", "s3://b/2"):
        settled(server, MODEL_VERSION, name=name, source=source, aliases=["champion"])
    adapter = MODEL_VERSION.adapter(server, {"name": name, "source": "s3://b/1"})
    state = adapter.read() or {}
    before = {**state, "aliases": ["champion"]}
    plan = foresee(server, MODEL_VERSION, name=name, source="s3://b/2", aliases=[], purge_aliases=True)
    assert plan.before is not None
    adapter.apply(type(plan)("update", before, {**state, "aliases": []}, plan.changes))
    assert [entry["aliases"] for entry in MODEL_VERSION.adapter.find(server, {"name": name})] == [[], ["champion"]]


def test_a_stage_or_an_alias_needs_force(refused: Refused, server: RestClient, name: str) -> None:
    settled(server, MODEL_VERSION, name=name, source="s3://b/1", aliases=["champion"], stage="Staging")
    assert "is in use (champion, Staging)" in refused(name=name, source="s3://b/1", state="absent")
    assert numbers(server, name) == ["1"]


def test_the_same_as_mlflows_own_client(version: Model, refused: Refused, stack: Stack, server: RestClient, name: str) -> None:
    made = python(stack, CLIENT, name)
    run_id, model_id = made["run_id"], made["model_id"]
    ways: dict[str, list[dict[str, Any]]] = {
        "folder": [{"run_id": run_id, "artifact_path": "folder/model"}, {"source": f"runs:/{run_id}/folder/model"}],
        "logged": [{"run_id": run_id, "artifact_path": "logged"}, {"model_id": model_id}, {"source": f"models:/{model_id}"}],
    }
    for how, options in ways.items():
        for which in options:
            plan = bring(server, MODEL_VERSION, name=name, **which)
            assert plan.is_empty, which
            assert {key: (plan.after or {})[key] for key in made[how]} == made[how]
    server.write("DELETE", f"{MODELS}/delete", {"name": name})
    server.write("POST", f"{MODELS}/create", {"name": name}, idempotent=False)
    for how, options in ways.items():
        result = version(name=name, **options[0])
        assert result["actions"] == [f"create model version {name} {made[how]['source']}"]
        assert {key: result["model_version"][key] for key in made[how]} == made[how]
    promoted = settled(server, MODEL_VERSION, name=name, source=f"models:/{name}/1")
    assert (promoted["version"], promoted["run_id"]) == ("3", run_id)
    assert f"run {run_id} has no model at 'nowhere'" in refused(name=name, run_id=run_id, artifact_path="nowhere")
    missing = [
        ({"run_id": "0f3a", "artifact_path": "model"}, "run_id: the server has no run '0f3a'"),
        ({"model_id": "m-none"}, "model_id: the server has no logged model 'm-none'"),
        ({"source": f"models:/{name}/9"}, "source: .* refers to a version that does not exist"),
    ]
    for which, message in missing:
        with pytest.raises(ServerError, match=message):
            foresee(server, MODEL_VERSION, name=name, **which)


def test_what_the_page_registered_is_found_as_it_is_stored(run: ModuleRunner, stack: Stack, server: RestClient, name: str) -> None:
    """MLflow's page, and whoever asks the REST API, stores the address itself: a run's, a logged model's, another version's."""
    made = python(stack, CLIENT, name)
    run_id, model_id = made["run_id"], made["model_id"]
    server.write("DELETE", f"{MODELS}/delete", {"name": name})
    server.write("POST", f"{MODELS}/create", {"name": name}, idempotent=False)
    stored = [f"runs:/{run_id}/folder/model", f"models:/{model_id}", f"models:/{name}/1"]
    for source, owner in zip(stored, ({"run_id": run_id}, {"model_id": model_id}, {})):
        add(server, name, source, **owner)
    server.write("POST", f"{MODELS}/alias", {"name": name, "alias": "champion", "version": "1"})
    entries = [entry for state in MODEL_VERSION.adapter.find(server, {"name": name}) if (entry := MODEL_VERSION.rules.declared(state))]
    by_path = {"run_id": run_id, "artifact_path": "folder/model"}
    ways: list[dict[str, Any]] = [{"source": stored[0]}, by_path, {"model_id": model_id}, {"source": stored[2]}]

    def nothing_to_do() -> None:
        result = run.succeed("mlflow_resources", model_versions=entries)
        assert (result["actions"], result["counts"]["same"]) == ([], 3)
        for which in ways:
            assert bring(server, MODEL_VERSION, name=name, **which).is_empty, which

    nothing_to_do()
    # What the addresses name goes; the versions stay.
    server.write("POST", "/api/2.0/mlflow/runs/delete", {"run_id": run_id})
    nothing_to_do()
    server.write("DELETE", f"/api/2.0/mlflow/logged-models/{model_id}", {})
    server.write("DELETE", f"{VERSIONS}/delete", {"name": name, "version": "1"})
    add(server, name, stored[0], run_id=run_id)
    entries = [entry for state in MODEL_VERSION.adapter.find(server, {"name": name}) if (entry := MODEL_VERSION.rules.declared(state))]
    nothing_to_do()


def test_a_model_that_is_missing_or_a_prompt(refused: Refused, server: RestClient, name: str) -> None:
    add(server, name, "s3://b/1")
    remove(server, name)
    message = refused(name=name, source="s3://b/1")
    assert f"name: registered model '{name}' does not exist" in message
    assert "mlflow_registered_model" in message
    with pytest.raises(Unmet) as caught:
        bring(server, MODEL_VERSION, name=name, source="s3://b/1")
    assert caught.value.resources == {("registered_models", name)}
    assert bring(server, MODEL_VERSION, name=name, source="s3://b/1", state="absent").is_empty
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    server.write("POST", f"{MODELS}/create", {"name": name, "tags": tags}, idempotent=False)
    add(server, name, "dummy-source", tags=[*tags, {"key": "mlflow.prompt.text", "value": "Hi"}])
    for which in ({"source": "s3://b/1"}, {"version": 1}):
        for state in ("present", "absent"):
            assert "is a prompt, not a registered model" in refused(name=name, state=state, force=True, **which)
    assert name not in {state["name"] for state in MODEL_VERSION.adapter.find(server, {})}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({}, ["name: 'n' selects a model, but no version of it", "or version"]),
        ({"source": "s3://b", "version": 1}, ["source: 's3://b' is given together with version; give one of them"]),
        ({"source": "models:/iris@champion"}, ["refers to a version that can change", "give models:/NAME/NUMBER"]),
        ({"source": "mlflow-artifacts:/1/model"}, ["is stored by the server itself", "give run_id too"]),
        ({"source": "s3://b", "stage": "Live"}, ["stage must be one of: None, Staging, Production, Archived"]),
        ({"source": "s3://b", "aliases": ["v1"]}, ["aliases: 'v1' is reserved"]),
    ],
)
def test_bad_options(refused: Refused, args: dict[str, Any], expected: list[str]) -> None:
    message = refused(name="n", **args)
    assert [part for part in expected if part not in message] == [], message


def test_a_number_that_is_not_there(refused: Refused, version: Model, server: RestClient, name: str) -> None:
    add(server, name, "s3://b/1")
    assert "has no version 2, and MLflow numbers versions itself" in refused(name=name, version=2)
    assert not version(name=name, version=2, state="absent")["changed"]
    assert version(name=name, version=1, description="known by its number")["model_version"]["description"] == "known by its number"


def status(text: str, **more: Any) -> Mapping[str, Any]:
    return {"model_version": {"name": "n", "version": "1", "source": "s3://b/1", "status": text, **more}}


@pytest.mark.parametrize(
    ("answers", "timeout", "expected"),
    [
        ([status("PENDING_REGISTRATION"), status("READY")], 30, None),
        ([status("FAILED_REGISTRATION", status_message="no space")], 30, "version 1 of registered model 'n' could not be registered: no space"),
        ([status("PENDING_REGISTRATION")], 1, "wait_timeout: version 1 of registered model 'n' is still PENDING_REGISTRATION after 1 seconds"),
    ],
)
def test_waiting_for_a_server_that_copies_models(answers: list[Any], timeout: int, expected: str | None) -> None:
    """MLflow's own server has a version ready at once; others, of the same API, have not."""
    model = loopback.reply(200, {"registered_model": {"name": "n"}})
    made = [loopback.reply(200, one) for one in (status("PENDING_REGISTRATION"), *answers)]
    script = [model, loopback.reply(200, {}), model, *made]
    with loopback.Server(script).running() as slow:
        client = RestClient(Connection(f"http://127.0.0.1:{slow.port}"))
        if expected:
            with pytest.raises(ServerError, match=expected):
                bring(client, MODEL_VERSION, name="n", source="s3://b/1", wait_timeout=timeout)
        else:
            bring(client, MODEL_VERSION, name="n", source="s3://b/1", wait_timeout=timeout)
        client.close()
    assert [request.target.partition("?")[0] for request in slow.requests][3:5] == [f"{VERSIONS}/create", f"{VERSIONS}/get"]


@pytest.mark.parametrize("fault", ["lost", "truncated", "dropped"])
def test_a_lost_answer_makes_no_second_version(stack: Stack, server: RestClient, name: str, fault: str) -> None:
    with Faults(stack.tracking_uri, {1: fault}).running() as proxy:
        client = RestClient(Connection(proxy.uri, stack.tracking_username, stack.tracking_password))
        bring(client, MODEL_VERSION, name=name, source="s3://b/1", description="once", aliases=["champion"])
        client.close()
    assert proxy.met == [fault]
    (state,) = MODEL_VERSION.adapter.find(server, {"name": name})
    assert (state["description"], state["aliases"]) == ("once", ["champion"])


def test_two_writers_at_once(run: ModuleRunner, server: RestClient, name: str) -> None:
    add(server, name, "s3://b/1")
    results: list[dict[str, Any]] = []

    def write(team: str) -> None:
        results.append(run(MODULE, {"name": name, "source": "s3://b/1", "tags": {team: "1"}, "aliases": [team, "champion"]}))

    threads = [threading.Thread(target=write, args=(team,)) for team in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.get("failed") for result in results] == [None] * 3, results
    (state,) = MODEL_VERSION.adapter.find(server, {"name": name})
    assert (state["tags"], state["aliases"]) == ({"one": "1", "two": "1", "three": "1"}, ["champion", "one", "three", "two"])


def test_info(run: ModuleRunner, server: RestClient, name: str) -> None:
    for number in range(1, 12):
        add(server, name, f"s3://info/{number}", tags=[{"key": "odd", "value": str(number % 2)}])
    state = settled(server, MODEL_VERSION, name=name, source="s3://info/10", aliases=["b", "a"])
    found = run.succeed(f"{MODULE}_info", name=name)["model_versions"]
    assert [entry["version"] for entry in found] == [str(number) for number in range(1, 12)]
    assert found[9] == state
    (only,) = run.succeed(f"{MODULE}_info", filter=f"name = '{name}' AND source_path = 's3://info/10'")["model_versions"]
    assert only == state
    odd = run.succeed(f"{MODULE}_info", name=name, filter="tags.odd = '1'")["model_versions"]
    assert [entry["version"] for entry in odd] == ["1", "3", "5", "7", "9", "11"]
    assert run.succeed(f"{MODULE}_info", name="nowhere")["model_versions"] == []
    assert "INVALID_PARAMETER_VALUE" in run.fail(f"{MODULE}_info", filter="nonsense")


def test_every_server(any_server: Server) -> None:
    client, name = any_server.client(), "version on every server"
    for model in (name, f"{name} too"):
        remove(client, model)
    client.write("POST", f"{MODELS}/create", {"name": name}, idempotent=False)
    state = settled(client, MODEL_VERSION, name=name, source="s3://b/it's", description="d", tags={"k": "v"}, aliases=["champion"], stage="Staging")
    assert (state["version"], state["aliases"], state["current_stage"]) == ("1", ["champion"], "Staging")
    state = settled(client, MODEL_VERSION, name=name, source="s3://b/2", aliases=["champion"], stage="Staging", archive_existing_versions=True)
    one, two = MODEL_VERSION.adapter.find(client, {"name": name})
    assert (one["aliases"], one["current_stage"], two) == ([], "Archived", state)
    made = python(any_server.stack, CLIENT, f"{name} too")
    resolve = MODEL_VERSION.resolved
    assert resolve is not None
    options = resolve(client, {"name": f"{name} none", "run_id": made["run_id"], "artifact_path": "folder/model"})
    assert (options["source"], options["run_id"]) == (made["folder"]["source"], made["run_id"])
    if made["model_id"]:
        options = resolve(client, {"name": f"{name} none", "run_id": made["run_id"], "artifact_path": "logged"})
        assert (options["source"], options["run_id"]) == (made["logged"]["source"], made["run_id"])
    else:
        with pytest.raises(ServerError, match=r"runs MLflow 2\.22\.5, and a logged model needs 3\.0\.0 or later"):
            resolve(client, {"name": name, "model_id": "m-1"})
    assert bring(client, MODEL_VERSION, name=name, source="s3://b/2", state="absent", force=True).action == "delete"
    for model in (name, f"{name} too"):
        remove(client, model)
    client.close()
