"""Deletes for good what was deleted in MLflow long ago, archives old traces, and prints a report as JSON. ``run.py`` starts it.

Runs where the server runs: with its packages and its environment. Of everything, first the artifacts and then the row, so that a run that was
interrupted finds the row again, and deletes the rest. An error is one line, and status 1.
"""
from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from backup_lock import alone
from maintenance_archive import Archive, noted
from maintenance_plan import Ages, Amount, Kept, Plan, Planner, Thing, folders, owner, told

#: Later than any trace begins, in milliseconds.
EVER = 1 << 62
#: The report of a pass that deletes nothing.
NOTHING: dict[str, Any] = {"changed": False, "removed": [], "kept": [], "failed": [], "orphans": None, "notes": []}
#: What a process has of its own, beside the environment of the server.
OWN = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


class MaintenanceError(Exception):
    """Why nothing is deleted, with the remedy."""


def environment(path: str) -> dict[str, str]:
    """Return the environment of the server, whose file is at a path; without one, it is that of this process, in a container of the server.

    Raises MaintenanceError if there is no server.
    """
    if not path:
        return {**os.environ, "MLFLOW_LOGGING_LEVEL": "ERROR"}
    try:
        lines = shlex.split(Path(path).read_text(), comments=True)
    except FileNotFoundError:
        raise MaintenanceError(f"mlflow_maintenance: there is no '{path}', so that no MLflow server has run here; deploy it first") from None
    own = {name: os.environ[name] for name in OWN if name in os.environ}
    return {**own, **dict(line.split("=", 1) for line in lines), "MLFLOW_LOGGING_LEVEL": "ERROR"}


class Maintenance:
    """One pass. ``rows`` and ``artifacts`` are the server's; with ``check``, nothing is deleted, and the report is the same."""

    def __init__(self, settings: Mapping[str, Any], rows: Any, artifacts: Any) -> None:
        self.settings, self.rows, self.artifacts = settings, rows, artifacts
        self.check = bool(settings["check"])
        self.now = int(time.time() * 1000)
        self.removed: list[dict[str, Any]] = []
        self.failed: list[Kept] = []
        self.notes: list[str] = []
        #: What is deleted with an experiment, beside the rest of its folder.
        self.spent: dict[str, Amount] = {}

    def read(self) -> None:
        """Read the facts, and plan."""
        self.fingerprint = self.rows.fingerprint()
        facts = self.rows.facts()
        self.planner = Planner(facts, Ages(self.settings["deleted_for"], self.settings["by_experiment"]), self.now)
        self.plan: Plan = self.planner.plan()
        self.planned = {(each.kind, each.id) for each in self.plan.things}

    def is_still_planned(self, thing: Thing) -> bool:
        """Whether it may be deleted as it was planned, now that others have been: it was not restored, nor has it become a version."""
        if self.rows.fingerprint() != self.fingerprint:
            self.read()
        return (thing.kind, thing.id) in self.planned and self.rows.is_unchanged(thing)

    def attempt(self, kind: str, name: str, work: Callable[[], dict[str, Any] | None]) -> None:
        """Do something about one thing. If that fails, the others are not held up."""
        try:
            done = work()
        except Exception as error:  # whatever a store may raise
            words = " ".join(str(error).split()) or type(error).__name__
            self.failed.append(Kept(kind, name, words[:300]))
        else:
            if done is not None:
                self.removed.append({"kind": kind, "id": name, **done})

    def remove(self, thing: Thing) -> dict[str, Any] | None:
        """Delete the artifacts of something, then its row; how much that is. None if it is in use again."""
        if not self.check and not self.is_still_planned(thing):
            if thing.kind == "experiment":
                raise OSError("it is not empty; see why its runs and logged models stay")
            return None
        if thing.kind == "experiment":
            return self.remove_experiment(thing)
        found = self.artifacts.measure(thing.place) if thing.place else Amount()
        if thing.place.startswith(f"{self.planner.experiments[thing.experiment].place}/"):
            self.spent.setdefault(thing.experiment, Amount()).add(found.files, found.bytes)
        if not self.check:
            if thing.place:
                self.artifacts.delete(thing.place)
            self.rows.delete(thing)
        return {"files": found.files, "bytes": found.bytes, "of": thing.experiment}

    def remove_experiment(self, thing: Thing) -> dict[str, Any]:
        """Delete an experiment of which the runs and logged models are gone, with its traces; how much that is beside them."""
        # The database would delete the rows of traces with the experiment's, and leave what is in the stores.
        traces = self.remove_traces_of(thing, EVER)
        found = Amount(traces["files"], traces["bytes"])
        if self.planner.is_private(thing, self.artifacts.place):
            rest = self.artifacts.measure(thing.place)
            if self.check:
                spent = self.spent.get(thing.id, Amount())
                rest.add(-spent.files - found.files, -spent.bytes - found.bytes)
            found.add(rest.files, rest.bytes)
            if not self.check:
                self.artifacts.delete(thing.place)
        if not self.check:
            self.rows.delete(thing)
        return {"files": found.files, "bytes": found.bytes, "name": thing.name}

    def remove_traces(self) -> None:
        """Delete the traces that are older than their experiments keep them."""
        going = {each.id for each in self.plan.experiments}
        for each in self.planner.facts.experiments:
            age = self.settings["traces_by_experiment"].get(each.name, self.settings["traces_for"])
            if age >= 0 and each.id not in going and self.rows.old_traces(each.id, self.now - age):
                self.attempt("traces", f"of experiment {each.id}", partial(self.remove_traces_of, each, self.now - age))

    def remove_traces_of(self, experiment: Thing, before: int) -> dict[str, Any]:
        """Delete those of one experiment that began before then."""
        parent = f"{experiment.place}/traces"
        there = self.artifacts.children(parent)
        count, found = 0, Amount()
        for batch in self.rows.trace_batches(experiment.id, before):
            for trace in batch:
                if trace in there:
                    measured = self.artifacts.measure(f"{parent}/{trace}")
                    found.add(measured.files, measured.bytes)
                    if not self.check:
                        self.artifacts.delete(f"{parent}/{trace}")
            count += len(batch) if self.check else self.rows.delete_traces(experiment.id, batch)
        return {"count": count, "files": found.files, "bytes": found.bytes}

    def orphans(self) -> dict[str, Any] | None:
        """Return what is in the store without a row, and delete it if that is asked for. None if it was not looked for."""
        # First the objects: a run that is created meanwhile has its row before.
        walked = self.artifacts.walk() if self.settings["orphans"] != "ignore" else None
        if walked is None:
            return None
        before = (self.now - self.settings["deleted_for"]) / 1000
        there, foreign = folders(walked, before, self.planner.chosen_paths(self.artifacts.place))
        by_kind: dict[str, dict[str, str]] = {}
        for folder in there:
            kind, name = owner(folder)
            by_kind.setdefault(kind, {})[folder] = name
        without = {kind: self.rows.missing(kind, names.values()) for kind, names in by_kind.items()}
        going = [f"{each.place}/" for each in self.plan.experiments if self.planner.is_private(each, self.artifacts.place)] if self.check else []
        left: dict[str, Amount] = {}
        for folder in sorted(folder for kind, names in by_kind.items() for folder, name in names.items() if name in without[kind]):
            kind, name = owner(folder)
            place = f"{self.artifacts.place.destination}/{folder}"
            if any(place.startswith(each) for each in going) or self.planner.why_kept(Thing(kind, name, "", True, 0, place)):
                continue
            if self.settings["orphans"] == "remove":
                self.attempt("orphan", folder, partial(self.remove_orphan, place, there[folder]))
            else:
                left[folder] = there[folder]
        return {
            "folders": [{"path": folder, "files": found.files, "bytes": found.bytes} for folder, found in left.items()],
            "files": sum(found.files for found in left.values()), "bytes": sum(found.bytes for found in left.values()),
            "foreign": {"files": foreign.files, "bytes": foreign.bytes},
        }  # fmt: skip

    def remove_orphan(self, place: str, found: Amount) -> dict[str, Any]:
        """Delete a folder without a row."""
        if not self.check:
            self.artifacts.delete(place)
        return {"files": found.files, "bytes": found.bytes}

    def run(self) -> dict[str, Any]:
        """Do all of it; the report."""
        self.read()
        known = {each.name for each in self.planner.facts.experiments}
        named = [*self.settings["by_experiment"], *self.settings["traces_by_experiment"]]
        self.notes += [
            f"There is no experiment '{name}', which mlflow_maintenance_experiments names" for name in dict.fromkeys(named) if name not in known
        ]
        kept = list(self.plan.kept)
        for thing in self.plan.things:
            self.attempt(thing.kind, thing.id, partial(self.remove, thing))
        self.remove_traces()
        orphans = self.orphans()
        return {
            "changed": bool(self.removed),
            "removed": self.removed,
            "kept": [vars(each) for each in kept],
            "failed": [vars(each) for each in self.failed],
            "orphans": orphans,
            "notes": self.notes,
        }


def clean(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Do one pass with these settings; the report, with lines for people."""
    given = environment(settings["environment_file"])
    if given.get("MLFLOW_ENABLE_WORKSPACES", "").lower() in ("true", "1"):
        raise MaintenanceError("mlflow_maintenance: the server has workspaces, which this release does not clean; run mlflow gc --all-workspaces")
    os.environ.clear()
    os.environ.update(given)
    # They read the environment, and take two seconds.
    from maintenance_rows import Database  # noqa: PLC0415
    from maintenance_store import Artifacts  # noqa: PLC0415

    uri = given["MLFLOW_BACKEND_STORE_URI"]
    artifacts = Artifacts(given["MLFLOW_ARTIFACTS_DESTINATION"])
    rows = Database(uri, given.get("MLFLOW_REGISTRY_STORE_URI") or uri, artifacts.place)
    made = Maintenance(settings, rows, artifacts)
    archive = Archive(settings, rows, artifacts, made.now)
    problem = archive.problem()
    if problem:
        raise MaintenanceError(problem)

    def held() -> AbstractContextManager[Any]:
        """The lock, so that nothing is deleted or moved that a backup still has to read."""
        if made.check:
            return nullcontext()
        return alone(Path(settings["home"]), "maintenance", MaintenanceError) if settings["environment_file"] else rows.alone(MaintenanceError)

    with held():
        archive.follow()
        report = made.run() if settings["deletes"] else NOTHING
    done = archive.run(held)
    lines = [*(told(report, made.check) if settings["deletes"] else []), *archive.told()]
    changed = report["changed"] or any(done.traces.values()) or done.found_again > 0
    return {**report, "changed": changed, "archived": noted(done), "lines": lines}


def answered(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Do one pass; the report. If it could not be done, print why; None."""
    if not settings["environment_file"]:
        # It shares the memory of a container with the server: if that is not enough, it is this that ends.
        Path("/proc/self/oom_score_adj").write_text("1000")
    try:
        return clean(settings)
    except MaintenanceError as error:
        print(error, file=sys.stderr)
    except Exception as error:  # MLflow's, of a database that does not answer or has another schema
        print(f"mlflow_maintenance: {' '.join(str(error).split())[:500]}", file=sys.stderr)
    return None


def main(settings: Mapping[str, Any]) -> int:
    """Do one pass, and print the report."""
    report = answered(settings)
    if report is None:
        return 1
    print(json.dumps(report))
    return 0
