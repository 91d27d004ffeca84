"""Reads versions.toml."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import tomllib

VERSIONS: dict[str, Any] = tomllib.loads((Path(__file__).parent / "versions.toml").read_text())
