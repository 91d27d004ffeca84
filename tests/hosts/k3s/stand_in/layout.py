"""Where k3s keeps its files, below its data folder and elsewhere."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CONFIG = Path("/etc/rancher/k3s/config.yaml")
KUBECONFIG = Path("/etc/rancher/k3s/k3s.yaml")
REGISTRIES = Path("/etc/rancher/k3s/registries.yaml")
RUN = Path("/run/k3s")
CONTAINERD_SOCKET = RUN / "containerd" / "containerd.sock"
FLANNEL_SUBNET = Path("/run/flannel/subnet.env")
CNI_PLUGINS = Path("/usr/lib/cni")
DEFAULT_DATA = Path("/var/lib/rancher/k3s")


@dataclass(frozen=True)
class Layout:
    """The folders below `data` (k3s's --data-dir)."""

    data: Path = DEFAULT_DATA

    @property
    def server(self) -> Path:
        return self.data / "server"

    @property
    def agent(self) -> Path:
        return self.data / "agent"

    @property
    def server_tls(self) -> Path:
        return self.server / "tls"

    @property
    def manifests(self) -> Path:
        return self.server / "manifests"

    @property
    def images(self) -> Path:
        return self.agent / "images"

    @property
    def agent_etc(self) -> Path:
        return self.agent / "etc"

    @property
    def cni(self) -> Path:
        return self.agent_etc / "cni" / "net.d"


def write(path: Path, text: str, mode: int = 0o600) -> bool:
    """Write `text` to `path` where it differs; the folders are made. Returns whether anything changed."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.is_file() and path.read_text() == text and path.stat().st_mode & 0o777 == mode:
        return False
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(mode)
    new.replace(path)
    return True
