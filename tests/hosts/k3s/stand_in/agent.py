"""`k3s agent`."""
from __future__ import annotations

from . import token
from .errors import K3sError
from .join import Join
from .layout import Layout
from .log import log
from .node import Node
from .notify import notify
from .options import Options
from .supervisor import Supervisor


def run(options: Options, layout: Layout, supervisor: Supervisor) -> None:
    """Join the cluster, start all of a node, tell systemd, and watch until somebody asks to end.

    Raises:
        Stopped: somebody asked to end.
        K3sError: it cannot go on.

    """
    server, given = options.text("server"), token.given(options)
    if not server:
        raise K3sError("--server is required")
    if not given:
        raise K3sError("--token is required")
    node = Node(layout, options, supervisor)
    join = Join(server, token.parse(given), layout)
    cluster = join.wait(supervisor)
    node.start_containerd()
    access = join.access()
    node.start_kubelet(cluster, access, ["node.kubernetes.io/instance-type=k3s"])
    log("k3s agent is up and running")
    notify("READY=1")
    node.start_network(cluster, access, join.api())
    while True:
        supervisor.pause(2)
