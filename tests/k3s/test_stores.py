"""The akko deployment's artifacts move from MinIO to SeaweedFS, while a client writes, and back; what SeaweedFS does in between."""
from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster, CommandError
from ledger import Ledger
from playbook import Run, play
from test_outages import kill

# Not for what they break, but for the minutes that they take.
pytestmark = [pytest.mark.outage, pytest.mark.line("(beyond) SeaweedFS in the cluster, and moving artifacts")]
MOVE, NAME = "mlops.mlflow.move_artifacts", "akko-seaweedfs"
VARIABLES: dict[str, Any] = {
    "artifact_store_provider": "seaweedfs", "artifact_store_name": NAME, "artifact_store_app": "seaweedfs",
    # By tag alone: an archive has no registry's digest.
    "artifact_store_image": "docker.io/chrislusf/seaweedfs:4.48",
}
BIG = 20 << 20  # bytes: more than one part
INSIDE = {"list the prefix", "get inside", "put inside", "upload inside", "delete inside"}


@dataclass(frozen=True)
class Moved:
    """The run that refused to leave the artifacts behind, the run that moved them, and the client that wrote meanwhile."""

    refused: Run
    run: Run
    ledger: Ledger
    big: str


def counted(run: Run) -> int:
    """The number of objects that a run says it has moved."""
    found = re.search(r"^(\d+) objects, .* read back and compared; SHA-256 of all: [0-9a-f]{64}$", run.output, re.M)
    assert found, run.output
    return int(found[1])


def put(cluster: Cluster, path: str, content: bytes) -> None:
    assert cluster.https("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", content, timeout=120).status == 200


def got(cluster: Cluster, path: str) -> bytes:
    answer = cluster.https("GET", f"/api/2.0/mlflow-artifacts/artifacts/{path}", timeout=120)
    assert answer.status == 200
    return answer.body


@pytest.fixture(scope="module")
def moved(cluster: Cluster) -> Iterator[Moved]:
    """Move to SeaweedFS, and at the end back to MinIO, which is the store of the stories to come."""
    big = f"big-{time.time_ns()}/model.bin"
    put(cluster, big, b"b" * BIG)
    try:
        refused = play(variables=VARIABLES)
        with Ledger(cluster) as ledger:
            ledger.wait_for_more(20, timeout=60)
            run = play(MOVE, VARIABLES, timeout=900)
            ledger.wait_for_more(20, timeout=60)
        yield Moved(refused, run, ledger, big)
        if run.status == 0:
            back = play(MOVE, timeout=900)
            assert back.status == 0, back.output
            assert counted(back) >= counted(run)
            assert ledger.lost() == []
            assert got(cluster, big) == b"b" * BIG
    finally:
        kinds = "deployment,service,serviceaccount,configmap,networkpolicy,pvc"
        cluster.kubectl("delete", kinds, "--selector", f"app.kubernetes.io/instance={NAME}", "--ignore-not-found")
        cluster.kubectl("delete", "secret", f"{NAME}-root", f"{NAME}-mlflow", f"{NAME}-identities", f"{NAME}-grpc", f"{NAME}-grpc-ca",
                        "--ignore-not-found")


def test_a_run_does_not_leave_the_artifacts_behind(moved: Moved) -> None:
    """Another provider in the inventory alone: refused before the first change, with the playbook that moves them."""
    assert (moved.refused.status, moved.refused.changed) == (2, 0), moved.refused.output
    assert "which has the artifacts of this deployment; nothing was changed" in moved.refused.failures[-1][1]
    assert MOVE in moved.refused.failures[-1][1]


def test_all_artifacts_are_moved_while_a_client_writes(cluster: Cluster, moved: Moved) -> None:
    """As many objects as MinIO has, each compared; what the client wrote before, during and after the switch is there."""
    assert moved.run.status == 0, moved.run.output
    there = f"deploy/{cluster.variables['artifact_store_name']}"
    listed = cluster.kubectl("exec", there, "--", "mc", "ls", "--recursive", "local/akko-warehouse/mlflow/")
    assert counted(moved.run) == len(listed.splitlines())
    assert moved.ledger.lost() == []
    assert got(cluster, moved.big) == b"b" * BIG
    secrets = [cluster.secret(f"{NAME}-{which}")["secret-key"] for which in ("root", "mlflow")]
    assert not [value for value in secrets if value in moved.run.output]


def test_the_next_runs_change_nothing(moved: Moved) -> None:
    """Neither that of the site nor one more move, which finds nothing to move; nor do they predict anything."""
    assert moved.run.status == 0
    for run in (play(variables=VARIABLES), play(variables=VARIABLES, words=["--check"]), play(MOVE, VARIABLES)):
        assert (run.status, run.changed) == (0, 0), run.output
    assert "already; nothing was moved" in run.output


def test_the_user_reaches_one_prefix_of_one_bucket(cluster: Cluster, moved: Moved) -> None:
    """All that MLflow does inside of it, and nothing outside, beside or above."""
    assert moved.run.status == 0
    address = cluster.get("service", NAME)["spec"]["clusterIP"]
    keys = [[cluster.secret(f"{NAME}-{which}")[key] for key in ("access-key", "secret-key")] for which in ("root", "mlflow")]
    program = (Path(__file__).parent / "reach.py").read_text()
    request = json.dumps([f"http://{address}:9000", "akko-warehouse", "mlflow", *keys])
    python = cluster.variables.get("python_env_path", "/opt/mlops-mlflow/venv")
    found: dict[str, bool] = json.loads(cluster.run(f"{python}/bin/python -c {shlex.quote(program)}", stdin=request))
    assert {name for name, let in found.items() if let} == INSIDE
    assert len(found) > 20


def test_nothing_but_s3_answers_beyond_the_pod(cluster: Cluster, moved: Moved) -> None:
    """All other sockets are on the pod's loopback, but for S3's gRPC, which asks for a certificate; nor do policies let MLflow's pods to it."""
    assert moved.run.status == 0
    table = cluster.kubectl("exec", f"deploy/{NAME}", "--", "sh", "-c", "cat /proc/net/tcp /proc/net/tcp6")
    entries = [line.split() for line in table.splitlines()]
    listening = {tuple(entry[1].split(":")) for entry in entries if len(entry) > 3 and entry[3] == "0A"}
    loopback = {int(port, 16) for address, port in listening if address == "0100007F"}
    assert {int(port, 16) for address, port in listening if address != "0100007F"} == {9000, 9007}
    assert loopback >= set(range(9001, 9007))
    pod = cluster.get("pod", "", "--selector", f"app.kubernetes.io/instance={NAME}")[0]
    node, address = pod["spec"]["nodeName"], pod["status"]["podIP"]
    hello = f"timeout 20 openssl s_client -connect {address}:9007 -alpn h2 -ign_eof </dev/null 2>&1 || true"
    assert "certificate required" in cluster.run(hello, host=node)
    asked = ["exec", f"deploy/{cluster.name}", "--", "curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}"]
    assert cluster.kubectl(*asked, f"http://{address}:9000/healthz") == "200"
    with pytest.raises(CommandError, match="status (7|28):"):
        cluster.kubectl(*asked, f"http://{address}:9007/")


def test_nothing_acknowledged_is_lost_with_its_pod(cluster: Cluster, moved: Moved) -> None:
    """The pod is ended at once while a client writes."""
    assert moved.run.status == 0
    with Ledger(cluster) as ledger:
        ledger.wait_for_more(20, timeout=60)
        kill(cluster, "seaweedfs")
        deadline = time.monotonic() + 180
        before = len(ledger.artifacts)
        while len(ledger.artifacts) < before + 3 and time.monotonic() < deadline:
            time.sleep(1)
    assert len(ledger.artifacts) >= before + 3, ledger.failures[-1:]
    assert ledger.lost() == []
