"""The control plane of a server: certificates, kubeconfigs, datastore, API server, controller manager, scheduler."""
from __future__ import annotations

import grp
import os
from pathlib import Path
from urllib.parse import urlsplit

from . import certificates, etcd, network, token
from .api import Api
from .kubeconfig import client, kubeconfig
from .layout import KUBECONFIG, Layout, write
from .node import Access, Cluster, arguments
from .options import Options
from .supervisor import Supervisor

NODES, SERVERS = "system:bootstrappers:k3s", "system:k3s:servers"
"""The groups of those who show a token: new nodes with each node's kube-proxy and flannel, and new servers."""
SUBJECTS = {
    "client-admin": "/O=system:masters/CN=system:admin",
    "client-controller": "/CN=system:kube-controller-manager",
    "client-scheduler": "/CN=system:kube-scheduler",
    "client-kube-apiserver": "/O=system:masters/CN=kube-apiserver",
    "client-kube-proxy": "/CN=system:kube-proxy",
}


class ControlPlane:
    """A server's control plane, started in order."""

    def __init__(self, layout: Layout, options: Options, supervisor: Supervisor, address: str) -> None:
        self.layout, self.options, self.supervisor, self.address = layout, options, supervisor, address
        self.tls = layout.server_tls
        self.port = options.text("https-listen-port", "6443")
        self.first = urlsplit(options.text("server")).hostname or ""
        self.has_etcd = bool(self.first) or options.flag("cluster-init")
        self.local = f"https://127.0.0.1:{self.port}"
        self.service_cidr = options.text("service-cidr", "10.43.0.0/16")
        self.cluster = Cluster(
            options.text("cluster-cidr", "10.42.0.0/16"), options.text("cluster-dns", network.nth(self.service_cidr, 10)),
            options.text("cluster-domain", "cluster.local"), options.text("flannel-backend", "vxlan"), self.service_cidr,
            not options.flag("disable-network-policy"),
        )

    def prepare(self) -> token.Token:
        """Certificates, token and kubeconfigs; returns the token."""
        certificates.make_authorities(self.tls)
        secret = token.of_server(token.given(self.options), self.layout.server, self.tls / "server-ca.crt")
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{self.cluster.cluster_domain}", "localhost",
                 "127.0.0.1", "::1", self.options.node_name, self.address, network.nth(self.service_cidr, 1), *self.options.items("tls-san")]
        certificates.make_certificate(self.tls / "serving-kube-apiserver", self.tls / "server-ca", "/CN=kube-apiserver", names)
        certificates.make_certificate(self.tls / "client-auth-proxy", self.tls / "request-header-ca", "/CN=system:auth-proxy")
        subjects = {**SUBJECTS, "client-kubelet": f"/O=system:nodes/CN=system:node:{self.options.node_name}"}
        for name, subject in subjects.items():
            certificates.make_certificate(self.tls / name, self.tls / "client-ca", subject)
        for name, user in {"controller": "client-controller", "scheduler": "client-scheduler", "admin": "client-admin"}.items():
            self._kubeconfig(self.layout.server / "cred" / f"{name}.kubeconfig", user)
        for name in ("kubelet", "kube-proxy"):
            self._kubeconfig(self.layout.agent / f"{name}.kubeconfig", f"client-{name}")
        public = Path(self.options.text("write-kubeconfig", str(KUBECONFIG)))
        self._kubeconfig(public, "client-admin", self._mode(), self.options.text("write-kubeconfig-group"))
        rows = [f'"{secret.secret}",k3s-node,k3s-node,"{NODES},{SERVERS}"\n']
        if self.options.text("agent-token"):
            rows.append(f'"{self.options.text("agent-token")}",k3s-agent,k3s-agent,"{NODES}"\n')
        write(self.layout.server / "cred" / "tokens.csv", "".join(rows))
        return secret

    def _mode(self) -> int:
        return int(self.options.text("write-kubeconfig-mode", "600"), 8)

    def _kubeconfig(self, path: Path, user: str, mode: int = 0o600, group: str = "") -> None:
        write(path, kubeconfig(self.local, self.tls / "server-ca.crt", client(self.tls / user)), mode)
        if path == KUBECONFIG:
            path.parent.chmod(0o755)
        if group:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)

    @property
    def access(self) -> Access:
        """How the parts on this server reach the API server."""
        return Access(self.tls / "client-ca.crt", self.layout.agent / "kubelet.kubeconfig", self.layout.agent / "kube-proxy.kubeconfig")

    def api(self) -> Api:
        """A connection to this server's API server, as the administrator."""
        return Api(self.local, self.tls / "server-ca.crt", self.tls / "client-admin")

    def start_api_server(self) -> None:
        """Datastore and API server."""
        store = etcd.start(self.layout, self.options, self.supervisor, self.address, self.first) if self.has_etcd else self._start_kine()
        self._start_api_server(store)

    def start_controllers(self, api: Api) -> None:
        """Wait for the API server, then start controller manager and scheduler."""
        self.supervisor.wait_for("the API server", api.ready)
        several = str(self.has_etcd).lower()
        self._start_controller_manager(several)
        own = {**self._clients("scheduler"), "leader-elect": several, "profiling": "false", "bind-address": "127.0.0.1", "v": "0"}
        self.supervisor.start("kube-scheduler", ["kube-scheduler", *arguments(self.options.items("kube-scheduler-arg"), own)], memory=80)

    def _start_kine(self) -> dict[str, str]:
        database, socket = self.layout.server / "db" / "state.db", self.layout.server / "kine.sock"
        database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        socket.unlink(missing_ok=True)
        query = "_journal=WAL&cache=shared&_busy_timeout=30000&_txlock=immediate"
        command = ["kine", f"--endpoint=sqlite://{database}?{query}", f"--listen-address=unix://{socket}", "--metrics-bind-address=0"]
        self.supervisor.start("kine", command, memory=100)
        self.supervisor.wait_for("kine", socket.exists, timeout=60)
        return {"etcd-servers": f"unix://{socket}"}

    def _start_api_server(self, store: dict[str, str]) -> None:
        tls = self.tls
        own = {
            **store, "advertise-address": self.address, "bind-address": self.options.text("bind-address", "0.0.0.0"), "secure-port": self.port,
            "allow-privileged": "true", "anonymous-auth": "true", "authorization-mode": "Node,RBAC", "client-ca-file": f"{tls}/client-ca.crt",
            "enable-admission-plugins": "NodeRestriction", "endpoint-reconciler-type": "lease", "event-ttl": "1h", "profiling": "false",
            "kubelet-client-certificate": f"{tls}/client-kube-apiserver.crt", "kubelet-client-key": f"{tls}/client-kube-apiserver.key",
            "kubelet-preferred-address-types": "InternalIP,ExternalIP,Hostname",
            "proxy-client-cert-file": f"{tls}/client-auth-proxy.crt", "proxy-client-key-file": f"{tls}/client-auth-proxy.key",
            "requestheader-allowed-names": "system:auth-proxy", "requestheader-client-ca-file": f"{tls}/request-header-ca.crt",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-", "requestheader-group-headers": "X-Remote-Group",
            "requestheader-username-headers": "X-Remote-User", "service-account-issuer": f"https://kubernetes.default.svc.{self.cluster.cluster_domain}",
            "service-account-key-file": f"{tls}/service.key", "service-account-signing-key-file": f"{tls}/service.key",
            "service-cluster-ip-range": self.service_cidr, "service-node-port-range": self.options.text("service-node-port-range", "30000-32767"),
            "tls-cert-file": f"{tls}/serving-kube-apiserver.crt", "tls-private-key-file": f"{tls}/serving-kube-apiserver.key",
            "token-auth-file": str(self.layout.server / "cred" / "tokens.csv"), "v": "0",
        }
        self.supervisor.start("kube-apiserver", ["kube-apiserver", *arguments(self.options.items("kube-apiserver-arg"), own)], memory=500)

    def _clients(self, name: str) -> dict[str, str]:
        path = str(self.layout.server / "cred" / f"{name}.kubeconfig")
        return {"kubeconfig": path, "authentication-kubeconfig": path, "authorization-kubeconfig": path}

    def _start_controller_manager(self, several: str) -> None:
        tls = self.tls
        own = {
            **self._clients("controller"), "allocate-node-cidrs": "true", "cluster-cidr": self.cluster.cluster_cidr, "bind-address": "127.0.0.1",
            "cluster-signing-cert-file": f"{tls}/client-ca.crt", "cluster-signing-key-file": f"{tls}/client-ca.key", "leader-elect": several,
            "profiling": "false", "root-ca-file": f"{tls}/server-ca.crt", "service-account-private-key-file": f"{tls}/service.key",
            "service-cluster-ip-range": self.service_cidr, "use-service-account-credentials": "true", "v": "0",
        }
        command = ["kube-controller-manager", *arguments(self.options.items("kube-controller-manager-arg"), own)]
        self.supervisor.start("kube-controller-manager", command, memory=120)
