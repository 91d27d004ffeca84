"""`k3s server`."""
from __future__ import annotations

import time

from . import etcd, join, service_lb, token
from .api import Api
from .control_plane import ControlPlane
from .deploy import Deployer
from .errors import K3sError
from .layout import Layout
from .log import log
from .node import Node
from .notify import notify
from .options import Options
from .payload import facts, image
from .supervisor import Supervisor

PAUSE = 2.0
"""Seconds between two looks at the processes."""
ROUND = 6.0
"""Seconds between two looks at manifests, Services and node labels; k3s looks every 15."""
IMAGES = ("coredns", "local-path-provisioner", "busybox", "traefik")


def run(options: Options, layout: Layout, supervisor: Supervisor) -> None:
    """Start all of a server, tell systemd, and keep at it until somebody asks to end.

    Raises:
        Stopped: somebody asked to end.
        K3sError: it cannot go on.

    """
    node = Node(layout, options, supervisor)
    plane = ControlPlane(layout, options, supervisor, node.address)
    if plane.first:
        join_servers(options, layout, supervisor)
    plane.prepare()
    plane.start_api_server()
    node.start_containerd()
    api = plane.api()
    plane.start_controllers(api)
    texts = {f"IMAGE_{name.replace('-', '_').upper()}": image(name) for name in IMAGES}
    texts |= {"CLUSTER_DNS": plane.cluster.cluster_dns, "CLUSTER_DOMAIN": plane.cluster.cluster_domain, "STORAGE": str(layout.data / "storage")}
    deployer = Deployer(layout, api, options.items("disable"), texts)
    deployer.ship()
    supervisor.wait_for("the namespace kube-system", lambda: _has_namespaces(api))
    join.publish(api, plane.cluster, plane.tls)
    node.start_kubelet(plane.cluster, plane.access, ["node.kubernetes.io/instance-type=k3s"])
    log("k3s is up and running")
    notify("READY=1")
    deployer.apply("rbac.yaml")
    node.start_network(plane.cluster, plane.access, api)
    _serve(options, supervisor, api, deployer, etcd.Members(plane.tls) if plane.has_etcd else None)


def join_servers(options: Options, layout: Layout, supervisor: Supervisor) -> None:
    """Take over what the servers of the cluster at --server share, where this one has not done so at an earlier start."""
    if (layout.server_tls / "service.key").is_file():
        return
    given = token.given(options)
    if not given:
        raise K3sError("--token is required")
    way = join.Join(options.text("server"), token.parse(given), layout)
    way.wait(supervisor)
    way.fetch_servers_files(layout.server_tls)


def _has_namespaces(api: Api) -> bool:
    try:
        return all(api.get(f"/api/v1/namespaces/{name}") for name in ("kube-system", "kube-public"))
    except K3sError:
        return False


def _serve(options: Options, supervisor: Supervisor, api: Api, deployer: Deployer, members: etcd.Members | None) -> None:
    labelled = False
    while True:
        started = time.monotonic()
        deployer.step()
        service_lb.step(api)
        if members:
            members.step(api)
        labelled = labelled or _label(options, api, bool(members))
        while time.monotonic() - started < ROUND:
            supervisor.pause(PAUSE)


def _label(options: Options, api: Api, has_etcd: bool) -> bool:
    """Mark this node as a server, which a kubelet may not do itself."""
    labels = {"node-role.kubernetes.io/control-plane": "true"}
    if has_etcd:
        labels["node-role.kubernetes.io/etcd"] = "true"
    try:
        api.merge(f"/api/v1/nodes/{options.node_name}", {"metadata": {"labels": labels, "annotations": {"k3s.io/stand-in": facts()["version"]}}})
    except K3sError as error:
        log(f"Unable to set control-plane role label: {error}", "warning")
        return False
    return True
