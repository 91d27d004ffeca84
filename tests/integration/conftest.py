"""Fixtures of the integration tests: a real embedded stack, and modules run against it."""
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from harness import ModuleRunner, Stack


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The stack that ``make stack`` brought up; MLFLOW_TEST_STACK names the file that describes it."""
    description = Path(os.environ.get("MLFLOW_TEST_STACK", Path(__file__).resolve().parents[2] / "build" / "stack.json"))
    return Stack(**json.loads(description.read_text()))


@pytest.fixture
def run(stack: Stack) -> ModuleRunner:
    """Runs a module as its user does."""
    return ModuleRunner(stack)
