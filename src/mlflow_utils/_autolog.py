"""MLflow's autologging of the four training libraries, on within tracked runs alone, without importing a library that the program does not."""
from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections import Counter
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

_log = logging.getLogger("mlflow_utils")
#: For how many runs that are open each flavour is on. MLflow has one switch a process, and runs may be open in several threads.
_open: Counter[str] = Counter()
_hooked: set[str] = set()
_guard = threading.RLock()


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


def enable(flavours: Collection[str]) -> None:
    """Turn autologging on for one run more, for a library that is not imported yet at its import."""
    with _guard:
        for flavour in flavours:
            _open[flavour] += 1
            if _open[flavour] == 1 and any(library in sys.modules for library in FLAVOURS[flavour]):
                _apply(flavour)
            for library in FLAVOURS[flavour]:
                _hook(flavour, library)


def disable(flavours: Collection[str]) -> None:
    """Turn it off for one run, and with the last one altogether."""
    with _guard:
        for flavour in flavours:
            _open[flavour] -= 1
            if not _open[flavour] and any(library in sys.modules for library in FLAVOURS[flavour]):
                _switch(flavour, disable=True)


def _flavour(flavour: str) -> Any:
    return importlib.import_module(f"mlflow.{flavour}")


def _switch(flavour: str, *, disable: bool) -> None:
    """Turn one on or off. A library that MLflow cannot hook into takes no other's logging with it, and no import."""
    try:
        _flavour(flavour).autolog(disable=disable, silent=True)
    except Exception as error:
        _log.warning("the autologging of %s cannot be turned %s, and the program goes on: %s", flavour, "off" if disable else "on", error)


def _apply(flavour: str) -> None:
    with _guard:
        if _open[flavour]:
            _switch(flavour, disable=False)


def _hook(flavour: str, library: str) -> None:
    if library in sys.modules or library in _hooked or find_spec(library) is None:
        return
    from mlflow.utils.import_hooks import register_post_import_hook  # noqa: PLC0415 - comes with mlflow; what mlflow.autolog uses

    _hooked.add(library)
    register_post_import_hook(lambda _module: _apply(flavour), library, overwrite=False)
