"""What a prompt may hold, which of its versions a declared one is, and what the options ask for."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.prompt.adapter import PROMPT
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.prompt.rules import check_options, declared, desired_state
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State, make_plan

CHAT = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "{{ question }}"}]
GOOD: list[dict[str, Any]] = [
    {"name": "n" * 256},
    {"name": ".leading_dot-0"},
    {"name": "a", "versions": []},
    {"name": "a", "versions": [{"template": "t" * 100_000, "commit_message": "", "tags": {"k": None}, "aliases": ["production"]}]},
    {"name": "a", "versions": [{"template": ""}, {"template": 42}, {"template": "имя {{ name }} 🤖"}]},
    {"name": "a", "versions": [{"template": CHAT, "response_format": {"type": "object"}, "model_config": {"temperature": 0.5}}]},
    {"name": "a", "versions": [{"template": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}]},
]
NO_TEMPLATES: list[Any] = [None, {}, [], ["Hi"], [{"role": "user"}], [{"content": "Hi"}], [{"role": 1, "content": "Hi"}], [{"x": "y" * 900}]]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name: '' is empty"),
    ({"name": "a/b"}, "name: 'a/b' contains '/'"),
    ({"name": "n" * 257}, "name: .* has 257 characters"),
    *(({"name": name}, "name: .* is not a valid prompt name; use ASCII letters") for name in ("a b", "имя", "a\n", ".", "..", "a'b", "🤖")),
    ({"name": "a", "description": "d" * 5001}, "description: .* has 5001 characters"),
    ({"name": "a", "tags": {"k": ["v"]}}, "tags: 'k' has a value that is a list"),
    ({"name": "a", "tags": {"mlflow.prompt.is_prompt": "false"}}, "tags: .* is a tag by which MLflow itself keeps prompts"),
    ({"name": "a", "versions": [{"template": "t", "tags": {"_mlflow_prompt_type": "chat"}}]}, "versions: .* is a tag by which MLflow itself"),
    *(
        ({"name": "a", "versions": [{"template": what}]}, "versions: .* is not a template; give a text, or a list of messages")
        for what in NO_TEMPLATES
    ),
    ({"name": "a", "versions": [{"template": "t" * 100_001}]}, "versions: .* is a template of 100001 characters; MLflow stores at most 100000"),
    ({"name": "a", "versions": [{"template": "t", "model_config": {"k": "v" * 100_000}}]}, "versions: .* is a model_config of 100009 characters"),
    ({"name": "a", "versions": [{"template": "t", "commit_message": "c" * 5001}]}, "versions: .* has 5001 characters"),
    ({"name": "a", "versions": [{"template": "t", "aliases": ["latest"]}]}, "versions: 'latest' is reserved"),
    ({"name": "a", "versions": [{"template": t, "aliases": ["x"]} for t in "tu"]}, "versions: 'x' is an alias of two versions"),
]


@pytest.mark.parametrize("params", GOOD)
def test_what_mlflow_takes(params: dict[str, Any]) -> None:
    check_options(params)


@pytest.mark.parametrize(("params", "message"), BAD)
def test_what_mlflow_refuses(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message) as caught:
        check_options(params)
    assert len(str(caught.value)) < 300


def wanted(current: State | None, **params: Any) -> State:
    desired = desired_state({"name": "greet", "state": "present", **params}, current)
    assert desired is not None
    return desired


def greet(*versions: State, **more: Any) -> State:
    """A prompt with ``versions``."""
    places = {str(place): {"commit_message": "", "aliases": [], **version} for place, version in enumerate(versions, 1)}
    return {"name": "greet", "description": "old", "tags": {}, "versions": places, **more}


def places(current: State | None, *templates: Any, **shared: Any) -> list[str]:
    """The places of the versions that are made for ``templates``."""
    desired = wanted(current, versions=[{"template": template, **shared} for template in templates])
    return [place for place, version in desired["versions"].items() if "template" in version]


def test_a_new_prompt_has_all_fields_and_an_old_one_those_that_are_given() -> None:
    assert wanted(None) == {"name": "greet", "description": "", "tags": {}, "versions": {}}
    assert wanted(greet({"template": "a"})) == {"name": "greet"}
    assert wanted(greet(), description="", tags={"n": 1}) == {"name": "greet", "description": "", "tags": {"n": "1"}}


def test_a_version_is_made_only_where_the_template_differs() -> None:
    assert places(None, "a", "b") == ["1", "2"]
    assert places(greet({"template": "a"}), "a") == []
    assert places(greet({"template": "a"}), "b", "a", "c") == ["2", "3"]
    assert places(greet({"template": "1"}), 1) == []
    assert places(greet({"template": "a\n"}), "a") == ["2"]
    assert places(greet({"template": "a"}), "a", model_config={}, response_format={}) == []
    assert places(greet({"template": None}), "None") == ["2"]


def test_the_messages_of_a_chat_are_compared_and_not_their_text() -> None:
    stored = [{"content": "Hi", "role": "user", "n": 1.0}]
    assert places(greet({"template": stored}), [{"role": "user", "content": "Hi", "n": 1}]) == []
    assert places(greet({"template": '[{"role": "user", "content": "Hi"}]'}), [{"role": "user", "content": "Hi"}]) == ["2"]


def test_the_response_format_and_the_models_configuration_are_part_of_the_prompt() -> None:
    there = greet({"template": "a", "model_config": '{"temperature": 1.0, "model_name": "m"}', "response_format": '{"type": "object"}'})
    same = {"model_config": {"model_name": "m", "temperature": 1, "top_k": None}, "response_format": {"type": "object"}}
    assert places(there, "a", **same) == []
    assert places(there, "a") == ["2"]
    assert places(there, "a", **{**same, "model_config": {"temperature": 0.5}}) == ["2"]


def test_of_several_of_one_template_the_newest_are_meant() -> None:
    there = greet({"template": "a"}, {"template": "b"}, {"template": "a"}, {"template": "a"})
    desired = wanted(there, versions=[{"template": "a", "commit_message": "x"}, {"template": "a", "commit_message": "y"}])
    assert [desired["versions"][place].get("commit_message") for place in "1234"] == [None, None, "x", "y"]
    assert places(greet({"template": "a"}, {"template": "b"}), "a", "b", "a") == ["3"]


def test_places_are_counted_and_not_spelt() -> None:
    there = greet(*({"template": str(number)} for number in range(11)))
    assert places(there, "9", "10", "new") == ["12"]
    assert list(wanted(there, versions=[{"template": "new"}])["versions"]) == [str(place) for place in range(1, 13)]


def test_an_alias_moves_and_the_others_stay() -> None:
    there = greet({"template": "a", "aliases": ["old", "production"]}, {"template": "b", "aliases": ["next"]})
    desired = wanted(there, versions=[{"template": "b", "aliases": ["production"]}])
    assert {place: version["aliases"] for place, version in desired["versions"].items()} == {"1": ["old"], "2": ["next", "production"]}
    desired = wanted(there, versions=[{"template": "b", "aliases": ["production"]}], purge_aliases=True)
    assert {place: version["aliases"] for place, version in desired["versions"].items()} == {"1": [], "2": ["production"]}


def test_tags_of_a_version() -> None:
    there = greet({"template": "a", "tags": {"k": "1", "mlflow.x": "y"}}, {"template": "b", "tags": {"k": "1"}}, tags={"t": "1", "_mlflow_e": ",1,"})
    versions = [{"template": "a", "tags": {"n": True}}, {"template": "b", "tags": {"k": None}}]
    plan = make_plan(there, wanted(there, versions=versions, tags={}, purge_tags=True))
    after = plan.after or {}
    assert after["tags"] == {"_mlflow_e": ",1,"}
    assert after["versions"]["1"]["tags"] == {"n": "true", "mlflow.x": "y"}
    assert "tags" not in after["versions"]["2"]
    assert make_plan(after, wanted(after, versions=versions, tags={}, purge_tags=True)).is_empty


def test_versions_are_deleted_by_force_alone() -> None:
    params = {"name": "greet", "state": "absent"}
    with pytest.raises(Refused, match="prompt 'greet' has 2 versions, .*force: true"):
        desired_state(params, greet({"template": "a"}, {"template": "b"}))
    assert desired_state({**params, "force": True}, greet({"template": "a"})) is None
    assert desired_state(params, greet()) is None
    assert desired_state(params, None) is None


TEXTS = st.sampled_from(["a", "b", "имя {{ x }}", 'quote " \n two'])
VERSIONS = st.fixed_dictionaries(
    {"template": st.one_of(TEXTS, st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": TEXTS}), min_size=1, max_size=2))},
    optional={
        "commit_message": TEXTS,
        "tags": st.dictionaries(st.sampled_from(["k", "l"]), TEXTS, max_size=2),
        "model_config": st.dictionaries(st.sampled_from(["temperature", "x"]), st.one_of(st.integers(0, 2), st.floats(0, 2)), max_size=2),
        "response_format": st.dictionaries(st.sampled_from(["p", "q"]), st.dictionaries(st.just("x"), TEXTS, max_size=1), max_size=2),
    },
)


@given(st.lists(VERSIONS, max_size=5), st.lists(VERSIONS, max_size=5))
def test_a_second_run_changes_nothing_and_an_export_is_what_was_declared(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> None:
    state: State | None = None
    for versions in (first, second):
        state = make_plan(state, wanted(state, versions=versions)).after or {}
        assert make_plan(state, wanted(state, versions=versions)).is_empty
    export = {**(declared(state or {}) or {}), "state": "present"}
    check_options(export)
    copy = make_plan(None, desired_state(export, None)).after
    assert copy == state
    assert not PROMPT.kept(state or {})
