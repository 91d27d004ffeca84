"""Hostile values for every module against real servers: no traceback, and check mode predicts what a run does.

MLFLOW_TEST_HOSTILE is the number of inputs, a few hundred by default; ``make hostile`` tries ten thousand. At the end it prints what was
tried, by module.
"""
from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import engine
import pytest
from harness import Stack
from hostile import Entry, buckets, databases, entries, selections
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tracking_servers import Flavour, Servers

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ServerError
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.kinds import KINDS
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import Connection, RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.declaration import misfit
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ImmutableField

#: Half of the inputs are entries of declarations; the others are options of single modules.
INPUTS = int(os.environ.get("MLFLOW_TEST_HOSTILE", "300")) // 2
BATCH = 10
#: The stack's server has no workspaces.
WORKSPACES = Flavour("3.17.2", "postgresql", auth=True, workspaces=True)
#: The module of each kind.
MODULES = {kind.module: section for section, kind in KINDS.items()}
SINGLE: dict[str, Callable[[], st.SearchStrategy[Entry]]] = {"mlflow_database": databases, "mlflow_bucket": buckets}
SELECTIONS = selections()
EVERY = [*MODULES, *SINGLE, *SELECTIONS]
#: What was tried, by module and outcome.
SEEN: Counter[tuple[str, str]] = Counter()
REFUSED, STOPPED, DONE = "refused", "stopped by the server", "done"


@pytest.fixture(scope="module")
def ground(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The server with what entries build on; all of it goes again."""
    base: dict[str, list[Entry]] = {
        "users": [{"username": "hostile", "password": "a password for them"}],
        "registered_models": [{"name": "hostile"}],
        "gateway_secrets": [{"name": "hostile", "provider": "openai", "value": {"api_key": "a key of nobody"}}],
        "gateway_model_definitions": [{"name": "hostile", "provider": "openai", "secret": "hostile", "model_name": "m"}],
    }
    engine.resources(stack, False, **base)
    yield stack
    for section in reversed(base):
        outcome(stack, section, [{**entry, "state": "absent"} for entry in base[section]])
    with closing(RestClient(Connection(stack.tracking_uri, stack.tracking_username, stack.tracking_password))) as client:
        if client.get_or_none("/api/2.0/mlflow/registered-models/get", name="hostile"):
            client.write("DELETE", "/api/2.0/mlflow/registered-models/delete", {"name": "hostile"})
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{'module':<46}{'inputs':>8}{REFUSED:>9}{STOPPED:>23}{DONE:>6}")
        for module in sorted({module for module, _outcome in SEEN}):
            counts = [SEEN[module, each] for each in (REFUSED, STOPPED, DONE)]
            print(f"{module:<46}{sum(counts):>8}{counts[0]:>9}{counts[1]:>23}{counts[2]:>6}")
        print(f"{'all':<46}{sum(SEEN.values()):>8}; what check mode predicted differently, or a traceback, is a failed test above")


def trying(inputs: st.SearchStrategy[Any], count: int, attempt: Callable[[Any], None]) -> None:
    """Call ``attempt`` with ``count`` of ``inputs``. What fails is not made smaller, which would take minutes with real servers."""
    how = settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    how(given(inputs)(attempt))()


# Entries of a declaration


def refusal(section: str, entry: Entry) -> str | None:
    """What is said of the entry before any server is asked."""
    rules = KINDS[section].rules
    try:
        problem = misfit(section, entry, rules.OPTIONS)
        if not problem:
            engine.validate(section, entry)
        return problem
    except (InvalidOption, Refused) as error:
        return str(error)


def outcome(stack: Stack, section: str, found: Sequence[Entry], check_mode: bool = False) -> tuple[str, Any]:
    """What a module would say of it: the message, or what was done. Anything else is raised, and fails the test."""
    try:
        result = engine.resources(stack, check_mode, **{section: list(found)})
    except (ImmutableField, InvalidOption, Refused, ServerError) as error:
        return STOPPED, str(error)
    return ("failed", result["msg"]) if result.get("failed") else (DONE, (result["changed"], result["actions"], result["diff"]))


def agree(stack: Stack, section: str, found: Sequence[Entry]) -> None:
    """Check mode and a run come to the same. Where an entry keeps the others from it, they are tried one by one."""
    predicted = outcome(stack, section, found, check_mode=True)
    if predicted[0] == STOPPED and len(found) > 1:
        for entry in found:
            agree(stack, section, [entry])
        return
    done = outcome(stack, section, found)
    assert done == predicted, f"{section}: {found!r:.1000}: {predicted!r:.500}, and then {done!r:.1000}"
    SEEN[f"mlflow_resources {section}", done[0]] += len(found)
    if done[0] == DONE:
        again = outcome(stack, section, found)
        assert again[1][0] is False, f"{section}: {found!r:.1000}: {again!r:.1000}"
        gone = [absent(entry, KINDS[section].rules.OPTIONS) for entry in found]
        removed = outcome(stack, section, gone)
        assert removed[0] == DONE, f"{section}: {gone!r:.1000}: {removed!r:.1000}"


def absent(entry: Entry, options: Any) -> Entry:
    """The entry, to be removed with all that belongs to it."""
    return {**entry, "state": "absent", **{option: True for option in ("force", "remove_owner") if option in options}}


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("section", KINDS)
def test_check_mode_foresees_what_becomes_of_hostile_texts(ground: Stack, servers: Servers, section: str) -> None:
    stack = servers(WORKSPACES).stack if section == "workspaces" else ground

    def attempt(batch: list[Entry]) -> None:
        taken: dict[tuple[str, ...], Entry] = {}
        for entry in batch:
            if refusal(section, entry):
                SEEN[f"mlflow_resources {section}", REFUSED] += 1
            else:
                taken.setdefault(KINDS[section].rules.identity(entry), entry)
        if taken:
            agree(stack, section, list(taken.values()))

    # The first example is the plainest there is.
    trying(st.lists(entries(section), min_size=BATCH, max_size=BATCH), 1 + INPUTS // len(KINDS) // BATCH, attempt)


# Options of single modules


def connection(stack: Stack, module: str) -> Entry:
    """The options by which a module reaches its server."""
    if module == "mlflow_database":
        return {"login_host": stack.pg_host, "login_port": stack.pg_port, "login_user": stack.pg_user, "login_password": stack.pg_password}
    if module == "mlflow_bucket":
        return {"endpoint_url": stack.s3_endpoint, "access_key": stack.s3_access_key, "secret_key": stack.s3_secret_key}
    return {"tracking_uri": stack.tracking_uri, "tracking_username": stack.tracking_username, "tracking_password": stack.tracking_password}


def said(stack: Stack, module: str, options: Entry, check_mode: bool = False) -> tuple[bool, Any]:
    """Whether the module failed, and its message or what it did."""
    result = engine.main(module, {**connection(stack, module), **options}, check_mode)
    if result.get("failed"):
        message = result["msg"]
        assert not message.startswith("Unsupported parameters"), message
        assert "Traceback" not in message + str(result.get("exception", "")), f"{module}: {options!r:.1000}: {result!r:.3000}"
        return True, message
    return False, {key: value for key, value in result.items() if key in ("changed", "actions", "diff") or module in SELECTIONS}


@pytest.mark.filterwarnings("ignore:Generating overly large repr", "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("module", EVERY)
def test_a_module_does_with_hostile_options_what_check_mode_predicts(ground: Stack, servers: Servers, module: str) -> None:
    stack = servers(WORKSPACES).stack if "workspace" in module else ground
    inputs = SELECTIONS[module] if module in SELECTIONS else SINGLE[module]() if module in SINGLE else entries(MODULES[module])

    def attempt(options: Entry) -> None:
        failed, predicted = said(stack, module, options, check_mode=True)
        assert said(stack, module, options) == (failed, predicted), f"{module}: {options!r:.1000}"
        SEEN[module, REFUSED if failed else DONE] += 1
        if failed or module in SELECTIONS:
            return
        again = said(stack, module, options)
        assert again[1]["changed"] is False, f"{module}: {options!r:.1000}: {again!r:.1000}"
        spec = KINDS[MODULES[module]].rules.OPTIONS if module in MODULES else {"force", *(["remove_owner"] if module == "mlflow_database" else [])}
        gone = absent(options, spec)
        assert not said(stack, module, gone)[0], f"{module}: {gone!r:.1000}"

    trying(inputs, 1 + INPUTS // len(EVERY), attempt)
    gc.collect()  # a module leaves its connections to the end of its process
