"""What is decided about the archive of traces of a server in a cluster, and the objects that keep its schedule."""
from __future__ import annotations

import json
from typing import Any

import deployments
import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.maintenance_kubernetes import DECISIONS
from roles import CLUSTER, Role

DNS = [{"ports": [{"port": 53, "protocol": "UDP"}]}]


def service(name: str, port: int) -> dict[str, Any]:
    ports = [{"port": port, "targetPort": "a-port"}]
    return {"metadata": {"name": name, "namespace": "mlflow"}, "spec": {"ports": ports, "selector": {"app": name}, "clusterIP": "10.43.0.1"}}


def made(given: dict[str, Any]) -> dict[str, Any]:
    """The objects by their kinds."""
    return {each["kind"]: each for each in DECISIONS["cluster_objects"](given)["objects"]}


def pod(given: dict[str, Any]) -> dict[str, Any]:
    return dict(made(given)["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"])


def on_a_volume(**given: Any) -> dict[str, Any]:
    """A server that has its artifacts on a volume."""
    found = deployments.maintenance(**given)
    template = found["deployment"]["spec"]["template"]["spec"]
    (server,) = (each for each in template["containers"] if each["name"] == "mlflow")
    next(each for each in server["env"] if each["name"] == "MLFLOW_ARTIFACTS_DESTINATION")["value"] = "/mlflow/artifacts"
    server["volumeMounts"] += [{"name": "artifacts", "mountPath": "/mlflow/artifacts"}]
    template["volumes"] += [{"name": "artifacts", "persistentVolumeClaim": {"claimName": "artifacts"}}]
    return found


@pytest.mark.parametrize(("given", "says"), [
    ({"archive_schedule": "*-*-* 04:00:00"}, "mlflow_maintenance_archive_schedule: '*-*-* 04:00:00' is no schedule of a CronJob"),
    ({"archive_location": "/archive"}, "mlflow_maintenance_archive_location: '/archive' is a folder, which a pod of Deployment/mlflow would lose"),
])
def test_what_is_wrong_with_the_variables(given: dict[str, Any], says: str) -> None:
    (found,) = DECISIONS["cluster_problems"](deployments.maintenance(**given))
    assert found.startswith(says)


@pytest.mark.parametrize("given", [{}, {"archive_schedule": ""}, {"archive_location": "s3://mlflow/archive"}])
def test_what_is_right(given: dict[str, Any]) -> None:
    assert DECISIONS["cluster_problems"](deployments.maintenance(**given)) == []
    assert DECISIONS["cluster_problems"](on_a_volume(**given)) == []


def test_a_schedule_is_a_cron_job_that_archives_and_deletes_nothing() -> None:
    given = deployments.maintenance(experiments=[{"name": "chat", "traces_archived_after": "never"}])
    objects = made(given)
    assert list(objects) == ["ServiceAccount", "ConfigMap", "NetworkPolicy", "CronJob"]
    assert {each["metadata"]["name"] for each in objects.values()} == {"mlflow-archive"}
    spec = objects["CronJob"]["spec"]
    assert (spec["schedule"], spec["concurrencyPolicy"]) == ("0 4 * * *", "Forbid")
    settings = json.loads(objects["ConfigMap"]["data"]["settings.json"])
    assert (settings["deletes"], settings["check"], settings["environment_file"]) == (False, False, "")
    assert settings["archive"] == {"after": 30 * 86_400_000, "by_experiment": {"chat": -1}, "location": ""}
    assert pod(given)["containers"][0]["command"] == ["python", "/program/archive_run.py"]
    assert DECISIONS["cluster_objects"](given)["absent"] == []


def test_without_a_schedule_all_of_it_goes() -> None:
    decided = DECISIONS["cluster_objects"](deployments.maintenance(archive_schedule=""))
    assert decided["objects"] == []
    assert [(each["kind"], each["name"]) for each in decided["absent"]] == [
        (kind, "mlflow-archive") for kind in ("ServiceAccount", "ConfigMap", "NetworkPolicy", "CronJob")
    ]
    assert [each["option"] for each in DECISIONS["cluster_claims"]({"name": "mlflow"})] == ["mlflow_server_name"] * 4


def test_the_pod_has_what_it_needs_of_the_server_and_no_more() -> None:
    """Its database and its artifacts, with their certificates; not its accounts."""
    given = deployments.maintenance(server_given={"auth": "basic", "environment_from": [{"secretRef": {"name": "more"}}]})
    (container,) = pod(given)["containers"]
    names = {each["name"] for each in container["env"]}
    assert {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACTS_DESTINATION", "PGPASSWORD", "PGSSLROOTCERT", "AWS_ACCESS_KEY_ID"} <= names
    assert "MLFLOW_AUTH_CONFIG_PATH" not in names
    assert container["envFrom"] == [{"secretRef": {"name": "more"}}]
    assert {each["mountPath"] for each in container["volumeMounts"]} == {"/program", "/tmp", "/etc/mlflow/postgresql"}
    assert container["image"] == "localhost/mlflow-server:3.17.2-0123"
    assert container["resources"]["limits"]["memory"] == "1Gi"


def test_artifacts_on_a_volume_are_written_where_the_server_has_them() -> None:
    found = pod(on_a_volume())
    (mount,) = [each for each in found["containers"][0]["volumeMounts"] if each["name"] == "artifacts"]
    assert mount == {"name": "artifacts", "mountPath": "/mlflow/artifacts"}
    assert {"name": "artifacts", "persistentVolumeClaim": {"claimName": "artifacts"}} in found["volumes"]


def test_it_reaches_the_database_and_the_store_alone() -> None:
    given = deployments.maintenance() | {"services": [service("postgresql", 5432), service("minio", 9000), service("other", 80)]}
    given["kubernetes"] = given["kubernetes"] | {"dns_egress": DNS}
    policy = made(given)["NetworkPolicy"]["spec"]
    assert "ingress" not in policy
    assert policy["egress"][:1] == DNS
    assert sorted(rule["to"][0]["podSelector"]["matchLabels"]["app"] for rule in policy["egress"][1:]) == ["minio", "postgresql"]
    labels = made(given)["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert labels["app.kubernetes.io/component"] == "archive"


def test_what_the_tasks_have_read_is_what_is_decided_from() -> None:
    there = deployments.maintenance()
    role = Role(
        "mlflow_maintenance", **CLUSTER, kubernetes_workloads=[{"name": "mlflow", "annotations": {}}], mlflow_maintenance_archive_schedule="@daily",
        mlflow_maintenance_traces_archived_after="1d",
        __mlflow_maintenance_read={"results": [{"resources": [there["deployment"]]}, {"resources": []}]},
        __mlflow_maintenance_services={"msg": "forbidden"},
    )  # fmt: skip
    assert role.decided("cluster_problems") == []
    objects = {each["kind"]: each for each in role.decided("cluster_objects")["objects"]}
    assert objects["CronJob"]["metadata"]["name"] == f"{role.said('__mlflow_maintenance_server')}-archive"
    files = {path.name for path in (role.path / "files").glob("*.py")}
    assert objects["ConfigMap"]["data"].keys() == files | {"backup_lock.py", "settings.json"}
    # Services that may not be listed: any of them may be meant.
    assert {"to": [{"namespaceSelector": {}}]} in objects["NetworkPolicy"]["spec"]["egress"]
