"""containerd: its configuration, and the images that it is given before the kubelet starts."""
from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from . import registries
from .errors import K3sError
from .layout import CNI_PLUGINS, CONTAINERD_SOCKET, REGISTRIES, RUN, Layout, write
from .log import log
from .supervisor import Supervisor

CONFIG = """version = 2
root = "{root}"
state = "{run}/containerd"

[grpc]
  address = "{socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{root}"

[plugins."io.containerd.grpc.v1.cri"]
  enable_selinux = false
  restrict_oom_score_adj = true
  sandbox_image = "{pause}"
  stream_server_address = "127.0.0.1"
  stream_server_port = "10010"

[plugins."io.containerd.grpc.v1.cri".containerd]
  disable_snapshot_annotations = true
  snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{plugins}"
  conf_dir = "{cni}"

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "{certs}"
"""
ARCHIVES = {".tar": [], ".gz": ["gzip", "-dc"], ".tgz": ["gzip", "-dc"], ".zst": ["zstd", "-dcq"], ".bz2": ["bzip2", "-dc"], ".xz": ["xz", "-dc"]}


def environment() -> dict[str, str]:
    """What ctr needs to talk to this containerd."""
    return {**os.environ, "CONTAINERD_ADDRESS": str(CONTAINERD_SOCKET), "CONTAINERD_NAMESPACE": "k8s.io"}


def configure(layout: Layout, pause: str, registries_file: Path = REGISTRIES) -> Path:
    """Write containerd's configuration and the registries' hosts; returns the configuration's path."""
    etc = layout.agent_etc / "containerd"
    content = registries.read(registries_file)
    registries.write_hosts(content, etc / "certs.d")
    text = CONFIG.format(root=layout.agent / "containerd", run=RUN, socket=CONTAINERD_SOCKET, pause=pause, plugins=CNI_PLUGINS, cni=layout.cni,
                         certs=etc / "certs.d")
    write(etc / "config.toml", "\n".join([text, *registries.authentication(content)]) + "\n")
    return etc / "config.toml"


def start(supervisor: Supervisor, config: Path) -> None:
    """Start containerd and wait until it answers."""
    supervisor.start("containerd", ["containerd", "--config", str(config), "--log-level", "warn"], memory=150)
    supervisor.wait_for("containerd", _answers, timeout=120)


def _answers() -> bool:
    return subprocess.run(["ctr", "version"], env=environment(), capture_output=True, check=False).returncode == 0


def import_images(layout: Layout) -> None:
    """Import each archive of the images folder that has changed since its last import.

    An archive that containerd refuses is logged and left, as k3s does.
    """
    layout.images.mkdir(parents=True, exist_ok=True)
    mark = layout.agent / "containerd" / "imported.json"
    before: dict[str, list[int]] = json.loads(mark.read_text()) if mark.is_file() else {}
    after: dict[str, list[int]] = {}
    for archive in sorted(path for path in layout.images.iterdir() if path.suffix in ARCHIVES and path.is_file()):
        stamp = [archive.stat().st_size, archive.stat().st_mtime_ns]
        if before.get(archive.name) == stamp:
            after[archive.name] = stamp
            continue
        try:
            _import(archive)
            after[archive.name] = stamp
        except K3sError as error:
            log(str(error), "error")
        write(mark, json.dumps({**before, **after}))
    write(mark, json.dumps(after))


def _import(archive: Path) -> None:
    log(f"Importing images from {archive}")
    unpack = ARCHIVES[archive.suffix]
    target = "-" if unpack else str(archive)
    source = subprocess.Popen([*unpack, str(archive)], stdout=subprocess.PIPE) if unpack else None
    done = subprocess.run(["ctr", "images", "import", "--all-platforms", target], env=environment(), stdin=source.stdout if source else None,
                          capture_output=True, text=True, check=False)
    if done.returncode or (source and source.wait()):
        raise K3sError(f"Failed to process image event for {archive}: {done.stderr.strip()}")
