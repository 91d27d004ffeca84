"""What a client of each kind gets, and is told: exactly, and nothing that is secret where it is not to be."""
from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import deployments
import kubernetes_validate
import pytest
import variants
import yaml
from client_decisions import LOGIN, decided, files, planned, recorded

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import kubernetes
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.kinds import KINDS

HUB = {"kind": "jupyterhub", "namespace": "hub"}
AIRFLOW = {"kind": "airflow", "namespace": "etl"}
PODS = {"kind": "namespace", "namespace": "shop"}
SERVER_PODS = {
    "app.kubernetes.io/name": "mlflow", "app.kubernetes.io/instance": "mlflow", "app.kubernetes.io/component": "server",
}  # fmt: skip
DENIES: dict[str, Any] = {"metadata": {"name": "deny", "namespace": "shop"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}


#: What a client of a kind without objects of its own does not have.
OF_OTHER_KINDS = {
    ("Secret", "mlflow-client-connection"), ("ServiceAccount", "mlflow-client-argo"), ("Role", "mlflow-client-argo"),
    ("RoleBinding", "mlflow-client-argo"), ("ConfigMap", "artifact-repositories"), ("ServiceAccount", "mlflow-client-kserve"),
    ("Secret", "mlflow-client-s3"), ("PersistentVolumeClaim", "mlflow-client-artifacts"), ("PodDefault", "mlflow-client"),
    ("Secret", "kfp-mlflow-credentials"), ("ConfigMap", "kfp-launcher"),
}  # fmt: skip


def test_a_client_gets_an_environment_and_is_let_in() -> None:
    found = planned(PODS)
    assert found.keys() == {"ConfigMap/shop/mlflow-client", "NetworkPolicy/mlflow-client.shop"}
    assert found["ConfigMap/shop/mlflow-client"]["data"] == {"MLFLOW_TRACKING_URI": "http://mlflow.mlflow.svc:5000"}
    door = found["NetworkPolicy/mlflow-client.shop"]
    assert door["metadata"]["annotations"] == {"mlops.mlflow/client": "shop/mlflow-client"}
    assert door["spec"] == {
        "podSelector": {"matchLabels": SERVER_PODS}, "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}],
                     "ports": [{"port": 5000, "protocol": "TCP"}]}],
    }  # fmt: skip


def test_only_its_pods_are_let_in() -> None:
    [door] = [each for title, each in planned(HUB).items() if title.startswith("NetworkPolicy/")]
    assert door["spec"]["ingress"][0]["from"] == [{
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "hub"}},
        "podSelector": {"matchLabels": {"app": "jupyterhub", "component": "singleuser-server"}},
    }]  # fmt: skip


def test_pods_that_are_confined_are_let_out_and_others_are_left_alone() -> None:
    assert "NetworkPolicy/shop/mlflow-client" not in planned(PODS)
    [out] = [each for title, each in planned(PODS, looked=[{"resources": [DENIES]}]).items() if title == "NetworkPolicy/shop/mlflow-client"]
    assert out["spec"]["policyTypes"] == ["Egress"]
    assert out["spec"]["podSelector"] == {}
    assert out["spec"]["egress"][1]["to"] == [{
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "mlflow"}}, "podSelector": {"matchLabels": SERVER_PODS},
    }]  # fmt: skip
    dns = out["spec"]["egress"][0]["to"][0]["namespaceSelector"]["matchLabels"]
    assert dns == {"kubernetes.io/metadata.name": "kube-system"}


@pytest.mark.parametrize("policy", [
    {"metadata": {"name": "deny", "namespace": "other"}, "spec": DENIES["spec"]},
    {**DENIES, "spec": {"podSelector": {"matchLabels": {"app": "shop"}}, "policyTypes": ["Egress"]}},
    {**DENIES, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}},
    {**DENIES, "metadata": {**DENIES["metadata"], "labels": {
        "app.kubernetes.io/name": "mlflow-client", "app.kubernetes.io/managed-by": "mlops.mlflow"}}},
], ids=["of-another-namespace", "of-some-pods", "of-ingress", "of-ours"])  # fmt: skip
def test_what_confines_nobody(policy: dict[str, Any]) -> None:
    assert "NetworkPolicy/shop/mlflow-client" not in planned(PODS, looked=[{"resources": [policy]}])


def test_a_policy_is_made_or_not_where_the_entry_says_so() -> None:
    assert "NetworkPolicy/shop/mlflow-client" in planned({**PODS, "egress_policy": "always"})
    assert "NetworkPolicy/shop/mlflow-client" not in planned({**PODS, "egress_policy": "never"}, looked=[{"resources": [DENIES]}])


def test_a_password_is_in_the_secret_alone() -> None:
    for entry in (PODS, HUB, {**AIRFLOW, "connection_id": "mlflow_default"}):
        plan = decided("plan", {**entry, **LOGIN, "artifact_store_access": True})
        every = [*plan["objects"], *(made for test in plan["tests"] for made in [*test["objects"], *test["record"]])]
        secrets = [each for each in every if each["kind"] == "Secret"]
        held = [b64decode(value).decode() for each in secrets for value in each["data"].values()]
        assert LOGIN["password"] in held
        assert "braces" not in json.dumps([each for each in every if each["kind"] != "Secret"])
        assert "braces" not in json.dumps(decided("files", {**entry, **LOGIN, "artifact_store_access": True}))


def test_a_checksum_tells_of_a_change_and_not_of_the_password() -> None:
    """It is salted with keys that only the deployment has."""
    title, note = "Secret/shop/mlflow-client", "mlops.mlflow/checksum"
    first, other = planned({**PODS, **LOGIN})[title], planned({**PODS, **LOGIN, "password": "another"})[title]
    salted = planned({**PODS, **LOGIN}, secrets={"mlflow": {"webhook-key": "another"}})[title]
    assert len({each["metadata"]["annotations"][note] for each in (first, other, salted)}) == 3


def test_keys_of_the_store_are_given_only_where_the_entry_says_so() -> None:
    """As in akko's table, with the Service's full name."""
    found = planned({**PODS, "artifact_store_access": True})
    assert found["ConfigMap/shop/mlflow-client"]["data"] == {
        "MLFLOW_TRACKING_URI": "http://mlflow.mlflow.svc:5000", "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_S3_ENDPOINT_URL": "http://minio.mlflow.svc:9000",
    }  # fmt: skip
    assert {key: b64decode(value).decode() for key, value in found["Secret/shop/mlflow-client"]["data"].items()} == {
        "AWS_ACCESS_KEY_ID": "mlflow", "AWS_SECRET_ACCESS_KEY": "s",
    }  # fmt: skip
    door = found["NetworkPolicy/mlflow-client.shop.artifacts"]["spec"]
    assert door["podSelector"] == {"matchLabels": {"app.kubernetes.io/instance": "minio"}}
    assert door["ingress"][0]["ports"] == [{"port": 9000, "protocol": "TCP"}]


def test_presigned_artifacts_open_the_store_too() -> None:
    """mlflow_server then publishes its pods among those that clients must reach."""
    endpoint = {**deployments.ENDPOINT, "egress": [*deployments.ENDPOINT["egress"], *deployments.STORE["egress"]]}
    found = planned(HUB, endpoint=endpoint)
    assert "NetworkPolicy/mlflow-client.hub.artifacts" in found
    assert "Secret/hub/mlflow-client" not in found
    egress = files(HUB, endpoint=endpoint)["jupyterhub-values.yaml"]["singleuser"]["networkPolicy"]["egress"]
    assert [rule["ports"][0]["port"] for rule in egress] == [5000, 9000]


def test_a_store_elsewhere_is_reached_and_one_of_which_nothing_is_known_opens_nothing() -> None:
    outside = {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"port": 9000, "protocol": "TCP"}]}
    for rule, expected in ((outside, [outside]), ({}, [])):
        endpoint = {**deployments.ENDPOINT, "egress": [*deployments.ENDPOINT["egress"], rule]}
        egress = files(HUB, endpoint=endpoint)["jupyterhub-values.yaml"]["singleuser"]["networkPolicy"]["egress"]
        assert egress[1:] == expected
        assert planned({**PODS, "egress_policy": "always"}, endpoint=endpoint)["NetworkPolicy/shop/mlflow-client"]["spec"]["egress"][2:] == expected
        assert [title for title in planned(HUB, endpoint=endpoint) if title.startswith("NetworkPolicy/")] == ["NetworkPolicy/mlflow-client.hub"]


def test_the_chart_of_jupyterhub() -> None:
    """Each variable is a reference: KubeSpawner expands the braces of texts."""
    entry = {**HUB, **LOGIN, "trust_sklearn": True, "environment": {"TEAM": "{username}"}, "ca": "-----BEGIN CERTIFICATE-----"}
    assert files(entry)["jupyterhub-values.yaml"] == {
        "singleuser": {
            "extraEnv": {
                **{name: {"valueFrom": {"configMapKeyRef": {"name": "mlflow-client", "key": name}}} for name in (
                    "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_UTILS_TRUST_SKLEARN", "TEAM")},
                "MLFLOW_TRACKING_PASSWORD": {"valueFrom": {"secretKeyRef": {"name": "mlflow-client", "key": "MLFLOW_TRACKING_PASSWORD"}}},
            },
            "networkPolicy": {"egress": [{
                "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "mlflow"}},
                        "podSelector": {"matchLabels": SERVER_PODS}}],
                "ports": [{"port": 5000, "protocol": "TCP"}],
            }]},
            "storage": {
                "extraVolumes": [{"name": "mlflow-ca", "configMap": {"name": "mlflow-client-ca"}}],
                "extraVolumeMounts": [{"name": "mlflow-ca", "mountPath": "/etc/mlflow/client", "readOnly": True}],
            },
        }
    }  # fmt: skip
    assert planned(entry)["ConfigMap/hub/mlflow-client"]["data"]["TEAM"] == "{username}"


def test_the_chart_of_airflow() -> None:
    entry = {**AIRFLOW, **LOGIN, "secret_environment": {"OTHER": {"name": "theirs", "key": "k"}}}
    values = files(entry)["airflow-values.yaml"]
    assert yaml.safe_load(values["extraEnvFrom"]) == [{"configMapRef": {"name": "mlflow-client"}}, {"secretRef": {"name": "mlflow-client"}}]
    assert values["secret"] == [{"envName": "OTHER", "secretName": "theirs", "secretKey": "k"}]
    assert values.keys() == {"extraEnvFrom", "secret"}


@pytest.mark.parametrize("version", ["1.30", "1.34"])
@pytest.mark.parametrize("more", [{}, {**LOGIN, "ca": "-----BEGIN CERTIFICATE-----", "service_account": "worker"}], ids=["plain", "whole"])
def test_the_pod_template_of_airflow(version: str, more: dict[str, Any]) -> None:
    template = files({**AIRFLOW, **more})["airflow-pod-template.yaml"]
    kubernetes_validate.validate(template, version, strict=True)
    [container] = template["spec"]["containers"]
    assert container["name"] == "base"
    assert container["envFrom"][0] == {"configMapRef": {"name": "mlflow-client"}}
    assert template["metadata"]["labels"] == {"tier": "airflow", "component": "worker"}


def test_a_connection_of_airflow() -> None:
    made = planned({**AIRFLOW, **LOGIN, "connection_id": "mlflow_default"})["Secret/etl/mlflow-client-connection"]
    assert made["metadata"]["labels"]["airflow.apache.org/connection-id"] == "mlflow_default"
    assert json.loads(b64decode(made["data"]["value"])) == {
        "conn_type": "http", "host": "mlflow.mlflow.svc", "port": 5000, "schema": "http", "login": "ada", "password": LOGIN["password"],
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_job_is_the_client(kind: str) -> None:
    """It has the labels, the account and the environment of the client's pods, and nothing that lets it in otherwise."""
    entry = {"kind": kind, "namespace": "x", **LOGIN, "service_account": "worker", "secret_environment": {"OTHER": {"name": "theirs", "key": "k"}}}
    [test] = decided("plan", entry)["tests"]
    program, job = test["objects"]
    assert program["data"] == {"verify.py": "print()\n"}
    template = job["spec"]["template"]
    assert template["metadata"]["labels"].items() >= KINDS[kind].pods.items()
    assert template["metadata"]["labels"]["app.kubernetes.io/component"] == "client"
    assert template["spec"]["serviceAccountName"] == "worker"
    assert template["spec"]["automountServiceAccountToken"] is False
    [container] = template["spec"]["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": "mlflow-client"}}, {"secretRef": {"name": "mlflow-client"}}]
    own = {each["name"]: each for each in container["env"]}
    assert own["OTHER"]["valueFrom"] == {"secretKeyRef": {"name": "theirs", "key": "k"}}
    assert "MLFLOW_TRACKING_URI" not in own
    assert all(each["metadata"]["namespace"] == "x" for each in (program, job))


def test_an_account_that_logs_in_has_its_token() -> None:
    [test] = decided("plan", {**PODS, "environment": {"MLFLOW_TRACKING_AUTH": "kubernetes"}})["tests"]
    assert test["objects"][1]["spec"]["template"]["spec"]["automountServiceAccountToken"] is True


def test_a_client_is_verified_again_only_after_a_change() -> None:
    there = [{"resources": recorded(PODS, HUB)}]
    assert decided("plan", PODS, HUB, looked=there)["tests"] == []
    door = planned(PODS, looked=there)["NetworkPolicy/mlflow-client.shop"]
    assert door["metadata"]["annotations"].keys() == {"mlops.mlflow/client", "mlops.mlflow/verified"}
    assert [each["title"] for each in decided("plan", {**PODS, **LOGIN}, HUB, looked=there)["tests"]] == ["namespace in namespace shop"]
    changed = {**deployments.ENDPOINT, "deployment": "4567"}
    assert len(decided("plan", PODS, HUB, looked=there, endpoint=changed)["tests"]) == 2
    assert len(decided("plan", PODS, HUB, looked=there, always=True)["tests"]) == 2


def test_a_client_that_is_gone_takes_its_objects_along() -> None:
    absent = decided("plan", PODS, looked=[{"resources": recorded(PODS, HUB)}])["absent"]
    gone = [each for each in absent if each.get("namespace") == "hub" or ".hub" in each["name"]]
    assert {(each["kind"], each["name"]) for each in gone} == {
        ("Job", "mlflow-client-verify"), ("ConfigMap", "mlflow-client-verify"), ("ConfigMap", "mlflow-client"), ("Secret", "mlflow-client"),
        ("ConfigMap", "mlflow-client-ca"), ("NetworkPolicy", "mlflow-client"), *OF_OTHER_KINDS,
        ("PersistentVolume", "mlflow-client-artifacts.hub"),
        ("NetworkPolicy", "mlflow-client.hub"), ("NetworkPolicy", "mlflow-client.hub.artifacts"),
    }  # fmt: skip
    assert gone[-1]["name"] == "mlflow-client.hub"  # the record goes last
    assert not [each for each in absent if each["kind"] == "Namespace"]


@pytest.mark.parametrize(("part", "change"), [("namespace", {"namespace": "other"}), ("labels", {"labels": {"mlops.mlflow/deployment": "team-b"}})])
def test_clients_of_other_deployments_are_left_alone(part: str, change: dict[str, Any]) -> None:
    theirs = [{**each, "metadata": {**each["metadata"], **change}} for each in recorded(HUB)]
    assert decided("plan", looked=[{"resources": theirs}])["absent"] == [], part


def test_a_removal_of_the_deployment_takes_its_clients_along() -> None:
    """The playbook remove sees MLflow's namespace alone, and finds them by the policies that let them in."""
    policies = recorded(HUB, {**AIRFLOW, "name": "nightly", "artifact_store_access": True})
    owned = [{"api_version": each["apiVersion"], "kind": each["kind"], "name": each["metadata"]["name"],
              "instance": each["metadata"]["labels"]["app.kubernetes.io/instance"]} for each in policies]
    removal = kubernetes.DECISIONS["removal"]({"owned": {"owned": owned, "foreign": [], "namespace": "own"}, "name": "mlflow"})
    assert removal["lines"][:2] == [
        "to be removed: what client mlflow-client has in namespace hub", "to be removed: what client nightly has in namespace etl",
    ]  # fmt: skip
    assert {"api_version": "v1", "kind": "Secret", "name": "nightly-connection", "namespace": "etl"} in removal["absent"]
    assert [each["name"] for each in removal["absent"] if "namespace" not in each and each["kind"] != "PersistentVolume"] == [
        each["name"] for each in owned
    ]


def test_what_a_client_no_longer_has_is_removed() -> None:
    absent = decided("plan", PODS)["absent"]
    assert {(each["kind"], each["name"]) for each in absent} == {
        ("Secret", "mlflow-client"), ("ConfigMap", "mlflow-client-ca"), ("NetworkPolicy", "mlflow-client"),
        *OF_OTHER_KINDS, ("PersistentVolume", "mlflow-client-artifacts.shop"), ("NetworkPolicy", "mlflow-client.shop.artifacts"),
    }  # fmt: skip


def test_no_clients_no_change() -> None:
    assert decided("plan") == {"objects": [], "merged": [], "absent": [], "tests": []}
    assert decided("claims") == decided("problems") == decided("files") == decided("report", plan=decided("plan")) == []
    assert decided("namespaces") == {
        "looked_at": [{"api_version": "networking.k8s.io/v1", "kind": "NetworkPolicy", "namespace": "mlflow"}], "created": [],
    }


def test_what_is_made_was_claimed() -> None:
    for kind in KINDS:
        for entry in variants.one_by_one(variants.CLIENT, {"kind": kind, "namespace": "shop", **LOGIN}):
            plan, claims = decided("plan", entry), decided("claims", entry)
            claimed = {(each["kind"], each.get("namespace"), each["name"]) for each in claims}
            made = [*plan["objects"], *(each for test in plan["tests"] for each in [*test["objects"], *test["record"]])]
            assert {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in made} <= claimed
            wanted = [each for each in claims if each["kind"] == "Namespace"]
            assert [each.get("required") for each in wanted] == ([] if entry.get("create_namespace") else [True])


def test_in_check_mode_nothing_is_compared_in_a_namespace_that_is_not_there() -> None:
    entry, there = {**PODS, "create_namespace": True}, [{"item": "shop", "resources": []}]
    assert [each["metadata"]["name"] for each in decided("new_namespaces", entry, there=there)] == ["shop"]
    assert decided("plan", entry, HUB, there=there, check_mode=True)["tests"][0]["namespace"] == "hub"
    assert len(decided("plan", entry, HUB, there=there)["tests"]) == 2


@pytest.mark.parametrize(("entry", "told"), [
    ({**PODS, "namespace": "Shop"}, "mlflow_clients[0].namespace: 'Shop' is not the name of a namespace"),
    ({**PODS, "name": "x" * 51}, "mlflow_clients[0].name: "),
    ({**PODS, "username": "ada"}, "mlflow_clients[0].password: ada has none; set it, or name its Secret in secret_environment: {MLFLOW_TRACKING_"),
    ({**PODS, "password": "x"}, "mlflow_clients[0].username: there is a password without a user name; set both"),
    ({**PODS, "environment": {"A-B": 1}}, "mlflow_clients[0].environment: 'A-B' is not the name of an environment variable"),
    ({**PODS, **LOGIN, "environment": {"MLFLOW_TRACKING_PASSWORD": "x"}}, "mlflow_clients[0].secret_environment: MLFLOW_TRACKING_PASSWORD would be"),
    ({**PODS, "secret_environment": {"A": {"name": "x"}}}, "mlflow_clients[0].secret_environment: A does not name a Secret"),
    ({**PODS, "connection_id": "x"}, "mlflow_clients[0].connection_id: 'x' is for Airflow, and this client is of kind namespace"),
    ({**AIRFLOW, "connection_id": "x", "username": "ada", "secret_environment": {"MLFLOW_TRACKING_PASSWORD": {"name": "a", "key": "b"}}},
     "mlflow_clients[0].connection_id: the connection 'x' has to contain the password of ada"),
    ({**PODS, "ca": "/etc/ca.crt"}, "mlflow_clients[0].ca: it is not a certificate"),
])  # fmt: skip
def test_what_is_wrong_is_said(entry: dict[str, Any], told: str) -> None:
    [problem] = decided("problems", entry)
    assert problem.startswith(told)
    assert "; " in problem


def test_what_is_wrong_with_several_and_with_the_server() -> None:
    [twice] = decided("problems", PODS, {**AIRFLOW, "namespace": "shop"})
    assert twice.startswith("mlflow_clients[1].name: 'mlflow-client' in namespace shop is that of mlflow_clients[0] already; set another")
    assert decided("problems", PODS, {**AIRFLOW, "namespace": "shop", "name": "etl"}) == []
    asking = {**deployments.ENDPOINT, "username": "admin"}
    assert decided("problems", PODS, endpoint=asking)[0].startswith("mlflow_clients[0].username: MLflow asks namespace in namespace shop for a")
    assert decided("problems", {**PODS, **LOGIN}, endpoint=asking) == []
    [embedded] = decided("problems", PODS, endpoint={"runtime": "embedded"})
    assert embedded.startswith("mlflow_clients: they are pods of a cluster")
    [keys] = decided("problems", {**PODS, "artifact_store_access": True}, secrets={})
    assert keys.startswith("mlflow_clients[0].artifact_store_access: the keys in Secret minio-mlflow")


def test_the_report_is_line_by_line() -> None:
    given: dict[str, Any] = {"plan": decided("plan", HUB, AIRFLOW), "actions": ["create ConfigMap hub/mlflow-client"]}
    told = decided("report", HUB, {**AIRFLOW, "trust_sklearn": True, "verify": False}, **given)
    assert told == [
        "Client jupyterhub in namespace hub: a Job in its namespace, with its labels and environment, logged a run and an artifact; its image needs "
        "mlflow-skinny>=3,<4",
        "  Its environment changed: notebook servers get it when they are started again, by their users from the hub's control panel for instance. "
        "Nothing was restarted",
        "Client airflow in namespace etl: not verified; its image needs mlflow-skinny>=3,<4, mlflow-utils, skops<1",
    ]
    assert "to be verified" in decided("report", HUB, check_mode=True, **given)[0]


def test_one_that_fails_does_not_take_the_others_along() -> None:
    given: dict[str, Any] = {"plan": decided("plan", HUB, AIRFLOW), "waited": [{"msg": "Job mlflow-client-verify failed"}, {"changed": False}]}
    assert "it cannot use MLflow" in decided("report", HUB, AIRFLOW, **given)[0]
    assert decided("failures", HUB, AIRFLOW, **given) == ["jupyterhub in namespace hub: Job mlflow-client-verify failed"]
    assert [each["metadata"]["name"] for each in decided("records", HUB, AIRFLOW, **given)] == ["mlflow-client.etl"]
