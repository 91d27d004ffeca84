# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Work on many resources at the same time, and listings that several kinds share."""
from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Generic, Protocol, TypeVar, cast


class Client(Protocol):
    """A client of a server, which one thread uses at a time."""

    def close(self) -> None:
        """Close the connection."""


Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """The outcome for one item: its ``result`` or ``error``; neither, and not ``tried``, if another error came first."""

    result: Result | None = None
    error: Exception | None = None
    tried: bool = True


class Workers:
    """At most ``size`` threads, each with its own client. After a failure, running items are finished, but no new ones started."""

    def __init__(self, make_client: Callable[[], Client], size: int) -> None:
        self._make_client = make_client
        self._size = size
        self._idle: list[Client] = []
        self._lock = threading.Lock()

    def run(self, work: Callable[[Any, Item], Result], items: Sequence[Item]) -> list[Outcome[Result]]:
        """Do ``work``, which takes a client and an item, for each item, in any order; return the outcomes in the order of the items."""
        failed = threading.Event()

        def attempt(item: Item) -> Outcome[Result]:
            if failed.is_set():
                return Outcome(tried=False)
            try:
                with self._client() as client:
                    return Outcome(work(client, item))
            except Exception as error:  # the caller gets it, with what else was done
                failed.set()
                return Outcome(error=error)

        if len(items) < 2:
            return [attempt(item) for item in items]
        with ThreadPoolExecutor(min(self._size, len(items))) as threads:
            return list(threads.map(attempt, items))

    def close(self) -> None:
        """Close the connections."""
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _client(self) -> Iterator[Client]:
        with self._lock:
            client = self._idle.pop() if self._idle else self._make_client()
        try:
            yield client
        finally:
            with self._lock:
                self._idle.append(client)


def results(outcomes: Sequence[Outcome[Result]]) -> list[Result]:
    """Return the results if every item has one; otherwise raise the first error."""
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return [cast("Result", outcome.result) for outcome in outcomes]


class SharedListings:
    """Listings of one run, each made by whichever thread needs it first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[str, list[Any]] = {}

    def once(self, name: str, make: Callable[[], Iterable[Item]]) -> list[Item]:
        """Return the listing ``name``, made by the first who asks for it; the others wait."""
        with self._lock:
            if name not in self._made:
                self._made[name] = list(make())
            return self._made[name]
