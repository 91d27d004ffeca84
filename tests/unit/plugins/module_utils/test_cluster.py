"""The client of a cluster, with answers and faults that a cluster does not show on demand."""
from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback import Authority, Server, cut_off, reply

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError, NotPermitted, Unreachable, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes import cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.cluster import METADATA_LIST, Cluster

POD = {"metadata": {"name": "mlflow-1"}}
PODS = "/api/v1/namespaces/akko/pods"


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    return pauses


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def kubeconfig(authority: Authority, port: int, **user: Any) -> str:
    """A file as k3s writes it: the certificates are in it."""
    data = base64.b64encode(authority.path.read_bytes()).decode()
    entry = {"certificate-authority-data": data, "server": f"https://127.0.0.1:{port}"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": entry}],
        "users": [{"name": "u", "user": user or {"token": "secret-token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = authority.folder / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.fixture
def server(authority: Authority) -> Iterator[Server]:
    with Server([reply(200, {"items": [POD]})]).running(authority.context("127.0.0.1")) as running:
        yield running


def test_objects_come_with_the_clock_of_the_server(server: Server, authority: Authority) -> None:
    found = Cluster(kubeconfig(authority, server.port), "akko").look([{"kind": "Job", "name": "migrate"}])
    assert found["pods"] == found["events"] == [POD]
    assert found["now"] == int(found["now"]), "HTTP dates have no fractions, unlike the clock of this machine"
    assert abs(found["now"] - time.time()) < 600
    assert [request.target for request in server.requests][:3] == [
        "/apis/batch/v1/namespaces/akko/jobs/migrate",
        "/apis/apps/v1/namespaces/akko/replicasets",
        PODS,
    ]
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer secret-token"}
    assert server.connections == 1


def test_a_client_certificate_is_shown(authority: Authority) -> None:
    pem = base64.b64encode(authority.issue("admin", []).read_bytes()).decode()
    with Server([reply(200, {})]).running(authority.context("127.0.0.1", clients=True)) as server:
        file = kubeconfig(authority, server.port, **{"client-certificate-data": pem, "client-key-data": pem})
        assert Cluster(file, "akko").get("/apis") == {}


def test_metadata_alone_is_asked_for(server: Server, authority: Authority) -> None:
    Cluster(kubeconfig(authority, server.port), "akko").get(PODS, METADATA_LIST)
    assert server.requests[0].headers["accept"] == "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


def test_a_proxy_for_other_hosts_is_not_asked(server: Server, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert Cluster(kubeconfig(authority, server.port), "akko").get(PODS) == {"items": [POD]}


def test_what_is_not_there_is_none(server: Server, authority: Authority) -> None:
    server.answers[:] = [reply(404, {"message": "not found"})]
    there = Cluster(kubeconfig(authority, server.port), "akko")
    assert there.get(f"{PODS}/x") is None
    there.delete_pod("x")
    assert there.log("x", "mlflow", previous=True) == ""
    assert [request.target.partition("previous=")[2] for request in server.requests[2:]] == ["true&tailLines=80", "false&tailLines=80"]


def test_a_log_is_text_as_it_is(server: Server, authority: Authority) -> None:
    server.answers[:] = [reply(200, "d\xe9j\xe0 vu\n", "text/plain")]
    assert Cluster(kubeconfig(authority, server.port), "akko").log("x", "mlflow", previous=False) == "d\xe9j\xe0 vu\n"


@pytest.mark.parametrize(
    ("status", "content", "kind", "message"),
    [
        (403, {"message": "no"}, NotPermitted, r"is not allowed to GET /api/v1/namespaces/akko/pods \(403\); give one that may"),
        (401, {"message": "no"}, NotPermitted, r"\(401\)"),
        (400, {"message": "bad"}, ApiError, r"failed \(400\): bad"),
        (200, "<html>", ApiError, r"failed \(200\): no JSON"),
    ],
)
def test_a_refusal_is_said_once(server: Server, authority: Authority, status: int, content: Any, kind: type[Exception], message: str) -> None:
    server.answers[:] = [reply(status, content)]
    with pytest.raises(kind, match=message):
        Cluster(kubeconfig(authority, server.port), "akko").get(PODS)
    assert len(server.requests) == 1


def test_a_server_that_starts_is_waited_for(server: Server, authority: Authority, slept: list[float]) -> None:
    server.answers[:] = [reply(503, {}), cut_off, reply(200, {"kind": "PodList"})]
    assert Cluster(kubeconfig(authority, server.port), "akko").get(PODS) == {"kind": "PodList"}
    assert slept == [1.0, 2.0]


@pytest.mark.parametrize(("answers", "reason"), [([503], "it answers 503"), ([], "Connection refused")])
def test_a_server_that_stays_away_is_named(authority: Authority, slept: list[float], answers: list[int], reason: str) -> None:
    with Server([reply(status, {}) for status in answers] or [cut_off]).running(authority.context("127.0.0.1")) as server:
        file = kubeconfig(authority, server.port)
        if answers:
            with pytest.raises(Unreachable, match=f"https://127.0.0.1:{server.port} of .*/kubeconfig does not answer: {reason}; check that"):
                Cluster(file, "akko").get(PODS)
            assert len(server.requests) == cluster._TRIES
            return
    with pytest.raises(Unreachable, match=f"does not answer: {reason}; check that the cluster is up: systemctl status k3s"):
        Cluster(file, "akko").get(PODS)
    assert sum(slept) > 20


def test_another_authority_is_not_trusted(server: Server, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(Unreachable, match="is not trusted by .*: certificate verify failed: .*; fetch the cluster's kubeconfig again"):
        Cluster(kubeconfig(Authority(tmp_path / "other"), server.port), "akko").get(PODS)


@pytest.mark.parametrize("text", ["", "[]", "a: [", "apiVersion: v1\nclusters: []\ncurrent-context: x\n", "\0"])
def test_what_is_no_kubeconfig(tmp_path: Path, text: str) -> None:
    (tmp_path / "k").write_text(text)
    with pytest.raises(Unsupported, match="kubeconfig: .*/k is not a usable kubeconfig: .*; give that of a cluster"):
        Cluster(str(tmp_path / "k"), "akko")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="kubeconfig: .*/none cannot be read: No such file or directory; give the path"):
        Cluster(str(tmp_path / "none"), "akko")
