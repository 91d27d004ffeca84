# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""PostgreSQL: the connection that every provider publishes, and the objects of the one in the cluster. No I/O."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import ANYWHERE, Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, checksum, mebibytes, read, url_host
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import BY_INSTANCE, Container, Identity, Object, Volume, described

#: The user of the official image.
USER = 999
#: Where MLflow has the authority of the server's certificate mounted, and where PostgreSQL has its own things.
CA_FOLDER = "/etc/mlflow/postgresql"
_DATA, _FILES, _SECRETS, _RUN = "/var/lib/postgresql/data", "/etc/postgresql", "/run/secrets/postgresql", "/run/postgresql"
#: What to do without CloudNativePG.
_INSTALL = (
    "Install CloudNativePG 1.25 or later (kubectl apply --server-side --filename "
    "https://raw.githubusercontent.com/cloudnative-pg/cloudnative-pg/v1.27.1/releases/cnpg-1.27.1.yaml), or set postgresql_operator: install"
)


@dataclass(frozen=True)
class PostgreSQL:
    """The variables postgresql_*, which roles/postgresql/meta/argument_specs.yml documents."""

    provider: str = "statefulset"
    port: int = 5432
    max_connections: int = 100
    database: str = "mlflow"
    auth_database: str = "mlflow_auth"
    user: str = "mlflow"
    admin_user: str = "postgres"
    name: str = "postgresql"
    app: str = "postgresql"
    image: str = ""
    volume_size: str = "10Gi"
    storage_class: str = ""
    resources: Mapping[str, Any] = field(default_factory=dict)
    callers: Sequence[Mapping[str, Any]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    shared_buffers: str = "128MB"
    instances: int = 1
    node_selector: Mapping[str, Any] = field(default_factory=dict)
    operator_namespace: str = "cnpg-system"
    host: str = ""
    password: str = ""
    ssl_mode: str = "verify-full"
    ca: str = ""

    @property
    def identity(self) -> Identity:
        """Whose the objects are."""
        return Identity(self.app, self.name, "database", BY_INSTANCE)

    @property
    def certificate(self) -> str:
        """The Secret with the server's certificate."""
        return f"{self.name}-tls"


def problems(given: PostgreSQL) -> list[str]:
    """Return what is wrong with the variables, one sentence each, without a password.

    >>> problems(PostgreSQL(provider="external", host="db", callers=[{}], ssl_mode="require"))
    ['postgresql_password: is empty, but postgresql_provider is external; set it']
    """
    return [*_names(given), *(_external(given) if given.provider == "external" else [])]


def _names(given: PostgreSQL) -> Iterator[str]:
    if given.database == given.auth_database:
        yield f"postgresql_auth_database: '{given.auth_database}' is the same as postgresql_database; choose another name"
    if not re.fullmatch("[a-z]([-a-z0-9]{0,51}[a-z0-9])?", given.name):
        yield (
            f"postgresql_name: '{given.name}' is not a valid Service name; use at most 53 lower-case letters, digits and dashes, starting with a "
            "letter and not ending with a dash"
        )
    if not given.callers:
        yield "postgresql_callers: is empty, which Kubernetes treats as everyone; list at least MLflow's pods"


def _external(given: PostgreSQL) -> Iterator[str]:
    for name, value in (("host", given.host), ("password", given.password)):
        if not value:
            yield f"postgresql_{name}: is empty, but postgresql_provider is external; set it"
    if given.ssl_mode in ("verify-ca", "verify-full") and "BEGIN CERTIFICATE" not in given.ca:
        yield (
            f"postgresql_ca: contains no certificate, but postgresql_ssl_mode is {given.ssl_mode}; set it to the text of the PEM file with the "
            "certificate authority that signed the server's certificate, or set postgresql_ssl_mode to require, which encrypts without verifying the "
            "server"
        )


def connection(given: PostgreSQL, host: str) -> Object:
    """Return what every provider publishes; each adds what MLflow needs for it. ``host`` is the name by which MLflow reaches the server.

    The password is in libpq's own variable, PGPASSWORD, so that it may contain any character.

    >>> connection(PostgreSQL(user="a@b"), "fd00::1")["uri"]
    'postgresql+psycopg2://a%40b@[fd00::1]:5432/mlflow'
    """
    server = f"postgresql+psycopg2://{quote(given.user, safe='')}@{url_host(host)}:{given.port}"
    return {
        "uri": f"{server}/{quote(given.database, safe='')}", "auth_uri": f"{server}/{quote(given.auth_database, safe='')}",
        "host": host, "address": host, "port": given.port, "database": given.database, "auth_database": given.auth_database,
        "user": given.user, "admin_user": given.admin_user, "max_connections": given.max_connections,
        "environment": {}, "secret_environment": {}, "volumes": [], "egress": ANYWHERE, "checksum": "",
    }  # fmt: skip


def memory(resources: Mapping[str, Any]) -> dict[str, int]:
    """Return the memory of postgresql.conf in MiB, from the limit of the container, which is 1 GiB if it has none.

    >>> memory({"limits": {"memory": "512Mi"}})
    {'shared_buffers': 128, 'effective_cache_size': 256, 'maintenance_work_mem': 32}
    """
    limit = mebibytes((resources.get("limits") or {}).get("memory") or "1Gi")
    return {"shared_buffers": limit // 4, "effective_cache_size": limit // 2, "maintenance_work_mem": min(64, limit // 16)}


# In the cluster


@dataclass(frozen=True)
class StatefulSet:
    """PostgreSQL in the cluster: its variables, its configuration, and what its pod reads without a change in its own specification."""

    given: PostgreSQL
    cluster: Cluster
    #: The files of its ConfigMap.
    files: Mapping[str, str] = field(default_factory=dict)
    certificate_checksum: str = ""
    admin_password: str = ""

    @property
    def shape(self) -> int:
        """One from before it was noted keeps what it has: another serviceName is refused, and anything else would restart PostgreSQL."""
        return workload.shape(self.cluster.workloads, "StatefulSet", self.given.name)

    @property
    def checksum(self) -> str:
        """What changes if PostgreSQL must restart: its files, its certificate and its administrator's password."""
        return checksum(as_json(self.files, sort_keys=True) + self.certificate_checksum + self.admin_password)


def certificate_hosts(given: PostgreSQL, namespace: str) -> list[str]:
    """Return the names in the server's certificate."""
    name = given.name
    return [name, f"{name}.{namespace}", f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local"]


def objects(made: StatefulSet) -> list[Object]:
    """Return the objects in the order in which they are applied."""
    given, labels = made.given, made.given.identity.labels
    name, identity = given.name, given.identity
    callers = [*given.callers, *workload.addresses(made.cluster.host_addresses)]
    of_this_shape = [
        workload.service_account(name, labels), workload.service(identity, f"{name}-pods", "postgresql", 5432, is_headless=True),
    ] if made.shape > 1 else []  # fmt: skip
    return [
        workload.volume_claim(name, labels, given.volume_size, given.storage_class),
        workload.config_map(name, labels, made.files),
        workload.service(identity, name, "postgresql", given.port),
        # It calls no one.
        workload.network_policy(identity, name, [], "postgresql", callers),
        *of_this_shape,
        _stateful_set(made),
    ]


def _stateful_set(made: StatefulSet) -> Object:
    given, labels = made.given, made.given.identity.labels
    initialise, server = _containers(made)
    pod = workload.pod(
        given.name if made.shape > 1 else "", workload.user(USER, fsGroupChangePolicy="OnRootMismatch"), [server], initContainers=[initialise.spec],
        # A fast shutdown writes what is in memory before it ends.
        terminationGracePeriodSeconds=120,
    )  # fmt: skip
    annotations = {"kubectl.kubernetes.io/default-container": "postgresql", "mlops.mlflow/configuration": made.checksum}
    stateful_set = described("apps/v1", "StatefulSet", given.name, labels, spec={
        "replicas": 1,
        "serviceName": f"{given.name}-pods" if made.shape > 1 else given.name,
        # With OrderedReady a pod that never became ready is not replaced when its template is corrected.
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": given.identity.selector},
        "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
    })  # fmt: skip
    if made.shape > 1:
        stateful_set["metadata"]["annotations"] = {workload.SHAPE: str(made.shape)}
    return stateful_set


def _containers(made: StatefulSet) -> tuple[Container, Container]:
    """The one that initialises the volume, and the server."""
    given = made.given
    secrets = {"projected": {"defaultMode": 0o440, "sources": [
        {"secret": {"name": given.name, "items": [{"key": "admin-password", "path": "admin-password"}]}},
        {"secret": {"name": given.certificate, "items": [{"key": key, "path": key} for key in ("tls.crt", "tls.key")]}},
    ]}}  # fmt: skip
    volumes = [
        Volume("data", _DATA, {"persistentVolumeClaim": {"claimName": given.name}}),
        workload.files("configuration", _FILES, given.name),
        Volume("secrets", _SECRETS, secrets, read_only=True),
        workload.scratch("run", _RUN, "1Mi"),
        workload.scratch("memory", "/dev/shm", "256Mi", medium="Memory"),
    ]
    environment = [workload.value("PGDATA", f"{_DATA}/pgdata"), workload.value("PGHOST", _RUN)]
    # What it writes besides its volume: the log, which the kubelet rotates.
    resources = workload.with_storage(given.resources, "100Mi") if made.shape > 1 else given.resources
    ended: Object = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    # 1 is the answer of a server that recovers from a crash, however long that takes. To kill it would begin that anew.
    alive = {"exec": {"command": ["sh", "-c", "pg_isready --quiet --timeout=4 || [ $? -eq 1 ]"]}}
    ready = {"exec": {"command": ["pg_isready", "--quiet", "--timeout=4"]}}
    serving = {
        "ports": [{"name": "postgresql", "containerPort": 5432, "protocol": "TCP"}],
        # The signal of a pod's end would wait for every session to leave by itself; this one ends them.
        "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "kill -INT 1"]}}},
        "startupProbe": {**alive, "periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 60},
        "livenessProbe": {**alive, "periodSeconds": 20, "timeoutSeconds": 5, "failureThreshold": 3},
        "readinessProbe": {**ready, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 3},
    }

    def container(name: str, script: str, more: Mapping[str, Any]) -> Container:
        return Container(name, given.image, ["sh", f"{_FILES}/{script}"], volumes, resources, environment, {**ended, **more})

    return container("initialise", "initialise.sh", {}), container("postgresql", "start.sh", serving)


# What the role asks for


def _given(given: Mapping[str, Any]) -> PostgreSQL:
    return read(PostgreSQL, given["variables"], "postgresql_")


def _decide_claims(given: Mapping[str, Any]) -> list[Object]:
    """The objects that the role may create or change, checked before the first change of a run."""
    name, certificate = given["name"], PostgreSQL(name=given["name"]).certificate
    definition = {"kind": "CustomResourceDefinition", "api_version": "apiextensions.k8s.io/v1", "name": "databases.postgresql.cnpg.io"}
    claims: dict[str, list[Object]] = {
        "statefulset": [
            {"kind": "Secret", "name": name, "keys": ["admin-password", "password"], "needed_by": [f"PersistentVolumeClaim/{name}"]},
            {"kind": "Secret", "name": certificate},
            {"kind": "Secret", "name": f"{certificate}-ca"},
            {"kind": "PersistentVolumeClaim", "name": name},
            {"kind": "ServiceAccount", "name": name},
            {"kind": "ConfigMap", "name": name},
            {"kind": "Service", "name": f"{name}-pods"},
            {"kind": "Service", "name": name},
            {"kind": "NetworkPolicy", "api_version": "networking.k8s.io/v1", "name": name},
            {"kind": "StatefulSet", "api_version": "apps/v1", "name": name, "component": "database"},
        ],
        "cloudnative_pg": [
            {"kind": "Secret", "name": f"{name}-user"},
            {"kind": "NetworkPolicy", "api_version": "networking.k8s.io/v1", "name": name},
            {"kind": "Cluster", "api_version": "postgresql.cnpg.io/v1", "name": name},
            {"kind": "Database", "api_version": "postgresql.cnpg.io/v1", "name": f"{name}-tracking"},
            {"kind": "Database", "api_version": "postgresql.cnpg.io/v1", "name": f"{name}-auth"},
            *([{**definition, "required": True, "wanted": False, "remedy": _INSTALL}] if given.get("operator") != "install" else []),
        ],
        "external": [{"kind": "Secret", "name": name}],
    }
    return [{"option": "postgresql_provider" if claim.get("required") else "postgresql_name", **claim} for claim in claims.get(given["provider"], [])]


def _decide_objects(given: Mapping[str, Any]) -> list[Object]:
    """The objects of the provider statefulset."""
    return objects(StatefulSet(
        _given(given), read(Cluster, given["kubernetes"], ""), given["files"], given["certificate"].get("checksum", ""),
        given["secrets"].get("admin-password", ""),
    ))  # fmt: skip


def _decide_connection(given: Mapping[str, Any]) -> Object:
    return connection(_given(given), given["host"])


def _decide_external(given: Mapping[str, Any]) -> Object:
    """What the provider external adds to the connection, where MLflow runs in the cluster and where it is embedded."""
    postgresql, home = _given(given), given["embedded"].get("home", "")
    secret, has_ca, on_kubernetes = postgresql.name, bool(postgresql.ca), given["runtime"] == "kubernetes"
    environment = {"PGSSLMODE": postgresql.ssl_mode}
    if has_ca:
        environment["PGSSLROOTCERT"] = f"{CA_FOLDER}/ca.crt" if on_kubernetes else f"{home}/postgresql-ca.crt"
    if not on_kubernetes:
        password = {"file": f"{home}/secrets/postgresql_external_password"}
        return {"environment": environment, "secret_environment": {"PGPASSWORD": password}}
    source = {"secret": {"secretName": secret, "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
    return {
        "environment": environment,
        "secret_environment": {"PGPASSWORD": {"name": secret, "key": "password"}},
        "volumes": [{"name": "postgresql-ca", "mount_path": CA_FOLDER, "source": source}] if has_ca else [],
        "egress": given["egress"],
        "checksum": checksum(as_json(given["secrets"], sort_keys=True)),
    }


def _decide_stateful_set_access(given: Mapping[str, Any]) -> Object:
    """What the provider statefulset adds to the connection."""
    postgresql, certificate = _given(given), given["certificate"]
    source = {"secret": {"secretName": postgresql.certificate, "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
    return {
        "address": given["address"],
        "admin_user": "postgres",
        "admin_password": {"name": postgresql.name, "key": "admin-password"},
        "environment": {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": f"{CA_FOLDER}/ca.crt"},
        "secret_environment": {"PGPASSWORD": {"name": postgresql.name, "key": "password"}},
        "volumes": [{"name": "postgresql-ca", "mount_path": CA_FOLDER, "source": source}],
        "egress": workload.pods_of(postgresql.identity, 5432),
        # The parts of the certificate that a renewal does not change.
        "checksum": checksum(given["secrets"]["password"] + certificate["ca"] + certificate["checksum"]),
        "certificate_ends": certificate["ends"],
        "ca_file": given["ca_file"],
    }


DECISIONS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "claims": _decide_claims,
    "certificate_hosts": lambda given: certificate_hosts(_given(given), given["kubernetes"]["namespace"]),
    "connection": _decide_connection,
    "external": _decide_external,
    "memory": lambda given: memory(given["resources"]),
    "objects": _decide_objects,
    "problems": lambda given: problems(_given(given)),
    "statefulset": _decide_stateful_set_access,
}
