# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What prevents k3s on a host, one sentence each: the variable or the host, its value, the remedy. No I/O."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.k3s import Host

_RELEASE = re.compile(r"v([0-9]+)[.]([0-9]+)[.]([0-9]+)(?:-rc[0-9]+)?[+]k3s([0-9]+)")
_NODE_NAME = re.compile("[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
#: What the role writes into config.yaml itself.
_OWN_OPTIONS = ("token", "agent-token", "token-file", "server", "cluster-init")


@dataclass(frozen=True)
class Run:
    """What a host's problems depend on besides the host itself."""

    host: Host
    #: What the probe has said of the other hosts of this run, by name.
    peers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: Why the release's list could not be downloaded, and what the binary in the air-gap folder is: exists, checksum.
    sums_error: str = ""
    airgap_binary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def speaks(self) -> bool:
        """Whether the host says what is wrong with all hosts alike, which is said once."""
        return self.host.inventory.host == self.host.inventory.play_hosts[0]


def problems(run: Run) -> list[str]:
    """Return what prevents k3s on the host."""
    parts = (_version, _groups, _owner, _machine, _names, _ports, _firewall, _token, _options, _binary, _archives, _data)
    return [problem for part in parts for problem in part(run)]


def _release(version: str) -> tuple[int, ...]:
    """A release as numbers, () for what is none. A candidate counts as its release."""
    found = _RELEASE.fullmatch(version)
    return tuple(map(int, found.groups())) if found else ()


def _version(run: Run) -> Iterator[str]:
    host, wanted = run.host, run.host.given.version
    name, there = host.inventory.host, host.fact("version")
    then, now = _release(wanted), _release(there)
    if not then:
        if run.speaks:
            yield f"k3s_version: '{wanted}' is not a k3s release; use a release tag such as v1.34.4+k3s1"
    elif now and then < now:
        yield f"k3s_version: {wanted} is older than {there}, which {name} has, and k3s cannot be downgraded; choose that version or a newer one"
    elif now and (then[0] != now[0] or then[1] > now[1] + 1):
        yield (
            f"k3s_version: {name} has {there}, and Kubernetes cannot skip a minor version on the way to {wanted}; upgrade to each minor version in "
            "between first"
        )


def _groups(run: Run) -> Iterator[str]:
    inventory = run.host.inventory
    name, servers = inventory.host, inventory.servers
    if not servers and run.speaks:
        yield "k3s_server: this inventory group has no hosts; add the host that will be the server"
    if not inventory.is_server and name not in inventory.agents:
        yield f"{name} is in neither of the groups k3s_server and k3s_agent; add it to one of them"
    elif inventory.is_server and name in inventory.agents:
        yield f"{name} is in both groups, k3s_server and k3s_agent; keep it in one of them, since a server runs pods too"
    if run.speaks and run.host.has_etcd and len(servers) % 2 == 0:
        yield (
            f"k3s_server: {len(servers)} servers with embedded etcd survive no more failures than {len(servers) - 1}; remove one from the group, or "
            "add one"
        )


def _owner(run: Run) -> Iterator[str]:
    owner = run.host.fact("owner")
    if owner not in ("", "role") and not run.host.given.adopt:
        yield (
            f"{run.host.inventory.host} has a k3s that this role did not install ({', '.join(owner.split())}), whose configuration and service it "
            "would replace; leave the k3s role out and point kubernetes_kubeconfig at that cluster, or set k3s_adopt: true to take it over with its "
            "data"
        )


def _machine(run: Run) -> Iterator[str]:
    host, name, least = run.host, run.host.inventory.host, run.host.given.min_memory_mb
    if host.fact("systemd") != "yes":
        yield f"{name} does not run systemd, which k3s's services need; use a distribution that does"
    if not host.architecture:
        yield (
            f"{name} has the architecture '{host.fact('architecture')}', which k3s's 64-bit releases do not support; use a host with x86_64 or "
            "aarch64"
        )
    if int(host.fact("memory_mb") or 0) < least:
        yield (
            f"{name} has {host.fact('memory_mb')} MiB of memory, less than k3s_min_memory_mb ({least}); give it more, or lower k3s_min_memory_mb at "
            "your own risk"
        )
    missing = host.fact("cgroups_missing").split()
    if missing:
        yield (
            f"{name} lacks the cgroup controllers {', '.join(missing)}; add cgroup_enable=memory cgroup_memory=1 to the kernel's command line, if "
            "memory is one of them, or enable them in the kernel, and reboot"
        )
    if host.fact("other_enabled") == "enabled":
        other = "an agent" if host.inventory.is_server else "a server"
        yield f"{name} runs k3s as {other}, and a node's role cannot be changed; uninstall k3s from it first, or move it back to its group"


def _names(run: Run) -> Iterator[str]:
    host, inventory = run.host, run.host.inventory
    node, name = host.node, inventory.host
    if not _NODE_NAME.fullmatch(node) or len(node) > 253 or node == "localhost":
        yield f"{name} is called '{node}', which is not a valid node name; change it with hostnamectl, or set node-name in the host's k3s_config"
    alike = [peer for peer, facts in run.peers.items() if facts["hostname"] == host.fact("hostname")]
    if alike and "node-name" not in host.given.config:
        yield (
            f"{name} and {alike[0]} are both called '{host.fact('hostname')}', but node names must be unique; change one with hostnamectl, or set "
            "node-name in the hosts' k3s_config"
        )
    address = inventory.server_addresses[0] if inventory.servers else ""
    if run.speaks and len([*inventory.servers, *inventory.agents]) > 1 and re.match(r"localhost$|127[.]|::1$", address):
        yield (
            f"k3s_address: {inventory.first} has '{address}', where other nodes cannot reach it; set the host variable k3s_address to its network "
            "address"
        )


def _ports(run: Run) -> Iterator[str]:
    for name, holder in run.host.facts.items():
        if name.startswith("port:"):
            ingress = ", or turn off k3s's ingress with disable: [traefik, servicelb] in k3s_config" if name in ("port:80", "port:443") else ""
            yield f"Port {name[5:]} of {run.host.inventory.host}, which k3s needs, is in use by {holder}; stop it{ingress}"


def _firewall(run: Run) -> Iterator[str]:
    host = run.host
    kind, missing = host.fact("firewall"), host.fact("firewall_missing").split()
    if host.given.firewall != "check" or host.is_installed or not kind or not missing:
        return
    ports, sources = _with_prefix("port:", missing), _with_prefix("source:", missing)
    blocked = [*([f"{', '.join(ports)} from everywhere"] if ports else []), *([f"everything from {', '.join(sources)}"] if sources else [])]
    yield (
        f"k3s_firewall: {kind} on {host.inventory.host} blocks what k3s needs: {', and '.join(blocked)}; set k3s_firewall: open to allow it, or "
        "ignore if it is allowed in another way"
    )


def _with_prefix(prefix: str, rules: Sequence[str]) -> list[str]:
    return [rule[len(prefix):] for rule in rules if rule.startswith(prefix)]


def _token(run: Run) -> Iterator[str]:
    host, first, given = run.host, run.host.inventory.first, run.host.given.token
    if not host.token:
        yield (
            f"k3s_token: {first} has no token yet, and {host.inventory.host} cannot join without one; include {first} in the run, or set k3s_token"
        )
    elif run.speaks and given and _password(host.token) != _password(given):
        yield "k3s_token: the cluster has another token; remove k3s_token to use the cluster's own, or change that one with 'k3s token rotate' first"
    elif run.speaks and re.search(r"\s", host.token):
        yield "k3s_token: it contains white space; use letters and digits only"


def _password(token: str) -> str:
    """A token without the checksum of the cluster's authority and the user's name."""
    return re.sub("^K10.*::[^:]*:", "", token)


def _options(run: Run) -> Iterator[str]:
    for option in _OWN_OPTIONS:
        if option in run.host.given.config:
            instead = ", and set k3s_token instead" if option == "token" else ""
            yield f"k3s_config: '{option}' is set by the role; remove it{instead}"


def _binary(run: Run) -> Iterator[str]:
    host, given = run.host, run.host.given
    if run.speaks and given.checksum and not re.fullmatch("[0-9a-f]{64}", given.checksum):
        yield (
            f"k3s_checksum: '{given.checksum}' is not a SHA-256 checksum; set the 64 digits that the release's {host.sums_name} has for {host.asset}"
        )
    if not (host.needs_binary and host.architecture and _release(given.version)):
        return
    there, folder = run.airgap_binary, given.airgap_folder
    if folder and not there.get("exists"):
        yield f"k3s_airgap_folder: there is no {host.source} on the control node; copy the release's file there"
    elif folder and not host.checksum:
        yield (
            f"k3s_airgap_folder: no checksum of {host.asset} in {folder}/{host.sums_name}; copy the release's file there, or set k3s_checksum"
        )
    elif not host.checksum:
        yield (
            f"k3s_release_url: no checksum of {host.asset} could be downloaded from {given.release_url}/{host.sums_name} "
            f"({run.sums_error or 'no answer'}); correct k3s_release_url or k3s_version, allow {host.inventory.host} to reach it, or use "
            "k3s_airgap_folder"
        )
    elif folder and there["checksum"] != host.checksum:
        option, too = ("k3s_checksum", ", or correct k3s_checksum") if given.checksum else ("k3s_airgap_folder", "")
        yield f"{option}: {host.source} has the checksum {there['checksum']}, not {host.checksum}; download the file again{too}"


def _archives(run: Run) -> Iterator[str]:
    found = [each["path"] for each in run.host.archives_found]
    for archive in run.host.given.image_archives:
        if run.speaks and archive not in found:
            yield (
                f"k3s_image_archives: there is no image archive {archive} on the control node; correct the path, which must end in .tar, .tar.gz or "
                ".tar.zst"
            )


def _data(run: Run) -> Iterator[str]:
    host, inventory = run.host, run.host.inventory
    if inventory.is_first or not inventory.is_server or host.fact("database") != "yes" or inventory.first not in run.peers:
        return
    if not run.peers[inventory.first]["version"]:
        yield (
            f"k3s_server: {inventory.host} has a cluster's data, but {inventory.first}, the first of the group, has no k3s yet; move "
            f"{inventory.host} to the front of the group"
        )
