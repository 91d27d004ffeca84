"""The Kubernetes objects that roles make of their variables, without a cluster."""
from __future__ import annotations

from typing import Any

import pytest

from roles import CLUSTER, PUBLISHED, Role

PUBLIC = {"mlflow_server_host": "mlflow.example.com", "mlflow_server_ingress_auth": "basic"}


def server(**given: Any) -> Role:
    """The role of the server in a cluster, where nothing was deployed yet."""
    made: dict[str, Any] = {"kubernetes_applied": {"objects": {"Service/mlflow": {"spec": {"clusterIPs": ["10.43.0.7"]}}}}}
    return Role("mlflow_server", **CLUSTER, **PUBLISHED, **made, **given)


def objects(role: Role) -> dict[str, Any]:
    """The objects by KIND/NAME."""
    return {f"{thing['kind']}/{thing['metadata']['name']}": thing for thing in role.decided("deployment")["objects"]}


def test_http_leads_to_https_by_an_ingress_of_its_own() -> None:
    found = objects(server(**PUBLIC))
    assert found["Middleware/mlflow-https"]["spec"] == {"redirectScheme": {"scheme": "https", "permanent": True}}
    annotations = found["Ingress/mlflow-http"]["metadata"]["annotations"]
    assert annotations["traefik.ingress.kubernetes.io/router.entrypoints"] == "web"
    assert annotations["traefik.ingress.kubernetes.io/router.middlewares"] == "mlflow-mlflow-https@kubernetescrd"
    assert "tls" not in found["Ingress/mlflow-http"]["spec"]


@pytest.mark.parametrize("given", [
    {"mlflow_server_host": ""}, {"mlflow_server_tls": "none"}, {"mlflow_server_tls": "external"}, {"mlflow_server_ingress_class": "nginx"},
    {"mlflow_server_gateways": [{"name": "public"}]}, {"mlflow_server_http_redirect": False},
])
def test_there_is_nothing_to_redirect_without_a_certificate_of_its_own_at_traefik(given: dict[str, Any]) -> None:
    role = server(**PUBLIC | given)
    assert "Ingress/mlflow-http" not in objects(role)
    assert {"kind": "Ingress", "name": "mlflow-http", "api_version": "networking.k8s.io/v1"} in role.decided("deployment")["absent"]


@pytest.mark.parametrize(("action", "seconds"), [("check", 600), ("upgrade", 86400)])
def test_a_migration_is_removed_a_while_after_its_end(action: str, seconds: int) -> None:
    job = server().decided("deployment")["job_objects"][action][-1]
    assert job["spec"]["ttlSecondsAfterFinished"] == seconds
    assert job["spec"]["podFailurePolicy"]["rules"][0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


def test_earlier_migrations_that_have_no_end_are_removed() -> None:
    role = server()
    current = role.decided("deployment")["jobs"]["upgrade"]
    there = [{"metadata": {"name": name}, "spec": spec} for name, spec in
             ((current, {}), ("mlflow-migrate-old", {}), ("mlflow-schema-new", {"ttlSecondsAfterFinished": 600}))]
    old = role.decided("endless_jobs", __mlflow_server_jobs={"resources": there})
    assert old == [{"api_version": "batch/v1", "kind": "Job", "name": "mlflow-migrate-old"}]
    assert role.decided("endless_jobs", __mlflow_server_jobs={"skipped": True}) == []


BEFORE = {"kind": "StatefulSet", "name": "postgresql", "component": "database", "annotations": {}}
STORE_BEFORE = {"kind": "Deployment", "name": "minio", "component": "artifacts", "annotations": {}}


def made(name: str, workloads: list[dict[str, Any]], **given: Any) -> dict[str, Any]:
    """The objects of the database or the store where there are these workloads, by KIND/NAME."""
    runtime = CLUSTER["kubernetes_runtime"] | {"workloads": workloads}
    role = Role(name, **CLUSTER | {"kubernetes_runtime": runtime}, **PUBLISHED, **given)
    found = role.decided("objects")
    claimed = {f"{claim['kind']}/{claim['name']}" for claim in role.said(f"{name}_claims")}
    by_title = {f"{thing['kind']}/{thing['metadata']['name']}": thing for thing in found}
    assert by_title.keys() <= claimed
    return by_title


@pytest.mark.parametrize("there", [[], [BEFORE | {"annotations": {"mlops.mlflow/shape": "2"}}], [BEFORE | {"name": "other"}]])
def test_a_new_database_has_an_account_and_a_headless_service(there: list[dict[str, Any]]) -> None:
    found = made("postgresql", there)
    stateful_set = found["StatefulSet/postgresql"]
    pod = stateful_set["spec"]["template"]["spec"]
    assert found[f"Service/{stateful_set['spec']['serviceName']}"]["spec"]["clusterIP"] == "None"
    assert found[f"ServiceAccount/{pod['serviceAccountName']}"]["automountServiceAccountToken"] is False
    assert pod["automountServiceAccountToken"] is False
    assert all(each["resources"]["requests"]["ephemeral-storage"] == "100Mi" for each in pod["containers"] + pod["initContainers"])
    assert stateful_set["metadata"]["annotations"] == {"mlops.mlflow/shape": "2"}


@pytest.mark.parametrize("provider", ["minio", "seaweedfs"])
def test_a_new_store_has_an_account(provider: str) -> None:
    found = made("artifact_store", [], artifact_store_provider=provider)
    pod = found[f"Deployment/{provider}"]["spec"]["template"]["spec"]
    assert found[f"ServiceAccount/{pod['serviceAccountName']}"]["automountServiceAccountToken"] is False
    assert pod["containers"][0]["resources"] == {
        "requests": {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "200Mi"}, "limits": {"memory": "1Gi"},
    }


def test_a_database_and_a_store_from_before_stay_as_they_are() -> None:
    """Their pods' templates are to a byte what they were, so that nothing restarts."""
    there = [BEFORE, STORE_BEFORE]
    database, store = made("postgresql", there), made("artifact_store", there, artifact_store_provider="minio")
    assert database["StatefulSet/postgresql"]["spec"]["serviceName"] == "postgresql"
    for thing in (database["StatefulSet/postgresql"], store["Deployment/minio"]):
        pod = thing["spec"]["template"]["spec"]
        assert "annotations" not in thing["metadata"]
        assert "serviceAccountName" not in pod
        assert all("ephemeral-storage" not in str(each["resources"]) for each in pod["containers"])
    assert not [title for title in {**database, **store} if title.startswith("ServiceAccount/") or title.endswith("-pods")]
