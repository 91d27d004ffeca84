"""The deployment under test, the markers of its tests, and a final table with the result for each line of the reference deployment.

A story is a test file with markers for what it needs. Each scenario brings up its hosts once, and runs all stories whose needs it meets, so a new
story need not be registered anywhere.
"""
from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from cluster import Cluster

LINES: list[tuple[str, str, str]] = []
MARKS = {
    "line(text)": "the line of the reference deployment's text that this test checks; (beyond) where the text says nothing of it",
    "akko": "needs the deployment of inventories/akko (make akko)",
    "alters": "spoils what others stand on, and heals it: comes after those that only look",
    "outage": "needs akko too, and takes pods and hosts down (make outages)",
    "long": "takes ten minutes with others of its file, too long for every run of CI (make outages)",
    "bare": "needs hosts on which nothing is deployed (make outages)",
    "slow": "takes minutes; no scenario runs it, name it by -m slow",
}


def pytest_configure(config: pytest.Config) -> None:
    for mark, meaning in MARKS.items():
        config.addinivalue_line("markers", f"{mark}: {meaning}")


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
    marker = item.get_closest_marker("line")
    if marker and (report.when == "call" or report.outcome != "passed"):
        how = " ".join((item.function.__doc__ or item.name).split()).rstrip(".")  # type: ignore[attr-defined]
        case = f": {item.callspec.id}" if hasattr(item, "callspec") else ""
        LINES.append((marker.args[0], how + case, report.outcome))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not LINES:
        return
    terminalreporter.section("the text, line by line")
    width = max(len(line) for line, _, _ in LINES)
    for line, how, outcome in LINES:
        terminalreporter.write_line(f"{outcome:<7} {line:<{width}}  {how}")
