"""Reports as Markdown and HTML, and plots as SVG. No I/O, no dependency: the page holds all it shows."""
from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

MOST_BARS = 30
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #1a1a1a; background: #fff; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap; }
th { position: sticky; top: 0; background: #f4f4f4; }
svg { display: block; max-width: 100%; margin: 1rem 0; }
"""


@dataclass(frozen=True)
class Section:
    """One table of a report, as text."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Point:
    """One run in a scatter plot; ``on_front`` marks it."""

    label: str
    x: float
    y: float
    on_front: bool


def text(value: Any) -> str:
    """A cell's text: numbers with six figures, times to the second, nothing for what is missing.

    >>> text(0.123456789), text(float("nan")), text(None), text(3)
    ('0.123457', '', '', '3')
    """
    if value is None or value != value:  # noqa: PLR0124 - NaN and NaT differ from themselves
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return str(value)


def markdown(sections: Iterable[Section]) -> str:
    r"""The sections as Markdown tables (GitHub's kind).

    >>> print(markdown([Section("Runs", ["a|b"], [["x"]])]))
    ## Runs
    <BLANKLINE>
    | a\|b |
    | --- |
    | x |
    <BLANKLINE>
    """
    blocks = []
    for section in sections:
        lines = [_line(section.heads), _line(["---"] * len(section.heads)), *(_line(cells) for cells in section.rows)]
        blocks.append("\n".join([f"## {_inline(section.title)}", "", *(lines if section.rows else ["None."])]))
    return "\n\n".join(blocks) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_inline(cell) for cell in cells) + " |"


def _inline(cell: str) -> str:
    """The cell on one line, with nothing in it that Markdown or HTML would read."""
    return re.sub(r"\s+", " ", re.sub(r"([\\|*_`\[\]<>])", r"\\\1", cell))


def html(sections: Iterable[Section], plots: Sequence[str], title: str = "Comparison of runs") -> str:
    """One HTML page. ``plots`` are SVG elements and are put in as they are."""
    body = [f"<h1>{escape(title)}</h1>", *(["<h2>Plots</h2>", *plots] if plots else [])]
    for section in sections:
        body.append(f"<h2>{escape(section.title)}</h2>")
        body.append(_table(section) if section.rows else "<p>None.</p>")
    content = "\n".join(body)
    policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{policy}\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{content}\n</body>\n</html>\n"
    )


def _table(section: Section) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in section.heads)
    rows = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>" for cells in section.rows)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>'


def _drawable(value: float) -> bool:
    """Whether it is far enough from the end of the floats, as which MLflow gives an infinity, to be drawn among others."""
    return abs(value) < 1e300


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from ``low`` or below to ``high`` or above, about ``count`` of them.

    Both are drawable, and so is each tick. A range too narrow for floats to divide is widened.

    >>> ticks(0.0, 0.93), ticks(3.0, 3.0)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [2.6, 2.8, 3.0, 3.2, 3.4])
    """
    size = max(abs(low), abs(high))
    if high - low < max(size * 1e-9, 1e-250):
        room = size * 0.1 if size > 1e-200 else 1.0
        low, high = low - room, high + room
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def bars(metric: str, values: Sequence[tuple[str, float]]) -> str:
    """The values as horizontal bars in the given order, the first ``MOST_BARS`` of them."""
    shown = [(label, value) for label, value in values if _drawable(value)][:MOST_BARS]
    left, width, line, top = 220, 640, 22, 40
    height = top + line * len(shown) + 30
    scale = ticks(min([0.0, *(value for _, value in shown)]), max([0.0, *(value for _, value in shown)]))

    def across(value: float) -> float:
        return left + _share(value, scale) * width

    parts = [_words(left, 20, metric + _left_out(len(shown), len(values)), weight="bold")]
    for number in scale:
        parts.append(_rule(across(number), top, across(number), height - 30))
        parts.append(_words(across(number), height - 12, f"{number:g}", anchor="middle"))
    for place, (label, value) in enumerate(shown):
        y = top + line * place
        start, end = sorted((across(0.0), across(value)))
        parts.append(f'<rect x="{start:.1f}" y="{y + 3}" width="{end - start:.1f}" height="{line - 6}" fill="#4477aa"/>')
        parts.append(_words(left - 8, y + 15, _short(label), anchor="end"))
        parts.append(_words(end + 5, y + 15, f"{value:.4g}"))
    return _svg(left + width + 80, height, parts)


def scatter(across: str, up: str, points: Sequence[Point]) -> str:
    """Two metrics against each other; those on the front are filled, and named."""
    shown = [point for point in points if _drawable(point.x) and _drawable(point.y)]
    left, top, width, height = 90, 40, 640, 380
    horizontal = ticks(min([point.x for point in shown], default=0.0), max([point.x for point in shown], default=1.0))
    vertical = ticks(min([point.y for point in shown], default=0.0), max([point.y for point in shown], default=1.0))

    def at(x: float, y: float) -> tuple[float, float]:
        return left + _share(x, horizontal) * width, top + height - _share(y, vertical) * height

    parts = [_words(left, 20, f"{up} against {across}, the Pareto front filled" + _left_out(len(shown), len(points)), weight="bold")]
    for number in horizontal:
        x, _ = at(number, vertical[0])
        parts += [_rule(x, top, x, top + height), _words(x, top + height + 18, f"{number:g}", anchor="middle")]
    for number in vertical:
        _, y = at(horizontal[0], number)
        parts += [_rule(left, y, left + width, y), _words(left - 8, y + 4, f"{number:g}", anchor="end")]
    for point in sorted(shown, key=lambda point: point.on_front):
        x, y = at(point.x, point.y)
        tip = escape(f"{point.label}: {across} {point.x:.6g}, {up} {point.y:.6g}")
        fill = "#aa3377" if point.on_front else "none"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}" stroke="#aa3377"><title>{tip}</title></circle>')
        if point.on_front:
            parts.append(_words(x + 8, y - 6, _short(point.label)))
    parts.append(_words(left + width / 2, top + height + 38, across, anchor="middle"))
    parts.append(_words(left, top - 6, up))
    return _svg(left + width + 120, top + height + 50, parts)


def _share(value: float, scale: Sequence[float]) -> float:
    """Where the value lies between the scale's ends, from 0 to 1."""
    return (value - scale[0]) / (scale[-1] - scale[0])


def _left_out(shown: int, all_: int) -> str:
    return f" ({shown} of {all_} runs)" if shown < all_ else ""


def _short(label: str) -> str:
    return label if len(label) <= 32 else label[:31] + "…"


def _words(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _svg(width: float, height: float, parts: Iterable[str]) -> str:
    content = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12">\n{content}\n</svg>'
    )
