"""The role mlflow_clients gives its decisions what they need, and what it writes is read back."""
from __future__ import annotations

from typing import Any

import deployments
import yaml

from roles import CLUSTER, PUBLISHED, Role

ENTRIES: list[dict[str, Any]] = [{"kind": "jupyterhub", "namespace": "hub"}, {"kind": "airflow", "namespace": "etl", "name": "nightly"}]


def clients(**given: Any) -> Role:
    """The role in a cluster, after the server."""
    return Role("mlflow_clients", **CLUSTER, **PUBLISHED, mlflow_server_endpoint=deployments.ENDPOINT, mlflow_clients=ENTRIES, **given)


def test_the_defaults_change_nothing() -> None:
    role = Role("mlflow_clients", **CLUSTER, **PUBLISHED, mlflow_server_endpoint=deployments.ENDPOINT)
    assert role.said("mlflow_clients_claims") == []
    assert role.decided("plan") == {"objects": [], "merged": [], "absent": [], "tests": []}


def test_the_claims_need_the_list_alone() -> None:
    """They are asked for before any role has run."""
    early = Role("mlflow_clients", groups={}, mlflow_clients=ENTRIES).said("mlflow_clients_claims")
    assert early == clients().said("mlflow_clients_claims")
    assert {"kind": "Namespace", "name": "hub", "wanted": False, "required": True, "option": "mlflow_clients[0].namespace"} in early


def test_the_jobs_run_the_program_of_the_verification() -> None:
    plan = clients().decided("plan")
    assert [test["title"] for test in plan["tests"]] == ["jupyterhub in namespace hub", "airflow nightly in namespace etl"]
    assert "MLFLOW_VERIFY_SCOPE" in plan["tests"][0]["objects"][0]["data"]["verify.py"]


def test_the_files_are_yaml_that_says_the_same() -> None:
    role = clients()
    for file in role.said("__mlflow_clients_files"):
        text = role.said("item.header ~ (item.text if item.text is defined else item.yaml | to_nice_yaml(indent=2, sort_keys=false, width=1000))",
                         item=file)
        assert text.startswith("# Written by mlops.mlflow.mlflow_clients for deployment mlflow;")
        if "yaml" in file:
            assert yaml.safe_load(text) == file["yaml"]
