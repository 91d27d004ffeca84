"""Log lines that come once a minute at most, so that a fault that lasts does not fill the log."""
from __future__ import annotations

import logging
import time
from typing import Any, Final

_log = logging.getLogger("mlflow_utils")
#: Seconds between two lines of the same kind.
EVERY: Final = 60.0


class Seldom:
    """Logs lines. Of those with the same text, before its values are put in, it logs the first of each minute, and says how many it left out."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def log(self, level: int, text: str, *values: Any, traceback: bool = False) -> None:
        """Log ``text`` with ``values``, as the logging module does."""
        moment = time.monotonic()
        if moment < self._next.get(text, moment):
            self._left_out[text] = self._left_out.get(text, 0) + 1
            return
        self._next[text] = moment + EVERY
        left_out = self._left_out.pop(text, 0)
        more = f" ({left_out} more of these since the last line)" if left_out else ""
        _log.log(level, text + more, *values, exc_info=traceback)
