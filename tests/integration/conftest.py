"""Fixtures of the integration tests: a real embedded stack, and modules run against it."""
from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from deployment import Deployment
from harness import ModuleRunner, Stack
from servers import DEPLOYED, MATRIX, Flavour, Server, Servers


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A stack with basic authentication, brought up by site.yml and removed at the end; one a process of tests.

    With MLFLOW_TEST_KEEP=1 it stays, and the next run finds it there. MLFLOW_TEST_STACK names a JSON file with the fields
    of ``Stack`` of servers to use instead.
    """
    description = os.environ.get("MLFLOW_TEST_STACK")
    if description:
        yield Stack(**json.loads(Path(description).read_text()))
        return
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    deployment = Deployment(f"integration-{worker}", 27000 + 20 * worker, {"mlflow_server_auth": "basic"})
    keep = bool(os.environ.get("MLFLOW_TEST_KEEP"))
    if not keep:
        deployment.remove()
    deployment.up()
    yield deployment.stack()
    if keep:
        print(f"kept: {deployment.home}, {asdict(deployment.stack())}", file=sys.stderr)
    else:
        deployment.remove()


@pytest.fixture
def run(stack: Stack) -> ModuleRunner:
    """Runs a module as its user does."""
    return ModuleRunner(stack)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Starts tracking servers of other kinds, each once a session, when a test first asks for it."""
    with Servers() as servers:
        yield servers


@pytest.fixture(scope="session", params=MATRIX, ids=str)
def any_server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """Each server of the matrix in turn: the first is the stack, whatever MLFLOW_TEST_STACK made of it."""
    flavour: Flavour = request.param
    return Server(flavour, request.getfixturevalue("stack")) if flavour == DEPLOYED else servers(flavour)
