"""Whose an object is, and what is said where it is not ours."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes import ownership
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.ownership import Claim
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption

APPLIED = [{"manager": "mlops.mlflow", "operation": "Apply"}]
EARLIER = {"labels": {"app.kubernetes.io/managed-by": "mlops.mlflow"}, "managedFields": APPLIED}
HELM = {
    "labels": {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/part-of": "mlflow"},
    "annotations": {"meta.helm.sh/release-name": "tracking"},
    "managedFields": [{"manager": "helm", "operation": "Update"}],
}


def own(name: str = "mlflow", component: str = "", deployment: str = "akko") -> dict[str, Any]:
    labels = {**ownership.mark(deployment), **({ownership.COMPONENT: component} if component else {})}
    return {"name": name, "labels": labels}


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (own(), True),
        (own(deployment="homelab"), False),
        (EARLIER, True),
        ({**EARLIER, "managedFields": [{"manager": "mlops.mlflow", "operation": "Update"}]}, False),
        ({**EARLIER, "managedFields": [{"manager": "kubectl", "operation": "Apply"}]}, False),
        ({"managedFields": APPLIED}, False),  # a label that somebody took away: Kubernetes selects by labels, and so do we
        (HELM, False),
        ({}, False),
    ],
)
def test_own(metadata: dict[str, Any], expected: bool) -> None:
    assert ownership.is_own(metadata, "akko") is expected


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public", "kube-node-lease", "kube-flannel"])
def test_the_clusters_own_namespaces_are_refused(name: str) -> None:
    with pytest.raises(InvalidOption, match="is the cluster's own"):
        ownership.check_namespace(name)


@pytest.mark.parametrize("name", ["mlflow", "kubernetes-lab", "my-default", "defaults"])
def test_other_namespaces_are_not(name: str) -> None:
    ownership.check_namespace(name)


def test_only_wanted_names_that_others_have_are_foreign() -> None:
    claims = [Claim("v1", kind, "mlflow", wanted=kind != "Ingress") for kind in ("Service", "ConfigMap", "Ingress", "Secret")]
    found = {"Service/mlflow": HELM, "ConfigMap/mlflow": own(), "Ingress/mlflow": HELM}
    assert [(claim.title, owner) for claim, owner in ownership.foreign(claims, found, "akko")] == [("Service/mlflow", "Helm release tracking")]
    assert ownership.foreign(claims, found, "akko", ["Service/mlflow"]) == []


def test_a_message_names_five_objects_and_all_in_the_way_out() -> None:
    claims = [(Claim("v1", "Service", f"name-{number}", option="mlflow_server_name"), "Helm release x") for number in range(7)]
    message = ownership.taken(claims, "shared")
    assert message.count("belongs to Helm release x") == 5
    assert "and 2 more" in message
    assert "Service/name-6]" in message


def test_a_key_that_is_missing_from_a_secret_counts_like_the_secret() -> None:
    claim = Claim("v1", "Secret", "mlflow", keys=["webhook-key", "admin-password"], needed_by=["Deployment/mlflow", "Secret/mlflow-env"])
    message = ownership.lost([claim], {"Deployment/mlflow": {}, "Secret/mlflow-env": {}}, {"mlflow": ["webhook-key"]}, "akko")
    assert "Secret mlflow in namespace akko no longer has admin-password, on which Deployment mlflow and Secret mlflow-env depend; " in message
    assert "webhook-key" not in message


def test_nothing_is_lost_where_nothing_depends_on_it() -> None:
    claim = Claim("v1", "Secret", "mlflow", keys=["webhook-key"], needed_by=["Deployment/mlflow"])
    assert ownership.lost([claim], {"Service/mlflow": {}}, {}, "akko") == ""
    assert ownership.lost([claim], {"Deployment/mlflow": {}}, {"mlflow": ["webhook-key", "more"]}, "akko") == ""


def test_a_server_of_another_name_is_found_and_one_of_another_deployment_is_not() -> None:
    claim = Claim("apps/v1", "Deployment", "tracking", option="mlflow_server_name", component="server")
    assert "mlflow_server_previous_name: mlflow" in ownership.renamed([claim], [("Deployment", own(component="server"))], "akko")
    assert ownership.renamed([claim], [("Deployment", own(component="server", deployment="homelab"))], "akko") == ""
    assert ownership.renamed([claim], [("Deployment", own(component="artifacts"))], "akko") == ""
    given_up = Claim("apps/v1", "Deployment", "tracking", component="server", previous="mlflow")
    assert ownership.renamed([given_up], [("Deployment", own(component="server"))], "akko") == ""


def test_a_database_of_another_name_would_be_empty() -> None:
    claim = Claim("apps/v1", "StatefulSet", "db", option="postgresql_name", component="database")
    message = ownership.renamed([claim], [("StatefulSet", own("postgresql", "database"))], "akko")
    assert message.startswith("postgresql_name: 'db' would be a new, empty database next to StatefulSet/postgresql")
    assert "Change the name back to postgresql" in message


@pytest.mark.parametrize(
    ("kind", "metadata", "expected"),
    [
        ("ServiceAccount", {"name": "default"}, True),
        ("ServiceAccount", {"name": "mlflow"}, False),
        ("EndpointSlice", {"name": "mlflow-x"}, True),
        ("Pod", {"name": "x", "ownerReferences": [{"kind": "ReplicaSet", "name": "y"}]}, True),
        ("Pod", {"name": "x"}, False),
    ],
)
def test_what_the_cluster_makes_by_itself(kind: str, metadata: dict[str, Any], expected: bool) -> None:
    assert ownership.is_cluster_made(kind, metadata) is expected
