"""What happens to trackers at SIGTERM, at the interpreter's exit and in a forked child: one hook each for the whole process."""
from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from types import FrameType
from typing import Any, Protocol


class Closing(Protocol):
    """What is to be flushed and closed."""

    exit_seconds: float

    def close(self, timeout: float | None = None) -> bool:
        """Deliver and end."""

    def secure(self, timeout: float) -> bool:
        """Deliver, or write to the disk, and go on."""

    def restart_in_child(self) -> None:
        """Begin anew in a forked child, whose parent keeps what there was."""


_live: set[Closing] = set()
_hooked = False
#: The handler of SIGTERM that was there before ours; None where ours is not installed.
_previous: Any = None


def add(tracker: Closing, *, sigterm: bool) -> None:
    """Care for ``tracker`` until `discard`. SIGTERM can be handled from the main thread alone; elsewhere the exit hook has to do."""
    global _hooked, _previous  # noqa: PLW0603 - a process has one of each
    _live.add(tracker)
    if not _hooked:
        _hooked = True
        atexit.register(_at_exit)
        os.register_at_fork(after_in_child=_in_child)
    if sigterm and _previous is None and threading.current_thread() is threading.main_thread():
        previous = signal.getsignal(signal.SIGTERM)
        if previous is not None:  # None: installed from C, and could not be called
            signal.signal(signal.SIGTERM, _on_sigterm)
            _previous = previous


def discard(tracker: Closing) -> None:
    """Care no longer. With the last one, the handler of SIGTERM that was there comes back, if nobody has replaced ours."""
    global _previous  # noqa: PLW0603 - a process has one
    _live.discard(tracker)
    if not _live and _previous is not None and threading.current_thread() is threading.main_thread():
        if signal.getsignal(signal.SIGTERM) is _on_sigterm:
            signal.signal(signal.SIGTERM, _previous)
        _previous = None


def _all(deadline: float, *, close: bool) -> None:
    for tracker in list(_live):
        left = max(deadline - time.monotonic(), 0.1)
        if close:
            tracker.close(left)
        else:
            tracker.secure(left)


def _deadline() -> float:
    return time.monotonic() + max((tracker.exit_seconds for tracker in _live), default=0.0)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    """Close where the signal ends the process; where another handler decides about that, make sure of the records and ask it."""
    previous = _previous
    ends = previous == signal.SIG_DFL
    _all(_deadline(), close=ends)
    if ends:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    elif callable(previous):
        previous(number, frame)


def _at_exit() -> None:
    _all(_deadline(), close=True)


def _in_child() -> None:
    for tracker in list(_live):
        tracker.restart_in_child()
