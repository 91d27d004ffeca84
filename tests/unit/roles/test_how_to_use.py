"""The commands that a deployment prints, run as printed, with a kubectl that tells what it was asked."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from roles import CLUSTER, PUBLISHED, ROLES, Role

KUBECTL = """#!/usr/bin/env python3
import base64, sys
print(base64.b64encode(repr(sys.argv[1:]).encode()).decode(), end="")
"""
PUBLIC = {"mlflow_server_host": "mlflow.example.com", "ansible_host": "10.0.0.1"}


def printed(folder: Path, lines: list[str], result_format: str) -> list[str]:
    """The commands among the lines that the playbook prints, as a terminal has them."""
    task = {"name": "Show", "mlops.mlflow.print_lines": {"lines": lines}}
    (folder / "play.yml").write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    settings = {"ANSIBLE_CALLBACK_RESULT_FORMAT": result_format, "ANSIBLE_CONFIG": str(ROLES.parent / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    words = [sys.executable, "-m", "ansible", "playbook", str(folder / "play.yml")]
    done = subprocess.run(words, cwd=ROLES.parent, env=os.environ | settings, capture_output=True, text=True, check=True)
    return re.findall(r"^  (\S.*)$", done.stdout, re.M)


def said(**given: Any) -> list[str]:
    """What the role says of a server with these variables."""
    server = Role("mlflow_server", **CLUSTER, **PUBLISHED)
    endpoint = server.decided("deployment", mlflow_server_ingress_auth="basic", **given)["endpoint"]
    return [str(line) for line in endpoint["how_to_use"]]


@pytest.mark.parametrize("result_format", ["yaml", "json"])
def test_the_printed_commands_work_as_printed(tmp_path: Path, result_format: str) -> None:
    """Whatever the format of results is, and where names are as long as they may be."""
    namespace, name = "n" * 63, "m" * 40
    runtime = CLUSTER["kubernetes_runtime"] | {"namespace": namespace}
    commands = printed(tmp_path, said(**PUBLIC, mlflow_server_name=name, kubernetes_runtime=runtime), result_format)
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    asked = [subprocess.run(["sh", "-c", command], env=os.environ | path, capture_output=True, text=True, check=True).stdout
             for command in commands if "kubectl" in command]
    first = ["--kubeconfig", "/etc/rancher/k3s/k3s.yaml", "-n", namespace, "get", "secret"]
    assert [line.strip() for line in asked] == [
        repr([*first, name, "-o", "jsonpath={.data.ingress-password}"]), repr([*first, f"{name}-tls", "-o", "jsonpath={.data.ca\\.crt}"]),
    ]
    assert [command for command in commands if "kubectl" not in command] == ["echo 10.0.0.1 mlflow.example.com >>/etc/hosts"]


def test_it_says_where_to_run_them() -> None:
    lines = said(**PUBLIC)
    for index, line in enumerate(lines):
        assert not line.startswith("  ") or "as root on " in lines[index - 1]


def test_a_name_for_etc_hosts_needs_an_address() -> None:
    assert not [line for line in said(mlflow_server_host="mlflow.example.com", ansible_host="node-1.example.com") if "/etc/hosts" in line]
    assert not [line for line in said(mlflow_server_host="") if line.startswith("  ")]
