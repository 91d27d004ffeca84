"""Moves the spans of old traces from the database of an MLflow server to its artifacts, from where the server reads them as before."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maintenance_plan import SHOWN, Kept, Place, Thing

#: How long traces are archived before a backup that waits gets its turn, and for how long, in seconds; playbooks look every ten.
SLICE, PAUSE = 300, 30
#: How many traces in a row may fail before the others are left for the next run: the store does not take them.
ENOUGH = 5
#: What MLflow calls the file of an archived trace.
FILE = "traces.pb"


def uri_of(place: str) -> str:
    """Return the place of the archive as MLflow wants it.

    >>> uri_of("/srv/my artifacts"), uri_of("s3://mlflow/artifacts")
    ('file:///srv/my%20artifacts', 's3://mlflow/artifacts')
    """
    return Path(place).as_uri() if place.startswith("/") else place


@dataclass(frozen=True)
class Ages:
    """When traces are archived and when they are deleted, in milliseconds, in general and by the name of an experiment. Negative is never."""

    archived: int
    deleted: int
    archived_by_experiment: Mapping[str, int] = field(default_factory=dict)
    deleted_by_experiment: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_any(self) -> bool:
        """Whether traces of some experiment are archived."""
        return max(self.archived, *self.archived_by_experiment.values(), -1) >= 0

    def span(self, experiment: str, now: int) -> tuple[int, int] | None:
        """Return when the traces of an experiment that are archived have begun: after a time, and until another. None if none are.

        >>> ages = Ages(30, 90, {"kept": -1, "chat": 7}, {"chat": -1})
        >>> ages.span("other", 100), ages.span("chat", 100), ages.span("kept", 100), Ages(30, 30).span("other", 100)
        ((10, 70), (-1, 93), None, None)
        """
        archived = self.archived_by_experiment.get(experiment, self.archived)
        deleted = self.deleted_by_experiment.get(experiment, self.deleted)
        if archived < 0 or 0 <= deleted <= archived:
            return None
        return (now - deleted if deleted >= 0 else -1), now - archived


@dataclass
class Done:
    """What was archived: how many traces, by the identifier of their experiment; and what was not."""

    traces: dict[str, int] = field(default_factory=dict)
    found_again: int = 0
    failed: list[Kept] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Archive:
    """One pass. ``rows`` and ``artifacts`` are the server's; with ``check``, nothing is written, and the report is the same."""

    def __init__(self, settings: Mapping[str, Any], rows: Any, artifacts: Any, now: int) -> None:
        given = settings["archive"]
        self.rows, self.artifacts, self.now, self.check = rows, artifacts, now, bool(settings["check"])
        self.ages = Ages(given["after"], settings["traces_for"], given["by_experiment"], settings["traces_by_experiment"])
        destination = artifacts.place.destination
        self.place = Place("").of(given["location"]) or destination
        self.uri = uri_of(self.place)
        self.is_elsewhere = self.place != destination
        self.experiments: list[Thing] = rows.experiments()
        self.done = Done()
        #: How many traces have just failed, one after the other.
        self.in_a_row = 0

    def problem(self) -> str:
        """Return what is wrong with the settings, with its remedy; empty if nothing is."""
        known = {each.name for each in self.experiments}
        unknown = [name for name in self.ages.archived_by_experiment if name not in known]
        if unknown:
            return (
                f"mlflow_maintenance_experiments: there is no experiment '{unknown[0]}', for which traces_archived_after is set; correct its name, "
                "or remove the entry"
            )
        # MLflow finds out who may read an artifact from its path if that begins with an experiment; for others, the default permission decides.
        if self.is_elsewhere and self.place.startswith(f"{self.artifacts.place.destination}/"):
            return (
                f"mlflow_maintenance_archive_location: '{self.place}' is among the artifacts, where MLflow's default permission decides who reads "
                "them, and not the experiment's; leave it out, and each trace is archived under its experiment, or name a place elsewhere"
            )
        return ""

    def follow(self) -> None:
        """Find traces again that were archived elsewhere, and are in the archive now: artifacts were moved, or restored to another place."""
        lost: dict[str, list[tuple[str, str]]] = {}
        for trace, experiment, uri in self.rows.archived_elsewhere(self.uri):
            if uri.endswith(f"/{experiment}/traces/{trace}/artifacts"):
                lost.setdefault(str(experiment), []).append((trace, uri))
        for experiment, traces in lost.items():
            parent = f"{self.place}/{experiment}/traces"
            there = self.artifacts.children(parent)
            for trace, uri in traces:
                if trace in there and FILE in self.artifacts.children(f"{parent}/{trace}/artifacts"):
                    self.done.found_again += 1
                    if not self.check:
                        self.rows.archived_at(trace, uri, f"{self.uri}/{experiment}/traces/{trace}/artifacts")

    def due(self) -> Iterator[tuple[Thing, int, int]]:
        """Return the experiments that have traces to archive, and when these have begun: after a time, and until another."""
        for each in self.experiments:
            span = None if each.deleted else self.ages.span(each.name, self.now)
            if span:
                yield each, *span

    def run(self, alone: Callable[[], AbstractContextManager[Any]]) -> Done:
        """Archive what is due, some minutes at a time, each holding the lock of the backups."""
        if not self.ages.is_any:
            return self.done
        if self.check:
            self.done.traces = {each.id: count for each, after, until in self.due() if (count := self.rows.count_due(each.id, after, until))}
        else:
            traces = self._traces()
            while self._some(traces, alone):
                time.sleep(PAUSE)
        if self.is_elsewhere and (self.done.traces or self.done.failed):
            self.done.notes.append(f"Archived traces are in '{self.place}', which is not among the artifacts, and so in no set of mlflow_backup")
        return self.done

    def _traces(self) -> Iterator[tuple[Thing, str]]:
        for each, after, until in self.due():
            for batch in self.rows.due_batches(each.id, after, until):
                for trace in batch:
                    yield each, trace

    def _some(self, traces: Iterator[tuple[Thing, str]], alone: Callable[[], AbstractContextManager[Any]]) -> bool:
        """Archive for some minutes; whether there is more."""
        with alone():
            until = time.monotonic() + SLICE
            for experiment, trace in traces:
                if not self._archive(experiment, trace):
                    return False
                if time.monotonic() > until:
                    return True
        return False

    def _archive(self, experiment: Thing, trace: str) -> bool:
        """Archive one trace; whether to go on with the others."""
        try:
            archived = self.rows.archive(trace, self.uri)
        except Exception as error:  # whatever a store may raise; MLflow's own says less than its cause
            words = " ".join(str(error.__cause__ or error).split()) or type(error).__name__
            self.done.failed.append(Kept("trace", trace, words[:300]))
            self.in_a_row += 1
            if self.in_a_row < ENOUGH:
                return True
            self.done.notes.append(f"The other traces are left for the next run, since {ENOUGH} in a row could not be archived")
            return False
        self.in_a_row = 0
        self.done.traces[experiment.id] = self.done.traces.get(experiment.id, 0) + archived
        return True

    def told(self) -> list[str]:
        """Return the lines for people."""
        lines = []
        names = {each.id: each.name for each in self.experiments}
        if self.ages.is_any:
            counts = {id_: count for id_, count in self.done.traces.items() if count}
            lines.append(f"{'Would archive' if self.check else 'Archived'}: {sum(counts.values()) or 'no'} traces")
            lines += [f"  {count} of experiment {id_}, '{names[id_]}'" for id_, count in list(counts.items())[:SHOWN]]
            lines += [f"  and {len(counts) - SHOWN} more experiments"] if len(counts) > SHOWN else []
        if self.done.found_again:
            found = "Would find" if self.check else "Found"
            lines.append(f"{found} {self.done.found_again} archived traces again in '{self.place}', where they were not before")
        lines += [f"  could not archive trace {each.id}: {each.why}" for each in self.done.failed]
        return [*lines, *self.done.notes]


def noted(done: Done) -> dict[str, Any]:
    """Return what the report has of it.

    >>> noted(Done({"1": 2, "3": 0}))
    {'traces': [{'experiment': '1', 'count': 2}], 'found_again': 0, 'failed': []}
    """
    return {
        "traces": [{"experiment": id_, "count": count} for id_, count in done.traces.items() if count],
        "found_again": done.found_again,
        "failed": [vars(each) for each in done.failed],
    }
