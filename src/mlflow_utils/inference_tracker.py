"""Metrics of an inference service, logged in batches by threads of the tracker's own, at a cost of microseconds to the caller.

What is promised, and how:

* `InferenceTracker.record` returns True: the record is accepted. It then reaches MLflow exactly once, if the process can end in an orderly way
  (close, interpreter exit, SIGTERM) with the server there, or if there is a spool, from which a later process delivers it.
* Once, though an answer may be lost and its request be sent again: a tracker writes into a run of its own and gives each record the next step
  number, so two records never make the same row; and MLflow stores a row once, since key, timestamp, step, run and value together are the primary
  key of its table ``metrics`` (``SqlMetric`` in mlflow/store/tracking/dbmodels/models.py), and log-batch passes over the rows of a batch that are
  already there (``_log_metrics_once`` in sqlalchemy_store.py). The run itself is found again by a tag with the session's identifier.
* In order: one thread sends one batch after the other, the spool's oldest session first.

What is not promised: at SIGKILL, ``os._exit`` or loss of power, records that are not yet in the spool are gone, which are those of the last
``batch_seconds`` and of the current aggregation window; without a spool, all that wait. With ``drop_oldest`` an accepted record may be
dropped later. If the request that makes the run is carried out only after it was given up, an empty run stays behind.
"""
from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

from . import _exit
from ._aggregate import Aggregation
from ._collect import Collector, Item, checked_key
from ._context import context_tags
from ._delivery import Sender, Stopped
from ._outbox import Disk, Memory, Outbox, Session, forget_locks, new_session_id
from ._rest import MAX_BATCH, SESSION_TAG
from .client import Client, Settings, load_settings

__all__ = ["Aggregation", "InferenceTracker", "Stats", "WhenFull", "deliver_spool"]

WhenFull = Literal["block", "drop_oldest", "drop_newest"]
_now = time.time_ns
_log = logging.getLogger("mlflow_utils")
#: How often a caller that waits for room looks again, in seconds.
_LOOK: Final = 0.02


@dataclass(frozen=True)
class Stats:
    """Counts of records. accepted = delivered + refused + lost + waiting (+ those dropped under ``drop_oldest``)."""

    accepted: int
    delivered: int
    waiting: int
    dropped: int
    refused: int
    lost: int
    retries: int
    last_error: str


class InferenceTracker:
    """Logs metrics into a new run of ``experiment`` (the settings' one where it is None).

    ``settings`` is what `load_settings` gives where it is None. ``tags`` are added to those that the host and the environment give; with
    ``mlflow.parentRunId`` the run is a child. ``spool`` is a folder that outlives the process; several processes may share it.
    ``aggregate`` sums values up. ``queue_size`` bounds the records that wait in memory, a few more where threads race, besides up to three
    batches; when it is full, ``when_full`` decides: ``block`` waits, ``drop_oldest`` and ``drop_newest`` drop and count. A batch is sent when it
    has ``batch_size`` metrics or is ``batch_seconds`` old. ``spool_bytes`` bounds the session's part of the spool; when it or the disk is full,
    records wait in the queue. ``exit_seconds`` is how long SIGTERM and the interpreter's exit may take; ``sigterm`` False leaves SIGTERM alone.

    On SIGTERM, which must find Python's main thread able to run: where the process had no handler, the tracker closes and the process ends by the
    signal; where it had one, the records are delivered or spooled and then that handler is called, and the tracker goes on.

    Use it as a context manager, plain or asynchronous, or call `close`. Thread-safe. A forked child continues with a run of its own.
    Raises `SettingsError`, ValueError for a wrong option, and OSError where the spool cannot be written.
    """

    def __init__(  # noqa: PLR0913 - options, by name
        self,
        experiment: str | None = None,
        *,
        settings: Settings | Client | None = None,
        run_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        aggregate: Aggregation | None = None,
        spool: Path | str | None = None,
        queue_size: int = 100_000,
        when_full: WhenFull = "drop_newest",
        batch_size: int = MAX_BATCH,
        batch_seconds: float = 1.0,
        spool_bytes: int = 1 << 30,
        exit_seconds: float = 20.0,
        sigterm: bool = True,
    ) -> None:
        if not 1 <= batch_size <= MAX_BATCH:
            raise ValueError(f"batch_size is {batch_size}; MLflow takes 1 to {MAX_BATCH} metrics in a request")
        if queue_size < 1 or batch_seconds <= 0 or exit_seconds < 0 or when_full not in {"block", "drop_oldest", "drop_newest"}:
            raise ValueError("queue_size is at least 1, batch_seconds above 0, exit_seconds not below 0, when_full block, drop_oldest or drop_newest")
        self.settings = settings.settings if isinstance(settings, Client) else settings or load_settings()
        self.exit_seconds = exit_seconds
        self._experiment = experiment or self.settings.experiment
        self._run_name = run_name
        self._tags = dict(tags or {})
        self._aggregate = aggregate
        self._spool = None if spool is None else Path(spool).absolute()
        self._queue_size = queue_size
        self._when_full: WhenFull = when_full
        self._batch = (batch_size, batch_seconds)
        self._spool_bytes = spool_bytes
        self._keys: set[str] = set()
        self._begin()
        _exit.add(self, sigterm=sigterm)

    def _begin(self) -> None:
        """A new session: a run, an outbox, a queue and two threads."""
        self._queue: deque[Item] = deque()
        self._changed = threading.Condition()  # its lock is re-entrant: a signal handler may run while its thread holds it
        self._room = self._queue_size
        self._closed = False
        self._dropped = 0
        self._lost = 0
        session_id = new_session_id()
        name = self._run_name or f"inference-{session_id.rpartition('-')[2]}"
        tags = {**context_tags(), **self._tags, SESSION_TAG: session_id}
        session = Session(session_id, self._experiment, name, tags, _now() // 1_000_000)
        outbox: Outbox = Memory(session) if self._spool is None else Disk.create(self._spool, session, self._spool_bytes)
        self._outbox = outbox
        self._collector = Collector(self._queue, outbox, self._changed, self._batch, self._aggregate)
        self._sender = Sender(self.settings, self._changed)
        self._gone = threading.Event()
        threading.Thread(target=self._collector.run, name="mlflow-collect", daemon=True).start()
        threading.Thread(target=self._send, args=(outbox, self._sender, self._collector, self._gone), name="mlflow-send", daemon=True).start()

    def _send(self, outbox: Outbox, sender: Sender, collector: Collector, gone: threading.Event) -> None:
        """The sending thread."""
        try:
            if self._spool is not None:
                sender.leftovers(self._spool)
            sender.deliver(outbox, lambda: not collector.done)
            sender.end(outbox, "FINISHED", collector.ended)
        except Stopped:
            outbox.release(remove=False)
        except Exception:
            # It cannot be raised anywhere, and a spool still has everything.
            _log.exception("the delivery of records to MLflow has failed")
            outbox.release(remove=False)
        finally:
            sender.close()
            gone.set()
            with self._changed:
                self._changed.notify_all()

    # What callers use

    def record(self, key: str, value: float) -> bool:
        """Accept one value of the metric ``key``, at the current time. False: dropped, or the tracker is closed.

        It blocks only where ``when_full`` is ``block`` and the queue is full. Raises ValueError for a key that MLflow refuses, and TypeError or
        ValueError for a value that is no number.
        """
        if key not in self._keys or value.__class__ is not float:
            value = self._checked(key, value)
        queue = self._queue
        item = (key, value, _now())
        if len(queue) >= self._room:
            return self._make_room(item)
        queue.append(item)
        # Looked at after the append: a tracker that closes sets this and then empties the queue a last time.
        return not self._closed or self._was_taken(item)

    def record_many(self, metrics: Mapping[str, float]) -> bool:
        """Accept several metrics as one record: they share their time and step, and are accepted or dropped together. As `record`."""
        if not 1 <= len(metrics) <= self._batch[0]:
            raise ValueError(f"a record holds 1 to {self._batch[0]} metrics (batch_size); this one has {len(metrics)}")
        values = {key: self._checked(key, value) for key, value in metrics.items()}
        return self._accept((None, values, _now()))

    async def arecord(self, key: str, value: float) -> bool:
        """`record` for asyncio: with ``block`` it waits for room without blocking the event loop."""
        await self._aroom()
        return self.record(key, value)

    async def arecord_many(self, metrics: Mapping[str, float]) -> bool:
        """`record_many` for asyncio: with ``block`` it waits for room without blocking the event loop."""
        await self._aroom()
        return self.record_many(metrics)

    @contextmanager
    def timer(self, key: str) -> Iterator[None]:
        """Record the seconds that the block takes, whether or not it raises."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.record(key, time.perf_counter() - start)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything accepted so far is delivered, windows included; False if ``timeout`` seconds were not enough."""
        return self._flush(timeout, self._collector.delivered)

    async def aflush(self, timeout: float | None = None) -> bool:
        """`flush` for asyncio."""
        return await asyncio.to_thread(self.flush, timeout)

    def secure(self, timeout: float) -> bool:
        """Wait until everything accepted so far would outlive the process: in the spool, or, without one, delivered."""
        return self._flush(timeout, self._collector.delivered if self._spool is None else self._collector.secured)

    def close(self, timeout: float | None = None) -> bool:
        """Accept nothing more, deliver, and end the run; True if all is delivered.

        After ``timeout`` seconds (``exit_seconds`` where it is None) what is left stays in the spool, or, without one, is lost, counted and logged.
        """
        deadline = time.monotonic() + (self.exit_seconds if timeout is None else timeout)
        with self._changed:
            self._room = 0
            self._closed = True
            self._changed.notify_all()
        self._collector.finish()
        self._sender.hurry()
        finished = self._gone.wait(max(deadline - time.monotonic(), 0))
        if not finished:
            self._sender.stop()
            self._collector.abandon()
        _exit.discard(self)
        return self._account() and finished

    async def aclose(self, timeout: float | None = None) -> bool:
        """`close` for asyncio."""
        return await asyncio.to_thread(self.close, timeout)

    def stats(self) -> Stats:
        """The counts up to now."""
        with self._changed:
            sender, taken = self._sender, self._collector.taken + len(self._queue)
            waiting = len(self._queue) + self._collector.pending() + self._outbox.records() - self._lost
            return Stats(
                taken, sender.delivered, max(waiting, 0), self._dropped, sender.refused, self._lost, sender.retries, sender.last_error
            )

    @property
    def run_id(self) -> str | None:
        """The id of the run; None until the first batch is sent."""
        return self._outbox.run_id

    def __enter__(self) -> InferenceTracker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> InferenceTracker:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    # The slower paths

    def _checked(self, key: str, value: float) -> float:
        if key not in self._keys:
            checked_key(key, longest=230 if self._aggregate else 250)
            self._keys.add(key)
        return float(value)

    def _accept(self, item: Item) -> bool:
        if len(self._queue) >= self._room:
            return self._make_room(item)
        self._queue.append(item)
        return not self._closed or self._was_taken(item)

    def _make_room(self, item: Item) -> bool:
        """What ``when_full`` says."""
        with self._changed:
            while not self._closed and len(self._queue) >= self._room:
                if self._when_full == "block":
                    self._changed.wait(_LOOK)
                    continue
                self._dropped += 1
                if self._when_full == "drop_newest":
                    return False
                self._queue.popleft()
            if self._closed:
                return False
            self._queue.append(item)
            return True

    def _was_taken(self, item: Item) -> bool:
        """Whether an item that was appended while the tracker closed was among the last that were taken."""
        with self._changed:
            if not self._collector.emptied:
                return True
            try:
                self._queue.remove(item)
            except ValueError:
                return True
            return False

    async def _aroom(self) -> None:
        while self._when_full == "block" and len(self._queue) >= self._room and not self._closed:
            await asyncio.sleep(_LOOK)

    def _flush(self, timeout: float | None, reached: Callable[[int], bool]) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            mark = self._collector.mark()
            while not reached(mark) and not self._gone.is_set():
                left = 0.5 if deadline is None else min(deadline - time.monotonic(), 0.5)
                if left <= 0:
                    return False
                self._changed.wait(left)
            return reached(mark)

    def _account(self) -> bool:
        """Count and report what was not delivered; True if nothing was."""
        with self._changed:
            left = len(self._queue) + self._collector.pending() + self._outbox.records() - self._lost
            unspooled = left if self._spool is None else left - self._outbox.records()
            if unspooled > 0:
                self._lost += unspooled
                _log.error("%d records were not delivered to %s and are lost", unspooled, self.settings.tracking_uri)
            if self._spool is not None and self._outbox.records():
                _log.warning("%d records stay in %s; the next tracker with this spool delivers them", self._outbox.records(), self._spool)
            return left <= 0 and self._lost == 0

    def restart_in_child(self) -> None:
        """Begin anew in a forked child: what there was belongs to the parent, whose threads are not here."""
        forget_locks()
        if not self._closed:
            self._begin()


def deliver_spool(spool: Path | str, settings: Settings | Client | None = None, timeout: float = 60.0) -> int:
    """Deliver what ended processes left in ``spool``, and give the number of records delivered; for a service that will not start again.

    Sessions of running processes are left to them. Raises `SettingsError`, and TimeoutError where ``timeout`` seconds were not enough.
    """
    found = settings.settings if isinstance(settings, Client) else settings or load_settings()
    sender = Sender(found, threading.Condition())
    clock = threading.Timer(timeout, sender.stop)
    clock.daemon = True
    clock.start()
    try:
        sender.leftovers(Path(spool))
    except Stopped:
        raise TimeoutError(f"{found.tracking_uri} did not take all of {spool} within {timeout:g} s: {sender.last_error}") from None
    finally:
        clock.cancel()
        sender.close()
    return sender.delivered
