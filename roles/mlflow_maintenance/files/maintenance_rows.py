"""The rows of an MLflow server that decide what may be deleted, and MLflow's own ways to delete them."""
from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from backup_lock import DATABASE_LOCK, PATIENCE
from maintenance_plan import DELETED, Facts, Place, Thing, Version, pointed_at
from mlflow.store.db import utils

#: Rows that a query names, and traces that are deleted at once.
MANY = 500
RUNS = (
    "SELECT r.run_uuid, r.experiment_id, r.lifecycle_stage, r.deleted_time, r.artifact_uri FROM runs r JOIN experiments e "
    "ON e.experiment_id = r.experiment_id WHERE r.lifecycle_stage = 'deleted' OR e.lifecycle_stage = 'deleted'"
)
VERSIONS = "SELECT name, version, run_id, source, storage_location FROM model_versions"
MODELS = (
    "SELECT m.model_id, m.experiment_id, m.lifecycle_stage, m.last_updated_timestamp_ms, m.artifact_location, m.source_run_id "
    "FROM logged_models m JOIN experiments e ON e.experiment_id = m.experiment_id WHERE "
)
STATES = {
    "run": "SELECT lifecycle_stage, deleted_time FROM runs WHERE run_uuid = :id",
    "model": "SELECT lifecycle_stage, last_updated_timestamp_ms FROM logged_models WHERE model_id = :id",
    "experiment": "SELECT lifecycle_stage, last_update_time FROM experiments WHERE experiment_id = :id",
}
#: Whether something is left in an experiment.
CONTENT = (
    "SELECT run_uuid FROM runs WHERE experiment_id = :id UNION ALL SELECT model_id FROM logged_models WHERE experiment_id = :id LIMIT 1"
)
OLD_TRACES = "SELECT count(*) FROM trace_info WHERE experiment_id = :id AND timestamp_ms <= :before"
#: What the server's scheduler archives too: a finished trace whose spans are in the database, and that has not failed to be archived for good.
ARCHIVABLE = (
    "status <> 'IN_PROGRESS' AND NOT EXISTS (SELECT 1 FROM trace_tags g WHERE g.request_id = trace_info.request_id AND "
    "(g.key = 'mlflow.trace.archivalFailure' OR g.key = 'mlflow.trace.spansLocation' AND g.value <> 'TRACKING_STORE')) AND "
    "EXISTS (SELECT 1 FROM spans s WHERE s.trace_id = trace_info.request_id AND s.content <> '')"
)
#: MLflow's own ways to delete a row, with the rows that belong to it.
DELETE = {"run": "_hard_delete_run", "model": "_hard_delete_logged_model", "experiment": "_hard_delete_experiment"}
#: The identifiers of what has a folder of its own.
KEYS = {"run": ("runs", "run_uuid"), "model": ("logged_models", "model_id"), "trace": ("trace_info", "request_id")}
#: Changes with each version that is registered.
FINGERPRINT = "SELECT count(*), max(creation_time), max(last_updated_time) FROM model_versions"


def parts(things: Sequence[str]) -> Iterator[list[str]]:
    """Return the things in lists that a query can name."""
    for start in range(0, len(things), MANY):
        yield list(things[start:start + MANY])


class Database:
    """The tracking store, and the model registry, which may be in another database. Raises MLflow's error if a schema is not of this version."""

    def __init__(self, uri: str, registry_uri: str, place: Place) -> None:
        self.uri, self.place = uri, place
        self.engine: Any = utils.create_sqlalchemy_engine(uri)
        self.registry: Any = utils.create_sqlalchemy_engine(registry_uri) if registry_uri != uri else self.engine
        utils._verify_schema(self.engine)
        self._store: Any = None

    @contextmanager
    def alone(self, error: Callable[[str], Exception]) -> Iterator[None]:
        """Hold the lock that backups and restores of a deployment in a cluster take."""
        with self.engine.connect() as connection:
            deadline = time.monotonic() + PATIENCE
            while not connection.scalar(sqlalchemy.text("SELECT pg_try_advisory_lock(:lock)"), {"lock": DATABASE_LOCK}):
                if time.monotonic() > deadline:
                    raise error(f"mlflow_maintenance: a backup or restore has been running for {PATIENCE} seconds; wait until it has ended")
                time.sleep(2)
            # The lock is the session's, which ends with the block. A transaction would keep the database from cleaning up.
            connection.commit()
            try:
                yield
            finally:
                connection.invalidate()

    @property
    def store(self) -> Any:
        """MLflow's own store. It may write to the database when it is made, so not in check mode."""
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415

        if self._store is None:
            self._store = SqlAlchemyStore(self.uri, os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT", "mlflow-artifacts:/"))
        return self._store

    def rows(self, statement: str, engine: Any = None, **values: Any) -> list[Any]:
        """Return what a query finds; a list is the values of an IN."""
        lists = [sqlalchemy.bindparam(name, expanding=True) for name, value in values.items() if isinstance(value, list)]
        with (engine or self.engine).connect() as connection:
            return list(connection.execute(sqlalchemy.text(statement).bindparams(*lists), values))

    def experiments(self) -> list[Thing]:
        """Return all experiments."""
        found = self.rows("SELECT experiment_id, name, lifecycle_stage, last_update_time, artifact_location FROM experiments")
        return [
            Thing("experiment", str(id_), str(id_), stage == DELETED, time, self.place.of(location or ""), name)
            for id_, name, stage, time, location in found
        ]

    def facts(self) -> Facts:
        """Return all that decides."""
        runs = [Thing("run", id_, str(of), stage == DELETED, time, self.place.of(uri or "")) for id_, of, stage, time, uri in self.rows(RUNS)]
        versions = [self._version(*row) for row in self.rows(VERSIONS, self.registry)]
        models = self._models("m.lifecycle_stage = 'deleted' OR e.lifecycle_stage = 'deleted'")
        measured: dict[str, frozenset[str]] = {}
        for some in parts(sorted({model for version in versions for model in version.models})):
            models |= self._models("m.model_id IN :some", some=some)
            for model, run in self.rows("SELECT DISTINCT model_id, run_id FROM logged_model_metrics WHERE model_id IN :some", some=some):
                measured[model] = measured.get(model, frozenset()) | {run}
        return Facts(self.experiments(), runs, list(models.values()), versions, measured)

    def _models(self, which: str, **values: Any) -> dict[str, Thing]:
        return {
            id_: Thing("model", id_, str(of), stage == DELETED, time, self.place.of(location), source_run=source or "")
            for id_, of, stage, time, location, source in self.rows(MODELS + which, **values)
        }

    def _version(self, name: str, number: int, run: str | None, source: str | None, storage: str | None) -> Version:
        runs, models, places = pointed_at(self.place, [source or "", storage or ""])
        return Version(name, int(number), tuple(sorted({run or "", *runs} - {""})), tuple(sorted(places)), tuple(sorted(models)))

    def fingerprint(self) -> tuple[Any, ...]:
        """Return what changes when a version is registered."""
        return tuple(self.rows(FINGERPRINT, self.registry)[0])

    def is_unchanged(self, thing: Thing) -> bool:
        """Whether a row is as it was planned: nobody has restored it. An experiment is to be empty by now."""
        id_: Any = int(thing.id) if thing.kind == "experiment" else thing.id
        found = self.rows(STATES[thing.kind], id=id_)
        if not found or (found[0][0] == DELETED, found[0][1]) != (thing.deleted, thing.time):
            return False
        return thing.kind != "experiment" or not self.rows(CONTENT, id=id_)

    def delete(self, thing: Thing) -> None:
        """Delete a row, and the rows that belong to it, as ``mlflow gc`` does."""
        getattr(self.store, DELETE[thing.kind])(thing.id)

    def missing(self, kind: str, ids: Iterable[str]) -> set[str]:
        """Return which of the identifiers have no row."""
        table, column = KEYS[kind]
        left = set(ids)
        for some in parts(sorted(left)):
            left -= {row[0] for row in self.rows(f"SELECT {column} FROM {table} WHERE {column} IN :some", some=some)}
        return left

    def old_traces(self, experiment: str, before: int) -> int:
        """Return how many traces of an experiment began before then, in milliseconds."""
        return int(self.rows(OLD_TRACES, id=int(experiment), before=before)[0][0])

    def trace_batches(self, experiment: str, before: int, at_once: int = MANY, which: str = "true", last: int = -1) -> Iterator[list[str]]:
        """Return their identifiers, some at a time, the oldest first. What is still there when the next are asked for is not returned again."""
        last_id = ""
        while True:
            found = self.rows(
                "SELECT request_id, timestamp_ms FROM trace_info WHERE experiment_id = :id AND timestamp_ms <= :before AND (timestamp_ms > :last OR "
                f"(timestamp_ms = :last AND request_id > :last_id)) AND {which} ORDER BY timestamp_ms, request_id LIMIT :most",
                id=int(experiment), before=before, last=last, last_id=last_id, most=at_once,
            )  # fmt: skip
            if not found:
                return
            last_id, last = found[-1]
            yield [row[0] for row in found]

    def delete_traces(self, experiment: str, traces: list[str]) -> int:
        """Delete traces as the server does on request, archived ones too; how many."""
        return int(self.store.delete_traces(experiment, trace_ids=traces))

    # Archived traces

    def count_due(self, experiment: str, after: int, until: int) -> int:
        """Return how many traces of an experiment are to be archived, of those that began after a time and until another."""
        which = f"SELECT count(*) FROM trace_info WHERE experiment_id = :id AND timestamp_ms > :after AND timestamp_ms <= :until AND {ARCHIVABLE}"
        return int(self.rows(which, id=int(experiment), after=after, until=until)[0][0])

    def due_batches(self, experiment: str, after: int, until: int) -> Iterator[list[str]]:
        """Return their identifiers, some at a time, the oldest first."""
        # After that millisecond.
        return self.trace_batches(experiment, until, which=ARCHIVABLE, last=after + 1)

    def archive(self, trace: str, uri: str) -> bool:
        """Archive a trace as the server's scheduler does: first its file, then its row; whether it was, and not changed or deleted meanwhile."""
        return bool(self.store._archive_trace_candidate(trace_id=trace, resolved_trace_archival_location=uri))

    def archived_elsewhere(self, uri: str) -> list[Any]:
        """Return trace, experiment and place of those that are archived outside a place."""
        return self.rows(
            "SELECT t.request_id, t.experiment_id, g.value FROM trace_tags g JOIN trace_info t ON t.request_id = g.request_id "
            "WHERE g.key = 'mlflow.trace.archiveLocation' AND left(g.value, :length) <> :uri", length=len(uri) + 1, uri=f"{uri}/",
        )  # fmt: skip

    def archived_at(self, trace: str, before: str, uri: str) -> None:
        """Note where an archived trace is, of which it was known before where it was."""
        statement = "UPDATE trace_tags SET value = :uri WHERE request_id = :trace AND key = 'mlflow.trace.archiveLocation' AND value = :before"
        with self.engine.begin() as connection:
            connection.execute(sqlalchemy.text(statement), {"uri": uri, "trace": trace, "before": before})
