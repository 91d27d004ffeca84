"""What a tracker has counted."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stats:
    """Counts of records. accepted = delivered + refused + lost + waiting (+ those dropped under ``drop_oldest``).

    ``earlier_delivered`` and ``earlier_refused`` are those of ended processes, found in the spool.
    """

    accepted: int
    delivered: int
    waiting: int
    dropped: int
    refused: int
    lost: int
    retries: int
    last_error: str
    earlier_delivered: int = 0
    earlier_refused: int = 0
