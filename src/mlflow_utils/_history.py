"""The versions that held an alias or a stage, oldest first, so that a roll-back knows where to go. No I/O.

MLflow moves an alias and writes a tag in two requests, and a client may be cut off between them. So both ways come as a list of writes, each of which
leaves a history that reads right: a version that holds the place and stands at the history's end as well is not part of it (``trimmed``). After
a cut, every reader sees the state before the promotion or roll-back, or the one after it.
"""
from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

LIMIT = 50


def parse(text: str | None) -> list[str]:
    """The versions that a tag's value lists; what is not a version number is passed over.

    >>> parse("3,5, 8"), parse(None), parse("3,,x,5")
    (['3', '5', '8'], [], ['3', '5'])
    """
    entries = (entry.strip() for entry in (text or "").split(","))
    return [entry for entry in entries if entry.isascii() and entry.isdigit()]


def render(history: Sequence[str]) -> str:
    """The tag's value; the oldest go where there are more than ``LIMIT``."""
    return ",".join(history[-LIMIT:])


def trimmed(history: Sequence[str], current: str | None) -> list[str]:
    """The history without the version that holds the place now at its end.

    >>> trimmed(["3", "5"], "5"), trimmed(["3", "5"], "7")
    (['3'], ['3', '5'])
    """
    rest = list(history)
    while rest and rest[-1] == current:
        rest.pop()
    return rest


def pushed(history: Sequence[str], current: str | None) -> list[str]:
    """The history once ``current`` has been replaced.

    >>> pushed(["3"], "5"), pushed(["3"], None), pushed(["3", "5"], "5")
    (['3', '5'], ['3'], ['3', '5'])
    """
    rest = trimmed(history, current)
    return rest if current is None else [*rest, current]


@dataclass(frozen=True)
class Write:
    """One request: ``holder`` is the version that gets the place, or else ``history`` is what the tag becomes."""

    holder: str | None = None
    history: tuple[str, ...] = ()


def promotion(history: Sequence[str], current: str | None, version: str) -> list[Write]:
    """The writes, in order, that give the place to ``version``, which ``current`` has now.

    >>> promotion(["3"], "5", "7")
    [Write(holder=None, history=('3', '5')), Write(holder='7', history=())]
    """
    after = pushed(history, current)
    return [*([Write(history=tuple(after))] if after != list(history) else []), Write(holder=version)]


def rollback(history: Sequence[str], current: str | None, existing: Collection[str]) -> list[Write]:
    """The writes, in order, that give the place to the version before ``current``; none where no other is known.

    Versions that are not in ``existing`` are passed over.

    >>> rollback(["1", "3", "5"], "7", {"1", "3", "7"})
    [Write(holder=None, history=('1', '3')), Write(holder='3', history=()), Write(holder=None, history=('1',))]
    >>> rollback([], "7", {"7"})
    []
    """
    rest = trimmed([version for version in history if version in existing], current)
    if not rest:
        return []
    # The target must stand at the end of the tag, or a cut after the move would leave others behind it.
    ready = [Write(history=tuple(rest))] if rest != list(history) else []
    return [*ready, Write(holder=rest[-1]), Write(history=tuple(rest[:-1]))]
