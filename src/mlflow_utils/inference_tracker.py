"""Metrics of an inference service, logged in batches by threads of the tracker's own, at a cost of microseconds to the caller.

What is promised, and how:

* `InferenceTracker.record` returns True: the record is accepted. It then reaches MLflow exactly once, if the process can end in an orderly way
  (close, interpreter exit, SIGTERM) with the server there, or if there is a spool, from which a later process delivers it.
* Once, though an answer may be lost and its request be sent again: a tracker writes into a run of its own and gives each record the next step
  number, so two records never make the same row; and MLflow stores a row once, since key, timestamp, step, run and value together are the primary
  key of its table ``metrics`` (``SqlMetric`` in mlflow/store/tracking/dbmodels/models.py), and log-batch passes over the rows of a batch that are
  already there (``_log_metrics_once`` in sqlalchemy_store.py). The run itself is found again by a tag with the session's identifier.
* In order: one thread sends one batch after the other, the spool's oldest session first.

What MLflow will never accept, since the run or its experiment was deleted or for what it finds wrong with a metric, is refused: counted in
`Stats.refused`, logged, kept in the spool's folder ``refused`` where there is a spool, and `InferenceTracker.flush` and `InferenceTracker.close` are
False. A refused metric takes no other with it.

What is not promised: at SIGKILL, ``os._exit`` or loss of power, records that are not yet in the spool are gone, which are those of the last
``batch_seconds`` and of the current aggregation window; without a spool, all that wait. (A child of multiprocessing, which ends by ``os._exit`` too,
delivers before it.) While the disk of the spool is full, records wait in memory. With ``drop_oldest`` an accepted record may be
dropped later. If the request that makes the run is carried out only after it was given up, an empty run stays behind.
"""
from __future__ import annotations

import asyncio
import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, get_args

from ._origin_tags import context_tags
from ._rest import MAX_BATCH, SESSION_TAG
from ._seldom import Seldom
from .client import Client, Settings, load_settings
from .inference import at_exit, clock
from .inference.aggregate import Aggregation
from .inference.at_exit import Ending
from .inference.collect import Collector, Item, checked_key
from .inference.delivery import Sender, Stopped, pauses
from .inference.in_thread import in_thread
from .inference.labels import Labels
from .inference.leftovers import Delivered, delete_old_runs, deliver_spool
from .inference.outbox import Memory, Outbox, Session, new_session_id
from .inference.spool import Disk, forget_locks
from .inference.stats import Stats

__all__ = ["Aggregation", "Delivered", "InferenceTracker", "Stats", "WhenFull", "delete_old_runs", "deliver_spool"]

WhenFull = Literal["block", "drop_oldest", "drop_newest"]
_now = clock.now
_log = logging.getLogger("mlflow_utils")
#: How often a caller that waits for room looks again, in seconds.
_LOOK: Final = 0.02


class InferenceTracker:
    """Logs metrics into a new run of ``experiment`` (the settings' one where it is None).

    ``settings`` is what `load_settings` gives where it is None. ``tags`` are added to those that the host and the environment give; with
    ``mlflow.parentRunId`` the run is a child. ``spool`` is a folder that outlives the process; several processes may share it. ``aggregate`` sums
    values up. ``queue_size`` bounds the records that wait in memory, a few more where threads race, besides up to three batches; when it is full,
    ``when_full`` decides: ``block`` waits, ``drop_oldest`` and ``drop_newest`` drop and count. A batch is sent when it has ``batch_size`` metrics or
    is ``batch_seconds`` old. ``spool_bytes`` bounds the session's part of the spool; when it or the disk is full, records wait in the queue.
    ``exit_seconds`` is how long SIGTERM and the interpreter's exit may take; ``sigterm`` False leaves SIGTERM alone. Where the run is deleted while
    the tracker writes to it, its records are refused, or with ``reopen`` go on in a new run. ``label_limit`` bounds the names that the labels of one
    metric make; see `record`. After ``run_days`` the records go on in a new run; see `delete_old_runs`.

    On SIGTERM, which must find Python's main thread able to run: where the process had no handler, the tracker closes and the process ends by the
    signal; where it had one, the records are delivered or spooled and then that handler is called, and the tracker goes on. Where an event loop runs
    in the main thread, the loop goes on meanwhile, and the handler is called at once. A `close` that follows has what is left of
    ``exit_seconds`` since the signal, and with ``block`` nobody waits for room any longer: what finds the queue full is dropped and counted.

    Use it as a context manager, plain or asynchronous, or call `close`. Thread-safe. A forked child continues with a run of its own.
    Raises `SettingsError`, ValueError for a wrong option, and OSError where the spool cannot be written, unless for a full disk.
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
        reopen: bool = False,
        label_limit: int = 100,
        run_days: float | None = None,
    ) -> None:
        if not 1 <= batch_size <= MAX_BATCH:
            raise ValueError(f"batch_size is {batch_size}; MLflow takes 1 to {MAX_BATCH} metrics in a request")
        if queue_size < 1 or batch_seconds <= 0 or exit_seconds < 0 or when_full not in get_args(WhenFull):
            raise ValueError("queue_size is at least 1, batch_seconds above 0, exit_seconds not below 0, when_full block, drop_oldest or drop_newest")
        for text in (experiment or "", run_name or "", *(tags or {}), *(tags or {}).values()):
            if "\0" in text:
                raise ValueError(f"{text!r} holds the character NUL, which no database takes; leave it out")
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
        self._reopen, self._run_days = reopen, run_days
        self._keys: set[str] = set()
        self._longest = 230 if aggregate else 250
        self._labels = Labels(label_limit)
        self._ending = Ending()
        self._seldom = Seldom()
        self._begin(in_child=False)
        at_exit.add(self, sigterm=sigterm)

    def _begin(self, *, in_child: bool) -> None:
        """A new session: a run, an outbox, a queue and two threads."""
        self._queue: deque[Item] = deque()
        self._changed = threading.Condition()  # its lock is re-entrant: a signal handler may run while its thread holds it
        self._room = self._queue_size
        self._closed = False
        self._dropped = 0
        self._lost = 0
        self._said_refused = False
        self._sender = Sender(self.settings, self._changed, reopen=self._reopen, run_days=self._run_days)
        session_id = new_session_id(self._spool)
        name = self._run_name or f"inference-{session_id.rpartition('-')[2]}"
        tags = {**context_tags(), **self._tags, SESSION_TAG: session_id}
        session = Session(session_id, self._experiment, name, tags, time.time_ns() // 1_000_000)
        outbox = self._new_outbox(session, in_child=in_child)
        self._outbox = outbox
        self._collector = Collector(self._queue, outbox, self._changed, self._batch, self._aggregate)
        self._gone = threading.Event()
        threading.Thread(target=self._collector.run, name="mlflow-collect", daemon=True).start()
        threading.Thread(target=self._send, args=(outbox, self._sender, self._collector, self._gone), name="mlflow-send", daemon=True).start()

    def _new_outbox(self, session: Session, *, in_child: bool) -> Outbox:
        """In the spool, or in memory where there is none, its disk is full, or a forked child, which nobody hears, cannot write to it."""
        if self._spool is not None:
            try:
                return Disk.create(self._spool, session, self._spool_bytes)
            except OSError as error:
                if not in_child and error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                    raise
                _log.error("the spool %s cannot be written, and the records of this process wait in memory alone: %s", self._spool, error)
        return Memory(session)

    def _send(self, outbox: Outbox, sender: Sender, collector: Collector, gone: threading.Event) -> None:
        """The sending thread."""
        try:
            for pause in pauses():
                try:
                    if self._spool is not None:
                        sender.leftovers(self._spool)
                    sender.deliver(outbox, lambda: not collector.done, sender.own)
                    sender.end(outbox, "FINISHED", collector.ended)
                    return
                except Stopped:
                    break
                except Exception:
                    # It cannot be raised anywhere, and the records are still there.
                    self._seldom.log(logging.ERROR, "the delivery of records to MLflow has failed and is tried again", traceback=True)
                if sender.pause(pause):
                    break
            outbox.release(remove=False)
        finally:
            sender.close()
            gone.set()
            with self._changed:
                self._changed.notify_all()

    # What callers use

    def record(self, key: str, value: float, labels: Mapping[str, object] | None = None) -> bool:
        """Accept one value of the metric ``key``, at the current time. False: dropped, or the tracker is closed.

        MLflow's metrics have no labels, so ``labels`` become parts of the name: ``latency/tenant:acme/version:7``. A metric has at most
        ``label_limit`` such names; the values of further ones go to the name whose labels are all ``other``, which is logged once a minute.

        It blocks only where ``when_full`` is ``block`` and the queue is full. Raises ValueError for a key that MLflow refuses, and TypeError or
        ValueError for a value that is no number.
        """
        if labels:
            key = self._labelled(key, labels)
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

    async def arecord(self, key: str, value: float, labels: Mapping[str, object] | None = None) -> bool:
        """`record` for asyncio: with ``block`` it waits for room without blocking the event loop."""
        await self._aroom()
        return self.record(key, value, labels)

    async def arecord_many(self, metrics: Mapping[str, float]) -> bool:
        """`record_many` for asyncio: with ``block`` it waits for room without blocking the event loop."""
        await self._aroom()
        return self.record_many(metrics)

    @contextmanager
    def timer(self, key: str, labels: Mapping[str, object] | None = None) -> Iterator[None]:
        """Record the seconds that the block takes, whether or not it raises."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.record(key, time.perf_counter() - start, labels)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything accepted so far is delivered, windows included.

        False if ``timeout`` seconds were not enough, or MLflow has refused something since the tracker began.
        """
        return self._flush(timeout, self._collector.delivered) and not self._sender.own.refused

    async def aflush(self, timeout: float | None = None) -> bool:
        """`flush` for asyncio."""
        return await in_thread(lambda: self.flush(timeout))

    def secure(self, timeout: float) -> bool:
        """Wait until everything accepted so far would outlive the process: in the spool, or, without one, delivered."""
        return self._flush(timeout, self._collector.delivered if isinstance(self._outbox, Memory) else self._collector.secured)

    def close(self, timeout: float | None = None) -> bool:
        """Accept nothing more, deliver, and end the run; True if all is delivered.

        After ``timeout`` seconds (``exit_seconds`` where it is None) what is left stays in the spool, or, without one, is lost, counted and logged.
        """
        deadline = time.monotonic() + (self._ending.left(self.exit_seconds) if timeout is None else timeout)
        self._stop_accepting()
        finished = self._gone.wait(max(deadline - time.monotonic(), 0))
        if not finished:
            self._sender.stop()
            self._collector.abandon()
        at_exit.discard(self)
        return self._account() and finished

    def _stop_accepting(self) -> None:
        """Begin to close, and let go who waits for room."""
        with self._changed:
            self._room = 0
            self._closed = True
            self._changed.notify_all()
        self._collector.finish()
        self._sender.hurry()

    async def aclose(self, timeout: float | None = None) -> bool:
        """`close` for asyncio."""
        deadline = time.monotonic() + (self._ending.left(self.exit_seconds) if timeout is None else timeout)
        self._stop_accepting()  # at once: the threads that the loop lends may all wait for room
        return await in_thread(lambda: self.close(max(deadline - time.monotonic(), 0)))

    def stats(self) -> Stats:
        """The counts up to now."""
        with self._changed:
            sender, taken = self._sender, self._collector.taken + len(self._queue)
            waiting = len(self._queue) + self._collector.pending() + self._outbox.records() - self._lost
            counts = (taken, sender.own.delivered, max(waiting, 0), self._dropped, sender.own.refused, self._lost)
            return Stats(*counts, sender.retries, sender.last_error, sender.earlier.delivered, sender.earlier.refused)

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

    def _labelled(self, key: str, labels: Mapping[str, object]) -> str:
        name, own = self._labels.name(key, labels, self._longest)
        if not own:
            self._seldom.log(logging.WARNING, "a metric has too many combinations of labels (label_limit), and further ones go to %s", name)
        return name

    def _checked(self, key: str, value: float) -> float:
        if key not in self._keys:
            checked_key(key, longest=self._longest)
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
                if self._when_full == "block" and not self._ends():
                    self._changed.wait(_LOOK)
                    continue
                self._dropped += 1
                if self._when_full != "drop_oldest":
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
        while self._when_full == "block" and len(self._queue) >= self._room and not self._closed and not self._ends():
            await asyncio.sleep(_LOOK)

    def _ends(self) -> bool:
        """Whether the process is ending: after SIGTERM, or where Python waits for its other threads and would wait for those that wait for room."""
        return self._ending.under_way() or not threading.main_thread().is_alive()

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
            kept, refused = self._outbox.kept(), self._sender.own.refused
            unspooled = left - kept
            if unspooled > 0:
                self._lost += unspooled
                _log.error("%d records were not delivered to %s and are lost", unspooled, self.settings.tracking_uri)
            if kept:
                _log.warning("%d records stay in %s; the next tracker with this spool delivers them", kept, self._spool)
            if refused and not self._said_refused:
                self._said_refused = True
                _log.error("%d records were refused by %s", refused, self.settings.tracking_uri)
            return left <= 0 and self._lost == 0 and not refused

    def shut_down(self, deadline: float, *, close: bool) -> None:
        """Begin to deliver or write to the disk, wait for nothing, and let go who waits for room. ``deadline`` is by ``time.monotonic``."""
        self._ending.begin(deadline)
        if close:
            self._stop_accepting()
        else:
            self._collector.mark()
            with self._changed:
                self._changed.notify_all()

    def restart_in_child(self) -> None:
        """Begin anew in a forked child: what there was belongs to the parent, whose threads are not here."""
        forget_locks()
        self._ending = Ending()
        if not self._closed:
            self._begin(in_child=True)
