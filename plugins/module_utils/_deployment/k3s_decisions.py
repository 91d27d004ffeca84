# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What the role k3s asks for, by name, each from what the role gives (roles/k3s/vars/main.yml). No I/O."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import k3s_problems
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.k3s import LINKS, Host, Inventory, Variables
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import read

Given = Mapping[str, Any]
#: What is known before a host is probed, and what only then.
_EARLY = ("firewall_rules", "folders", "modes", "node", "paths", "ports", "url")
_BINARY = ("architecture", "asset", "checksum", "checksum_given", "is_installed", "needs_binary", "source", "sums_name")
_LATE = (
    "applied", "archives", "changes", "contents", "images_mark", "missing_folders", "missing_links", "prepares", "restarts", "waits", "wrong_files",
)  # fmt: skip


def _inventory(given: Given) -> Inventory:
    servers, agents = given["servers"], given["agents"]
    hosts = [*servers, *agents]
    reached = zip(given["k3s_addresses"], given["ansible_hosts"], hosts)
    addresses = {host: next(filter(None, names)) for host, names in zip(hosts, reached)}
    return Inventory(given["host"], servers, agents, addresses, given["play_hosts"])


def _early(given: Given) -> Host:
    return Host(
        read(Variables, given["variables"], "k3s_"), _inventory(given), given["facts"], sums=given["sums"].get("content", ""),
        airgap_sums=given["airgap_sums"],
    )  # fmt: skip


def _host(given: Given) -> Host:
    return Host(
        read(Variables, given["variables"], "k3s_"), _inventory(given), given["facts"], given["lines"], given["token"], given["files"],
        given["traefik"], given["config"], given["sums"].get("content", ""), given["airgap_sums"], given["archives"],
    )  # fmt: skip


def before(given: Given) -> dict[str, Any]:
    """What is known before the host is probed, and, after that, about the binary."""
    host = _early(given)
    return {"links": [*LINKS], **{name: getattr(host, name) for name in (*_EARLY, *_BINARY)}}


def config(given: Given) -> dict[str, Any]:
    """config.yaml, as a dictionary."""
    return _early(given).config


def host(given: Given) -> dict[str, Any]:
    """Everything about the host."""
    found = _host(given)
    return {name: getattr(found, name) for name in _LATE}


def problems(given: Given) -> list[str]:
    """What prevents k3s on the host."""
    peers = {name: facts for name, facts in given["peers"] if facts and name != given["host"]}
    airgap = given["airgap_binary"].get("stat") or {}
    return k3s_problems.problems(k3s_problems.Run(_host(given), peers, given["sums"].get("msg", ""), airgap))


DECISIONS: dict[str, Callable[[Given], Any]] = {function.__name__: function for function in (before, config, host, problems)}
