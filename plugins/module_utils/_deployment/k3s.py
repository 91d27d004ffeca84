# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""A host of a k3s cluster: what it is in the cluster, what is to be on it, and what differs. No I/O."""
from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, checksum, url_host

STATE, UNITS = "/etc/rancher/k3s", "/etc/systemd/system"
SYSCTL = "/etc/sysctl.d/90-k3s.conf"
LINKS = ("/usr/local/bin/kubectl", "/usr/local/bin/crictl", "/usr/local/bin/ctr")
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_ADDRESS = re.compile("[0-9.]+|[0-9a-fA-F:]+")


@dataclass(frozen=True)
class Variables:
    """The variables k3s_*, which roles/k3s/meta/argument_specs.yml documents."""

    version: str = ""
    release_url: str = ""
    checksum: str = ""
    airgap_folder: str = ""
    image_archives: Sequence[str] = ()
    token: str = ""
    address: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    manifests: Mapping[str, str] = field(default_factory=dict)
    firewall: str = "check"
    adopt: bool = False
    min_memory_mb: int = 0


@dataclass(frozen=True)
class Inventory:
    """The hosts of the cluster: of both groups, and of this run, and by which address others reach each."""

    host: str
    servers: Sequence[str] = ()
    agents: Sequence[str] = ()
    addresses: Mapping[str, str] = field(default_factory=dict)
    play_hosts: Sequence[str] = ()

    @property
    def is_server(self) -> bool:
        """Whether the host is a server, and not an agent."""
        return self.host in self.servers

    @property
    def first(self) -> str:
        """The server that the others join, or ""."""
        return self.servers[0] if self.servers else ""

    @property
    def is_first(self) -> bool:
        """Whether the host is that server."""
        return self.host == self.first

    @property
    def server_addresses(self) -> list[str]:
        """The addresses of the servers."""
        return [self.addresses[name] for name in self.servers]


@dataclass(frozen=True)
class Host:
    """A host: its variables, its place in the cluster, what the probe has said of it, and what was found on the control node."""

    given: Variables
    inventory: Inventory
    #: The probe's lines NAME=VALUE as a dictionary, and as they are: a file has two, with its checksum and its mode.
    facts: Mapping[str, str] = field(default_factory=dict)
    lines: Sequence[str] = ()
    token: str = ""
    #: The files but for config.yaml, the token and the manifests, by path; and the manifest that configures Traefik.
    files: Mapping[str, str] = field(default_factory=dict)
    traefik: str = ""
    #: config.yaml's text of a dictionary: YAML is not the standard library's.
    config_text: str = ""
    #: The lists of checksums of the release, downloaded and in the air-gap folder, and the image archives that were found.
    sums: str = ""
    airgap_sums: str = ""
    archives_found: Sequence[Mapping[str, Any]] = ()

    def fact(self, name: str) -> str:
        """Return what the probe has said, or ""."""
        return self.facts.get(name, "")

    # Its place in the cluster

    @property
    def unit(self) -> str:
        """The name of its service."""
        return "k3s" if self.inventory.is_server else "k3s-agent"

    @property
    def data(self) -> str:
        """k3s's data directory."""
        return str(self.given.config.get("data-dir") or "/var/lib/rancher/k3s")

    @property
    def node(self) -> str:
        """The name of its node."""
        return str(self.given.config.get("node-name") or self.fact("hostname"))

    @property
    def port(self) -> int:
        """The API server's port."""
        return int(self.given.config.get("https-listen-port") or 6443)

    @property
    def url(self) -> str:
        """The API server of the first server."""
        return f"https://{url_host(self.inventory.server_addresses[0] if self.inventory.servers else '')}:{self.port}"

    @property
    def has_etcd(self) -> bool:
        """Whether the servers share an embedded etcd."""
        return len(self.inventory.servers) > 1 and "datastore-endpoint" not in self.given.config

    @property
    def disabled(self) -> list[str]:
        """The components that are turned off, given as a list or separated by commas."""
        given = self.given.config.get("disable") or []
        return ",".join(given if isinstance(given, list) else [given]).split(",")

    @property
    def has_ingress(self) -> bool:
        """Whether Traefik listens on the hosts."""
        return not {"traefik", "servicelb"} & set(self.disabled)

    # What must be free or open

    @property
    def ports(self) -> list[int]:
        """The ports that k3s listens on, on any address. For Traefik's, kernel rules take precedence over any listener."""
        server = self.inventory.is_server
        return [
            10248, 10249, 10250, 10256, 6444, *([self.port, 10257, 10258, 10259] if server else []),
            *([2379, 2380] if server and self.has_etcd else []), *([80, 443] if server and self.has_ingress else []),
        ]  # fmt: skip

    @property
    def firewall_rules(self) -> list[str]:
        """What a firewall has to let through (https://docs.k3s.io/installation/requirements).

        The API server and the ingress for everyone, everything for other nodes, pods and Services. Node ports such as flannel's are for other nodes.
        """
        given = self.given.config
        networks = [*_networks(given.get("cluster-cidr") or "10.42.0.0/16"), *_networks(given.get("service-cidr") or "10.43.0.0/16")]
        others = [address for name, address in self.inventory.addresses.items() if name != self.inventory.host]
        return [
            *([f"port:{self.port}/tcp"] if self.inventory.is_server else []), *(["port:80/tcp", "port:443/tcp"] if self.has_ingress else []),
            *(f"source:{each.strip()}" for each in [*networks, *(each for each in others if _ADDRESS.fullmatch(each))]),
        ]  # fmt: skip

    # What is to be on it

    @property
    def unit_path(self) -> str:
        """The file of its service."""
        return f"{UNITS}/{self.unit}.service"

    @property
    def manifests_folder(self) -> str:
        """Where k3s finds manifests."""
        return f"{self.data}/server/manifests"

    @property
    def manifests(self) -> dict[str, str]:
        """The manifests that a server applies, by the names of their files."""
        if not self.inventory.is_server:
            return {}
        return {**({} if "traefik" in self.disabled else {"traefik-config.yaml": self.traefik}), **self.given.manifests}

    @property
    def restarting_paths(self) -> list[str]:
        """The files that k3s reads when it starts."""
        return [f"{STATE}/config.yaml", f"{STATE}/registries.yaml", f"{STATE}/token", f"{self.unit_path}.env", self.unit_path]

    @property
    def paths(self) -> list[str]:
        """All files."""
        return [*self.restarting_paths, SYSCTL, *(f"{self.manifests_folder}/{name}" for name in self.manifests)]

    @property
    def own_config(self) -> dict[str, Any]:
        """The role's part of config.yaml."""
        inventory, address = self.inventory, self.given.address
        server = {"tls-san": list(dict.fromkeys(inventory.server_addresses)), "write-kubeconfig-mode": "0600"}
        joins = not inventory.is_server or (self.has_etcd and not inventory.is_first)
        return {
            "node-name": self.node, "token-file": f"{STATE}/token",
            **({"node-ip": address} if address in self.fact("addresses").split() else {}), **(server if inventory.is_server else {}),
            **({"cluster-init": True} if inventory.is_first and self.has_etcd else {}), **({"server": self.url} if joins else {}),
        }  # fmt: skip

    @property
    def config(self) -> dict[str, Any]:
        """config.yaml. The user's options come before the role's, and their lists are added to its."""
        own = self.own_config
        for name, value in self.given.config.items():
            before = own.get(name)
            own[name] = [*(each for each in before if each not in value), *value] if isinstance(before, list) and isinstance(value, list) else value
        return own

    @cached_property
    def contents(self) -> dict[str, str]:
        """All files, with their contents."""
        read = {**self.files, f"{STATE}/config.yaml": self.config_text, f"{STATE}/token": self.token}
        own = {path: read.get(path, "") for path in [*self.restarting_paths, SYSCTL]}
        return {**own, **{f"{self.manifests_folder}/{name}": text for name, text in self.manifests.items()}}

    @property
    def modes(self) -> dict[str, str]:
        """The modes of the files: what may hold a secret is for root alone."""
        return {path: "0644" if path in (self.unit_path, SYSCTL) else "0600" for path in self.paths}

    @property
    def folders(self) -> dict[str, str]:
        """The folders, with their modes."""
        server = {f"{self.data}/server": "0700", self.manifests_folder: "0700"} if self.inventory.is_server else {}
        return {STATE: "0755", posixpath.dirname(self.data): "0755", self.data: "0755", **server}

    # What differs

    @property
    def missing_folders(self) -> list[str]:
        """The folders that are not there."""
        return [path for path in self.folders if f"folder:{path}" not in self.facts]

    @property
    def missing_links(self) -> list[str]:
        """The programs that neither k3s nor the host provides."""
        return [path for path in LINKS if f"link:{path}" not in self.facts]

    @property
    def wrong_files(self) -> list[str]:
        """The files that have another content or mode, or are not there."""
        there = set(self.lines)
        return [
            path for path in self.paths
            if f"{path}={checksum(self.contents[path])}" not in there or f"{path}={self.modes[path]}" not in there
        ]  # fmt: skip

    @property
    def prepares(self) -> bool:
        """Whether anything is done before k3s is installed: packages, folders, the mark, image archives, the firewall."""
        is_closed = self.given.firewall == "open" and bool(self.fact("firewall_missing"))
        has_other_images = bool(self.archives) and self.fact("images") != self.images_mark
        return bool(self.fact("apparmor_package") or self.missing_folders) or self.fact("mark") != "yes" or is_closed or has_other_images

    @property
    def is_installed(self) -> bool:
        """Whether it has k3s."""
        return self.fact("version") != ""

    @property
    def needs_binary(self) -> bool:
        """Whether it has another version, or another file than the one of that checksum."""
        return self.fact("version") != self.given.version or self.checksum_given not in ("", self.fact("checksum"))

    @property
    def applied(self) -> str:
        """What a run has applied: k3s's version and what it reads when it starts."""
        return checksum(as_json([self.given.version, *(self.contents[path] for path in self.restarting_paths)]))

    @property
    def restarts(self) -> bool:
        """Whether k3s is started or restarted."""
        return (
            self.needs_binary or self.fact("applied") != self.applied or self.fact("enabled") != "enabled"
            or self.fact("active") not in ("active", "activating") or bool(set(self.wrong_files) & set(self.restarting_paths))
        )  # fmt: skip

    @property
    def waits(self) -> bool:
        """Whether its node is waited for."""
        return self.restarts or self.fact("active") != "active" or self.fact("cordoned") == "yes"

    @property
    def changes(self) -> bool:
        """Whether anything is done on it."""
        return self.waits or bool(self.wrong_files or self.missing_links) or self.fact("ip_forward") != "1"

    # Where the binary comes from

    @property
    def architecture(self) -> str:
        """The architecture in k3s's words, or "" where there is no release for it."""
        return _ARCHITECTURES.get(self.fact("architecture"), "")

    @property
    def asset(self) -> str:
        """The binary's name in the release."""
        return "k3s" if self.architecture == "amd64" else f"k3s-{self.architecture}"

    @property
    def sums_name(self) -> str:
        """The list of checksums in the release."""
        return f"sha256sum-{self.architecture}.txt"

    @property
    def source(self) -> str:
        """Where the binary is."""
        return f"{self.given.airgap_folder or self.given.release_url}/{self.asset}"

    @property
    def checksum_given(self) -> str:
        """The binary's checksum, if it is known without the release's list."""
        return self.given.checksum or self._listed(self.airgap_sums)

    @property
    def checksum(self) -> str:
        """The binary's checksum, or "" where it is not known."""
        return self.checksum_given or self._listed(self.sums)

    def _listed(self, sums: str) -> str:
        found = re.search(rf"(?m)^([0-9a-f]{{64}}) [ *]{self.asset}$", sums)
        return found[1] if found else ""

    @property
    def archives(self) -> list[dict[str, Any]]:
        """The image archives for it: those that are named, and those in the air-gap folder that are not for another architecture."""
        found = sorted(self.archives_found, key=lambda each: str(each["path"]))
        others = "|".join(each for each in ("amd64", "arm64", "arm") if each != self.architecture)
        folder = f"{self.given.airgap_folder or 'none'}/"
        named = [each for each in found if each["path"] in self.given.image_archives]
        own = [each for each in found if each["path"].startswith(folder) and not re.search(rf"-({others})[.]tar", each["path"])]
        return [dict(each) for each in [*named, *(each for each in own if each not in named)]]

    @property
    def images_mark(self) -> str:
        """What identifies the archives."""
        return ", ".join(f"{posixpath.basename(each['path'])} {each['size']} {each['mtime']}" for each in self.archives)


def _networks(text: Any) -> list[str]:
    return str(text).split(",")
