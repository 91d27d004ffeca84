"""What may be deleted for good, and what the role maintenance is told, without a server."""
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import maintenance
import maintenance_archive
import pytest
from maintenance import MaintenanceError
from maintenance_archive import Archive
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


# What is archived


class Rows:
    """Traces in three experiments, each with when it began, and what was archived where."""

    def __init__(self, *, refused: tuple[str, ...] = (), elsewhere: tuple[tuple[str, str, str], ...] = ()) -> None:
        self.traces = {"1": {"old": OLD, "older": OLD - 1, "new": NEW}, "2": {"kept": OLD}, "3": {"deleted": OLD}}
        self.refused, self.elsewhere = refused, elsewhere
        self.archived: list[tuple[str, str]] = []

    def experiments(self) -> list[Thing]:
        return [experiment("1", name="chat"), experiment("2", name="kept"), experiment("3", name="gone", deleted=True)]

    def due_batches(self, id_: str, after: int, until: int) -> list[list[str]]:
        return [[trace] for trace, began in self.traces[id_].items() if after < began <= until]

    def count_due(self, id_: str, after: int, until: int) -> int:
        return len(self.due_batches(id_, after, until))

    def archive(self, trace: str, uri: str) -> bool:
        if trace in self.refused:
            raise ValueError("Trace archival upload failed.") from OSError("Access\nDenied")
        self.archived.append((trace, uri))
        return trace != "older"  # which somebody has changed meanwhile

    def archived_elsewhere(self, _uri: str) -> tuple[tuple[str, str, str], ...]:
        return self.elsewhere

    def archived_at(self, trace: str, _before: str, uri: str) -> None:
        self.archived.append((trace, uri))


class Files:
    """Artifacts in a folder."""

    place = Place("/a")
    there: ClassVar[dict[str, set[str]]] = {
        "/a/1/traces": {"moved", "attached"}, "/a/1/traces/moved/artifacts": {"traces.pb"}, "/a/1/traces/attached/artifacts": {"x"},
    }  # fmt: skip

    def children(self, place: str) -> set[str]:
        return self.there.get(place, set())


def archive(rows: Rows, *, check: bool = False, after: int = 30 * DAY, traces_for: int = -1, location: str = "", **by_experiment: int) -> Archive:
    given = {"after": after, "by_experiment": by_experiment, "location": location}
    return Archive({"check": check, "traces_for": traces_for, "traces_by_experiment": {}, "archive": given}, rows, Files(), NOW)


def test_old_traces_are_archived_beside_their_artifacts() -> None:
    rows = Rows()
    made = archive(rows, kept=-1)
    done = made.run(nullcontext)
    assert rows.archived == [("old", "file:///a"), ("older", "file:///a")]
    assert done.traces == {"1": 1}
    assert made.told() == ["Archived: 1 traces", "  1 of experiment 1, 'chat'"]


def test_check_mode_counts_what_is_due() -> None:
    rows = Rows()
    made = archive(rows, check=True, kept=90 * DAY)
    assert made.run(nullcontext).traces == {"1": 2, "2": 1}
    assert rows.archived == []
    assert made.told()[0] == "Would archive: 3 traces"


@pytest.mark.parametrize(("given", "expected"), [
    ({"after": -1}, []), ({"after": -1, "kept": 0}, ["kept"]), ({"traces_for": 60 * DAY}, []), ({"traces_for": 90 * DAY + 1}, ["old", "kept"]),
])
def test_what_is_archived_depends_on_the_ages(given: dict[str, Any], expected: list[str]) -> None:
    """What is as old as traces are deleted is deleted by then."""
    rows = Rows()
    archive(rows, **given).run(nullcontext)
    assert [trace for trace, _uri in rows.archived] == expected


def test_what_is_wrong_with_an_archive() -> None:
    assert archive(Rows(), chat=0, misspelt=0).problem().startswith("mlflow_maintenance_experiments: there is no experiment 'misspelt', ")
    assert archive(Rows(), location="/a/below").problem().startswith("mlflow_maintenance_archive_location: '/a/below' is among the artifacts, ")
    assert {archive(Rows(), location=location, gone=0).problem() for location in ("", "/a", "/a2", "s3://cold")} == {""}


def test_a_trace_that_cannot_be_archived_holds_up_no_other() -> None:
    rows = Rows(refused=("old",))
    made = archive(rows, kept=-1)
    assert [vars(each) for each in made.run(nullcontext).failed] == [{"kind": "trace", "id": "old", "why": "Access Denied"}]
    assert [trace for trace, _uri in rows.archived] == ["older"]
    assert made.told() == ["Archived: no traces", "  could not archive trace old: Access Denied"]


def test_a_store_that_takes_nothing_is_not_asked_for_ever() -> None:
    rows = Rows()
    rows.traces["1"] = {str(number): OLD for number in range(20)}
    rows.refused = tuple(rows.traces["1"])
    done = archive(rows).run(nullcontext)
    assert len(done.failed) == maintenance_archive.ENOUGH
    assert done.notes == ["The other traces are left for the next run, since 5 in a row could not be archived"]


def test_a_backup_that_waits_gets_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance_archive, "SLICE", -1)
    monkeypatch.setattr(maintenance_archive, "PAUSE", 0)
    rows, held = Rows(), []

    @contextmanager
    def alone() -> Iterator[None]:
        before = len(rows.archived)
        yield
        held.append(len(rows.archived) - before)

    archive(rows).run(alone)
    assert held == [1, 1, 1, 0]


def test_another_place_is_in_no_set() -> None:
    rows = Rows()
    done = archive(rows, location="s3://cold/traces/").run(nullcontext)
    assert rows.archived[0] == ("old", "s3://cold/traces")
    assert done.notes == ["Archived traces are in 's3://cold/traces', which is not among the artifacts, and so in no set of mlflow_backup"]
    assert archive(Rows(), location="/a/").run(nullcontext).notes == []


@pytest.mark.parametrize("check", [True, False])
def test_what_was_moved_is_found_again(check: bool) -> None:
    """What is not there stays where it was noted to be, and so does what is noted in a way that this does not know."""
    before = {trace: f"s3://old/1/traces/{trace}/artifacts" for trace in ("moved", "attached", "left")}
    rows = Rows(elsewhere=(*((trace, "1", uri) for trace, uri in before.items()), ("moved", "1", "s3://old/mine")))
    made = archive(rows, check=check, after=-1)
    made.follow()
    assert made.run(nullcontext).found_again == 1
    assert rows.archived == ([] if check else [("moved", "file:///a/1/traces/moved/artifacts")])
    assert made.told() == [f"{'Would find' if check else 'Found'} 1 archived traces again in '/a', where they were not before"]


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
    ("traces_archived_after", "30w", "mlflow_maintenance_traces_archived_after: '30w' is not an age; write a whole number of days, hours or minutes"),
    ("experiments", [{"name": "a", "traces_archived_after": "1y"}], "mlflow_maintenance_experiments[0].traces_archived_after: '1y' is not an age"),
    ("archive_location", "mlflow-artifacts:/", "mlflow_maintenance_archive_location: 'mlflow-artifacts:/' is neither a place in S3 nor a folder"),
    ("archive_location", "archive", "mlflow_maintenance_archive_location: 'archive' is neither a place in S3 nor a folder"),
    ("archive_location", "s3://b/../c", "mlflow_maintenance_archive_location: 's3://b/../c' is neither a place in S3 nor a folder"),
    ("archive_location", "/", "mlflow_maintenance_archive_location: '/' is neither a place in S3 nor a folder"),
    ("archive_schedule", "daily", "mlflow_maintenance_archive_schedule: is 'daily', but nothing says which traces are archived"),
    ("experiments", [{"name": "a"}, {"name": "a"}], "mlflow_maintenance_experiments[1].name: 'a' is there twice"),
])
def test_what_is_wrong_with_the_variables(role: Role, variable: str, value: Any, says: str) -> None:
    found = role.decided("problems", **{f"mlflow_maintenance_{variable}": value})
    assert len(found) == 1
    assert found[0].startswith(says)


def test_the_program_is_given_what_it_reads(role: Role) -> None:
    assert role.decided("problems") == []
    experiments = [{"name": "a", "deleted_for": "never", "traces_for": "12h", "traces_archived_after": "never"}, {"name": "b", "traces_for": None}]
    settings = role.decided("settings", mlflow_maintenance_experiments=experiments, ansible_check_mode=True)
    assert settings == {
        "check": True, "environment_file": "/s/mlflow/server.env", "home": "/s", "deleted_for": 30 * DAY, "by_experiment": {"a": -1},
        "traces_for": -1, "traces_by_experiment": {"a": DAY // 2}, "orphans": "report",
        "deletes": True, "archive": {"after": -1, "by_experiment": {"a": -1}, "location": ""},
    }  # fmt: skip
    scheduled = role.decided("scheduled", mlflow_maintenance_experiments=experiments, ansible_check_mode=True)
    assert scheduled == {**settings, "check": False, "deletes": False}
    assert role.decided("settings", embedded_place={})["environment_file"] == ""  # in a container of the server
    sources = ["backup_lock", "archive_run", *(f"maintenance{each}" for each in ("", "_archive", "_plan", "_rows", "_store"))]
    assert list(role.said("__mlflow_maintenance_request.programs")) == sources
    files = role.said("__mlflow_maintenance_files")
    assert json.loads(files.pop("settings.json"))["deletes"] is False
    assert list(files) == [f"{each}.py" for each in sources]


@pytest.mark.parametrize("location", ["s3://b", "s3://b/p/q/", "/srv/archive", "/srv/my archive/..x"])
def test_places_of_an_archive(role: Role, location: str) -> None:
    assert role.decided("problems", mlflow_maintenance_archive_location=location) == []


def test_a_schedule_needs_systemd(role: Role) -> None:
    given = {"mlflow_maintenance_archive_schedule": "daily", "mlflow_maintenance_experiments": [{"name": "a", "traces_archived_after": "1d"}]}
    assert role.decided("problems", **given) == []
    assert role.decided("place_problem", **given, embedded_place={**PLACE, "has_systemd": True}) == ""
    without = role.decided("place_problem", **given, embedded_place={**PLACE, "has_systemd": False})
    assert without.startswith("mlflow_maintenance_archive_schedule: is 'daily', but systemd does not run this machine; ")
    assert role.decided("place_problem", embedded_place={**PLACE, "has_systemd": False}) == ""


def test_what_could_not_be_deleted_or_archived_is_said() -> None:
    failed = [{"kind": "run", "id": "ab", "why": "Access Denied"}, {"kind": "run", "id": "cd", "why": "x"}]
    archived = [{"kind": "trace", "id": "tr-1", "why": "Full"}]
    said = decisions.failure({"failed": failed, "archived": {"failed": []}})
    assert said.startswith("mlflow_maintenance: run ab and 1 more could not be deleted (Access Denied), and the rest was; ")
    assert "run ab and 2 more" in decisions.failure({"failed": failed, "archived": {"failed": archived}})
    said = decisions.failure({"failed": [], "archived": {"failed": archived}})
    assert said.startswith("mlflow_maintenance: trace tr-1 could not be archived (Full); ")
    assert decisions.failure({"failed": [], "archived": {"failed": []}}) == ""
    assert decisions.report({"failed": failed, "lines": [], "changed": True}) == {"failed": failed}
