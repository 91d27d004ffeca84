"""What is accepted arrives, and what is refused is counted and said: full disks, forks, deleted runs, clocks set back, and ends in an outage.

Programs run as processes of their own, whose last line on standard output is JSON.
"""
from __future__ import annotations

import errno
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow_server import LossyProxy, Server, free_port, rows

from mlflow_utils import InferenceTracker, Settings, load_settings
from mlflow_utils._rest import SESSION_TAG, Api
from mlflow_utils.inference import spool
from mlflow_utils.inference.outbox import Batch, Session, new_session_id
from mlflow_utils.inference.spool import Disk
from mlflow_utils.inference_tracker import Aggregation, delete_old_runs, deliver_spool

START = """
import asyncio, json, logging, os, signal, sys, threading, time
from mlflow_utils import InferenceTracker, load_settings
from mlflow_utils.inference_tracker import deliver_spool

said = json.loads(sys.argv[1])
logging.basicConfig(format="%(levelname)s %(message)s")
SETTINGS = load_settings(tracking_uri=said["uri"], timeout=said.get("timeout", 10))

def start(**options):
    return InferenceTracker(said["experiment"], settings=SETTINGS, **options)

def stats(tracker):
    return vars(tracker.stats())
"""


@pytest.fixture
def here(server: Server, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    return load_settings(tracking_uri=server.uri, timeout=10)


@pytest.fixture
def nowhere(here: Settings) -> Settings:
    return here.model_copy(update={"tracking_uri": f"http://127.0.0.1:{free_port()}"})


@pytest.fixture
def silent(here: Settings) -> Iterator[Settings]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield here.model_copy(update={"tracking_uri": f"http://127.0.0.1:{listening.getsockname()[1]}", "timeout": 30})


@pytest.fixture
def experiment() -> str:
    return f"arrives {time.time_ns()}"


def histories(settings: Settings, experiment: str, key: str = "a") -> list[list[float]]:
    """The values of a metric in each run of the experiment."""
    api = Api(settings)
    runs = api._call("POST", "runs/search", body={"experiment_ids": [api.experiment_id(experiment)]}).get("runs", [])
    api.close()
    return [[value for _step, value in rows(settings, run["info"]["run_id"], key)] for run in runs]


@contextmanager
def started(program: str, said: dict[str, Any], *before: str) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    words = [*before, sys.executable, "-c", START + program, json.dumps(said)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str], status: int = 0, within: float = 300) -> tuple[dict[str, Any], list[str]]:
    """What the program found, and the lines that it logged."""
    out, err = process.communicate(timeout=within)
    assert process.returncode == status, err
    return json.loads(out.splitlines()[-1]) if out.strip() else {}, err.splitlines()


# Disks

#: The spool as a file system of 1 MiB, in a namespace of the program's own.
SMALL_DISK = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m spool "$0" && exec "$@"')
FULL_DISK = """
first = start(spool=said["spool"], exit_seconds=1)
accepted = sum(first.record("a", float(number)) for number in range(60_000))
first.secure(3)
if said["closes"]:
    first.close(0.5)
    second = start(spool=said["spool"])
    accepted_later = sum(second.record("b", float(number)) for number in range(1000))
print("full", flush=True)
sys.stdin.readline()
ok = (second if said["closes"] else first).flush(200)
closed = (second if said["closes"] else first).close()
found = {"accepted": accepted, "ok": ok, "closed": closed, "first": stats(first), "left": os.listdir(said["spool"])}
print(json.dumps({**found, "second": stats(second)} if said["closes"] else found))
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> tuple[str, ...]:
    words = (*SMALL_DISK, str(tmp_path))
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespace with a file system of one's own on this machine")
    return words


@pytest.mark.parametrize("closes", [False, True], ids=["the same process", "the next process"])
def test_a_full_disk_is_emptied_by_the_delivery(
    server: Server, here: Settings, experiment: str, tmp_path: Path, small_disk: tuple[str, ...], closes: bool, arrived: Callable[..., None]
) -> None:
    """60,000 records while no server answers, of which the disk holds a half."""
    port = free_port()
    said = {"uri": f"http://127.0.0.1:{port}", "experiment": experiment, "spool": str(tmp_path), "closes": closes}
    with started(FULL_DISK, said, *small_disk) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "full\n"
        with LossyProxy(server.port, lambda path: False, port).running():
            process.stdin.write("\n")
            process.stdin.flush()
            found, log = ended(process)
    assert len(log) < 20, log
    assert (found["ok"], found["closed"], found["accepted"], found["left"]) == (True, True, 60_000, [])
    first = found["first"]
    if closes:
        assert first["lost"] + first["waiting"] == 60_000
        assert first["lost"] > 0
        assert (found["second"]["delivered"], found["second"]["earlier_delivered"]) == (1000, first["waiting"])
    else:
        assert (first["delivered"], first["lost"], first["waiting"]) == (60_000, 0, 0)
    values = [value for history in histories(here, experiment) for value in history]
    assert values == [float(number) for number in range(60_000 - first["lost"])]
    arrived("D1", accepted=60_000, delivered=len(values), refused=first["lost"])


class Failing:
    """A disk on which what ``fails`` says does not work. A real one cannot be made to fail at one call alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *fails: str) -> None:
        self.on = True
        for name in fails:
            real = getattr(Path, name)
            monkeypatch.setattr(Path, name, lambda path, *words, real=real, **options: self._do(real, path, *words, **options))

    def _do(self, real: Any, path: Path, *words: Any, **options: Any) -> Any:
        if self.on and path.suffix == ".json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, *words, **options)


@pytest.mark.parametrize("fails", [("unlink",), ("rename",), ("read_text",), ("unlink", "rename", "mkdir")], ids="+".join)
def test_a_disk_that_fails_ends_no_thread(
    here: Settings, experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: tuple[str, ...]
) -> None:
    with InferenceTracker(experiment, settings=here, spool=tmp_path, batch_seconds=0.05) as tracker:
        assert tracker.record("a", 1.0)
        assert tracker.flush(60)
        Failing(monkeypatch, *fails)
        for number in range(5):
            assert tracker.record("a", float(number))
            readable = tracker.flush(60)
        monkeypatch.undo()
        assert tracker.record("a", 7.0)
        tracker.flush(60)
        stats = tracker.stats()
        assert stats.delivered + stats.refused == stats.accepted == 7
        assert readable == (stats.refused == 0) == ("read_text" not in fails)
        assert tracker._sender.own.refused == stats.refused
    assert {1.0, 7.0} <= set(histories(here, experiment)[0])


def test_a_spool_that_is_removed_does_not_stop_the_records(here: Settings, experiment: str, tmp_path: Path) -> None:
    import shutil  # noqa: PLC0415 - here alone

    with InferenceTracker(experiment, settings=here, spool=tmp_path / "spool", batch_seconds=0.05) as tracker:
        assert tracker.record("a", 1.0)
        assert tracker.flush(60)
        shutil.rmtree(tmp_path / "spool")
        for number in range(3):
            assert tracker.record("a", float(number))
            assert tracker.flush(60)
    assert histories(here, experiment) == [[1.0, 0.0, 1.0, 2.0]]


def test_one_session_that_cannot_be_read_does_not_hold_up_the_others(
    here: Settings, experiment: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        session = new_session_id(tmp_path)
        box = Disk.create(tmp_path, Session(session, experiment, "r", {SESSION_TAG: session}, 1), 10**6)
        box.put(Batch([("a", float(number), 1, 0)], 1))
        box.put(Batch([("b", float(number), 1, 1)], 1))
        box.release(remove=False)
        if number == 0:
            (box.folder / "session.json").write_text("[")
        if number == 1:
            (box.folder / "0000000002.json").write_text("")  # as a loss of power may leave it
    done = deliver_spool(tmp_path, here)
    assert (done, done.left) == (3, 1)
    assert sorted(histories(here, experiment)) == [[1.0], [2.0]]
    assert "cannot be read and is passed over" in caplog.text
    assert "a batch in the spool cannot be read and is set aside" in caplog.text


def test_what_the_disk_does_not_take_is_written_before_the_process_ends(nowhere: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that waits in memory moves to the disk as soon as that takes it, in order."""
    box = Disk.create(tmp_path, Session(new_session_id(), "e", "r", {}, 0), 10**6)

    def full(path: Path, content: Any) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(spool, "_write", full)
        box.put(Batch([("a", 1.0, 1, 0)], 1))
        with pytest.raises(OSError, match="full"):
            box.put(Batch([("a", 2.0, 1, 1)], 1))
        assert (box.records(), box.kept(), box.room()) == (1, 0, False)
        box.set_run_id("r1")
        box.close(5)
    box.put(Batch([("a", 2.0, 1, 1)], 1))
    assert (box.records(), box.kept(), box.room()) == (2, 2, True)
    box.release(remove=False)
    [again] = Disk.leftovers(tmp_path)
    assert isinstance(again, Disk)
    assert (again.run_id, again.ended) == ("r1", 5)
    assert again.head() == Batch([("a", 1.0, 1, 0)], 1)
    again.settle()
    assert again.head() == Batch([("a", 2.0, 1, 1)], 1)
    again.release(remove=False)


# Forks

FORKS = """
import concurrent.futures, multiprocessing

def work(number):
    for value in range(1000):
        assert tracker.record("a", float(value))

def own(number):
    mine = start()
    for value in range(1000):
        assert mine.record("a", float(value))

tracker = start(exit_seconds=60, spool=said["spool"]) if said["spool"] else start(exit_seconds=60)
fork = multiprocessing.get_context("fork")
if said["way"] == "process":
    children = [fork.Process(target=work, args=(number,)) for number in range(4)]
elif said["way"] == "tracker of its own":
    tracker.close()
    children = [fork.Process(target=own, args=(number,)) for number in range(4)]
else:
    children = []
    with concurrent.futures.ProcessPoolExecutor(4, mp_context=fork) as pool:
        assert list(pool.map(work, range(4))) == [None] * 4
for child in children:
    child.start()
for child in children:
    child.join()
print(json.dumps([child.exitcode for child in children]))
"""


@pytest.mark.parametrize(("way", "spooled"), [("process", False), ("process", True), ("tracker of its own", False), ("pool", False)])
def test_children_of_multiprocessing_deliver_before_they_end(
    here: Settings, experiment: str, tmp_path: Path, way: str, spooled: bool, arrived: Callable[..., None]
) -> None:
    said = {"uri": here.tracking_uri, "experiment": experiment, "way": way, "spool": str(tmp_path) if spooled else None}
    with started(FORKS, said) as process:
        codes, log = ended(process)
    assert set(codes) <= {0}, log
    found = [history for history in histories(here, experiment) if history]
    assert sum(map(len, found)) == 4000, log
    if way != "pool":
        assert found == [[float(value) for value in range(1000)]] * 4
    assert list(tmp_path.iterdir()) == []
    arrived("D2", accepted=4000, delivered=sum(map(len, found)))


def test_a_child_that_cannot_write_to_the_spool_says_so_and_goes_on(here: Settings, experiment: str, tmp_path: Path) -> None:
    program = """
tracker = start(spool=said["spool"])
import shutil
shutil.rmtree(said["spool"])
open(said["spool"], "w").close()
pid = os.fork()
if pid == 0:
    assert tracker.record("a", 1.0)
    sys.exit(not tracker.close(60))
print(json.dumps({"status": os.waitpid(pid, 0)[1]}))
"""
    with started(program, {"uri": here.tracking_uri, "experiment": experiment, "spool": str(tmp_path / "spool")}) as process:
        found, log = ended(process)
    assert found == {"status": 0}, log
    assert any("wait in memory alone" in line for line in log)
    assert histories(here, experiment) == [[1.0]]


# What is deleted, and what is refused


@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
def test_records_of_a_deleted_run_are_refused_and_said(
    here: Settings, experiment: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, spooled: bool, arrived: Callable[..., None]
) -> None:
    tracker = InferenceTracker(experiment, settings=here, spool=tmp_path if spooled else None, batch_size=10)
    assert tracker.record("a", 1.0)
    assert tracker.flush(60)
    Api(here)._call("POST", "runs/delete", body={"run_id": tracker.run_id})
    for _number in range(50):
        assert tracker.record("a", 2.0)
    assert not tracker.flush(60)
    stats = tracker.stats()
    assert (stats.accepted, stats.delivered, stats.refused, stats.waiting) == (51, 1, 50, 0)
    assert not tracker.close(60)
    assert caplog.text.count("MLflow will never accept") == 1
    assert caplog.text.count("50 records were refused") == 1
    arrived("D3", accepted=stats.accepted, delivered=stats.delivered, refused=stats.refused)
    if spooled:
        kept = [json.loads(path.read_text()) for path in tmp_path.glob("refused-*/refused/0*.json")]
        assert sum(batch["records"] for batch in kept) == 50


def test_a_new_run_is_opened_where_asked(here: Settings, experiment: str, arrived: Callable[..., None]) -> None:
    with InferenceTracker(experiment, settings=here, reopen=True) as tracker:
        assert tracker.record("a", 1.0)
        assert tracker.flush(60)
        first = tracker.run_id
        Api(here)._call("POST", "runs/delete", body={"run_id": first})
        assert tracker.record("a", 2.0)
        assert tracker.flush(60)
        assert tracker.run_id != first
        stats = tracker.stats()
        assert stats.refused == 0
        arrived("D3", accepted=stats.accepted, delivered=stats.delivered)
        api = Api(here)
        api._call("POST", "experiments/delete", body={"experiment_id": api.experiment_id(experiment)})
        assert tracker.record("a", 3.0)
        assert not tracker.flush(60)
        assert (tracker.stats().delivered, tracker.stats().refused) == (2, 1)


def test_what_one_metric_is_refused_for_takes_no_other_with_it(
    here: Settings, experiment: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, arrived: Callable[..., None]
) -> None:
    """As by a server whose rules for names are narrower than what `record` knows."""
    tracker = InferenceTracker(experiment, settings=here, spool=tmp_path, batch_seconds=3600)
    tracker._keys |= {"recall@10", "layers[0]"}
    for number in range(100):
        assert tracker.record("a", float(number))
        assert tracker.record("recall@10", float(number))
    assert tracker.record("layers[0]", 1.0)
    assert not tracker.flush(60)
    stats = tracker.stats()
    assert (stats.accepted, stats.delivered, stats.refused) == (201, 100, 101)
    assert not tracker.close()
    assert histories(here, experiment) == [[float(number) for number in range(100)]]
    assert caplog.text.count("MLflow refuses the metric 'recall@10'") == 1
    [kept] = tmp_path.glob("refused-*/refused/0*.json")
    content = json.loads(kept.read_text())
    assert ({row[0] for row in content["rows"]}, content["records"]) == ({"recall@10", "layers[0]"}, 101)
    arrived("D8", accepted=stats.accepted, delivered=len(histories(here, experiment)[0]), refused=stats.refused)


def test_a_tag_that_is_refused_does_not_cost_the_run(here: Settings, experiment: str, caplog: pytest.LogCaptureFixture) -> None:
    with InferenceTracker(experiment, settings=here, tags={"model": "churn", "x" * 300: "1", "surrogate": "\ud800"}) as tracker:
        assert tracker.record("a", 1.0)
        assert tracker.flush(60)
    tags = {tag["key"]: tag["value"] for tag in Api(here)._call("GET", "runs/get", query={"run_id": str(tracker.run_id)})["run"]["data"]["tags"]}
    assert tags["model"] == "churn"
    assert "host" in tags
    assert caplog.text.count("MLflow refuses the tags") == 1
    with pytest.raises(ValueError, match="holds the character NUL"):
        InferenceTracker(experiment, settings=here, tags={"a": "b\0"})


# Labels and retention


def test_labels_become_names_within_a_limit(here: Settings, experiment: str, caplog: pytest.LogCaptureFixture) -> None:
    aggregate = Aggregation(keys={"latency"}, seconds=3600)
    with InferenceTracker(experiment, settings=here, label_limit=2, aggregate=aggregate) as tracker:
        for tenant in ("acme corp", "b", "c", "d", "acme corp"):
            assert tracker.record("score", 1.0, {"version": 7, "tenant": tenant})
        with tracker.timer("latency", {"tenant": "b"}):
            pass
        assert tracker.flush(60)
        names = ["score/tenant:acme_corp/version:7", "score/tenant:b/version:7", "score/tenant:other/version:other", "latency/tenant:b/count"]
        assert [len(rows(here, str(tracker.run_id), name)) for name in names] == [2, 1, 2, 1]
    assert caplog.text.count("too many combinations of labels") == 1


def test_old_runs_of_trackers_are_deleted_and_no_others(here: Settings, experiment: str) -> None:
    with InferenceTracker(experiment, settings=here) as old:
        assert old.record("a", 1.0)
    with InferenceTracker(experiment, settings=here) as running:
        assert running.record("a", 1.0)
        assert running.flush(60)
        api = Api(here)
        created = api._call("POST", "runs/create", body={"experiment_id": api.experiment_id(experiment), "run_name": "by hand"})
        other = created["run"]["info"]["run_id"]
        for run_id in (str(old.run_id), other):
            api._call("POST", "runs/update", body={"run_id": run_id, "status": "FINISHED", "end_time": int(time.time() * 1000) - 3 * 86_400_000})
        assert delete_old_runs(experiment, 4, here) == 0
        assert delete_old_runs(experiment, 2, here) == 1
        assert [api.is_there(run_id) for run_id in (str(old.run_id), str(running.run_id), other)] == [False, True, True]
    assert delete_old_runs(f"{experiment} is not there", 1, here) == 0


@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
def test_a_service_that_runs_for_long_has_a_new_run_now_and_then(here: Settings, experiment: str, tmp_path: Path, spooled: bool) -> None:
    api = Api(here)
    with InferenceTracker(experiment, settings=here, run_days=0.5 / 86_400, spool=tmp_path if spooled else None, batch_seconds=0.05) as tracker:
        found = []
        for number in range(3):
            assert tracker.record("a", float(number))
            assert tracker.flush(60)
            found.append(str(tracker.run_id))
            time.sleep(0.6)
        info = [api._call("GET", "runs/get", query={"run_id": run_id})["run"]["info"] for run_id in found]
        assert [each["status"] for each in info] == ["FINISHED", "FINISHED", "RUNNING"]
        assert info[0]["end_time"] <= info[1]["start_time"] <= info[1]["end_time"]
    assert len(set(found)) == 3
    assert [rows(here, run_id, "a") for run_id in found] == [[(0, 0.0)], [(1, 1.0)], [(2, 2.0)]]
    with pytest.raises(ValueError, match="run_days is 0; it must be above 0"):
        InferenceTracker(experiment, settings=here, run_days=0)


# Clocks


def test_a_clock_that_is_set_back_holds_nothing_up(
    here: Settings, experiment: str, monkeypatch: pytest.MonkeyPatch, arrived: Callable[..., None]
) -> None:
    real = time.time_ns
    with InferenceTracker(experiment, settings=here, batch_seconds=0.2, aggregate=Aggregation(keys={"latency"}, seconds=1)) as tracker:
        for _number in range(10):
            assert tracker.record("a", 1.0)
            assert tracker.record("latency", 1.0)
        monkeypatch.setattr(time, "time_ns", lambda: real() - 3600 * 10**9)
        assert tracker.record("a", 2.0)
        limit = time.monotonic() + 60
        while (stats := tracker.stats()).delivered < 21:
            assert time.monotonic() < limit
            time.sleep(0.05)
        run_id = str(tracker.run_id)
        monkeypatch.undo()
    [rate] = [value for _step, value in rows(here, run_id, "latency/rate")]
    assert 0 < rate < 1000
    arrived("D4", accepted=stats.accepted, delivered=stats.delivered)
    assert new_session_id() > f"{real() - 10**9:020d}"


def test_sessions_of_a_spool_keep_their_order_though_the_clock_is_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_session_id(tmp_path)
    (tmp_path / first).mkdir()
    monkeypatch.setattr(time, "time_ns", lambda: 5)
    assert new_session_id(tmp_path) > first


# Ends in an outage

UVICORN = """
import contextlib, uvicorn
from starlette.applications import Starlette

gaps, ticks = [], []

async def tick():
    last = time.monotonic()
    while True:
        await asyncio.sleep(0.02)
        gaps.append(time.monotonic() - last)
        last = time.monotonic()

@contextlib.asynccontextmanager
async def lifespan(app):
    task = asyncio.create_task(tick())
    tracker = start(exit_seconds=3, when_full=said["when_full"], queue_size=5, batch_size=1, spool=said["spool"])
    for number in range(5):
        tracker.record("a", 1.0)
    print("up", flush=True)
    yield
    ticks.append(time.monotonic())
    await tracker.aclose()
    ticks.append(time.monotonic())
    task.cancel()
    print(json.dumps({"gap": max(gaps), "took": ticks[1] - ticks[0], "stats": stats(tracker)}), flush=True)

uvicorn.run(Starlette(lifespan=lifespan), port=said["port"], log_level="error")
"""


@pytest.mark.parametrize(("when_full", "spooled"), [("drop_newest", False), ("block", True)])
def test_a_service_of_uvicorn_ends_in_time_and_its_loop_goes_on(
    silent: Settings, experiment: str, tmp_path: Path, when_full: str, spooled: bool
) -> None:
    said = {"uri": silent.tracking_uri, "timeout": 30, "experiment": experiment, "when_full": when_full, "port": free_port()}
    with started(UVICORN, {**said, "spool": str(tmp_path) if spooled else None}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        time.sleep(0.5)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        found, _log = ended(process, -signal.SIGTERM, 60)
        assert time.monotonic() - begun < 25, "not as long as the server is waited for"
    assert found["gap"] < 2.5, "the loop does not stand still while the tracker waits"
    assert found["took"] < 15
    stats = found["stats"]
    assert stats["delivered"] + stats["lost"] + stats["waiting"] + stats["refused"] == stats["accepted"]
    assert stats["lost"] == (0 if spooled else stats["accepted"])


BLOCKED = {
    # A server with a handler of its own, whose requests must end before it closes the tracker.
    "handler": """
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
tracker = start(exit_seconds=1, when_full="block", queue_size=1, batch_size=1)
def request():
    while not stop.is_set():
        tracker.record("a", 1.0)
requests = [threading.Thread(target=request) for _ in range(3)]
for each in requests:
    each.start()
print("up", flush=True)
while not stop.wait(0.1):
    pass
for each in requests:
    each.join()
tracker.close()
print(json.dumps(stats(tracker)))
""",
    # The interpreter waits for its threads before it calls exit hooks.
    "interpreter": """
tracker = start(exit_seconds=1, when_full="block", queue_size=1, batch_size=1)
ends = False
def request():
    while tracker.record("a", 1.0):
        pass
for _ in range(3):
    threading.Thread(target=request).start()
print("up", flush=True)
import atexit
atexit.register(lambda: print(json.dumps(stats(tracker))))
time.sleep(1.5)
""",
    # The threads that the loop lends all wait for room, and the tracker is closed by one more.
    "loop": """
import concurrent.futures
async def main():
    tracker = start(exit_seconds=1, when_full="block", queue_size=1, batch_size=1)
    asyncio.get_running_loop().set_default_executor(concurrent.futures.ThreadPoolExecutor(2))
    def request():
        while tracker.record("a", 1.0):
            pass
    requests = [asyncio.create_task(asyncio.to_thread(request)) for _ in range(4)]
    print("up", flush=True)
    await asyncio.sleep(1)
    assert not await tracker.aflush(0.2)
    await tracker.aclose()
    await asyncio.wait_for(asyncio.gather(*requests), 30)
    print(json.dumps(stats(tracker)))
asyncio.run(main())
""",
}


@pytest.mark.parametrize("way", BLOCKED)
def test_who_waits_for_room_is_let_go_at_the_end(nowhere: Settings, experiment: str, way: str) -> None:
    with started(BLOCKED[way], {"uri": nowhere.tracking_uri, "experiment": experiment}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        if way == "handler":
            time.sleep(1)
            process.send_signal(signal.SIGTERM)
        found, _log = ended(process, within=60)
    assert found["accepted"] > 0
    assert found["accepted"] == found["lost"] + found["waiting"]


def test_one_tracker_does_not_take_the_time_of_the_others(silent: Settings, experiment: str, tmp_path: Path) -> None:
    program = """
trackers = [start(exit_seconds=1.5, batch_seconds=3600, spool=said["spool"] if number else None) for number in range(4)]
for tracker in trackers:
    for number in range(2500):
        tracker.record("a", 1.0)
print("up", flush=True)
time.sleep(60)
"""
    with started(program, {"uri": silent.tracking_uri, "experiment": experiment, "spool": str(tmp_path), "timeout": 30}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        ended(process, -signal.SIGTERM, 30)
    kept = [json.loads(path.read_text())["records"] for path in tmp_path.glob("*/0*.json")]
    assert sum(kept) == 7500


def test_the_handlers_of_another_leave_ours_working_when_it_gives_them_back(nowhere: Settings, experiment: str) -> None:
    """As uvicorn does: it replaces a handler, gives it back at its end, and raises the signal again."""
    program = """
tracker = start()
before = signal.signal(signal.SIGTERM, lambda *_: None)
tracker.close(0)
signal.signal(signal.SIGTERM, before)
signal.raise_signal(signal.SIGTERM)
time.sleep(30)
"""
    with started(program, {"uri": nowhere.tracking_uri, "experiment": experiment}) as process:
        ended(process, -signal.SIGTERM, 20)


def test_a_fault_that_lasts_is_one_line_a_minute(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow_utils._seldom import EVERY, Seldom  # noqa: PLC0415 - here alone

    moment = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: moment)
    seldom = Seldom()
    for number in range(100):
        seldom.log(logging.ERROR, "fault %d", number)
    seldom.log(logging.ERROR, "another")
    moment += EVERY
    seldom.log(logging.ERROR, "fault %d", 100)
    assert [record.getMessage() for record in caplog.records] == ["fault 0", "another", "fault 100 (99 more of these since the last line)"]
