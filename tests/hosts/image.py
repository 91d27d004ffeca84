"""The tree that every test host starts from: Debian bookworm with systemd, SSH and Python, no k3s.

Bookworm, since systemd 256 and later refuse cgroup v1.
"""
from __future__ import annotations

from pathlib import Path

import cache
import debian
from command import progress, run
from versions import VERSIONS

SUITE = "bookworm"
PACKAGES = (
    # a host that Ansible can work on
    "ca-certificates", "curl", "dbus", "gpg", "iproute2", "iputils-ping", "kmod", "libpam-systemd", "openssh-server", "procps", "python3",
    "python3-apt", "python3-venv", "sudo", "systemd", "systemd-sysv", "zstd",
    # what k3s brings along, and its stand-in takes from the host
    "conntrack", "containerd", "containernetworking-plugins", "etcd-client", "etcd-server", "ethtool", "ipset", "iptables", "runc", "socat",
    # images are built on a host
    "buildah", "fuse-overlayfs", "skopeo",
)  # fmt: skip
# The container mounts these read-only, and / private; the kubelet needs to write there, and to share mounts. 'remount,rw' alone is refused as busy.
MOUNTS = """\
[Unit]
Description=Mounts as on a machine of its own
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target systemd-sysctl.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'for mount in /proc/sys /sys/fs/cgroup $(findmnt -rno TARGET -t cgroup,cgroup2); \
do mount -o remount,bind,rw $mount || true; done'
ExecStart=/bin/mount --make-rshared /

[Install]
WantedBy=sysinit.target
"""
# The pods' network is none of systemd-networkd's business.
NETWORKD = "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n"
ENABLED = ("host-mounts.service", "ssh.service", "systemd-networkd.service")
DISABLED = (
    *("containerd.service", "etcd.service", "systemd-networkd-wait-online.service"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer"),
)


def _make(folder: Path) -> None:
    progress(f"making the tree of the hosts: Debian {SUITE} (some minutes, once)")
    tree = folder / "tree"
    debian.bootstrap(SUITE, PACKAGES, tree)
    units = tree / "etc" / "systemd" / "system"
    (units / "host-mounts.service").write_text(MOUNTS)
    networkd = tree / "etc" / "systemd" / "networkd.conf.d"
    networkd.mkdir()
    (networkd / "kubernetes.conf").write_text(NETWORKD)
    run("systemctl", f"--root={tree}", "enable", *ENABLED)
    run("systemctl", f"--root={tree}", "disable", *DISABLED)
    # Each host makes its own.
    debian.remove(tree, ["etc/ssh/ssh_host_*", "var/lib/dbus/machine-id"])
    (tree / "etc" / "machine-id").write_text("")


def tree() -> Path:
    """The folder of the tree, which is made where it is missing."""
    inputs = [SUITE, PACKAGES, MOUNTS, NETWORKD, ENABLED, DISABLED, VERSIONS["debian"]]
    return cache.kept("host", inputs, _make) / "tree"
