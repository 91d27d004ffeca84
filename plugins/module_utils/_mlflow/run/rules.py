# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Selecting and ranking runs. No I/O."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused, check_number, refuse_empty

#: More would not fit into memory.
MAX_RESULTS = 1_000_000


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for what MLflow would misinterpret."""
    refuse_empty(params, ["run_id"])
    check_number("max_results", params["max_results"], 1, MAX_RESULTS)


def ranking(metric: str, mode: str) -> list[str]:
    """Return the ``order_by`` that puts the best run first, and among equal ones the earliest.

    MLflow sorts runs whose metric is NaN, then those without it, after all others in either order (3.17, 2.22).

    >>> ranking("val/loss", "min")
    ['metrics.`val/loss` ASC', 'attributes.start_time ASC']
    >>> ranking("a`b", "min")
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: metric: 'a`b' is not a valid metric name; use letters, digits, ...
    """
    if not metric or "`" in metric:
        raise InvalidOption("metric", metric, "is not a valid metric name", "use letters, digits, '_', '-', '.', ':', '/' and spaces")
    return [f"metrics.`{metric}` {'DESC' if mode == 'max' else 'ASC'}", "attributes.start_time ASC"]


def best(experiment: str, ranked: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any]:
    """The first of ``ranked``, the runs of ``experiment`` in the order of ``ranking``. Raises Refused if it has no number for ``metric``.

    >>> best("fraud", [{"metrics": {"loss": 0.5}}, {"metrics": {"loss": 0.6}}], "loss")
    {'metrics': {'loss': 0.5}}
    >>> best("fraud", [{"metrics": {"loss": "NaN"}}], "loss")
    Traceback (most recent call last):
    ...
    ansible_collections...Refused: experiment 'fraud' has no run with a number for the metric 'loss' ...; correct metric or filter
    """
    if not ranked or math.isnan(float(ranked[0]["metrics"].get(metric, "nan"))):
        raise Refused(f"experiment {experiment!r} has no run with a number for the metric {metric!r} among those asked for; correct metric or filter")
    return dict(ranked[0])
