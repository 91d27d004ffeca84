"""Parameters of a run from dataclasses, pydantic models and mappings."""
from __future__ import annotations

import dataclasses
import enum
import sys
from collections.abc import Iterator, Mapping
from typing import Any


def flatten(source: Any) -> dict[str, str]:
    """The parameters in a dataclass, a pydantic model or a mapping, those within others with a dot. Raises TypeError for anything else.

    >>> @dataclasses.dataclass
    ... class Optimizer:
    ...     name: str = "adam"
    ...     betas: tuple[float, float] = (0.9, 0.999)
    >>> flatten({"epochs": 3, "optimizer": Optimizer(), "device": None})
    {'epochs': '3', 'optimizer.name': 'adam', 'optimizer.betas': '(0.9, 0.999)', 'device': 'None'}
    """
    fields = _fields(source)
    if fields is None:
        raise TypeError(f"parameters come from a dataclass, a pydantic model or a mapping, not from {type(source).__name__}")
    return dict(_pairs(fields, ""))


def _fields(source: Any) -> Mapping[Any, Any] | None:
    """What ``source`` is made of, or None where it is a plain value."""
    if isinstance(source, Mapping):
        return source
    if dataclasses.is_dataclass(source) and not isinstance(source, type):
        return {field.name: getattr(source, field.name) for field in dataclasses.fields(source) if field.repr}
    # A program without pydantic has no pydantic models.
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(source, pydantic.BaseModel):
        return {name: getattr(source, name) for name, field in type(source).model_fields.items() if field.repr}
    return None


def _pairs(fields: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        inner = _fields(value)
        if inner:
            yield from _pairs(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value.value if isinstance(value, enum.Enum) else value)
