"""The hosts as an Ansible inventory."""
from __future__ import annotations

from collections.abc import Sequence

import yaml
from machine import SSH_OPTIONS
from state import KEY, Host


def inventory(hosts: Sequence[Host], servers: int) -> str:
    """The first hosts as k3s_server, so many of them, the others as k3s_agent, and those beside the cluster as nfs_server."""
    variables = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(KEY),
        "ansible_ssh_common_args": " ".join(SSH_OPTIONS),
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    entries = {host.name: {"ansible_host": host.address, **variables} for host in hosts}
    listed = [host.name for host in hosts if host.is_node]
    named = {"k3s_server": listed[:servers], "k3s_agent": listed[servers:], "nfs_server": [host.name for host in hosts if not host.is_node]}
    groups = {group: {"hosts": {name: entries[name] for name in names}} for group, names in named.items() if names or group != "nfs_server"}
    return yaml.safe_dump(groups, sort_keys=False)
