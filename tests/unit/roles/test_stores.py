"""The stores in the cluster: which one a deployment has, what their pods run and listen on, and what MLflow's user may do."""
from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.artifact_store import policy
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.artifact_store_decisions import DECISIONS
from roles import CLUSTER, PUBLISHED, ROLES, Role

MINIO = {"kind": "Deployment", "name": "minio", "component": "artifacts", "annotations": {"mlops.mlflow/shape": "2"}}
SEAWEEDFS = {"kind": "Deployment", "name": "seaweedfs", "component": "artifacts", "annotations": {"mlops.mlflow/provider": "seaweedfs"}}
FROZEN = "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z"


def store(workloads: list[dict[str, Any]] | None = None, **given: Any) -> Role:
    """The role in a cluster with these workloads."""
    runtime = CLUSTER["kubernetes_runtime"] | {"workloads": workloads or []}
    return Role("artifact_store", **CLUSTER | {"kubernetes_runtime": runtime}, **PUBLISHED, **given)


def made(kind: str, provider: str, **given: Any) -> dict[str, Any]:
    """The object of that kind of a server in the cluster."""
    found: dict[str, Any] = next(each for each in store(artifact_store_provider=provider, **given).decided("objects") if each["kind"] == kind)
    return found


def pod(provider: str, **given: Any) -> dict[str, Any]:
    """The specification of the server's pod."""
    found: dict[str, Any] = made("Deployment", provider, **given)["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize(("given", "provider", "name"), [
    ({}, "seaweedfs", "seaweedfs"),
    ({"__artifact_store_deployed": "minio"}, "minio", "minio"),
    ({"__artifact_store_deployed": "seaweedfs"}, "seaweedfs", "seaweedfs"),
    ({"__artifact_store_deployed": "minio", "artifact_store_provider": "seaweedfs"}, "seaweedfs", "seaweedfs"),
    ({"artifact_store_provider": "external_s3"}, "external_s3", "minio"),
    ({"groups": {}}, "folder", "minio"),
])
def test_a_deployment_stays_on_its_store_if_the_inventory_names_none(given: dict[str, Any], provider: str, name: str) -> None:
    role = store()
    assert [role.said("artifact_store_provider", **given), role.said("artifact_store_name", **given)] == [provider, name]


@pytest.mark.parametrize(("there", "given", "other"), [
    ([MINIO], {"artifact_store_name": "minio"}, "minio"),
    ([MINIO], {}, ""),
    ([SEAWEEDFS], {}, ""),
    ([SEAWEEDFS], {"artifact_store_provider": "minio", "artifact_store_name": "seaweedfs"}, "seaweedfs"),
    ([SEAWEEDFS], {"artifact_store_provider": "minio"}, ""),
])
def test_no_server_takes_the_volume_of_another(there: list[dict[str, Any]], given: dict[str, Any], other: str) -> None:
    assert store(there).decided("other_provider", **{"artifact_store_provider": "seaweedfs"} | given) == other


def test_seaweedfs_shows_the_network_nothing_but_s3() -> None:
    container = pod("seaweedfs")["containers"][0]
    command = container["command"]
    assert command[:3] == ["weed", "-logtostderr=true", "server"]
    assert [word for word in command if "bind" in word] == ["-ip.bind=127.0.0.1", "-s3.ip.bind=0.0.0.0"]
    assert "-s3.port=9000" in command
    assert len({word.rpartition("=")[2] for word in command if "port" in word} - {"0"}) == 8
    assert container["ports"] == [{"name": "s3", "containerPort": 9000, "protocol": "TCP"}]
    # The gRPC port of S3 goes with S3's address.
    assert "-s3.port.grpc=9007" in command
    assert "[grpc.s3]" in made("ConfigMap", "seaweedfs")["data"]["security.toml"]
    policy = made("NetworkPolicy", "seaweedfs")["spec"]
    assert [rule["ports"] for rule in policy["ingress"]] == [[{"port": "s3", "protocol": "TCP"}]]


def test_seaweedfs_writes_to_its_volume_and_to_tmp_alone() -> None:
    found = pod("seaweedfs")
    container = found["containers"][0]
    places = [word.partition("=")[2] for word in container["command"] if "=/" in word]
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert mounts == {"/data": False, "/etc/seaweedfs": True, "/etc/artifact-store": True, "/etc/artifact-store-certificate": True, "/tmp": False}
    assert all(any(place.startswith(mount) for mount in mounts) for place in places)
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert found["securityContext"]["runAsNonRoot"] is True


@pytest.mark.parametrize(("prefix", "reach"), [("mlflow/a", "arn:aws:s3:::warehouse/mlflow/a/*"), ("", "arn:aws:s3:::warehouse/*")])
def test_both_servers_are_told_the_same_of_what_the_user_may_do(prefix: str, reach: str) -> None:
    given: dict[str, Any] = {"artifact_store_bucket": "warehouse", "artifact_store_prefix": prefix}
    minio = json.loads(made("ConfigMap", "minio", **given)["data"]["policy.json"])
    known = json.loads(store(artifact_store_provider="seaweedfs", **given).decided("identities"))
    assert json.loads(known["policies"][0]["content"]) == minio
    admin, user = known["identities"]
    assert (admin["name"], user["name"]) == ("admin", "mlflow")
    assert "actions" not in user
    assert user["policyNames"] == [known["policies"][0]["name"]]
    objects = [statement for statement in minio["Statement"] if "s3:GetObject" in statement["Action"]]
    assert [statement["Resource"] for statement in objects] == [[reach]]
    listing = next(statement for statement in minio["Statement"] if "s3:ListBucket" in statement["Action"])
    assert ("Condition" in listing) is bool(prefix)


@pytest.mark.parametrize(("image", "program", "frozen"), [
    (FROZEN, "minio", True),
    (FROZEN + "@sha256:14ce", "minio", True),
    ("localhost:5051/test/minio:RELEASE.2025-09-07T16-13-09Z", "minio", True),
    ("docker.io/minio/minio", "minio", True),
    ("docker.io/pgsty/minio:RELEASE.2026-08-04T00-00-00Z", "minio", False),
    ("registry.example.com/mirror/silo:RELEASE.2026-09-16T00-00-00Z@sha256:6351", "silo", False),
    ("registry.example.com/silo/minio:1", "minio", False),
])
def test_an_image_says_what_its_program_is_called_and_whether_it_is_maintained(image: str, program: str, frozen: bool) -> None:
    role = store(artifact_store_provider="minio", artifact_store_image=image)
    assert pod("minio", artifact_store_image=image)["containers"][0]["command"] == [program, "server", "--address", ":9000", "/data/minio"]
    assert role.decided("is_frozen") is frozen


@pytest.mark.parametrize(("provider", "image"), [("minio", "docker.io/pgsty/silo:RELEASE."), ("seaweedfs", "docker.io/chrislusf/seaweedfs:")])
def test_each_provider_has_an_image_that_cannot_change(provider: str, image: str) -> None:
    found = pod(provider)["containers"][0]["image"]
    assert found.startswith(image)
    assert len(found.partition("@sha256:")[2]) == 64


@pytest.mark.parametrize("provider", ["minio", "seaweedfs"])
def test_the_connection_of_a_store_in_the_cluster_is_taken(provider: str) -> None:
    role = store(artifact_store_provider=provider, kubernetes_applied={"objects": {}})
    value = role.said("__artifact_store_connection | combine(__artifact_store_access)", __artifact_store_endpoint_url="http://s3:9000")
    options = yaml.safe_load((ROLES / "mlflow_server" / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    spec = {"artifact_store_connection": options["artifact_store_connection"]}
    assert ArgumentSpecValidator(spec).validate({"artifact_store_connection": value}).error_messages == []
    assert value["secret_environment"]["AWS_SECRET_ACCESS_KEY"] == {"name": f"{provider}-mlflow", "key": "secret-key"}


POLICY = policy("mlflow", "artifacts")
KNOWN = {
    "user": {"policyName": "mlflow", "userStatus": "enabled"}, "key": {"status": "success"}, "policy": {"policyInfo": {"Policy": POLICY}},
}


def in_another_spelling(known: dict[str, Any]) -> dict[str, Any]:
    """The same policy as MinIO may give it back."""
    statements = [each | {"Action": each["Action"][::-1] if len(each["Action"]) > 1 else each["Action"][0]} for each in known["Statement"]]
    return known | {"Statement": statements}


@pytest.mark.parametrize(("state", "differs", "others"), [
    ({}, True, []),
    (KNOWN, False, []),
    (KNOWN | {"policy": {"policyInfo": {"Policy": in_another_spelling(POLICY)}}}, False, []),
    (KNOWN | {"policy": {"policyInfo": {"Policy": policy("mlflow", "")}}}, True, []),
    (KNOWN | {"user": {"policyName": "mlflow,readwrite", "userStatus": "enabled"}}, True, ["readwrite"]),
    (KNOWN | {"user": {"policyName": "mlflow", "userStatus": "disabled"}}, True, []),
    (KNOWN | {"key": {"status": "error"}}, True, []),
])
def test_mlflow_s_user_in_minio_is_set_where_anything_of_it_differs(state: dict[str, Any], differs: bool, others: list[str]) -> None:
    role = store(artifact_store_provider="minio", __artifact_store_asked={"rc": 0, "stdout": json.dumps(state)})
    assert role.decided("user") == {"differs": differs, "other_policies": others}


def test_a_move_leads_away_from_the_store_that_the_deployment_has() -> None:
    given = {"workloads": [{"component": "server", "name": "mlflow"}, MINIO, SEAWEEDFS], "provider": "seaweedfs", "name": "seaweedfs"}
    assert DECISIONS["move"](given) == {"server": "mlflow", "previous": "minio"}
    assert DECISIONS["move"](given | {"provider": "external_s3", "workloads": [SEAWEEDFS]}) == {"server": "", "previous": "seaweedfs"}


@pytest.mark.parametrize(("given", "lines"), [
    ({"already": True}, ["The artifacts are in s3://b/p already; nothing was moved"]),
    ({"check_mode": True}, ["3 objects, 1.00 KB, would be copied"]),
    ({}, [
        "3 objects, 1.00 KB, were copied from s3://a to s3://b, read back and compared; SHA-256 of all: abc",
        "The old store still has them. Once you no longer need it, remove it as docs/move-artifacts.md shows: Deployment/minio",
    ]),
])
def test_a_move_says_what_it_did(given: dict[str, Any], lines: list[str]) -> None:
    moved = {"already": given.get("already", False), "objects": 3, "source": "s3://a", "target": "s3://b", "sha256": "abc"}
    told = {"moved": moved, "size": "1.00 KB", "destination": "s3://b/p", "previous": "minio", "check_mode": given.get("check_mode", False)}
    assert DECISIONS["move_lines"](told) == lines


@pytest.mark.parametrize(("data", "lacks"), [
    ({"access-key": "YQ==", "sk": "Yg=="}, {}),
    ({"access-key": "YQ=="}, {"option": "secret_key_key", "key": "sk"}),
    ({}, {"option": "access_key_key", "key": "access-key"}),
])
def test_an_existing_secret_has_both_keys(data: dict[str, str], lacks: dict[str, str]) -> None:
    secret = {"name": "mine", "secret_key_key": "sk"}
    role = store(artifact_store_provider="external_s3", artifact_store_existing_secret=secret, __artifact_store_found={"resources": [{"data": data}]})
    assert role.decided("missing_key") == lacks
    if not lacks:
        assert role.decided("credentials") == {"access_key": "a", "secret_key": "b"}


@pytest.mark.parametrize("given", [
    {"artifact_store_nfs_server": "nas.lan", "artifact_store_nfs_path": "/export"}, {"artifact_store_existing_claim": "shared"},
])
def test_the_connection_of_a_volume_is_taken(given: dict[str, Any]) -> None:
    role = store(artifact_store_provider="nfs", **given)
    assert role.said("[artifact_store_name, artifact_store_image]") == ["mlflow-artifacts", PUBLISHED["mlflow_image_reference"]["image"]]
    variables = role.said("__artifact_store_given.variables")
    value = DECISIONS["volume_connection"]({"variables": variables, "pods": []})
    options = yaml.safe_load((ROLES / "mlflow_server" / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    spec = {"artifact_store_connection": options["artifact_store_connection"]}
    assert ArgumentSpecValidator(spec).validate({"artifact_store_connection": value}).error_messages == []
    kinds = [each["kind"] for each in role.said("artifact_store_claims")]
    assert kinds.count("PersistentVolumeClaim") == 1
    assert ("PersistentVolume" in kinds) is ("artifact_store_nfs_server" in given)
    assert role.decided("problems") == []
