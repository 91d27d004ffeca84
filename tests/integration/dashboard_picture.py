"""Draw a dashboard as Grafana lays it out.

usage: dashboard_picture.py PANELS.json PICTURE.png

It runs with the Python of a deployed stack, for MLflow brings matplotlib along. PANELS.json has the dashboard's panels as they are, each with what it
shows besides: ``series``, pairs of a legend and of points, which are pairs of seconds and a value.
"""
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

COLUMNS, CELL = 24, (0.75, 0.45)  # columns, and inches of a cell


def written(value: float, unit: str) -> str:
    """A value in a panel's unit.

    >>> [written(1, "bool_yes_no"), written(0.5, "percentunit"), written(8.5e6, "bytes"), written(7200, "s"), written(12, "short")]
    ['Yes', '50 %', '8.5 MB', '2.0 h', '12']
    """
    if unit == "bool_yes_no":
        return "Yes" if value else "No"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "bytes":
        return f"{value / 1e6:.1f} MB"
    if unit == "s":
        return f"{value / 3600:.1f} h" if value >= 3600 else f"{value * 1000:.0f} ms" if value < 1 else f"{value:.0f} s"
    return f"{value:.4g}" + (" /s" if unit == "reqps" else "")


def color(value: float, steps: list[dict[str, Any]]) -> str:
    """The color of a value, by thresholds.

    >>> color(0, [{"color": "red", "value": None}, {"color": "green", "value": 1}])
    'red'
    """
    return str([step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1])


def draw_number(axes: Any, panel: dict[str, Any]) -> None:
    """The last value of each series, with its legend, as a panel of type stat shows them."""
    axes.set_axis_off()
    defaults, is_name = panel["fieldConfig"]["defaults"], panel["options"]["textMode"] == "name"
    shown = [(legend if is_name else f"{written(points[-1][1], defaults['unit'])}\n{legend}", points[-1][1]) for legend, points in panel["series"]]
    for number, (text, value) in enumerate(shown or [("No data", 0)]):
        place = 1 - (number + 0.5) / max(len(shown), 1)
        axes.text(0.5, place, text, ha="center", va="center", fontsize=11, color=color(value, defaults["thresholds"]["steps"]) if shown else "gray")


def draw_lines(axes: Any, panel: dict[str, Any]) -> None:
    """A line a series, over the minutes."""
    from matplotlib.ticker import FuncFormatter  # noqa: PLC0415 - the doctests run without it

    unit = panel["fieldConfig"]["defaults"]["unit"]
    for legend, points in panel["series"]:
        axes.plot([(moment - points[-1][0]) / 60 for moment, _value in points], [value for _moment, value in points], label=legend)
    axes.set_ylim(bottom=0)
    axes.margins(y=0.1)
    axes.tick_params(labelsize=7)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: written(value, unit)))
    if panel["series"]:
        axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4, frameon=False)
    else:
        axes.text(0.5, 0.5, "No data", ha="center", va="center", transform=axes.transAxes)


def main() -> None:
    """Draw what the command line names."""
    import matplotlib  # noqa: PLC0415 - the doctests run without it

    matplotlib.use("agg")
    from matplotlib import pyplot  # noqa: PLC0415

    panels = json.loads(Path(sys.argv[1]).read_text())
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = pyplot.figure(figsize=(COLUMNS * CELL[0], rows * CELL[1]))
    for panel in panels:
        place = panel["gridPos"]
        left, bottom = place["x"] / COLUMNS, 1 - (place["y"] + place["h"]) / rows
        axes = figure.add_axes((left + 0.035, bottom + 0.035, place["w"] / COLUMNS - 0.05, place["h"] / rows - 0.075))
        axes.set_title(panel["title"], fontsize=9, loc="left", weight="bold")
        (draw_number if panel["type"] == "stat" else draw_lines)(axes, panel)
    figure.savefig(sys.argv[2])


if __name__ == "__main__":
    main()
