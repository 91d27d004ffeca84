"""What is decided for clients of MLflow, by the names by which tests look it up."""
from __future__ import annotations

from typing import Any

import deployments
import yaml

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.decisions import DECISIONS

LOGIN = {"username": "ada", "password": "{braces} and {{more}}"}


def decided(decision: str, *entries: dict[str, Any], **given: Any) -> Any:
    """A decision for these clients."""
    return DECISIONS[decision](deployments.clients(*entries, **given))


def planned(*entries: dict[str, Any], **given: Any) -> dict[str, Any]:
    """The objects by KIND/NAME, those of a client's namespace with it."""
    made = decided("plan", *entries, **given)["objects"]
    return {"/".join(filter(None, (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]))): each for each in made}


def files(entry: dict[str, Any], **given: Any) -> dict[str, Any]:
    """The files by the end of their names, YAML as it is read back."""
    found = decided("files", entry, **given)
    return {each["name"].split(".", 2)[2]: each["text"] if "text" in each else yaml.safe_load(yaml.safe_dump(each["yaml"])) for each in found}


def recorded(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    """The policies as they are in the cluster after a verified run."""
    found = [policy for test in decided("plan", *entries)["tests"] for policy in test["record"]]
    marks = {"app.kubernetes.io/managed-by": "mlops.mlflow", "mlops.mlflow/deployment": "mlflow"}
    return [{**each, "metadata": {**each["metadata"], "namespace": "mlflow", "labels": {**each["metadata"]["labels"], **marks}}} for each in found]
