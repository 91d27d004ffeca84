"""The comparison of runs against a real server, and its pure parts."""
from __future__ import annotations

import csv
import io
import math
import re
import uuid
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_utils import _report, _runs
from mlflow_utils._reading import NotFound
from mlflow_utils._selection import best, pareto_front, ranked
from mlflow_utils.experiment_comparison import Comparison, compare

if TYPE_CHECKING:
    from mlflow_utils.client import Client

HOSTILE = '<script>alert(1)</script> | "a" & `b` $x$ 模型\n=1'
Log = Callable[..., str]


@pytest.fixture
def experiment(client: Client) -> str:
    name = f"comparison {uuid.uuid4().hex}"
    client.mlflow.create_experiment(name)
    return name


@pytest.fixture
def log(client: Client) -> Log:
    """Logs a finished run; gives its id."""

    def make(experiment: str, metrics: dict[str, float] | None = None, params: dict[str, str] | None = None, name: str = "run") -> str:
        found = client.mlflow.get_experiment_by_name(experiment)
        assert found is not None
        run_id = str(client.mlflow.create_run(found.experiment_id, run_name=name, tags={"team": "risk"}).info.run_id)
        for metric, value in (metrics or {}).items():
            client.mlflow.log_metric(run_id, metric, value)
        for param, text in (params or {}).items():
            client.mlflow.log_param(run_id, param, text)
        client.mlflow.set_terminated(run_id)
        return run_id

    return make


def test_runs_of_several_experiments_stand_in_one_table(client: Client, experiment: str, log: Log) -> None:
    second = f"{experiment} second"
    second_id = client.mlflow.create_experiment(second)
    first_run = log(experiment, {"f1": 0.9, "broken": math.nan}, {"depth": "3"}, name="one")
    second_run = log(second, {"f1": 0.8}, {"depth": "3", "algorithm": "forest"})
    seen: list[int] = []
    comparison = compare(client, [experiment, second_id], progress=seen.append)
    table = comparison.table
    assert list(table.index) == [first_run, second_run]
    assert list(table["experiment"]) == [experiment, second]
    assert list(table.columns)[:5] == ["run_name", "experiment", "status", "start_time", "duration_s"]
    assert list(table.columns)[5:] == ["params.algorithm", "params.depth", "metrics.broken", "metrics.f1", "tags.team"]
    assert (comparison.metrics, comparison.params, seen) == (["broken", "f1"], ["algorithm", "depth"], [1, 2])
    assert table["metrics.f1"].dtype == "float64"
    assert str(table["start_time"].dtype) == "datetime64[ms, UTC]"
    assert table["start_time"].iloc[0].timestamp() == pytest.approx(client.mlflow.get_run(first_run).info.start_time / 1000)
    assert (table["duration_s"] >= 0).all()
    assert table.loc[first_run, "params.algorithm"] is None
    assert comparison.values("broken") == {first_run: None, second_run: None}
    assert comparison.best("broken").empty
    assert list(compare(client, [experiment, experiment]).table.index) == [first_run]
    assert {first_run, second_run} <= set(compare(client).table.index)


def test_filter_limit_and_deleted_runs(client: Client, experiment: str, log: Log) -> None:
    runs = [log(experiment, {"f1": value / 10}) for value in range(4)]
    client.mlflow.delete_run(runs[3])
    assert list(compare(client, [experiment]).table.index) == runs[:3]
    assert list(compare(client, [experiment], filter="metrics.f1 > 0.05").table.index) == runs[1:3]
    assert list(compare(client, [experiment], limit=2).table.index) == runs[:2]


def test_more_runs_than_one_page_are_all_read_once(client: Client, experiment: str) -> None:
    found = client.mlflow.get_experiment_by_name(experiment)
    assert found is not None
    # Of one start time, where nothing but MLflow's own order keeps the pages apart.
    made = [client.mlflow.create_run(found.experiment_id, start_time=1).info.run_id for _ in range(25)]
    read = [run.info.run_id for run in _runs.iter_runs(client, [found.experiment_id], page_size=4)]
    assert len(read) == 25
    assert set(read) == set(made)
    assert len(list(_runs.iter_runs(client, [found.experiment_id], page_size=4, limit=9))) == 9


def test_a_run_that_starts_meanwhile_moves_no_other(client: Client, experiment: str, log: Log) -> None:
    found = client.mlflow.get_experiment_by_name(experiment)
    assert found is not None
    made = [log(experiment) for _ in range(4)]
    read = _runs.iter_runs(client, [found.experiment_id], page_size=2)
    first = next(read).info.run_id
    made.append(log(experiment))
    assert [first, *(run.info.run_id for run in read)] == made


def test_experiments_that_are_not_there(client: Client, experiment: str) -> None:
    for name in ("nowhere", "999999"):
        with pytest.raises(NotFound, match=f"there is no experiment '{name}'; the command `mlflow-utils experiments` lists them"):
            compare(client, [name])
    found = client.mlflow.get_experiment_by_name(experiment)
    assert found is not None
    client.mlflow.delete_experiment(found.experiment_id)
    with pytest.raises(NotFound, match=f"the experiment '{experiment}' is deleted; restore it first"):
        compare(client, [experiment])
    assert experiment not in [one.name for one in _runs.all_experiments(client)]
    assert compare(client, []).table.empty


def row(number: int, **fields: Any) -> dict[str, Any]:
    return {"run_id": f"r{number}", "run_name": f"run {number}", "experiment": "e", "status": "FINISHED", **fields}


ROWS = [
    row(1, **{"metrics.f1": 0.9, "metrics.ms": 40.0, "params.depth": "3", "params.seed": "1"}),
    row(2, **{"metrics.f1": 0.9, "metrics.ms": math.nan, "params.depth": "5", "params.seed": "1"}),
    row(3, **{"metrics.f1": 0.8, "metrics.ms": 10.0, "params.seed": "1", "params.kernel": "rbf"}),
    row(4, **{"metrics.f1": 0.7, "metrics.ms": 20.0, "params.depth": "3", "params.seed": "1"}),
    row(5, **{"params.depth": "3", "params.seed": "1"}),
]


def test_best_keeps_ties_and_passes_over_what_is_missing() -> None:
    comparison = Comparison.of_rows(ROWS)
    assert list(comparison.best("f1").index) == ["r1", "r2"]
    assert list(comparison.best("ms", "min").index) == ["r3"]
    assert list(comparison.ranked("ms", "min").index) == ["r3", "r4", "r1"]
    assert list(comparison.pareto_front({"f1": "max", "ms": "min"}).index) == ["r1", "r3"]


def test_parameters_that_differ() -> None:
    differences = Comparison.of_rows(ROWS).parameter_differences()
    assert (differences.index.name, differences.columns.name) == ("parameter", "run_id")
    assert list(differences.index) == ["depth", "kernel"]
    assert list(differences.columns) == ["r1", "r2", "r3", "r4", "r5"]
    assert differences.to_numpy().tolist() == [["3", "5", None, "3", "3"], [None, None, "rbf", None, None]]


def test_wrong_arguments() -> None:
    comparison = Comparison.of_rows(ROWS)
    with pytest.raises(NotFound, match="no run has the metric 'auc'; the metrics are f1, ms"):
        comparison.best("auc")
    with pytest.raises(NotFound, match="no run has the metric 'auc'; the metrics are none"):
        Comparison.of_rows([]).best("auc")
    with pytest.raises(ValueError, match=r"direction is 'up'; it must be 'max' \(more is better\) or 'min' \(less is better\)"):
        comparison.best("f1", "up")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="objectives is empty; name at least one metric with its direction, such as {'accuracy': 'max'}"):
        comparison.pareto_front({})


# Reports


def test_csv_holds_every_column_and_reads_back(tmp_path: Path) -> None:
    text = Comparison.of_rows([*ROWS, row(6, **{"params.depth": HOSTILE})]).to_csv(tmp_path / "runs.csv")
    assert (tmp_path / "runs.csv").read_text(encoding="utf-8") == text
    read = list(csv.DictReader(io.StringIO(text)))
    assert [entry["run_id"] for entry in read] == ["r1", "r2", "r3", "r4", "r5", "r6"]
    assert (read[0]["metrics.f1"], read[1]["metrics.ms"], read[4]["params.kernel"], read[5]["params.depth"]) == ("0.9", "", "", HOSTILE)


def test_markdown_has_each_table_and_stays_a_table(tmp_path: Path) -> None:
    comparison = Comparison.of_rows([*ROWS, row(6, **{"params.depth": HOSTILE})])
    text = comparison.to_markdown(tmp_path / "runs.md", {"f1": "max", "ms": "min"})
    assert (tmp_path / "runs.md").read_text(encoding="utf-8") == text
    assert re.findall("^## (.*)", text, re.MULTILINE) == [
        "Runs",
        "Best by f1 (highest)",
        "Best by ms (lowest)",
        "Pareto front of f1 (max), ms (min)",
        "Parameters that differ",
    ]
    for block in re.split("^## .*\n\n", text, flags=re.MULTILINE)[1:]:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.strip().splitlines()}) == 1
    assert "<script>" not in text
    assert "None." in Comparison.of_rows([]).to_markdown()


class Page(HTMLParser):
    """The elements of a page, and whatever could load something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.loads: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        if tag not in ("meta", "rect", "line", "circle"):
            self.open.append(tag)
        self.loads += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "xlink:href", "onload")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag != "circle":
            assert self.open.pop() == tag


def test_html_is_one_page_that_loads_nothing_and_whose_names_do_nothing(tmp_path: Path) -> None:
    hostile = {"run_name": HOSTILE, "metrics.f1": 0.95, "metrics.ms": 5.0, "params.depth": HOSTILE}
    text = Comparison.of_rows([*ROWS, {**row(6), **hostile}]).to_html(tmp_path / "runs.html", {"f1": "max", "ms": "min"})
    assert (tmp_path / "runs.html").read_text(encoding="utf-8") == text
    page = Page(text)
    assert page.open == []
    assert page.loads == []
    assert "script" not in page.elements
    assert page.elements.count("table") == 5
    plots = [ElementTree.fromstring(plot) for plot in re.findall("<svg.*?</svg>", text, re.DOTALL)]
    assert len(plots) == 3
    bars_of_f1, bars_of_ms, points = plots
    svg = "{http://www.w3.org/2000/svg}"
    assert (len(bars_of_f1.findall(f"{svg}rect")), len(bars_of_ms.findall(f"{svg}rect"))) == (5, 4)
    circles = points.findall(f"{svg}circle")
    assert sorted(str(circle.get("fill")) for circle in circles) == ["#aa3377", "none", "none", "none"]
    assert "default-src 'none'" in text


def test_html_without_objectives_plots_the_metrics() -> None:
    text = Comparison.of_rows(ROWS).to_html()
    assert len(re.findall("<svg", text)) == 2
    assert "Pareto" not in text
    assert Page(Comparison.of_rows([]).to_html()).elements.count("svg") == 0


NUMBERS = st.one_of(st.none(), st.floats(), st.sampled_from([0.0, 1.0, 2.0]))
FINITE = st.floats(-1e300, 1e300, exclude_min=True, exclude_max=True)
DIRECTION = st.sampled_from(["max", "min"])


@given(st.lists(st.tuples(st.text(max_size=5), st.one_of(FINITE, st.floats())), max_size=40))
def test_any_values_make_a_valid_plot(values: list[tuple[str, float]]) -> None:
    drawable = [(re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd]", "", label), value) for label, value in values]
    plot = ElementTree.fromstring(_report.bars("f1", drawable))
    shown = [value for _, value in drawable if abs(value) < 1e300][:30]
    bars = plot.findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) == len(shown)
    for bar in bars:
        assert 0 <= float(bar.get("width") or "") <= 640
        assert 219 <= float(bar.get("x") or "") <= 861
    points = [_report.Point(label, value, -value / 3, False) for label, value in drawable]
    circles = ElementTree.fromstring(_report.scatter("a", "b", points)).findall("{http://www.w3.org/2000/svg}circle")
    assert all(89 <= float(circle.get("cx") or "") <= 731 and 39 <= float(circle.get("cy") or "") <= 421 for circle in circles)


@given(FINITE, FINITE)
def test_ticks_cover_the_range(one: float, other: float) -> None:
    low, high = sorted((one, other))
    ticks = _report.ticks(low, high)
    assert 2 <= len(ticks) <= 14
    assert ticks == sorted(set(ticks))
    assert all(math.isfinite(tick) for tick in ticks)
    slack = (ticks[1] - ticks[0]) * 1e-6
    assert ticks[0] - slack <= low
    assert high <= ticks[-1] + slack


# Choosing


@given(st.lists(NUMBERS, max_size=20), DIRECTION)
def test_the_best_is_as_good_as_any_and_ties_are_all_there(values: list[float | None], direction: Any) -> None:
    keyed = dict(enumerate(values))
    known = [value for value in values if value is not None and not math.isnan(value)]
    winners = best(keyed, direction)
    wanted = (max if direction == "max" else min)(known, default=None)
    assert winners == [key for key, value in keyed.items() if value is not None and value == wanted]
    order = ranked(keyed, direction)
    assert len(order) == len(known)
    assert [keyed[key] for key in order] == sorted(known, reverse=direction == "max")
    assert order[: len(winners)] == winners


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=12), st.tuples(DIRECTION, DIRECTION, DIRECTION))
def test_the_front_is_what_nothing_dominates(points: list[tuple[float | None, ...]], directions: tuple[Any, ...]) -> None:
    goals = dict(zip("abc", directions, strict=True))
    keyed = {number: dict(zip("abc", point, strict=True)) for number, point in enumerate(points)}
    whole = {number: point for number, point in keyed.items() if all(value is not None and not math.isnan(value) for value in point.values())}

    def dominates(one: dict[str, Any], other: dict[str, Any]) -> bool:
        turned = [(one[metric], other[metric]) if goals[metric] == "max" else (-one[metric], -other[metric]) for metric in goals]
        return all(mine >= theirs for mine, theirs in turned) and any(mine > theirs for mine, theirs in turned)

    expected = [number for number, point in whole.items() if not any(dominates(other, point) for other in whole.values())]
    assert pareto_front(keyed, goals) == expected


def test_a_metric_that_a_point_does_not_name_is_missing() -> None:
    assert pareto_front({"a": {"f1": 0.1}, "b": {"f1": 0.05, "ms": 1.0}}, {"f1": "max", "ms": "min"}) == ["b"]
