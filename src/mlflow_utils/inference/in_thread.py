"""Waiting in a thread while an event loop goes on."""
from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

_Result = TypeVar("_Result")


async def in_thread(work: Callable[[], _Result]) -> _Result:
    """What ``work`` gives, from a thread of its own: those that the loop lends may all be waiting."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Result] = loop.create_future()

    def tell(say: Callable[..., None], what: object) -> None:
        if not done.done():  # it may have been cancelled
            say(what)

    def run() -> None:
        try:
            found = work()
        except BaseException as error:
            say, what = done.set_exception, error
        else:
            say, what = done.set_result, found  # type: ignore[assignment]
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, say, what)

    threading.Thread(target=run, name="mlflow-wait", daemon=True).start()
    return await done
