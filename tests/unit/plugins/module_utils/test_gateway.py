"""What secrets, model definitions and endpoints of the AI gateway may be called and hold, and what their options ask for."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_endpoint import rules as gateway_endpoint
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_model_definition import rules as gateway_model_definition
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_secret import rules as gateway_secret
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.kinds import KINDS
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, State, make_plan

GPT = {"model_definition": "gpt", "linkage": "PRIMARY", "weight": 1.0}
SPARE = {"model_definition": "spare", "linkage": "FALLBACK", "weight": 1.0}

GOOD: list[tuple[Any, dict[str, Any]]] = [
    (gateway_secret, {"name": "имя/секрет: 🤖 100%", "value": {"api_key": "k" * 5000, "number": 5}, "auth_config": {"n": 1, "api_base": ""}}),
    (gateway_secret, {"name": "n" * 255, "value": None}),
    (gateway_model_definition, {"name": "n" * 255, "secret": "s" * 255, "provider": "p" * 64, "model_name": "m" * 256}),
    (gateway_endpoint, {"name": "..a-B_9" + "n" * 241, "models": [GPT, SPARE, {**GPT, "linkage": "FALLBACK"}]}),
    (gateway_endpoint, {"name": "a", "fallback": {"max_attempts": 0}, "tags": {"k" * 250: "v" * 5000, "'; %": None, "模": True}}),
]
BAD: list[tuple[Any, dict[str, Any], str]] = [
    (gateway_secret, {"name": " "}, "name: ' ' is empty; give the secret a name"),
    (gateway_secret, {"name": "a", "provider": "p" * 65}, "provider: .* has 65 characters"),
    (gateway_secret, {"name": "a", "value": {}}, "value: {} is empty; give the secret's parts"),
    (gateway_secret, {"name": "a", "value": {"api_key": ""}}, "value: 'api_key' is empty; give a value"),
    (gateway_secret, {"name": "a", "value": {"api_key": True}}, "value: 'api_key' is not a string"),
    (gateway_secret, {"name": "a", "value": {"api_key": ["s3cret"]}}, "value: 'api_key' is not a string"),
    (gateway_secret, {"name": "a", "value": {str(part): "12345678" for part in range(30)}}, "value: '0' and the other fields take 590 characters"),
    (gateway_secret, {"name": "a", "update_value": "always"}, "update_value: 'always' needs a value to write; give value"),
    (gateway_secret, {"name": "a", "auth_config": {"region": None}}, "auth_config: 'region' is not a string"),
    (gateway_model_definition, {"name": "a", "model_name": ""}, "model_name: '' is empty; give the model a name"),
    (gateway_model_definition, {"name": "n" * 256}, "name: .* has 256 characters"),
    (gateway_endpoint, {"name": "имя"}, "name: 'имя' is not a valid endpoint name"),
    (gateway_endpoint, {"name": "n" * 249}, "name: .* has 249 characters; MLflow stores at most 248"),
    (gateway_endpoint, {"name": "a", "models": []}, r"models: \[\] has no PRIMARY"),
    (gateway_endpoint, {"name": "a", "models": [SPARE]}, r"models: \['spare'\] has no PRIMARY"),
    (gateway_endpoint, {"name": "a", "models": [{**GPT, "weight": 0.001}]}, r"models: \['gpt'\] has no PRIMARY model with a weight"),
    (gateway_endpoint, {"name": "a", "models": [{**GPT, "weight": float("nan")}]}, "models: 'gpt' has the weight nan"),
    (gateway_endpoint, {"name": "a", "models": [GPT, {**GPT, "weight": 2.0}]}, "models: 'gpt' is named twice as PRIMARY"),
    (gateway_endpoint, {"name": "a", "fallback": {"max_attempts": -1}}, "fallback: -1 is not a valid number of attempts"),
    (gateway_endpoint, {"name": "a", "tags": {"": "v"}}, "tags: '' is a key of 0 characters"),
    (gateway_endpoint, {"name": "a", "tags": {"k": ["v"]}}, "tags: 'k' has a value that is a list"),
    (gateway_endpoint, {"name": "a", "tags": {"k": "v" * 5001}}, "tags: 'k' has a value of 5001 characters"),
]


@pytest.mark.parametrize(("rules", "params"), GOOD)
def test_what_mlflow_takes(rules: Any, params: dict[str, Any]) -> None:
    rules.check_options(params)


@pytest.mark.parametrize(("rules", "params", "message"), BAD)
def test_what_mlflow_refuses(rules: Any, params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message) as error:
        rules.check_options(params)
    assert "s3cret" not in str(error.value)


def secret(current: State | None = None, **params: Any) -> State | None:
    return gateway_secret.desired_state({"name": "openai", "state": "present", "update_value": "on_difference", **params}, current)


def stored(**more: Any) -> State:
    return {"name": "openai", "secret_id": "s-1", "provider": "openai", "auth_config": {}, "value": {"api_key": "sk-...5678"}, **more}


@pytest.mark.parametrize(
    ("update", "value", "differs"),
    [
        ("on_difference", "sk-live-5678", False),
        ("on_difference", "sk-live-5679", True),
        ("on_difference", "xk-live-5678", True),
        ("on_difference", "short", True),
        ("on_create", "sk-live-5679", False),
        ("always", "sk-live-5678", True),
        ("always", "sk-live-5679", True),
    ],
)
def test_a_value_is_compared_by_what_mlflow_shows(update: str, value: str, differs: bool) -> None:
    plan = make_plan(stored(), secret(stored(), update_value=update, value={"api_key": value}))
    assert [change.path for change in plan.changes] == ([("value", "api_key")] if differs else [])
    assert value not in repr(plan)


def test_another_set_of_parts_is_another_value() -> None:
    assert secret(stored(), value={"key_id": "abcdefgh"}) == {"name": "openai", "value": {"key_id": "abc...efgh", "api_key": ABSENT}}


def test_what_is_not_given_of_a_secret_is_left_alone() -> None:
    assert secret(stored()) == {"name": "openai"}
    assert secret(stored(), state="absent") is None


def test_settings_are_replaced_as_a_whole_and_stored_as_mlflow_does() -> None:
    found = stored(auth_config={"region": "eu", "n": "1"})
    given = {"n": 1, "on": True, "api_base": " https://a.example/v1 "}
    assert secret(found, auth_config=given) == {
        "name": "openai",
        "auth_config": {"n": "1", "on": "true", "api_base": "https://a.example/v1", "region": ABSENT},
    }
    assert secret(found, auth_config={"api_base": ""}) == {"name": "openai", "auth_config": {"region": ABSENT, "n": ABSENT}}


def test_an_export_of_a_secret_cannot_make_one() -> None:
    entry = gateway_secret.declared(stored(auth_config={"b": "2", "a": "1"}))
    assert entry == {"name": "openai", "provider": "openai", "auth_config": {"a": "1", "b": "2"}}
    with pytest.raises(Refused, match="value: gateway secret 'openai' does not exist, and cannot be created without its value"):
        secret(None, **{key: value for key, value in entry.items() if key != "name"})


def endpoint(current: State | None = None, **params: Any) -> State | None:
    return gateway_endpoint.desired_state({"name": "chat", "state": "present", **params}, current)


def running(**more: Any) -> State:
    routing: State = {"routing_strategy": None, "fallback": {}, "usage_tracking": True, "experiment": "gateway/chat", "experiment_id": "7"}
    return {"name": "chat", "endpoint_id": "e-1", "models": [GPT], **routing, "tags": {}, **more}


def test_the_order_of_primary_models_means_nothing_and_that_of_fallbacks_does() -> None:
    first, second = {**GPT, "model_definition": "a"}, {**SPARE, "model_definition": "another"}
    desired = endpoint(running(), models=[GPT, SPARE, first, second])
    assert desired == {"name": "chat", "models": [first, GPT, SPARE, second]}


def test_a_new_endpoint_gets_the_experiment_that_mlflow_makes_unless_it_is_told_otherwise() -> None:
    experiments = [(endpoint(None, models=[GPT], **more) or {})["experiment"] for more in ({}, {"usage_tracking": False}, {"experiment": "x"})]
    assert experiments == ["gateway/chat", None, "x"]


def test_tracking_turned_on_keeps_the_experiment_there_is() -> None:
    assert endpoint(running(experiment="x", usage_tracking=False), usage_tracking=True) == {"name": "chat", "usage_tracking": True}


def test_a_limit_of_attempts_is_lifted_by_0() -> None:
    found = running(fallback={"strategy": "SEQUENTIAL", "max_attempts": 2})
    assert endpoint(found, fallback={"strategy": None, "max_attempts": 0}) == {"name": "chat", "fallback": {"max_attempts": ABSENT}}


def test_what_is_not_given_of_an_endpoint_is_left_alone() -> None:
    assert endpoint(running(tags={"a": "1"})) == {"name": "chat"}
    assert endpoint(running(), state="absent") is None


@pytest.mark.parametrize(
    "state",
    [
        running(),
        running(usage_tracking=False, experiment=None, tags={"a": ""}),
        running(experiment="elsewhere", routing_strategy="REQUEST_BASED_TRAFFIC_SPLIT", models=[{**GPT, "weight": 0.3}, SPARE]),
        running(fallback={"strategy": "SEQUENTIAL", "max_attempts": 2}),
    ],
)
def test_an_export_makes_the_same_endpoint_again(state: State) -> None:
    entry = gateway_endpoint.declared(state)
    assert entry is not None
    if "models" in entry:  # the defaults, which Ansible fills in
        entry["models"] = [{"linkage": "PRIMARY", "weight": 1.0, **model} for model in entry["models"]]
    made = make_plan(None, endpoint(None, **{key: value for key, value in entry.items() if key != "name"})).after or {}
    assert made == {key: state[key] for key in made}
    assert gateway_endpoint.declared(made) == gateway_endpoint.declared(state)


def test_pruning_keeps_nothing() -> None:
    assert not any(KINDS[section].kept({}) for section in ("gateway_secrets", "gateway_model_definitions", "gateway_endpoints"))
