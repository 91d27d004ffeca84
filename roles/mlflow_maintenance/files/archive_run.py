"""Archives the traces that are due, by a schedule. Reads ``settings.json`` beside this file, and fails if a trace could not be archived."""
from __future__ import annotations

import json
import sys
from pathlib import Path

from maintenance import answered

if __name__ == "__main__":
    report = answered(json.loads((Path(__file__).parent / "settings.json").read_text()))
    if report is not None:
        print("\n".join(report["lines"]))
    sys.exit(1 if report is None or report["archived"]["failed"] else 0)
