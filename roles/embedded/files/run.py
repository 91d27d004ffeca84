"""Runs a program of several files that are in no folder of the host.

Standard input, or the argument, has ``programs``, their sources by name, ``program``, which of them begins, and its ``settings``.
"""
from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any


class Sources(MetaPathFinder, InspectLoader):
    """Imports from texts."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self.sources = sources

    def find_spec(self, fullname: str, _path: Any, _target: Any = None) -> ModuleSpec | None:
        """Return that a name is one of them."""
        return ModuleSpec(fullname, self, origin=f"{fullname}.py") if fullname in self.sources else None

    def get_source(self, fullname: str) -> str:
        """Return the text of that name."""
        return self.sources[fullname]


if __name__ == "__main__":
    given = json.loads(sys.argv[1] if len(sys.argv) > 1 else sys.stdin.read())
    sys.meta_path.insert(0, Sources(given["programs"]))
    sys.exit(import_module(given["program"]).main(given["settings"]))
