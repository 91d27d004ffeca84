"""Three servers with embedded etcd: one without power, an upgrade node by node, one replaced, all removed. In this order."""
from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster import Cluster
from meanwhile import meanwhile
from playbook import Run, play

line = pytest.mark.line("(beyond) three servers with embedded etcd")
ROOT = Path(__file__).parents[2]
PLAYBOOK = ROOT / "molecule" / "ha" / "converge.yml"
HOSTS = [sys.executable, str(ROOT / "tests" / "hosts" / "hosts.py")]
UNINSTALL, CONFIRMED = "mlops.mlflow.uninstall_k3s", {"k3s_uninstall_confirmed": "yes"}
#: Whatever an installation makes: prints what of it is there.
LEFT = """ls -d /usr/local/bin/k3s /usr/local/bin/.k3s-* /usr/local/bin/kubectl /usr/local/bin/ctr /etc/rancher /var/lib/rancher /var/lib/kubelet \\
    /etc/systemd/system/k3s* /etc/sysctl.d/90-k3s.conf /run/k3s /run/flannel /sys/class/net/cni0 /sys/class/net/flannel.1 2>/dev/null
pgrep -a 'k3s|containerd|etcd|kube'; grep kubelet /proc/self/mounts; iptables-save 2>/dev/null | grep KUBE-; ipset list -name
true"""
#: A policy for pods that k3s itself brings, so that its controller has made rules and IP sets.
POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: removed, namespace: kube-system}
spec: {podSelector: {matchLabels: {k8s-app: kube-dns}}, ingress: [{from: [{namespaceSelector: {}}]}]}
"""


def nodes(cluster: Cluster, host: str = "") -> dict[str, dict[str, str]]:
    """By name: ``ready`` (True, False or Unknown), ``version``, ``roles`` and ``cordoned`` of each node, as the API server of a host tells."""
    found = {}
    for node in json.loads(cluster.run("k3s kubectl get nodes --output json", host))["items"]:
        roles = [label.partition("/")[2] for label in node["metadata"]["labels"] if label.startswith("node-role.kubernetes.io/")]
        found[node["metadata"]["name"]] = {
            "ready": next(one["status"] for one in node["status"]["conditions"] if one["type"] == "Ready"),
            "version": node["status"]["nodeInfo"]["kubeletVersion"],
            "roles": " ".join(sorted(set(roles) & {"control-plane", "etcd"})),
            "cordoned": "yes" if node["spec"].get("unschedulable") else "",
        }
    return found


def assert_all_ready(cluster: Cluster, version: str = "") -> None:
    """Every server is a Ready, schedulable member with this version. k3s tells a new node's roles some seconds after it is Ready."""
    wanted = {"ready": "True", "version": version or cluster.variables["k3s_version"], "roles": "control-plane etcd", "cordoned": ""}
    deadline = time.monotonic() + 30
    while (found := nodes(cluster)) != dict.fromkeys(cluster.servers, wanted) and time.monotonic() < deadline:
        time.sleep(1)
    assert found == dict.fromkeys(cluster.servers, wanted)


def later() -> dict[str, str]:
    """The variables of the release that comes after the one deployed. Skips where there is none."""
    folder = os.environ.get("MLFLOW_TEST_K3S_LATER", "")
    if not folder:
        pytest.skip("NOT RUN: MLFLOW_TEST_K3S_LATER names no folder with a later release of k3s")
    return {"k3s_version": Path(folder).name, "k3s_airgap_folder": folder}


def assert_succeeded(run: Run) -> Run:
    assert run.status == 0, run.output
    return run


@contextmanager
def watched(cluster: Cluster) -> Iterator[list[set[str]]]:
    """While it lasts, who answers is looked at; gives the sets of servers that at one time did not take connections to their API."""
    down: list[set[str]] = []

    def silent(server: str) -> bool:
        try:
            socket.create_connection((cluster.hosts[server]["ansible_host"], 6443), timeout=2).close()
        except OSError:
            return True
        return False

    def watch() -> None:
        down.append({server for server in cluster.servers if silent(server)})

    with meanwhile(watch, pause=0.2):
        yield down


@line
def test_members(cluster: Cluster) -> None:
    """Three Ready nodes, each with the control plane and etcd, told alike by the API of each."""
    assert_all_ready(cluster)
    assert [sorted(nodes(cluster, server)) for server in cluster.servers] == [sorted(cluster.servers)] * 3


@line
def test_a_server_without_power(cluster: Cluster) -> None:
    """The two others take and keep what is written, a run names the host that is not there, and it comes back by itself with what it missed."""
    first, second, _third = cluster.servers
    subprocess.run([*HOSTS, "stop", first, "--kill"], check=True)
    try:
        cluster.run("timeout 60 sh -c 'until k3s kubectl create configmap written-without-the-first; do sleep 1; done'", second)
        run = play(PLAYBOOK)
        assert run.status != 0
        assert [host for host, message in run.failures if "cannot be reached" in message] == [first], run.output
        assert run.changed == 0
    finally:
        subprocess.run([*HOSTS, "start", first], check=True)
    cluster.run(f"timeout 120 sh -c 'until k3s kubectl wait --for=condition=Ready node/{first}; do sleep 1; done'", timeout=130)
    cluster.run("k3s kubectl get configmap written-without-the-first")
    again = assert_succeeded(play(PLAYBOOK))
    assert again.changed == 0, again.output


@line
def test_upgraded_node_by_node(cluster: Cluster) -> None:
    """Drained, upgraded and let in again, one after the other, so that two API servers answer at any time; check mode tells what is done."""
    release = later()
    variables = {**release, "k3s_drain": True}
    predicted = assert_succeeded(play(PLAYBOOK, variables, words=["--check"]))
    assert_all_ready(cluster)

    with watched(cluster) as down:
        run = assert_succeeded(play(PLAYBOOK, variables))

    were_away = set().union(*down)
    print(f"{run.seconds:.0f} s: three servers are upgraded, each of which was away: {sorted(were_away)}")
    assert_all_ready(cluster, release["k3s_version"])
    assert max(map(len, down)) == 1, "more servers than one were away at a time"
    assert were_away == set(cluster.servers)
    assert predicted.changed == run.changed
    again = assert_succeeded(play(PLAYBOOK, variables))
    assert again.changed == 0, again.output


@line
def test_a_server_replaced(cluster: Cluster) -> None:
    """One is taken out of the cluster, once that answers; the cluster goes on, nothing is left on the host, and it joins as a new one."""
    third = cluster.servers[-1]
    version = nodes(cluster)[third]["version"]
    variables = later() if version != cluster.variables["k3s_version"] else {}

    cluster.run("systemctl stop k3s")
    try:
        refused = play(UNINSTALL, CONFIRMED, words=["--limit", third])
    finally:
        cluster.run("systemctl start k3s")
    assert refused.status != 0
    assert f"let k3s of {cluster.servers[0]} answer first" in refused.failures[-1][1]

    assert_succeeded(play(UNINSTALL, CONFIRMED, words=["--limit", third]))

    assert sorted(nodes(cluster)) == sorted(cluster.servers[:-1])
    assert cluster.run(LEFT, third).strip() == ""
    assert_succeeded(play(PLAYBOOK, variables))
    assert_all_ready(cluster, version)
    again = assert_succeeded(play(PLAYBOOK, variables))
    assert again.changed == 0, again.output


@line
def test_removed(cluster: Cluster) -> None:
    """Without a yes nothing happens; with it nothing is left on any host, and a second removal finds nothing to do."""
    refused = play(UNINSTALL, {"k3s_uninstall_confirmed": "no"})
    assert refused.status != 0
    assert refused.changed == 0
    assert len(nodes(cluster)) == 3

    cluster.run("k3s kubectl apply -f -", stdin=POLICY)
    time.sleep(2)
    assert "KUBE-" in "".join(cluster.run("ipset list -name", server) for server in cluster.servers)

    run = assert_succeeded(play(UNINSTALL, CONFIRMED))

    print(f"{run.seconds:.0f} s: k3s is removed from three hosts")
    assert [cluster.run(LEFT, server).strip() for server in cluster.servers] == [""] * 3
    again = assert_succeeded(play(UNINSTALL, CONFIRMED))
    assert again.changed == 0, again.output
