"""Where batches wait for their delivery: in memory, or in a folder that outlives the process.

A folder, the spool, holds a folder for each session (a tracker's life in one process):

    SESSION/session.json    experiment, run name, tags and start of the run
    SESSION/run             the id of the run, once it is known
    SESSION/0000000001.json a batch, in order
    SESSION/closed          the end, in milliseconds since the epoch, of a session that was closed
    SESSION/refused/        batches that the server will never accept
    SESSION/lock            held by the process that delivers the session
    refused-SESSION/        what is left of a session with refused batches

A file is written beside its place, synced and renamed, so that it is there as a whole or not at all.
"""
from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from ._rest import Row

#: The locks that this process holds.
_locks: set[int] = set()


@dataclass(frozen=True)
class Session:
    """The run that a tracker's records go to. ``started`` is in milliseconds since the epoch."""

    id: str
    experiment: str
    run_name: str
    tags: Mapping[str, str]
    started: int


@dataclass(frozen=True)
class Batch:
    """At most a thousand rows, sent as one request, and the number of records that they stand for."""

    rows: Sequence[Row]
    records: int


def new_session_id() -> str:
    """A unique name; names sort by the time they were made."""
    return f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}"


class Outbox(Protocol):
    """Batches in order. One thread puts, one other takes."""

    session: Session
    run_id: str | None
    settled: int

    def room(self) -> bool:
        """Whether another batch should be put."""

    def put(self, batch: Batch) -> None:
        """Add a batch at the end. Raises OSError where it cannot be kept."""

    def head(self) -> Batch | None:
        """The first batch, which stays."""

    def settle(self, *, refused: bool = False) -> None:
        """The first batch is delivered, or refused for good."""

    def empty(self) -> bool:
        """Whether no batch waits."""

    def records(self) -> int:
        """How many records wait."""

    def set_run_id(self, run_id: str) -> None:
        """Remember the run."""

    def close(self, ended: int) -> None:
        """Nothing more will be put."""

    def release(self, *, remove: bool) -> None:
        """Done with it; ``remove`` when everything is delivered."""


class Memory:
    """An outbox that ends with the process. It has room for two batches, so that one can be filled while one is sent."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.run_id: str | None = None
        self.settled = 0
        self._batches: deque[Batch] = deque()

    def room(self) -> bool:
        """Whether another batch should be put."""
        return len(self._batches) < 2

    def put(self, batch: Batch) -> None:
        """Add a batch at the end."""
        self._batches.append(batch)

    def head(self) -> Batch | None:
        """The first batch, which stays."""
        return self._batches[0] if self._batches else None

    def settle(self, *, refused: bool = False) -> None:
        """The first batch is delivered, or refused for good."""
        self._batches.popleft()
        self.settled += 1

    def empty(self) -> bool:
        """Whether no batch waits."""
        return not self._batches

    def records(self) -> int:
        """How many records wait."""
        return sum(batch.records for batch in list(self._batches))

    def set_run_id(self, run_id: str) -> None:
        """Remember the run."""
        self.run_id = run_id

    def close(self, ended: int) -> None:
        """Nothing to note."""

    def release(self, *, remove: bool) -> None:
        """Nothing to let go of."""


class Disk:
    """An outbox in a folder of the spool, which this process has locked. ``limit`` is the bytes that the session may take."""

    def __init__(self, folder: Path, session: Session, lock: int, limit: int) -> None:
        self.session = session
        self.folder = folder
        self.lock = lock
        self.settled = 0
        self._limit = limit
        run = folder / "run"
        self.run_id = run.read_text() if run.exists() else None
        # name, bytes and records of each batch
        self._batches: deque[tuple[Path, int, int]] = deque()
        self._number = 0
        for path in sorted(folder.glob("[0-9]*.json")):
            self._batches.append((path, path.stat().st_size, int(json.loads(path.read_text())["records"])))
            self._number = int(path.stem)
        self._bytes = sum(size for _path, size, _records in self._batches)

    @classmethod
    def create(cls, spool: Path, session: Session, limit: int) -> Disk:
        """A new session. Raises OSError."""
        spool.mkdir(parents=True, exist_ok=True)
        folder, beside = spool / session.id, spool / f".{session.id}.new"
        beside.mkdir(mode=0o700)
        lock = _lock(beside)
        assert lock is not None, "nobody else looks there"
        _write(beside / "session.json", asdict(session))
        beside.rename(folder)
        _sync(spool)
        return cls(folder, session, lock, limit)

    @classmethod
    def leftovers(cls, spool: Path) -> Iterator[Disk]:
        """The sessions of processes that have ended, oldest first, each locked."""
        for folder in sorted(spool.glob("[0-9]*-*")):
            lock = _lock(folder)
            if lock is None:
                continue
            try:
                session = Session(**json.loads((folder / "session.json").read_text()))
            except FileNotFoundError:
                _unlock(lock)  # another process has just delivered it all
                continue
            yield cls(folder, session, lock, 0)

    @property
    def ended(self) -> int | None:
        """When the session was closed, in milliseconds since the epoch; None if it never was."""
        path = self.folder / "closed"
        return int(path.read_text()) if path.exists() else None

    def room(self) -> bool:
        """Whether another batch should be put."""
        return self._bytes < self._limit

    def put(self, batch: Batch) -> None:
        """Add a batch at the end, synced to the disk. Raises OSError where the disk does not take it."""
        path = self.folder / f"{self._number + 1:010d}.json"
        size = _write(path, {"records": batch.records, "rows": batch.rows})
        self._number += 1
        self._bytes += size
        self._batches.append((path, size, batch.records))

    def head(self) -> Batch | None:
        """The first batch, which stays."""
        if not self._batches:
            return None
        content = json.loads(self._batches[0][0].read_text())
        return Batch([(key, value, timestamp, step) for key, value, timestamp, step in content["rows"]], content["records"])

    def settle(self, *, refused: bool = False) -> None:
        """The first batch is delivered, or refused for good, in which case it is kept aside."""
        path, size, _records = self._batches[0]
        if refused:
            (self.folder / "refused").mkdir(exist_ok=True)
            path.rename(self.folder / "refused" / path.name)
        else:
            path.unlink()
        self._batches.popleft()
        self._bytes -= size
        self.settled += 1

    def empty(self) -> bool:
        """Whether no batch waits."""
        return not self._batches

    def records(self) -> int:
        """How many records wait."""
        return sum(records for _path, _size, records in list(self._batches))

    def set_run_id(self, run_id: str) -> None:
        """Remember the run, across processes."""
        _write(self.folder / "run", run_id)
        self.run_id = run_id

    def close(self, ended: int) -> None:
        """Note the end."""
        _write(self.folder / "closed", str(ended))

    def release(self, *, remove: bool) -> None:
        """Let go of the session; ``remove`` its folder if nothing was refused."""
        if remove and not (self.folder / "refused").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        elif remove:
            # What was refused stays to be looked at, but the session is over.
            (self.folder / "session.json").rename(self.folder / "refused" / "session.json")
            self.folder.rename(self.folder.with_name(f"refused-{self.session.id}"))
        _unlock(self.lock)


def _lock(folder: Path) -> int | None:
    """A lock on a session's folder, which the system gives up when its process ends, or None where another holds it."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    _locks.add(descriptor)
    return descriptor


def _unlock(descriptor: int) -> None:
    _locks.discard(descriptor)
    os.close(descriptor)


def forget_locks() -> None:
    """In a forked child: leave the locks to the parent, which would otherwise not free them by its end."""
    for descriptor in list(_locks):
        _unlock(descriptor)


def _write(path: Path, content: Any) -> int:
    """Write a text as it is, anything else as JSON; as a whole and synced. Gives its size."""
    data = (content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)).encode()
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    _sync(path.parent)
    return len(data)


def _sync(folder: Path) -> None:
    """Make the names in a folder last through a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
