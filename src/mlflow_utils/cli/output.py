"""What the command prints: tables for people, JSON and YAML for programs."""
from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from typing import Any, Final, Protocol

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from .._report import text

Row = Mapping[str, Any]
#: So many rows are better read one below the other than with columns missing.
FEW: Final = 5
#: A longer cell, such as a description, goes on in the next line. An identifier is shorter.
LONGEST: Final = 40


class Format(str, Enum):
    """The forms of ``--output``."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Count(Protocol):
    """Tells how far a long work is."""

    def __call__(self, done: int, /) -> None:
        """``done`` of what is counted are done."""


def plain(value: Any) -> Any:
    """``value`` in JSON's types: times as ISO 8601, NaN and infinities as null, which JSON cannot write.

    >>> plain({"a": float("nan"), "b": (1, 2.5)})
    {'a': None, 'b': [1, 2.5]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, datetime):
        # pandas's missing time is a datetime too, and like NaN differs from itself.
        return value.isoformat() if value == value else None  # noqa: PLR0124
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int)) else str(value)


def serialised(data: Any, form: Format) -> str:
    """``data`` as JSON or, for any other form, YAML."""
    if form is Format.JSON:
        return json.dumps(plain(data), indent=2, ensure_ascii=False) + "\n"
    import yaml  # noqa: PLC0415 - needed for this form alone

    return yaml.safe_dump(plain(data), sort_keys=False, allow_unicode=True)


def write(data: Any, form: Format, columns: Sequence[str] | None = None) -> None:
    """Print ``data``, rows or one mapping; ``columns`` are those of the table, all where None. A mapping in a mapping is not in the table."""
    if form is not Format.TABLE:
        sys.stdout.write(serialised(data, form))
        return
    rows = [{"": key, " ": value} for key, value in data.items() if not isinstance(value, Mapping)] if isinstance(data, Mapping) else list(data)
    table(rows, columns)


def table(rows: Sequence[Row], columns: Sequence[str] | None = None, title: str | None = None) -> None:
    """Print rows as a table; a pipe gets every cell whole, on one line.

    A terminal gets the columns that it has room for, and is told which it does not show; up to `FEW` rows are printed one below the other instead.
    """
    heads = list(columns) if columns is not None else list(dict.fromkeys(key for row in rows for key in row))
    cells = [[safe(text(_cell(row.get(head)))) for head in heads] for row in rows]
    console = Console(markup=False, highlight=False, emoji=False)
    if title:
        console.print(safe(title))
    if not console.is_terminal:
        console.width = 10_000
        console.print(_grid([safe(head) for head in heads], cells))
        return
    widths = [max(len(head), *(min(len(row[place]), LONGEST) for row in cells), 0) for place, head in enumerate(heads)]
    shown = fitting(widths, console.width)
    if shown == len(heads):
        console.print(_grid([safe(head) for head in heads], cells))
    elif len(rows) <= FEW:
        for row in cells:
            console.print(_grid(["", " "], [[safe(head), cell] for head, cell in zip(heads, row, strict=True) if cell]))
    else:
        console.print(_grid([safe(head) for head in heads[:shown]], [row[:shown] for row in cells]))
        console.print(f"{len(heads) - shown} columns do not fit: {safe(', '.join(heads[shown:]))}; a wider terminal or --output json shows them")


def paragraph(lines: Mapping[str, str]) -> None:
    """Print named texts below one another, each whole; the first, without a name, is their heading."""
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
    width = max(map(len, lines))
    for name, words in lines.items():
        console.print(safe(f"  {name:<{width}}  {words}" if name else f"\n{words}"))


def fitting(widths: Sequence[int], room: int) -> int:
    """How many columns of these widths fit side by side, borders included; one at least.

    >>> fitting([32, 10, 10], 80), fitting([32, 40, 10], 80), fitting([32, 50], 80)
    (3, 2, 1)
    """
    used = 1
    for number, width in enumerate(widths):
        used += width + 3
        if used > room:
            return max(number, 1)
    return len(widths)


def _grid(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
    grid = Table(show_header=any(head.strip() for head in heads))
    for head in heads:
        grid.add_column(head, overflow="fold")
    for row in cells:
        grid.add_row(*row)
    return grid


def _cell(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={entry}" for key, entry in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def safe(words: str) -> str:
    """The words without what would steer a terminal: names come from whoever may write to the server."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in words)


@contextmanager
def progress(what: str) -> Iterator[Count]:
    """Count on stderr while the block runs, where stderr is a terminal."""
    console = Console(stderr=True)
    bar = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    )
    with bar:
        task = bar.add_task(f"{what}: 0")

        def count(done: int, /) -> None:
            bar.update(task, description=f"{what}: {done}")

        yield count
