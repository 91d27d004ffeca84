"""Where batches wait for their delivery: in memory, or in a folder that outlives the process (``spool``)."""
from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .._rest import Row


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


def new_session_id(spool: Path | None = None) -> str:
    """A unique name; names sort by the time they were made, those of a spool even where the machine's time was set back."""
    others = [path.name.partition("-")[0] for path in spool.glob("[0-9]*-*")] if spool is not None and spool.is_dir() else []
    newest = max((int(number) for number in others if number.isdecimal()), default=0)
    return f"{max(time.time_ns(), newest + 1):020d}-{uuid.uuid4().hex[:12]}"


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

    def head_records(self) -> int:
        """How many records the first batch stands for."""

    def settle(self, refused: Batch | None = None) -> None:
        """The first batch is delivered, but for what is ``refused`` for good."""

    def empty(self) -> bool:
        """Whether no batch waits."""

    def records(self) -> int:
        """How many records wait."""

    def kept(self) -> int:
        """How many of the records that wait would outlive the process."""

    def keep(self) -> None:
        """Try to have all of them outlive it."""

    def set_run_id(self, run_id: str | None) -> None:
        """Remember the run; None where it is gone."""

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

    def head_records(self) -> int:
        """How many records the first batch stands for."""
        return self._batches[0].records if self._batches else 0

    def settle(self, refused: Batch | None = None) -> None:
        """The first batch is delivered, but for what is ``refused`` for good."""
        self._batches.popleft()
        self.settled += 1

    def empty(self) -> bool:
        """Whether no batch waits."""
        return not self._batches

    def records(self) -> int:
        """How many records wait."""
        return sum(batch.records for batch in list(self._batches))

    def kept(self) -> int:
        """None."""
        return 0

    def keep(self) -> None:
        """There is no way."""

    def set_run_id(self, run_id: str | None) -> None:
        """Remember the run; None where it is gone."""
        self.run_id = run_id

    def close(self, ended: int) -> None:
        """Nothing to note."""

    def release(self, *, remove: bool) -> None:
        """Nothing to let go of."""
