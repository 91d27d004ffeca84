"""Argo Workflows, KServe and Kubeflow as clients: exactly what each reads, by the names that it knows, and nothing of others."""
from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import deployments
import kubernetes_validate
import pytest
import yaml
from client_decisions import LOGIN, decided, files, planned, recorded

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import kubernetes
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.artifact_store_decisions import DECISIONS as STORES
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.decisions import DECISIONS

ARGO = {"kind": "argo", "namespace": "train"}
KSERVE = {"kind": "kserve", "namespace": "serving"}
KUBEFLOW = {"kind": "kubeflow", "namespace": "ada"}
S3 = deployments.STORE | {"destination": "s3://mlflow/artifacts"}
EXPORT: dict[str, Any] = STORES["volume_connection"](
    deployments.volume(nfs_server="nas.lan", nfs_path="/export/mlflow/", nfs_mount_options=["nfsvers=4.1"], volume_size="50Gi")
)
CLAIM: dict[str, Any] = STORES["volume_connection"](deployments.volume(existing_claim="shared"))
CA = "-----BEGIN CERTIFICATE-----"


def merged(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    """What is merged into objects of others."""
    found: list[dict[str, Any]] = decided("plan", *entries)["merged"]
    return found


def absent(*entries: dict[str, Any], **given: Any) -> set[tuple[str, str]]:
    """What is removed, or is not there, by kind and name."""
    return {(each["kind"], each["name"]) for each in decided("plan", *entries, **given)["absent"]}


# Argo Workflows


def test_workflows_have_an_account_that_may_report_results() -> None:
    found = planned(ARGO)
    assert found["Role/train/mlflow-client-argo"]["rules"] == [
        {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}
    ]
    account = found["ServiceAccount/train/mlflow-client-argo"]
    # Argo's executor uses its token, unlike any other pod of this collection.
    assert "automountServiceAccountToken" not in account
    binding = found["RoleBinding/train/mlflow-client-argo"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "mlflow-client-argo", "namespace": "train"}]
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "mlflow-client-argo"}


def test_an_account_of_others_gets_the_role_alone() -> None:
    found = planned({**ARGO, "service_account": "trainer"})
    assert "ServiceAccount/train/mlflow-client-argo" not in found
    assert found["RoleBinding/train/mlflow-client-argo"]["subjects"][0]["name"] == "trainer"
    assert files({**ARGO, "service_account": "trainer"})["argo-workflow.yaml"]["spec"]["serviceAccountName"] == "trainer"
    [account] = [each for each in decided("claims", {**ARGO, "service_account": "trainer"}) if each["kind"] == "ServiceAccount"]
    assert account["wanted"] is False


@pytest.mark.parametrize("entry", [ARGO, KSERVE])
def test_the_job_runs_as_the_account_of_the_pods(entry: dict[str, Any]) -> None:
    [test] = decided("plan", entry, artifact_store=S3)["tests"]
    assert test["objects"][1]["spec"]["template"]["spec"]["serviceAccountName"] == f"mlflow-client-{entry['kind']}"


def test_the_part_of_a_workflow() -> None:
    """Each variable is a reference of its own: Argo merges them by name with those of a template, and expands no text of them."""
    spec = files({**ARGO, **LOGIN, "ca": CA, "pods": {"team": "risk"}})["argo-workflow.yaml"]["spec"]
    container = spec["templateDefaults"]["container"]
    assert container == spec["templateDefaults"]["script"]
    assert container["env"] == [
        *({"name": name, "valueFrom": {"configMapKeyRef": {"name": "mlflow-client", "key": name}}}
          for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_SERVER_CERT_PATH")),
        {"name": "MLFLOW_TRACKING_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "mlflow-client", "key": "MLFLOW_TRACKING_PASSWORD"}}},
    ]  # fmt: skip
    assert container["volumeMounts"] == [{"name": "mlflow-ca", "mountPath": "/etc/mlflow/client", "readOnly": True}]
    assert spec["volumes"] == [{"name": "mlflow-ca", "configMap": {"name": "mlflow-client-ca"}}]
    assert spec["podMetadata"] == {"labels": {"team": "risk"}}
    assert json.loads(spec["podSpecPatch"]) == {"enableServiceLinks": False}
    assert "artifactRepositoryRef" not in spec
    assert "{{" not in json.dumps(spec)


def test_the_store_is_the_default_repository_where_the_entry_asks_for_it() -> None:
    entry = {**ARGO, "artifact_store_access": True}
    made = planned(entry, artifact_store=S3)["ConfigMap/train/artifact-repositories"]
    assert made["metadata"]["annotations"] == {"workflows.argoproj.io/default-artifact-repository": "mlflow"}
    assert yaml.safe_load(made["data"]["mlflow"]) == {"s3": {
        "bucket": "mlflow", "endpoint": "minio.mlflow.svc:9000", "insecure": True, "region": "us-east-1",
        "keyFormat": "artifacts/argo/{{workflow.namespace}}/{{workflow.name}}/{{pod.name}}",
        "accessKeySecret": {"name": "mlflow-client", "key": "AWS_ACCESS_KEY_ID"},
        "secretKeySecret": {"name": "mlflow-client", "key": "AWS_SECRET_ACCESS_KEY"},
    }}  # fmt: skip
    assert set(planned(entry)["Secret/train/mlflow-client"]["data"]) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert files(entry)["argo-workflow.yaml"]["spec"]["artifactRepositoryRef"] == {"configMap": "artifact-repositories", "key": "mlflow"}
    aws = S3 | {"environment": {"AWS_DEFAULT_REGION": "eu-1"}, "destination": "s3://b"}
    found = yaml.safe_load(planned(entry, artifact_store=aws)["ConfigMap/train/artifact-repositories"]["data"]["mlflow"])["s3"]
    assert (found["endpoint"], found["insecure"], found["keyFormat"].partition("/")[0]) == ("s3.amazonaws.com", False, "argo")


def test_repositories_of_others_are_in_the_way_only_of_one_who_asks() -> None:
    for entry, wanted in ((ARGO, False), ({**ARGO, "artifact_store_access": True}, None)):
        [claim] = [each for each in decided("claims", entry) if each["name"] == "artifact-repositories"]
        assert claim.get("wanted") is wanted


def test_what_has_a_fixed_name_is_kept_for_the_client_that_has_it() -> None:
    """Others of the namespace do not have it, and one that is gone had it perhaps."""
    has, other = {**ARGO, "artifact_store_access": True}, {**ARGO, "name": "other"}
    assert ("ConfigMap", "artifact-repositories") in absent(other)
    assert ("ConfigMap", "artifact-repositories") not in absent(has, other)
    gone = [{"resources": recorded({"kind": "namespace", "namespace": "train", "name": "gone"})}]
    assert ("ConfigMap", "artifact-repositories") not in absent(has, looked=gone)
    assert ("ConfigMap", "gone") in absent(has, looked=gone)


# KServe


def test_kserve_reads_s3_by_the_secret_of_its_account() -> None:
    found = planned(KSERVE, artifact_store=S3)
    secret = found["Secret/serving/mlflow-client-s3"]
    assert {key: b64decode(value).decode() for key, value in secret["data"].items()} == {"AWS_ACCESS_KEY_ID": "mlflow", "AWS_SECRET_ACCESS_KEY": "s"}
    notes = {key: value for key, value in secret["metadata"]["annotations"].items() if key.startswith("serving.kserve.io/")}
    assert notes == {
        "serving.kserve.io/s3-endpoint": "minio.mlflow.svc:9000", "serving.kserve.io/s3-usehttps": "0", "serving.kserve.io/s3-region": "us-east-1",
    }  # fmt: skip
    account = found["ServiceAccount/serving/mlflow-client-kserve"]
    assert account["secrets"] == [{"name": "mlflow-client-s3"}]
    assert account["automountServiceAccountToken"] is False
    # The keys are KServe's, and not in the environment of a model's program.
    assert "Secret/serving/mlflow-client" not in found
    assert found["ConfigMap/serving/mlflow-client"]["data"].keys() == {"MLFLOW_TRACKING_URI"}


def test_kserves_pods_are_let_in_to_the_store() -> None:
    door = planned(KSERVE, artifact_store=S3)["NetworkPolicy/mlflow-client.serving.artifacts"]["spec"]
    assert door["podSelector"] == {"matchLabels": {"app.kubernetes.io/instance": "minio"}}
    assert door["ingress"][0]["from"][0]["podSelector"] == {"matchLabels": {"component": "predictor"}}
    egress = planned({**KSERVE, "egress_policy": "always"}, artifact_store=S3)["NetworkPolicy/serving/mlflow-client"]["spec"]["egress"]
    assert [rule["ports"][0]["port"] for rule in egress] == [53, 5000, 9000]


@pytest.mark.parametrize("version", ["1.30", "1.34"])
def test_kserve_reads_an_export_by_a_claim_that_cannot_write(version: str) -> None:
    found = planned(KSERVE, artifact_store=EXPORT)
    volume, claim = found["PersistentVolume/mlflow-client-artifacts.serving"], found["PersistentVolumeClaim/serving/mlflow-client-artifacts"]
    assert volume["spec"]["nfs"] == {"server": "nas.lan", "path": "/export/mlflow", "readOnly": True}
    assert volume["spec"]["accessModes"] == claim["spec"]["accessModes"] == ["ReadOnlyMany"]
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert volume["spec"]["mountOptions"] == ["nfsvers=4.1"]
    assert volume["spec"]["claimRef"]["namespace"] == "serving"
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert claim["spec"]["storageClassName"] == volume["spec"]["storageClassName"] == ""
    for made in (volume, claim):
        kubernetes_validate.validate(made, version, strict=True)
    assert "Secret/serving/mlflow-client-s3" not in found
    assert "secrets" not in found["ServiceAccount/serving/mlflow-client-kserve"]
    assert "NetworkPolicy/mlflow-client.serving.artifacts" not in found  # the kubelet mounts it


def test_a_claim_of_ones_own_is_used_as_it_is() -> None:
    entry = {**KSERVE, "artifact_claim": "models"}
    assert not [title for title in planned(entry, artifact_store=CLAIM) if "PersistentVolume" in title]
    assert "storageUri: pvc://models/" in files(entry, artifact_store=CLAIM)["kserve-inferenceservice.yaml"]
    [claim] = [each for each in decided("claims", entry) if each["name"] == "models"]
    assert (claim["wanted"], claim["required"], claim["option"]) == (False, True, "mlflow_clients[0].artifact_claim")


@pytest.mark.parametrize(("store", "root"), [(S3, "s3://mlflow/artifacts"), (EXPORT, "pvc://mlflow-client-artifacts")], ids=["s3", "nfs"])
def test_an_inference_service_and_the_command_that_makes_one(store: dict[str, Any], root: str) -> None:
    text = files(KSERVE, artifact_store=store)["kserve-inferenceservice.yaml"]
    options = f"--artifact-root {root} --namespace serving --service-account mlflow-client-kserve"
    assert f"mlflow-utils serve-manifest models:/MODEL@champion {options}" in text
    predictor = yaml.safe_load(text)["spec"]["predictor"]
    assert predictor["serviceAccountName"] == "mlflow-client-kserve"
    assert predictor["model"]["storageUri"] == f"{root}/EXPERIMENT_ID/models/MODEL_ID/artifacts"
    assert predictor["model"]["modelFormat"] == {"name": "mlflow"}


def test_the_job_reads_where_kserve_does() -> None:
    """With keys of the same Secret, or by the same claim."""
    [test] = decided("plan", KSERVE, artifact_store=S3)["tests"]
    spec = test["objects"][1]["spec"]["template"]["spec"]
    variables = {each["name"]: each.get("valueFrom") or each["value"] for each in spec["containers"][0]["env"]}
    assert variables["MLFLOW_VERIFY_ARTIFACT_ROOT"] == "s3://mlflow/artifacts"
    assert variables["MLFLOW_S3_ENDPOINT_URL"] == "http://minio.mlflow.svc:9000"
    assert variables["AWS_SECRET_ACCESS_KEY"] == {"secretKeyRef": {"name": "mlflow-client-s3", "key": "AWS_SECRET_ACCESS_KEY"}}
    [test] = decided("plan", KSERVE, artifact_store=EXPORT)["tests"]
    spec = test["objects"][1]["spec"]["template"]["spec"]
    assert {"name": "MLFLOW_VERIFY_ARTIFACT_ROOT", "value": "/mnt/models"} in spec["containers"][0]["env"]
    assert {"name": "models", "mountPath": "/mnt/models", "readOnly": True} in spec["containers"][0]["volumeMounts"]
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "mlflow-client-artifacts", "readOnly": True}} in spec["volumes"]


def test_no_variable_of_the_job_is_set_twice() -> None:
    """A client of KServe may ask for the keys in its environment too."""
    [test] = decided("plan", {**KSERVE, "artifact_store_access": True}, artifact_store=S3)["tests"]
    names = [each["name"] for each in test["objects"][1]["spec"]["template"]["spec"]["containers"][0]["env"]]
    assert len(names) == len(set(names))
    assert not {"AWS_ACCESS_KEY_ID", "MLFLOW_S3_ENDPOINT_URL"} & set(names)


# Kubeflow


def test_notebooks_are_offered_mlflow() -> None:
    spec = planned({**KUBEFLOW, **LOGIN, "ca": CA})["PodDefault/ada/mlflow-client"]["spec"]
    assert spec == {
        "desc": "Use MLflow (mlflow-client)", "selector": {"matchLabels": {"mlflow-client": "true"}},
        "envFrom": [{"configMapRef": {"name": "mlflow-client"}}, {"secretRef": {"name": "mlflow-client"}}],
        "volumes": [{"name": "mlflow-ca", "configMap": {"name": "mlflow-client-ca"}}],
        "volumeMounts": [{"name": "mlflow-ca", "mountPath": "/etc/mlflow/client", "readOnly": True}],
    }  # fmt: skip
    # Kubeflow's schema has no types for what a pod gets of it; Kubernetes' has.
    container = {"name": "notebook", "image": "x", "envFrom": spec["envFrom"], "volumeMounts": spec["volumeMounts"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [container], "volumes": spec["volumes"]}}
    kubernetes_validate.validate(pod, "1.34", strict=True)


def test_the_pipelines_get_credentials_by_the_name_that_they_know() -> None:
    secret = planned({**KUBEFLOW, **LOGIN})["Secret/ada/kfp-mlflow-credentials"]
    assert {key: b64decode(value).decode() for key, value in secret["data"].items()} == LOGIN
    [settings] = merged({**KUBEFLOW, **LOGIN})
    assert settings["metadata"] == {"name": "kfp-launcher", "namespace": "ada"}
    assert json.loads(settings["data"]["plugins.mlflow"]) == {
        "settings": {"injectUserEnvVars": True, "credentialSecretRef": {"usernameKey": "username", "passwordKey": "password"}},
    }  # fmt: skip


def test_without_a_login_there_are_no_credentials() -> None:
    assert "Secret/ada/kfp-mlflow-credentials" not in planned(KUBEFLOW)
    [settings] = merged(KUBEFLOW)
    assert json.loads(settings["data"]["plugins.mlflow"]) == {"settings": {"injectUserEnvVars": True}}
    [claim] = [each for each in decided("claims", KUBEFLOW) if each["name"] == "kfp-mlflow-credentials"]
    assert claim["wanted"] is False


def test_the_settings_of_the_pipelines_have_no_other_field() -> None:
    """Kubeflow refuses each run of a namespace whose settings have an unknown one, and does not let a namespace set the server."""
    known = {"experimentDescription", "defaultExperimentName", "injectUserEnvVars", "credentialSecretRef"}
    for entry in (KUBEFLOW, {**KUBEFLOW, **LOGIN}, {**KUBEFLOW, "environment": {"MLFLOW_TRACKING_AUTH": "kubernetes"}}):
        [settings] = merged(entry)
        found = json.loads(settings["data"]["plugins.mlflow"])
        assert found.keys() == {"settings"}
        assert found["settings"].keys() <= known


@pytest.mark.parametrize(("more", "method"), [
    ({}, "none"), (LOGIN, "basic-auth"), ({"environment": {"MLFLOW_TRACKING_AUTH": "kubernetes"}}, "kubernetes"),
])  # fmt: skip
def test_what_the_server_of_the_pipelines_is_told(more: dict[str, Any], method: str) -> None:
    assert files({**KUBEFLOW, **more})["kubeflow-pipelines.yaml"] == {"plugins": {"mlflow": {
        "endpoint": "http://mlflow.mlflow.svc:5000", "timeout": "30s",
        "settings": {"authType": method, "workspacesEnabled": False, "injectUserEnvVars": True},
    }}}  # fmt: skip


def test_each_half_of_kubeflow_can_be_left_out() -> None:
    entry = {**KUBEFLOW, **LOGIN, "pod_default": False, "pipelines": False}
    assert merged(entry) == []
    assert planned(entry).keys() == {"ConfigMap/ada/mlflow-client", "Secret/ada/mlflow-client", "NetworkPolicy/mlflow-client.ada"}
    assert "kubeflow-pipelines.yaml" not in files(entry)
    assert absent(entry) >= {("PodDefault", "mlflow-client"), ("Secret", "kfp-mlflow-credentials"), ("ConfigMap", "kfp-launcher")}


def test_the_launchers_settings_are_withdrawn_and_never_removed_with_those_of_others() -> None:
    """Of the ConfigMap, only the own fields are claimed, applied and removed."""
    for each in (*decided("claims", KUBEFLOW), *decided("plan", {"kind": "namespace", "namespace": "ada"})["absent"]):
        assert each.get("merged", False) is (each["name"] == "kfp-launcher")
    assert not [each for each in decided("plan", KUBEFLOW)["objects"] if each["metadata"]["name"] == "kfp-launcher"]


def test_the_job_gets_no_proxy_with_which_it_would_not_end() -> None:
    [test] = decided("plan", KUBEFLOW)["tests"]
    assert test["objects"][1]["spec"]["template"]["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"


# All


def test_a_removal_takes_the_volume_along_which_has_no_namespace() -> None:
    policies = recorded(KSERVE)
    owned = [{"api_version": each["apiVersion"], "kind": each["kind"], "name": each["metadata"]["name"],
              "instance": each["metadata"]["labels"]["app.kubernetes.io/instance"]} for each in policies]
    removal = kubernetes.DECISIONS["removal"]({"owned": {"owned": owned, "foreign": [], "namespace": "own"}, "name": "mlflow"})
    assert {"api_version": "v1", "kind": "PersistentVolume", "name": "mlflow-client-artifacts.serving"} in removal["absent"]
    assert {"api_version": "v1", "kind": "ConfigMap", "name": "kfp-launcher", "namespace": "serving", "merged": True} in removal["absent"]


@pytest.mark.parametrize(("entry", "store", "told"), [
    ({**ARGO, "artifact_store_access": True}, EXPORT, "mlflow_clients[0].artifact_store_access: this artifact store has no keys; remove it"),
    ({**ARGO, "artifact_claim": "x"}, S3, "mlflow_clients[0].artifact_claim: 'x' is for KServe, and this client is of kind argo; remove it"),
    ({**ARGO, "artifact_store_access": True}, S3 | {"environment": {"AWS_CA_BUNDLE": "/etc/mlflow/s3/ca.crt"}},
     "mlflow_clients[0].artifact_store_access: the artifact store's certificate is signed by artifact_store_ca, which only MLflow's pods"),
    (KSERVE, CLAIM, "mlflow_clients[0].artifact_claim: the artifact store /mlflow/artifacts is a volume that KServe's pods in namespace serving"),
    (KSERVE, S3 | {"secret_environment": {}}, "mlflow_clients[0].kind: KServe reads s3://mlflow/artifacts with keys, and this deployment has none"),
    ({**KSERVE, "artifact_claim": "x"}, S3, "mlflow_clients[0].artifact_claim: 'x' is not needed, since the artifact store is s3://mlflow"),
    ({**KSERVE, "service_account": "x"}, S3, "mlflow_clients[0].service_account: 'x' would have to name the store's Secret, and is not this deplo"),
    ({**KUBEFLOW, "username": "ada", "secret_environment": {"MLFLOW_TRACKING_PASSWORD": {"name": "a", "key": "b"}}}, S3,
     "mlflow_clients[0].pipelines: Kubeflow Pipelines reads credentials from Secret kfp-mlflow-credentials alone, and MLFLOW_TRACKING_PASSWORD is"),
])  # fmt: skip
def test_what_is_wrong_is_said(entry: dict[str, Any], store: dict[str, Any], told: str) -> None:
    [problem] = decided("problems", entry, artifact_store=store)
    assert problem.startswith(told)
    assert "; " in problem


def test_what_a_namespace_has_once_is_said() -> None:
    access = {"artifact_store_access": True}
    [problem] = decided("problems", {**ARGO, **access}, {**ARGO, **access, "name": "more"})
    assert problem == (
        "mlflow_clients[1].artifact_store_access: the artifact repositories of namespace train are those of mlflow_clients[0] already; set it to "
        "false"
    )
    assert decided("problems", {**ARGO, **access}, {**ARGO, "name": "more"}, {**ARGO, **access, "namespace": "other"}) == []
    [problem] = decided("problems", KUBEFLOW, {**KUBEFLOW, "name": "more"})
    assert problem.startswith("mlflow_clients[1].pipelines: the settings of the pipelines of namespace ada are those of mlflow_clients[0] already")


@pytest.mark.parametrize("kind", ["argo", "kserve", "kubeflow"])
def test_a_client_is_right_with_what_it_can_read(kind: str) -> None:
    for store in (S3, EXPORT):
        assert DECISIONS["problems"](deployments.clients({"kind": kind, "namespace": "x"}, artifact_store=store)) == []
