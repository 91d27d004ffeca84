"""What the command prints: tables for people, JSON and YAML for programs."""
from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from .._report import text

Row = Mapping[str, Any]


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
    """Print rows as a table; a pipe gets every cell whole, on one line."""
    heads = list(columns) if columns is not None else list(dict.fromkeys(key for row in rows for key in row))
    grid = Table(show_header=any(head.strip() for head in heads))
    for head in heads:
        grid.add_column(_safe(head), overflow="fold")
    for row in rows:
        grid.add_row(*(_safe(text(_cell(row.get(head)))) for head in heads))
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = 10_000
    if title:
        console.print(_safe(title))
    console.print(grid)


def _cell(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={entry}" for key, entry in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def _safe(words: str) -> str:
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
