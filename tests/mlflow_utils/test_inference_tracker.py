"""The queue and its policies, batches, aggregation, the spool, and every way in which a tracker ends."""
from __future__ import annotations

import asyncio
import itertools
import json
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow_server import Server, free_port, rows

from mlflow_utils import InferenceTracker, Settings, load_settings
from mlflow_utils._rest import Api, Refused
from mlflow_utils.inference.aggregate import Window, quantile
from mlflow_utils.inference.outbox import Batch, Session, new_session_id
from mlflow_utils.inference.spool import Disk
from mlflow_utils.inference_tracker import Aggregation, Stats, WhenFull, deliver_spool

EXPERIMENT = "inference"


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a server that is not there."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    return load_settings(tracking_uri=f"http://127.0.0.1:{free_port()}", timeout=10)


@pytest.fixture
def here(server: Server, nowhere: Settings) -> Settings:
    return nowhere.model_copy(update={"tracking_uri": server.uri})


def run_of(settings: Settings, run_id: str | None) -> dict[str, object]:
    assert run_id is not None
    api = Api(settings)
    found: dict[str, object] = api._call("GET", "runs/get", query={"run_id": run_id})["run"]
    api.close()
    return found


def history(settings: Settings, run_id: str | None, key: str) -> list[float]:
    """The values of a metric by step."""
    assert run_id is not None
    return [value for _step, value in rows(settings, run_id, key)]


# The queue


def in_queue(tracker: InferenceTracker) -> list[float]:
    return [value for _key, value, _time in tracker._queue]  # type: ignore[misc]


def stuck(settings: Settings, when_full: WhenFull, size: int = 3) -> InferenceTracker:
    """A tracker whose threads have stopped taking: two batches of one record wait, one is held, and the queue is full."""
    tracker = InferenceTracker(EXPERIMENT, settings=settings, queue_size=size, when_full=when_full, batch_size=1, batch_seconds=0.02, exit_seconds=0)
    number = itertools.count()
    limit = time.monotonic() + 60
    while tracker._collector.pending() + tracker._outbox.records() < 3 or len(tracker._queue) < size:
        assert time.monotonic() < limit
        if len(tracker._queue) < size:
            assert tracker.record("a", float(next(number)))
        time.sleep(0.01)
    return tracker


def test_the_newest_is_dropped_and_counted(nowhere: Settings) -> None:
    tracker = stuck(nowhere, "drop_newest")
    before = in_queue(tracker)
    assert not tracker.record("a", 100.0)
    assert not tracker.record_many({"a": 101.0})
    assert in_queue(tracker) == before
    assert tracker.stats().dropped == 2
    tracker.close(0)


def test_the_oldest_is_dropped_and_counted(nowhere: Settings) -> None:
    tracker = stuck(nowhere, "drop_oldest")
    before = in_queue(tracker)
    assert tracker.record("a", 100.0)
    assert in_queue(tracker) == [*before[1:], 100.0]
    assert tracker.stats().dropped == 1
    tracker.close(0)


def test_blocking_waits_for_room_and_ends_with_the_tracker(nowhere: Settings) -> None:
    tracker = stuck(nowhere, "block")
    results: list[bool] = []
    waiting = threading.Thread(target=lambda: results.append(tracker.record("a", 100.0)))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    tracker._queue.popleft()
    waiting.join(60)
    assert results == [True]
    again = threading.Thread(target=lambda: results.append(tracker.record("a", 101.0)))
    again.start()
    tracker.close(0)
    again.join(60)
    assert results == [True, False]


def test_blocking_in_asyncio_lets_the_loop_go_on(nowhere: Settings) -> None:
    tracker = stuck(nowhere, "block")

    async def both() -> int:
        waiting = asyncio.create_task(tracker.arecord("a", 100.0))
        turns = 0
        while not waiting.done():
            turns += 1
            if turns == 5:
                tracker._queue.popleft()
            await asyncio.sleep(0.01)
        assert waiting.result()
        return turns

    assert asyncio.run(both()) >= 5
    tracker.close(0)


def test_what_is_left_without_a_spool_is_counted_and_reported(nowhere: Settings, caplog: pytest.LogCaptureFixture) -> None:
    tracker = InferenceTracker(EXPERIMENT, settings=nowhere, exit_seconds=0.2)
    for number in range(10):
        assert tracker.record("a", number)
    assert not tracker.close()
    assert tracker.stats().lost == 10
    assert tracker.stats().waiting == 0
    assert f"10 records were not delivered to {nowhere.tracking_uri} and are lost" in caplog.text
    assert not tracker.record("a", 1.0)
    assert not tracker.close()
    assert tracker.stats().lost == 10


@pytest.mark.parametrize("key", ["", "a" * 251, "a(b)", "/a", "a//b", "../a", "a\n"])
def test_a_name_that_mlflow_refuses_is_refused_at_once(nowhere: Settings, key: str) -> None:
    tracker = InferenceTracker(EXPERIMENT, settings=nowhere, exit_seconds=0)
    with pytest.raises(ValueError, match="metric name"):
        tracker.record(key, 1.0)
    with pytest.raises(ValueError, match="could not convert"):
        tracker.record("a", "one")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="holds 1 to 1000 metrics"):
        tracker.record_many({})
    tracker.close(0)


@pytest.mark.parametrize("options", [{"batch_size": 1001}, {"batch_size": 0}, {"queue_size": 0}, {"when_full": "wait"}, {"batch_seconds": 0}])
def test_a_wrong_option_is_refused(nowhere: Settings, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        InferenceTracker(EXPERIMENT, settings=nowhere, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("arguments", [{"seconds": 0}, {"quantiles": (50,)}, {"keys": "latency"}])
def test_a_wrong_aggregation_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="is wrong"):
        Aggregation(**arguments)  # type: ignore[arg-type]


def test_a_race_with_close_loses_nothing(here: Settings) -> None:
    """Whatever threads saw accepted while the tracker closed is delivered, and nothing else."""
    for _round in range(3):
        tracker = InferenceTracker(EXPERIMENT, settings=here, exit_seconds=120)
        accepted: list[list[float]] = [[] for _ in range(4)]

        def produce(numbers: list[float], tracker: InferenceTracker = tracker, start: int = 0) -> None:
            for number in itertools.count(start * 1_000_000):
                if not tracker.record("a", float(number)):
                    return
                numbers.append(float(number))

        threads = [threading.Thread(target=produce, args=(numbers, tracker, index)) for index, numbers in enumerate(accepted)]
        for thread in threads:
            thread.start()
        time.sleep(0.005)
        assert tracker.close()
        for thread in threads:
            thread.join()
        assert sorted(itertools.chain(*accepted)) == sorted(history(here, tracker.run_id, "a"))


# Delivery


def test_records_arrive_with_their_order_time_and_tags(here: Settings) -> None:
    before = time.time_ns() // 1_000_000
    with InferenceTracker(EXPERIMENT, settings=here, run_name="svc", tags={"model": "churn"}, batch_size=7) as tracker:
        for number in range(20):
            assert tracker.record("latency", number / 8)
            assert tracker.record_many({"tokens": number, "latency": -1.0})
        assert tracker.flush(60)
        assert tracker.stats() == Stats(40, 40, 0, 0, 0, 0, 0, "")
        assert run_of(here, tracker.run_id)["info"]["status"] == "RUNNING"  # type: ignore[index]
    run = run_of(here, tracker.run_id)
    info, data = run["info"], run["data"]
    assert info["status"] == "FINISHED"  # type: ignore[index]
    assert before <= int(info["start_time"]) <= int(info["end_time"])  # type: ignore[index]
    tags = {tag["key"]: tag["value"] for tag in data["tags"]}  # type: ignore[index]
    assert tags["model"] == "churn"
    assert tags["mlflow.runName"] == "svc"
    assert "host" in tags
    assert history(here, tracker.run_id, "latency") == list(itertools.chain(*((number / 8, -1.0) for number in range(20))))
    assert history(here, tracker.run_id, "tokens") == [float(number) for number in range(20)]


def test_numbers_that_json_has_not(here: Settings) -> None:
    with InferenceTracker(EXPERIMENT, settings=here) as tracker:
        for value in (math.nan, math.inf, -math.inf, 1e-300, 0.1 + 0.2):
            assert tracker.record("a", value)
    found = history(here, tracker.run_id, "a")
    assert math.isnan(found[0])
    assert found[1] >= 1.7e308  # MLflow stores infinity as the greatest number
    assert found[2] <= -1.7e308
    assert found[3:] == [1e-300, 0.1 + 0.2]


def test_a_batch_goes_by_time(here: Settings) -> None:
    tracker = InferenceTracker(EXPERIMENT, settings=here, batch_seconds=0.2)
    assert tracker.record("a", 1.0)
    limit = time.monotonic() + 60
    while not tracker.stats().delivered:
        assert time.monotonic() < limit
        time.sleep(0.05)
    assert tracker.close(60)


def test_a_refused_batch_does_not_stop_the_next(here: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with InferenceTracker(EXPERIMENT, settings=here, spool=tmp_path, exit_seconds=60) as tracker:
        tracker._collector._outbox.put(Batch([("not (allowed)", 1.0, 1, 0)], 3))
        assert tracker.record("a", 1.0)
        assert not tracker.flush(60), "something was refused"
        assert tracker.stats().refused == 3
    assert history(here, tracker.run_id, "a") == [1.0]
    assert "MLflow will never accept a batch of 3 records" in caplog.text
    [kept] = tmp_path.iterdir()
    assert sorted(path.name for path in (kept / "refused").iterdir()) == ["0000000001.json", "session.json"]
    with pytest.raises(Refused):
        Api(here).log_batch("0" * 32, [("a", 1.0, 1, 0)])


def test_aggregates_and_raw_metrics(here: Settings) -> None:
    aggregate = Aggregation(keys={"latency"}, seconds=3600, quantiles=(0.5, 0.9))
    with InferenceTracker(EXPERIMENT, settings=here, aggregate=aggregate) as tracker:
        for number in range(101):
            assert tracker.record("latency", number)
        assert tracker.record_many({"latency": math.nan, "score": 0.5})
        assert tracker.flush(60)
        assert tracker.stats().delivered == 102
        for number in range(3):
            assert tracker.record("latency", 10.0 + number)
    assert history(here, tracker.run_id, "latency") == []
    assert history(here, tracker.run_id, "score") == [0.5]
    expected = {"count": [101, 3], "min": [0, 10], "max": [100, 12], "mean": [50, 11], "p50": [50, 11], "p90": [90, 11.8], "not_finite": [1]}
    for name, values in expected.items():
        assert history(here, tracker.run_id, f"latency/{name}") == pytest.approx(values), name
    assert all(rate > 0 for rate in history(here, tracker.run_id, "latency/rate"))


def test_a_timer_records_seconds_even_of_what_fails(nowhere: Settings) -> None:
    tracker = InferenceTracker(EXPERIMENT, settings=nowhere, batch_seconds=3600, queue_size=10, exit_seconds=0)
    with pytest.raises(ValueError, match="math domain|nonnegative"), tracker.timer("seconds"):
        math.sqrt(-1)
    assert tracker.stats().accepted == 1
    tracker.close(0)


def test_asyncio(here: Settings) -> None:
    async def serve() -> str | None:
        async with InferenceTracker(EXPERIMENT, settings=here, exit_seconds=60) as tracker:
            await asyncio.gather(*(tracker.arecord("a", float(number)) for number in range(100)), tracker.arecord_many({"b": 1.0}))
            assert await tracker.aflush(60)
            return tracker.run_id

    run_id = asyncio.run(serve())
    assert sorted(history(here, run_id, "a")) == [float(number) for number in range(100)]


# Windows


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_lies_between_its_neighbours(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = quantile(ordered, share)
    below = ordered[math.floor((len(ordered) - 1) * share)]
    above = ordered[math.ceil((len(ordered) - 1) * share)]
    assert below <= found or found == pytest.approx(below)
    assert found <= above or found == pytest.approx(above)


def test_a_window_is_due_by_time_alone_when_it_has_something() -> None:
    window = Window(())
    assert not window.due(10**12, 1)
    window.add("a", 1.0, 10**12)
    assert not window.due(10**12 + 10**9 - 1, 1)
    assert window.due(10**12 + 10**9, 1)
    assert list(window.end(10**12 + 10**9))[:2] == [("a/count", 1.0), ("a/rate", 1.0)]
    assert not window.due(10**13, 1)


# The spool


def test_what_an_offline_service_left_comes_first_and_in_order(server: Server, nowhere: Settings, here: Settings, tmp_path: Path) -> None:
    ids = []
    for start in (0, 100):
        with InferenceTracker(EXPERIMENT, settings=nowhere, spool=tmp_path, batch_size=10, exit_seconds=0.1) as offline:
            for number in range(start, start + 100):
                assert offline.record("a", float(number))
            assert offline.secure(60)
        assert offline.stats().lost == 0
        ids.append(offline._outbox.session.id)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ids
    with InferenceTracker(EXPERIMENT, settings=here, spool=tmp_path, exit_seconds=120) as tracker:
        assert tracker.record("a", 1000.0)
    assert list(tmp_path.iterdir()) == []
    api = Api(here)
    for number, session in enumerate(ids):
        run_id = api.run_id(EXPERIMENT, "", {"mlflow_utils.session": session}, 0)
        assert history(here, run_id, "a") == [float(value) for value in range(number * 100, number * 100 + 100)]
        assert run_of(here, run_id)["info"]["status"] == "FINISHED"  # type: ignore[index]
    assert history(here, tracker.run_id, "a") == [1000.0]


def test_a_session_of_a_running_process_is_left_alone(nowhere: Settings, here: Settings, tmp_path: Path) -> None:
    tracker = InferenceTracker(EXPERIMENT, settings=nowhere, spool=tmp_path, exit_seconds=0)
    assert tracker.record("a", 1.0)
    assert tracker.secure(60)
    assert deliver_spool(tmp_path, here) == 0
    tracker.close(0)
    limit = time.monotonic() + 60
    while deliver_spool(tmp_path, here) == 0:  # the sending thread lets go when its request has failed
        assert time.monotonic() < limit
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_cannot_be_delivered_says_so(nowhere: Settings, tmp_path: Path) -> None:
    Disk.create(tmp_path, Session(new_session_id(), EXPERIMENT, "r", {}, 0), 1000).release(remove=False)
    assert deliver_spool(tmp_path, nowhere) == 0  # an empty one has nothing to say to the server
    box = Disk.create(tmp_path, Session(new_session_id(), EXPERIMENT, "r", {"mlflow_utils.session": "s"}, 0), 1000)
    box.put(Batch([("a", 1.0, 1, 0)], 1))
    box.release(remove=False)
    with pytest.raises(TimeoutError, match=f"{nowhere.tracking_uri} did not take all of {tmp_path} within 0.5 s"):
        deliver_spool(tmp_path, nowhere, 0.5)


def test_a_full_spool_holds_the_queue_back(nowhere: Settings, tmp_path: Path) -> None:
    tracker = InferenceTracker(EXPERIMENT, settings=nowhere, spool=tmp_path, spool_bytes=1, batch_size=1, queue_size=5, exit_seconds=0)
    for _number in range(5):
        tracker.record("a", 1.0)
    assert tracker.secure(0.5) is False
    assert len(list(tmp_path.glob("*/0*.json"))) == 1
    tracker.close(0)


# The end of a process

PROGRAM = """
import json, os, signal, sys, time
from mlflow_utils import InferenceTracker, load_settings

said = json.loads(sys.argv[1])

def start(**options):
    return InferenceTracker("ends", settings=load_settings(tracking_uri=said["uri"]), tags={"case": said["case"]}, exit_seconds=120,
                            batch_seconds=3600, **options)
"""
ENDS = {
    "interpreter exit": ("t = start(); t.record('a', 1.0)", 0),
    "error": ("t = start(); t.record('a', 1.0); raise SystemExit(3)", 3),
    "sigterm": ("t = start(); t.record('a', 1.0); os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", -signal.SIGTERM),
    "handler before": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); t = start(); t.record('a', 1.0); os.kill(os.getpid(), signal.SIGTERM)",
        5,
    ),
    "handler that goes on": (
        "seen = []; signal.signal(signal.SIGTERM, lambda *_: seen.append(1)); t = start(); os.kill(os.getpid(), signal.SIGTERM)\n"
        "assert seen and t.record('a', 1.0)",
        0,
    ),
    "handler that exits hard": (
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(6)); t = start(); t.record('a', 1.0); os.kill(os.getpid(), signal.SIGTERM)",
        6,
    ),
    "ignored": ("signal.signal(signal.SIGTERM, signal.SIG_IGN); t = start(); t.record('a', 1.0); os.kill(os.getpid(), signal.SIGTERM)", 0),
    "twice": ("u = start(); u.close(); t = start(); t.record('a', 1.0); os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", -signal.SIGTERM),
    "asyncio": (
        "import asyncio\nasync def main():\n    t = start(); await t.arecord('a', 1.0)\n    asyncio.get_running_loop().call_later(0.1, os.kill, "
        "os.getpid(), signal.SIGTERM)\n    await asyncio.sleep(60)\nasyncio.run(main())",
        -signal.SIGTERM,
    ),
    "fork": (
        "t = start(); pid = os.fork()\nif pid == 0:\n    sys.exit(0)\nassert os.waitpid(pid, 0)[1] == 0; t.record('a', 1.0)",
        0,
    ),
    "only the child": ("t = start(); pid = os.fork()\nif pid == 0:\n    t.record('a', 1.0); sys.exit(0)\nos.waitpid(pid, 0)", 0),
}


@pytest.mark.parametrize("case", ENDS)
def test_a_record_survives_the_end(here: Settings, case: str) -> None:
    program, status = ENDS[case]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    words = [sys.executable, "-c", PROGRAM + program, json.dumps({"uri": here.tracking_uri, "case": case})]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == status, done.stderr
    api = Api(here)
    body = {"experiment_ids": [api.experiment_id("ends")], "filter": f"tags.`case` = '{case}'"}
    runs = api._call("POST", "runs/search", body=body)["runs"]
    assert [history(here, run["info"]["run_id"], "a") for run in runs] == [[1.0]]


def test_the_handler_that_was_there_comes_back(nowhere: Settings) -> None:
    before = signal.getsignal(signal.SIGTERM)
    first = InferenceTracker(EXPERIMENT, settings=nowhere)
    second = InferenceTracker(EXPERIMENT, settings=nowhere)
    left_alone: Callable[..., object] | int | None = signal.getsignal(signal.SIGTERM)
    assert left_alone is not before
    first.close(0)
    assert signal.getsignal(signal.SIGTERM) is left_alone
    second.close(0)
    assert signal.getsignal(signal.SIGTERM) is before
    InferenceTracker(EXPERIMENT, settings=nowhere, sigterm=False).close(0)


def test_nothing_is_logged_above_warning_where_all_goes_well(here: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), InferenceTracker(EXPERIMENT, settings=here) as tracker:
        tracker.record("a", 1.0)
    assert caplog.records == []
