"""Fixtures of the tests of mlflow-utils: the embedded stack, and servers that a test may stop."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from deployment import Deployment, begin_run, end_run, shared_stack
from harness import Stack
from mlflow_server import Server

from mlflow_utils import Client, Settings, connect, load_settings

if TYPE_CHECKING:
    from _pytest.nodes import Item
    from _pytest.reports import TestReport
    from _pytest.terminal import TerminalReporter

#: A stage of its own runs these, `make utils-extras`: they install what takes minutes to download.
collect_ignore = [] if "MLFLOW_TEST_WHEEL" in os.environ else ["test_extras.py"]
#: What another user of the machine may have set, and a test must not see.
FOREIGN = ("MLFLOW_", "AWS_", "GIT_COMMIT", "GIT_SHA", "ARGO_", "KFP_")


#: The stack of the session, without authentication, as services in a cluster have it.
DEPLOYMENT = Deployment("utils", 27300, {"mlflow_server_auth": "none"})


def pytest_configure() -> None:
    """Forget the caller's settings, but for those of the tests themselves, and let all processes of this run have one stack."""
    begin_run()
    for name in [name for name in os.environ if name.startswith(FOREIGN) and not name.startswith("MLFLOW_TEST_")]:
        del os.environ[name]


@pytest.hookimpl(trylast=True)  # after the fixtures, whose ends ask the servers
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove it, unless this is one process of several."""
    if not hasattr(session.config, "workerinput"):
        end_run(DEPLOYMENT)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print how much of what was accepted arrived, by case and test."""
    passed: list[TestReport] = terminalreporter.stats.get("passed", [])
    rows = sorted((case, *counts, report.nodeid) for report in passed for case, counts in report.user_properties if isinstance(counts, (list, tuple)))
    if rows:
        terminalreporter.write_sep("=", "delivered over accepted")
        for case, accepted, delivered, refused, nodeid in rows:
            ratio = f"{delivered / (accepted - refused):.2f}" if accepted > refused else "   -"
            terminalreporter.write_line(
                f"{case}  {ratio}  {delivered} of {accepted} delivered, {refused} refused or lost and reported  {nodeid.rpartition('::')[2]}"
            )


@pytest.fixture
def arrived(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Checks, for a case of cases.md, that what was accepted was either delivered, or refused and reported; the summary prints the numbers."""

    def check(case: str, *, accepted: int, delivered: int, refused: int = 0) -> None:
        assert delivered + refused == accepted
        record_property(case, (accepted, delivered, refused))

    return check


def pytest_collection_modifyitems(items: list[Item]) -> None:
    """Mark what needs a server, so that the quick run on each Python can leave it out."""
    for item in items:
        if {"stack", "server"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("server")


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """What a test changes in the environment, as ``connect`` does, is changed back."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def stack() -> Stack:
    """A stack brought up by site.yml, one for all processes of tests. ``shared_stack`` tells of the variables that choose another."""
    return shared_stack(DEPLOYMENT)


@pytest.fixture(scope="session")
def settings(stack: Stack) -> Settings:
    """The way to the stack. The environment has no settings, so that a test's arguments count."""
    return load_settings(tracking_uri=stack.tracking_uri, username=stack.tracking_username or None, password=stack.tracking_password or None)


@pytest.fixture(scope="session")
def tracking_uri(settings: Settings) -> str:
    return settings.tracking_uri


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[Client]:
    """A connected client of the stack; child processes find the stack by their environment.

    One a file, since the tests of another may have connected the process elsewhere.
    """
    before = dict(os.environ)
    yield connect(settings)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on SQLite that a test of this file may stop, and must start again."""
    with Server(tmp_path_factory.mktemp("server")) as running:
        yield running
