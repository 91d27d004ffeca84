"""Fifty thousand records while the server goes away and comes back and the process is told to end: each accepted one is there exactly once."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mlflow_server import LossyProxy, Server, rows

from mlflow_utils import InferenceTracker, Settings, load_settings
from mlflow_utils._rest import Api
from mlflow_utils.inference_tracker import deliver_spool

if TYPE_CHECKING:
    from postgresql import PostgreSQL

HERE = Path(__file__).parent
RECORDS = 50_004  # nine producers of 5,556
OUTAGE = 10.0
EXPERIMENT = "outage"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    from postgresql import private_postgresql  # noqa: PLC0415 - needs psycopg2, which the quick run has not

    with private_postgresql("3.17.2") as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that the test stops, with a database of its own."""
    with ExitStack() as cleanup:
        database = ""
        if request.param == "postgresql":
            database = cleanup.enter_context(request.getfixturevalue("postgresql").database(f"outage_{time.time_ns()}"))
        yield cleanup.enter_context(Server(tmp_path, database))


@pytest.fixture
def settings(server: Server, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith("MLFLOW_TRACKING")]:
        monkeypatch.delenv(name)
    return load_settings(tracking_uri=server.uri, timeout=10)


@contextmanager
def service(server: Server, folder: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The service in a process of its own, which has ended by itself when the block does."""
    folder.mkdir()
    said = {"uri": server.uri, "experiment": EXPERIMENT, "folder": str(folder), "records": RECORDS, "spool": None, **options}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, str(HERE / "recording_service.py"), json.dumps(said)], env=environment, stdout=log, stderr=log)
    try:
        yield process
        assert process.poll() is not None, "the service has not ended"
    finally:
        process.kill()
        process.wait()


def noted(folder: Path) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """What each producer tried, and what it saw accepted."""
    tried: dict[str, list[int]] = {}
    accepted: dict[str, list[int]] = {}
    for path in [*folder.glob("thread-*"), folder / "loop"]:
        text = path.read_text()
        tried[path.name] = [int(number) for number in re.findall(r"^t (\d+)$", text, re.M)]
        accepted[path.name] = [int(number) for number in re.findall(r"^a (\d+)$", text, re.M)]
    return tried, accepted


def history(settings: Settings, key: str) -> list[tuple[int, float]]:
    """Step and value of every row of a metric in the only run of the experiment, by step."""
    api = Api(settings)
    experiment = api.experiment_id(EXPERIMENT)
    runs = api._call("POST", "runs/search", body={"experiment_ids": [experiment]})["runs"]
    assert len(runs) == 1
    api.close()
    return rows(settings, runs[0]["info"]["run_id"], key)


def check(settings: Settings, folder: Path) -> int:
    """That every accepted record is there once, in order, and nothing else; gives their number."""
    tried, accepted = noted(folder)
    assert len(tried) == 9
    unsaid = []
    for name, numbers in accepted.items():
        found = [int(value) for _step, value in history(settings, name)]
        assert len(found) == len(set(found)), f"{name}: some are there twice"
        assert found == sorted(found), f"{name}: not in order"
        assert set(numbers) <= set(found), f"{name}: {len(set(numbers) - set(found))} accepted records are not there"
        assert set(found) <= set(tried[name])
        unsaid += [(name, number) for number in set(found) - set(numbers)]
    # The signal may come in the main thread, the loop's, between the acceptance of a record and the note of it.
    assert len(unsaid) <= 1, unsaid
    assert all(name == "loop" for name, _number in unsaid), unsaid
    return sum(len(numbers) for numbers in accepted.values())


def wait_for(path: Path, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    limit = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, (path.parent / "log").read_text()
        assert time.monotonic() < limit
        time.sleep(0.1)


def test_sigterm_after_the_outage(server: Server, settings: Settings, tmp_path: Path) -> None:
    """In memory alone: the process waits for what is left to be delivered."""
    folder = tmp_path / "service"
    with service(server, folder, seconds=OUTAGE + 5, exit_seconds=300) as process:
        wait_for(folder / "loop", process)
        time.sleep(2)
        server.stop()
        time.sleep(OUTAGE)
        server.start()
        wait_for(folder / "recorded", process)
        process.send_signal(signal.SIGTERM)
        server.wait()
        assert process.wait(300) == -signal.SIGTERM
    assert check(settings, folder) == RECORDS


def test_sigterm_in_the_outage(server: Server, settings: Settings, tmp_path: Path) -> None:
    """With a spool: the process ends soon, while it is still recording, and another one delivers the rest."""
    folder, spool = tmp_path / "service", tmp_path / "spool"
    with service(server, folder, seconds=OUTAGE, exit_seconds=2, spool=str(spool)) as process:
        wait_for(folder / "loop", process)
        time.sleep(2)
        server.stop()
        time.sleep(OUTAGE / 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
        time.sleep(OUTAGE / 2)
    assert not (folder / "recorded").exists()
    server.start()
    server.wait()
    assert deliver_spool(spool, settings, 300) > 0
    accepted = check(settings, folder)
    assert 5000 < accepted < RECORDS
    assert list(spool.iterdir()) == []
    assert deliver_spool(spool, settings) == 0


def test_sigkill(server: Server, settings: Settings, tmp_path: Path) -> None:
    """What was accepted more than batch_seconds before is in the spool, and is delivered once."""
    folder, spool = tmp_path / "service", tmp_path / "spool"
    with service(server, folder, seconds=4, exit_seconds=2, spool=str(spool)) as process:
        wait_for(folder / "recorded", process)
        time.sleep(3)  # a batch is at most a second old when it is cut
        process.kill()
        assert process.wait(30) == -signal.SIGKILL
    deliver_spool(spool, settings, 300)
    assert check(settings, folder) == RECORDS


@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
def test_lost_answers(server: Server, settings: Settings, tmp_path: Path, spooled: bool) -> None:
    """The server carries requests out and their answers are lost: nothing is there twice, and there is one run."""
    seen: dict[str, int] = {}

    def loses(path: str) -> bool:
        name = path.rpartition("/")[2]
        seen[name] = seen.get(name, 0) + 1
        return (name == "create" and seen[name] <= 2) or (name in {"log-batch", "update"} and seen[name] % 2 == 1)

    with LossyProxy(server.port, loses).running() as proxy:
        lossy = settings.model_copy(update={"tracking_uri": proxy.uri})
        with InferenceTracker(EXPERIMENT, settings=lossy, batch_size=100, spool=tmp_path / "spool" if spooled else None, exit_seconds=120) as tracker:
            for number in range(1000):
                assert tracker.record("same", 1.0)
                assert tracker.record_many({"counted": float(number), "not-a-number": float("nan")})
            assert tracker.flush(120)
        assert {path.rpartition("/")[2] for path in proxy.lost} == {"create", "log-batch", "update"}
        assert len([path for path in proxy.lost if path.endswith("log-batch")]) >= 10
    stats = tracker.stats()
    assert (stats.delivered, stats.waiting, stats.lost) == (2000, 0, 0)
    assert stats.retries >= 10
    assert [value for _step, value in history(settings, "same")] == [1.0] * 1000
    assert [value for _step, value in history(settings, "counted")] == [float(number) for number in range(1000)]
    assert len(history(settings, "not-a-number")) == 1000
