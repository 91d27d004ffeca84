"""The model registry against a real server, and its pure parts."""
from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import uuid
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import mlflow_utils
from mlflow_utils import _history
from mlflow_utils._alias_or_stage import place_of
from mlflow_utils._kserve import KServeMetadata, behind_proxy, manifest, service_name
from mlflow_utils._reading import NotFound
from mlflow_utils._selection import check_improvement
from mlflow_utils.model_registry import Conflict, ModelRegistry, RegistryError

if TYPE_CHECKING:
    from mlflow_utils.client import Client

SOURCE = Path(mlflow_utils.__file__).parents[1]
KSERVE = f"{SOURCE.parent}[kserve]"  # as a user installs it, in the versions that the extra's bounds give
CAPTURE: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 300}
Run = Callable[..., str]


@pytest.fixture
def registry(client: Client) -> ModelRegistry:
    return ModelRegistry(client)


@pytest.fixture
def name() -> str:
    return f"it's a model {uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def experiment_id(client: Client) -> str:
    return client.mlflow.create_experiment(f"registry {uuid.uuid4().hex}")


@pytest.fixture
def run(client: Client, experiment_id: str) -> Run:
    """Makes a finished run with the given metrics; gives its id."""

    def make(**metrics: float) -> str:
        run_id = str(client.mlflow.create_run(experiment_id).info.run_id)
        for metric, value in metrics.items():
            client.mlflow.log_metric(run_id, metric, value)
        client.mlflow.set_terminated(run_id)
        return run_id

    return make


@pytest.fixture
def versions(client: Client, registry: ModelRegistry, name: str, run: Run) -> Callable[..., None]:
    """Registers one version for each set of metrics, numbered from 1."""

    def make(*each: dict[str, float]) -> None:
        client.mlflow.create_registered_model(name)
        for number, metrics in enumerate(each, start=1):
            client.mlflow.create_model_version(name, f"s3://elsewhere/{number}", run(**metrics), await_creation_for=0)

    return make


def champion(registry: ModelRegistry, name: str) -> str:
    return str(registry.version(name, "@champion").version)


# Registering


def logged_model(client: Client, experiment_id: str, metrics: dict[str, float], model: str = "model") -> tuple[str, str]:
    """A run that logged a real model; the run's id and the model's."""
    import mlflow  # noqa: PLC0415 - two seconds

    with mlflow.start_run(experiment_id=experiment_id) as active, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the missing type hints

        class Same(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined, unused-ignore]
            def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def, unused-ignore]
                return model_input

        mlflow.log_metrics(metrics)
        info = mlflow.pyfunc.log_model(name=model, python_model=Same(), pip_requirements=[])
    return str(active.info.run_id), str(info.model_id)


def test_a_logged_model_is_registered_from_its_run_with_everything_that_was_said(
    client: Client, registry: ModelRegistry, experiment_id: str, name: str
) -> None:
    run_id, model_id = logged_model(client, experiment_id, {"f1": 0.5})
    metadata = KServeMetadata(runtime="kserve-mlserver", requests={"cpu": "500m"}, limits={"nvidia.com/gpu": "1"})
    made = registry.register(f"runs:/{run_id}/model", name, description="first", tags={"team": "risk"}, kserve=metadata, alias="champion")
    assert (made.version, made.run_id, made.source, made.description) == ("1", run_id, f"models:/{model_id}", "first")
    assert made.tags == {"team": "risk", **metadata.to_tags()}
    assert made.aliases == ["champion"]
    assert registry.kserve(name, 1) == metadata

    again = registry.register(f"models:/{model_id}", name)
    assert (again.version, again.run_id, again.source) == ("2", run_id, f"models:/{model_id}")

    copied = registry.register(f"models:/{name}@champion", f"{name} copy")
    assert (copied.name, copied.version, copied.run_id, copied.source) == (f"{name} copy", "1", run_id, f"models:/{model_id}")
    assert registry.metric(copied, "f1") == 0.5
    assert [model.name for model in registry.models() if model.name.startswith(name)] == [name, f"{name} copy"]

    import mlflow  # noqa: PLC0415

    assert mlflow.pyfunc.load_model(f"models:/{name}@champion").predict(["a"]) == ["a"]


def test_artifacts_of_a_run_and_of_elsewhere_are_registered(client: Client, registry: ModelRegistry, name: str, run: Run, tmp_path: Path) -> None:
    run_id = run(f1=0.5)
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    client.mlflow.log_artifact(run_id, str(tmp_path / "MLmodel"), "old")
    made = registry.register(f"runs:/{run_id}/old", name)
    assert made.source == f"{client.mlflow.get_run(run_id).info.artifact_uri}/old"
    assert registry.register("s3://elsewhere/model", name).source == "s3://elsewhere/model"


def test_what_cannot_be_registered_is_named(client: Client, registry: ModelRegistry, experiment_id: str, name: str, run: Run) -> None:
    run_id, _ = logged_model(client, experiment_id, {}, model="net")
    with pytest.raises(NotFound, match=re.escape(f"the run '{run_id}' has no model 'forest'; the models that it logged: 'net'")):
        registry.register(f"runs:/{run_id}/forest", name)
    bare = run()
    with pytest.raises(NotFound, match=re.escape(f"the run '{bare}' has no model 'forest'; the models that it logged: none")):
        registry.register(f"runs:/{bare}/forest", name)
    with pytest.raises(NotFound, match="model_uri names the run 'none', which does not exist"):
        registry.register("runs:/none/model", name)
    with pytest.raises(NotFound, match="model_uri is 'models:/m-none', and there is no such logged model"):
        registry.register("models:/m-none", name)
    with pytest.raises(RegistryError, match="model_uri is 'runs:/abc'; write runs:/<run id>/<model>, models:/<model id> or models:/<name>/<version>"):
        registry.register("runs:/abc", name)
    with pytest.raises(NotFound, match="there is no registered model"):
        registry.model(name)


def test_references(client: Client, registry: ModelRegistry, name: str, versions: Callable[..., None]) -> None:
    versions({}, {}, {})
    registry.promote(name, 1)
    registry.promote(name, 2, stage="staging")
    assert [registry.version(name, reference).version for reference in (3, "3", "@champion", "Staging", "latest")] == ["3", "3", "1", "2", "3"]
    assert [version.version for version in registry.versions(name)] == ["3", "2", "1"]
    quoted = re.escape(repr(name))
    with pytest.raises(NotFound, match=f"the model {quoted} has no version 9"):
        registry.version(name, 9)
    with pytest.raises(NotFound, match=f"no version of the model {quoted} has the alias 'other'; promote one to it first"):
        registry.version(name, "@other")
    with pytest.raises(NotFound, match=f"no version of the model {quoted} is in the stage Production"):
        registry.version(name, "production")
    with pytest.raises(RegistryError, match="'best' names no version; write a number, '@alias', 'latest' or a stage"):
        registry.version(name, "best")
    with pytest.raises(NotFound, match="there is no registered model 'nowhere'; register a version of it first"):
        registry.version("nowhere", "latest")
    client.mlflow.create_registered_model(f"{name} empty")
    with pytest.raises(NotFound, match=f"the model {re.escape(repr(name + ' empty'))} has no version"):
        registry.version(f"{name} empty", "latest")


def test_all_pages_are_read(registry: ModelRegistry, name: str, versions: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    versions({}, {}, {}, {}, {})
    monkeypatch.setattr("mlflow_utils._versions.PAGE", 2)
    assert [version.version for version in registry.versions(name)] == ["5", "4", "3", "2", "1"]
    assert name in [model.name for model in registry.models()]


# Promoting


@pytest.mark.parametrize(
    ("candidate", "direction", "min_improvement", "promoted", "reason"),
    [
        ({"f1": 0.91}, "max", 0.0, True, "f1 is 0.91, the champion has 0.9: better by 0.01"),
        ({"f1": 0.91}, "max", 0.01, True, "f1 is 0.91, the champion has 0.9: better by 0.01"),
        ({"f1": 0.91}, "max", 0.02, False, "f1 is 0.91, the champion has 0.9: better by 0.01, less than the 0.02 asked for"),
        ({"f1": 0.9}, "max", 0.0, False, "f1 is 0.9, the champion has 0.9: not better"),
        ({"f1": 0.91}, "min", 0.0, False, "f1 is 0.91, the champion has 0.9: not better"),
        ({"f1": 0.8}, "min", 0.1, True, "f1 is 0.8, the champion has 0.9: better by 0.1"),
        ({"f1": math.nan}, "max", 0.0, False, "the candidate has no metric 'f1'"),
        ({}, "max", 0.0, False, "the candidate has no metric 'f1'"),
    ],
)
def test_only_a_better_version_is_promoted(
    registry: ModelRegistry,
    name: str,
    versions: Callable[..., None],
    candidate: dict[str, float],
    direction: Any,
    min_improvement: float,
    promoted: bool,
    reason: str,
) -> None:
    versions({"f1": 0.9}, candidate)
    first = registry.promote(name, 1, metric="f1")
    assert (first.promoted, first.previous, first.reason) == (True, None, "f1 is 0.9, and there is no champion yet")
    expected = registry.compare(name, 2, metric="f1", direction=direction, min_improvement=min_improvement)
    assert champion(registry, name) == "1"
    done = registry.promote(name, 2, metric="f1", direction=direction, min_improvement=min_improvement)
    assert (done.promoted, done.previous, done.reason, done.check, done.place) == (promoted, "1", reason, expected, "alias champion")
    assert champion(registry, name) == ("2" if promoted else "1")
    assert registry.history(name) == (["1"] if promoted else [])


def test_a_champion_without_the_metric_stays_until_it_is_replaced_by_hand(registry: ModelRegistry, name: str, versions: Callable[..., None]) -> None:
    versions({}, {"f1": 0.9})
    registry.promote(name, 1)
    refused = registry.promote(name, 2, metric="f1")
    assert (refused.promoted, refused.reason) == (False, "the champion has no metric 'f1' to compare with")
    by_hand = registry.promote(name, 2)
    assert (by_hand.promoted, by_hand.reason, by_hand.check) == (True, "no metric was asked for", None)
    again = registry.promote(name, 2, metric="f1")
    assert (again.promoted, again.previous, again.reason) == (False, "2", "version 2 holds alias champion already")
    assert registry.history(name) == ["1"]


def test_the_logged_model_counts_before_its_run_and_its_nan_is_no_zero(
    client: Client, registry: ModelRegistry, experiment_id: str, name: str
) -> None:
    run_id, model_id = logged_model(client, experiment_id, {"f1": 0.5, "broken": math.nan, "zero": 0.0})
    client.mlflow.log_metric(run_id, "f1", 0.1, step=1)  # of another model of the run
    client.mlflow.log_metric(run_id, "of the run", 0.3)
    version = registry.register(f"models:/{model_id}", name)
    assert [registry.metric(version, metric) for metric in ("f1", "broken", "zero", "of the run", "none")] == [0.5, None, 0.0, 0.3, None]


def test_a_version_whose_run_is_gone_has_no_metric(client: Client, registry: ModelRegistry, name: str) -> None:
    client.mlflow.create_registered_model(name)
    client.mlflow.create_model_version(name, "s3://elsewhere/1", uuid.uuid4().hex, await_creation_for=0)
    assert registry.metric(registry.version(name, 1), "f1") is None


def test_a_stage_is_held_by_one_version_at_a_time(registry: ModelRegistry, name: str, versions: Callable[..., None]) -> None:
    versions({"f1": 0.1}, {"f1": 0.2})
    assert registry.promote(name, 1, stage="production").place == "stage Production"
    done = registry.promote(name, 2, stage="Production", metric="f1")
    assert (done.promoted, done.previous) == (True, "1")
    assert [version.current_stage for version in registry.versions(name)] == ["Production", "Archived"]
    assert registry.rollback(name, stage="Production").version == "1"
    assert [version.current_stage for version in registry.versions(name)] == ["Archived", "Production"]
    assert registry.promote(name, 2, stage="Archived").reason == "version 2 holds stage Archived already"
    assert registry.history(name) == []


def test_wrong_arguments_of_promote(registry: ModelRegistry, name: str) -> None:
    with pytest.raises(RegistryError, match=r"both alias \('a'\) and stage \('Staging'\) are given; leave one of them out"):
        registry.promote(name, 1, alias="a", stage="Staging")
    with pytest.raises(RegistryError, match="the stage is 'live'; MLflow has the stages None, Staging, Production, Archived"):
        registry.promote(name, 1, stage="live")
    for alias in ("", "a b", "latest", "v12", "x" * 256):
        with pytest.raises(RegistryError, match="the alias is '.*'; MLflow takes letters, digits, '_' and '-', but neither 'latest' nor 'v' with"):
            registry.promote(name, 1, alias=alias)
    with pytest.raises(RegistryError, match=r"direction is 'up'; it must be 'max' \(more is better\) or 'min' \(less is better\)"):
        registry.promote(name, 1, metric="f1", direction="up")  # type: ignore[arg-type]
    with pytest.raises(RegistryError, match="min_improvement is -1; it must be 0 or more, in the metric's unit"):
        registry.promote(name, 1, metric="f1", min_improvement=-1)
    with pytest.raises(NotFound, match="has no version 1"):
        registry.promote(name, 1)


class Meddler:
    """MLflow's client, and another one that moves the alias right after each move."""

    def __init__(self, client: Any, move: Callable[[], None]) -> None:
        self._client = client
        self._move = move

    def __getattr__(self, method: str) -> Any:
        return getattr(self._client, method)

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        self._client.set_registered_model_alias(name, alias, version)
        self._move()


@pytest.mark.parametrize("theirs", ["3", None])
def test_a_promotion_that_another_client_undid_at_once_says_so(
    client: Client, registry: ModelRegistry, name: str, versions: Callable[..., None], monkeypatch: pytest.MonkeyPatch, theirs: str | None
) -> None:
    versions({}, {}, {})

    def move() -> None:
        if theirs:
            client.mlflow.set_registered_model_alias(name, "champion", theirs)
        else:
            client.mlflow.delete_registered_model_alias(name, "champion")

    monkeypatch.setattr(registry, "_mlflow", Meddler(client.mlflow, move))
    now = "version 3 has it" if theirs else "no version has it"
    with pytest.raises(Conflict, match=f"version 2 of the model .* got the alias champion, and another client changed that at once: {now}; try"):
        registry.promote(name, 2)


# Promoting at the same moment


class Turns:
    """The server, with what is to happen before and after an alias is set."""

    def __init__(self, server: Any, before: Callable[[], object], after: Callable[[], object]) -> None:
        self._server, self._before, self._after = server, before, after

    def __getattr__(self, name: str) -> Any:
        if name != "set_registered_model_alias":
            return getattr(self._server, name)

        def in_turn(*words: Any) -> None:
            self._before()
            self._server.set_registered_model_alias(*words)
            self._after()

        return in_turn


def both(client: Client, name: str, turns: Mapping[str, tuple[Callable[[], object], Callable[[], object]]]) -> dict[str, Any]:
    """What becomes of versions that are promoted at once by f1; each has what is to happen around its move."""
    found: dict[str, Any] = {}

    def promote(version: str) -> None:
        registry = ModelRegistry(client)
        registry._mlflow = Turns(client.mlflow, *turns[version])  # type: ignore[assignment]
        try:
            found[version] = registry.promote(name, version, metric="f1")
        except Conflict as error:
            found[version] = error

    threads = [threading.Thread(target=promote, args=(version,)) for version in turns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == len(turns), "a promotion waits for ever"
    return found


def claims_left(registry: ModelRegistry, name: str) -> list[str]:
    return [tag for tag in registry.model(name).tags if tag.startswith("mlflow_utils.claim.")]


def test_the_better_of_two_that_are_promoted_at_once_has_the_place(
    client: Client, registry: ModelRegistry, name: str, versions: Callable[..., None]
) -> None:
    versions({"f1": 0.8}, {"f1": 0.95}, {"f1": 0.9})
    none = (lambda: None, lambda: None)
    for _race in range(5):
        registry.promote(name, 1)
        found = both(client, name, {"2": none, "3": none})
        assert champion(registry, name) == "2", found
        assert found["2"].promoted
    assert claims_left(registry, name) == []


def test_a_worse_one_that_decided_before_and_moves_after_does_not_keep_the_place(
    client: Client, registry: ModelRegistry, name: str, versions: Callable[..., None]
) -> None:
    versions({"f1": 0.8}, {"f1": 0.95}, {"f1": 0.9})
    registry.promote(name, 1)
    decided, moved = threading.Event(), threading.Event()

    def worse() -> None:
        decided.set()
        assert moved.wait(60)

    found: dict[str, Any] = {}
    first = threading.Thread(target=lambda: found.update(both(client, name, {"3": (worse, lambda: None)})))
    first.start()
    assert decided.wait(60)
    found.update(both(client, name, {"2": (lambda: None, moved.set)}))
    first.join(60)
    assert champion(registry, name) == "2", found
    assert (found["2"].promoted, found["2"].previous) == (True, "3")
    assert found["2"].reason == "f1 is 0.95, the champion has 0.9: better by 0.05"
    assert claims_left(registry, name) == []


def test_the_claim_of_a_client_that_died_is_waited_for_once(
    client: Client, registry: ModelRegistry, name: str, versions: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    versions({"f1": 0.8}, {"f1": 0.95}, {"f1": 0.9})
    registry.promote(name, 1)
    monkeypatch.setattr("mlflow_utils._promotion.CLAIM_SECONDS", 0.3)
    client.mlflow.set_registered_model_tag(name, "mlflow_utils.claim.dead", "alias champion: 2")
    client.mlflow.set_registered_model_tag(name, "mlflow_utils.claim.gone", "alias champion: 99")
    assert registry.promote(name, 3, metric="f1").promoted
    assert claims_left(registry, name) == []
    assert champion(registry, name) == "3"


def test_a_place_that_is_given_by_hand_meanwhile_is_left_alone(
    client: Client, registry: ModelRegistry, name: str, versions: Callable[..., None]
) -> None:
    versions({"f1": 0.8}, {"f1": 0.95}, {"f1": 0.1})
    registry.promote(name, 1)
    found = both(client, name, {"2": (lambda: None, lambda: client.mlflow.set_registered_model_alias(name, "champion", "3"))})
    assert isinstance(found["2"], Conflict)
    assert champion(registry, name) == "3"


# Rolling back


def test_rolling_back_goes_back_step_by_step(registry: ModelRegistry, name: str, versions: Callable[..., None]) -> None:
    versions({}, {}, {}, {})
    for number in (1, 2, 3, 4):
        registry.promote(name, number)
    registry.promote(name, 1, alias="challenger")
    assert registry.history(name) == ["1", "2", "3"]
    first = registry.rollback(name)
    assert (first.version, first.replaced, first.place) == ("3", "4", "alias champion")
    assert registry.rollback(name).version == "2"
    registry.promote(name, 4)
    assert registry.history(name) == ["1", "2"]
    assert [registry.rollback(name).version for _ in range(2)] == ["2", "1"]
    with pytest.raises(NotFound, match="no earlier version of the model .* is known to have held the alias champion; promote the version that you"):
        registry.rollback(name)
    assert champion(registry, name) == "1"
    with pytest.raises(NotFound, match="to have held the alias challenger"):
        registry.rollback(name, alias="challenger")


def test_deleted_versions_are_passed_over_and_a_deleted_champion_is_replaced(
    client: Client, registry: ModelRegistry, name: str, versions: Callable[..., None]
) -> None:
    versions({}, {}, {})
    for number in (1, 2, 3):
        registry.promote(name, number)
    client.mlflow.delete_model_version(name, "2")
    client.mlflow.delete_model_version(name, "3")
    done = registry.rollback(name)
    assert (done.version, done.replaced) == ("1", None)
    assert champion(registry, name) == "1"


class Held:
    """A place and its history, on a server that gets the first requests only."""

    def __init__(self) -> None:
        self.holder: str | None = None
        self.history: list[str] = []

    def write(self, writes: list[_history.Write], reach_it: int) -> bool:
        """Whether the place was given to another."""
        moved = False
        for write in writes[:reach_it]:
            if write.holder is None:
                self.history = _history.parse(_history.render(write.history))
            else:
                moved = moved or self.holder != write.holder
                self.holder = write.holder
        return moved


VERSIONS = st.sampled_from("12345")
STEPS = st.lists(st.tuples(st.one_of(VERSIONS, st.none()), st.integers(0, 3)), max_size=30)


@given(STEPS)
def test_the_history_is_a_stack_wherever_a_client_is_cut_off(steps: list[tuple[str | None, int]]) -> None:
    held, stack = Held(), [""]
    for version, reach_it in steps:
        if version is None:
            if held.write(_history.rollback(held.history, held.holder, set("12345")), reach_it):
                stack.pop()
        elif version != held.holder and held.write(_history.promotion(held.history, held.holder, version), reach_it):
            stack.append(version)
        assert (held.holder or "") == stack[-1]
        assert _history.trimmed(held.history, held.holder) == stack[1:-1]
        assert bool(_history.rollback(held.history, held.holder, set("12345"))) == (len(stack) > 2)


@given(st.lists(VERSIONS), st.one_of(VERSIONS, st.none()), st.sets(VERSIONS))
def test_a_roll_back_goes_to_the_last_version_that_is_there_and_is_another(history: list[str], current: str | None, existing: set[str]) -> None:
    writes = _history.rollback(history, current, existing)
    others = [version for version in history if version in existing - {current}]
    assert [write.holder for write in writes if write.holder is not None] == others[-1:]
    assert not writes or writes[-1].history == tuple(version for version in history if version in existing)[: len(writes[-1].history)]


@given(st.lists(st.integers(1, 10**6).map(str), max_size=120))
def test_the_tag_keeps_the_last_fifty(history: list[str]) -> None:
    assert _history.parse(_history.render(history)) == history[-50:]


FLOATS = st.one_of(st.none(), st.floats())


@given(FLOATS, FLOATS, st.booleans(), st.sampled_from(["max", "min"]), st.floats(0, 1e300))
def test_nothing_worse_and_nothing_missing_ever_passes(
    candidate: float | None, champion: float | None, has_champion: bool, direction: Any, min_improvement: float
) -> None:
    check = check_improvement("f1", candidate, champion, has_champion=has_champion, direction=direction, min_improvement=min_improvement)
    if candidate is None or math.isnan(candidate) or (has_champion and (champion is None or math.isnan(champion))):
        assert not check.passed
    elif has_champion and champion is not None:
        better = candidate > champion if direction == "max" else candidate < champion
        assert better or not check.passed
        assert check.passed or not better or (check.improvement is not None and check.improvement < min_improvement)
    else:
        assert check.passed
    assert "\n" not in check.reason


# KServe

NAMES = st.from_regex(r"([a-z0-9.-]{1,9}/)?[A-Za-z0-9._-]{1,9}", fullmatch=True)
QUANTITIES = st.builds(lambda number, unit: f"{number}{unit}", st.integers(0, 10**6), st.sampled_from(["", "m", "Gi", "M"]))
RESOURCES = st.dictionaries(NAMES, QUANTITIES, max_size=3)
METADATA = st.builds(
    KServeMetadata,
    model_format=st.sampled_from(["mlflow", "sklearn", "xgboost"]),
    model_format_version=st.one_of(st.none(), st.just("2")),
    runtime=st.one_of(st.none(), st.just("kserve-mlserver")),
    protocol_version=st.sampled_from([None, "v1", "v2", "grpc-v2"]),
    storage_uri=st.sampled_from([None, "s3://bucket/model", "pvc://claim/model"]),
    requests=RESOURCES,
    limits=RESOURCES,
)


@given(METADATA)
def test_tags_carry_the_whole_metadata(metadata: KServeMetadata) -> None:
    assert KServeMetadata.from_tags({"team": "risk", **metadata.to_tags()}) == metadata


@given(st.text(max_size=300))
def test_a_service_has_a_name_that_kubernetes_takes(model: str) -> None:
    if re.search("[a-z0-9]", model.lower()):
        assert re.fullmatch("[a-z]([-a-z0-9]{0,51}[a-z0-9])?", service_name(model))
    else:
        with pytest.raises(ValueError, match=re.escape(f"the model's name {model!r} has no character that Kubernetes takes in a name; set service")):
            service_name(model)


def test_metadata_is_replaced_whole(registry: ModelRegistry, name: str, versions: Callable[..., None]) -> None:
    versions({})
    assert registry.kserve(name, 1) == KServeMetadata()
    registry.set_kserve(name, 1, KServeMetadata(runtime="a", limits={"cpu": "2", "memory": "1Gi"}))
    registry.set_kserve(name, 1, KServeMetadata(limits={"cpu": "1"}))
    assert registry.version(name, 1).tags == {"kserve.model_format": "mlflow", "kserve.limits.cpu": "1"}


def test_a_tag_that_cannot_be_right_is_refused(client: Client, registry: ModelRegistry, name: str, versions: Callable[..., None]) -> None:
    versions({})
    client.mlflow.set_model_version_tag(name, "1", "kserve.limits.cpu", "much")
    with pytest.raises(RegistryError, match="limits asks for 'much' of cpu; write a quantity such as '500m', '2' or '1.5Gi'"):
        registry.inference_service(name, 1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_format": ""}, "model_format is empty; it must name a format that a serving runtime supports, such as 'mlflow'"),
        ({"protocol_version": "v3"}, "protocol_version is 'v3'; it must be 'v1', 'v2' or 'grpc-v2'"),
        ({"storage_uri": "/a"}, "the storage URI is '/a', which KServe cannot read; give one such as 's3://bucket/path' or 'pvc://claim/path'"),
        ({"requests": {"a b": "1"}}, "requests names the resource 'a b'; Kubernetes has names such as 'cpu', 'memory' and 'nvidia.com/gpu'"),
        ({"limits": {"cpu": "-1"}}, "limits asks for '-1' of cpu; write a quantity such as '500m', '2' or '1.5Gi'"),
    ],
)
def test_metadata_that_cannot_be_right_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        KServeMetadata(**fields)


@pytest.mark.parametrize("service", ["-a", "a-", "A", "7", "a" * 54, "", "a.b"])
def test_a_service_name_that_kserve_refuses(service: str) -> None:
    with pytest.raises(ValueError, match=f"service_name is '{service}'; it must have at most 53 of a-z, 0-9 and '-', begin with a letter and not"):
        manifest(KServeMetadata(), storage_uri="s3://a/b", name=service)


def test_the_places_of_aliases_and_stages_do_not_meet() -> None:
    assert place_of("stage", None).history_tag != place_of(None, "Production").history_tag
    assert behind_proxy("mlflow-artifacts://server:5000/1/a", "pvc://claim") == "pvc://claim/1/a"


def test_the_manifest_says_where_the_proxied_artifacts_lie(client: Client, registry: ModelRegistry, experiment_id: str, name: str) -> None:
    run_id, model_id = logged_model(client, experiment_id, {})
    metadata = KServeMetadata(runtime="kserve-mlserver", requests={"cpu": "500m", "memory": "512Mi"}, limits={"memory": "1Gi"})
    registry.register(f"models:/{model_id}", name, kserve=metadata, alias="champion")
    where = f"mlflow-artifacts:/{experiment_id}/models/{model_id}/artifacts"
    with pytest.raises(RegistryError, match=f"the model lies at '{where}', behind MLflow's artifact proxy, where KServe cannot read; set artifact"):
        registry.inference_service(name)
    made = registry.inference_service(name, artifact_root="s3://warehouse/mlflow", namespace="serving", service_account="reader", service_name="risk")
    assert made == {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": "risk",
            "namespace": "serving",
            "annotations": {"mlflow-utils/model": name, "mlflow-utils/version": "1", "mlflow-utils/run-id": run_id},
        },
        "spec": {
            "predictor": {
                "serviceAccountName": "reader",
                "model": {
                    "modelFormat": {"name": "mlflow"},
                    "protocolVersion": "v2",
                    "runtime": "kserve-mlserver",
                    "storageUri": f"s3://warehouse/mlflow/{experiment_id}/models/{model_id}/artifacts",
                    "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
                },
            }
        },
    }
    # By MLflow's URI, and for KServe on a volume: the claim holds what the server calls its artifacts destination.
    for uri in (f"models:/{name}@champion", f"models:/{name}/1"):
        on_volume = registry.inference_service(uri, artifact_root="pvc://mlflow-client-artifacts")
        assert on_volume["spec"]["predictor"]["model"]["storageUri"] == f"pvc://mlflow-client-artifacts/{experiment_id}/models/{model_id}/artifacts"
        assert on_volume["metadata"]["annotations"]["mlflow-utils/model"] == name
        assert registry.serving_advice(uri) == registry.serving_advice(name)
    with pytest.raises(RegistryError, match="the storage URI is 'runs:/x/"):
        registry.inference_service(name, artifact_root="runs:/x")


# In an environment of its own: what kserve asks for has other versions than what MLflow asks for.
PARSE = """
import json, sys, yaml
import kserve.models
import kubernetes.client
from kserve.api_client import ApiClient
from mlflow_utils._kserve import sdk_object

# kserve 0.21 looks for the classes of Kubernetes in its own module, where they are not.
kserve.models.__getattr__ = lambda name: getattr(kubernetes.client, name)

class Answer:
    data = json.dumps(yaml.safe_load(sys.stdin.read()))

api = ApiClient()
parsed = api.deserialize(Answer, "V1beta1InferenceService")
assert type(parsed) is kserve.models.V1beta1InferenceService, parsed
made = sdk_object(json.loads(Answer.data))
assert made == parsed, made
print(json.dumps(api.sanitize_for_serialization(parsed)))
"""


@pytest.fixture(scope="session")
def kserve_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the KServe SDK."""
    home = tmp_path_factory.mktemp("kserve")
    uv = shutil.which("uv") or str(Path(__file__).parents[2] / ".venv" / "bin" / "uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(home)], check=True, timeout=120)
    python = home / "bin" / "python"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), KSERVE], check=True, timeout=500)
    return python


@pytest.mark.server
@pytest.mark.parametrize(
    "metadata",
    [
        KServeMetadata(),
        KServeMetadata("sklearn", "1", "custom", "v1", "pvc://claim/model", {"cpu": "500m"}, {"nvidia.com/gpu": "1", "memory": "1.5Gi"}),
    ],
    ids=["defaults", "everything"],
)
def test_the_kserve_sdk_parses_the_manifest_and_loses_nothing(metadata: KServeMetadata, kserve_python: Path) -> None:
    made = manifest(
        metadata, storage_uri=metadata.storage_uri or "s3://a/b", name="risk", namespace="serving", service_account="reader", annotations={"a/b": "c"}
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([str(kserve_python), "-c", PARSE], input=yaml.safe_dump(made), env=environment, **CAPTURE, check=False)
    assert done.returncode == 0, done.stderr
    made["spec"]["predictor"]["model"]["name"] = ""  # the SDK's own default
    assert json.loads(done.stdout) == made
