"""mlflow_experiment and mlflow_experiment_info against a real MLflow."""
from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness import ModuleRunner, Stack, Table, WriteGuard, twelve_steps

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient

MODULE = "mlflow_experiment"
EXPERIMENTS = "/api/2.0/mlflow/experiments"

# In several scripts, of 250 characters, with what URLs, SQL and shells would mangle.
NAMES = ["имя опыта 模型 🤖", "a/b: quote ' double \" percent %20 & plus + ; $(x) \\ *", "n" * 250, ".leading"]


def number(server: RestClient, name: str) -> str:
    return str(server.get(f"{EXPERIMENTS}/get-by-name", experiment_name=name)["experiment"]["experiment_id"])


@pytest.fixture
def name(server: RestClient, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of an experiment that is not there, and will be deleted. MLflow keeps the name of a deleted one, so each is new."""
    stamp = server.listed(f"{EXPERIMENTS}/search", "experiments", max_results=1000, view_type="ALL")
    name = f"test {request.node.name} {max(int(entry['experiment_id']) for entry in stamp)}"
    yield name
    for used in (name, f"{name} renamed"):
        found = server.get_or_none(f"{EXPERIMENTS}/get-by-name", experiment_name=used)
        if found and found["experiment"]["lifecycle_stage"] == "active":
            server.write("POST", f"{EXPERIMENTS}/delete", {"experiment_id": found["experiment"]["experiment_id"]})


def test_twelve_steps(run: ModuleRunner, stack: Stack, name: str) -> None:
    table = Table(
        module=MODULE,
        create={"name": name, "artifact_location": "s3://elsewhere/a", "tags": {"team": "risk", "tier": 1}},
        change={"name": name, "tags": {"team": "fraud", "empty": ""}, "purge_tags": True},
        delete={"name": name, "state": "absent"},
        result="experiment",
    )
    with WriteGuard(stack.tracking_uri).running() as guard:
        twelve_steps(run, table, {"MLFLOW_TRACKING_URI": guard.uri}, lambda: guard.writes)


@pytest.mark.parametrize("odd", NAMES)
def test_names(run: ModuleRunner, odd: str) -> None:
    tags = {"имя 模型/a.b: c-d": odd}
    run.succeed(MODULE, name=odd, tags=tags)
    again = run.succeed(MODULE, name=odd, tags=tags)
    assert not again["changed"]
    assert (again["experiment"]["name"], again["experiment"]["tags"]) == (odd, tags)
    (found,) = run.succeed(f"{MODULE}_info", name=odd)["experiments"]
    assert found == again["experiment"]
    assert run.succeed(MODULE, name=odd, state="absent")["changed"]


def test_a_deleted_one_is_restored_with_its_runs(run: ModuleRunner, server: RestClient, name: str) -> None:
    run.succeed(MODULE, name=name, tags={"a": "1"})
    made = number(server, name)
    server.write("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": made}, idempotent=False)
    run.succeed(MODULE, name=name, state="absent")
    result = run.succeed(MODULE, name=name, tags={"b": "2"})
    assert result["actions"] == [f"update experiment {name} lifecycle_stage", f"update experiment {name} tags.b"]
    assert (result["experiment"]["experiment_id"], result["experiment"]["tags"]) == (made, {"a": "1", "b": "2"})
    runs = server.listed("/api/2.0/mlflow/runs/search", "runs", "POST", experiment_ids=[made])
    assert len(list(runs)) == 1


def test_rename(run: ModuleRunner, server: RestClient, name: str) -> None:
    run.succeed(MODULE, name=name)
    made = number(server, name)
    renamed = run.succeed(MODULE, name=name, new_name=f"{name} renamed", tags={"a": "1"})
    assert (renamed["experiment"]["name"], renamed["experiment"]["experiment_id"]) == (f"{name} renamed", made)
    assert not run.succeed(MODULE, name=name, new_name=f"{name} renamed")["changed"]
    run.succeed(MODULE, name=name)
    assert "both exist" in run.fail(MODULE, name=name, new_name=f"{name} renamed")


def test_a_location_stays(run: ModuleRunner, name: str) -> None:
    run.succeed(MODULE, name=name, artifact_location="s3://elsewhere/a")
    for check in (False, True):
        message = run.fail(MODULE, name=name, artifact_location="s3://elsewhere/b", check=check)
        assert message.startswith("artifact_location: cannot be changed from 's3://elsewhere/a' to 's3://elsewhere/b'")


def test_what_the_server_does_not_store_is_refused_before_it_is_asked(run: ModuleRunner, server: RestClient, name: str) -> None:
    for check in (False, True):
        message = run.fail(MODULE, name=name, artifact_location="s3://b/" + "l" * 293, check=check)
        assert "has 300 characters; MLflow stores at most 256" in message
        assert "contains a character that databases cannot store" in run.fail(MODULE, name=name, tags={"k": "a\0b"}, check=check)
        # MLflow asks the path of an upload for the experiment's number; a user with MANAGE would get 403.
        message = run.fail(MODULE, name=name, artifact_location="mlflow-artifacts:/team-a", check=check)
        assert "'mlflow-artifacts:/team-a' cannot be used with basic authentication" in message
    assert server.get_or_none(f"{EXPERIMENTS}/get-by-name", experiment_name=name) is None
    state = run.succeed(MODULE, name=name, artifact_location="s3://b/" + "l" * 249, tags={"long": "v" * 20_000})["experiment"]
    assert (len(state["artifact_location"]), len(state["tags"]["long"])) == (256, 20_000)


def test_info(run: ModuleRunner, name: str) -> None:
    run.succeed(MODULE, name=name, tags={"a": "1"})
    (found,) = run.succeed(f"{MODULE}_info", filter=f"name = '{name}' AND tags.a = '1'")["experiments"]
    assert (found["name"], found["tags"], found["lifecycle_stage"]) == (name, {"a": "1"}, "active")
    everything = run.succeed(f"{MODULE}_info")["experiments"]
    assert {name, "Default"} <= {entry["name"] for entry in everything}
    run.succeed(MODULE, name=name, state="absent")
    assert name not in {entry["name"] for entry in run.succeed(f"{MODULE}_info")["experiments"]}
    assert name in {entry["name"] for entry in run.succeed(f"{MODULE}_info", view="deleted_only")["experiments"]}
    assert run.succeed(f"{MODULE}_info", name="nowhere")["experiments"] == []
    assert "INVALID_PARAMETER_VALUE" in run.fail(f"{MODULE}_info", filter="nonsense")
