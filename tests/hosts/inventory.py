"""The hosts as an Ansible inventory."""
from __future__ import annotations

from collections.abc import Sequence

import yaml
from machine import SSH_OPTIONS
from state import KEY, Host


def inventory(hosts: Sequence[Host], servers: int) -> str:
    """The first hosts as k3s_server, so many of them, the others as k3s_agent."""
    variables = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(KEY),
        "ansible_ssh_common_args": " ".join(SSH_OPTIONS),
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    entries = {host.name: {"ansible_host": host.address, **variables} for host in hosts}
    listed = list(entries.items())
    groups = {"k3s_server": {"hosts": dict(listed[:servers])}, "k3s_agent": {"hosts": dict(listed[servers:])}}
    return yaml.safe_dump(groups, sort_keys=False)
