"""The parts that run on each node: containerd, kubelet, flannel, kube-proxy."""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from . import containerd, network
from .api import Api
from .errors import K3sError
from .layout import CONTAINERD_SOCKET, FLANNEL_SUBNET, Layout, write
from .options import Options
from .payload import image
from .supervisor import Supervisor

KUBELET_PORT = 10250


@dataclass(frozen=True)
class Cluster:
    """What a node must know of its cluster."""

    cluster_cidr: str = "10.42.0.0/16"
    cluster_dns: str = "10.43.0.10"
    cluster_domain: str = "cluster.local"
    flannel_backend: str = "vxlan"
    service_cidr: str = "10.43.0.0/16"
    network_policy: bool = True


@dataclass(frozen=True)
class Access:
    """How a node's parts reach the API server: paths of kubeconfigs; `bootstrap` is empty where `kubelet` has a certificate already."""

    authority: Path
    kubelet: Path
    proxy: Path
    bootstrap: Path | None = None


def arguments(given: list[str], own: dict[str, str]) -> list[str]:
    """The flags of a part: our own, replaced or added to by what the user's *-arg options say; repeated keys of the user stay repeated.

    >>> arguments(["v=2", "feature-gates=A=true"], {"v": "0", "port": "1"})
    ['--port=1', '--v=2', '--feature-gates=A=true']
    """
    user = [item.lstrip("-") for item in given]
    keys = {item.partition("=")[0] for item in user}
    return [f"--{key}={value}" for key, value in own.items() if key not in keys] + [f"--{item}" for item in user]


class Node:
    """One node's parts, started in their order."""

    def __init__(self, layout: Layout, options: Options, supervisor: Supervisor) -> None:
        self.layout, self.options, self.supervisor = layout, options, supervisor
        self.address = options.text("node-ip", network.own_address()).split(",")[0]

    def start_containerd(self) -> None:
        """containerd, and the images of the images folder in it."""
        network.set_switches()
        registries = Path(self.options.text("private-registry", "/etc/rancher/k3s/registries.yaml"))
        config = containerd.configure(self.layout, self.options.text("pause-image", image("pause")), registries)
        containerd.start(self.supervisor, config)
        containerd.import_images(self.layout)

    def start_kubelet(self, cluster: Cluster, access: Access, labels: list[str]) -> None:
        """The kubelet, which registers the node."""
        config = self.layout.agent_etc / "kubelet.json"
        write(config, json.dumps(self._kubelet(cluster, access), indent=2))
        (self.layout.agent / "pod-manifests").mkdir(parents=True, exist_ok=True)
        own = {
            "config": str(config), "kubeconfig": str(access.kubelet), "hostname-override": self.options.node_name, "node-ip": self.address,
            "node-labels": ",".join([*labels, *self.options.items("node-label")]), "cert-dir": str(self.layout.agent / "pki"),
        }
        if access.bootstrap:
            own["bootstrap-kubeconfig"] = str(access.bootstrap)
        taints = self.options.items("node-taint")
        if taints:
            own["register-with-taints"] = ",".join(taints)
        self.supervisor.start("kubelet", ["kubelet", *arguments(self.options.items("kubelet-arg"), own)], memory=200)

    def _kubelet(self, cluster: Cluster, access: Access) -> dict[str, object]:
        return {
            "kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1", "address": "0.0.0.0", "port": KUBELET_PORT,
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": str(access.authority)}},
            "authorization": {"mode": "Webhook"}, "cgroupDriver": "cgroupfs", "clusterDNS": [cluster.cluster_dns],
            "clusterDomain": cluster.cluster_domain, "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "evictionHard": {"imagefs.available": "5%", "nodefs.available": "5%"}, "failCgroupV1": False, "failSwapOn": False,
            "imageGCHighThresholdPercent": 100,  # an image of the images folder has no registry to come back from
            "resolvConf": network.resolver(self.layout), "rotateCertificates": True, "serializeImagePulls": False,
            "staticPodPath": str(self.layout.agent / "pod-manifests"), "logging": {"verbosity": 0},
        }

    def start_network(self, cluster: Cluster, access: Access, api: Api) -> None:
        """Start kube-proxy, then flannel as soon as the node has its subnet, write the CNI configuration, and have NetworkPolicies enforced."""
        own = {
            "kubeconfig": str(access.proxy), "cluster-cidr": cluster.cluster_cidr, "hostname-override": self.options.node_name,
            "conntrack-max-per-core": "0", "conntrack-tcp-timeout-close-wait": "0s", "conntrack-tcp-timeout-established": "0s",
            "healthz-bind-address": "127.0.0.1:10256", "metrics-bind-address": "127.0.0.1:10249", "proxy-mode": "iptables",
        }
        self.supervisor.start("kube-proxy", ["kube-proxy", *arguments(self.options.items("kube-proxy-arg"), own)], memory=80)
        self.supervisor.wait_for("the node's subnet", lambda: self._has_subnet(api))
        if cluster.flannel_backend != "none":
            self._start_flannel(cluster, access)
        if cluster.network_policy:
            self._start_policies(cluster, access)

    def _start_flannel(self, cluster: Cluster, access: Access) -> None:
        FLANNEL_SUBNET.unlink(missing_ok=True)
        config = self.layout.agent_etc / "flannel" / "net-conf.json"
        kind = network.backend(cluster.flannel_backend)
        write(config, json.dumps({"Network": cluster.cluster_cidr, "EnableIPv6": False, "Backend": {"Type": kind}}))
        command = ["flannel", "--kube-subnet-mgr", f"--kubeconfig-file={access.proxy}", f"--net-config-path={config}", "--ip-masq",
                   f"--iface={self.options.text('flannel-iface', self.address)}", "--healthz-port=0"]
        self.supervisor.start("flannel", command, memory=60, environment={"NODE_NAME": self.options.node_name})
        self.supervisor.wait_for("flannel", lambda: network.write_cni(self.layout), timeout=120)

    def _start_policies(self, cluster: Cluster, access: Access) -> None:
        """The policy controller of kube-router, which is the one that k3s embeds, and nothing else of it."""
        command = ["kube-router", "--run-firewall=true", "--run-router=false", "--run-service-proxy=false", "--run-loadbalancer=false",
                   f"--kubeconfig={access.proxy}", f"--hostname-override={self.options.node_name}", "--health-port=0", "--metrics-port=0",
                   f"--service-cluster-ip-range={cluster.service_cidr}"]
        self.supervisor.start("kube-router", command, memory=60, environment={"NODE_NAME": self.options.node_name})

    def _has_subnet(self, api: Api) -> bool:
        try:
            node = api.get(f"/api/v1/nodes/{self.options.node_name}")
        except K3sError:
            return False
        return bool(node and node["spec"].get("podCIDR"))
