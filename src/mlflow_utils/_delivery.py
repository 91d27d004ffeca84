"""The thread that takes batches from an outbox to the server, in order, trying until each is accepted."""
from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from ._outbox import Batch, Disk, Outbox
from ._rest import Api, Refused, Unavailable
from .client import Settings

_log = logging.getLogger("mlflow_utils")
_Result = TypeVar("_Result")

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0


class Stopped(Exception):
    """The time for trying is over."""


def pauses() -> Iterator[float]:
    """Seconds to wait before each further try: doubling, with a quarter of chance, so that many services do not come back at once.

    >>> 0.075 <= next(pauses()) <= 0.1
    True
    """
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.75, 1)
        pause = min(pause * 2, LONGEST_PAUSE)


class Sender:
    """Delivers outboxes one after the other. ``changed`` is notified after each batch, and guards the counters."""

    def __init__(self, settings: Settings, changed: threading.Condition) -> None:
        self._api = Api(settings)
        self._changed = changed
        self._hurry = threading.Event()
        self._stop = threading.Event()
        self.delivered = 0
        self.refused = 0
        self.retries = 0
        self.last_error = ""

    def hurry(self) -> None:
        """Try at once, and then four times a second."""
        self._hurry.set()

    def stop(self) -> None:
        """Give up after the request that is under way."""
        self._stop.set()
        self._hurry.set()

    def deliver(self, outbox: Outbox, more: Callable[[], bool]) -> None:
        """Deliver batches while there are any or ``more`` says that there will be. Raises `Stopped`."""
        while True:
            with self._changed:
                # A batch is put and notified without this lock at times, so the wait is bounded.
                while (going := more()) and outbox.empty() and not self._stop.is_set():
                    self._changed.wait(0.5)
            if not outbox.empty():
                self._deliver_head(outbox)
            elif not going:
                return
            elif self._stop.is_set():
                raise Stopped

    def end(self, outbox: Outbox, status: str, ended: int) -> None:
        """End the run of an outbox from which everything was delivered. Raises `Stopped`."""
        run_id = outbox.run_id
        if run_id is not None:
            self._last_word(lambda: self._api.end_run(run_id, status, ended))
        outbox.release(remove=True)

    def leftovers(self, spool: Path) -> None:
        """Deliver what ended processes left in the spool. Raises `Stopped`."""
        for outbox in Disk.leftovers(spool):
            ended = outbox.ended
            try:
                self.deliver(outbox, lambda: False)
                # A session without an end was killed; the best that is known of its end is when its last batch was written.
                self.end(outbox, "KILLED" if ended is None else "FINISHED", ended or _last_change(outbox.folder))
            except Stopped:
                outbox.release(remove=False)
                raise

    def close(self) -> None:
        """Close the connection."""
        self._api.close()

    def _deliver_head(self, outbox: Outbox) -> None:
        batch = self._read(outbox)
        if batch is not None:
            try:
                run_id = self._run_id(outbox)
                self._insist(lambda: self._api.log_batch(run_id, batch.rows))
            except Refused as error:
                _log.error("MLflow will never accept a batch of %d records, which is set aside: %s", batch.records, error)
                self._settle(outbox, batch.records, refused=True)
            else:
                self._settle(outbox, batch.records, refused=False)

    def _read(self, outbox: Outbox) -> Batch | None:
        try:
            return outbox.head()
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.error("a batch in the spool cannot be read and is set aside: %s", error)
            self._settle(outbox, 0, refused=True)
            return None

    def _settle(self, outbox: Outbox, records: int, *, refused: bool) -> None:
        outbox.settle(refused=refused)
        with self._changed:
            if refused:
                self.refused += records
            else:
                self.delivered += records
            self._changed.notify_all()

    def _run_id(self, outbox: Outbox) -> str:
        if outbox.run_id is None:
            session = outbox.session
            outbox.set_run_id(self._insist(lambda: self._api.run_id(session.experiment, session.run_name, session.tags, session.started)))
        assert outbox.run_id is not None
        return outbox.run_id

    def _last_word(self, call: Callable[[], None]) -> None:
        try:
            self._insist(call)
        except Refused as error:
            _log.warning("the run could not be ended: %s", error)

    def _insist(self, call: Callable[[], _Result]) -> _Result:
        """Try until there is an answer. Raises `Refused` and `Stopped`."""
        for number, pause in enumerate(pauses()):
            try:
                return call()
            except Unavailable as error:
                if number == 0:
                    _log.warning("MLflow does not answer; records wait: %s", error)
                with self._changed:
                    self.retries += 1
                    self.last_error = str(error)
            if self._hurry.wait(pause) and self._stop.wait(min(pause, 0.25)):
                raise Stopped
        raise AssertionError("the pauses do not end")


def _last_change(folder: Path) -> int:
    return int(folder.stat().st_mtime * 1000) or int(time.time() * 1000)
