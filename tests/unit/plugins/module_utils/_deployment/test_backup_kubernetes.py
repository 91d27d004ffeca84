"""What is decided about the backups of a server in a cluster, and the objects that make them."""
from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import deployments
import pytest
import variants

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.backup_kubernetes import DECISIONS
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.backup_kubernetes_restore import DECISIONS as RESTORE

DNS = [{"ports": [{"port": 53, "protocol": "UDP"}]}]


def service(name: str, port: int, **more: Any) -> dict[str, Any]:
    ports = [{"port": port, "targetPort": "a-port"}]
    return {"metadata": {"name": name, "namespace": "mlflow"}, "spec": {"ports": ports, "selector": {"app": name}, "clusterIP": "10.43.0.1", **more}}


SERVICES = [service("postgresql", 5432), service("minio", 9000), service("other", 80)]


def made(given: dict[str, Any]) -> dict[str, Any]:
    """The objects by their kinds, the Job among them."""
    return {each["kind"]: each for each in [*DECISIONS["cluster_objects"](given)["objects"], DECISIONS["cluster_job"](given)]}


def encoded(values: dict[str, str]) -> dict[str, str]:
    return {key: b64encode(value.encode()).decode() for key, value in values.items()}


def container(given: dict[str, Any]) -> dict[str, Any]:
    return dict(made(given)["Job"]["spec"]["template"]["spec"]["containers"][0])


@pytest.mark.parametrize(("given", "says"), [
    ({"repository": ""}, "mlflow_backup_repository: is '', and mlflow_backup_claim is ''; set one of them"),
    ({"claim": "sets"}, "mlflow_backup_repository: is 's3:http://minio:9000/backups', and mlflow_backup_claim is 'sets'; set one of them"),
    ({"repository": "/backups"}, "mlflow_backup_repository: '/backups' is no address that a pod reaches"),
    ({"repository": "backups"}, "mlflow_backup_repository: 'backups' is no address that a pod reaches"),
    ({"keep_weekly": -1}, "mlflow_backup_keep_weekly: -1 is negative"),
    ({"environment": {"RESTIC_PASSWORD": "x"}}, "mlflow_backup_environment: RESTIC_PASSWORD is set by mlflow_backup_password"),
    ({"schedule": "*-*-* 03:00:00"}, "mlflow_backup_schedule: '*-*-* 03:00:00' is no schedule of a CronJob"),
    ({"timeout": 0}, "mlflow_backup_timeout: 0 is too short"),
])
def test_what_is_wrong_with_the_variables(given: dict[str, Any], says: str) -> None:
    found = DECISIONS["cluster_problems"](deployments.backup(**given))
    assert len(found) == 1
    assert found[0].startswith(says)


@pytest.mark.parametrize("given", [
    {}, {"repository": "", "claim": "sets"}, {"schedule": "0 3 * * *"}, {"schedule": "@daily"}, {"schedule": "*/5 1-3 1,15 JAN MON-FRI"},
    {"repository": "rest:https://me:secret@host:8000/"},
])
def test_what_is_right(given: dict[str, Any]) -> None:
    assert DECISIONS["cluster_problems"](deployments.backup(**given)) == []


def on_a_volume(**variables: Any) -> dict[str, Any]:
    """The backups of a server that has its artifacts on a volume."""
    given = deployments.backup(**variables)
    pod = given["deployment"]["spec"]["template"]["spec"]
    (server,) = (each for each in pod["containers"] if each["name"] == "mlflow")
    next(each for each in server["env"] if each["name"] == "MLFLOW_ARTIFACTS_DESTINATION")["value"] = "/mlflow/artifacts"
    server["env"] = [each for each in server["env"] if not each["name"].startswith(("AWS_", "MLFLOW_S3_"))]
    server["volumeMounts"] += [{"name": "artifacts", "mountPath": "/mlflow/artifacts"}, {"name": "more", "mountPath": "/mlflow/more"}]
    pod["volumes"] += [{"name": name, "persistentVolumeClaim": {"claimName": f"of-{name}"}} for name in ("artifacts", "more")]
    return given


def test_artifacts_on_a_volume_are_read_where_the_server_has_them() -> None:
    """The kubelet reaches them, and no other volume of the server is part of a set."""
    given = on_a_volume() | {"services": SERVICES}
    assert DECISIONS["cluster_problems"](given) == []
    pod = made(given)["Job"]["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts["/mlflow/artifacts"]["readOnly"] is True
    assert "/mlflow/more" not in mounts
    assert {"name": "artifacts", "persistentVolumeClaim": {"claimName": "of-artifacts"}} in pod["volumes"]
    peers = [rule["to"][0] for rule in made(given)["NetworkPolicy"]["spec"]["egress"]]
    assert sorted(peer["podSelector"]["matchLabels"]["app"] for peer in peers if "podSelector" in peer) == ["minio", "postgresql"]
    drill = next(each for each in DECISIONS["cluster_drill"](given) if each["kind"] == "Job")["spec"]["template"]["spec"]
    assert "artifacts" not in {each["name"] for each in drill["volumes"]}


@pytest.mark.parametrize(("variables", "option"), [
    ({"repository": "", "claim": "of-artifacts"}, "mlflow_backup_claim"), ({"work_claim": "of-artifacts"}, "mlflow_backup_work_claim"),
])
def test_the_volume_of_the_artifacts_is_none_for_sets(variables: dict[str, Any], option: str) -> None:
    (problem,) = DECISIONS["cluster_problems"](on_a_volume(**variables))
    assert problem.startswith(f"{option}: 'of-artifacts' is the volume of the artifacts")


def test_only_a_server_with_known_artifacts_and_a_known_database_is_backed_up() -> None:
    given = deployments.backup()
    env = given["deployment"]["spec"]["template"]["spec"]["containers"][0]["env"]
    next(each for each in env if each["name"] == "MLFLOW_ARTIFACTS_DESTINATION")["value"] = "gs://artifacts"
    assert DECISIONS["cluster_problems"](given)[0].startswith("artifact_store_provider: the artifacts of Deployment/mlflow are in 'gs://artifacts'")
    env.clear()
    assert DECISIONS["cluster_problems"](given)[0].startswith("mlflow_server_environment: Deployment/mlflow does not say which database it has")
    without = deployments.backup() | {"stateful_sets": []}
    assert DECISIONS["cluster_problems"](without)[0].startswith("mlflow_backup_postgresql_image: is empty, and the database is not the deployment's")
    others = deployments.backup()
    others["stateful_sets"][0]["metadata"]["labels"]["mlops.mlflow/deployment"] = "other"
    assert len(DECISIONS["cluster_problems"](others)) == 1


@pytest.mark.parametrize(("labels", "image"), [({"mlops.mlflow/deployment": "mlflow"}, "ghcr.io/cnpg/postgresql:17.11"), ({}, "")])
def test_the_programs_of_a_database_by_cloudnative_pg_are_those_of_its_own_image(labels: dict[str, str], image: str) -> None:
    """As its status says, since it may be from a catalog; of a Cluster of somebody else, nothing is known."""
    cluster = {"metadata": {"name": "db", "labels": labels}, "spec": {}, "status": {"image": "ghcr.io/cnpg/postgresql:17.11"}}
    given = deployments.backup() | {"stateful_sets": [], "clusters": [cluster]}
    pod = DECISIONS["cluster_job"](given)["spec"]["template"]["spec"]
    assert [each["image"] for each in pod["initContainers"] if each["name"] == "postgresql"] == [image]


def test_the_pod_has_what_the_server_has_and_nothing_else() -> None:
    """Its database, its artifacts, its accounts, the deployment's Secrets, and the three images."""
    given = deployments.backup(server_given={"auth": "basic", "environment_from": [{"secretRef": {"name": "more"}}]})
    found = container(given)
    names = {each["name"] for each in found["env"]}
    assert {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_AUTH_CONFIG_PATH", "PGPASSWORD", "PGSSLROOTCERT"} <= names
    assert not {"MLFLOW_FLASK_SERVER_SECRET_KEY", "MLFLOW_SERVER_ALLOWED_HOSTS", "POD_IP"} & names
    assert found["envFrom"] == [{"secretRef": {"name": "more"}}]
    mounted = {mount["mountPath"]: mount for mount in found["volumeMounts"]}
    wanted = {"/secrets/mlflow", "/secrets/postgresql", "/secrets/minio-root", "/etc/mlflow/postgresql", "/etc/mlflow/auth", "/settings", "/backup"}
    assert wanted <= mounted.keys()
    assert all(mounted[path]["readOnly"] for path in wanted - {"/backup"})
    pod = made(given)["Job"]["spec"]["template"]["spec"]
    images = [each["image"] for each in [*pod["initContainers"], *pod["containers"]]]
    assert images[0].startswith("docker.io/restic/restic:0.18.1@sha256:")
    assert images[1].startswith("docker.io/library/postgres:17")
    assert images[2] == "localhost/mlflow-server:3.17.2-0123"


def test_its_own_secret_is_no_part_of_a_set() -> None:
    given = deployments.backup()
    given["owned"] += [{"kind": "Secret", "name": "mlflow-backup"}, {"kind": "Secret", "name": "elsewhere", "namespace": "shop"}]
    paths = {mount["mountPath"] for mount in container(given)["volumeMounts"]}
    assert not {"/secrets/mlflow-backup", "/secrets/elsewhere"} & paths


@pytest.mark.parametrize(("repository", "hosts"), [
    ({}, ["minio", "postgresql"]),
    ({"repository": "", "claim": "sets"}, ["minio", "postgresql"]),
])
def test_it_reaches_the_database_the_store_and_the_repository_alone(repository: dict[str, Any], hosts: list[str]) -> None:
    given = deployments.backup(**repository) | {"services": SERVICES}
    given["kubernetes"] = given["kubernetes"] | {"dns_egress": DNS}
    policy = made(given)["NetworkPolicy"]["spec"]
    assert "ingress" not in policy
    assert "Ingress" in policy["policyTypes"]
    assert policy["egress"][:1] == DNS
    assert sorted(rule["to"][0]["podSelector"]["matchLabels"]["app"] for rule in policy["egress"][1:]) == hosts
    labels = made(given)["Job"]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert labels["app.kubernetes.io/component"] == "backup"


def test_it_reaches_a_repository_elsewhere_by_its_port() -> None:
    given = deployments.backup(repository="s3:https://s3.example.com:8443/b") | {"services": SERVICES}
    assert made(given)["NetworkPolicy"]["spec"]["egress"][-1] == {"ports": [{"port": 8443, "protocol": "TCP"}]}


def test_the_deployments_own_store_is_used_as_its_administrator_with_a_warning() -> None:
    given = deployments.backup()
    keys = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in container(given)["env"] if each["name"].startswith("BACKUP_")}
    assert keys == {
        "BACKUP_AWS_ACCESS_KEY_ID": {"name": "minio-root", "key": "access-key"},
        "BACKUP_AWS_SECRET_ACCESS_KEY": {"name": "minio-root", "key": "secret-key"},
    }
    assert len(DECISIONS["cluster_warnings"](given)) == 1
    with_keys = deployments.backup(environment={"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"})
    elsewhere = deployments.backup(repository="s3:https://s3.example.com/b")
    assert not [each for found in (with_keys, elsewhere) for each in container(found)["env"] if each["name"].startswith("BACKUP_")]
    assert len(DECISIONS["cluster_warnings"](with_keys)) == 1
    assert DECISIONS["cluster_warnings"](elsewhere) == []


def test_a_schedule_is_a_cron_job_that_makes_one_set_at_a_time() -> None:
    given = deployments.backup(schedule="0 3 * * *")
    spec = made(given)["CronJob"]["spec"]
    assert (spec["schedule"], spec["concurrencyPolicy"], spec["suspend"]) == ("0 3 * * *", "Forbid", False)
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (1, 3)
    assert spec["jobTemplate"]["spec"]["template"] == made(given)["Job"]["spec"]["template"]
    assert DECISIONS["cluster_objects"](given)["absent"] == []
    assert made(deployments.backup(schedule="0 3 * * *", suspended="yes"))["CronJob"]["spec"]["suspend"] is True
    without = DECISIONS["cluster_objects"](deployments.backup())
    assert [each["kind"] for each in without["absent"]] == ["CronJob"]
    assert "CronJob" not in [each["kind"] for each in without["objects"]]


@pytest.mark.parametrize(("given", "ports"), [({}, {53, "a-port"}), ({"repository": "", "claim": "sets"}, {53})])
def test_a_drill_reaches_the_repository_alone_and_has_no_secret_of_the_server(given: dict[str, Any], ports: set[Any]) -> None:
    of_cluster = deployments.backup(**given)
    known = {**of_cluster, "services": SERVICES, "kubernetes": {**of_cluster["kubernetes"], "dns_egress": DNS}}
    policy, job = DECISIONS["cluster_drill"](known)
    assert {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]} == ports
    assert ("ingress" in policy["spec"], policy["spec"]["policyTypes"]) == (False, ["Ingress", "Egress"])
    pod = job["spec"]["template"]["spec"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert [each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each] == ["mlflow-backup"]
    (container,), server = pod["containers"], pod["initContainers"][-1]
    assert {each["name"] for each in container["env"]} <= {"HOME", "BACKUP_AWS_ACCESS_KEY_ID", "BACKUP_AWS_SECRET_ACCESS_KEY"}
    assert container["command"][-1] == "drill"
    assert (server["restartPolicy"], server["securityContext"]["runAsUser"], [each["name"] for each in server["volumeMounts"]]) == (
        "Always", 999, ["postgresql"],
    )  # fmt: skip
    mounted = {each["name"] for every in [container, *pod["initContainers"]] for each in every["volumeMounts"]}
    assert mounted == {each["name"] for each in pod["volumes"]}


def test_everything_that_is_made_was_claimed() -> None:
    given = deployments.backup(schedule="0 3 * * *")
    claimed = {(each["kind"], each["api_version"], each["name"]) for each in DECISIONS["cluster_claims"]({"name": "mlflow"})}
    there = {(each["kind"], each["apiVersion"], each["metadata"]["name"]) for each in [*made(given).values(), *DECISIONS["cluster_drill"](given)]}
    assert there | {("Secret", "v1", "mlflow-backup")} == claimed


def test_the_secret_has_what_the_programs_read() -> None:
    given = deployments.backup(environment={"AWS_ACCESS_KEY_ID": "k", "A": 1}, ca="PEM", keep_daily="3")
    secret = DECISIONS["cluster_secret"](given)
    assert json.loads(secret["settings.json"]) == {
        "home": "/backup/home", "repository": "s3:http://minio:9000/backups", "password": "p", "restic": ["/tools/restic"],
        "environment": {"RESTIC_CACERT": "/settings/ca.crt", "AWS_ACCESS_KEY_ID": "k", "A": "1"}, "keep": {"daily": 3, "weekly": 4, "monthly": 6},
        "set": "latest", "replace": False,
    }  # fmt: skip
    assert (secret["ca.crt"], secret.keys()) == ("PEM", {"settings.json", "ca.crt"})
    assert DECISIONS["cluster_secret"](given | {"is_made": True})["made-in"] == "s3:http://minio:9000/backups"
    on_volume = deployments.backup(repository="", claim="sets")
    assert json.loads(DECISIONS["cluster_secret"](on_volume)["settings.json"])["repository"] == "/repository"
    assert "p" not in {str(value) for each in made(given).values() for value in each.get("data", {}).values()}


def test_a_passphrase_that_sets_were_not_made_with_is_refused_before_it_replaces_theirs() -> None:
    given = deployments.backup()
    held = {"settings.json": json.dumps({"password": "theirs"}), "made-in": "s3:http://minio:9000/backups"}
    found = DECISIONS["cluster_problems"](given | {"held": encoded(held)})
    assert found[0].startswith("mlflow_backup_password: is not the passphrase in Secret/mlflow-backup")
    assert "theirs" not in found[0]
    for right in ({"settings.json": json.dumps({"password": "p"})}, {"made-in": "s3:http://elsewhere/"}):
        assert DECISIONS["cluster_problems"](given | {"held": encoded({**held, **right})}) == []
    assert DECISIONS["cluster_problems"](given | {"held": encoded(held), "password": ""}) == []


def test_volumes_are_those_that_are_named() -> None:
    given = deployments.backup(repository="", claim="sets", work_claim="work")
    volumes = {each["name"]: each for each in made(given)["Job"]["spec"]["template"]["spec"]["volumes"]}
    assert volumes["repository"]["persistentVolumeClaim"] == {"claimName": "sets"}
    assert volumes["work"]["persistentVolumeClaim"] == {"claimName": "work"}
    assert [each["name"] for each in DECISIONS["cluster_volumes"](given)] == ["sets", "work"]
    assert DECISIONS["cluster_volumes"](deployments.backup()) == []


# The restore

KEYS = {"webhook-key": "w", "crypto-passphrase": "c", "admin-password": "a"}
LOOKED: dict[str, Any] = {
    "set": "0123456789", "mlflow": "3.17.2", "manifest": {"mlflow": "3.17.2", "home": "/backup/home"}, "occupied": "",
    "secrets": {"mlflow": KEYS, "mlflow-tls-ca": {"tls.crt": "crt", "tls.key": "key"}, "postgresql": {"password": "p"}},
}  # fmt: skip


def asked(*, keys: dict[str, str] | None = None, **looked: Any) -> dict[str, Any]:
    return deployments.backup() | {"published": variants.RESTORED, "looked": {**LOOKED, **looked}, "keys": encoded(keys or {})}


@pytest.mark.parametrize(("given", "says"), [
    ({}, ""),
    ({"manifest": {"mlflow": "3.16.1", "home": "/backup/home"}}, ""),
    ({"keys": KEYS}, ""),
    ({"keys": {**KEYS, "admin-password": "other"}}, ""),
    ({"keys": {**KEYS, "webhook-key": "other"}}, "mlflow_server_name: Secret/mlflow has other keys than set 01234567"),
    ({"manifest": {"mlflow": "3.18.0", "home": "/backup/home"}}, "mlflow_image_version: 3.17.2 is older than 3.18.0, of which set 01234567 is"),
    ({"manifest": {"mlflow": "3.17.2", "home": "/var/lib/mlops-mlflow"}}, "mlflow_backup_set: set 01234567 is of an embedded stack"),
    ({"occupied": "mlflow"}, "postgresql_database: 'mlflow' is not empty and has not what set 01234567 has, and nothing is restored over it"),
    ({"secrets": {"other": KEYS}}, "mlflow_server_name: set 01234567 has no Secret 'mlflow', but other"),
])
def test_what_may_be_restored_into_the_cluster(given: dict[str, Any], says: str) -> None:
    found = RESTORE["cluster_restore_problem"](asked(**given))
    assert found.startswith(says)
    assert bool(found) == bool(says)


@pytest.mark.parametrize("looked", [{"keys": {**KEYS, "webhook-key": "other"}}, {"occupied": "mlflow"}])
def test_other_keys_and_data_are_replaced_if_asked(looked: dict[str, Any]) -> None:
    given = asked(**looked)
    given["variables"]["mlflow_backup_replace"] = True
    assert RESTORE["cluster_restore_problem"](given) == ""


def test_the_servers_keys_and_its_authority_are_put_back_and_no_password_of_the_database() -> None:
    given = asked()
    put = {each["metadata"]["name"]: each for each in RESTORE["cluster_restored_secrets"](given)}
    assert put["mlflow"]["data"] == encoded(KEYS)
    assert put["mlflow-tls-ca"]["type"] == "kubernetes.io/tls"
    assert put.keys() == {"mlflow", "mlflow-tls-ca"}
    given["owned"].append({"kind": "Secret", "name": "mlflow-tls-ca"})
    assert [each["metadata"]["name"] for each in RESTORE["cluster_restored_secrets"](given)] == ["mlflow"]


def test_a_restore_goes_to_what_the_roles_publish() -> None:
    given = asked() | {"deployment": {}}
    found = RESTORE["cluster_restore_job"](given)["spec"]["template"]["spec"]["containers"][0]
    plain = {each["name"]: each.get("value") for each in found["env"]}
    assert plain["RESTORE_AUTHENTICATION_URI"] == "postgresql+psycopg2://mlflow@postgresql:5432/mlflow_auth"
    assert plain["MLFLOW_ARTIFACTS_DESTINATION"] == "s3://mlflow/artifacts"
    assert {"PGPASSWORD", "AWS_ACCESS_KEY_ID"} <= plain.keys()
    assert found["command"][-1] == "restore"
    objects = RESTORE["cluster_look_objects"](given)
    assert [each["kind"] for each in objects] == ["ServiceAccount", "ConfigMap", "NetworkPolicy", "Job"]
    assert objects[-1]["spec"]["template"]["spec"]["containers"][0]["command"][-1] == "hold"
