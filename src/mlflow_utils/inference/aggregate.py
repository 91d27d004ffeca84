"""Windows of values, summed up as count, rate, mean, extremes and quantiles."""
from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .labels import unlabelled

#: A window ends early when one key has this many values, so that its quantiles can be exact in bounded memory (8 bytes a value).
MAX_VALUES: Final = 1_000_000


@dataclass(frozen=True)
class Aggregation:
    """Sum values up in windows instead of logging each: count, rate per second, mean, minimum, maximum and quantiles.

    ``keys`` are the metrics that are summed up, None all of them; ``seconds`` is the length of a window; ``quantiles`` are shares between 0 and 1.
    The metrics are called ``KEY/count``, ``KEY/rate``, ``KEY/mean``, ``KEY/min``, ``KEY/max``, ``KEY/p50`` and so on.
    """

    keys: Collection[str] | None = None
    seconds: float = 60.0
    quantiles: tuple[float, ...] = (0.5, 0.95, 0.99)

    def __post_init__(self) -> None:
        if isinstance(self.keys, str) or self.seconds <= 0 or not all(0 <= share <= 1 for share in self.quantiles):
            raise ValueError(f"{self} is wrong: keys is a collection of names, seconds is above 0 and quantiles are between 0 and 1")

    def covers(self, key: str) -> bool:
        """Whether ``key`` is summed up; with labels, as the metric without them.

        >>> Aggregation({"latency"}).covers("latency/tenant:acme"), Aggregation({"latency"}).covers("latency/p50")
        (True, False)
        """
        return self.keys is None or key in self.keys or (":" in key and unlabelled(key) in self.keys)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The quantile of sorted values, interpolated linearly between neighbours (method 7 of Hyndman and Fan, numpy's default).

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.5
    >>> quantile([7.0], 0.99)
    7.0
    """
    place = (len(ordered) - 1) * share
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def label(share: float) -> str:
    """How a quantile is called.

    >>> label(0.5), label(0.99), label(0.999)
    ('p50', 'p99', 'p99.9')
    """
    return f"p{share * 100:.10g}"


class Window:
    """The values of some seconds. ``quantiles`` are shares between 0 and 1."""

    def __init__(self, quantiles: Collection[float]) -> None:
        self._quantiles = tuple(quantiles)
        self._values: dict[str, array[float]] = {}
        self._not_finite: dict[str, int] = {}
        self.started = 0
        self.records = 0

    def add(self, key: str, value: float, now: int) -> None:
        """Take in one value of ``now``, in nanoseconds of any clock that only goes forward."""
        if not self._values and not self._not_finite:
            self.started = now
        if math.isfinite(value):
            self._values.setdefault(key, array("d")).append(value)
        else:
            self._not_finite[key] = self._not_finite.get(key, 0) + 1

    def due(self, now: int, seconds: float) -> bool:
        """Whether it has lasted for ``seconds``, or cannot take more."""
        if not self._values and not self._not_finite:
            return False
        return now - self.started >= seconds * 1e9 or any(len(values) >= MAX_VALUES for values in self._values.values())

    def end(self, now: int) -> Iterator[tuple[str, float]]:
        """The metrics of the window, which is empty afterwards. The rate is per second, over the time since the first value.

        >>> window = Window([0.5])
        >>> for value in (1.0, 2.0, 6.0):
        ...     window.add("latency", value, 0)
        >>> dict(window.end(2_000_000_000)) == {
        ...     "latency/count": 3.0, "latency/rate": 1.5, "latency/mean": 3.0, "latency/min": 1.0, "latency/max": 6.0, "latency/p50": 2.0}
        True
        """
        seconds = max(now - self.started, 1) / 1e9
        values, not_finite = self._values, self._not_finite
        self._values, self._not_finite, self.records = {}, {}, 0
        for key, unordered in values.items():
            ordered = sorted(unordered)
            yield f"{key}/count", float(len(ordered))
            yield f"{key}/rate", len(ordered) / seconds
            yield f"{key}/mean", math.fsum(ordered) / len(ordered)
            yield f"{key}/min", ordered[0]
            yield f"{key}/max", ordered[-1]
            for share in self._quantiles:
                yield f"{key}/{label(share)}", quantile(ordered, share)
        for key, count in not_finite.items():
            yield f"{key}/not_finite", float(count)
