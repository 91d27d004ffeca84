"""The deployment under test, and a table of the seed's lines at the end."""
from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from cluster import Cluster

LINES: list[tuple[str, str, str]] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "seed(line): the line of the reference deployment's text that this test checks")
    config.addinivalue_line("markers", "slow: minutes long; no scenario runs it, name it by -m slow")


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster of the inventories in MLFLOW_TEST_INVENTORY (separated by colons)."""
    named = os.environ.get("MLFLOW_TEST_INVENTORY")
    if not named:
        pytest.fail("MLFLOW_TEST_INVENTORY is not set: name the inventories of a deployment, or run `make akko`")
    variables = [f"@{path}" for path in os.environ.get("MLFLOW_TEST_VARIABLES", "").split(":") if path]
    return Cluster(named.split(":"), variables)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    marker = item.get_closest_marker("seed")
    if marker and (report.when == "call" or report.outcome != "passed"):
        how = " ".join((item.function.__doc__ or item.name).split()).rstrip(".")  # type: ignore[attr-defined]
        case = f": {item.callspec.id}" if hasattr(item, "callspec") else ""
        LINES.append((marker.args[0], how + case, report.outcome))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not LINES:
        return
    terminalreporter.section("the seed, line by line")
    width = max(len(line) for line, _, _ in LINES)
    for line, how, outcome in LINES:
        terminalreporter.write_line(f"{outcome:<7} {line:<{width}}  {how}")
