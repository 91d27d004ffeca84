"""Clients of a server that trusts the cluster's service accounts: each has a token of its own, and no password is anywhere."""
from __future__ import annotations

import re
from typing import Any

import deployments
import pytest
import yaml

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.decisions import DECISIONS
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.kinds import KINDS
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_decisions import DECISIONS as SERVER
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.role import rules as role
from roles import ROLES

DOCUMENT = ROLES.parent / "docs" / "clients.md"
TOKEN = {
    "name": "mlflow-token",
    "projected": {"sources": [
        {"serviceAccountToken": {"audience": "the-server", "expirationSeconds": 3600, "path": "token"}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]},
}  # fmt: skip
MOUNT = {"name": "mlflow-token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
REFERENCE = {"name": "login", "key": "token"}
LOGINS: dict[str, dict[str, Any]] = {
    "password": {"username": "ada", "password": "x"},
    "password of a Secret": {"username": "ada", "secret_environment": {"MLFLOW_TRACKING_PASSWORD": REFERENCE}},
    "token": {"secret_environment": {"MLFLOW_TRACKING_TOKEN": REFERENCE}},
    "another plugin": {"environment": {"MLFLOW_TRACKING_AUTH": "arn"}},
}
#: What cannot be a client by its account.
WITHOUT = {"kubeflow": {"pipelines": False}}


def decided(decision: str, kind: str, **entry: Any) -> Any:
    """A decision for one client."""
    given = entry.pop("given", {})
    return DECISIONS[decision](deployments.clients({"kind": kind, "namespace": "team", **entry}, **{"endpoint": deployments.BY_ACCOUNT, **given}))


def files(kind: str, **entry: Any) -> dict[str, Any]:
    """The files by the end of their names."""
    return {each["name"].split(".", 2)[2]: each.get("text", each.get("yaml")) for each in decided("files", kind, **entry)}


def environment(kind: str, **entry: Any) -> dict[str, str]:
    """The variables of the client's ConfigMap."""
    made = decided("plan", kind, **entry)["objects"]
    [found] = [each["data"] for each in made if each["kind"] == "ConfigMap"]
    return dict(found)


@pytest.mark.parametrize("kind", KINDS)
def test_the_job_logs_in_as_the_clients_pods_do(kind: str) -> None:
    assert decided("problems", kind, **WITHOUT.get(kind, {})) == []
    assert environment(kind)["MLFLOW_TRACKING_AUTH"] == "kubernetes"
    plan = decided("plan", kind, service_account="worker")
    # KServe has the keys of the store, and nobody a login.
    assert {each["metadata"]["name"] for each in plan["objects"] if each["kind"] == "Secret"} <= {"mlflow-client-s3"}
    spec = plan["tests"][0]["objects"][1]["spec"]["template"]["spec"]
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("worker", False)
    assert TOKEN in spec["volumes"]
    assert MOUNT in spec["containers"][0]["volumeMounts"]
    names = {variable["value"] for variable in spec["containers"][0]["env"] if variable["name"] == "MLFLOW_VERIFY_NAME"}
    assert names == {"mlflow-verify-team-mlflow-client-worker"}


def test_the_pipelines_of_kubeflow_need_a_password() -> None:
    """Their server's plugin sends its own token."""
    [problem] = decided("problems", "kubeflow")
    assert problem.startswith("mlflow_clients[0].pipelines: Kubeflow Pipelines would log in by the token of its own server")
    assert decided("problems", "kubeflow", username="ada", password="x") == []


def test_a_hub_gives_its_notebooks_the_token() -> None:
    written = files("jupyterhub")
    assert written["jupyterhub-values.yaml"]["singleuser"]["storage"] == {"extraVolumes": [TOKEN], "extraVolumeMounts": [MOUNT]}
    assert f"{TOKEN['projected']!r}" in written["jupyterhub_config.py"]


def test_only_the_workers_of_airflow_have_it_in_place_of_that_for_the_api_server() -> None:
    """The scheduler starts pods by its own."""
    written = files("airflow", service_account="worker")
    values = written["airflow-values.yaml"]
    assert values.keys() == {"extraEnvFrom", "workers"}
    assert values["workers"] == {"extraVolumes": [TOKEN], "extraVolumeMounts": [MOUNT]}
    spec = written["airflow-pod-template.yaml"]["spec"]
    assert (spec["serviceAccountName"], spec["volumes"], spec["containers"][0]["volumeMounts"]) == ("worker", [TOKEN], [MOUNT])


def test_the_part_of_a_pod_is_whole() -> None:
    spec = files("namespace", service_account="worker", ca="-----BEGIN CERTIFICATE-----")["pod.yaml"]["spec"]
    assert (spec["serviceAccountName"], spec["volumes"][1], spec["containers"][0]["volumeMounts"][1]) == ("worker", TOKEN, MOUNT)
    assert yaml.safe_load(yaml.safe_dump(spec)) == spec


@pytest.mark.parametrize("login", LOGINS)
def test_what_an_entry_gives_wins(login: str) -> None:
    entry = LOGINS[login]
    assert environment("namespace", **entry).get("MLFLOW_TRACKING_AUTH") == entry.get("environment", {}).get("MLFLOW_TRACKING_AUTH")
    assert "volumes" not in files("namespace", **entry)["pod.yaml"]["spec"]
    assert files("namespace", **entry)["requirements.txt"] == "mlflow-skinny>=3,<4\n"


def test_a_workspace_may_be_that_of_the_namespace() -> None:
    entry = {"environment": {"MLFLOW_TRACKING_AUTH": "kubernetes-namespaced"}}
    assert environment("namespace", **entry)["MLFLOW_TRACKING_AUTH"] == "kubernetes-namespaced"
    assert files("namespace", **entry)["pod.yaml"]["spec"]["volumes"] == [TOKEN]


@pytest.mark.parametrize("change", [{"auth": "none", "username": ""}, {"auth": "basic"}, {"auth": "jwt"}], ids=str)
def test_other_servers_get_no_token(change: dict[str, Any]) -> None:
    endpoint = deployments.BY_ACCOUNT | {"account_audience": ""} | change
    assert "volumes" not in files("namespace", given={"endpoint": endpoint})["pod.yaml"]["spec"]


def test_people_are_told_who_the_client_is_and_what_its_image_needs() -> None:
    given = {"plan": decided("plan", "airflow", service_account="worker")}
    assert decided("report", "airflow", service_account="worker", given=given) == [
        "Client airflow in namespace team: a Job in its namespace, with its labels, environment and own account system:serviceaccount:team:worker, "
        "logged a run and an artifact; its image needs mlflow-skinny[kubernetes]>=3.11.1,<4"
    ]
    assert "own account system:serviceaccount:team:default, logged" in decided("report", "namespace", given={"plan": decided("plan", "namespace")})[0]


KEYCLOAK, CLUSTER = {"issuer": "https://login.example.com", "audience": "a"}, {"kubernetes": "true", "audience": "b"}


@pytest.mark.parametrize(("given", "published"), [
    ({"auth": "jwt", "jwt_issuers": [KEYCLOAK, CLUSTER]}, ("jwt", "b")), ({"auth": "jwt", "jwt_issuers": [KEYCLOAK]}, ("jwt", "")),
    ({"auth": "basic", "jwt_issuers": [CLUSTER]}, ("basic", "")), ({}, ("none", "")),
])
def test_the_server_publishes_the_audience(given: dict[str, Any], published: tuple[str, str]) -> None:
    endpoint = SERVER["deployment"](deployments.server(**given))["endpoint"]
    assert (endpoint["auth"], endpoint["account_audience"]) == published


def test_the_example_in_the_documentation_is_right() -> None:
    """docs/clients.md, as it is copied: akko without a password."""
    [text] = [block for block in re.findall("```yaml\n(.*?)```", DOCUMENT.read_text(), re.S) if "mlflow_server_auth: jwt" in block]
    example = yaml.safe_load(text)
    server = {name.removeprefix("mlflow_server_"): value for name, value in example.items() if name.startswith("mlflow_server_")}
    given = deployments.server(host="experiments.akko.local", **server)
    assert SERVER["problems"](given) == []
    endpoint = SERVER["deployment"](given)["endpoint"]
    assert DECISIONS["problems"](deployments.clients(*example["mlflow_clients"], endpoint=endpoint)) == []
    declared = {each["name"]: each for each in example["mlflow_resources_declaration"]["roles"]}
    assert {each["role"] for each in server["jwt_roles"]} == declared.keys()
    for each in declared.values():
        role.check_options({"users": [], **each})
