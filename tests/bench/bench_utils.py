"""Measure mlflow-utils, in one run and as ratios, against a server of its own: one record, their delivery, and the import.

It runs in the environment that .ci/utils makes, which has MLflow.
"""
from __future__ import annotations

import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "mlflow_utils"), str(ROOT / "tests" / "integration")]

from mlflow_server import Server  # noqa: E402 - lies beside this folder

from mlflow_utils import InferenceTracker, Settings, load_settings  # noqa: E402

ROUNDS = 3
RECORDS = 100_000
BATCH = 1000
DELIVERED = 10 * BATCH
SINGLE = 50


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def record_costs(settings: Settings) -> Iterator[tuple[str, str]]:
    """The caller's time of one record over that of one appended list item. They take turns."""
    appends, records = [], []
    for _round in range(ROUNDS):
        items: list[float] = []

        def append(items: list[float] = items) -> None:
            for number in range(RECORDS):
                items.append(float(number))

        appends.append(seconds(append))
        # What waits is dropped at the end: this is about the caller.
        tracker = InferenceTracker("bench", settings=settings, queue_size=2 * RECORDS, exit_seconds=0)

        def record(tracker: InferenceTracker = tracker) -> None:
            for number in range(RECORDS):
                tracker.record("latency", float(number))

        records.append(seconds(record))
        tracker.close()
    one, other = (statistics.median(each) / RECORDS * 1e6 for each in (records, appends))
    yield "one record over an appended list item", f"{one / other:.1f}  ({one:.2f} µs, {other:.3f} µs)"


def ways(settings: Settings, spool: str) -> dict[str, tuple[Callable[[], None], int]]:
    """The ways to deliver records, and how many each delivers."""
    from mlflow import MlflowClient  # noqa: PLC0415 - after its settings are in the environment
    from mlflow.entities import Metric  # noqa: PLC0415

    client = MlflowClient(settings.tracking_uri)
    experiment = client.create_experiment("by hand")

    def by_hand() -> None:
        run = client.create_run(experiment).info.run_id
        now = int(time.time() * 1000)
        for start in range(0, DELIVERED, BATCH):
            client.log_batch(run, [Metric("latency", float(number), now, number) for number in range(start, start + BATCH)])
        client.set_terminated(run)

    def one_by_one() -> None:
        run = client.create_run(experiment).info.run_id
        for number in range(SINGLE):
            client.log_metric(run, "latency", float(number), step=number)
        client.set_terminated(run)

    def tracked(spool: str | None = None) -> None:
        with InferenceTracker("bench", settings=settings, batch_size=BATCH, spool=spool, exit_seconds=600) as tracker:
            for number in range(DELIVERED):
                tracker.record("latency", float(number))

    return {
        "tracker": (tracked, DELIVERED),
        "tracker with a spool": (lambda: tracked(spool), DELIVERED),
        "log-batch by hand": (by_hand, DELIVERED),
        "log_metric each": (one_by_one, SINGLE),
    }


def delivery_rates(settings: Settings) -> Iterator[tuple[str, str]]:
    """Records a second delivered by the tracker, by log-batch called by hand and by one log_metric each. They take turns."""
    with tempfile.TemporaryDirectory() as folder:
        each_way = ways(settings, folder)
        times: dict[str, list[float]] = {name: [] for name in each_way}
        for _round in range(ROUNDS):
            for name, (way, _count) in each_way.items():
                times[name].append(seconds(way))
    rates = {name: each_way[name][1] / statistics.median(each) for name, each in times.items()}
    for name in ("tracker", "tracker with a spool"):
        for other in ("log_metric each", "log-batch by hand"):
            yield f"{name} over {other}", f"{rates[name] / rates[other]:.2f}  ({rates[name]:.0f}/s, {rates[other]:.0f}/s)"


def import_times() -> Iterator[tuple[str, str]]:
    """The time of an interpreter that imports the package over that of one that imports an empty package. They take turns."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "empty_package")
        package.mkdir()
        (package / "__init__.py").touch()
        environment = {**os.environ, "PYTHONPATH": folder}
        times: dict[str, list[float]] = {"mlflow_utils": [], "empty_package": [], "mlflow": []}
        for number in range(21):
            for name, each in times.items():
                if name != "mlflow" or number < 4:
                    words = [sys.executable, "-c", f"import time; s = time.perf_counter(); import {name}; print(time.perf_counter() - s)"]
                    done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
                    if number:  # the first one writes the compiled files
                        each.append(float(done.stdout))
    middle = {name: statistics.median(each) * 1000 for name, each in times.items()}
    ratio = middle["mlflow_utils"] / middle["empty_package"]
    yield "import mlflow_utils over an empty package", f"{ratio:.2f}  ({middle['mlflow_utils']:.2f} ms, {middle['empty_package']:.2f} ms)"
    yield "import mlflow over that", f"{middle['mlflow'] / middle['mlflow_utils']:.0f}  ({middle['mlflow']:.0f} ms)"


def main() -> None:
    """Measure, and print one table."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[name]
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    logging.getLogger("mlflow_utils").setLevel(logging.CRITICAL)  # the records of `record_costs` are lost on purpose
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        settings = load_settings(tracking_uri=server.uri, timeout=60)
        rows = [*record_costs(settings), *delivery_rates(settings)]
    for what, figure in [*rows, *import_times()]:
        print(f"{what:<48}{figure}")


if __name__ == "__main__":
    main()
