# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Which runs to look for, and how good one is. No I/O."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._core.options import InvalidOption, Refused


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for what MLflow would take for something else."""
    if params["max_results"] < 1:
        raise InvalidOption("max_results", params["max_results"], "is too small", "give 1 or more")


def ranking(metric: str, mode: str) -> list[str]:
    """The ``order_by`` that puts the best run first, and of equal ones that which started first.

    MLflow puts runs where the metric is NaN, and then those without it, behind all others, whichever way it sorts (3.17, 2.22).

    >>> ranking("val/loss", "min")
    ['metrics.`val/loss` ASC', 'attributes.start_time ASC']
    >>> ranking("a`b", "min")
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: metric: 'a`b' is no metric's name to MLflow; use letters, digits, ...
    """
    if not metric or "`" in metric:
        raise InvalidOption("metric", metric, "is no metric's name to MLflow", "use letters, digits, '_', '-', '.', ':', '/' and spaces")
    return [f"metrics.`{metric}` {'DESC' if mode == 'max' else 'ASC'}", "attributes.start_time ASC"]


def best(experiment: str, ranked: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any]:
    """The first of ``ranked``, the runs of ``experiment`` in the order of ``ranking``. Raises Refused where that has no number for ``metric``.

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
