"""Reading from MLflow: what is not there, and searches that come page by page."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

Found = TypeVar("Found")


class NotFound(LookupError):
    """No such experiment, run, model, version, alias or metric. The message is one sentence that names it, and the remedy."""


def name_is(name: str) -> str:
    r"""A filter that leaves what has this name, and where that holds a quote or ends with a backslash perhaps more.

    MLflow's search has no way to write a quote, and a backslash before the closing one hides it, so a wildcard stands in their place.

    >>> name_is("iris"), name_is("Ann's"), name_is("C:\\")
    ("name = 'iris'", "name LIKE 'Ann_s'", "name LIKE 'C:_'")
    """
    if "'" not in name and not name.endswith("\\"):
        return f"name = '{name}'"
    return "name LIKE '" + name.replace("'", "_").replace("\\", "_") + "'"


def paged(page: Callable[[str | None], Any]) -> Iterator[Any]:
    """All entries of a search; ``page`` takes the token of a page, None for the first, and gives MLflow's ``PagedList``."""
    token: str | None = None
    while True:
        found = page(token)
        yield from found
        token = found.token
        if not token:
            return


def or_none(get: Callable[[], Found]) -> Found | None:
    """What ``get`` gives, None where the server knows no such thing."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - costs two seconds

    try:
        return get()
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
            return None
        raise


def found(get: Callable[[], Found], missing: str) -> Found:
    """What ``get`` gives; raises NotFound with the message ``missing`` where the server knows no such thing."""
    answer = or_none(get)
    if answer is None:
        raise NotFound(missing)
    return answer
