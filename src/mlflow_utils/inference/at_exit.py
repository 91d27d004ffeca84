"""What happens to trackers at SIGTERM, at the interpreter's exit and in a forked child: one hook each for the whole process."""
from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, Final, Protocol


class Closing(Protocol):
    """What is to be flushed and closed."""

    exit_seconds: float

    def shut_down(self, deadline: float, *, close: bool) -> None:
        """Begin to deliver or write to the disk, wait for nothing, and let go who waits for room. ``deadline`` is by ``time.monotonic``."""

    def close(self, timeout: float | None = None) -> bool:
        """Deliver and end."""

    def secure(self, timeout: float) -> bool:
        """Deliver, or write to the disk, and go on."""

    def restart_in_child(self) -> None:
        """Begin anew in a forked child, whose parent keeps what there was."""


#: So many seconds after the deadline that SIGTERM has set, a process that still runs has gone on, and is as before.
_WENT_ON: Final = 600.0
#: What ``close`` has at least, in seconds, to write to the spool what waits, where SIGTERM's deadline is over.
_LEAST: Final = 1.0


class Ending:
    """The time that SIGTERM leaves to one tracker."""

    def __init__(self) -> None:
        self._at: float | None = None

    def begin(self, deadline: float) -> None:
        """SIGTERM has come; ``deadline`` is by ``time.monotonic``. A second one does not put it off."""
        if not self.under_way():
            self._at = deadline

    def under_way(self) -> bool:
        """Whether SIGTERM has come, and the process has not gone on since."""
        at = self._at  # a signal's handler may change it
        return at is not None and time.monotonic() <= at + _WENT_ON

    def left(self, seconds: float) -> float:
        """``seconds``, from SIGTERM on where that has come."""
        at, now = self._at, time.monotonic()
        if at is None or now > at + _WENT_ON:
            return seconds
        return max(at - now, min(seconds, _LEAST))


_live: set[Closing] = set()
_hooked = False
#: The child of multiprocessing, by its process id, whose end is cared for.
_child = 0
#: After multiprocessing's own, such as those that end a child's children, whose records may be the last.
_PRIORITY: Final = -100


def add(tracker: Closing, *, sigterm: bool) -> None:
    """Care for ``tracker`` until `discard`. SIGTERM can be handled from the main thread alone; elsewhere the exit hook has to do."""
    global _hooked  # noqa: PLW0603 - a process has one
    _live.add(tracker)
    if not _hooked:
        _hooked = True
        atexit.register(_at_exit)
        os.register_at_fork(after_in_child=_in_child)
    _hook_multiprocessing()
    if sigterm and threading.current_thread() is threading.main_thread():
        previous = signal.getsignal(signal.SIGTERM)
        if previous is not None and not isinstance(previous, _Handler):  # None: installed from C, and could not be called
            signal.signal(signal.SIGTERM, _Handler(previous))


def discard(tracker: Closing) -> None:
    """Care no longer. With the last one, the handler of SIGTERM that was there comes back, if nobody has replaced ours."""
    _live.discard(tracker)
    if not _live and threading.current_thread() is threading.main_thread():
        current = signal.getsignal(signal.SIGTERM)
        if isinstance(current, _Handler):
            signal.signal(signal.SIGTERM, current.previous)


class _Handler:
    """Ours of SIGTERM. It closes where the signal ends the process; where a handler was there before, that decides, and the records are secured.

    An event loop that runs in the main thread goes on meanwhile.
    """

    def __init__(self, previous: Any) -> None:
        self.previous = previous
        self._ending = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        ends = self.previous == signal.SIG_DFL
        deadline = _deadline()
        if ends or callable(self.previous):
            for tracker in list(_live):
                tracker.shut_down(deadline, close=ends)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            _all(deadline, close=ends)
            if ends:
                self._end()
        else:
            # By the loop, since a thread cannot be started from a signal's handler: the main thread may hold the lock that this takes.
            if not self._ending:
                loop.call_soon_threadsafe(self._work_beside, loop, deadline, ends)
            self._ending = ends
        if callable(self.previous):
            self.previous(number, frame)

    def _work_beside(self, loop: asyncio.AbstractEventLoop, deadline: float, ends: bool) -> None:
        def work() -> None:
            _all(deadline, close=ends)
            if ends:
                with contextlib.suppress(RuntimeError):  # the loop has ended, and so does the process
                    loop.call_soon_threadsafe(self._end)

        threading.Thread(target=work, name="mlflow-exit", daemon=True).start()

    def _end(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


def _all(deadline: float, *, close: bool) -> None:
    """Close or secure all: each begins before the first is waited for, so that none takes another's time."""
    trackers = list(_live)
    for tracker in trackers:
        tracker.shut_down(deadline, close=close)
    for tracker in trackers:
        left = max(deadline - time.monotonic(), 0.1)
        if close:
            tracker.close(left)
        else:
            tracker.secure(left)


def _deadline() -> float:
    return time.monotonic() + max((tracker.exit_seconds for tracker in _live), default=0.0)


def _at_exit() -> None:
    _all(_deadline(), close=True)


def _in_child() -> None:
    for tracker in list(_live):
        tracker.restart_in_child()
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        # multiprocessing, where it is what forks, forgets all finalizers next, and then asks who wants to be called.
        util.register_after_fork(_Handler, lambda _kind: _hook_multiprocessing())


def _hook_multiprocessing() -> None:
    """A child of multiprocessing ends by ``os._exit``, which runs no exit hook, and before it its own finalizers."""
    global _child  # noqa: PLW0603 - a process has one
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None and _child != os.getpid():
        from multiprocessing.util import Finalize  # noqa: PLC0415 - there already

        _child = os.getpid()
        Finalize(None, _at_exit, exitpriority=_PRIORITY)
