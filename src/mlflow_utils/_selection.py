"""Choosing among measured things: the best by one metric, the Pareto front of several, and whether one beats another. No I/O.

A value is missing where it is ``None`` or NaN; a missing value is never the best of anything. Infinities are ordinary numbers.
"""
from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

Direction = Literal["max", "min"]
DIRECTIONS: tuple[Direction, ...] = ("max", "min")
Key = TypeVar("Key", bound=Hashable)


def checked_direction(direction: str) -> Direction:
    """``direction`` if it is one; raises ValueError otherwise."""
    for known in DIRECTIONS:
        if direction == known:
            return known
    raise ValueError(f"direction is {direction!r}; it must be 'max' (more is better) or 'min' (less is better)")


def present(value: float | None) -> bool:
    """Whether there is a value at all."""
    return value is not None and not math.isnan(value)


def _gain(value: float, direction: Direction) -> float:
    """The value turned so that more is better."""
    return value if direction == "max" else -value


def ranked(values: Mapping[Key, float | None], direction: Direction = "max") -> list[Key]:
    """The keys that have a value, best first; equal ones in the order in which they came.

    >>> ranked({"a": 0.5, "b": None, "c": 0.9, "d": float("nan"), "e": 0.5})
    ['c', 'a', 'e']
    """
    have = [(key, _gain(value, direction)) for key, value in values.items() if value is not None and present(value)]
    return [key for key, _ in sorted(have, key=lambda pair: -pair[1])]


def best(values: Mapping[Key, float | None], direction: Direction = "max") -> list[Key]:
    """Every key that shares the best value, in the order in which they came; none where no value is there.

    >>> best({"a": 0.1, "b": 0.3, "c": 0.1}, "min")
    ['a', 'c']
    """
    order = ranked(values, direction)
    return [key for key in order if values[key] == values[order[0]]]


def pareto_front(points: Mapping[Key, Mapping[str, float | None]], directions: Mapping[str, Direction]) -> list[Key]:
    """The keys that no other beats: none is as good in every metric and better in one. Equal points are all kept.

    ``points`` is ``{key: {metric: value}}``. A point that lacks one of the metrics of ``directions`` is left out. The keys come in the order of
    ``points``. At worst quadratic in the size of the front.

    >>> pareto_front({"a": {"f1": 0.9, "ms": 40}, "b": {"f1": 0.8, "ms": 10}, "c": {"f1": 0.8, "ms": 20}}, {"f1": "max", "ms": "min"})
    ['a', 'b']
    """
    gains: dict[Key, tuple[float, ...]] = {}
    for key, values in points.items():
        known = [(values.get(metric), direction) for metric, direction in directions.items()]
        if all(present(value) for value, _ in known):
            gains[key] = tuple(_gain(value, direction) for value, direction in known if value is not None)
    front: set[tuple[float, ...]] = set()
    # Sorted so, nothing can be dominated by what comes after it.
    for point in sorted(set(gains.values()), reverse=True):
        if not any(all(mine >= theirs for mine, theirs in zip(other, point, strict=True)) for other in front):
            front.add(point)
    return [key for key, point in gains.items() if point in front]


@dataclass(frozen=True)
class MetricCheck:
    """How a candidate compares with the champion in one metric.

    ``candidate`` and ``champion`` are the values, None where missing. ``improvement`` is in the metric's own unit, above zero where the
    candidate is better, None where one of the two is missing. ``passed`` says whether the candidate may take the champion's place, ``reason`` why.
    """

    metric: str
    direction: Direction
    min_improvement: float
    candidate: float | None
    champion: float | None
    improvement: float | None
    passed: bool
    reason: str


def check_improvement(
    metric: str,
    candidate: float | None,
    champion: float | None,
    *,
    has_champion: bool,
    direction: Direction = "max",
    min_improvement: float = 0.0,
) -> MetricCheck:
    """Compare a candidate with the champion.

    With ``min_improvement`` 0 the candidate must be better, by however little; above 0 it must be better by that much or more, where a
    difference that floating point alone explains (1e-9, relative) counts as equal. Without a champion, any candidate that has the metric passes.

    >>> check_improvement("rmse", 0.30, 0.31, has_champion=True, direction="min", min_improvement=0.01).reason
    'rmse is 0.3, the champion has 0.31: better by 0.01'
    >>> check_improvement("f1", 0.9, 0.9, has_champion=True).reason
    'f1 is 0.9, the champion has 0.9: not better'
    """
    candidate, champion = (value if present(value) else None for value in (candidate, champion))
    improvement = None
    if candidate is None:
        passed, reason = False, f"the candidate has no metric {metric!r}"
    elif not has_champion:
        passed, reason = True, f"{metric} is {candidate:.6g}, and there is no champion yet"
    elif champion is None:
        passed, reason = False, f"the champion has no metric {metric!r} to compare with"
    else:
        improvement = _gain(candidate - champion, direction)
        passed = improvement > 0 and (improvement >= min_improvement or math.isclose(improvement, min_improvement, rel_tol=1e-9))
        reason = f"{metric} is {candidate:.6g}, the champion has {champion:.6g}: {_verdict(improvement, min_improvement, passed)}"
    return MetricCheck(metric, direction, min_improvement, candidate, champion, improvement, passed, reason)


def _verdict(improvement: float, min_improvement: float, passed: bool) -> str:
    if passed:
        return f"better by {improvement:.6g}"
    if improvement > 0:
        return f"better by {improvement:.6g}, less than the {min_improvement:.6g} asked for"
    return "not better"
