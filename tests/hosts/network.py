"""The bridge between the hosts, and their way to the outside."""
from __future__ import annotations

from pathlib import Path

from command import run, succeeds

BRIDGE = "mlops0"
GATEWAY = "10.77.0.1"
SUBNET = "10.77.0.0/24"
PREFIX_LENGTH = 24
FIRST = 11
CHAIN = "MLOPS-HOSTS"


def address(index: int) -> str:
    """The address of a host by its number from 0.

    >>> address(1)
    '10.77.0.12'
    """
    return f"{GATEWAY.rpartition('.')[0]}.{FIRST + index}"


def _iptables(*words: str) -> None:
    run("iptables", "--wait", *words)


def up(airgap: bool) -> None:
    """Make the bridge and, unless ``airgap``, the way to the outside."""
    if not Path(f"/sys/class/net/{BRIDGE}").exists():
        run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "address", "replace", f"{GATEWAY}/{PREFIX_LENGTH}", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    _remove_rules()
    _iptables("--new-chain", CHAIN)
    _iptables("--append", CHAIN, "--in-interface", BRIDGE, "--out-interface", BRIDGE, "--jump", "ACCEPT")
    # Refused rather than dropped, so that whoever tries is told at once.
    _iptables("--append", CHAIN, "--in-interface", BRIDGE, "--jump", "REJECT" if airgap else "ACCEPT")
    _iptables("--append", CHAIN, "--out-interface", BRIDGE, "--jump", "REJECT" if airgap else "ACCEPT")
    _iptables("--insert", "FORWARD", "--jump", CHAIN)
    if not airgap:
        _iptables("--table", "nat", "--append", "POSTROUTING", *_OUTWARD)


_OUTWARD = ("--source", SUBNET, "!", "--destination", SUBNET, "--jump", "MASQUERADE", "--match", "comment", "--comment", CHAIN)


def _remove_rules() -> None:
    while succeeds("iptables", "--wait", "--table", "nat", "--delete", "POSTROUTING", *_OUTWARD):
        pass
    while succeeds("iptables", "--wait", "--delete", "FORWARD", "--jump", CHAIN):
        pass
    if succeeds("iptables", "--wait", "--flush", CHAIN):
        _iptables("--delete-chain", CHAIN)


def down() -> None:
    """Remove all of it."""
    _remove_rules()
    if Path(f"/sys/class/net/{BRIDGE}").exists():
        run("ip", "link", "delete", BRIDGE)


def nameservers() -> str:
    """The resolv.conf of the hosts: this machine's, or where that is a server on this machine alone, what stands behind it."""
    for path in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        lines = path.read_text().splitlines() if path.exists() else []
        servers = [line for line in lines if line.startswith("nameserver ") and not line.split()[1].startswith(("127.", "::1"))]
        if servers:
            return "\n".join(servers) + "\n"
    return no_nameserver()


def no_nameserver() -> str:
    """The resolv.conf of hosts that reach nobody: the gateway, where nothing answers, and says so at once."""
    return f"nameserver {GATEWAY}\n"
