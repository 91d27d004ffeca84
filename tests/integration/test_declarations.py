"""Any declaration, applied to a real server whatever is on it, is what the server then exports."""
from __future__ import annotations

import itertools
import os
from typing import Any

import engine
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tracking_servers import Flavour, Server, Servers

Declaration = dict[str, list[dict[str, Any]]]

SECTIONS = ("experiments", "registered_models", "model_versions", "prompts", "webhooks")
#: Names come from a few as well as from all, so that one declaration meets what another left.
FEW = ["iris", "имя 模型 🤖", "quote ' \" % %20 \\ ; $(x)", ".leading", "n" * 250]
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
NAMES = st.one_of(st.sampled_from(FEW), st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/:*"), min_size=1, max_size=30))
TEMPLATES = TEXT.filter(lambda text: text.strip() != "")
TAGS = st.dictionaries(st.text("abyz имя.-_", min_size=1, max_size=20).filter(lambda key: key.strip(". ") == key), TEXT, max_size=3)
EVENTS = ["registered_model.created", "model_version.created", "model_version_tag.set", "model_version_alias.created"]
NUMBERS = itertools.count()
#: As in test_hostile.py: ten by default, hundreds with ``make hostile``.
EXAMPLES = int(os.environ.get("MLFLOW_TEST_HOSTILE", "300")) // 30


def entries(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    named = st.fixed_dictionaries({"name": NAMES.filter(lambda name: name.strip() != ""), **fields})
    return st.lists(named, max_size=4, unique_by=lambda entry: str(entry["name"]))


@st.composite
def versions(draw: st.DrawFn, models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Versions of the models, the same source more than once among them; an alias is on one version of a model."""
    made = []
    for model in models:
        aliases = draw(st.lists(st.sampled_from(["champion", "challenger", "имя_1", "a-b"]), unique=True, max_size=3))
        for number in range(draw(st.integers(0, 3))):
            here = [alias for place, alias in enumerate(aliases) if place % 3 == number]
            source = f"s3://bench/{draw(st.sampled_from(['a', 'b', 'c d']))}"
            made.append({"name": model["name"], "source": source, "description": draw(TEXT), "tags": draw(TAGS), "aliases": sorted(here)})
    return made


@st.composite
def declarations(draw: st.DrawFn) -> Declaration:
    models = draw(entries(description=TEXT, tags=TAGS))
    prompts = draw(st.lists(st.fixed_dictionaries({"tags": TAGS, "versions": st.lists(st.fixed_dictionaries({"template": TEMPLATES}), max_size=3)})))
    hooks = [
        {"name": f"hook-{number}", "url": f"https://127.0.0.1:9/{number}", "events": sorted(draw(st.sets(st.sampled_from(EVENTS), min_size=1)))}
        for number in range(draw(st.integers(0, 2)))
    ]
    return {
        "experiments": draw(entries(tags=TAGS)),
        "registered_models": models,
        "model_versions": draw(versions(models)),
        # A prompt's versions cannot be taken back one by one, so each is new.
        "prompts": [{"name": f"prompt-{next(NUMBERS)}", **prompt} for prompt in prompts[:3]],
        "webhooks": hooks,
    }


def resources(server: Server, check_mode: bool = False, **options: Any) -> dict[str, Any]:
    """The result of mlflow_resources, in this process, of the kinds that this is about."""
    result = engine.resources(server.stack, check_mode, **{"kinds": list(SECTIONS), **options})
    assert not result.get("failed"), result["msg"]
    return result


def exactly(declaration: Declaration) -> Declaration:
    """The same, with everything that is not declared taken away from what is."""
    exact: Declaration = {section: [dict(entry) for entry in found] for section, found in declaration.items()}
    for entry in [*exact["experiments"], *exact["registered_models"], *exact["prompts"]]:
        entry["purge_tags"] = True
    for entry in exact["model_versions"]:
        entry.update(purge_tags=True, purge_aliases=True)
    return exact


def exported(declaration: Declaration) -> Declaration:
    """What an export of it is: what is empty left out, in the order of names."""
    everything = {**declaration, "experiments": [{"name": "Default"}, *declaration["experiments"]]}
    ordered = {section: sorted(found, key=lambda entry: str(entry["name"])) for section, found in everything.items()}
    return {section: [{key: value for key, value in entry.items() if value} for entry in found] for section, found in ordered.items() if found}


def by_source(declaration: Declaration) -> Declaration:
    """The same, with the versions of one source together: those of another that were there before keep their places among them."""
    versions = sorted(declaration.get("model_versions", []), key=lambda entry: (entry["name"], entry["source"]))
    return {**declaration, "model_versions": versions}


@pytest.fixture(scope="module")
def server(servers: Servers) -> Server:
    """A server of its own, since all that is on it goes."""
    return servers(Flavour("3.17.2", "sqlite", env=(("MLFLOW_TEST_OF", "declarations"),)))


NOTHING: Declaration = {section: [] for section in SECTIONS}


def version(source: str, name: str = "iris") -> dict[str, Any]:
    return {"name": name, "source": f"s3://bench/{source}"}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(declarations())
@example(NOTHING)
@example({**NOTHING, "registered_models": [{"name": "iris"}], "model_versions": [version("b"), version("a")]})
@example({**NOTHING, "registered_models": [{"name": "iris"}], "model_versions": [version("a"), version("b"), version("a")]})
@example({**NOTHING, "registered_models": [{"name": "iris\\"}], "model_versions": [version("a", "iris\\"), version("b\\", "iris\\")]})
def test_what_is_applied_is_what_is_exported(server: Server, declaration: Declaration) -> None:
    options: dict[str, Any] = {**exactly(declaration), "prune": list(SECTIONS)}
    predicted = resources(server, check_mode=True, **options)
    done = resources(server, **options)
    assert (done["actions"], done["diff"]) == (predicted["actions"], predicted["diff"])
    assert by_source(resources(server, state="exported")["resources"]) == by_source(exported(declaration))
    assert not resources(server, **options)["changed"]
