"""What Prometheus scrapes beside an MLflow server, without a password, on a port that only Prometheus reaches: ``prometheus_exporter.py --help``.

Tells what MLflow counts itself, from the folder in MLFLOW_EXPOSE_PROMETHEUS that its workers share, and what it does not: whether the server and
its database answer, how much is in them, and how the last backup went. The database is MLFLOW_BACKEND_STORE_URI; libpq's variables (PGPASSWORD,
PGSSLMODE) hold. It is read in the background, in one read-only session with limits, so that a scrape waits for nothing. What cannot be read is
absent, and never an old value.
"""
from __future__ import annotations

import argparse
import http.client
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

#: The pause between two looks, and how much longer it is than a look takes: a large database is not busy with being counted.
PAUSE_SECONDS, TIMES_LONGER = 15.0, 20
#: The session can change nothing, waits for no lock, and no query of it takes longer.
SESSION = "-c default_transaction_read_only=on -c statement_timeout=5000 -c lock_timeout=1000 -c idle_in_transaction_session_timeout=10000"
#: Each query, with the labels of its rows: the last column is the value.
Query = tuple[str, str, Sequence[str], str]
QUERIES: Sequence[Query] = (
    ("experiments", "Experiments, by their stage: active or deleted.", ("stage",), "SELECT lifecycle_stage, count(*) FROM experiments GROUP BY 1"),
    ("runs", "Runs, by their status and stage.", ("status", "stage"), "SELECT status, lifecycle_stage, count(*) FROM runs GROUP BY 1, 2"),
    ("registered_models", "Registered models, with prompts.", (), "SELECT count(*) FROM registered_models"),
    ("model_versions", "Versions of registered models, by the stage that they were given.", ("stage",),
     "SELECT coalesce(current_stage, 'None'), count(*) FROM model_versions GROUP BY 1"),
    ("logged_models", "Logged models, by their stage.", ("stage",), "SELECT lifecycle_stage, count(*) FROM logged_models GROUP BY 1"),
    ("traces", "Traces, by their status.", ("status",), "SELECT status, count(*) FROM trace_info GROUP BY 1"),
    ("database_size_bytes", "The size of the database on disk.", (), "SELECT pg_database_size(current_database())"),
    ("database_connections", "Connections to the database server, of all its users.", (), "SELECT sum(numbackends) FROM pg_stat_database"),
    ("database_max_connections", "How many connections the database server takes.", (), "SELECT current_setting('max_connections')::int"),
)  # fmt: skip
REVISION = "SELECT version_num FROM alembic_version"


@dataclass(frozen=True)
class Metric:
    """A gauge: its name, what it means, the names of its labels, and its values, each with those of the labels."""

    name: str
    meaning: str
    labels: Sequence[str] = ()
    values: Sequence[tuple[Sequence[str], float]] = ()


def single(name: str, meaning: str, value: float) -> Metric:
    """A gauge without labels.

    >>> single("up", "Whether.", True).values
    [((), 1.0)]
    """
    return Metric(name, meaning, (), [((), float(value))])


def of_rows(query: Query, rows: Iterable[Sequence[Any]]) -> Metric:
    """The gauge of a query's rows.

    >>> of_rows(("runs", "Runs.", ("status",), ""), [("FINISHED", 3), (None, 1)]).values
    [(['FINISHED'], 3.0), ([''], 1.0)]
    """
    name, meaning, labels, _text = query
    return Metric(name, meaning, labels, [(["" if each is None else str(each) for each in row[:-1]], float(row[-1] or 0)) for row in rows])


def newest(migrations: Iterable[str]) -> str:
    r"""The revision that no other follows, of the texts of MLflow's migrations; "" if there is not one.

    >>> newest(["revision = 'a'\ndown_revision = None", "revision: str = 'b'\ndown_revision = 'a'"])
    'b'
    """
    texts = "\n".join(migrations)
    known = re.findall(r"^revision(?:\s*:\s*str)?\s*=\s*[\"'](\w+)", texts, re.M)
    followed = re.findall(r"^down_revision(?:\s*:[^=]*)?\s*=\s*[\"'](\w+)", texts, re.M)
    heads = {*known} - {*followed}
    return heads.pop() if len(heads) == 1 else ""


def expected_revision() -> str:
    """The newest revision of the installed MLflow. Reads the files: importing them takes seconds."""
    package = importlib.util.find_spec("mlflow")
    folder = Path(package.origin or "").parent / "store/db_migrations/versions" if package else Path()
    return newest(file.read_text() for file in folder.glob("*.py"))


def seconds(moment: str) -> float:
    """A moment as seconds since 1970.

    >>> seconds("2026-11-30T03:00:00Z")
    1796007600.0
    """
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def of_backups(state: Mapping[str, Any]) -> Iterator[Metric]:
    """What the last backup and the last drill of the embedded stack came to, as the role mlflow_backup notes it.

    >>> [metric.name for metric in of_backups({})]
    []
    >>> [metric.name for metric in of_backups({"failed": {"time": "2026-11-30T03:00:00Z", "problem": "full"}})]
    ['backup_failed']
    """
    backup, drill = state.get("backup"), state.get("drill")
    if backup:
        yield single("backup_last_success_timestamp_seconds", "When the newest set was made.", seconds(backup["time"]))
        yield single("backup_size_bytes", "What the newest set holds.", backup["bytes"])
        yield single("backup_added_bytes", "How much of it was new in the repository.", backup["added"])
        yield single("backup_duration_seconds", "How long it took.", backup["seconds"])
        yield single("backup_sets", "How many sets are kept.", backup["sets"])
    if backup or state.get("failed"):
        yield single("backup_failed", "Whether the last backup failed.", bool(state.get("failed")))
    if drill:
        yield single("backup_drill_timestamp_seconds", "When a set was last restored and tried.", seconds(drill["time"]))
        yield single("backup_drill_duration_seconds", "How long that took.", drill["seconds"])
        yield single("backup_drill_problems", "What was wrong with that set.", len(drill["problems"]))


def of_home(home: Path) -> Iterator[Metric]:
    """What the folder of an embedded stack tells."""
    disk = shutil.disk_usage(home)
    yield single("disk_size_bytes", "The size of the disk with the stack's folder.", disk.total)
    yield single("disk_free_bytes", "What of it the stack can still write.", disk.free)
    try:
        yield from of_backups(json.loads((home / "backup/state.json").read_text()))
    except FileNotFoundError:
        return


def of_server(address: str) -> Iterator[Metric]:
    """Whether the server answers, which it does without its database too."""
    parts = urlsplit(address)
    try:
        with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)) as connection:
            connection.request("GET", parts.path)
            is_up = connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        is_up = False
    yield single("up", "Whether MLflow answers.", is_up)


def of_database(uri: str, expected: str) -> Iterator[Metric]:
    """What the database tells, each query by itself: one that takes too long costs its own metric alone."""
    import psycopg2  # noqa: PLC0415 - the doctests run without it

    plain = re.sub(r"^postgresql\+\w+:", "postgresql:", uri)
    try:
        session = psycopg2.connect(plain, connect_timeout=5, options=SESSION, application_name="mlflow-metrics")
    except psycopg2.OperationalError:
        yield single("database_up", "Whether the database takes connections.", False)
        return
    with closing(session):
        session.autocommit = True
        yield single("database_up", "Whether the database takes connections.", True)
        failed = 0
        for query in QUERIES:
            try:
                with session.cursor() as cursor:
                    cursor.execute(query[-1])
                    yield of_rows(query, cursor.fetchall())
            except psycopg2.Error:
                failed += 1
        yield single("metrics_failed_queries", "How many queries of these metrics failed or took too long.", failed)
        try:
            with session.cursor() as cursor:
                cursor.execute(REVISION)
                ((found,),) = cursor.fetchall()
        except (psycopg2.Error, ValueError):
            found = ""
        yield Metric("schema_info", "The schema's revision, and the one that MLflow expects.", ("revision", "expected"), [((found, expected), 1.0)])
        yield single("schema_current", "Whether they are the same.", found == expected)


class Look:
    """What is told, as the last look found it."""

    def __init__(self, sources: Sequence[Callable[[], Iterable[Metric]]], pause: float) -> None:
        self._sources, self._pause, self._found = sources, pause, list[Metric]()

    def take(self) -> float:
        """Look, and return how long it took."""
        began, found = time.monotonic(), list[Metric]()
        for source in self._sources:
            try:
                found += source()
            # One source that fails, for whatever reason, must not end the others.
            except Exception as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        self._found = found
        return time.monotonic() - began

    def keep_looking(self) -> None:
        """Look for ever."""
        while True:
            time.sleep(max(self._pause, TIMES_LONGER * self.take()))

    def collect(self) -> Iterator[Any]:
        """Yield the metrics as prometheus_client takes them."""
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - the doctests run without it

        for metric in self._found:
            family = GaugeMetricFamily(f"mlflow_{metric.name}", metric.meaning, labels=metric.labels)
            for labels, value in metric.values:
                family.add_metric(labels, value)
            yield family


def version() -> Iterator[Metric]:
    """The version of MLflow."""
    yield Metric("server_info", "The version of MLflow.", ("version",), [((importlib.metadata.version("mlflow"),), 1.0)])


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="Serves metrics of an MLflow server for Prometheus.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, required=True, help="the port to listen on")
    parser.add_argument("--server", required=True, help="the URL of MLflow's health")
    parser.add_argument("--home", help="the folder of an embedded stack")
    parser.add_argument("--pause", type=float, default=PAUSE_SECONDS, help="seconds between two looks")
    given = parser.parse_args()
    try:
        from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415 - its absence is what is told
        from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415
    except ImportError:
        sys.exit("metrics are asked for, and prometheus-client, which comes with prometheus-flask-exporter, is not installed here")
    folder, uri, expected = os.environ["MLFLOW_EXPOSE_PROMETHEUS"], os.environ["MLFLOW_BACKEND_STORE_URI"], expected_revision()
    Path(folder).mkdir(exist_ok=True)
    look = Look([
        version, lambda: of_server(given.server), lambda: of_database(uri, expected), *([lambda: of_home(Path(given.home))] if given.home else []),
    ], given.pause)  # fmt: skip
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)
    registry.register(look)
    # The first process of a container is not ended by a signal that it does not handle. An exception would be lost where a library ignores those
    # of its callbacks: https://docs.python.org/3/library/signal.html#handlers-and-exceptions
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    start_http_server(given.port, given.host, registry)
    look.keep_looking()


if __name__ == "__main__":
    main()
