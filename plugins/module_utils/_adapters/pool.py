# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Many calls to one server at once, over a bounded number of kept-alive connections."""
from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable, Generic, TypeVar

from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.rest import RestClient

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of one item: its ``result``, or the ``error``; neither and not ``tried`` where an error elsewhere came first."""

    result: Result | None = None
    error: Exception | None = None
    tried: bool = True


class Pool:
    """``size`` threads at most, each with a client of its own. What is under way when one fails is finished; nothing is begun."""

    def __init__(self, make_client: Callable[[], RestClient], size: int) -> None:
        self._make_client = make_client
        self._size = size
        self._idle: list[RestClient] = []
        self._lock = threading.Lock()

    def run(self, work: Callable[[RestClient, Item], Result], items: Sequence[Item]) -> list[Outcome[Result]]:
        """``work`` done for each item, in any order; the outcomes in the items' order."""
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
    def _client(self) -> Iterator[RestClient]:
        with self._lock:
            client = self._idle.pop() if self._idle else self._make_client()
        try:
            yield client
        finally:
            with self._lock:
                self._idle.append(client)
