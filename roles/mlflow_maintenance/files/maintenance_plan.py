"""What of an MLflow server may be deleted for good, by what its database says. No I/O."""
from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import unquote, urlsplit

#: MLflow creates it again whenever a server starts.
DEFAULT_EXPERIMENT = "0"
#: The lifecycle stage.
DELETED = "deleted"
#: What says that a folder of artifacts is one of this collection.
MARKER = ".mlops-mlflow"
#: How many lines of a kind are for people; the report has all.
SHOWN = 20
#: The folders of which MLflow's rows decide: of a run, of a logged model, of a trace.
_FOLDER = re.compile(r"(?P<folder>\d+/(?:(?P<run>[0-9a-f]{32})|models/(?P<model>m-[0-9a-f]{32})|traces/(?P<trace>tr-[0-9a-f]{32})))/.")
#: The identifier of a logged model, in a place.
_MODEL = re.compile(r"/models/(m-[0-9a-f]{32})(?=/|$)")
#: Where the server's own API has the artifacts that it proxies.
_PROXIED = "/mlflow-artifacts/artifacts/"


@dataclass(frozen=True)
class Place:
    """Where artifacts of this server are that it proxies, as ``s3://bucket/prefix`` or the path of a folder, without a slash at the end."""

    destination: str

    def of(self, uri: str) -> str:
        """Return where the artifacts of a URI really are. A URI that names no place stays as it is.

        >>> place = Place("s3://mlflow/artifacts")
        >>> place.of("mlflow-artifacts:/1/ab/artifacts"), place.of("mlflow-artifacts://host:5000/1")
        ('s3://mlflow/artifacts/1/ab/artifacts', 's3://mlflow/artifacts/1')
        >>> place.of("https://mlflow.example.com/x/api/2.0/mlflow-artifacts/artifacts/1/ab"), place.of("s3://other/1/")
        ('s3://mlflow/artifacts/1/ab', 's3://other/1')
        >>> place.of("file:///var/a%20b/1"), place.of("mlflow-artifacts:/")
        ('/var/a b/1', 's3://mlflow/artifacts')
        """
        parts = urlsplit(uri)
        if parts.scheme == "mlflow-artifacts":
            return f"{self.destination}/{parts.path.strip('/')}".rstrip("/")
        if parts.scheme in ("http", "https") and _PROXIED in parts.path:
            return f"{self.destination}/{parts.path.partition(_PROXIED)[2].strip('/')}".rstrip("/")
        if parts.scheme == "file":
            return unquote(parts.path).rstrip("/")
        return uri.rstrip("/")

    def path(self, place: str) -> str | None:
        """Return the path of a place below the destination; None if it is elsewhere.

        >>> Place("/a").path("/a/1/ab"), Place("/a").path("/ab")
        ('1/ab', None)
        """
        prefix = f"{self.destination}/"
        return place.removeprefix(prefix) if place.startswith(prefix) else None


@dataclass(frozen=True)
class Thing:
    """A row with artifacts: of an experiment, a run or a logged model. ``time`` is when it was deleted, in milliseconds; None if that is unknown."""

    kind: str
    id: str
    experiment: str
    deleted: bool
    time: int | None
    place: str
    name: str = ""
    #: The run that made a logged model.
    source_run: str = ""


@dataclass(frozen=True)
class Version:
    """A registered model version, and what it points at."""

    name: str
    version: int
    runs: tuple[str, ...]
    #: The places of its artifacts.
    places: tuple[str, ...]
    models: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """How people know it."""
        return f"version {self.version} of '{self.name}'"


def pointed_at(place: Place, uris: Iterable[str]) -> tuple[set[str], set[str], set[str]]:
    """Return the runs, the logged models and the places that the URIs of a version name.

    >>> pointed_at(Place("/a"), ["runs:/12ab/model", "models:/m-1", "mlflow-artifacts:/1/2/artifacts/model", "models:/other/1", ""])
    ({'12ab'}, {'m-1'}, {'/a/1/2/artifacts/model'})
    """
    runs, models, places = set(), set(), set()
    for uri in filter(None, uris):
        scheme, _colon, rest = uri.partition(":")
        first = rest.strip("/").partition("/")[0]
        if scheme == "runs":
            runs.add(first)
        elif scheme == "models":
            models |= {first} if first.startswith("m-") and rest.strip("/").count("/") == 0 else set()
        else:
            places.add(place.of(uri))
    return runs, models, places


@dataclass(frozen=True)
class Ages:
    """For how long something deleted stays, in milliseconds, in general and by the name of an experiment. Negative is for ever."""

    deleted: int
    by_experiment: Mapping[str, int] = field(default_factory=dict)

    def of(self, experiment: str) -> int:
        """Return the age for what is in an experiment of that name."""
        return self.by_experiment.get(experiment, self.deleted)


@dataclass(frozen=True)
class Facts:
    """What the database says: all experiments and versions, and of runs and logged models those that are deleted, or whose experiment is."""

    experiments: Sequence[Thing]
    runs: Sequence[Thing]
    models: Sequence[Thing]
    versions: Sequence[Version]
    #: The runs that have logged metrics of a logged model, of those models that a version points at.
    measured: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """Something that is old enough, and stays."""

    kind: str
    id: str
    why: str


@dataclass
class Plan:
    """What is removed, in this order, and what stays although it is old enough."""

    runs: list[Thing] = field(default_factory=list)
    models: list[Thing] = field(default_factory=list)
    experiments: list[Thing] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)

    @property
    def things(self) -> list[Thing]:
        """All that is removed."""
        return [*self.runs, *self.models, *self.experiments]


class Planner:
    """Decides by the facts."""

    def __init__(self, facts: Facts, ages: Ages, now: int) -> None:
        self.facts, self.ages, self.now = facts, ages, now
        self.experiments = {each.id: each for each in facts.experiments}
        self.inner = sorted(f"{each.place}/" for each in facts.experiments)

    @cached_property
    def protected(self) -> dict[tuple[str, str], str]:
        """What versions need, by kind and id, or by place: which version."""
        found: dict[tuple[str, str], str] = {}
        sources = {each.id: each.source_run for each in self.facts.models}
        for version in self.facts.versions:
            models = {*version.models, *(model for place in version.places for model in _MODEL.findall(place))}
            runs = {*version.runs, *(run for model in models for run in (sources.get(model, ""), *self.facts.measured.get(model, ())))} - {""}
            needed = [*(("run", run) for run in runs), *(("model", model) for model in models)]
            for key in [*needed, *(("place", place) for place in version.places)]:
                found.setdefault(key, version.title)
        return found

    @cached_property
    def protected_places(self) -> list[tuple[str, str]]:
        """The places of versions' artifacts, sorted, with the versions."""
        return sorted((f"{place}/", title) for (kind, place), title in self.protected.items() if kind == "place")

    def is_old(self, thing: Thing) -> bool:
        """Whether it has been deleted, or its experiment with it, for long enough."""
        experiment = self.experiments.get(thing.experiment)
        time = thing.time if thing.deleted else None
        if experiment and experiment.deleted and time is None:
            time = experiment.time
        age = self.ages.of(experiment.name if experiment else "")
        return time is not None and age >= 0 and time <= self.now - age

    def why_kept(self, thing: Thing) -> str:
        """Return why something that is old enough stays; empty if it does not."""
        if (thing.kind, thing.id) in self.protected:
            return f"{self.protected[thing.kind, thing.id]} refers to it"
        if ".." in thing.place.split("/"):
            return f"its artifacts are said to be in '{thing.place}'"
        folder = f"{thing.place}/"
        # A version within the folder, or the folder within what a version names.
        at = bisect_left(self.protected_places, (folder,))
        if at < len(self.protected_places) and self.protected_places[at][0].startswith(folder):
            return f"{self.protected_places[at][1]} has its artifacts there"
        parts = thing.place.split("/")
        for count in range(1, len(parts) + 1):
            above = self.protected.get(("place", "/".join(parts[:count])))
            if above:
                return f"{above} has its artifacts there"
        at = bisect_left(self.inner, folder)
        # A run's folder is within its own experiment's, never the reverse.
        return "an experiment has its artifacts there" if at < len(self.inner) and self.inner[at].startswith(folder) else ""

    def chosen(self, things: Iterable[Thing], kept: list[Kept]) -> Iterator[Thing]:
        """Return what of the runs or logged models is removed."""
        for thing in things:
            if not self.is_old(thing):
                continue
            why = self.why_kept(thing)
            if why:
                kept.append(Kept(thing.kind, thing.id, why))
            else:
                yield thing

    def plan(self) -> Plan:
        """Return what is removed and what stays."""
        made = Plan()
        # A run that was restored in a deleted experiment is in use.
        made.runs = list(self.chosen((each for each in self.facts.runs if each.deleted), made.kept))
        made.models = list(self.chosen(self.facts.models, made.kept))
        gone = {each.id for each in [*made.runs, *made.models]}
        staying: dict[str, list[Thing]] = {}
        for each in [*self.facts.runs, *self.facts.models]:
            if each.id not in gone:
                staying.setdefault(each.experiment, []).append(each)
        for each in self.facts.experiments:
            if not each.deleted or not self.is_old(each):
                continue
            left = staying.get(each.id, [])
            if each.id == DEFAULT_EXPERIMENT:
                made.kept.append(Kept(each.kind, each.id, "it is the default experiment, which MLflow would create again"))
            elif left:
                made.kept.append(Kept(each.kind, each.id, f"{len(left)} of its runs or logged models stay, such as {left[0].id}"))
            else:
                made.experiments.append(each)
        return made

    def chosen_paths(self, place: Place) -> tuple[str, ...]:
        """Return the paths below the destination that experiments have by the choice of whoever created them."""
        paths = [(each, place.path(each.place)) for each in self.facts.experiments]
        return tuple(f"{path}/" for each, path in paths if path is not None and path != each.id)

    def is_private(self, experiment: Thing, place: Place) -> bool:
        """Whether MLflow itself has chosen the folder of an experiment, and nothing else is in it, so that the whole folder goes with it."""
        if experiment.place != f"{place.destination}/{experiment.id}":
            return False
        others = [each for each in self.inner if each.startswith(f"{experiment.place}/")]
        at = bisect_left(self.protected_places, (f"{experiment.place}/",))
        needed = at < len(self.protected_places) and self.protected_places[at][0].startswith(f"{experiment.place}/")
        return len(others) == 1 and not needed


# Orphans


@dataclass
class Amount:
    """Files, and their bytes."""

    files: int = 0
    bytes: int = 0

    def add(self, files: int, count: int) -> None:
        """Count more."""
        self.files, self.bytes = self.files + files, self.bytes + count


def folders(objects: Iterable[tuple[str, int, float]], before: float, chosen: tuple[str, ...] = ()) -> tuple[dict[str, Amount], Amount]:
    """Return the folders of runs, logged models and traces in which everything is older, and what is in no such folder.

    ``chosen`` are the paths that experiments have by the choice of whoever created them, of which nothing is said.

    >>> run, other = "0" * 32, "1" * 32
    >>> objects = [(f"1/{run}/a", 5, 1.0), (f"1/{run}/b", 6, 2.0), (f"1/{other}/x", 1, 9.0), ("mine/x", 7, 1.0), ("my/x", 2, 1.0), (MARKER, 1, 1.0)]
    >>> found, foreign = folders(objects, 3.0, ("my/",))
    >>> found == {f"1/{run}": Amount(2, 11)}, foreign
    (True, Amount(files=1, bytes=7))
    """
    found: dict[str, Amount] = {}
    foreign, young = Amount(), set()
    for path, size, modified in objects:
        match = _FOLDER.match(path)
        if path.startswith(chosen) or path == MARKER:
            continue
        if match is None:
            foreign.add(1, size)
            continue
        found.setdefault(match["folder"], Amount()).add(1, size)
        if modified > before:
            young.add(match["folder"])
    return {folder: amount for folder, amount in found.items() if folder not in young}, foreign


def owner(folder: str) -> tuple[str, str]:
    """Return the kind and the id of the row that a folder belongs to.

    >>> owner("1/models/m-" + "0" * 32)[0], owner("1/" + "a" * 32)[1] == "a" * 32
    ('model', True)
    """
    match = _FOLDER.match(f"{folder}/x")
    if match is None:
        raise ValueError(folder)
    return next((kind, match[kind]) for kind in ("run", "model", "trace") if match[kind])


# For people


def amount(count: float) -> str:
    """Return a number of bytes for people.

    >>> amount(512), amount(1536 * 1024)
    ('512 bytes', '1.5 MiB')
    """
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def told(report: Mapping[str, Any], check: bool) -> list[str]:
    """Return the lines for people.

    >>> removed = [{"kind": "run", "id": "ab", "of": "1", "files": 2, "bytes": 10}]
    >>> told({"removed": removed, "kept": [], "failed": [], "notes": [], "orphans": None}, True)
    ['Would delete for good: 1 runs, 2 files, 10 bytes', '  run ab of experiment 1: 2 files, 10 bytes']
    """
    removed, kept, failed = report["removed"], report["kept"], report["failed"]
    counts: dict[str, int] = {}
    for each in removed:
        counts[each["kind"]] = counts.get(each["kind"], 0) + each.get("count", 1)
    names = {"run": "runs", "model": "logged models", "experiment": "experiments", "traces": "traces", "orphan": "folders without a row"}
    what = ", ".join(f"{count} {names[kind]}" for kind, count in counts.items()) or "nothing"
    files, total = sum(each["files"] for each in removed), sum(each["bytes"] for each in removed)
    lines = [f"{'Would delete' if check else 'Deleted'} for good: {what}" + (f", {files} files, {amount(total)}" if removed else "")]
    lines += _some([
        f"  {each['kind']} {each['id']}" + (f" of experiment {each['of']}" if each.get("of") else "")
        + f": {each['files']} files, {amount(each['bytes'])}" for each in removed
    ])  # fmt: skip
    lines += _some([f"  kept {each['kind']} {each['id']}: {each['why']}" for each in kept])
    lines += _some([f"  could not delete {each['kind']} {each['id']}: {each['why']}" for each in failed])
    if report["orphans"]:
        found = report["orphans"]
        lines.append(f"Artifacts without a row: {len(found['folders'])} folders, {found['files']} files, {amount(found['bytes'])}")
        lines += _some([f"  {each['path']}: {each['files']} files, {amount(each['bytes'])}" for each in found["folders"]])
        if found["foreign"]["files"]:
            foreign = found["foreign"]
            lines.append(f"  not where MLflow puts artifacts, and never deleted: {foreign['files']} files, {amount(foreign['bytes'])}")
    return [*lines, *report["notes"]]


def _some(lines: list[str]) -> list[str]:
    return lines if len(lines) <= SHOWN else [*lines[:SHOWN], f"  and {len(lines) - SHOWN} more, which mlflow_maintenance_report would list"]
