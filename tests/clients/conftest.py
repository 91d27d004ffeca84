"""The files that the role mlflow_clients writes, as the software that they are for reads them; .ci/clients makes its environments."""
from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import deployments
import pytest
import yaml

HERE = Path(__file__).parent
#: Clients of the real thing are configured, and talk to no cluster.
NO_CLUSTER = """
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "https://127.0.0.1:9"}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
users: [{name: none, user: {}}]
current-context: none
"""
Write = Callable[..., Mapping[str, Path]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a client's files, as the role does for one of this server, and give their paths by the end of their names."""
    from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.decisions import DECISIONS  # noqa: PLC0415 (after Ansible's loader)

    def written(endpoint: Mapping[str, Any] = deployments.ENDPOINT, **entry: Any) -> dict[str, Path]:
        found = {}
        for file in DECISIONS["files"](deployments.clients(entry, endpoint=endpoint)):
            path = tmp_path / file["name"]
            path.write_text(file["header"] + (file["text"] if "text" in file else yaml.safe_dump(file["yaml"], sort_keys=False)))
            found[file["name"].split(".", 2)[2]] = path
        return found

    return written


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Run a script of this folder in the environment that a variable names; what it prints."""
    (tmp_path / "kubeconfig").write_text(NO_CLUSTER)

    def ran(variable: str, script: str, *paths: Path) -> str:
        python = os.environ.get(variable)
        if not python:
            pytest.fail(f"{variable} does not name a Python; .ci/clients makes one")
        environment = os.environ | {"KUBECONFIG": str(tmp_path / "kubeconfig"), "AIRFLOW_HOME": str(tmp_path / "airflow")}
        words = [python, str(HERE / script), *map(str, paths)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return ran
