"""External providers, with the settings of docs/own-parts.md: a further server whose database and artifacts are in the akko deployment's own.

Its namespace has an admission policy that asks each pod for a label, as docs/additions.md sets it.
"""
from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from playbook import Run, play, roles_playbook

# Not for what they break, but for the minutes that they take.
pytestmark = [pytest.mark.outage, pytest.mark.line("(beyond) a database and an S3 server of your own")]
NAMESPACE, NAME = "external", "external"
#: What the documentation tells to set, but for the addresses and the passwords, and names that are not akko's.
VARIABLES: dict[str, Any] = {
    "kubernetes_namespace": NAMESPACE, "mlflow_server_name": NAME, "mlflow_server_app": NAME, "mlflow_server_host": "",
    "mlflow_server_ingress_auth": "none",
    "postgresql_provider": "external", "postgresql_name": "database", "postgresql_database": "external", "postgresql_auth_database": "external_auth",
    "postgresql_user": "external", "postgresql_password": "It's/a @password:%40",
    "kubernetes_labels": {"cost-center": "ml"}, "kubernetes_annotations": {"example.com/owner": "risk"},
    "kubernetes_patches": [{"kind": "Deployment", "name": NAME, "patch": {"spec": {"template": {"spec": {
        "containers": [{"name": "mlflow", "env": [{"name": "SITE", "value": "one"}], "volumeMounts": [{"name": "more", "mountPath": "/more"}]}],
        "volumes": [{"name": "more", "emptyDir": {"sizeLimit": "1Mi"}}],
    }}}}}],
    "artifact_store_provider": "external_s3", "artifact_store_name": "store", "artifact_store_bucket": "external",
}
ROLES = ("postgresql", "artifact_store", "mlflow_server", "mlflow_verify")


def policy(cluster: Cluster) -> dict[str, Any]:
    """Lets the other namespace into akko's, beside akko's own policies."""
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}}
    components = {"matchExpressions": [{"key": "app.kubernetes.io/component", "operator": "In", "values": ["database", "artifacts"]}]}
    spec = {"podSelector": components, "policyTypes": ["Ingress"], "ingress": [{"from": [peer]}]}
    metadata = {"name": "from-external", "namespace": cluster.namespace}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def admission() -> list[dict[str, Any]]:
    """Refuses pods of the namespace that have no cost-center."""
    group, here = "admissionregistration.k8s.io/v1", {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    expression = "has(object.metadata.labels) && 'cost-center' in object.metadata.labels"
    spec = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": expression}]}
    bound = {"policyName": "external", "validationActions": ["Deny"], "matchResources": {"namespaceSelector": here}}
    return [
        {"apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "external"}, "spec": spec},
        {"apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "external"}, "spec": bound},
    ]


@pytest.fixture(scope="module")
def variables(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """The settings, once akko lets the other namespace in and the first server, which has no cluster DNS, knows the names."""
    database, store = str(cluster.variables["postgresql_name"]), str(cluster.variables["artifact_store_name"])
    names = {name: f"{name}.{cluster.namespace}.svc" for name in (database, store)}
    known = "".join(f"{cluster.get('service', name)['spec']['clusterIP']} {full} # of the tests\n" for name, full in names.items())
    admin = cluster.secret(f"{store}-root")
    image = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    try:
        cluster.run("cat >>/etc/hosts", stdin=known)
        made = {"apiVersion": "v1", "kind": "List", "items": [policy(cluster), *admission()]}
        cluster.run("k3s kubectl apply --filename -", stdin=json.dumps(made))
        yield {
            **VARIABLES, "mlflow_server_image": image,
            "postgresql_host": names[database], "postgresql_ca": cluster.secret(f"{database}-tls")["ca.crt"],
            "postgresql_admin_password": cluster.secret(database)["admin-password"],
            "artifact_store_endpoint_url": f"http://{names[store]}:9000",
            "artifact_store_access_key": admin["access-key"], "artifact_store_secret_key": admin["secret-key"],
        }
    finally:
        cluster.run("sed -i '/# of the tests$/d' /etc/hosts")
        cluster.kubectl("delete", "networkpolicy", "from-external", "--ignore-not-found")
        for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
            cluster.kubectl("delete", kind, "external", "--ignore-not-found")
        cluster.run(f"k3s kubectl delete namespace {NAMESPACE} --ignore-not-found --timeout=120s", timeout=130)
        sql = [f"DROP {what} IF EXISTS {name}" for what, name in
               (("DATABASE", "external"), ("DATABASE", "external_auth"), ("ROLE", "external"))]
        cluster.kubectl("exec", f"sts/{database}", "--", "psql", "-U", "postgres", *(word for each in sql for word in ("-c", each)))
        cluster.kubectl("exec", f"deploy/{store}", "--", "mc", "rb", "--force", "local/external")


def site(folder: Path, variables: dict[str, Any]) -> Run:
    return play(roles_playbook(folder, ROLES), variables)


def test_the_documented_settings_do(cluster: Cluster, variables: dict[str, Any], tmp_path: Path) -> None:
    """A deployment that its own verification passes, with its tables and artifacts where they should be; again, and nothing changes."""
    run = site(tmp_path, variables)
    assert run.status == 0, run.output
    assert not [value for key, value in variables.items() if key.endswith(("password", "secret_key")) and value in run.output]
    query = "SELECT count(*) > 0 FROM experiments WHERE name = 'mlflow-verify'"
    database = f"sts/{cluster.variables['postgresql_name']}"
    assert cluster.kubectl("exec", database, "--", "psql", "-U", "postgres", "-d", "external", "-tAc", query).strip() == "t"
    apart = copy.copy(cluster)
    apart.namespace = NAMESPACE
    entries = apart.get("deployment", NAME)["spec"]["template"]["spec"]["containers"][0]["env"]
    environment = {entry["name"]: entry.get("value") for entry in entries}
    assert environment["SITE"] == "one"
    assert (environment["PGSSLMODE"], environment["MLFLOW_SQLALCHEMYSTORE_POOL_SIZE"]) == ("verify-full", "18")
    for kind in ("pod", "deployment", "service", "networkpolicy", "serviceaccount"):
        for thing in apart.get(kind, "", "--selector", "app.kubernetes.io/part-of=mlflow"):
            assert thing["metadata"]["labels"].get("cost-center") == "ml", thing["metadata"]
            assert thing["metadata"]["annotations"].get("example.com/owner") == "risk", thing["metadata"]
    again = site(tmp_path, variables)
    assert (again.status, again.changed) == (0, 0), again.output


def test_a_rule_that_the_server_does_not_know_is_refused_by_name(variables: dict[str, Any], tmp_path: Path) -> None:
    """MinIO expires unfinished uploads by itself, and refuses a rule for them."""
    run = site(tmp_path, {**variables, "artifact_store_abort_multipart_days": 7})
    assert run.status == 2
    assert "abort_incomplete_multipart_days: the server does not support it" in run.failures[-1][1]


def test_a_patch_without_a_target_is_refused(variables: dict[str, Any], tmp_path: Path) -> None:
    """The nearest that there is, and nothing is changed."""
    patch = {"kind": "Deployment", "name": "externl", "patch": {"spec": {"replicas": 2}}}
    run = site(tmp_path, {**variables, "kubernetes_patches": [patch]})
    assert run.status == 2
    assert "the roles have no object Deployment/externl, only for example Deployment/external; nothing was changed" in run.failures[-1][1]


def test_a_gateway_that_nobody_serves_is_named(variables: dict[str, Any], tmp_path: Path) -> None:
    """After a minute, in place of an error of the verification."""
    gateways = [{"name": "public", "namespace": "edge"}]
    public = {"mlflow_server_host": "external.example.com", "mlflow_server_auth": "basic", "mlflow_server_gateways": gateways}
    run = site(tmp_path, {**variables, **public})
    assert run.status == 2
    assert "no controller has answered for Gateway edge/public" in run.failures[-1][1]
    assert "k3s_gateway_api: true" in run.failures[-1][1]
