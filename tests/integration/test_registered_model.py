"""mlflow_registered_model against a real MLflow."""
from __future__ import annotations

import pytest
from harness import ModuleRunner, Stack, Table, WriteGuard, twelve_steps

NAMES = ["plain", "dots.and-dashes_", "имя модели 模型", "quote ' double \" percent %20 & plus +", "n" * 250, ".leading", "🤖"]


@pytest.mark.parametrize("name", NAMES)
def test_twelve_steps(run: ModuleRunner, stack: Stack, name: str) -> None:
    table = Table(
        module="mlflow_registered_model",
        create={"name": name, "description": "first", "tags": {"team": "risk", "tier": 1}},
        change={"name": name, "description": "", "tags": {"team": "fraud", "empty": ""}, "purge_tags": True},
        delete={"name": name, "state": "absent"},
        result="registered_model",
    )
    with WriteGuard(stack.tracking_uri).running() as guard:
        twelve_steps(run, table, {"MLFLOW_TRACKING_URI": guard.uri}, lambda: guard.writes)
