"""JupyterHub loads what the role writes, and KubeSpawner makes of it the pod that was meant."""
from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import deployments
import pytest

Write = Callable[..., Mapping[str, Path]]
HUB = {"kind": "jupyterhub", "namespace": "hub", "username": "ada", "password": "{username} {{x}}", "environment": {"TEAM": "{username}"}}
FILES = ["jupyterhub_config.py", "jupyterhub-values.yaml"]


def spawned(run: Callable[..., str], *paths: Path) -> dict[str, Any]:
    """The pod of a user's server."""
    pod: dict[str, Any] = json.loads(run("MLFLOW_TEST_JUPYTERHUB", "spawn.py", *paths))
    return pod


def environment(pod: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of the notebook's container that are ours or the test's, by name."""
    own = ("MLFLOW_", "TEAM", "OTHER", "TEXT")
    return {each["name"]: each.get("valueFrom") or each["value"] for each in pod["spec"]["containers"][0]["env"] if each["name"].startswith(own)}


@pytest.mark.parametrize("file", FILES)
def test_each_variable_comes_from_its_place(write: Write, run: Callable[..., str], file: str) -> None:
    pod = spawned(run, write(**HUB)[file])
    assert environment(pod) == {
        **{name: {"configMapKeyRef": {"name": "mlflow-client", "key": name}} for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "TEAM")},
        "MLFLOW_TRACKING_PASSWORD": {"secretKeyRef": {"name": "mlflow-client", "key": "MLFLOW_TRACKING_PASSWORD"}},
    }  # fmt: skip


@pytest.mark.parametrize("file", FILES)
def test_the_pods_have_the_labels_that_the_policies_are_about(write: Write, run: Callable[..., str], file: str) -> None:
    assert spawned(run, write(**HUB)[file])["metadata"]["labels"].items() >= {"app": "jupyterhub", "component": "singleuser-server"}.items()


@pytest.mark.parametrize("file", FILES)
def test_the_authority_is_mounted(write: Write, run: Callable[..., str], file: str) -> None:
    spec = spawned(run, write(**HUB, ca="-----BEGIN CERTIFICATE-----", service_account="notebooks")[file])["spec"]
    assert {"name": "mlflow-ca", "configMap": {"name": "mlflow-client-ca"}} in spec["volumes"]
    assert {"name": "mlflow-ca", "mountPath": "/etc/mlflow/client", "readOnly": True} in spec["containers"][0]["volumeMounts"]
    assert spec["serviceAccountName"] == "notebooks"


@pytest.mark.parametrize("file", FILES)
def test_the_token_of_the_account_is_mounted(write: Write, run: Callable[..., str], file: str) -> None:
    pod = spawned(run, write(deployments.BY_ACCOUNT, kind="jupyterhub", namespace="hub")[file])
    [volume] = [each for each in pod["spec"]["volumes"] if each["name"] == "mlflow-token"]
    token = {"audience": "the-server", "expirationSeconds": 3600, "path": "token"}
    assert volume["projected"]["sources"][0] == {"serviceAccountToken": token}
    place = {"name": "mlflow-token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
    assert place in pod["spec"]["containers"][0]["volumeMounts"]
    assert environment(pod)["MLFLOW_TRACKING_AUTH"] == {"configMapKeyRef": {"name": "mlflow-client", "key": "MLFLOW_TRACKING_AUTH"}}


@pytest.mark.parametrize("volumes", ["[]", "{}", "[{'name': 'home', 'emptyDir': {}}]", "{'home': {'name': 'home', 'emptyDir': {}}}"])
def test_what_the_hub_has_already_is_kept(write: Write, run: Callable[..., str], tmp_path: Path, volumes: str) -> None:
    """Its own file comes first, and has volumes as a list, or as a dictionary as newer ones do."""
    hub = tmp_path / "hub.py"
    hub.write_text(f"c.KubeSpawner.environment = {{'OTHER': 'x'}}\nc.KubeSpawner.volumes = {volumes}\n")
    pod = spawned(run, hub, write(**HUB, ca="-----BEGIN CERTIFICATE-----")["jupyterhub_config.py"])
    assert environment(pod)["OTHER"] == "x"
    assert "MLFLOW_TRACKING_URI" in environment(pod)
    names = {each["name"] for each in pod["spec"]["volumes"]}
    assert names >= ({"home", "mlflow-ca"} if "home" in volumes else {"mlflow-ca"})


def test_a_text_with_braces_would_be_another(run: Callable[..., str], tmp_path: Path) -> None:
    """The reason why each variable is a reference."""
    hub = tmp_path / "hub.py"
    hub.write_text("c.KubeSpawner.environment = {'TEXT': '{username}'}\n")
    assert environment(spawned(run, hub)) == {"TEXT": "ada"}
