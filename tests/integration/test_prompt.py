"""mlflow_prompt and mlflow_prompt_info against a real MLflow, and MLflow's own client."""
from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from faults import Faults
from harness import ModuleRunner, Stack, Table, WriteGuard, python, twelve_steps
from kinds import bring, foresee, settled
from tracking_servers import Server

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ServerError, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.prompt.adapter import PROMPT
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import Connection, RestClient

MODULE = "mlflow_prompt"
MODELS = "/api/2.0/mlflow/registered-models"
VERSIONS = "/api/2.0/mlflow/model-versions"

NAMES = ["p" * 250, ".leading_dot-and.more"]
#: In several scripts, with what URLs, SQL, shells and YAML would mangle.
TEXT = "Привет 模型 🤖 {{ name }}: it's \" % \\ ` $(x)\n  two lines: - # {% if x %}\ttab \n"
CHAT = [{"role": "system", "content": TEXT}, {"role": "user", "content": "{{ question }}"}]

#: What MLflow's own client registers of the given versions, or loads under the given URIs.
REGISTER = """
import json, mlflow, sys
api = mlflow.genai if hasattr(mlflow, "genai") and hasattr(mlflow.genai, "register_prompt") else mlflow
name, versions = sys.argv[1], json.loads(sys.argv[2])
for version in versions:
    prompt = api.register_prompt(name=name, **version)
print(json.dumps(prompt.version))
"""
LOAD = """
import json, mlflow, sys
api = mlflow.genai if hasattr(mlflow, "genai") and hasattr(mlflow.genai, "load_prompt") else mlflow
found = [api.load_prompt(uri) for uri in sys.argv[1:]]
keys = ("version", "template", "commit_message", "tags", "response_format", "model_config")
print(json.dumps([{key: getattr(prompt, key, None) for key in keys} for prompt in found]))
"""

Manage = Callable[..., dict[str, Any]]
Refused = Callable[..., str]


def remove(server: RestClient, name: str) -> None:
    if server.get_or_none(f"{MODELS}/get", name=name):
        server.write("DELETE", f"{MODELS}/delete", {"name": name})


@pytest.fixture
def name(server: RestClient, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a prompt that is not there, and will not be."""
    name = f"prompt-{request.node.name.partition('[')[0]}"
    remove(server, name)
    yield name
    remove(server, name)


@pytest.fixture
def prompt(run: ModuleRunner) -> Manage:
    """Runs the module, which must succeed."""
    return partial(run.succeed, MODULE)


def test_twelve_steps(run: ModuleRunner, stack: Stack, name: str) -> None:
    # Ansible fills variables in a template of a playbook; !unsafe, or here raw, keeps it from that.
    text = "{% raw %}Hello {{ name }}{% endraw %}"
    first = {"template": text, "commit_message": "first", "tags": {"author": "ann", "n": 1}, "aliases": ["production", "old"]}
    chat = {"template": [{"role": "user", "content": "Hi"}], "model_config": {"model_name": "m", "temperature": 0.5}}
    table = Table(
        module=MODULE,
        create={"name": name, "description": "greets", "tags": {"team": "risk"}, "versions": [first, {"template": "Hello again"}]},
        change={
            "name": name, "description": "", "tags": {}, "purge_tags": True, "purge_aliases": True,
            "versions": [
                {"template": text, "commit_message": "", "tags": {"n": None}},
                {**chat, "response_format": {"type": "object", "properties": {}}, "aliases": ["production"]},
            ],
        },
        delete={"name": name, "state": "absent", "force": True},
        result="prompt",
    )
    with WriteGuard(stack.tracking_uri).running() as guard:
        twelve_steps(run, table, {"MLFLOW_TRACKING_URI": guard.uri}, lambda: guard.writes)


@pytest.mark.parametrize("odd", NAMES)
def test_names_and_texts(server: RestClient, odd: str) -> None:
    remove(server, odd)
    versions = [{"template": TEXT, "commit_message": TEXT, "tags": {"имя 模型/a.b: c-d": TEXT}}, {"template": CHAT}, {"template": ""}]
    state = settled(server, PROMPT, name=odd, description=TEXT, tags={"t": TEXT}, versions=versions)
    assert [state["versions"][place]["template"] for place in "123"] == [TEXT, CHAT, ""]
    assert state["versions"]["1"]["tags"] == {"имя 模型/a.b: c-d": TEXT}
    remove(server, odd)


def test_mlflows_client_reads_what_the_module_wrote(prompt: Manage, stack: Stack, name: str) -> None:
    text = "Hello {{ name }}, it's 模型"
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    extra = {"response_format": {"type": "object", "properties": {}}, "model_config": {"model_name": "m", "temperature": 1, "top_k": None}}
    versions = [
        {"template": text, "commit_message": "first", "tags": {"author": "ann"}, "aliases": ["old"]},
        {"template": chat, "aliases": ["production"], **extra},
    ]
    result = prompt(name=name, versions=versions)
    assert result["actions"] == [f"create prompt {name}"]
    assert text in str(result["prompt"]["versions"]["1"])
    uris = [f"prompts:/{name}/1", f"prompts:/{name}/2", f"prompts:/{name}@old", f"prompts:/{name}@production"]
    first, second, old, production = python(stack, LOAD, *uris)
    assert (first["version"], first["template"], first["commit_message"], first["tags"]) == (1, text, "first", {"author": "ann"})
    assert (second["version"], second["template"], second["response_format"]) == (2, chat, extra["response_format"])
    assert second["model_config"] == {"model_name": "m", "temperature": 1}
    assert (old, production) == (first, second)


def test_the_module_reads_what_mlflows_client_wrote(stack: Stack, server: RestClient, name: str) -> None:
    config = {"model_name": "m", "temperature": 1, "stop_sequences": ["x"], "other": {}}
    versions: list[dict[str, Any]] = [
        {"template": TEXT, "commit_message": "first", "tags": {"author": "ann"}},
        {"template": CHAT, "response_format": {"type": "object", "properties": {}}, "model_config": config},
        {"template": TEXT},
    ]
    python(stack, REGISTER, name, json.dumps(versions))
    assert bring(server, PROMPT, name=name, versions=versions).is_empty
    state = settled(server, PROMPT, name=name, versions=[{**versions[1], "aliases": ["production"]}])
    assert state["version_numbers"] == {"1": "1", "2": "2", "3": "3"}
    assert json.loads(state["versions"]["2"]["model_config"]) == config
    assert (state["description"], state["tags"]["author"]) == ("first", "ann")
    assert [key for key in state["tags"] if "prompt" in key] == []
    (entry,) = [PROMPT.rules.declared(found) for found in PROMPT.adapter.find(server, {}) if found["name"] == name]
    remove(server, name)
    bring(server, PROMPT, **(entry or {}))
    (again,) = [PROMPT.rules.declared(found) for found in PROMPT.adapter.find(server, {}) if found["name"] == name]
    assert again == entry


def test_a_version_is_made_only_where_the_template_differs(prompt: Manage, server: RestClient, name: str) -> None:
    settled(server, PROMPT, name=name, versions=[{"template": "a", "aliases": ["production"]}, {"template": "b"}])
    result = prompt(name=name, versions=[{"template": "b", "commit_message": "seen"}, {"template": "c", "aliases": ["production"]}])
    changed = ["1.aliases", "2.commit_message", "3.aliases", "3.commit_message", "3.template"]
    assert result["actions"] == [f"update prompt {name} versions.{path}" for path in changed]
    assert [version["aliases"] for version in result["prompt"]["versions"].values()] == [[], [], ["production"]]
    assert result["prompt"]["versions"]["3"] == {"template": "c", "commit_message": "", "aliases": ["production"]}
    state = settled(server, PROMPT, name=name, versions=[{"template": "c"}, {"template": "a", "aliases": ["production"]}])
    assert [version["aliases"] for version in state["versions"].values()] == [["production"], [], []]


def test_versions_are_made_in_the_order_of_the_list(server: RestClient, name: str) -> None:
    texts = [str(number) for number in range(12)]
    state = settled(server, PROMPT, name=name, versions=[{"template": text} for text in texts])
    assert [state["versions"][str(place)]["template"] for place in range(1, 13)] == texts


def test_places_go_on_where_a_version_was_deleted(server: RestClient, name: str) -> None:
    settled(server, PROMPT, name=name, versions=[{"template": text} for text in "abc"])
    for number in ("1", "3"):
        server.write("DELETE", f"{VERSIONS}/delete", {"name": name, "version": number})
    state = settled(server, PROMPT, name=name, versions=[{"template": "b", "commit_message": "kept"}, {"template": "d", "aliases": ["production"]}])
    assert state["version_numbers"] == {"1": "2", "2": "4"}
    assert [state["versions"][place]["template"] for place in "12"] == ["b", "d"]


def test_a_name_is_a_models_or_a_prompts(prompt: Manage, refused: Refused, run: ModuleRunner, server: RestClient, name: str) -> None:
    server.write("POST", f"{MODELS}/create", {"name": name}, idempotent=False)
    for args in ({"state": "absent", "force": True}, {"versions": [{"template": "a"}]}):
        message = refused(name=name, **args)
        assert f"name: '{name}' is a registered model, not a prompt" in message
    assert run.succeed(f"{MODULE}_info", name="nowhere")["prompts"] == []
    assert name not in {state["name"] for state in PROMPT.adapter.find(server, {})}
    remove(server, name)
    prompt(name=name, versions=[{"template": "a"}])
    assert "is a prompt" in run.fail("mlflow_registered_model", name=name, description="x")
    assert "has 1 version, and MLflow cannot restore a deleted prompt" in refused(name=name, state="absent")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"name": "with space"}, ["name: 'with space' is not a valid prompt name", "use ASCII letters, digits"]),
        ({"versions": [{"commit_message": "x"}]}, ["missing required arguments: template"]),
        ({"versions": [{"template": [{"role": "user"}]}]}, ["is not a template", "give a text, or a list of messages with role and content"]),
    ],
)
def test_bad_options(refused: Refused, args: dict[str, Any], expected: list[str]) -> None:
    message = refused(**{"name": "n", **args})
    assert [part for part in expected if part not in message] == [], message


@pytest.mark.parametrize("write", [1, 2, 3, 4])
def test_a_lost_answer_makes_nothing_twice(stack: Stack, server: RestClient, name: str, write: int) -> None:
    versions = [{"template": "a"}, {"template": "b", "aliases": ["production"]}, {"template": "a"}]
    with Faults(stack.tracking_uri, {write: "lost"}).running() as proxy:
        client = RestClient(Connection(proxy.uri, stack.tracking_username, stack.tracking_password))
        bring(client, PROMPT, name=name, tags={"k": "v"}, versions=versions)
        client.close()
    assert proxy.met == ["lost"]
    state = PROMPT.adapter(server, {"name": name}).read() or {}
    assert [version["template"] for version in state["versions"].values()] == ["a", "b", "a"]
    assert (state["tags"], state["versions"]["2"]["aliases"]) == ({"k": "v"}, ["production"])


def test_two_writers_at_once(run: ModuleRunner, server: RestClient, name: str) -> None:
    results: list[dict[str, Any]] = []

    def write(text: str) -> None:
        results.append(run(MODULE, {"name": name, "tags": {text: "1"}, "versions": [{"template": text, "aliases": [text, "production"]}]}))

    texts = ["one", "two", "three"]
    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.get("failed") for result in results] == [None] * 3, results
    (state,) = [found for found in PROMPT.adapter.find(server, {}) if found["name"] == name]
    assert state["tags"] == {"one": "1", "two": "1", "three": "1"}
    assert sorted(version["template"] for version in state["versions"].values()) == sorted(texts)
    assert all(version["template"] in version["aliases"] for version in state["versions"].values())
    assert sum("production" in version["aliases"] for version in state["versions"].values()) == 1


def test_info(run: ModuleRunner, server: RestClient, name: str) -> None:
    state = settled(server, PROMPT, name=name, tags={"team": name}, versions=[{"template": "a", "aliases": ["production"]}, {"template": CHAT}])
    assert run.succeed(f"{MODULE}_info", name=name)["prompts"] == [state]
    assert run.succeed(f"{MODULE}_info", filter=f"tags.team = '{name}'")["prompts"] == [state]
    assert state in run.succeed(f"{MODULE}_info")["prompts"]
    assert "INVALID_PARAMETER_VALUE" in run.fail(f"{MODULE}_info", filter="nonsense")


def test_every_server(any_server: Server) -> None:
    client, name = any_server.client(), "prompt-on-every-server"
    remove(client, name)
    python(any_server.stack, REGISTER, name, json.dumps([{"template": TEXT, "commit_message": "theirs"}]))
    versions: list[dict[str, Any]] = [{"template": TEXT}, {"template": "Hi {{ name }}", "commit_message": "ours", "aliases": ["production"]}]
    state = settled(client, PROMPT, name=name, versions=versions)
    assert [version["commit_message"] for version in state["versions"].values()] == ["theirs", "ours"]
    (loaded,) = python(any_server.stack, LOAD, f"prompts:/{name}@production")
    assert (int(loaded["version"]), loaded["template"], loaded["commit_message"]) == (2, "Hi {{ name }}", "ours")
    new: list[dict[str, Any]] = [{"template": CHAT}, {"template": "t" * 5001}, {"template": "a", "model_config": {"top_k": 1}}]
    if any_server.flavour.version.startswith("2."):
        for version in new:
            with pytest.raises(Unsupported, match=r"runs MLflow 2\.22\.5, and a .* needs 3\.0\.0 or later; upgrade the server"):
                foresee(client, PROMPT, name=name, versions=[version])
    else:
        settled(client, PROMPT, name=name, versions=new)
    remove(client, f"{name}-model")
    client.write("POST", f"{MODELS}/create", {"name": f"{name}-model"}, idempotent=False)
    with pytest.raises(ServerError, match="is a registered model, not a prompt"):
        bring(client, PROMPT, name=f"{name}-model")
    for model in (name, f"{name}-model"):
        remove(client, model)
    client.close()
