"""What goes on beside a test: somebody who looks or asks again and again."""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def meanwhile(step: Callable[[], None], pause: float = 0) -> Iterator[None]:
    """While this lasts, do something again and again, each time after a pause in seconds."""
    over = threading.Event()

    def again() -> None:
        while not over.wait(pause):
            step()

    going_on = threading.Thread(target=again)
    going_on.start()
    try:
        yield
    finally:
        over.set()
        going_on.join()
