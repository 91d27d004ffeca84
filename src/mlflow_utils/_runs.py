"""Reading runs across experiments, page by page, without pandas."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any

from ._reading import NotFound, or_none, paged

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run

    from .client import Client

PAGE = 1000  # of at most 50,000 that MLflow gives at once: some MB an answer
# Runs that start while the pages are read come after the last one, so nothing moves to another page.
OLDEST_FIRST = ("attributes.start_time ASC",)


def all_experiments(client: Client) -> list[Experiment]:
    """Every active experiment, by name."""

    def page(token: str | None) -> Any:
        return client.mlflow.search_experiments(max_results=PAGE, order_by=["name ASC"], page_token=token)

    return list(paged(page))


def find_experiments(client: Client, names: Sequence[str]) -> list[Experiment]:
    """The active experiments with these names or, where no name fits, ids; each once. Raises NotFound."""
    found: dict[str, Experiment] = {}
    for name in names:
        experiment = client.mlflow.get_experiment_by_name(name)
        if experiment is None and name.isascii() and name.isdigit():
            experiment = or_none(lambda number=name: client.mlflow.get_experiment(number))  # type: ignore[misc]
        if experiment is None:
            raise NotFound(f"there is no experiment {name!r}; the command `mlflow-utils experiments` lists them")
        if experiment.lifecycle_stage != "active":
            raise NotFound(f"the experiment {name!r} is deleted; restore it first")
        found[experiment.experiment_id] = experiment
    return list(found.values())


def iter_runs(
    client: Client,
    experiment_ids: Sequence[str],
    *,
    filter: str = "",
    order_by: Sequence[str] = OLDEST_FIRST,
    limit: int | None = None,
    page_size: int = PAGE,
) -> Iterator[Run]:
    """The active runs of the experiments, each once, as the server gives them; ``filter`` and ``order_by`` are in MLflow's search syntax.

    Raises ``mlflow.exceptions.MlflowException`` for a filter that MLflow does not understand.
    """
    if not experiment_ids:
        return iter(())
    size = page_size if limit is None else max(1, min(page_size, limit))

    def page(token: str | None) -> Any:
        return client.mlflow.search_runs(list(experiment_ids), filter, max_results=size, order_by=list(order_by), page_token=token)

    return islice(_once(paged(page)), limit)


def _once(runs: Iterator[Run]) -> Iterator[Run]:
    seen: set[str] = set()
    for run in runs:
        if run.info.run_id not in seen:
            seen.add(run.info.run_id)
            yield run


def started(run: Run) -> datetime | None:
    """When the run started, in UTC."""
    milliseconds = run.info.start_time
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc) if milliseconds is not None else None


def seconds(run: Run) -> float | None:
    """How long the run took; None while it runs."""
    start, end = run.info.start_time, run.info.end_time
    return (end - start) / 1000 if start is not None and end is not None else None


def row(run: Run, experiment: str) -> dict[str, Any]:
    """The run as one row: ``params.*``, ``metrics.*`` and ``tags.*`` as ``mlflow.search_runs`` calls them, MLflow's own tags left out."""
    return {
        "run_id": run.info.run_id,
        "run_name": run.info.run_name,
        "experiment": experiment,
        "status": run.info.status,
        "start_time": started(run),
        "duration_s": seconds(run),
        **{f"params.{key}": value for key, value in sorted(run.data.params.items())},
        **{f"metrics.{key}": value for key, value in sorted(run.data.metrics.items())},
        **{f"tags.{key}": value for key, value in sorted(run.data.tags.items()) if not key.startswith("mlflow.")},
    }
