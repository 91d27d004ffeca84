"""What differs on a host from what is to be there, and what a run then does."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.k3s import LINKS, Host, Inventory, Variables
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import checksum

VERSION = "v1.34.4+k3s1"
FACTS = {
    "architecture": "x86_64", "hostname": "a", "addresses": "10.0.0.1", "version": VERSION, "active": "active", "enabled": "enabled", "mark": "yes",
    "cordoned": "no", "ip_forward": "1", "firewall_missing": "", "images": "", "apparmor_package": "",
}


def settled(**variables: Any) -> Host:
    """The only server, where everything is as it is to be."""
    given = Variables(version=VERSION, address="10.0.0.1", **variables)
    host = Host(given, Inventory("a", ["a"], [], {"a": "10.0.0.1"}, ["a"]), FACTS, token="t", config_text="c", traefik="x")
    lines = [f"{path}={value}" for path in host.paths for value in (checksum(host.contents[path]), host.modes[path])]
    there = {f"folder:{path}": "yes" for path in host.folders} | {f"link:{path}": "k3s" for path in LINKS}
    return replace(host, lines=lines, facts={**FACTS, **there, "applied": host.applied})


def test_nothing_is_done_where_everything_is_right() -> None:
    host = settled()
    assert [name for name in ("changes", "restarts", "waits", "prepares", "needs_binary") if getattr(host, name)] == []
    assert host.wrong_files == host.missing_folders == host.missing_links == []


@pytest.mark.parametrize(("fact", "value", "done"), [
    ("version", "", {"changes", "restarts", "waits", "needs_binary"}),
    ("applied", "x", {"changes", "restarts", "waits"}),
    ("enabled", "disabled", {"changes", "restarts", "waits"}),
    ("active", "failed", {"changes", "restarts", "waits"}),
    ("active", "activating", {"changes", "waits"}),
    ("cordoned", "yes", {"changes", "waits"}),
    ("ip_forward", "0", {"changes"}),
    ("mark", "no", {"prepares"}),
    ("apparmor_package", "apparmor", {"prepares"}),
])
def test_what_is_done_follows_from_what_is_found(fact: str, value: str, done: set[str]) -> None:
    host = settled()
    host = replace(host, facts={**host.facts, fact: value})
    assert {name for name in ("changes", "restarts", "waits", "prepares", "needs_binary") if getattr(host, name)} == done


@pytest.mark.parametrize(("path", "restarts"), [
    ("/etc/rancher/k3s/config.yaml", True), ("/etc/systemd/system/k3s.service", True), ("/etc/sysctl.d/90-k3s.conf", False),
    ("/var/lib/rancher/k3s/server/manifests/traefik-config.yaml", False),
])
def test_only_what_k3s_reads_when_it_starts_restarts_it(path: str, restarts: bool) -> None:
    host = settled()
    host = replace(host, lines=[line for line in host.lines if line != f"{path}={host.modes[path]}"])
    assert host.wrong_files == [path]
    assert host.restarts is restarts
    assert host.changes


@pytest.mark.parametrize(("firewall", "prepares"), [("open", True), ("check", False)])
def test_a_firewall_is_opened_on_request(firewall: str, prepares: bool) -> None:
    host = settled(firewall=firewall)
    assert replace(host, facts={**host.facts, "firewall_missing": "port:6443/tcp "}).prepares is prepares


def test_image_archives_are_copied_once() -> None:
    found = [{"path": path, "size": 1, "mtime": 2} for path in ("/air/a.tar", "/air/b-arm64.tar", "/own/c.tar", "/own/d.tar")]
    host = replace(settled(airgap_folder="/air", image_archives=["/own/c.tar"]), archives_found=found)
    assert [each["path"] for each in host.archives] == ["/own/c.tar", "/air/a.tar"]
    assert host.prepares
    assert not replace(host, facts={**host.facts, "images": host.images_mark}).prepares
