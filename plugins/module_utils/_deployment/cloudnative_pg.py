# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""PostgreSQL by CloudNativePG 1.25 or later: its Cluster, databases, role and NetworkPolicy, of our own or adopted. No I/O.

The API: https://cloudnative-pg.io/documentation/current/cloudnative-pg.v1/
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.postgresql import CA_FOLDER, PostgreSQL, memory
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import checksum, read
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, described
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.ownership import is_own, whose

API = "postgresql.cnpg.io/v1"
#: The annotation of a Cluster that was somebody else's.
ADOPTED = "mlops.mlflow/adopted"
#: The ports of PostgreSQL, and of what the operator asks in its pods.
PORT, STATUS_PORT = 5432, 8000
#: The first major version with the locale provider that the databases have.
_OLDEST = 17
_RESERVED = {"user": ("postgres", "streaming_replica"), "database": ("postgres", "template0", "template1")}


@dataclass(frozen=True)
class Deployed:
    """What is wanted, and the Cluster of that name as it is."""

    given: PostgreSQL
    cluster: Cluster
    deployment: str = ""
    #: The Cluster; {} if there is none.
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_adopted(self) -> bool:
        """Whether somebody else has made the Cluster. Its owner was checked before, so that one that is not the deployment's is to be adopted."""
        metadata = self.found.get("metadata") or {}
        return bool(self.found) and (ADOPTED in (metadata.get("annotations") or {}) or not is_own(metadata, self.deployment))

    @property
    def secret(self) -> str:
        """The deployment's own Secret with the password of its role."""
        return secret_of(self.given.name)

    @property
    def login(self) -> str:
        """The Secret with the password of the role. An adopted Cluster may have the role already, with a Secret of its own."""
        if not self.is_adopted:
            return self.secret
        spec, user = self.found.get("spec") or {}, self.given.user
        for role in _roles(spec):
            if role.get("name") == user:
                return str((role.get("passwordSecret") or {}).get("name", ""))
        for way in (spec.get("bootstrap") or {}).values():
            if way.get("owner") == user:
                return str((way.get("secret") or {}).get("name") or f"{self.given.name}-app")
        return self.secret


def secret_of(name: str) -> str:
    """Return the name of the deployment's own Secret for the Cluster of that name."""
    return f"{name}-user"


def _roles(spec: Mapping[str, Any]) -> list[Object]:
    return list((spec.get("managed") or {}).get("roles") or ())


def problems(given: PostgreSQL) -> Iterator[str]:
    """Yield what is wrong with the variables, one sentence each.

    >>> list(problems(PostgreSQL(image="postgresql", user="postgres", instances=0)))[0]
    "postgresql_image: 'postgresql' does not say its version, which CloudNativePG reads in its tag; give it a tag such as 17.11"
    """
    yield from _image_problems(given.image)
    if len(given.name) > 50:
        yield f"postgresql_name: '{given.name}' is too long for a Cluster of CloudNativePG; use at most 50 characters"
    if given.port != PORT:
        yield f"postgresql_port: {given.port} is not the port of CloudNativePG's Services; leave it at {PORT}"
    if given.instances < 1:
        yield f"postgresql_instances: {given.instances} is too few; set 1, or 3 for two replicas"
    for name, what in (("user", "user"), ("database", "database"), ("auth_database", "database")):
        if getattr(given, name) in _RESERVED[what]:
            yield f"postgresql_{name}: '{getattr(given, name)}' is reserved for CloudNativePG; choose another name"
    shared = {"max_connections", "shared_buffers"} & set(given.settings)
    for name in sorted(shared):
        yield f"postgresql_settings: {name} has a variable of its own; set postgresql_{name} instead"


def _image_problems(image: str) -> Iterator[str]:
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    major = re.match(r"(\d+)(?![\w])", tag)
    if not major:
        yield f"postgresql_image: '{image}' does not say its version, which CloudNativePG reads in its tag; give it a tag such as 17.11"
    elif int(major[1]) < _OLDEST:
        yield f"postgresql_image: '{image}' is PostgreSQL {major[1]}; use {_OLDEST} or later"


def found_problem(made: Deployed, secret: Mapping[str, Any] | None) -> str:
    """Return why the Cluster cannot be used, or ''. ``secret`` is the one with the password, if that is not ours."""
    given, name = made.given, made.given.name
    if not made.found and made.cluster.has_data:
        return (
            f"postgresql_name: there is no Cluster '{name}', although MLflow has served here, and a new one would be empty; nothing was changed. "
            "Correct the name, restore the Cluster from its backup or, if its data is no longer needed, set kubernetes_fresh_start: true"
        )
    if (made.found.get("metadata") or {}).get("deletionTimestamp"):
        return f"postgresql_name: Cluster '{name}' is being deleted; wait until it is gone (kubectl get cluster {name}), and run again"
    if made.login != made.secret and not ((secret or {}).get("data") or {}).get("password"):
        owner = whose(made.found["metadata"]) if ADOPTED not in (made.found["metadata"].get("annotations") or {}) else "its earlier owner"
        return (
            f"postgresql_user: Cluster '{name}' of {owner} has the role '{given.user}' with the password in Secret '{made.login}', which is not "
            "there; create it with the keys username and password, or choose another postgresql_user"
        )
    return ""


# Objects

#: What has been acknowledged is on a second instance, too, and outlives the primary. While there is no other instance, the primary goes on alone.
#: https://cloudnative-pg.io/docs/1.31/replication ("Data durability and synchronous replication"); the operator has it since 1.25, as Databases.
_SYNCHRONOUS = {"method": "any", "number": 1, "dataDurability": "preferred"}


def objects(made: Deployed) -> list[Object]:
    """Return the objects in the order in which they are applied."""
    given, labels = made.given, made.given.identity.labels
    databases = [_database(f"{given.name}-tracking", given, given.database), _database(f"{given.name}-auth", given, given.auth_database)]
    if made.is_adopted:
        # It stays as it is, but for the role that it lacks. A NetworkPolicy would shut out whoever else calls it.
        return [_adopted(made), *databases]
    return [
        _network_policy(made),
        described(API, "Cluster", given.name, labels, spec=_cluster_spec(made)),
        *databases,
    ]


def _cluster_spec(made: Deployed) -> Object:
    given, additions = made.given, made.cluster.additions
    inherited = {part: dict(additions[part]) for part in ("labels", "annotations") if additions.get(part)}
    return {
        "instances": given.instances, "imageName": given.image,
        # With one instance, a budget would block the drain of its node for ever.
        "enablePDB": given.instances > 1,
        "enableSuperuserAccess": False,
        # A smart shutdown would refuse connections, and wait three minutes for MLflow to close those of its pool.
        "smartShutdownTimeout": 0,
        "storage": {"size": str(given.volume_size), **({"storageClass": given.storage_class} if given.storage_class else {})},
        "resources": dict(given.resources),
        **({"affinity": {"nodeSelector": dict(given.node_selector)}} if given.node_selector else {}),
        **({"inheritedMetadata": inherited} if inherited else {}),
        "postgresql": {"parameters": parameters(given), **({"synchronous": dict(_SYNCHRONOUS)} if given.instances > 1 else {})},
        "bootstrap": {"initdb": {
            "database": given.database, "owner": given.user, "secret": {"name": made.secret}, "dataChecksums": True, "encoding": "UTF8",
            "localeProvider": "builtin", "builtinLocale": "C.UTF-8",
        }},
        "managed": {"roles": [_role(made)]},
    }  # fmt: skip


def parameters(given: PostgreSQL) -> dict[str, str]:
    """Return the parameters of postgresql.conf, as texts.

    >>> parameters(PostgreSQL(max_connections=200, shared_buffers="256MB", settings={"jit": False, "work_mem": "8MB"}))
    {'max_connections': '200', 'shared_buffers': '256MB', 'effective_cache_size': '512MB', 'maintenance_work_mem': '64MB', 'jit': 'off', \
'work_mem': '8MB'}
    """
    sizes = memory(given.resources)
    derived = {name: f"{sizes[name]}MB" for name in ("effective_cache_size", "maintenance_work_mem")}
    own = {"max_connections": given.max_connections, "shared_buffers": given.shared_buffers, **derived, **given.settings}
    return {name: ("on" if value else "off") if isinstance(value, bool) else str(value) for name, value in own.items()}


def _role(made: Deployed) -> Object:
    """The role of MLflow, which CloudNativePG creates, and whose password it keeps as in the Secret."""
    return {
        "name": made.given.user, "ensure": "present", "login": True, "superuser": False, "passwordSecret": {"name": made.secret},
        "comment": "MLflow",
    }  # fmt: skip


def _adopted(made: Deployed) -> Object:
    """The Cluster's mark and, if it lacks the role, its own roles with ours: server-side apply takes the list as a whole."""
    metadata = {"name": made.given.name, "annotations": {ADOPTED: "true"}}
    cluster: Object = {"apiVersion": API, "kind": "Cluster", "metadata": metadata}
    if made.login == made.secret:
        others = [role for role in _roles(made.found.get("spec") or {}) if role.get("name") != made.given.user]
        cluster["spec"] = {"managed": {"roles": [*others, _role(made)]}}
    return cluster


def _database(name: str, given: PostgreSQL, database: str) -> Object:
    """A database of the role. If the object is deleted, the database stays."""
    spec = {"cluster": {"name": given.name}, "name": database, "owner": given.user, "ensure": "present", "databaseReclaimPolicy": "retain"}
    return described(API, "Database", name, given.identity.labels, spec=spec)


def _pods(given: PostgreSQL) -> Object:
    return {"matchLabels": {"cnpg.io/cluster": given.name}}


def _ports(*numbers: int) -> list[Object]:
    return [{"port": number, "protocol": "TCP"} for number in numbers]


def _network_policy(made: Deployed) -> Object:
    """Its callers, the operator and its own instances may connect; it may reach these, DNS and the API server, which its pods watch."""
    given, selector = made.given, _pods(made.given)
    operator = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": given.operator_namespace}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "cloudnative-pg"}},
    }
    instances = {"podSelector": selector}
    spec = {
        "podSelector": selector, "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {"from": [*given.callers], "ports": _ports(PORT)}, {"from": [operator, instances], "ports": _ports(PORT, STATUS_PORT)},
        ],
        "egress": [*made.cluster.dns_egress, *made.cluster.api_egress, {"to": [instances], "ports": _ports(PORT, STATUS_PORT)}],
    }  # fmt: skip
    return described("networking.k8s.io/v1", "NetworkPolicy", given.name, given.identity.labels, spec=spec)


def access(made: Deployed, password: str) -> Object:
    """Return what the provider adds to the connection. MLflow reads the authority anew with each connection: its renewal restarts nothing."""
    given = made.given
    source = {"secret": {"secretName": f"{given.name}-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
    return {
        "admin_user": "",
        "environment": {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": f"{CA_FOLDER}/ca.crt"},
        "secret_environment": {"PGPASSWORD": {"name": made.login, "key": "password"}},
        "volumes": [{"name": "postgresql-ca", "mount_path": CA_FOLDER, "source": source}],
        "egress": [{"to": [{"podSelector": _pods(given)}], "ports": _ports(PORT)}],
        "checksum": checksum(password),
    }


# What the role asks for


def _deployed(given: Mapping[str, Any]) -> Deployed:
    found = (given["found"].get("resources") or [{}])[0]
    variables = read(PostgreSQL, given["variables"], "postgresql_")
    return Deployed(variables, read(Cluster, given["kubernetes"], ""), given["kubernetes"].get("deployment", ""), found)


def _secret(given: Mapping[str, Any]) -> Mapping[str, Any]:
    return (given["login"].get("resources") or [{}])[0] or {}


def _decide_state(given: Mapping[str, Any]) -> Object:
    """Whose the password is and where, and how the objects are called that are waited for."""
    made = _deployed(given)
    name = made.given.name
    databases = [{"kind": "Database", "name": f"{name}-{each}"} for each in ("tracking", "auth")]
    return {
        "secret": made.secret, "login": made.login, "is_own_login": made.login == made.secret,
        "host": f"{name}-rw.{made.cluster.namespace}.svc", "rollouts": [{"kind": "Cluster", "name": name}, *databases],
    }  # fmt: skip


DECISIONS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "cloudnative_pg_problems": lambda given: list(problems(read(PostgreSQL, given["variables"], "postgresql_"))),
    "cloudnative_pg": _decide_state,
    "cloudnative_pg_problem": lambda given: found_problem(_deployed(given), _secret(given)),
    "cloudnative_pg_objects": lambda given: objects(_deployed(given)),
    "cloudnative_pg_access": lambda given: access(_deployed(given), given["password"]),
}
