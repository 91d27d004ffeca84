"""The spool: a folder in which batches wait for their delivery, and which outlives the process.

It holds a folder for each session (a tracker's life in one process):

    SESSION/session.json    experiment, run name, tags and start of the run
    SESSION/run             the id of the run, once it is known
    SESSION/0000000001.json a batch, in order
    SESSION/closed          the end, in milliseconds since the epoch, of a session that was closed
    SESSION/refused/        batches that the server will never accept
    SESSION/lock            held by the process that delivers the session
    refused-SESSION/        what is left of a session with refused batches

A file is written beside its place, synced and renamed, so that it is there as a whole or not at all.

A disk may be full, or fail. What it does not take, apart from batches, is not needed for the delivery and is tried again with the next batch: a run
is found again by its tag, and a batch that was delivered and stays on the disk makes no second row. A batch that the disk does not take waits for
those before it to be delivered and to leave the disk; where none is there, it goes by memory.
"""
from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .._seldom import Seldom
from .outbox import Batch, Session

#: The locks that this process holds.
_locks: set[int] = set()


@dataclass
class _Waiting:
    """A batch as a session's folder holds it; without a ``path`` the disk did not take it, and ``batch`` is it."""

    path: Path | None
    size: int
    records: int
    batch: Batch | None = None


class Disk:
    """An outbox in a folder of the spool, which this process has locked. ``limit`` is the bytes that the session may take."""

    def __init__(self, folder: Path, session: Session, lock: int, limit: int) -> None:
        self.session = session
        self.folder = folder
        self.lock = lock
        self.settled = 0
        self._limit = limit
        run = folder / "run"
        self.run_id = (run.read_text() or None) if run.exists() else None
        self._batches: deque[_Waiting] = deque()
        self._number = 0
        self._guard = threading.RLock()  # of the names on the disk, which both threads write
        self._undone: list[Callable[[], object]] = []
        self._seldom = Seldom()
        for path in sorted(folder.glob("[0-9]*.json")):
            self._batches.append(_Waiting(path, path.stat().st_size, _records_of(path)))
            self._number = int(path.stem)
        self._bytes = sum(waiting.size for waiting in self._batches)

    @classmethod
    def create(cls, spool: Path, session: Session, limit: int) -> Disk:
        """A new session. Raises OSError."""
        spool.mkdir(parents=True, exist_ok=True)
        folder, beside = spool / session.id, spool / f".{session.id}.new"
        beside.mkdir(mode=0o700)
        try:
            lock = _lock(beside)
            assert lock is not None, "nobody else looks there"
            try:
                _write(beside / "session.json", asdict(session))
                beside.rename(folder)
                _sync(spool)
            except BaseException:
                _unlock(lock)
                raise
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
        return cls(folder, session, lock, limit)

    @classmethod
    def leftovers(cls, spool: Path) -> Iterator[Disk | OSError | ValueError]:
        """The sessions of processes that have ended, oldest first, each locked; an error for each that cannot be read."""
        for folder in sorted(spool.glob("[0-9]*-*")):
            try:
                found = cls._of(folder)
            except (OSError, ValueError) as error:
                yield error
                continue
            if found is not None:
                yield found

    @classmethod
    def _of(cls, folder: Path) -> Disk | None:
        """The session of a folder, locked; None where a process still has it, or has just delivered it all. Raises OSError and ValueError."""
        lock = _lock(folder)
        if lock is None:
            return None
        try:
            session = Session(**json.loads((folder / "session.json").read_text()))
            return cls(folder, session, lock, 0)
        except FileNotFoundError:
            _unlock(lock)
            return None
        except (OSError, ValueError, TypeError) as error:
            _unlock(lock)
            raise ValueError(f"{folder}: {error}") from error

    @property
    def ended(self) -> int | None:
        """When the session was closed, in milliseconds since the epoch; None if it never was."""
        path = self.folder / "closed"
        return int(path.read_text()) if path.exists() else None

    def room(self) -> bool:
        """Whether another batch should be put."""
        return self._bytes < self._limit and self.kept() == self.records()

    def put(self, batch: Batch) -> None:
        """Add a batch at the end, synced to the disk. Raises OSError where the disk does not take it and batches before it may make room."""
        with self._guard:
            waiting = _Waiting(None, 0, batch.records, batch)
            try:
                self._store_all([*self._batches, waiting])
            except OSError as error:
                if self._batches:
                    raise
                self._seldom.log(logging.ERROR, "the spool takes nothing, and records wait in memory, a batch at a time: %s", error)
            self._batches.append(waiting)

    def _store_all(self, batches: Iterable[_Waiting]) -> None:
        """Write those that are in memory, in order. Raises OSError."""
        for waiting in batches:
            if waiting.batch is not None:
                path = self.folder / f"{self._number + 1:010d}.json"
                waiting.size = _write(path, {"records": waiting.records, "rows": waiting.batch.rows})
                waiting.path, waiting.batch = path, None
                self._number += 1
                self._bytes += waiting.size

    def head(self) -> Batch | None:
        """The first batch, which stays."""
        with self._guard:
            if not self._batches:
                return None
            waiting = self._batches[0]
            if waiting.path is None:
                return waiting.batch
            content = json.loads(waiting.path.read_text())
        return Batch([(key, value, timestamp, step) for key, value, timestamp, step in content["rows"]], content["records"])

    def head_records(self) -> int:
        """How many records the first batch stands for."""
        with self._guard:
            return self._batches[0].records if self._batches else 0

    def settle(self, refused: Batch | None = None) -> None:
        """The first batch is delivered, but for what is ``refused`` for good, which is kept aside."""
        with self._guard:
            waiting = self._batches.popleft()
            self._bytes -= waiting.size
            self.settled += 1
            path = waiting.path or self.folder / f"{self._number + 1:010d}.json"
            if waiting.path is None:
                self._number += 1
            if refused is not None:
                self._do(lambda: _set_aside(path, refused))
            else:
                self._do(lambda: path.unlink(missing_ok=True))

    def empty(self) -> bool:
        """Whether no batch waits."""
        return not self._batches

    def records(self) -> int:
        """How many records wait."""
        return sum(waiting.records for waiting in list(self._batches))

    def kept(self) -> int:
        """How many of the records that wait would outlive the process."""
        return sum(waiting.records for waiting in list(self._batches) if waiting.path is not None)

    def keep(self) -> None:
        """Write what the disk did not take before."""
        with self._guard, suppress(OSError):
            self._store_all(self._batches)

    def set_run_id(self, run_id: str | None) -> None:
        """Remember the run, across processes; None where it is gone."""
        with self._guard:
            self.run_id = run_id
            self._do(lambda: _write(self.folder / "run", self.run_id or ""))

    def close(self, ended: int) -> None:
        """Note the end."""
        with self._guard:
            self._do(lambda: _write(self.folder / "closed", str(ended)))

    def _do(self, work: Callable[[], object] | None = None) -> None:
        """Do ``work`` and what could not be done before."""
        undone, self._undone = [*self._undone, *([work] if work else [])], []
        for each in undone:
            try:
                each()
            except FileNotFoundError:
                pass  # somebody has removed the folder, or it is done
            except OSError as error:
                self._undone.append(each)
                self._seldom.log(logging.WARNING, "the spool cannot be kept tidy, which is tried again: %s", error)

    def release(self, *, remove: bool) -> None:
        """Let go of the session; ``remove`` its folder if nothing was refused."""
        with self._guard:
            self._do()
            try:
                if remove and not (self.folder / "refused").exists():
                    shutil.rmtree(self.folder, ignore_errors=True)
                elif remove:
                    # What was refused stays to be looked at, but the session is over.
                    (self.folder / "session.json").rename(self.folder / "refused" / "session.json")
                    self.folder.rename(self.folder.with_name(f"refused-{self.session.id}"))
            except OSError as error:
                self._seldom.log(logging.WARNING, "the spool cannot be kept tidy, which is tried again: %s", error)
            finally:
                if self.lock in _locks:
                    _unlock(self.lock)


def _records_of(path: Path) -> int:
    """How many records a batch stands for; none where it cannot be read, which its delivery will find too."""
    try:
        return int(json.loads(path.read_text())["records"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _set_aside(path: Path, refused: Batch) -> None:
    """Keep what was refused of the batch ``path``; where it could not be read, the file as it is. Raises OSError."""
    folder = path.parent / "refused"
    folder.mkdir(exist_ok=True)
    if refused.rows:
        _write(folder / path.name, {"records": refused.records, "rows": refused.rows})
        path.unlink(missing_ok=True)
    else:
        path.rename(folder / path.name)


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
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
        _sync(path.parent)
    except OSError:
        beside.unlink(missing_ok=True)  # half a file would fill the disk
        raise
    return len(data)


def _sync(folder: Path) -> None:
    """Make the names in a folder last through a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
