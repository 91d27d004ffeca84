"""The modules of the AI gateway, secrets, model definitions and endpoints, against real MLflow servers."""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from harness import ModuleRunner, Stack, Table, WriteGuard, twelve_steps
from tracking_servers import Flavour, Server, Servers, client_of

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import Conflict, Unmet
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_endpoint.adapter import GATEWAY_ENDPOINT
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_model_definition.adapter import GATEWAY_MODEL_DEFINITION
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_secret.adapter import GATEWAY_SECRET
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kind
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State, make_plan

GATEWAY = "/api/3.0/mlflow/gateway"
EXPERIMENTS = "/api/2.0/mlflow/experiments"
SECRET = "mlflow_gateway_secret"
DEFINITION = "mlflow_gateway_model_definition"
ENDPOINT = "mlflow_gateway_endpoint"
VALUE = "sk-quite-secret-5678"

# In several scripts, of 250 characters, with what URLs, SQL and shells would mangle.
NAMES = ["имя секрета 模型 🤖", "a/b: quote ' double \" percent %20 & plus + ; $(x) \\ *", "n" * 250, ".leading"]
SPLIT = "REQUEST_BASED_TRAFFIC_SPLIT"


def bring(client: RestClient, kind: Kind, **params: Any) -> State:
    """Bring a resource to what ``params`` ask for, as a module does, in this process. Returns its state."""
    options = {option: spec.get("default") for option, spec in kind.rules.OPTIONS.items()}
    entry = {**options, **params}
    kind.rules.check_options(entry)
    resource = kind.adapter(client, entry)
    for _attempt in range(4):
        current = resource.read()
        plan = make_plan(current, kind.rules.desired_state(entry, current), resource.immutable)
        if plan.is_empty:
            return plan.after or {}
        resource.check(plan)
        try:
            resource.apply(plan)
        except Conflict:
            continue
    found = resource.read()
    again = make_plan(found, kind.rules.desired_state(entry, found), resource.immutable)
    assert again.is_empty, again
    return found or {}


def model(name: str, linkage: str = "PRIMARY", weight: float = 1.0) -> dict[str, Any]:
    return {"model_definition": name, "linkage": linkage, "weight": weight}


def names(states: list[State]) -> set[str]:
    return {state["name"] for state in states}


def clear(client: RestClient, prefix: str) -> None:
    """Remove what of the gateway has a name that starts with ``prefix``, and the experiments that its endpoints had."""
    for kind in (GATEWAY_ENDPOINT, GATEWAY_MODEL_DEFINITION, GATEWAY_SECRET):
        for state in list(kind.adapter.find(client, {})):
            if state["name"].startswith(prefix):
                bring(client, kind, name=state["name"], state="absent")
    for experiment in client.listed(f"{EXPERIMENTS}/search", "experiments", max_results=1000):
        if experiment["name"].startswith(f"gateway/{prefix}"):
            client.write("POST", f"{EXPERIMENTS}/delete", {"experiment_id": experiment["experiment_id"]})


NUMBERS = count(1)


@pytest.fixture
def name(server: RestClient) -> Iterator[str]:
    """The start of names that are new to the server, which keeps those of deleted experiments; what has them is removed."""
    numbers = [int(entry["experiment_id"]) for entry in server.listed(f"{EXPERIMENTS}/search", "experiments", max_results=1000, view_type="ALL")]
    name = f"gw-{max(numbers)}-{next(NUMBERS)}-"
    yield name
    clear(server, name)


@pytest.fixture
def parts(server: RestClient, name: str) -> str:
    """Makes the secret ``<name>key`` and the model definitions ``<name>a``, ``<name>b`` and ``<name>c``, and gives ``name``."""
    bring(server, GATEWAY_SECRET, name=f"{name}key", value={"api_key": VALUE})
    for letter in "abc":
        bring(server, GATEWAY_MODEL_DEFINITION, name=f"{name}{letter}", secret=f"{name}key", provider="openai", model_name="gpt")
    return name


def take(run: ModuleRunner, table: Table) -> None:
    with WriteGuard(run.stack.tracking_uri).running() as guard:
        twelve_steps(run, table, {"MLFLOW_TRACKING_URI": guard.uri}, lambda: guard.writes)


# The twelve steps


def test_twelve_steps_of_a_secret(run: ModuleRunner, name: str) -> None:
    settings = {"region": "eu-central-1", "api_base": "https://1.1.1.1/v1"}
    create = {"name": name, "value": {"api_key": VALUE}, "provider": "openai", "auth_config": settings}
    change = {"name": name, "value": {"api_key": VALUE + "9", "org": "o"}, "auth_config": {}}
    take(run, Table(module=SECRET, create=create, change=change, delete={"name": name, "state": "absent"}, result="gateway_secret"))


def test_twelve_steps_of_a_model_definition(run: ModuleRunner, server: RestClient, name: str) -> None:
    for key in ("one", "two"):
        bring(server, GATEWAY_SECRET, name=name + key, value={"api_key": VALUE})
    create = {"name": name, "secret": f"{name}one", "provider": "openai", "model_name": "gpt"}
    change = {"name": name, "secret": f"{name}two", "provider": "anthropic", "model_name": "claude"}
    take(run, Table(module=DEFINITION, create=create, change=change, delete={"name": name, "state": "absent"}, result="gateway_model_definition"))


def test_twelve_steps_of_an_endpoint(run: ModuleRunner, parts: str) -> None:
    create = {
        "name": f"{parts}chat",
        "models": [model(f"{parts}b", weight=33.333333333), model(f"{parts}a"), model(f"{parts}c", "FALLBACK")],
        "fallback": {"strategy": "SEQUENTIAL", "max_attempts": 2},
        "tags": {"team": "risk", "имя; %'\"": "🤖"},
    }
    change = {
        "name": f"{parts}chat",
        "models": [model(f"{parts}c"), model(f"{parts}b", "FALLBACK"), model(f"{parts}a", "FALLBACK")],
        "routing_strategy": SPLIT,
        "usage_tracking": False,
        "experiment": "Default",
        "tags": {"team": "fraud", "empty": ""},
        "purge_tags": True,
    }
    delete = {"name": f"{parts}chat", "state": "absent"}
    take(run, Table(module=ENDPOINT, create=create, change=change, delete=delete, result="gateway_endpoint"))


# Names and values


@pytest.mark.parametrize("odd", NAMES)
def test_names(server: RestClient, odd: str) -> None:
    names_of = {"name": odd, "secret": odd, "model_name": odd, "provider": "an unknown one: 模型"}
    made = bring(server, GATEWAY_SECRET, name=odd, value={odd[:99]: odd, "k": VALUE}, auth_config={odd: odd})
    assert made["auth_config"] == {odd: odd}
    assert bring(server, GATEWAY_MODEL_DEFINITION, **names_of).items() >= names_of.items()
    (found,) = GATEWAY_MODEL_DEFINITION.adapter.find(server, {"name": odd})
    assert found == GATEWAY_MODEL_DEFINITION.adapter(server, {"name": odd}).read()
    for kind in (GATEWAY_MODEL_DEFINITION, GATEWAY_SECRET):
        bring(server, kind, name=odd, state="absent")


def test_an_endpoint_of_the_longest_name(server: RestClient, parts: str) -> None:
    long = (parts + "..e-_" * 60)[:248]
    made = bring(server, GATEWAY_ENDPOINT, name=long, models=[model(f"{parts}a")], tags={"k" * 250: "v" * 5000})
    assert (made["name"], made["experiment"]) == (long, f"gateway/{long}")


def test_no_secret_in_any_output(run: ModuleRunner, name: str) -> None:
    args = {"name": name, "value": {"api_key": VALUE}}
    for check in (True, False):
        assert VALUE not in run(SECRET, args, check)["_output"]
    always = run(SECRET, {**args, "update_value": "always"})
    assert always["actions"] == [f"update gateway secret {name} value.api_key"]
    assert VALUE not in always["_output"]
    (found,) = run.succeed(f"{SECRET}_info", name=name)["gateway_secrets"]
    assert found == always["gateway_secret"]
    assert found["value"] == {"api_key": "sk-...5678"}
    assert VALUE not in run(SECRET, {**args, "value": {"api_key": VALUE, "nested": {"a": VALUE}}})["_output"]


def test_a_value_that_the_masks_tell_apart_is_written(server: RestClient, name: str) -> None:
    stamp = bring(server, GATEWAY_SECRET, name=name, value={"api_key": VALUE})["last_updated_at"]
    assert bring(server, GATEWAY_SECRET, name=name, value={"api_key": "sk-another-5678"})["last_updated_at"] == stamp
    assert bring(server, GATEWAY_SECRET, name=name, value={"api_key": "sk-another-5679"})["value"] == {"api_key": "sk-...5679"}
    assert bring(server, GATEWAY_SECRET, name=name, value={"key_id": "short"})["value"] == {"key_id": "***"}


# What depends on what


def test_a_secret_in_use_is_deleted_by_force_alone(run: ModuleRunner, server: RestClient, parts: str) -> None:
    for check in (True, False):
        message = run.fail(SECRET, check=check, name=f"{parts}key", state="absent")
        assert f"is in use by gateway model definitions '{parts}a', '{parts}b', '{parts}c'; deleting it would break them" in message
    assert run.succeed(SECRET, name=f"{parts}key", state="absent", force=True)["changed"]
    (orphan,) = run.succeed(f"{DEFINITION}_info", name=f"{parts}a")["gateway_model_definitions"]
    assert orphan["secret"] is None
    bring(server, GATEWAY_SECRET, name=f"{parts}key", value={"api_key": VALUE})
    assert bring(server, GATEWAY_MODEL_DEFINITION, name=f"{parts}a", secret=f"{parts}key")["secret"] == f"{parts}key"


def test_a_model_definition_in_use_is_not_deleted(run: ModuleRunner, server: RestClient, parts: str) -> None:
    bring(server, GATEWAY_ENDPOINT, name=f"{parts}chat", models=[model(f"{parts}a")])
    for check in (True, False):
        message = run.fail(DEFINITION, check=check, name=f"{parts}a", state="absent")
        assert message == (
            f"gateway model definition '{parts}a' is in use by gateway endpoint '{parts}chat'; give the endpoints other models, or delete them first"
        )
    # What the check did not see yet is told in the same words, and without any change.
    resource = GATEWAY_MODEL_DEFINITION.adapter(server, {"name": f"{parts}a"})
    with pytest.raises(Unmet, match="is in use by") as error:
        resource.apply(make_plan(resource.read(), None))
    assert error.value.resources == {("gateway_endpoints", f"{parts}chat")}


def test_what_is_not_there_is_named(run: ModuleRunner, parts: str) -> None:
    definition: dict[str, Any] = {"name": f"{parts}new", "secret": "nowhere", "provider": "openai", "model_name": "gpt"}
    endpoint: dict[str, Any] = {"name": f"{parts}new", "models": [model("nowhere"), model(f"{parts}a"), model("elsewhere")]}
    remedy = "not exist, or not for these credentials; create"
    for check in (True, False):
        assert f"secret: gateway secret 'nowhere' does {remedy} it first" in run.fail(DEFINITION, check=check, **definition)
        message = run.fail(ENDPOINT, check=check, **endpoint)
        assert f"models: gateway model definitions 'elsewhere', 'nowhere' do {remedy} them first" in message
    message = run.fail(ENDPOINT, name=f"{parts}new", models=[model(f"{parts}a")], experiment="nowhere")
    assert message == f"experiment: experiment 'nowhere' does {remedy} it first"


def test_what_is_needed_to_make_one_is_named(run: ModuleRunner, name: str) -> None:
    assert run.fail(SECRET, name=name, provider="openai").startswith(f"value: gateway secret '{name}' does not exist")
    assert run.fail(DEFINITION, name=name, secret="s").startswith(f"provider: gateway model definition '{name}' does not exist, and needs provider")
    assert run.fail(ENDPOINT, name=name).startswith(f"models: gateway endpoint '{name}' does not exist, and cannot be created without models")


def test_a_provider_stays_and_is_written_as_the_server_does(run: ModuleRunner, server: RestClient, name: str) -> None:
    bring(server, GATEWAY_SECRET, name=name, value={"api_key": VALUE}, provider="openai")
    assert "provider: cannot be changed from 'openai' to 'azure'" in run.fail(SECRET, name=name, provider="azure")
    for check in (True, False):
        message = run.fail(DEFINITION, check=check, name=name, secret=name, provider="Vertex-AI", model_name="m")
        assert message == "provider: 'Vertex-AI' is not how MLflow spells it; give 'vertex_ai'"


def test_an_address_that_the_server_refuses(run: ModuleRunner, name: str) -> None:
    message = run.fail(SECRET, name=name, value={"api_key": VALUE}, auth_config={"api_base": "http://127.0.0.1:11434"})
    assert message.startswith("auth_config: the server does not accept the api_base 'http://127.0.0.1:11434': ")
    assert "MLFLOW_GATEWAY_API_BASE_ALLOW_PRIVATE_IPS" in message
    assert VALUE not in message


# Endpoints and their experiments


def test_new_models_leave_the_fallback_as_it_is(server: RestClient, parts: str) -> None:
    fallback = {"strategy": "SEQUENTIAL", "max_attempts": 2}
    bring(server, GATEWAY_ENDPOINT, name=f"{parts}chat", models=[model(f"{parts}a")], fallback=fallback)
    changed = bring(server, GATEWAY_ENDPOINT, name=f"{parts}chat", models=[model(f"{parts}b"), model(f"{parts}a", "FALLBACK")])
    assert changed["fallback"] == fallback
    lifted = bring(server, GATEWAY_ENDPOINT, name=f"{parts}chat", fallback={"max_attempts": 0})
    assert (lifted["fallback"], lifted["models"]) == ({"strategy": "SEQUENTIAL"}, changed["models"])


def test_the_experiment_outlives_the_endpoint(run: ModuleRunner, server: RestClient, parts: str) -> None:
    chat: dict[str, Any] = {"name": f"{parts}chat", "models": [model(f"{parts}a")]}
    made = run.succeed(ENDPOINT, **chat)["gateway_endpoint"]
    assert made["experiment"] == f"gateway/{parts}chat"
    run.succeed(ENDPOINT, name=f"{parts}chat", state="absent")
    (left,) = run.succeed("mlflow_experiment_info", name=f"gateway/{parts}chat")["experiments"]
    assert (left["experiment_id"], left["lifecycle_stage"]) == (made["experiment_id"], "active")
    again = bring(server, GATEWAY_ENDPOINT, **chat)
    assert (again["experiment_id"], again["endpoint_id"] != made["endpoint_id"]) == (made["experiment_id"], True)
    # MLflow itself would take a deleted one, and log to what nobody sees.
    bring(server, GATEWAY_ENDPOINT, name=f"{parts}chat", state="absent")
    server.write("POST", f"{EXPERIMENTS}/delete", {"experiment_id": made["experiment_id"]})
    for check in (True, False):
        message = run.fail(ENDPOINT, check=check, **chat)
        assert message.startswith(f"experiment: 'gateway/{parts}chat' is deleted, and MLflow would log the endpoint's requests to it unseen")


def test_tracking_turned_on_makes_the_experiment(server: RestClient, parts: str) -> None:
    chat = f"{parts}chat"
    quiet = bring(server, GATEWAY_ENDPOINT, name=chat, models=[model(f"{parts}a")], usage_tracking=False)
    assert (quiet["usage_tracking"], quiet["experiment"]) == (False, None)
    assert bring(server, GATEWAY_ENDPOINT, name=chat, usage_tracking=True)["experiment"] == f"gateway/{chat}"
    assert bring(server, GATEWAY_ENDPOINT, name=chat, experiment="Default")["experiment"] == "Default"


def test_an_endpoint_without_models_is_found_though_mlflow_does_not_list_it(server: RestClient, parts: str) -> None:
    chat = f"{parts}chat"
    made = bring(server, GATEWAY_ENDPOINT, name=chat, models=[model(f"{parts}a")])
    (listed,) = server.get(f"{GATEWAY}/endpoints/get", name=chat)["endpoint"]["model_mappings"]
    body = {"endpoint_id": made["endpoint_id"], "model_definition_id": listed["model_definition_id"]}
    server.write("POST", f"{GATEWAY}/endpoints/models/detach", body)
    assert chat not in names(list(GATEWAY_ENDPOINT.adapter.find(server, {})))
    again = bring(server, GATEWAY_ENDPOINT, name=chat, models=[model(f"{parts}b")])
    assert (again["endpoint_id"], again["models"]) == (made["endpoint_id"], [model(f"{parts}b")])


def test_a_listing_and_a_reading_are_equal(server: RestClient, parts: str) -> None:
    models = [model(f"{parts}b", weight=0.3), model(f"{parts}a"), model(f"{parts}c", "FALLBACK")]
    bring(server, GATEWAY_ENDPOINT, name=f"{parts}one", models=models, routing_strategy=SPLIT, fallback={"max_attempts": 1}, tags={"a": ""})
    bring(server, GATEWAY_ENDPOINT, name=f"{parts}two", models=[model(f"{parts}a")], usage_tracking=False)
    for kind, expected in ((GATEWAY_ENDPOINT, 2), (GATEWAY_MODEL_DEFINITION, 3), (GATEWAY_SECRET, 1)):
        listed = [state for state in kind.adapter.find(server, {}) if state["name"].startswith(parts)]
        assert len(listed) == expected
        assert listed == [kind.adapter(server, state).read() for state in listed]


def test_an_export_makes_the_same_again(server: RestClient, parts: str) -> None:
    models = [model(f"{parts}b", weight=0.3), model(f"{parts}a"), model(f"{parts}c", "FALLBACK")]
    bring(server, GATEWAY_ENDPOINT, name=f"{parts}one", models=models, routing_strategy=SPLIT, experiment="Default", tags={"b": "", "a": "1"})
    bring(server, GATEWAY_ENDPOINT, name=f"{parts}two", models=[model(f"{parts}a")], usage_tracking=False)

    def export() -> list[tuple[Kind, dict[str, Any]]]:
        kinds = (GATEWAY_SECRET, GATEWAY_MODEL_DEFINITION, GATEWAY_ENDPOINT)
        entries = [(kind, kind.rules.declared(state)) for kind in kinds for state in kind.adapter.find(server, {})]
        return sorted(((kind, entry) for kind, entry in entries if entry and entry["name"].startswith(parts)), key=lambda pair: pair[1]["name"])

    exported = export()
    assert len(exported) == 6
    clear(server, parts)
    assert export() == []
    for kind in (GATEWAY_SECRET, GATEWAY_MODEL_DEFINITION, GATEWAY_ENDPOINT):
        for entry in [entry for its, entry in exported if its is kind]:
            filled = {"models": [{**model("?"), **part} for part in entry["models"]]} if "models" in entry else {}
            bring(server, kind, **{**entry, **filled, **({"value": {"api_key": VALUE}} if kind is GATEWAY_SECRET else {})})
    assert export() == exported


def test_one_run_makes_and_prunes_what_builds_on_each_other(run: ModuleRunner, server: RestClient, name: str) -> None:
    definition = {"name": f"{name}gpt", "secret": f"{name}key", "provider": "openai", "model_name": "gpt"}
    everything: dict[str, Any] = {
        "gateway_endpoints": [{"name": f"{name}chat", "models": [{"model_definition": f"{name}gpt"}]}],
        "gateway_model_definitions": [definition],
        "gateway_secrets": [{"name": f"{name}key", "value": {"api_key": VALUE}}],
    }
    for check in (True, False):
        made = run("mlflow_resources", everything, check)
        assert (made["changed"], len(made["actions"])) == (True, 3), made
        assert VALUE not in made["_output"]
    assert not run.succeed("mlflow_resources", **everything)["changed"]
    gone = {section: [{"name": entry["name"], "state": "absent"} for entry in entries] for section, entries in everything.items()}
    for check in (True, False):
        removed = run("mlflow_resources", gone, check)
        assert (removed["changed"], len(removed["actions"])) == (True, 3), removed
    assert f"{name}key" not in names(list(GATEWAY_SECRET.adapter.find(server, {})))


# Others at work


def test_a_name_that_another_writer_took_is_a_conflict(server: RestClient, parts: str) -> None:
    entry = {"name": f"{parts}chat", "state": "present", "models": [model(f"{parts}a")]}
    plan = make_plan(None, GATEWAY_ENDPOINT.rules.desired_state(entry, None))
    GATEWAY_ENDPOINT.adapter(server, entry).apply(plan)
    (definition,) = GATEWAY_MODEL_DEFINITION.adapter.find(server, {"name": f"{parts}a"})
    configuration = {"model_definition_id": definition["model_definition_id"], "linkage_type": "PRIMARY"}
    with pytest.raises(Conflict, match="unique"):  # the trap: words of SQL, where others say RESOURCE_ALREADY_EXISTS
        server.write("POST", f"{GATEWAY}/endpoints/create", {"name": f"{parts}chat", "model_configs": [configuration]}, idempotent=False)
    with pytest.raises(Conflict, match="endpoints/create") as error:
        GATEWAY_ENDPOINT.adapter(server, entry).apply(plan)
    assert "\n" not in str(error.value)


def together(stack: Stack, work: Callable[[RestClient, int], None]) -> None:
    """``work`` in two threads at once, each with a client of its own. Raises what either raises."""
    errors: list[BaseException] = []

    def one(number: int) -> None:
        client = client_of(stack)
        try:
            work(client, number)
        except BaseException as error:  # raised below, in the test's own thread
            errors.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_two_writers_at_once(stack: Stack, server: RestClient, parts: str) -> None:
    def work(client: RestClient, number: int) -> None:
        for turn in range(3):
            bring(client, GATEWAY_SECRET, name=f"{parts}k{turn}", value={"api_key": VALUE})
            definition = {"name": f"{parts}d{turn}", "secret": f"{parts}k{turn}", "provider": "openai", "model_name": "gpt"}
            bring(client, GATEWAY_MODEL_DEFINITION, **definition)
            models = [model(f"{parts}d{turn}"), model(f"{parts}a", "FALLBACK")]
            bring(client, GATEWAY_ENDPOINT, name=f"{parts}e{turn}", models=models, tags={f"from {number}": "x", "both": "y"})

    together(stack, work)
    found = [state for state in GATEWAY_ENDPOINT.adapter.find(server, {}) if state["name"].startswith(f"{parts}e")]
    assert len(found) == 3
    for state in found:
        assert state["tags"] == {"from 0": "x", "from 1": "x", "both": "y"}
        assert [part["linkage"] for part in state["models"]] == ["PRIMARY", "FALLBACK"]
    listed = [state["name"] for state in GATEWAY_SECRET.adapter.find(server, {}) if state["name"].startswith(f"{parts}k")]
    assert sorted(listed) == [f"{parts}k0", f"{parts}k1", f"{parts}k2", f"{parts}key"]


# Other servers


def test_every_server(any_server: Server) -> None:
    if any_server.flavour.version.startswith("2."):
        for module in (SECRET, DEFINITION, ENDPOINT):
            message = any_server.run.fail(f"{module}_info")
            assert "runs MLflow 2.22.5, and the AI gateway needs 3.10.0 or later; upgrade the server" in message
        return
    client = any_server.client()
    prefix = "every-"
    try:
        bring(client, GATEWAY_SECRET, name=f"{prefix}key", value={"api_key": VALUE}, auth_config={"region": "x", "api_base": ""})
        assert bring(client, GATEWAY_SECRET, name=f"{prefix}key", auth_config={})["auth_config"] == {}
        for letter in "ab":
            bring(client, GATEWAY_MODEL_DEFINITION, name=prefix + letter, secret=f"{prefix}key", provider="openai", model_name="gpt")
        models = [model(f"{prefix}a", weight=0.7), model(f"{prefix}b", "FALLBACK")]
        chat = {"name": f"{prefix}chat", "models": models, "fallback": {"strategy": "SEQUENTIAL"}, "experiment": "Default"}
        made = bring(client, GATEWAY_ENDPOINT, **chat)
        assert (made["fallback"], made["models"], made["experiment"]) == ({"strategy": "SEQUENTIAL"}, models, "Default")
        with pytest.raises(Unmet, match="is in use by gateway endpoint 'every-chat'"):
            bring(client, GATEWAY_MODEL_DEFINITION, name=f"{prefix}a", state="absent")
        plan = make_plan(None, GATEWAY_ENDPOINT.rules.desired_state({**chat, "state": "present"}, None))
        with pytest.raises(Conflict):
            GATEWAY_ENDPOINT.adapter(client, chat).apply(plan)
    finally:
        clear(client, prefix)
        client.close()


def test_a_server_without_the_gateway_and_one_with_a_policy(servers: Servers) -> None:
    closed = servers(Flavour("3.17.2", "sqlite", env=(("MLFLOW_ENABLE_AI_GATEWAY", "false"),)))
    remedy = "the AI gateway is disabled on this server; start the server with MLFLOW_ENABLE_AI_GATEWAY=true"
    assert closed.run.fail(ENDPOINT, name="chat", models=[model("a")]) == remedy
    assert closed.run.fail(f"{SECRET}_info") == remedy
    strict = servers(Flavour("3.17.2", "sqlite", env=(("MLFLOW_GATEWAY_ALLOWED_PROVIDERS", "anthropic,bedrock"),)))
    for check in (True, False):
        message = strict.run.fail(SECRET, check=check, name="s", value={"api_key": VALUE}, provider="openai")
        assert message.startswith("provider: 'openai' is not allowed on this server; choose another, or add it to the server's MLFLOW_GATEWAY_")
    assert strict.run.succeed(SECRET, name="s", value={"api_key": VALUE}, provider="anthropic")["changed"]


def test_workspaces_keep_their_own(servers: Servers) -> None:
    server = servers(Flavour("3.17.2", "sqlite", auth=True, workspaces=True))
    client = server.client()
    with_workspace = "gateway-test"
    client.write("POST", "/api/3.0/mlflow/workspaces", {"name": with_workspace}, idempotent=False)
    client.close()
    for workspace, value in (("default", "sk-default-0001"), (with_workspace, "sk-another-0002")):
        server.run.succeed(SECRET, name="shared", value={"api_key": value}, workspace=workspace)
    found = [server.run.succeed(f"{SECRET}_info", workspace=workspace)["gateway_secrets"] for workspace in ("default", with_workspace)]
    assert [[secret["value"]["api_key"] for secret in secrets] for secrets in found] == [["sk-...0001"], ["sk-...0002"]]
