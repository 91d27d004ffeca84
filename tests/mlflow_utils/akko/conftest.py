"""What the examples run with: the environment that a client of the stack is given."""
from __future__ import annotations

import os

import pytest

from mlflow_utils import Client

#: Programs, which are run and not imported.
collect_ignore = ["examples"]


@pytest.fixture(scope="module")
def environment(client: Client) -> dict[str, str]:
    """The variables of a notebook server or an Airflow worker."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return {**inherited, **client.environment(), "MLFLOW_UTILS_TRUST_SKLEARN": "true"}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, where the summary of all stages finds it."""
    if any("test_airflow" in report.nodeid for report in terminalreporter.getreports("skipped")):
        terminalreporter.write_line("NOT RUN: the DAGs under a real Airflow; make test-all runs them")
