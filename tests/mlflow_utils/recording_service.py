"""A service that records from eight threads and from asyncio, as a process of its own. It takes one argument, a JSON object.

Each producer notes what it is about to record, and then what was accepted, in a file of its own, written through at once: a line ``t NUMBER`` and a
line ``a NUMBER``. When all have recorded everything, the file ``recorded`` is there.
"""
from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mlflow_utils import InferenceTracker, load_settings

THREADS = 8


def notes(folder: Path, name: str) -> Callable[[str], None]:
    descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    return lambda line: (os.write(descriptor, line.encode()), None)[1]


class Producer:
    """Records a metric ``each`` times, spread over ``seconds`` from ``start``."""

    def __init__(self, tracker: InferenceTracker, folder: Path, name: str, pace: tuple[int, float, float]) -> None:
        self._tracker = tracker
        self._name = name
        self._each, self._seconds, self._start = pace
        self._note = notes(folder, name)

    def _early(self, number: int) -> float:
        """Seconds to wait before a record, looked at every 50th."""
        return 0.0 if number % 50 else max(self._start + self._seconds * number / self._each - time.monotonic(), 0.0)

    def run(self) -> None:
        for number in range(self._each):
            time.sleep(self._early(number))
            self._note(f"t {number}\n")
            if self._tracker.record(self._name, float(number)):
                self._note(f"a {number}\n")

    async def run_in_loop(self) -> None:
        for number in range(self._each):
            await asyncio.sleep(self._early(number))
            self._note(f"t {number}\n")
            if await self._tracker.arecord(self._name, float(number)):
                self._note(f"a {number}\n")


def main() -> None:
    said = json.loads(sys.argv[1])
    folder = Path(said["folder"])
    tracker = InferenceTracker(
        said["experiment"],
        settings=load_settings(tracking_uri=said["uri"], timeout=10),
        run_name="service",
        spool=said["spool"],
        exit_seconds=said["exit_seconds"],
        when_full="block",
    )
    pace = (said["records"] // (THREADS + 1), said["seconds"], time.monotonic())
    threads = [
        threading.Thread(target=Producer(tracker, folder, f"thread-{number}", pace).run, daemon=True) for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    asyncio.run(Producer(tracker, folder, "loop", pace).run_in_loop())
    for thread in threads:
        thread.join()
    (folder / "recorded").touch()
    time.sleep(600)  # until SIGTERM


if __name__ == "__main__":
    main()
