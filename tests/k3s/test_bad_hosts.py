"""What is wrong with hosts or variables before k3s is there: one message each, and hosts that stay as they were."""
from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from cluster import Cluster
from playbook import Run, play

pytestmark = [pytest.mark.bare, pytest.mark.line("(beyond) bad input: one message that names the remedy")]
#: An address of the hosts' network where nobody is.
NOBODY = "10.77.0.99"
LISTEN = "import socket, sys; held = socket.create_server(('', int(sys.argv[1]))); print('held', flush=True); sys.stdin.read()"
#: What the playbook makes first, and since when k3s runs where it does.
STATE = """ls -d --full-time /usr/local/bin/k3s /usr/local/bin/.k3s-* /etc/rancher /var/lib/rancher /opt/mlops-mlflow 2>/dev/null
systemctl show k3s k3s-agent --property=ActiveEnterTimestamp"""


def state(cluster: Cluster) -> list[str]:
    return [cluster.run(STATE, host) for host in cluster.servers + cluster.agents]


@pytest.fixture(autouse=True)
def _untouched(cluster: Cluster) -> Iterator[None]:
    """Whatever the run ends with, no host is changed by it."""
    before = state(cluster)
    yield
    assert state(cluster) == before


def assert_says(run: Run, hosts: list[str], *words: str) -> None:
    """The run failed, on these hosts alone, each with one message that has these words."""
    assert run.status != 0
    assert run.changed == 0
    assert "Traceback" not in run.output
    assert sorted(host for host, _ in run.failures) == sorted(hosts), run.output
    for _, message in run.failures:
        for word in words:
            assert word in message


@contextmanager
def held(cluster: Cluster, port: int) -> Iterator[None]:
    """A process on the first server listens on that port."""
    words = [*cluster.ssh(), f'python3 -c "{LISTEN}" {port}']
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield
        finally:
            process.communicate()


def test_an_unreachable_host(tmp_path: Path) -> None:
    """An agent at an address where nobody is: its name, what SSH says, what to do; the other hosts are left alone."""
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"k3s_agent": {"hosts": {"akko-3": {"ansible_host": NOBODY}}}}))
    run = play(inventory=inventory)
    assert_says(run, ["akko-3"], f"akko-3 cannot be reached at {NOBODY}", "No route to host", "start it", "ansible_host", "--limit '!akko-3'")


def test_too_little_memory(cluster: Cluster) -> None:
    """Each host that has too little: how much it has, how much it needs."""
    run = play(variables={"k3s_min_memory_mb": 99999999})
    assert_says(run, cluster.servers + cluster.agents, "MiB of memory, less than k3s_min_memory_mb (99999999); give it more")


def test_a_wrong_checksum(cluster: Cluster) -> None:
    """The release is downloaded, found to be another, and nothing is put in its place."""
    run = play(variables={"k3s_checksum": "0" * 64})
    assert_says(run, cluster.servers + cluster.agents, "was not downloaded with the checksum 0000", "nothing was replaced", "correct k3s_checksum")


def test_a_checksum_that_is_none() -> None:
    """Half a checksum is refused before anything is downloaded, once for all hosts."""
    run = play(variables={"k3s_checksum": "0123"})
    assert_says(run, ["akko-1"], "k3s_checksum: '0123' is not a SHA-256 checksum; set the 64 digits")


def test_a_port_taken(cluster: Cluster) -> None:
    """Another program listens on 6443: which one, and its process."""
    assert not cluster.run("systemctl is-active k3s || true").startswith("active"), "this takes hosts without k3s: on others the port is k3s's own"
    with held(cluster, 6443):
        run = play()
    assert_says(run, cluster.servers[:1], "Port 6443 of akko-1, which k3s needs, is in use by python3, process ", "; stop it")
