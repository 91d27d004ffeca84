# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What backups in a cluster depend on: the variables, the server as its Deployment or what roles publish says, and what is there. No I/O."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import kubernetes_network, workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.backup import PERIODS
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster, Database, Store
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import host_and_port, read
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Identity, Object, Volume

#: Where a repository on a volume is, in the pod.
REPOSITORY = "/repository"
#: What of the server's environment says where its data are.
_WANTED = re.compile(
    "(MLFLOW_BACKEND_STORE_URI|MLFLOW_ARTIFACTS_DESTINATION|MLFLOW_AUTH_CONFIG_PATH|OIDC_USERS_DB_URI)$|MLFLOW_S3_|MLFLOW_BOTO_|AWS_|PG"
)
#: What of its pods says where, and with which right to pull images, they may run.
_PLACEMENT = ("imagePullSecrets", "nodeSelector", "tolerations", "affinity", "priorityClassName", "runtimeClassName")


@dataclass(frozen=True)
class Settings:
    """The variables mlflow_backup_*, which roles/mlflow_backup/meta/argument_specs.yml documents."""

    repository: str = ""
    claim: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    ca: str = ""
    restic_image: str = ""
    postgresql_image: str = ""
    work_claim: str = ""
    work_size: str = "20Gi"
    resources: Mapping[str, Any] = field(default_factory=dict)
    timeout: int = 21600
    schedule: str = ""
    suspended: bool = False
    keep_daily: int = 7
    keep_weekly: int = 4
    keep_monthly: int = 6
    set: str = "latest"
    replace: bool = False
    drill: bool = False

    @property
    def keep(self) -> dict[str, int]:
        """How many sets are kept, by the period of which each is the last."""
        return {period: getattr(self, f"keep_{period}") for period in PERIODS}

    @property
    def where(self) -> str:
        """The repository, as restic in the pod names it."""
        return REPOSITORY if self.claim else self.repository

    @property
    def endpoint(self) -> tuple[str, int]:
        """The host and the port of a repository that is reached by the network.

        >>> Settings(repository="s3:http://minio:9000/backups/mlflow").endpoint, Settings(repository="s3:s3.eu.example.com/b").endpoint
        (('minio', 9000), ('s3.eu.example.com', 443))
        >>> Settings(repository="rest:https://me:secret@host/").endpoint, Settings(claim="backups").endpoint
        (('host', 443), ('', 0))
        """
        if self.claim:
            return "", 0
        address = self.repository.partition(":")[2]
        return host_and_port(address if "://" in address else f"https://{address}")


@dataclass(frozen=True)
class Source:
    """A server: who it is, and how its pods reach its database and its artifacts."""

    name: str
    app: str
    image: str
    pull_policy: str = "IfNotPresent"
    environment: Sequence[Mapping[str, Any]] = ()
    environment_from: Sequence[Mapping[str, Any]] = ()
    volumes: Sequence[Volume] = ()
    placement: Mapping[str, Any] = field(default_factory=dict)

    @property
    def plain(self) -> dict[str, str]:
        """Its environment that is no secret."""
        return {each["name"]: str(each["value"]) for each in self.environment if "value" in each}

    @property
    def store(self) -> str:
        """Where its artifacts are."""
        return self.plain.get("MLFLOW_ARTIFACTS_DESTINATION", "")

    @property
    def has_volume(self) -> bool:
        """Whether its artifacts are on a volume."""
        return any(_holds(volume, self.store) for volume in self.volumes)

    @property
    def places(self) -> list[tuple[str, int]]:
        """The hosts and ports of its database and its artifact store, S3 being AWS's where there is no endpoint."""
        database = urlsplit(self.plain.get("MLFLOW_BACKEND_STORE_URI", ""))
        return [(database.hostname or "", database.port or 5432), self.endpoint]

    @property
    def endpoint(self) -> tuple[str, int]:
        """The host and the port of its artifact store; none if it is a volume, which the kubelet reaches."""
        if not self.store.startswith("s3://"):
            return "", 0
        return host_and_port(self.plain.get("MLFLOW_S3_ENDPOINT_URL", "") or "https://amazonaws.com")


def _holds(volume: Volume, path: str) -> bool:
    """Whether a path is on a volume."""
    return f"{path}/".startswith(f"{volume.mount_path.rstrip('/')}/")


def deployed(deployment: Mapping[str, Any]) -> Source:
    """Return the server of a Deployment.

    >>> container = {"name": "mlflow", "image": "i", "env": [{"name": "PGHOST", "value": "db"}, {"name": "HOME", "value": "/"}]}
    >>> deployed({"metadata": {"name": "m"}, "spec": {"template": {"spec": {"containers": [container]}}}}).environment
    [{'name': 'PGHOST', 'value': 'db'}]
    """
    metadata, pod = deployment["metadata"], deployment["spec"]["template"]["spec"]
    container = next(each for each in pod["containers"] if each["name"] == "mlflow")
    sources = {each["name"]: {key: part for key, part in each.items() if key != "name"} for each in pod.get("volumes") or []}
    mounts = [Volume(each["name"], each["mountPath"], sources[each["name"]], read_only=True) for each in container.get("volumeMounts") or []]
    environment = [each for each in container.get("env") or [] if _WANTED.match(each["name"])]
    store = next((str(each.get("value", "")) for each in environment if each["name"] == "MLFLOW_ARTIFACTS_DESTINATION"), "")
    return Source(
        metadata["name"], (metadata.get("labels") or {}).get("app.kubernetes.io/name", metadata["name"]), container["image"],
        container.get("imagePullPolicy") or "IfNotPresent",
        environment,
        container.get("envFrom") or [],
        [mount for mount in mounts if "secret" in mount.source or _holds(mount, store)],
        {name: pod[name] for name in _PLACEMENT if pod.get(name)},
    )  # fmt: skip


def published(given: Mapping[str, Any]) -> Source:
    """Return the server that will be deployed to what the roles postgresql and artifact_store have published: where a set is restored to."""
    database, store = read(Database, given["postgresql"], ""), read(Store, given["artifact_store"], "")
    where = {
        "MLFLOW_BACKEND_STORE_URI": database.uri, "RESTORE_AUTHENTICATION_URI": database.auth_uri, "MLFLOW_ARTIFACTS_DESTINATION": store.destination,
    }  # fmt: skip
    plain = [workload.value(name, text) for name, text in {**where, **database.environment, **store.environment}.items()]
    environment = [*plain, *database.secret_variables, *store.secret_variables]
    return Source(given["name"], given["app"], given["image"], given["pull_policy"], environment, volumes=[*database.mounts, *store.mounts])


@dataclass(frozen=True)
class Backup:
    """A server's backups: their variables, the server, the cluster, and what is there that they read."""

    settings: Settings
    source: Source
    cluster: Cluster
    #: The Services of the cluster; None if they may not be listed.
    services: Sequence[Mapping[str, Any]] | None = None
    #: The names of the deployment's own Secrets, and the image of its own PostgreSQL.
    secrets: Sequence[str] = ()
    database_image: str = ""
    #: The programs, by the names of their files.
    programs: Mapping[str, str] = field(default_factory=dict)
    #: Whether that image is one of CloudNativePG.
    is_of_operator: bool = False

    @property
    def name(self) -> str:
        """The name of the objects."""
        return f"{self.source.name}-backup"

    @property
    def identity(self) -> Identity:
        """Whose they are."""
        return Identity(self.source.app, self.source.name, "backup")

    @property
    def is_in_own_store(self) -> bool:
        """Whether a loss of the artifact store takes the backups with it."""
        return not self.settings.claim and bool(self._own_store) and self.settings.endpoint == self.source.endpoint

    @property
    def _own_store(self) -> str:
        """The name of the artifact store, if it is the deployment's own."""
        name = self.source.endpoint[0].partition(".")[0]
        return name if f"{name}-root" in self.secrets else ""

    @property
    def access(self) -> list[Object]:
        """The administrator's keys of the deployment's own store, since those of MLflow reach its artifacts alone; where none are given."""
        if not self.is_in_own_store or "AWS_ACCESS_KEY_ID" in self.settings.environment:
            return []
        keys = {"AWS_ACCESS_KEY_ID": "access-key", "AWS_SECRET_ACCESS_KEY": "secret-key"}
        return [workload.secret_value(f"BACKUP_{name}", f"{self._own_store}-root", key) for name, key in keys.items()]

    @property
    def image_of_database(self) -> str:
        """The image that has pg_dump."""
        return self.settings.postgresql_image or self.database_image

    @property
    def egress(self) -> list[Mapping[str, Any]]:
        """Where it must reach: names, the database, the artifacts, and the repository."""
        return kubernetes_network.egress([*self.source.places, self.settings.endpoint], self.services, self.cluster)

    @property
    def drill_egress(self) -> list[Mapping[str, Any]]:
        """Where a drill must reach: names, and the repository."""
        return kubernetes_network.egress([self.settings.endpoint], self.services, self.cluster)

    @property
    def database_user(self) -> int:
        """The user of PostgreSQL in that image, as whom alone a database can be made there."""
        return 26 if self.is_of_operator else 999
