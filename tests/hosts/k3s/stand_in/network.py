"""The host's network: its own address, the kernel's switches, what flannel and CNI are told."""
from __future__ import annotations

import ipaddress
import json
import re
import socket
import subprocess
from pathlib import Path

from .layout import FLANNEL_SUBNET, Layout, write
from .log import log

SWITCHES = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/forwarding": "1",
    "net/bridge/bridge-nf-call-iptables": "1",
    "net/bridge/bridge-nf-call-ip6tables": "1",
}


def own_address() -> str:
    """The address by which this host leaves by its default route; that of its name where it has no such route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # no packet is sent
            return str(probe.getsockname()[0])
        except OSError:
            pass
    done = subprocess.run(["ip", "-j", "-4", "address", "show", "scope", "global", "up"], capture_output=True, text=True, check=True)
    for link in json.loads(done.stdout):
        for address in link.get("addr_info", []):
            return str(address["local"])
    return socket.gethostbyname(socket.gethostname())


def nth(network: str, number: int) -> str:
    """An address of a network.

    >>> nth("10.43.0.0/16", 1), nth("10.43.0.0/16", 10)
    ('10.43.0.1', '10.43.0.10')
    """
    return str(ipaddress.ip_network(network.split(",", maxsplit=1)[0])[number])


def set_switches() -> None:
    """Turn on what pods need of the kernel; a switch that cannot be turned is logged."""
    for name, value in SWITCHES.items():
        path = Path("/proc/sys") / name
        try:
            if path.read_text().strip() != value:
                path.write_text(value)
        except OSError as error:
            log(f"Failed to set sysctl {name}: {error}", "warning")


def backend(wanted: str) -> str:
    """The backend of flannel: the wanted one, host-gw instead of vxlan where the kernel has no vxlan."""
    if wanted != "vxlan" or _kernel_has_vxlan():
        return wanted
    log("This kernel has no vxlan: flannel uses host-gw", "warning")
    return "host-gw"


def _kernel_has_vxlan() -> bool:
    made = subprocess.run("ip link add k3s-probe type vxlan id 4094 dstport 8479 dev lo && ip link delete k3s-probe", shell=True, check=False,
                          capture_output=True)
    return made.returncode == 0


def resolver(layout: Layout) -> str:
    """The resolv.conf for pods: the host's, or one of our own where that names loopback addresses alone, which no pod reaches."""
    host = Path("/etc/resolv.conf")
    servers = re.findall(r"^nameserver\s+(\S+)", host.read_text() if host.is_file() else "", re.MULTILINE)
    if servers and not all(ipaddress.ip_address(server.split("%")[0]).is_loopback for server in servers):
        return str(host)
    own = layout.agent_etc / "resolv.conf"
    write(own, "nameserver 8.8.8.8\n", 0o644)
    return str(own)


def write_cni(layout: Layout) -> bool:
    """Write the CNI configuration for the subnet that flannel has got; whether it has one yet.

    The flannel plugin would hand the same to the bridge plugin; it is in no registry.
    """
    if not FLANNEL_SUBNET.is_file():
        return False
    values = dict(line.split("=", 1) for line in FLANNEL_SUBNET.read_text().splitlines() if "=" in line)
    subnet = str(ipaddress.ip_network(values["FLANNEL_SUBNET"], strict=False))
    bridge = {
        "type": "bridge", "bridge": "cni0", "mtu": int(values["FLANNEL_MTU"]), "hairpinMode": True, "isDefaultGateway": True, "forceAddress": True,
        "ipMasq": False,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]], "routes": [{"dst": values["FLANNEL_NETWORK"]}],
                 "dataDir": "/var/lib/cni/networks"},
    }
    document = {"name": "cbr0", "cniVersion": "1.0.0", "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]}
    write(layout.cni / "10-flannel.conflist", json.dumps(document, indent=2) + "\n")
    return True
