"""Fixtures of the integration tests: a real embedded stack, and modules run against it."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from deployment import Deployment, begin_run, end_run, servers_folder, shared_stack
from harness import ModuleRunner, Stack
from tracking_servers import DEPLOYED, MATRIX, Flavour, Server, Servers, SharedServers, client_of

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient

#: The stack of the session, with basic authentication, metrics and logs as JSON.
DEPLOYMENT = Deployment(
    "integration", 27000, {"mlflow_server_auth": "basic", "mlflow_server_metrics_enabled": True, "mlflow_server_log_format": "json"}
)


def pytest_configure() -> None:
    """Share one stack among all processes of this run."""
    begin_run()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, where the summary of all stages finds it."""
    if any("test_login" in report.nodeid for report in terminalreporter.getreports("skipped")):
        terminalreporter.write_line("NOT RUN: a login in a browser; it needs Chromium")


@pytest.hookimpl(trylast=True)  # after the fixtures, whose teardown uses the servers
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove it and the other servers, unless this is one of several processes."""
    if not hasattr(session.config, "workerinput"):
        end_run(DEPLOYMENT)
        SharedServers(servers_folder()).end()


@pytest.fixture(scope="session")
def stack() -> Stack:
    """A stack deployed by site.yml, shared by all test processes. ``shared_stack`` documents the variables that select another."""
    return shared_stack(DEPLOYMENT)


@pytest.fixture
def run(stack: Stack) -> ModuleRunner:
    """Runs a module as its user does."""
    return ModuleRunner(stack)


@pytest.fixture
def refused(run: ModuleRunner, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Runs the file's module with and without check mode, which must fail with the same message, and returns it."""

    def call(**args: Any) -> str:
        message = run.fail(request.module.MODULE, **args)
        assert run.fail(request.module.MODULE, check=True, **args) == message
        return message

    return call


@pytest.fixture
def server(stack: Stack) -> Iterator[RestClient]:
    """A client with the administrator's credentials, for what a test needs besides the module."""
    with closing(client_of(stack)) as client:
        yield client


@pytest.fixture(scope="session")
def servers() -> Servers:
    """Starts other kinds of tracking servers, each once for all test processes, when a test first needs it."""
    return SharedServers(servers_folder())


@pytest.fixture(scope="session", params=MATRIX, ids=str)
def any_server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """Each server of the matrix in turn; the first is the stack, possibly selected by MLFLOW_TEST_STACK."""
    flavour: Flavour = request.param
    return Server(flavour, request.getfixturevalue("stack")) if flavour == DEPLOYED else servers(flavour)
