"""The thread that takes batches from an outbox to the server, in order, trying until each is accepted."""
from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from .._halves import send_all
from .._rest import SESSION_TAG, Api, Denied, Refused, Row, Unavailable
from .._seldom import Seldom
from ..client import Settings
from .clock import now
from .outbox import Batch, Outbox
from .spool import Disk

_log = logging.getLogger("mlflow_utils")
_Result = TypeVar("_Result")

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
_DAY: Final = 86_400 * 10**9


class Stopped(Exception):
    """The time for trying is over."""


@dataclass
class Tally:
    """Records that the server took, and those that it took not, or not as a whole."""

    delivered: int = 0
    refused: int = 0


def pauses() -> Iterator[float]:
    """Seconds to wait before each further try: doubling, with a quarter of chance, so that many services do not come back at once.

    >>> 0.075 <= next(pauses()) <= 0.1
    True
    """
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.75, 1)
        pause = min(pause * 2, LONGEST_PAUSE)


def refused_part(batch: Batch, keys: frozenset[str]) -> Batch:
    """What is refused of a batch where these ``keys`` are. A step is a record, but in a batch that sums many records up in one step.

    >>> rows = [("a", 1.0, 0, 0), ("b", 1.0, 0, 0), ("a", 2.0, 0, 1)]
    >>> refused_part(Batch(rows, 2), frozenset("b"))
    Batch(rows=[('b', 1.0, 0, 0)], records=1)
    >>> refused_part(Batch(rows[:2], 60), frozenset("b")).records
    60
    """
    rows = [row for row in batch.rows if row[0] in keys]
    steps = {row[3] for row in batch.rows}
    refused = {row[3] for row in rows}
    return Batch(rows, batch.records if refused == steps else min(len(refused), batch.records))


class Sender:
    """Delivers outboxes one after the other. ``changed`` is notified after each batch, and guards the counters.

    Where a run has been deleted meanwhile, ``reopen`` goes on in a new one; its records are refused otherwise. A run that this sender has begun
    is ended after ``run_days``, and the records go on in another.
    """

    def __init__(self, settings: Settings, changed: threading.Condition, *, reopen: bool = False, run_days: float | None = None) -> None:
        if run_days is not None and not run_days > 0:
            raise ValueError(f"run_days is {run_days}; it must be above 0")
        self._api = Api(settings)
        self._changed = changed
        self._reopen = reopen
        self._run_days = run_days
        #: For each session, how many runs it has had before, and when this sender has begun the present one.
        self._runs: dict[str, tuple[int, int]] = {}
        self._hurry = threading.Event()
        self._stop = threading.Event()
        self._seldom = Seldom()
        self._refused_keys: set[str] = set()
        self._passes_denied = False
        #: Of the tracker's own session, and of those that others have left.
        self.own = Tally()
        self.earlier = Tally()
        self.retries = 0
        self.last_error = ""

    def hurry(self) -> None:
        """Try at once, and then four times a second."""
        self._hurry.set()

    def stop(self) -> None:
        """Give up after the request that is under way."""
        self._stop.set()
        self._hurry.set()

    def pause(self, seconds: float) -> bool:
        """Wait, less long in a hurry; True where it is time to stop."""
        return self._hurry.wait(seconds) and self._stop.wait(min(seconds, 0.25))

    def deliver(self, outbox: Outbox, more: Callable[[], bool], tally: Tally) -> None:
        """Deliver batches while there are any or ``more`` says that there will be. Raises `Stopped`."""
        while True:
            with self._changed:
                # A batch is put and notified without this lock at times, so the wait is bounded.
                while (going := more()) and outbox.empty() and not self._stop.is_set():
                    self._changed.wait(0.5)
            if not outbox.empty():
                self._deliver_head(outbox, tally)
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

    def leftovers(self, spool: Path) -> int:
        """Deliver what ended processes left in the spool; gives the number of sessions that stay there. Raises `Stopped`.

        A session that cannot be read, or whose experiment the user may not write to, stays and does not hold up the others.
        """
        stay = 0
        self._passes_denied = True
        try:
            for found in Disk.leftovers(spool):
                stay += not (isinstance(found, Disk) and self._deliver_leftover(found))
                if not isinstance(found, Disk):
                    _log.error("a session in the spool cannot be read and is passed over: %s", found)
        finally:
            self._passes_denied = False
        return stay

    def _deliver_leftover(self, outbox: Disk) -> bool:
        """Whether all of it is delivered. Raises `Stopped`."""
        try:
            ended = outbox.ended
            self.deliver(outbox, lambda: False, self.earlier)
            # A session without an end was killed; the best that is known of its end is when its last batch was written.
            self.end(outbox, "KILLED" if ended is None else "FINISHED", ended or _last_change(outbox.folder))
            return True
        except Stopped:
            outbox.release(remove=False)
            raise
        except Exception as error:
            outbox.release(remove=False)
            _log.error("the session %s stays in the spool: %s", outbox.folder, error)
            return False

    def close(self) -> None:
        """Close the connection."""
        self._api.close()

    def _deliver_head(self, outbox: Outbox, tally: Tally) -> None:
        try:
            batch = outbox.head()
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._seldom.log(logging.ERROR, "a batch in the spool cannot be read and is set aside: %s", error)
            self._settle(outbox, tally, outbox.head_records(), Batch((), outbox.head_records()))
            return
        if batch is not None:
            self._settle(outbox, tally, batch.records, self._refused(outbox, batch))

    def _refused(self, outbox: Outbox, batch: Batch) -> Batch | None:
        """Send a batch; gives what the server will never accept of it. Raises `Stopped`, and `Denied` where that is passed over."""
        for attempt in range(2):
            try:
                run_id = self._run_id(outbox)
                self._insist(lambda id=run_id: self._api.log_batch(id, batch.rows))  # type: ignore[misc]
                return None
            except Refused as error:
                reason: Exception = error
            if outbox.run_id is None:
                break
            if self._insist(lambda id=run_id: self._api.is_there(id)):  # type: ignore[misc]
                return self._send_parts(run_id, batch, reason)
            if not self._reopen or attempt:
                break
            _log.warning("the run %s has been deleted, and the records go on in a new one", run_id)
            outbox.set_run_id(None)
        self._seldom.log(logging.ERROR, "MLflow will never accept a batch of %d records, which is set aside: %s", batch.records, reason)
        return batch

    def _send_parts(self, run_id: str, batch: Batch, reason: Exception) -> Batch | None:
        """Send a batch that was refused as a whole; gives the part that is refused."""

        def send(part: object) -> None:
            self._insist(lambda: self._api.log_batch(run_id, part))  # type: ignore[arg-type]

        found = send_all(batch.rows, _key, send, lambda error: isinstance(error, Refused))
        if not found:
            return None
        part = refused_part(batch, frozenset(found))
        if part.records == batch.records:
            self._seldom.log(logging.ERROR, "MLflow will never accept a batch of %d records, which is set aside: %s", batch.records, reason)
        for key in found.keys() - self._refused_keys:
            self._refused_keys.add(key)
            _log.error("MLflow refuses the metric %r, whose values are set aside: %s", key, found[key])
        return part

    def _settle(self, outbox: Outbox, tally: Tally, records: int, refused: Batch | None) -> None:
        count = min(refused.records, records) if refused is not None else 0
        with self._changed:  # as one, for who waits for the one and then reads the other
            outbox.settle(refused)
            tally.refused += count
            tally.delivered += records - count
            self._changed.notify_all()

    def _run_id(self, outbox: Outbox) -> str:
        session = outbox.session
        part, begun = self._runs.get(session.id, (0, now()))
        if outbox.run_id is not None and self._run_days is not None and now() - begun > self._run_days * _DAY:
            ended = outbox.run_id
            self._last_word(lambda: self._api.end_run(ended, "FINISHED", time.time_ns() // 1_000_000))
            part += 1
            outbox.set_run_id(None)
        if outbox.run_id is None:
            tags, started = dict(session.tags), session.started
            if part:
                # The server finds a run by this tag, after a lost answer too.
                tags[SESSION_TAG], started = f"{session.id}+{part}", time.time_ns() // 1_000_000
            self._runs[session.id] = part, now()
            outbox.set_run_id(self._insist(lambda: self._api.run_id(session.experiment, session.run_name, tags, started)))
        assert outbox.run_id is not None
        return outbox.run_id

    def _last_word(self, call: Callable[[], None]) -> None:
        try:
            self._insist(call)
        except Refused as error:
            _log.warning("the run could not be ended: %s", error)

    def _insist(self, call: Callable[[], _Result]) -> _Result:
        """Try until there is an answer. Raises `Refused`, `Stopped`, and `Denied` where that is passed over."""
        for pause in pauses():
            try:
                return call()
            except Unavailable as error:
                if self._passes_denied and isinstance(error, Denied):
                    raise
                self._seldom.log(logging.WARNING, "MLflow does not answer; records wait: %s", error)
                with self._changed:
                    self.retries += 1
                    self.last_error = str(error)
            if self.pause(pause):
                raise Stopped
        raise AssertionError("the pauses do not end")


def _key(row: Row) -> str:
    return row[0]


def _last_change(folder: Path) -> int:
    return int(folder.stat().st_mtime * 1000) or int(time.time() * 1000)
