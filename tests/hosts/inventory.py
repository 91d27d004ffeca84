"""The hosts as an Ansible inventory."""
from __future__ import annotations

from collections.abc import Sequence

import yaml
from machine import SSH_OPTIONS
from state import KEY, Host


def inventory(hosts: Sequence[Host]) -> str:
    """The first host as k3s_server, the others as k3s_agent."""
    variables = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(KEY),
        "ansible_ssh_common_args": " ".join(SSH_OPTIONS),
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    entries = {host.name: {"ansible_host": host.address, **variables} for host in hosts}
    server, *agents = entries
    groups = {"k3s_server": {"hosts": {server: entries[server]}}, "k3s_agent": {"hosts": {name: entries[name] for name in agents}}}
    return yaml.safe_dump(groups, sort_keys=False)
