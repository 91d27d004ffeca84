"""etcd in place of SQLite (k3s's --cluster-init), for one server or three; the programs are Debian's etcd-server and etcd-client."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from . import certificates
from .api import Api
from .errors import K3sError
from .layout import Layout
from .log import log
from .options import Options
from .supervisor import Supervisor

LOCAL = "https://127.0.0.1:2379"


def _make_certificates(tls: Path, name: str, address: str) -> None:
    names = ["localhost", "127.0.0.1", address, name]
    certificates.make_certificate(tls / "etcd" / "server-client", tls / "etcd" / "server-ca", "/CN=etcd-server", names)
    certificates.make_certificate(tls / "etcd" / "peer-server-client", tls / "etcd" / "peer-ca", "/CN=etcd-peer", names)
    certificates.make_certificate(tls / "etcd" / "client", tls / "etcd" / "server-ca", "/CN=etcd-client")


def _etcdctl(tls: Path, endpoint: str, *arguments: str) -> str:
    etcd = tls / "etcd"
    access = [f"--endpoints={endpoint}", f"--cacert={etcd}/server-ca.crt", f"--cert={etcd}/client.crt", f"--key={etcd}/client.key"]
    command = ["etcdctl", "--dial-timeout=20s", "--command-timeout=60s", *access, *arguments]
    done = subprocess.run(command, env={**os.environ, "ETCDCTL_API": "3"}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise K3sError(f"etcdctl {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _members(tls: Path, first: str, name: str, address: str) -> str:
    """Make this server a member of the cluster whose server is at the address `first`; returns etcd's initial cluster."""
    endpoint, peer = f"https://{first}:2379", f"https://{address}:2380"
    members = json.loads(_etcdctl(tls, endpoint, "member", "list", "-w", "json"))["members"]
    if not any(peer in member["peerURLs"] for member in members):
        _etcdctl(tls, endpoint, "member", "add", name, "--learner", f"--peer-urls={peer}")
    others = [f"{member['name']}={url}" for member in members for url in member["peerURLs"] if url != peer and member.get("name")]
    return ",".join([*others, f"{name}={peer}"])


def _promoted(tls: Path, first: str, address: str) -> bool:
    """Whether this server has a vote; a new one gets it as soon as it has caught up."""
    endpoint, peer = f"https://{first}:2379", f"https://{address}:2380"
    try:
        members = json.loads(_etcdctl(tls, endpoint, "member", "list", "-w", "json"))["members"]
        own = next(member for member in members if peer in member["peerURLs"])
        if own.get("isLearner"):
            _etcdctl(tls, endpoint, "member", "promote", format(own["ID"], "x"))
    except K3sError:
        return False
    return True


def start(layout: Layout, options: Options, supervisor: Supervisor, address: str, first: str = "") -> dict[str, str]:
    """Start etcd, as a member of the cluster of the server at the address `first` where that is given.

    Returns:
        The API server's flags for it.

    Raises:
        K3sError: the host has no etcd, or the cluster does not take it.

    """
    if not shutil.which("etcd") or not shutil.which("etcdctl"):
        raise K3sError("cluster-init needs etcd: install Debian's etcd-server and etcd-client on this host")
    tls, data, name = layout.server_tls, layout.server / "db" / "etcd", options.node_name
    etcd = tls / "etcd"
    _make_certificates(tls, name, address)
    fresh = not (data / "member").is_dir()
    cluster = _members(tls, first, name, address) if first and fresh else f"{name}=https://{address}:2380"
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o700)
    command = [
        "etcd", f"--name={name}", f"--data-dir={data}", f"--listen-client-urls={LOCAL},https://{address}:2379", f"--listen-peer-urls=https://{address}:2380",
        f"--advertise-client-urls=https://{address}:2379", f"--initial-advertise-peer-urls=https://{address}:2380", f"--initial-cluster={cluster}",
        f"--initial-cluster-state={'existing' if first else 'new'}", "--client-cert-auth=true", "--peer-client-cert-auth=true",
        f"--cert-file={etcd}/server-client.crt", f"--key-file={etcd}/server-client.key", f"--trusted-ca-file={etcd}/server-ca.crt",
        f"--peer-cert-file={etcd}/peer-server-client.crt", f"--peer-key-file={etcd}/peer-server-client.key",
        f"--peer-trusted-ca-file={etcd}/peer-ca.crt",
        "--heartbeat-interval=500", "--election-timeout=5000", "--logger=zap", "--log-level=warn", "--snapshot-count=10000",
    ]
    supervisor.start("etcd", command, memory=200)
    if first and fresh:
        supervisor.wait_for("a vote in etcd", lambda: _promoted(tls, first, address), timeout=300, every=3)
    supervisor.wait_for("etcd", lambda: _answers(tls), timeout=180)
    files = {"etcd-cafile": "server-ca.crt", "etcd-certfile": "client.crt", "etcd-keyfile": "client.key"}
    return {"etcd-servers": LOCAL} | {flag: f"{etcd}/{name}" for flag, name in files.items()}


def _answers(tls: Path) -> bool:
    try:
        _etcdctl(tls, LOCAL, "endpoint", "health")
    except K3sError:
        return False
    return True


class Members:
    """etcd's members, of which one is taken out when its node is deleted from the cluster, as k3s does."""

    def __init__(self, tls: Path) -> None:
        self._tls = tls
        self._nodes: set[str] = set()

    def step(self, api: Api) -> None:
        """Take out whose node is gone since an earlier step; what fails is logged, and done in the next step."""
        try:
            nodes = {str(node["metadata"]["name"]) for node in api.json("GET", "/api/v1/nodes")["items"]}
            gone = self._nodes - nodes
            self._nodes |= nodes
            for member in json.loads(_etcdctl(self._tls, LOCAL, "member", "list", "-w", "json"))["members"] if gone else []:
                if member.get("name") in gone:
                    _etcdctl(self._tls, LOCAL, "member", "remove", format(member["ID"], "x"))
                    log(f"Removed {member['name']}, whose node is deleted, from etcd")
            self._nodes -= gone
        except K3sError as error:
            log(f"Unable to look after etcd's members: {error}", "warning")


def snapshot(arguments: list[str]) -> int:
    """`k3s etcd-snapshot save`: a snapshot of this server's etcd in server/db/snapshots.

    Raises:
        K3sError: another word than save, or no etcd runs here.

    """
    layout = Layout()
    if arguments[:1] != ["save"]:
        raise K3sError("of `k3s etcd-snapshot` this stand-in has `save` alone")
    if not (layout.server / "db" / "etcd" / "member").is_dir():
        raise K3sError("etcd datastore disabled")
    folder = layout.server / "db" / "snapshots"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"on-demand-{os.uname().nodename}-{int(time.time())}"
    _etcdctl(layout.server_tls, LOCAL, "snapshot", "save", str(path))
    log(f"Snapshot {path.name} saved.")
    return 0
