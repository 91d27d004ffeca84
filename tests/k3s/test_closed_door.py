"""A server whose door changes hands: while who asks for the login is exchanged, somebody without one asks at the public address all the time."""
from __future__ import annotations

import collections
import http.client
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from meanwhile import meanwhile
from playbook import Run, another, play, roles_playbook

pytestmark = [pytest.mark.akko, pytest.mark.alters, pytest.mark.long, pytest.mark.line("(beyond) no moment without a login at the public address")]
NAMESPACE, NAME = "door", "guarded"
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"
VARIABLES: dict[str, Any] = another(NAMESPACE, NAME, "door.akko.local")
AT_THE_INGRESS: dict[str, Any] = {"mlflow_server_ingress_auth": "basic", "mlflow_server_auth": "none"}
IN_MLFLOW: dict[str, Any] = {"mlflow_server_ingress_auth": "none", "mlflow_server_auth": "basic"}
BY_TOKEN: dict[str, Any] = {
    "mlflow_server_ingress_auth": "none", "mlflow_server_auth": "jwt", "mlflow_server_jwt_issuers": [{"kubernetes": True, "audience": "mlflow"}],
}


@dataclass
class Door:
    """The server, and its cluster as ``kubectl`` in its namespace has it."""

    cluster: Cluster
    folder: Path
    image: str

    def deploy(self, variables: dict[str, Any], words: Sequence[str] = ()) -> Run:
        """Run the roles of the server."""
        roles = ("postgresql", "artifact_store", "mlflow_server")
        return play(roles_playbook(self.folder, roles), {**VARIABLES, "mlflow_server_image": self.image, **variables}, words=words)

    @contextmanager
    def asked(self) -> Iterator[collections.Counter[int]]:
        """While this lasts, somebody asks without a login; how often each status was the answer."""
        seen: collections.Counter[int] = collections.Counter()

        def ask() -> None:
            try:
                seen[self.cluster.https("GET", SEARCH, anonymous=True, timeout=5).status] += 1
            except (OSError, http.client.HTTPException):
                seen[0] += 1

        with meanwhile(ask, pause=0.02):
            yield seen


@pytest.fixture(scope="module")
def door(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A server with the login of its Ingress, which is removed with its namespace."""
    image = cluster.kubectl("get", "deployment", cluster.name, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
    made = Door(cluster.apart(VARIABLES), tmp_path_factory.mktemp("door"), image)
    try:
        run = made.deploy(AT_THE_INGRESS)
        assert run.status == 0, run.output
        yield made
    finally:
        cluster.delete_namespace(NAMESPACE)


@pytest.mark.parametrize(("before", "after"), [
    (AT_THE_INGRESS, IN_MLFLOW), (IN_MLFLOW, AT_THE_INGRESS), (AT_THE_INGRESS, BY_TOKEN), (BY_TOKEN, AT_THE_INGRESS),
], ids=["from the Ingress to MLflow", "from MLflow to the Ingress", "from the Ingress to tokens", "from tokens to the Ingress"])
def test_nobody_gets_in_while_the_door_changes_hands(door: Door, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Whoever has no login is refused before, all the time, and afterwards; check mode has foreseen the tasks, and a second run changes nothing."""
    assert door.deploy(before).status == 0
    foreseen = door.deploy(after, words=["--check"])
    with door.asked() as seen:
        run = door.deploy(after)
    print(f"{before} -> {after}: {dict(seen)}")
    assert (foreseen.status, run.status) == (0, 0), foreseen.output + run.output
    assert foreseen.changes == run.changes != []
    assert seen[401] > 50
    assert not [status for status in seen if 200 <= status < 400]
    again = door.deploy(after)
    assert (again.status, again.changed) == (0, 0), again.output
