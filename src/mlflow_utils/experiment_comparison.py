"""Runs across experiments side by side: a pandas table, the best, what differs, the Pareto front, and reports. Needs the extra ``compare``.

    comparison = compare(connect(), ["banking-risk-model", "banking-risk-model-v2"])
    comparison.best("f1_score")[["run_name", "params.algorithm", "metrics.f1_score"]]
    comparison.to_html("report.html", {"f1_score": "max", "latency_ms": "min"})

``compare`` reads the runs; ``Comparison`` says what can be asked of them.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _report, _selection
from ._reading import NotFound
from ._runs import all_experiments, find_experiments, iter_runs, row
from ._selection import Direction, checked_direction, present

if TYPE_CHECKING:
    import pandas as pd

    from .client import Client

__all__ = ["Comparison", "Direction", "NotFound", "compare"]

FIXED = ("run_name", "experiment", "status", "start_time", "duration_s")


def compare(
    client: Client,
    experiments: Sequence[str] | None = None,
    *,
    filter: str = "",
    limit: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """The runs of the experiments (names or ids; all of them where None), oldest first, as a ``Comparison``.

    ``filter`` is MLflow's search syntax (``"metrics.accuracy > 0.8 and params.algorithm = 'random_forest'"``); ``limit`` is the most runs to read;
    ``progress`` is called with the number of runs so far. All pages are read. Deleted runs and experiments are left out.

    Raises NotFound for an experiment that is not there, ``mlflow.exceptions.MlflowException`` for a filter that MLflow does not understand,
    ImportError without pandas.
    """
    found = all_experiments(client) if experiments is None else find_experiments(client, experiments)
    names = {experiment.experiment_id: experiment.name for experiment in found}
    rows = []
    for run in iter_runs(client, list(names), filter=filter, limit=limit):
        rows.append(row(run, names[run.info.experiment_id]))
        if progress:
            progress(len(rows))
    return Comparison.of_rows(rows)


class Comparison:
    """Runs side by side.

    ``table`` is the DataFrame: one row a run, indexed by ``run_id``, with the columns ``run_name``, ``experiment``, ``status``, ``start_time``
    (UTC), ``duration_s`` (seconds), ``params.*`` (text), ``metrics.*`` (the latest value, as float) and ``tags.*`` (those of users). What a run does
    not have is NaN in a metric, None elsewhere. It is an ordinary DataFrame: filter it, and make another ``Comparison`` of what is left.

    Metrics are named without the prefix ``metrics.``. A method that is given the name of a metric raises NotFound where no run has it.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, Any]]) -> Comparison:
        """The comparison of rows as ``mlflow_utils._runs.row`` makes them."""
        import pandas as pd  # noqa: PLC0415 - of the extra `compare`

        given = list(rows)
        groups = {prefix: sorted({key for entry in given for key in entry if key.startswith(prefix)}) for prefix in ("params.", "metrics.", "tags.")}
        columns: dict[str, pd.Series[Any]] = {}
        index = pd.Index([entry["run_id"] for entry in given], name="run_id", dtype=object)
        for column in (*FIXED, *groups["params."], *groups["metrics."], *groups["tags."]):
            kind = "float64" if column.startswith("metrics.") or column == "duration_s" else object
            values = [entry.get(column) for entry in given]
            columns[column] = pd.Series(values, index=index, dtype="datetime64[ms, UTC]" if column == "start_time" else kind)
        return cls(pd.DataFrame(columns, index=index))

    @property
    def metrics(self) -> list[str]:
        """The names of all metrics, by the alphabet."""
        return self._names("metrics.")

    @property
    def params(self) -> list[str]:
        """The names of all parameters, by the alphabet."""
        return self._names("params.")

    def _names(self, prefix: str) -> list[str]:
        return [str(column)[len(prefix) :] for column in self.table.columns if str(column).startswith(prefix)]

    def values(self, metric: str) -> dict[str, float | None]:
        """The metric of each run, by run id; None where it is absent or NaN."""
        if metric not in self.metrics:
            raise NotFound(f"no run has the metric {metric!r}; the metrics are {', '.join(self.metrics) or 'none'}")
        return {str(key): float(value) if present(value) else None for key, value in self.table[f"metrics.{metric}"].items()}

    def _rows(self, keys: list[str]) -> pd.DataFrame:
        chosen: pd.DataFrame = self.table.loc[keys]
        return chosen

    def ranked(self, metric: str, direction: Direction = "max") -> pd.DataFrame:
        """The rows that have the metric, best first; equal ones oldest first."""
        return self._rows(_selection.ranked(self.values(metric), checked_direction(direction)))

    def best(self, metric: str, direction: Direction = "max") -> pd.DataFrame:
        """Every row that shares the best value; none where all are NaN."""
        return self._rows(_selection.best(self.values(metric), checked_direction(direction)))

    def pareto_front(self, objectives: Mapping[str, Direction]) -> pd.DataFrame:
        """The rows that no other beats in all ``objectives`` (``{metric: direction}``) at once; rows that lack one of them are left out."""
        if not objectives:
            raise ValueError("objectives is empty; name at least one metric with its direction, such as {'accuracy': 'max'}")
        directions = {metric: checked_direction(direction) for metric, direction in objectives.items()}
        columns = {metric: self.values(metric) for metric in directions}
        points = {str(key): {metric: column[str(key)] for metric, column in columns.items()} for key in self.table.index}
        return self._rows(_selection.pareto_front(points, directions))

    def parameter_differences(self) -> pd.DataFrame:
        """The parameters that are not the same in all runs: one row a parameter, one column a run (by run id), None where a run does not have it."""
        import pandas as pd  # noqa: PLC0415 - of the extra `compare`

        differing = [name for name in self.params if self.table[f"params.{name}"].nunique(dropna=False) > 1]
        cells = [[value if isinstance(value, str) else None for value in self.table[f"params.{name}"]] for name in differing]
        names = pd.Index(differing, name="parameter", dtype=object)
        differences: pd.DataFrame = pd.DataFrame(cells, index=names, columns=self.table.index, dtype=object)
        return differences

    # Reports

    def to_csv(self, path: Path | str | None = None) -> str:
        """All columns as CSV, with NaN and None as empty fields; written to ``path`` too where it is given."""
        return _written(self.table.to_csv(lineterminator="\n"), path)

    def to_markdown(self, path: Path | str | None = None, objectives: Mapping[str, Direction] | None = None) -> str:
        """A report in Markdown: all runs, the best by each objective, the Pareto front of several, and the parameters that differ."""
        return _written(_report.markdown(self._sections(objectives or {})), path)

    def to_html(self, path: Path | str | None = None, objectives: Mapping[str, Direction] | None = None) -> str:
        """The same report as one HTML page, with plots as inline SVG; the page loads nothing.

        The plots are bars of each objective (of each metric, without objectives; six at most) and, for several objectives, the first two against
        each other with the Pareto front marked.
        """
        objectives = objectives or {}
        return _written(_report.html(self._sections(objectives), self._plots(objectives)), path)

    def _sections(self, objectives: Mapping[str, Direction]) -> list[_report.Section]:
        sections = [_report.Section("Runs", *_cells(self.table))]
        for metric, direction in objectives.items():
            wanted = "highest" if checked_direction(direction) == "max" else "lowest"
            sections.append(_report.Section(f"Best by {metric} ({wanted})", *_cells(self.best(metric, direction))))
        if len(objectives) > 1:
            goals = ", ".join(f"{metric} ({direction})" for metric, direction in objectives.items())
            sections.append(_report.Section(f"Pareto front of {goals}", *_cells(self.pareto_front(objectives))))
        sections.append(_report.Section("Parameters that differ", *_cells(self.parameter_differences())))
        return sections

    def _plots(self, objectives: Mapping[str, Direction]) -> list[str]:
        labels = {str(key): f"{name or key}" for key, name in self.table["run_name"].items()}
        bars: Mapping[str, Direction] = objectives or dict.fromkeys(self.metrics[:6], "max")
        plots = []
        for metric, direction in bars.items():
            values = self.values(metric)
            order = _selection.ranked(values, direction)
            plots.append(_report.bars(metric, [(labels[key], value) for key in order if (value := values[key]) is not None]))
        if len(objectives) > 1:
            across, up = list(objectives)[:2]
            front = set(self.pareto_front(objectives).index)
            x, y = self.values(across), self.values(up)
            both = {key: (left, right) for key, left in x.items() if left is not None and (right := y[key]) is not None}
            points = [_report.Point(labels[key], left, right, key in front) for key, (left, right) in both.items()]
            plots.append(_report.scatter(across, up, points))
        return plots


def _cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The heads and the rows of a table as text, its index first, without columns that are empty throughout."""
    shown = table.dropna(axis="columns", how="all")
    heads = [str(table.index.name), *(str(column) for column in shown.columns)]
    return heads, [[_report.text(value) for value in entry] for entry in shown.itertuples()]


def _written(text: str, path: Path | str | None) -> str:
    if path is not None:
        Path(path).write_text(text, encoding="utf-8", newline="\n")
    return text
