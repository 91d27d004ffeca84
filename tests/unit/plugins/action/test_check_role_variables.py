"""The playbook that all others begin with, run on an inventory with hosts that do not exist."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[4]
SETTINGS = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}


def run(folder: Path, everywhere: dict[str, Any], second: dict[str, Any], *words: str) -> tuple[int, str]:
    """Exit status and output of the check for two hosts."""
    file = folder / "hosts.yml"
    hosts = {"a": {"ansible_host": "192.0.2.1"}, "b": {"ansible_host": "192.0.2.2", **second}}
    file.write_text(yaml.safe_dump({"k3s_server": {"hosts": hosts}, "all": {"vars": everywhere}}))
    command = [sys.executable, "-m", "ansible", "playbook", "--inventory", str(file), "mlops.mlflow.check_variables", *words]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | SETTINGS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def test_each_problem_is_told_once_with_the_hosts_that_have_it(tmp_path: Path) -> None:
    everywhere = {"mlflow_server_replica": 5, "mlflow_server_workers": "{{ 'a' ~ 'b' }}", "mlflow_server_pool_size": "{{ not_known_yet }}",
                  "postgresql_password": "{{ lookup('ansible.builtin.pipe', 'touch ' ~ inventory_dir ~ '/rendered') }}"}
    status, output = run(tmp_path, everywhere, {"k3s_drian": True}, "--extra-vars", "k3s_timeout=soon")
    assert status == 2
    told = re.findall(r"^ {8}(\S.*)$", output.partition("msg: |-")[2], re.M)
    assert told == [
        "k3s_timeout: 'soon' is not a whole number; set one, such as 600",
        "mlflow_server_replica: role mlflow_server has no such variable; rename it to mlflow_server_replicas, or remove it",
        "mlflow_server_workers: 'ab' is not a whole number; set one, such as 1",
        "b: k3s_drian: no role has such a variable; rename it to k3s_drain, or, if it is for something else, add --skip-tags check_variables",
    ]
    assert len(output.splitlines()) < 30
    assert not (tmp_path / "rendered").exists(), "a text was rendered"


def test_what_is_right_contacts_no_host(tmp_path: Path) -> None:
    everywhere = {"mlflow_server_replicas": "{{ groups.k3s_server | length }}", "mlflow_image_version": 3.17, "k3s_drain": "yes"}
    status, output = run(tmp_path, everywhere, {"k3s_address": "192.0.2.2"})
    assert status == 0, output
    assert "changed=0" in output
    assert "WARNING" not in output
