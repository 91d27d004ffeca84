"""One consistent interface to MLflow for training code, pipelines and inference services.

Importing the package imports nothing else: each name below comes from its module on first use.
"""
from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; typing itself costs ten times what the rest does
if TYPE_CHECKING:
    from typing import Any

    from .client import Client, Health, Settings, SettingsError, connect, load_settings
    from .inference.aggregate import Aggregation
    from .inference_tracker import InferenceTracker, deliver_spool
    from .tracker import Run, current_run, track

__version__ = "1.0.0"

#: Where each public name of the package lies.
_HOMES = {
    "Aggregation": "inference_tracker",
    "Client": "client",
    "Health": "client",
    "InferenceTracker": "inference_tracker",
    "Run": "tracker",
    "Settings": "client",
    "SettingsError": "client",
    "connect": "client",
    "current_run": "tracker",
    "deliver_spool": "inference_tracker",
    "load_settings": "client",
    "track": "tracker",
}
__all__ = [
    "Aggregation",
    "Client",
    "Health",
    "InferenceTracker",
    "Run",
    "Settings",
    "SettingsError",
    "connect",
    "current_run",
    "deliver_spool",
    "load_settings",
    "track",
]


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    import importlib  # noqa: PLC0415 - not needed before

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
