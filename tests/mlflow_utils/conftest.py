"""Fixtures of the tests of mlflow-utils: the embedded stack, and servers that a test may stop."""
from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deployment import Deployment
from harness import Stack
from serving import Server

from mlflow_utils import Client, Settings, connect, load_settings

if TYPE_CHECKING:
    from _pytest.nodes import Item

#: What another user of the machine may have set, and a test must not see.
FOREIGN = ("MLFLOW_", "AWS_", "GIT_COMMIT", "GIT_SHA", "ARGO_", "KFP_")


def pytest_configure() -> None:
    """Forget the caller's settings, but for those of the tests themselves."""
    for name in [name for name in os.environ if name.startswith(FOREIGN) and not name.startswith("MLFLOW_TEST_")]:
        del os.environ[name]


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
def stack() -> Iterator[Stack]:
    """A stack without authentication, as services in a cluster have it, brought up by site.yml and removed at the end.

    With MLFLOW_TEST_KEEP=1 it stays, and the next run finds it there. MLFLOW_TEST_STACK names a JSON file with the fields of ``Stack`` of servers to
    use instead.
    """
    description = os.environ.get("MLFLOW_TEST_STACK")
    if description:
        yield Stack(**json.loads(Path(description).read_text()))
        return
    deployment = Deployment("utils", 27300, {"mlflow_server_auth": "none"})
    keep = bool(os.environ.get("MLFLOW_TEST_KEEP"))
    if not keep:
        deployment.remove()
    deployment.up()
    yield deployment.stack()
    if keep:
        print(f"kept: {deployment.home}, {asdict(deployment.stack())}", file=sys.stderr)
    else:
        deployment.remove()


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
