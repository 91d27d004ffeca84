"""The clock by which ages are measured. Setting the machine's time does not move it, and a suspended machine does not stop it."""
from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Final

#: Nanoseconds since some moment.
now: Final[Callable[[], int]] = (
    functools.partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic_ns  # macOS has none
)


def wall() -> int:
    """What to add to a reading of `now` to have nanoseconds since the epoch, by the machine's time as it is set at present."""
    return time.time_ns() - now()
