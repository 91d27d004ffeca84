"""Who promotes at the same moment. No I/O.

A client that is about to give a place to a version says so first, in a tag of the model of its own, and takes the tag away when it is done. MLflow
has no compare-and-set, but of two clients that both write first and read then, one at least sees the other.
"""
from __future__ import annotations

from collections.abc import Mapping

PREFIX = "mlflow_utils.claim."


def value_of(place: str, version: str) -> str:
    """What a claim's tag says.

    >>> value_of("alias champion", "7")
    'alias champion: 7'
    """
    return f"{place}: {version}"


def claims(tags: Mapping[str, str], place: str) -> dict[str, str]:
    """The claims on a place that a model's tags hold: the version of each, by the tag.

    >>> claims({"mlflow_utils.claim.f3": "alias champion: 7", "mlflow_utils.claim.a0": "stage Staging: 7", "team": "risk"}, "alias champion")
    {'mlflow_utils.claim.f3': '7'}
    """
    start = value_of(place, "")
    return {key: value.removeprefix(start) for key, value in tags.items() if key.startswith(PREFIX) and value.startswith(start)}
