"""What roles give for their decisions, without Ansible: for tests of many variants."""
from __future__ import annotations

from base64 import b64encode
from functools import cache
from typing import Any

import yaml

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import postgresql as postgresql_decisions
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import server_decisions
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.artifact_store import secrets_of
from roles import PUBLISHED, ROLES, RUNTIME

#: What the roles' defaults are where they are worked out, in a cluster.
WORKED_OUT: dict[str, dict[str, Any]] = {
    "mlflow_server": {
        "mlflow_server_runtime": "kubernetes", "mlflow_server_app": "mlflow", "mlflow_server_image": "localhost/mlflow-server:3.17.2-0123",
        "mlflow_server_image_pull_policy": "IfNotPresent", "mlflow_server_tls": "generated", "mlflow_server_pool_size": None,
        "mlflow_server_ingress_pods": {"app.kubernetes.io/name": "traefik"},
    },
    "sso": {},
    "credentials": {"credentials_path": "mlflow"},
    "keycloak": {"keycloak_redirect_uris": ["https://mlflow.example.com/oauth2/callback"]},
    "mlflow_maintenance": {"mlflow_maintenance_runtime": "kubernetes"},
    "mlflow_backup": {"mlflow_backup_runtime": "kubernetes", "mlflow_backup_password_file": "/home/me/backup-password"},
    "postgresql": {
        "postgresql_provider": "statefulset", "postgresql_port": 5432, "postgresql_max_connections": 200, "postgresql_shared_buffers": "256MB",
        "postgresql_app": "postgresql", "postgresql_image": "docker.io/library/postgres:17.11",
    },
    "artifact_store": {
        "artifact_store_provider": "seaweedfs", "artifact_store_port": 9000, "artifact_store_name": "seaweedfs", "artifact_store_app": "",
        "artifact_store_image": "docker.io/own/store:1", "artifact_store_abort_multipart_days": 7,
    },
}

#: A repository in the store that PUBLISHED names.
IN_STORE = {"repository": "s3:http://minio:9000/backups"}
ERROR_PAGE = (ROLES / "sso" / "files" / "error.html").read_text()


@cache
def defaults(role: str) -> dict[str, Any]:
    """The role's defaults, those that are worked out as above."""
    found: dict[str, Any] = yaml.safe_load((ROLES / role / "defaults" / "main.yml").read_text())
    assert {name for name, value in found.items() if "{{" in str(value)} <= WORKED_OUT[role].keys()
    return found | WORKED_OUT[role]


def variables(role: str, **given: Any) -> dict[str, Any]:
    """The role's variables: its defaults, and what a play gives it."""
    return defaults(role) | given


def server(
    *, check_mode: bool = False, sso: dict[str, Any] | None = None, store: dict[str, Any] | None = None, **given: Any
) -> dict[str, Any]:
    """What the role mlflow_server gives, in a cluster where nothing was deployed yet. Its variables are named without mlflow_server_."""
    return {
        "variables": variables("mlflow_server", **{f"mlflow_server_{name}": value for name, value in given.items()}),
        "postgresql": PUBLISHED["postgresql_connection"], "artifact_store": store or PUBLISHED["artifact_store_connection"],
        "sso": sso or {}, "image": PUBLISHED["mlflow_image_reference"], "kubernetes": RUNTIME, "secrets": PUBLISHED["kubernetes_secrets"]["mlflow"],
        "looked": [], "made_service": {"spec": {"clusterIPs": ["10.43.0.7"]}}, "renewal": "print()\n", "exporter": "pass\n",
        "jwt_programs": ["import jwt_tokens\n", "pass\n"], "jwt_services": [],
        "host": {"name": "a", "address": "10.0.0.1", "own_certificate_ends": "2036-01-01", "given_certificate_ends": "20360102030405Z"},
        "check_mode": check_mode, "certificate": {}, "certificate_key": {}, "previous_secret": {}, "owned": [], "schema": {}, "models": {},
        "checked": [], "started_again": {}, "jobs": [], "answer": {}, "administrator": {}, "log": [],
    }  # fmt: skip


DNS: dict[str, Any] = {
    "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}], "ports": [{"port": 53, "protocol": "UDP"}],
}  # fmt: skip
#: What mlflow_server publishes for clients: where they must reach, DNS and the server's pods.
ENDPOINT: dict[str, Any] = {
    "runtime": "kubernetes", "name": "mlflow", "uri": "http://mlflow.mlflow.svc:5000", "image": "localhost/mlflow-server:3", "username": "",
    "image_pull_policy": "IfNotPresent", "password_secret": {}, "hosts": ["mlflow"], "public": {}, "deployment": "0123",
    "egress": [
        DNS,
        {"to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "mlflow", "app.kubernetes.io/instance": "mlflow",
                                                 "app.kubernetes.io/component": "server"}}}], "ports": [{"port": 5000, "protocol": "TCP"}]},
    ],
}  # fmt: skip
#: The same of one that trusts the cluster's service accounts, and asks everybody for a login.
BY_ACCOUNT = ENDPOINT | {"auth": "jwt", "username": "admin", "account_audience": "the-server"}
STORE: dict[str, Any] = {
    "destination": "s3://mlflow", "environment": {"AWS_DEFAULT_REGION": "us-east-1", "MLFLOW_S3_ENDPOINT_URL": "http://minio:9000"},
    "secret_environment": {"AWS_ACCESS_KEY_ID": {"name": "minio-mlflow", "key": "access-key"},
                           "AWS_SECRET_ACCESS_KEY": {"name": "minio-mlflow", "key": "secret-key"}},
    "egress": [{"to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "minio"}}}], "ports": [{"port": 9000, "protocol": "TCP"}]}],
}  # fmt: skip


def clients(*entries: dict[str, Any], **given: Any) -> dict[str, Any]:
    """What the role mlflow_clients gives for these entries, where nothing was found in the cluster."""
    return {
        "clients": list(entries), "endpoint": ENDPOINT, "kubernetes": RUNTIME | {"dns_egress": [DNS]}, "artifact_store": STORE,
        "secrets": PUBLISHED["kubernetes_secrets"], "always": False, "program": "print()\n", "looked": [], "there": [], "plan": {}, "waited": [],
        "actions": [], "check_mode": False, **given,
    }  # fmt: skip


def postgresql(*, workloads: list[dict[str, Any]] | None = None, **given: Any) -> dict[str, Any]:
    """The same of the role postgresql, with the workloads that are there already."""
    return {
        "variables": variables("postgresql", **{f"postgresql_{name}": value for name, value in given.items()}),
        "kubernetes": RUNTIME | {"workloads": workloads or []}, "embedded": {}, "runtime": "kubernetes", "host": "postgresql", "address": "10.43.0.9",
        "files": {"postgresql.conf": "x", "start.sh": "y"}, "secrets": PUBLISHED["kubernetes_secrets"]["postgresql"],
        "certificate": PUBLISHED["kubernetes_certificates"]["postgresql-tls"], "egress": [{}],
        "ca_file": "/run/ca.crt",
    }  # fmt: skip


def cloudnative_pg(*, found: dict[str, Any] | None = None, login: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    """The same of the role postgresql with the provider cloudnative_pg, the Cluster that is there already, and the Secret that it names."""
    asked = {"provider": "cloudnative_pg", "image": "ghcr.io/cloudnative-pg/postgresql:17.11", **given}
    return {
        "variables": variables("postgresql", **{f"postgresql_{name}": value for name, value in asked.items()}), "kubernetes": RUNTIME,
        "found": {"resources": [found]} if found else {}, "login": {"resources": [login]} if login else {}, "password": "p",
    }  # fmt: skip


def artifact_store(*, workloads: list[dict[str, Any]] | None = None, **given: Any) -> dict[str, Any]:
    """The same of the role artifact_store, with a server in the cluster."""
    asked = variables("artifact_store", **{f"artifact_store_{name}": value for name, value in given.items()})
    held = {"access-key": "user", "secret-key": "key", "s3.json": "{}"}
    secrets = {name: held for name in secrets_of(asked["artifact_store_name"]).values()}
    return {"variables": asked, "kubernetes": RUNTIME | {"workloads": workloads or []}, "secrets": secrets, "script": "true\n"}


def volume(*, claim: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    """The same of the role artifact_store with the provider nfs, and the claim that is there already."""
    asked = {"provider": "nfs", "name": "mlflow-artifacts", "image": "localhost/mlflow-server:3", **given}
    return {
        "variables": variables("artifact_store", **{f"artifact_store_{name}": value for name, value in asked.items()}), "kubernetes": RUNTIME,
        "found": {"resources": [claim]} if claim else {}, "recorded": {}, "applied_uid": "", "probe": "print()\n", "pull_policy": "IfNotPresent",
        "pods": [], "events": [], "otherwise": "",
    }  # fmt: skip


def backup(*, server_given: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    """The same of the role mlflow_backup, for a server in the cluster as the role mlflow_server deploys it, with its database and its store."""
    there = server(**server_given or {})
    there["artifact_store"] = there["artifact_store"] | {"environment": {"MLFLOW_S3_ENDPOINT_URL": "http://minio:9000"}}
    made = server_decisions.DECISIONS["deployment"](there)["objects"]
    database = next(each for each in postgresql_decisions.DECISIONS["objects"](postgresql()) if each["kind"] == "StatefulSet")
    database["metadata"]["labels"] = {**database["metadata"]["labels"], "mlops.mlflow/deployment": RUNTIME["deployment"]}
    names = ["mlflow", "postgresql", "minio-root", "minio-mlflow"]
    return {
        "variables": variables("mlflow_backup", **{f"mlflow_backup_{name}": value for name, value in (IN_STORE | given).items()}),
        "kubernetes": RUNTIME, "deployment": next(each for each in made if each["kind"] == "Deployment"), "services": [], "is_made": False,
        "published": {}, "keys": {}, "held": {},
        "stateful_sets": [database], "clusters": [], "owned": [{"kind": "Secret", "name": name} for name in names],
        "programs": {"backup.py": "print()\n"}, "password": "p",
    }  # fmt: skip


def maintenance(*, server_given: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    """The same of the role mlflow_maintenance, for that server, which archives its traces every night."""
    wanted = {"archive_schedule": "0 4 * * *", "traces_archived_after": "30d"} | given
    return {
        "variables": variables("mlflow_maintenance", **{f"mlflow_maintenance_{name}": value for name, value in wanted.items()}),
        "place": {}, "check_mode": False, "kubernetes": RUNTIME, "deployment": backup(server_given=server_given)["deployment"], "services": [],
        "programs": {"archive_run.py": "print()\n"},
    }  # fmt: skip


def sso(*, workloads: list[dict[str, Any]] | None = None, runtime: str = "kubernetes", **given: Any) -> dict[str, Any]:
    """The same of the role sso, by default with the four lines of an inventory that add a login."""
    four = {
        "provider": "oauth2_proxy", "issuer_url": "https://login.example.com/realms/akko", "client_id": "mlflow",
        "client_secret": "the-client-secret",
    }  # fmt: skip
    return {
        "variables": variables("sso", **{f"sso_{name}": value for name, value in (four | given).items()}), "runtime": runtime,
        "kubernetes": RUNTIME | {"workloads": workloads or []}, "egress": [{"ports": [{"port": 443, "protocol": "TCP"}]}], "existing": {},
        "secrets": {given.get("name", "oauth2-proxy"): {"client-secret": "the-client-secret", "cookie-secret": "the-cookie-secret"}},
        "error_page": ERROR_PAGE, "keycloak": {}, "server": {"name": "mlflow", "host": "mlflow.example.com", "gateways": [{"name": "public"}]},
        "found_gateways": [],
    }  # fmt: skip


def vault_secret(
    *, keys: dict[str, str] | None = None, secret: dict[str, str] | None = None, read: dict[str, str] | None = None,
    written: dict[str, str] | None = None, external_secret: dict[str, Any] | None = None, check_mode: bool = False, **given: Any,
) -> dict[str, Any]:
    """What the role credentials gives for a Secret with a name and two passwords: its own values, those that Vault has, and those for it."""
    named = {f"credentials_{name}": value for name, value in ({"store": "vault", "path": "mlflow"} | given).items()}
    beside = {f"mlflow{suffix}": {"data": encoded(values)} for suffix, values in (("-vault", read), ("-new", written)) if values}
    return {
        "variables": variables("credentials", **named), "deployment": "mlflow", "claims": [], "name": "mlflow",
        "keys": keys or {"username": "mlflow", "password": "", "crypto-passphrase": ""}, "secret": {"data": encoded(secret)} if secret else {},
        "found": {"external_secrets": {"mlflow": external_secret} if external_secret else {}, "secrets": beside},
        "new": ["new-0", "new-1", "new-2"], "check_mode": check_mode,
    }  # fmt: skip


def encoded(values: dict[str, str]) -> dict[str, str]:
    """The values as a Secret has them."""
    return {key: b64encode(value.encode()).decode() for key, value in values.items()}


def keycloak(*, workloads: list[dict[str, Any]] | None = None, runtime: str = "kubernetes", **given: Any) -> dict[str, Any]:
    """The same of the role keycloak, by default with a host, a person and a program."""
    asked = {"host": "login.example.com", "users": [{"name": "ada", "groups": ["science"]}], "programs": [{"name": "training"}], **given}
    keys = ("admin-password", "client-secret", "database-password", "user-ada", "program-training")
    secrets = {key: f"the-{key}" for key in keys}
    return {
        "variables": variables("keycloak", **{f"keycloak_{name}": value for name, value in asked.items()}), "runtime": runtime,
        "kubernetes": RUNTIME | {"workloads": workloads or []}, "postgresql": PUBLISHED["postgresql_connection"] | {"ca_file": "/run/ca.crt"},
        "secrets": secrets, "all_secrets": PUBLISHED["kubernetes_secrets"],
        "certificates": {"keycloak-tls": PUBLISHED["kubernetes_certificates"]["postgresql-tls"] | {"ca": "-----BEGIN CERTIFICATE-----"}},
    }  # fmt: skip
