"""The thread that takes records from the queue, gives them their steps, sums them up where asked, and cuts batches."""
from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from .._rest import Row
from .._seldom import Seldom
from . import clock
from .aggregate import Aggregation, Window
from .outbox import Batch, Outbox

#: A record as it waits: its key and value, or None and several of them; and its time by `clock.now`.
Item = tuple[str, float, int] | tuple[None, Mapping[str, float], int]

#: How often the queue is looked at, in seconds. A record wakes nobody, which would cost its caller ten times as much.
POLL: Final = 0.05
_ALLOWED: Final = re.compile(r"[/\w.\- :]+")


def checked_key(key: str, longest: int) -> None:
    """Raise ValueError where MLflow refuses ``key`` as a metric's name (``_validate_metric_name`` in mlflow/utils/validation.py).

    >>> checked_key("latency/p95 (ms)", 250)
    Traceback (most recent call last):
    ValueError: the metric name 'latency/p95 (ms)' is not one that MLflow takes; use letters, digits, and _ - . : / or spaces in between
    """
    if len(key) > longest:
        raise ValueError(f"the metric name {key[:40]!r}... has {len(key)} characters; MLflow takes {longest} here")
    parts = key.split("/")
    if not _ALLOWED.fullmatch(key) or "" in parts or "." in parts or ".." in parts:
        raise ValueError(f"the metric name {key!r} is not one that MLflow takes; use letters, digits, and _ - . : / or spaces in between")


def values_of(item: Item) -> Collection[tuple[str, float]]:
    """The keys and values of a record."""
    key, value, _time = item
    return value.items() if key is None else [(key, value)]  # type: ignore[union-attr, list-item]


class Collector:
    """Empties ``queue`` into ``outbox``. ``batch`` is the most metrics and seconds of a batch; ``changed`` guards the queue's taking."""

    def __init__(
        self, queue: deque[Item], outbox: Outbox, changed: threading.Condition, batch: tuple[int, float], aggregate: Aggregation | None
    ) -> None:
        self._queue = queue
        self._outbox = outbox
        self._changed = changed
        self._size, self._seconds = batch
        self._aggregate = aggregate
        self._window = Window(aggregate.quantiles if aggregate else ())
        self._rows: list[Row] = []
        self._records = 0
        self._since = 0
        self._held: deque[Batch] = deque()
        self._step = 0
        self._put = 0
        self._wanted = 0
        self._wake = threading.Event()
        self._seldom = Seldom()
        self._finish = False
        self._abandoned = False
        #: Records taken from the queue.
        self.taken = 0
        #: So many records are in the outbox, or beyond it, with every batch up to ``_secured_batches``.
        self._secured = 0
        self._secured_batches = 0
        #: The queue was emptied for the last time.
        self.emptied = False
        #: Everything is in the outbox.
        self.done = False
        self.ended = 0

    # What the tracker asks for, with `changed` held

    def mark(self) -> int:
        """Have everything that waits put into the outbox; gives what `secured` and `delivered` take."""
        with self._changed:
            self._wanted = self.taken + len(self._queue)
            self._wake.set()
            return self._wanted

    def secured(self, mark: int) -> bool:
        """Whether the records up to ``mark`` have been put into the outbox, and would outlive the process there."""
        return self._secured >= mark and self._outbox.kept() == self._outbox.records()

    def delivered(self, mark: int) -> bool:
        """Whether the records up to ``mark`` have left the outbox."""
        return self._secured >= mark and self._outbox.settled >= self._secured_batches

    def pending(self) -> int:
        """Records between the queue and the outbox."""
        return self._records + self._window.records + sum(batch.records for batch in self._held)

    def finish(self) -> None:
        """Put everything into the outbox and end."""
        self._finish = True
        self._wake.set()

    def abandon(self) -> None:
        """End without it."""
        self._abandoned = True
        self._wake.set()

    # The thread

    def run(self) -> None:
        """The thread's work, until `finish` or `abandon`."""
        poll = min(POLL, self._seconds / 2)
        while not self.done and not self._abandoned:
            self._wake.wait(poll)
            self._wake.clear()
            try:
                self._turn()
            except Exception:
                # A thread cannot raise to anybody; what waits goes on waiting.
                self._seldom.log(logging.ERROR, "records could not be collected", traceback=True)
        with self._changed:
            self._changed.notify_all()

    def _turn(self) -> None:
        """Move what can be moved."""
        last = self._finish
        more = True
        while more and not self._abandoned:
            self._store(always=last)
            more = not self._held and self._take(last=last)
            self._cut_what_is_due(last=last, full=more)
        self._store(always=last)
        if self._outbox.kept() < self._outbox.records():
            self._outbox.keep()
        with self._changed:
            if not self._held and not self._records and not self._window.records:
                self._secured = max(self.taken, self._wanted if not self._queue else 0)
                self._secured_batches = self._put
                if last and self.emptied:
                    self.ended = max(time.time_ns() // 1_000_000, self._outbox.session.started)
                    self._outbox.close(self.ended)
                    self.done = True
            self._changed.notify_all()

    def _take(self, *, last: bool) -> bool:
        """Take records until a batch is full, which gives True, or the queue is empty."""
        queue, rows, size = self._queue, self._rows, self._size
        wall = clock.wall()
        with self._changed:
            while queue:
                item = queue[0]
                key, value, now = item
                if key is not None and self._aggregate is None:
                    if len(rows) >= size:
                        return True
                    rows.append((key, value, (now + wall) // 1_000_000, self._step))  # type: ignore[arg-type]
                    self._records += 1
                elif not self._take_slowly(item, wall):
                    return True
                queue.popleft()
                self.taken += 1
                self._step += 1
                self._since = self._since or now
            self.emptied = last
        return False

    def _take_slowly(self, item: Item, wall: int) -> bool:
        """Take a record that has several metrics or is summed up; False where it does not fit into the batch. ``wall`` is `clock.wall`'s."""
        raw = []
        aggregate = self._aggregate
        for key, value in values_of(item):
            if aggregate is not None and aggregate.covers(key):
                continue
            raw.append((key, value, (item[2] + wall) // 1_000_000, self._step))
        if len(self._rows) + len(raw) > self._size:
            return False
        if len(raw) < len(values_of(item)):
            for key, value in values_of(item):
                if aggregate is not None and aggregate.covers(key):
                    self._window.add(key, value, item[2])
        if raw:
            self._rows += raw
            self._records += 1
        else:
            self._window.records += 1
        return True

    def _cut_what_is_due(self, *, last: bool, full: bool) -> None:
        now = clock.now()
        asked = last or self._wanted > self._secured
        everything = asked and (self.taken >= self._wanted or not self._queue)
        if self._rows and (full or everything or now - self._since >= self._seconds * 1e9):
            self._held.append(Batch(tuple(self._rows), self._records))
            self._rows.clear()
            self._records = 0
            self._since = 0
        if self._aggregate is not None and (self._window.due(now, self._aggregate.seconds) or (everything and self._window.records)):
            self._held.extend(self._window_batches(now))

    def _window_batches(self, now: int) -> Iterator[Batch]:
        records = self._window.records
        rows = [(key, value, (now + clock.wall()) // 1_000_000, self._step) for key, value in self._window.end(now)]
        self._step += 1
        for start in range(0, len(rows), self._size):
            yield Batch(rows[start : start + self._size], 0 if start else records)

    def _store(self, *, always: bool) -> None:
        """Put what was cut into the outbox, while it has room."""
        while self._held and (always or self._outbox.room()):
            try:
                self._outbox.put(self._held[0])
            except OSError as error:
                self._seldom.log(logging.ERROR, "a batch of records could not be written to the spool and waits: %s", error)
                return
            with self._changed:
                self._held.popleft()
                self._put += 1
                self._changed.notify_all()
