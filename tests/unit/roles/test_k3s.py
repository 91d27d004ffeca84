"""What the role k3s says of hosts and variables that it cannot work with, and what it then writes, without a host."""
from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).resolve().parents[3] / "roles" / "k3s"
with suppress(UserWarning):  # another test has done so
    init_plugin_loader()
LOADER = DataLoader()
VARIABLES: dict[str, Any] = {
    name: value
    for part in ("defaults", "vars")
    for name, value in LOADER.load_from_file(str(ROLE / part / "main.yml"), trusted_as_template=True).items()
}
CHECKSUM = "5bdcce17d5d20e4e18c00323701642e2b470fbd203a22f3053fa3122a975e4ec"


def seen(name: str, **different: str) -> dict[str, str]:
    """What the probe says of a host that lacks nothing and has no k3s."""
    return {
        "architecture": "x86_64",
        "hostname": name,
        "memory_mb": "4096",
        "addresses": "127.0.0.1 10.0.0.1 ",
        "cgroups_missing": "",
        "systemd": "yes",
        "active": "inactive",
        "enabled": "",
        "other_enabled": "",
        "version": "",
        "checksum": "",
        "database": "no",
        "applied": "",
        "owner": "",
        "mark": "no",
        "cordoned": "no",
        "firewall": "",
        "firewall_missing": "",
        **different,
    }


def template(text: str, host: str = "a", servers: str = "a", agents: str = "b", probes: dict[str, dict[str, str]] | None = None, **given: Any) -> Any:
    """A template of the role, as ``host`` sees it."""
    everyone = [*servers.split(), *agents.split()]
    hosts = {
        name: {
            "inventory_hostname": name,
            "ansible_host": f"10.0.0.{number}",
            "__k3s_host": seen(name, **(probes or {}).get(name, {})),
        }
        for number, name in enumerate(everyone, start=1)
    }
    variables = {
        **VARIABLES,
        **hosts[host],
        "inventory_hostname": host,
        "ansible_search_path": [str(ROLE)],
        "hostvars": hosts,
        "groups": {"k3s_server": servers.split(), "k3s_agent": agents.split()},
        "ansible_play_hosts": everyone,
        "__k3s_probed": {"stdout_lines": []},
        "__k3s_token": "secret",
        "__k3s_sums": {"content": f"{CHECKSUM}  k3s\n"},
        "__k3s_archives_found": {"files": []},
        **given,
    }
    return Templar(loader=LOADER, variables=variables).template(trust_as_template(text))


def problems(**given: Any) -> list[str]:
    """What stands in the way."""
    found: list[str] = template("{{ __k3s_given | mlops.mlflow.decide('k3s.problems') }}", **given)
    return found


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"host": "b"},
        {"agents": ""},
        {"servers": "a b c", "agents": "d e"},
        {"servers": "a b", "agents": "", "k3s_config": {"datastore-endpoint": "postgres://database"}},
        {"probes": {"a": {"architecture": "aarch64"}}, "__k3s_sums": {"content": f"{CHECKSUM}  k3s-arm64\n"}},
        {"probes": {"a": {"version": "v1.34.4+k3s1"}}, "__k3s_sums": {}},
        {"probes": {"a": {"version": "v1.33.7+k3s2"}}},
        {"probes": {"a": {"version": "v1.34.4-rc1+k3s1"}}},
        {"probes": {"a": {"owner": "role", "version": "v1.34.4+k3s1"}}},
        {"probes": {"a": {"owner": "/usr/local/bin/k3s"}}, "k3s_adopt": True},
        {"k3s_token": "secret"},
        {"k3s_token": "secret", "__k3s_token": "K10abc::server:secret"},
    ],
)
def test_nothing_is_said_where_nothing_is_wrong(given: dict[str, Any]) -> None:
    assert problems(**given) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"k3s_version": "1.34"}, "k3s_version: '1.34' is not a k3s release"),
        ({"probes": {"a": {"version": "v1.34.5+k3s1"}}}, "is older than v1.34.5+k3s1, which a has"),
        ({"probes": {"a": {"version": "v1.34.4+k3s2"}}}, "is older than v1.34.4+k3s2, which a has"),
        ({"probes": {"a": {"version": "v1.32.9+k3s1"}}}, "a has v1.32.9+k3s1, and Kubernetes cannot skip"),
        ({"servers": "a c"}, "k3s_server: 2 servers"),
        ({"probes": {"a": {"owner": "/usr/local/bin/k3s /etc/x"}}}, "a has a k3s that this role did not install (/usr/local/bin/k3s, /etc/x)"),
        ({"servers": "a", "agents": "a b"}, "a is in both groups"),
        ({"probes": {"a": {"systemd": "no"}}}, "a does not run systemd"),
        ({"probes": {"a": {"architecture": "armv7l"}}}, "a has the architecture 'armv7l'"),
        ({"probes": {"a": {"memory_mb": "900"}}}, "a has 900 MiB of memory, less than k3s_min_memory_mb (1024)"),
        ({"host": "b", "probes": {"b": {"memory_mb": "500"}}}, "b has 500 MiB of memory, less than k3s_min_memory_mb (512)"),
        ({"probes": {"a": {"cgroups_missing": "memory"}}}, "a lacks the cgroup controllers memory; add cgroup_enable=memory"),
        ({"probes": {"a": {"other_enabled": "enabled"}}}, "a runs k3s as an agent"),
        ({"probes": {"a": {"hostname": "a_b"}}}, "a is called 'a_b'"),
        ({"probes": {"a": {"hostname": "localhost"}}}, "a is called 'localhost'"),
        ({"probes": {"a": {"hostname": "b"}}}, "a and b are both called 'b'"),
        ({"probes": {"a": {"port:6443": "nginx, process 7"}}}, "Port 6443 of a, which k3s needs, is in use by nginx, process 7; stop it"),
        ({"probes": {"a": {"port:443": "nginx, process 7"}}}, "disable: [traefik, servicelb]"),
        (
            {"probes": {"a": {"firewall": "firewalld", "firewall_missing": "port:6443/tcp port:443/tcp source:10.42.0.0/16 "}}},
            "k3s_firewall: firewalld on a blocks what k3s needs: 6443/tcp, 443/tcp from everywhere, and everything from 10.42.0.0/16; set",
        ),
        ({"__k3s_token": ""}, "k3s_token: a has no token yet"),
        ({"k3s_token": "other"}, "k3s_token: the cluster has another token"),
        ({"__k3s_token": "two words"}, "k3s_token: it contains white space"),
        ({"k3s_config": {"token": "x"}}, "k3s_config: 'token' is set by the role; remove it, and set k3s_token"),
        ({"k3s_checksum": "abc"}, "k3s_checksum: 'abc' is not a SHA-256"),
        ({"__k3s_sums": {"msg": "no route"}}, "sha256sum-amd64.txt (no route)"),
        ({"k3s_airgap_folder": "/none", "__k3s_airgap_binary": {"stat": {"exists": False}}}, "k3s_airgap_folder: there is no /none/k3s"),
        ({"k3s_image_archives": ["/none.tar"]}, "k3s_image_archives: there is no image archive /none.tar"),
        (
            {"host": "b", "servers": "a b c", "agents": "", "probes": {"b": {"database": "yes"}}},
            "k3s_server: b has a cluster's data, but a, the first of the group, has no k3s yet",
        ),
        (
            {
                "k3s_airgap_folder": "/air",
                "k3s_checksum": CHECKSUM,
                "__k3s_airgap_binary": {"stat": {"exists": True, "checksum": "0" * 64}},
            },
            f"k3s_checksum: /air/k3s has the checksum {'0' * 64}, not {CHECKSUM}",
        ),
    ],
)
def test_one_sentence_says_what_is_wrong(given: dict[str, Any], said: str) -> None:
    found = problems(**given)
    assert len(found) == 1, found
    assert said in found[0]
    assert ";" in found[0] or "leave" in found[0], "it names no remedy"
    assert "secret" not in found[0]


def test_what_is_wrong_with_all_hosts_alike_is_said_once() -> None:
    assert problems(host="b", k3s_version="1.34") == []


def config(**given: Any) -> dict[str, Any]:
    """What config.yaml says."""
    found: dict[str, Any] = yaml.safe_load(template("{{ __k3s_plan.contents['/etc/rancher/k3s/config.yaml'] }}", **given))
    return found


def test_the_only_server_keeps_its_state_in_sqlite() -> None:
    assert config() == {
        "node-name": "a",
        "node-ip": "10.0.0.1",
        "token-file": "/etc/rancher/k3s/token",
        "tls-san": ["10.0.0.1"],
        "write-kubeconfig-mode": "0600",
    }


def test_three_servers_share_an_etcd_that_the_first_begins() -> None:
    first, second = (config(servers="a b c", agents="", host=host) for host in "ab")
    assert first["cluster-init"] is True
    assert "server" not in first
    assert "cluster-init" not in second
    assert second["server"] == "https://10.0.0.1:6443"
    assert first["tls-san"] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


def test_an_agent_joins_the_first_server_by_its_address() -> None:
    assert config(host="b") == {"node-name": "b", "server": "https://10.0.0.1:6443", "token-file": "/etc/rancher/k3s/token"}
    assert config(host="b", k3s_config={"https-listen-port": 7443})["server"] == "https://10.0.0.1:7443"


def test_own_options_win_and_lists_are_appended() -> None:
    found = config(k3s_config={"tls-san": ["k3s.example"], "write-kubeconfig-mode": "0640", "disable": ["traefik"]})
    assert found["tls-san"] == ["10.0.0.1", "k3s.example"]
    assert found["write-kubeconfig-mode"] == "0640"
    assert found["disable"] == ["traefik"]


@pytest.mark.parametrize(("disabled", "there"), [([], True), (["traefik"], False), ("servicelb,traefik", False)])
def test_the_time_out_of_uploads_is_set_where_traefik_is(disabled: Any, there: bool) -> None:
    manifests = template("{{ __k3s_before.paths | select('search', 'traefik-config.yaml$') }}", k3s_config={"disable": disabled})
    assert bool(manifests) == there


@pytest.mark.parametrize(("given", "providers"), [({}, None), ({"k3s_gateway_api": True}, {"kubernetesGateway": {"enabled": True}})])
def test_traefik_serves_gateways_on_request(given: dict[str, Any], providers: Any) -> None:
    manifest = yaml.safe_load(template("{{ lookup('ansible.builtin.template', 'traefik-config.yaml.j2') }}", role_path=str(ROLE),
                                       ansible_search_path=[str(ROLE)], **given))
    values = yaml.safe_load(manifest["spec"]["valuesContent"])
    assert values["ports"]["web"]["transport"]["respondingTimeouts"]["readTimeout"] == "30m"
    assert values.get("providers") == providers
