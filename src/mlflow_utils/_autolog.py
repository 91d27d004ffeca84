"""MLflow's autologging of the four training libraries, on within tracked runs alone, without importing a library that the program does not."""
from __future__ import annotations

import importlib
import sys
from collections.abc import Collection
from importlib.util import find_spec
from typing import Any, Final

#: The flavours and the libraries that they hook into. PyTorch is logged through Lightning's trainer: a loop written by hand has no hooks.
FLAVOURS: Final = {
    "sklearn": ("sklearn",),
    "pytorch": ("lightning", "pytorch_lightning"),
    "xgboost": ("xgboost",),
    "lightgbm": ("lightgbm",),
}

_on: set[str] = set()
_hooked: set[str] = set()


def chosen(autolog: bool | Collection[str]) -> list[str]:
    """The flavours that ``autolog`` names. Raises ValueError.

    >>> chosen(["xgboost"]), chosen(False)
    (['xgboost'], [])
    """
    names = list(FLAVOURS) if autolog is True else [] if autolog is False else [autolog] if isinstance(autolog, str) else list(autolog)
    unknown = sorted(set(names) - FLAVOURS.keys())
    if unknown:
        raise ValueError(f"autolog names {', '.join(unknown)}; it can be true, false or some of {', '.join(FLAVOURS)}")
    return names


def enable(flavours: Collection[str]) -> list[str]:
    """Turn autologging on, for a library that is not imported yet at its import; gives the flavours that were off."""
    switched = [flavour for flavour in flavours if flavour not in _on]
    for flavour in switched:
        _on.add(flavour)
        if any(library in sys.modules for library in FLAVOURS[flavour]):
            _apply(flavour)
        for library in FLAVOURS[flavour]:
            _hook(flavour, library)
    return switched


def disable(flavours: Collection[str]) -> None:
    """Turn it off again."""
    for flavour in flavours:
        _on.discard(flavour)
        if any(library in sys.modules for library in FLAVOURS[flavour]):
            _flavour(flavour).autolog(disable=True, silent=True)


def _flavour(flavour: str) -> Any:
    return importlib.import_module(f"mlflow.{flavour}")


def _apply(flavour: str) -> None:
    if flavour in _on:
        _flavour(flavour).autolog(silent=True)


def _hook(flavour: str, library: str) -> None:
    if library in sys.modules or library in _hooked or find_spec(library) is None:
        return
    from mlflow.utils.import_hooks import register_post_import_hook  # noqa: PLC0415 - comes with mlflow; what mlflow.autolog uses

    _hooked.add(library)
    register_post_import_hook(lambda _module: _apply(flavour), library, overwrite=False)
