"""Every object of every option of the roles, made by their decisions: what their tests look at."""
from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import deployments

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import (
    artifact_store_decisions,
    backup_kubernetes,
    cloudnative_pg,
    credentials,
    keycloak_decisions,
    maintenance_kubernetes,
    postgresql,
    server_decisions,
    sso_decisions,
    verification,
)
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import backup_kubernetes_restore as restore
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients import decisions as clients
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.kinds import KINDS
from roles import PUBLISHED

#: Kinds that are not Kubernetes' own, each with the part of the test hosts that has its definition; tests/contract validates them.
CUSTOM = {
    "HTTPRoute": "gateway-api-crds", "Middleware": "traefik-crds", "ServiceMonitor": "service-monitor-crd",
    "PrometheusRule": "prometheus-rule-crd", "Cluster": "cloudnative-pg-manifest", "Database": "cloudnative-pg-manifest",
    "SecretStore": "external-secrets-crds", "ExternalSecret": "external-secrets-crds", "PushSecret": "external-secrets-crds",
    **dict.fromkeys(("SecurityPolicy", "BackendTrafficPolicy", "Backend"), "envoy-gateway-crds"),
}  # fmt: skip
#: One value after another for each option of the server, where another than the default makes another object.
SERVER: dict[str, list[Any]] = {
    "port": [8080], "workers": [4], "auth": ["basic"], "admin_username": ["ro%ot"], "default_permission": ["NO_PERMISSIONS"], "auth_cache_ttl": [0],
    "extra_hosts": [["a.example:80"]], "extra_origins": [["https://a.example"]], "pool_size": [7], "max_overflow": [1], "jobs_enabled": [True],
    "telemetry_enabled": [True], "presigned_artifacts": [True], "log_format": ["json"], "environment": [{"A": 1, "B": True, "PGPASSWORD": "x"}],
    "name": ["akko-akko-mlflow"],
    "app": ["akko-mlflow"], "image": ["docker.io/own/mlflow:1"], "image_pull_policy": ["Always"], "cluster_domain": ["k8s.example"],
    "replicas": [2, "3"], "max_replicas": [5], "target_cpu": [50], "strategy": ["Recreate"], "resources": [{"limits": {"cpu": 2, "memory": "1Gi"}}],
    "migration_resources": [{"limits": {"memory": "1Gi"}}], "migration_timeout": [60], "tmp_size": ["500Mi"],
    "liveness_probe": [{"periodSeconds": 3}, {"tcpSocket": {"port": "http"}}], "readiness_probe": [{"httpGet": {"path": "/x", "port": 5000}}],
    "startup_probe": [{"exec": {"command": ["true"]}}], "stop_seconds": [10],
    "pod_spec": [{"nodeSelector": {"a": "b"}, "tolerations": [{"key": "x", "operator": "Exists"}], "imagePullSecrets": [{"name": "x"}]}],
    "environment_from": [[{"secretRef": {"name": "more"}}]],
    "callers": [[{"namespaceSelector": {"matchLabels": {"a": "b"}}}]], "egress": [[{"ports": [{"port": 443}]}]], "metrics_enabled": [True],
}  # fmt: skip
#: The same of one with metrics.
METRICS: dict[str, list[Any]] = {
    "metrics_port": [9000], "metrics_namespace": ["prometheus"], "metrics_pods": [{"app": "prometheus"}], "metrics_backup_hours": [170],
    "service_monitor_enabled": [True], "port": [8080], "auth": ["basic"], "environment": [{"MLFLOW_BACKEND_STORE_URI": "postgresql://db/own"}],
}
METRICS_LOGIN: dict[str, Any] = {"metrics_enabled": True, "metrics_user": "counter", "metrics_secret": {"name": "login", "key": "k"}}
#: The same of a server with a name outside the cluster.
PUBLIC: dict[str, list[Any]] = {
    "host": ["experiments.akko.local"], "ingress_class": ["nginx", "haproxy"], "ingress_annotations": [{"a/b": "c"}],
    "ingress_auth": ["basic", "external"], "ingress_username": ["me"], "middlewares": [["sso/forward-auth", "own"]],
    "gateways": [[{"name": "public", "namespace": "edge", "sectionName": "https"}]], "transfer_timeout": [60], "http_redirect": [False],
    "tls": ["provided", "cert_manager", "external", "none"], "tls_issuer_kind": ["Issuer"], "ingress_namespace": ["ingress"],
    "ingress_pods": [{}], "metrics_enabled": [True], "auth": ["basic"], "replicas": [2], "name": ["akko-akko-mlflow"],
}  # fmt: skip
#: The same of a server that takes tokens.
JWT: dict[str, list[Any]] = {
    "jwt_issuers": [
        [{"kubernetes": True, "audience": "mlflow"}], [{"issuer": "https://10.0.0.9:8443/a", "audience": "a", "ca": "-----BEGIN CERTIFICATE-----"}],
    ],
    "jwt_roles": [[{"value": "/risk", "role": "editor"}]], "jwt_anonymous": ["user", "everything"], "jwt_algorithms": [["ES512"]],
    "jwt_clock_skew": [0, "5"], "environment": [{"PYTHONPATH": "/own"}], "name": ["akko-akko-mlflow"], "replicas": [2], "admin_username": ["root"],
}  # fmt: skip
TOKENS: dict[str, Any] = {"auth": "jwt", "jwt_issuers": [{"issuer": "https://login.example.com/realms/akko", "audience": "mlflow"}]}
ENTRANCE: dict[str, Any] = {"host": "mlflow.example.com", "tls_certificate": "c", "tls_key": "k", "tls_issuer": "letsencrypt"}
POSTGRESQL: dict[str, list[Any]] = {
    "port": [5433], "name": ["akko-postgresql"], "app": ["pg"], "image": ["docker.io/own/postgres:17"], "volume_size": ["1Gi"],
    "storage_class": ["nfs"],
    "resources": [{"limits": {"memory": "512Mi", "cpu": 2}}, {"requests": {"ephemeral-storage": "1Gi"}}], "callers": [[{"podSelector": {}}]],
}  # fmt: skip
#: The same of PostgreSQL by CloudNativePG.
CLOUDNATIVE_PG: dict[str, list[Any]] = {
    **{name: values for name, values in POSTGRESQL.items() if name not in ("port", "image")}, "image": ["registry.local:5000/pg:18.1@sha256:0123"],
    "instances": [3], "node_selector": [{"kubernetes.io/arch": "amd64"}], "settings": [{"jit": False, "work_mem": "8MB"}], "max_connections": [100],
    "operator_namespace": ["operators"], "database": ["tracking"], "user": ["ml-flow"],
}  # fmt: skip
#: Clusters of somebody else: one without MLflow's role, one with it, and one whose first role it is.
FOREIGN: list[dict[str, Any]] = [
    {"metadata": {"name": "postgresql"}, "spec": {"managed": {"roles": [{"name": "grafana", "passwordSecret": {"name": "grafana"}}]}}},
    {"metadata": {"name": "postgresql"}, "spec": {"managed": {"roles": [{"name": "mlflow", "passwordSecret": {"name": "theirs"}}]}}},
    {"metadata": {"name": "postgresql"}, "spec": {"bootstrap": {"initdb": {"database": "mlflow", "owner": "mlflow"}}}},
]
ARTIFACT_STORE: dict[str, list[Any]] = {
    "port": [9100], "name": ["akko-minio"], "app": ["s3"], "image": ["docker.io/minio/minio"], "volume_size": ["1Gi"], "storage_class": ["nfs"],
    "prefix": [""], "region": ["eu-1"], "resources": [{"limits": {"memory": "512Mi"}}, {}], "callers": [[{"podSelector": {}}]],
}  # fmt: skip
#: The ways to a volume that many pods write to, and its options.
VOLUME: list[dict[str, Any]] = [
    {"nfs_server": "nas.example.com", "nfs_path": "/export/mlflow"}, {"storage_class": "nfs-slow"}, {"existing_claim": "shared"},
    {"nfs_server": "fd00::7", "nfs_path": "/", "nfs_mount_options": []},
]  # fmt: skip
VOLUME_OPTIONS: dict[str, list[Any]] = {
    "name": ["akko-artifacts"], "app": ["artifacts"], "image": ["docker.io/own/mlflow:1"], "volume_size": ["1Ti"],
    "nfs_mount_options": [["nfsvers=3", "nolock"]],
}
SSO: dict[str, list[Any]] = {
    "issuer_url": ["http://10.0.0.9:8080/realms/akko", "https://accounts.example.com"], "issuer_ca": ["-----BEGIN CERTIFICATE-----"],
    "internal_issuer_url": ["http://keycloak.akko.svc:8080/realms/akko"], "client_id": ["mlflow-proxy"], "scope": ["openid groups"],
    "existing_secret": [{"name": "login"}, {"name": "login", "key": "secret"}], "groups_claim": ["roles"],
    "allowed_groups": [["data-science", "ops"]], "extra_audiences": [["other"]], "forward_token": [True],
    "extra_issuers": [[{"issuer": "https://kubernetes.default.svc", "audience": "mlflow"}]],
    "redis_url": ["redis://valkey.akko.svc:6379/0"],
    "logout_url": ["https://accounts.example.com/logout?a=b"], "session_refresh": ["59m"], "session_expire": ["1h"], "name": ["akko-login"],
    "image": ["docker.io/own/oauth2-proxy:7.15.6"], "replicas": [2, "3"], "resources": [{"limits": {"cpu": 1}}], "trusted_proxies": [["10.0.0.0/8"]],
    "callers": [[{"podSelector": {}}]], "egress": [[{"ports": [{"port": 6443}]}]],
}  # fmt: skip
#: The same of one by Envoy Gateway.
POLICIES: dict[str, list[Any]] = {
    **{name: SSO[name] for name in ("client_id", "scope", "existing_secret", "groups_claim", "allowed_groups", "extra_audiences", "forward_token")},
    "issuer_ca": SSO["issuer_ca"], "internal_issuer_url": ["https://keycloak.akko.svc:8443/realms/akko", *SSO["internal_issuer_url"]],
    "jwks_url": ["https://accounts.example.com/keys"], "logout_url": SSO["logout_url"],
    "extra_issuers": [[{"issuer": "https://kubernetes.default.svc", "audience": "a", "jwks_url": "https://kubernetes.default.svc/openid/v1/jwks"}]],
}  # fmt: skip
KEYCLOAK: dict[str, list[Any]] = {
    "realm": ["akko"], "console": [True], "admin_username": ["root"], "database": ["login"], "name": ["akko-keycloak"],
    "image": ["docker.io/own/keycloak:26"], "resources": [{"limits": {"memory": "2Gi", "cpu": 2}}, {}], "tls": ["existing", "cert_manager"],
    "tls_issuer_kind": ["Issuer"], "ingress_class": ["nginx"], "ingress_annotations": [{"a/b": "c"}], "ingress_callers": [[{"podSelector": {}}]],
    "callers": [[{"namespaceSelector": {}}]], "egress": [[{"ports": [{"port": 587}]}]],
}  # fmt: skip
BACKUP: dict[str, list[Any]] = {
    "repository": ["s3:https://s3.example.com/mlflow", "rest:https://me:secret@10.0.0.9:8000/"], "environment": [{"AWS_ACCESS_KEY_ID": "k"}],
    "ca": ["-----BEGIN CERTIFICATE-----"], "restic_image": ["docker.io/own/restic:1"], "postgresql_image": ["docker.io/own/postgres:18"],
    "work_claim": ["work"], "work_size": ["1Gi"], "resources": [{"limits": {"cpu": 1}}], "timeout": [60, "60"], "schedule": ["0 3 * * *", "@daily"],
    "keep_daily": [1],
}  # fmt: skip
#: The same of the archive of traces.
ARCHIVE: dict[str, list[Any]] = {
    "archive_schedule": ["@daily"], "archive_location": ["s3://mlflow/archive"], "archive_resources": [{"limits": {"cpu": 1}}],
    "experiments": [[{"name": "chat", "traces_archived_after": "never"}]],
}  # fmt: skip
#: What a set is restored to.
RESTORED: dict[str, Any] = {
    "name": "mlflow", "app": "mlflow", "image": "localhost/mlflow-server:3", "pull_policy": "IfNotPresent",
    "postgresql": PUBLISHED["postgresql_connection"], "artifact_store": PUBLISHED["artifact_store_connection"],
}  # fmt: skip
#: The same of the credentials of one Secret, from a store that is given, and from the deployment's own.
CREDENTIALS: dict[str, list[Any]] = {
    "path": ["homelab/mlflow"], "refresh_interval": ["1h"], "create_missing": [True],
    "store_kind": ["SecretStore"], "name": ["akko-credentials"],
}  # fmt: skip
STORE: dict[str, list[Any]] = {
    "vault_mount": ["kv"], "vault_namespace": ["team"], "vault_auth_mount": ["k3s"], "vault_ca": ["-----BEGIN CERTIFICATE-----"],
}
#: What the role publishes with its defaults.
LOGIN: dict[str, Any] = sso_decisions.DECISIONS["connection"](deployments.sso())
#: One within MLflow's server, and the login that it publishes.
PLUGIN: dict[str, Any] = {"provider": "oidc_plugin", "allowed_groups": ["data-science"], "admin_groups": ["mlflow-admins"]}
PLUGIN_LOGIN: dict[str, Any] = sso_decisions.DECISIONS["connection"](deployments.sso(**PLUGIN, issuer_ca="-----BEGIN CERTIFICATE-----"))
POLICY_LOGIN: dict[str, Any] = sso_decisions.DECISIONS["connection"](deployments.sso(provider="envoy_gateway"))
ENDPOINT: dict[str, Any] = {
    "name": "mlflow", "uri": "http://mlflow.mlflow.svc:5000", "public_uri": "", "image": "localhost/mlflow-server:3", "hosts": ["mlflow"],
    "image_pull_policy": "IfNotPresent", "username": "", "password_secret": {}, "egress": [{}], "public": {}, "deployment": "0123",
}  # fmt: skip
#: The same of a client.
CLIENT: dict[str, list[Any]] = {
    "name": ["team-b"], "create_namespace": [True], "pods": [{"app": "x"}, {}], "service_account": ["worker"], "ca": ["-----BEGIN CERTIFICATE-----"],
    "tracking_uri": ["https://mlflow.example.com"], "username": ["ada"], "environment": [{"A": 1, "MLFLOW_ENABLE_ASYNC_LOGGING": True}],
    "secret_environment": [{"MLFLOW_TRACKING_TOKEN": {"name": "login", "key": "token"}}], "artifact_store_access": [True], "trust_sklearn": [True],
    "egress": [[{"ports": [{"port": 443}]}]], "egress_policy": ["always", "never"], "connection_id": ["mlflow_default"], "verify": [False],
    "pod_default": [False], "pipelines": [False], "artifact_claim": ["shared"],
}  # fmt: skip


def one_by_one(options: dict[str, list[Any]], base: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The base, and it with each value of each option alone."""
    yield base
    yield from (base | {name: value} for name, values in options.items() for value in values)


def servers() -> list[dict[str, Any]]:
    """The variables of servers."""
    basic = {"ingress_auth": "basic", **ENTRANCE}
    return [
        *one_by_one(SERVER, {}), METRICS_LOGIN, *one_by_one(METRICS, {"metrics_enabled": True, "service_monitor_labels": {"release": "prometheus"}}),
        *one_by_one(SERVER, {"auth": "basic", "max_replicas": 3}), *one_by_one(PUBLIC, ENTRANCE), *one_by_one(PUBLIC, basic),
        *one_by_one(PUBLIC, ENTRANCE | {"gateways": [{"name": "public"}], "tls": "external"}),
        *one_by_one(PUBLIC, ENTRANCE | {"sso": LOGIN}), *one_by_one(JWT, TOKENS), ENTRANCE | TOKENS | {"sso": LOGIN | {"forwards_token": True}},
        ENTRANCE | {"sso": LOGIN | {"callers": [{"podSelector": {"matchLabels": {"a": "b"}}}], "egress": [{"ports": [{"port": 443}]}]}},
        {"store": artifact_store_decisions.DECISIONS["volume_connection"](deployments.volume(**VOLUME[0]))},
        *(ENTRANCE | {"sso": login, "gateways": [{"name": "public"}], "tls": "external"} for login in (LOGIN, POLICY_LOGIN, PLUGIN_LOGIN)),
        *one_by_one(SERVER, ENTRANCE | {"sso": PLUGIN_LOGIN, "replicas": 2}),
    ]  # fmt: skip


def of_server(given: dict[str, Any]) -> list[dict[str, Any]]:
    """All objects of a server with these variables, and of its migration."""
    plan = server_decisions.DECISIONS["deployment"](deployments.server(**given))
    return [*plan["objects"], *(each for objects in plan["job_objects"].values() for each in objects)]


def of_postgresql() -> Iterator[dict[str, Any]]:
    """All objects of PostgreSQL with each of its options, new and from before shapes were noted."""
    names = ("postgresql", "akko-postgresql")
    before: list[dict[str, Any]] = [{"kind": "StatefulSet", "name": name, "component": "database", "annotations": {}} for name in names]
    for given in one_by_one(POSTGRESQL, {}):
        for there in ([], before):
            yield from postgresql.DECISIONS["objects"](deployments.postgresql(workloads=there, **given))


def of_cloudnative_pg() -> Iterator[dict[str, Any]]:
    """All objects of PostgreSQL by CloudNativePG with each of its options. Of a Cluster that is adopted, only a part is made."""
    for given in one_by_one(CLOUDNATIVE_PG, {}):
        yield from cloudnative_pg.DECISIONS["cloudnative_pg_objects"](deployments.cloudnative_pg(**given))


def of_artifact_store() -> Iterator[dict[str, Any]]:
    """All objects of each store in the cluster with each of its options, new and from before shapes were noted."""
    names = ("minio", "akko-minio")
    before: list[dict[str, Any]] = [{"kind": "Deployment", "name": name, "component": "artifacts", "annotations": {}} for name in names]
    for provider, workloads in (("minio", []), ("minio", before), ("seaweedfs", [])):
        for given in one_by_one(ARTIFACT_STORE, {"provider": provider, "name": provider}):
            yield from artifact_store_decisions.DECISIONS["objects"](deployments.artifact_store(workloads=workloads, **given))


def of_volume() -> Iterator[dict[str, Any]]:
    """All objects of a volume from each of its sources, with each of its options, and of its check."""
    for source in VOLUME:
        for given in one_by_one(VOLUME_OPTIONS, source):
            asked = deployments.volume(**given) | {"applied_uid": "0123"}
            decided = artifact_store_decisions.DECISIONS["volume"](asked)
            yield from [*decided["objects"], decided["record"], *artifact_store_decisions.DECISIONS["volume_check"](asked)]


def of_verification() -> Iterator[dict[str, Any]]:
    """All objects of the verification, without and with a login."""
    login = {"username": "admin", "password_secret": {"name": "mlflow", "key": "admin-password"}}
    for more in ({}, login):
        given = {"endpoint": ENDPOINT | more, "program": "print()", "run_name": "mlflow-verify"}
        yield from verification.DECISIONS["objects"](given)
        yield verification.DECISIONS["record"](given)


def of_clients() -> Iterator[dict[str, Any]]:
    """All objects of a client of each kind with each of its options, without a login, by its service account, and with a password."""
    for kind in KINDS:
        for more, endpoint in (({}, ENDPOINT), ({}, deployments.BY_ACCOUNT), ({"username": "ada", "password": "p"}, ENDPOINT)):
            for entry in one_by_one(CLIENT, {"kind": kind, "namespace": "shop", **more}):
                there = [{"item": "shop", "resources": []}] if entry.get("create_namespace") else []
                given = deployments.clients(entry, there=there, endpoint=endpoint)
                plan = clients.DECISIONS["plan"](given)
                yield from [*clients.DECISIONS["new_namespaces"](given), *plan["objects"]]
                yield from (made for test in plan["tests"] for made in [*test["objects"], *test["record"]])


def of_sso() -> Iterator[dict[str, Any]]:
    """All objects of the login with each of its options."""
    for given in one_by_one(SSO, {}):
        yield from sso_decisions.DECISIONS["oauth2_proxy"](deployments.sso(**given))
    other = {"issuer_url": "https://accounts.example.com", "jwks_url": "https://accounts.example.com/keys"}
    for base in ({}, {"issuer_ca": "-----BEGIN CERTIFICATE-----", "allowed_groups": ["ops"]}, other):
        for given in one_by_one(POLICIES, base):
            yield from sso_decisions.DECISIONS["envoy_gateway"](deployments.sso(provider="envoy_gateway", **given))
    yield from sso_decisions.DECISIONS["oidc_plugin"](deployments.sso(**PLUGIN, issuer_ca="-----BEGIN CERTIFICATE-----"))


def of_keycloak() -> Iterator[dict[str, Any]]:
    """All objects of Keycloak with each of its options."""
    for given in one_by_one(KEYCLOAK, {"tls_secret": "login-tls", "tls_issuer": "letsencrypt"}):
        yield from keycloak_decisions.DECISIONS["objects"](deployments.keycloak(**given))


def of_credentials() -> Iterator[dict[str, Any]]:
    """All objects by which External Secrets reads and writes a Secret, with each option, from a store that is given and from one of its own."""
    own = {"store": "", "vault_url": "https://vault.example.com:8200", "vault_role": "mlflow"}
    for given in [*one_by_one(CREDENTIALS, {}), *one_by_one(CREDENTIALS | STORE, own)]:
        made = deployments.vault_secret(**given)
        plan = credentials.DECISIONS["secret"](made)
        yield from [*credentials.DECISIONS["store_objects"](made), *plan["written"], plan["external_secret"]]


def of_backup() -> Iterator[dict[str, Any]]:
    """All objects of the backups of several servers with each of their options, without and with a schedule, in S3 and on a volume."""
    placed = {"pod_spec": {"nodeSelector": {"a": "b"}, "imagePullSecrets": [{"name": "x"}], "tolerations": [{"operator": "Exists"}]}}
    scheduled = {"schedule": "0 3 * * *", "suspended": True}
    for base in ({}, scheduled, {"repository": "", "claim": "sets"}):
        for server in ({}, {"auth": "basic", **placed, "environment_from": [{"secretRef": {"name": "more"}}]}):
            for given in one_by_one(BACKUP, base):
                made = deployments.backup(server_given=server, **given)
                yield from backup_kubernetes.DECISIONS["cluster_objects"](made)["objects"]
                yield backup_kubernetes.DECISIONS["cluster_job"](made)
                yield from backup_kubernetes.DECISIONS["cluster_drill"](made)
                yield from restore.DECISIONS["cluster_look_objects"](made | {"published": RESTORED})
                yield restore.DECISIONS["cluster_restore_job"](made | {"published": RESTORED})


def of_archive() -> Iterator[dict[str, Any]]:
    """All objects of the archive of traces of several servers with each of its options."""
    for server in ({}, {"auth": "basic", "pod_spec": {"nodeSelector": {"a": "b"}}, "environment_from": [{"secretRef": {"name": "more"}}]}):
        for given in one_by_one(ARCHIVE, {}):
            yield from maintenance_kubernetes.DECISIONS["cluster_objects"](deployments.maintenance(server_given=server, **given))["objects"]


def distinct() -> list[dict[str, Any]]:
    """Each object that differs from all others."""
    every = [
        *(made for given in servers() for made in of_server(given)), *of_postgresql(), *of_cloudnative_pg(), *of_artifact_store(), *of_volume(),
        *of_sso(), *of_keycloak(), *of_credentials(), *of_verification(), *of_clients(), *of_backup(), *of_archive(),
    ]  # fmt: skip
    return [json.loads(text) for text in sorted({json.dumps(made, sort_keys=True) for made in every})]
