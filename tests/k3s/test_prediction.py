"""What check mode said before the first run, beside what that run did; `callback_plugins/changes.py` wrote both down."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.akko
CHANGES = Path("/var/tmp/mlops-mlflow-hosts/changes.jsonl")


@pytest.mark.line("(beyond) check mode predicts the first run")
def test_check_mode_predicted_the_first_run() -> None:
    """Task by task, host by host, on bare hosts."""
    runs = [json.loads(line) for line in CHANGES.read_text().splitlines()]
    predicted = next(run["changed"] for run in runs if run["checked"])
    happened = next(run["changed"] for run in runs if run["playbook"].endswith("/converge.yml"))
    assert len(predicted) == 2
    assert predicted == happened
