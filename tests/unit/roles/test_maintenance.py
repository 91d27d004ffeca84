"""What may be deleted for good, and what the role maintenance is told, without a server."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import maintenance
import pytest
from maintenance import MaintenanceError
from maintenance_plan import Ages, Facts, Place, Plan, Planner, Thing, Version, told

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import maintenance as decisions
from roles import ROLES, Role

DAY = 86_400_000
NOW = 100 * DAY
#: Long ago, and lately.
OLD, NEW = 10 * DAY, 99 * DAY
MODEL = f"m-{'a' * 32}"
PLACE = {"home": "/s", "has_run": True}


def experiment(id_: str, *, deleted: bool = False, time: int | None = OLD, place: str = "", name: str = "") -> Thing:
    return Thing("experiment", id_, id_, deleted, time, place or f"/a/{id_}", name or f"name-{id_}")


def run(id_: str, of: str = "1", *, deleted: bool = True, time: int | None = OLD, place: str = "") -> Thing:
    return Thing("run", id_, of, deleted, time, place or f"/a/{of}/{id_}/artifacts")


def model(id_: str = MODEL, of: str = "1", *, deleted: bool = True, source: str = "") -> Thing:
    return Thing("model", id_, of, deleted, OLD, f"/a/{of}/models/{id_}/artifacts", source_run=source)


def version(*, runs: tuple[str, ...] = (), places: tuple[str, ...] = (), models: tuple[str, ...] = ()) -> Version:
    return Version("kept", 3, runs, places, models)


def planned(facts: Facts, ages: Ages | None = None) -> Plan:
    return Planner(facts, ages or Ages(30 * DAY), NOW).plan()


def names(plan: Plan) -> list[str]:
    return [each.id for each in plan.things]


def test_what_is_old_enough_goes_and_what_is_not_stays() -> None:
    times = {"old": OLD, "new": NEW, "at-the-age": NOW - 30 * DAY, "later": NOW - 30 * DAY + 1, "unknown": None}
    runs = [run(id_, time=time) for id_, time in times.items()]
    assert names(planned(Facts([experiment("1")], runs, [], []))) == ["old", "at-the-age"]


def test_a_deleted_experiment_goes_with_what_is_in_it() -> None:
    facts = Facts([experiment("1", deleted=True)], [run("r"), run("without-time", time=None)], [model(deleted=False)], [])
    assert names(planned(facts)) == ["r", "without-time", MODEL, "1"]


@pytest.mark.parametrize("stays", [run("r", time=NEW), run("r", deleted=False)])
def test_a_deleted_experiment_stays_with_what_stays_in_it(stays: Thing) -> None:
    plan = planned(Facts([experiment("1", deleted=True)], [run("other"), stays], [], []))
    assert names(plan) == ["other"]
    assert [(each.id, each.why) for each in plan.kept] == [("1", "1 of its runs or logged models stay, such as r")]


def test_a_logged_model_that_nobody_has_deleted_stays_in_an_experiment_that_nobody_has_deleted() -> None:
    assert names(planned(Facts([experiment("1")], [], [model(deleted=False), model("m-b")], []))) == ["m-b"]


def test_the_default_experiment_stays() -> None:
    plan = planned(Facts([experiment("0", deleted=True)], [run("r", "0")], [], []))
    assert names(plan) == ["r"]
    assert plan.kept[0].why == "it is the default experiment, which MLflow would create again"


@pytest.mark.parametrize(("points", "why"), [
    (version(runs=("r",)), "version 3 of 'kept' refers to it"),
    (version(places=("/a/1/r/artifacts/model",)), "version 3 of 'kept' has its artifacts there"),
    (version(places=("/a/1/r/artifacts",)), "version 3 of 'kept' has its artifacts there"),
    (version(places=("/a/1",)), "version 3 of 'kept' has its artifacts there"),
])
def test_a_run_that_a_version_points_at_stays(points: Version, why: str) -> None:
    plan = planned(Facts([experiment("1")], [run("r"), run("s")], [], [version(runs=("x",)), points]))
    assert "r" not in names(plan)
    assert ("r", why) in [(each.id, each.why) for each in plan.kept]


def test_a_name_that_begins_alike_protects_nothing() -> None:
    assert names(planned(Facts([experiment("1")], [run("r")], [], [version(places=("/a/1/r/artifacts2/model", "/a/1/r/arti"))]))) == ["r"]


@pytest.mark.parametrize("points", [version(models=(MODEL,)), version(places=(f"/a/1/models/{MODEL}/artifacts",))])
def test_a_logged_model_that_a_version_points_at_stays_with_the_runs_that_made_and_measured_it(points: Version) -> None:
    facts = Facts([experiment("1")], [run("made"), run("measured"), run("other")], [model(source="made")], [points], {MODEL: frozenset({"measured"})})
    assert names(planned(facts)) == ["other"]


def test_a_run_whose_folder_has_another_experiment_stays() -> None:
    inner = experiment("2", place="/a/1/r/artifacts/x")
    plan = planned(Facts([experiment("1"), inner], [run("r"), run("s", "2", place="/a/1/r/artifacts/x/s/artifacts")], [], []))
    assert names(plan) == ["s"]
    assert plan.kept[0].why == "an experiment has its artifacts there"


def test_a_folder_that_leads_elsewhere_stays() -> None:
    plan = planned(Facts([experiment("1")], [run("r", place="/a/1/../../etc")], [], []))
    assert names(plan) == []
    assert plan.kept[0].why == "its artifacts are said to be in '/a/1/../../etc'"


def test_an_experiment_may_have_an_age_of_its_own() -> None:
    experiments = [experiment("1", deleted=True, name="a"), experiment("2", deleted=True, name="b")]
    facts = Facts(experiments, [run("r", "1"), run("s", "2", time=NEW)], [], [])
    assert names(planned(facts, Ages(30 * DAY, {"a": -1, "b": 0}))) == ["s", "2"]
    assert planned(facts, Ages(30 * DAY, {"a": -1, "b": 0})).kept == []


@pytest.mark.parametrize(("others", "versions", "private"), [
    ([], [], True),
    ([experiment("2", place="/a/1/x")], [], False),
    ([experiment("2", place="/a/1")], [], False),
    ([experiment("2", place="/a/12")], [], True),
    ([], [version(places=("/a/1/elsewhere/model",))], False),
])
def test_a_whole_folder_goes_only_if_it_is_the_experiments_alone(others: list[Thing], versions: list[Version], private: bool) -> None:
    facts = Facts([experiment("1", deleted=True), *others], [], [], versions)
    assert Planner(facts, Ages(0), NOW).is_private(facts.experiments[0], Place("/a")) is private
    assert not Planner(facts, Ages(0), NOW).is_private(experiment("3", place="/a/mine"), Place("/a"))


def test_a_path_that_somebody_has_chosen_is_known() -> None:
    experiments = [experiment("1"), experiment("2", place="/a/mine"), experiment("3", place="/elsewhere"), experiment("4", place="/a/5")]
    assert Planner(Facts(experiments, [], [], []), Ages(0), NOW).chosen_paths(Place("/a")) == ("mine/", "5/")


def test_only_the_first_of_many_are_shown() -> None:
    removed = [{"kind": "run", "id": str(number), "of": "1", "files": 1, "bytes": 1024} for number in range(30)]
    lines = told({"removed": removed, "kept": [], "failed": [], "notes": ["a note"], "orphans": None}, False)
    assert lines[0] == "Deleted for good: 30 runs, 30 files, 30.0 KiB"
    assert lines[-2:] == ["  and 10 more, which mlflow_maintenance_report would list", "a note"]


def test_orphans_are_told() -> None:
    orphans = {"folders": [{"path": "1/ab", "files": 2, "bytes": 3}], "files": 2, "bytes": 3, "foreign": {"files": 1, "bytes": 5}}
    assert told({"removed": [], "kept": [], "failed": [], "notes": [], "orphans": orphans}, False)[1:] == [
        "Artifacts without a row: 1 folders, 2 files, 3 bytes", "  1/ab: 2 files, 3 bytes",
        "  not where MLflow puts artifacts, and never deleted: 1 files, 5 bytes",
    ]  # fmt: skip


# The program


def test_the_environment_is_the_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    (tmp_path / "server.env").write_text("# MLflow 3.17.2\nMLFLOW_BACKEND_STORE_URI='postgresql://x y'\n")
    found = maintenance.environment(f"{tmp_path}/server.env")
    assert found["MLFLOW_BACKEND_STORE_URI"] == "postgresql://x y"
    assert "HTTPS_PROXY" not in found
    with pytest.raises(MaintenanceError, match="no MLflow server has run here"):
        maintenance.environment(f"{tmp_path}/none")


def test_a_server_with_workspaces_is_refused(tmp_path: Path) -> None:
    (tmp_path / "server.env").write_text("MLFLOW_ENABLE_WORKSPACES=true\n")
    done = started(tmp_path)
    assert done.returncode == 1
    assert done.stderr == "mlflow_maintenance: the server has workspaces, which this release does not clean; run mlflow gc --all-workspaces\n"


def started(home: Path) -> subprocess.CompletedProcess[str]:
    """The program as the role starts it, without a file of it on the host."""
    files = ROLES / "mlflow_maintenance/files"
    programs = {path.stem: path.read_text() for path in [*files.glob("maintenance*.py"), ROLES / "mlflow_backup/files/backup_lock.py"]}
    request = {"programs": programs, "program": "maintenance", "settings": {"environment_file": f"{home}/server.env"}}
    command = [sys.executable, "-c", (ROLES / "embedded/files/run.py").read_text()]
    return subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False, cwd="/")


# The role


@pytest.fixture(scope="module")
def role() -> Role:
    return Role("mlflow_maintenance", embedded_place=PLACE, groups={}, ansible_check_mode=False)


@pytest.mark.parametrize(("variable", "value", "says"), [
    ("deleted_for", "30", "mlflow_maintenance_deleted_for: '30' is not an age"),
    ("deleted_for", "never", "mlflow_maintenance_deleted_for: is 'never', so that there is nothing to do"),
    ("traces_for", "soon", "mlflow_maintenance_traces_for: 'soon' is not an age"),
    ("experiments", [{"name": "a", "traces_for": "1w"}], "mlflow_maintenance_experiments[0].traces_for: '1w' is not an age"),
    ("experiments", [{"name": "a"}, {"name": "a"}], "mlflow_maintenance_experiments[1].name: 'a' is there twice"),
])
def test_what_is_wrong_with_the_variables(role: Role, variable: str, value: Any, says: str) -> None:
    found = role.decided("problems", **{f"mlflow_maintenance_{variable}": value})
    assert len(found) == 1
    assert found[0].startswith(says)


def test_the_program_is_given_what_it_reads(role: Role) -> None:
    assert role.decided("problems") == []
    experiments = [{"name": "a", "deleted_for": "never", "traces_for": "12h"}, {"name": "b", "traces_for": None}]
    settings = role.decided("settings", mlflow_maintenance_experiments=experiments, ansible_check_mode=True)
    assert settings == {
        "check": True, "environment_file": "/s/mlflow/server.env", "home": "/s", "deleted_for": 30 * DAY, "by_experiment": {"a": -1},
        "traces_for": -1, "traces_by_experiment": {"a": DAY // 2}, "orphans": "report",
    }  # fmt: skip
    assert role.decided("settings", embedded_place={})["environment_file"] == ""  # in a container of the server
    sources = ["backup_lock", "maintenance", "maintenance_plan", "maintenance_rows", "maintenance_store"]
    assert list(role.said("__mlflow_maintenance_request.programs")) == sources


def test_what_could_not_be_deleted_is_said() -> None:
    failed = [{"kind": "run", "id": "ab", "why": "Access Denied"}, {"kind": "run", "id": "cd", "why": "x"}]
    assert decisions.failure({"failed": failed}).startswith("mlflow_maintenance: run ab and 1 more could not be deleted (Access Denied), ")
    assert decisions.failure({"failed": []}) == ""
    assert decisions.report({"failed": failed, "lines": [], "changed": True}) == {"failed": failed}
