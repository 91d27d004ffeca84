# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""A server as it is deployed in a cluster: its variables, what earlier roles published, what is there, and what follows from all of them. No I/O."""
from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import server_jwt, server_settings, workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster, Database, Image, Store
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server import Server
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_settings import PASSPHRASE, WEBHOOK_KEY
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, checksum
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object

#: The user of the images that the role mlflow_image makes.
USER = 10001
#: Annotations of the Deployment: which migration it follows, and what its pods read without a change in their own specification.
SCHEMA, CHECKSUM = "mlops.mlflow/schema", "mlops.mlflow/checksum"
#: The argument that names the application.
_APPLICATION = "--app-name"


@dataclass(frozen=True)
class Found:
    """The Deployment as it is."""

    replicas: int = 0
    image: str = ""
    schema: str = ""
    checksum: str = ""
    #: The application that its pods run, "" for MLflow's open one.
    application: str = ""

    @classmethod
    def of(cls, deployment: Mapping[str, Any]) -> Found:
        """Return what is of interest of a Deployment, which is empty where there is none."""
        spec, metadata = deployment.get("spec") or {}, deployment.get("metadata") or {}
        template = spec.get("template") or {}
        containers = (template.get("spec") or {}).get("containers") or [{}]
        annotations = (template.get("metadata") or {}).get("annotations") or {}
        arguments = [*(containers[0].get("args") or []), "", ""]
        application = arguments[arguments.index(_APPLICATION) + 1] if _APPLICATION in arguments else ""
        return cls(
            int(spec.get("replicas") or 0), containers[0].get("image") or "",
            (metadata.get("annotations") or {}).get(SCHEMA, ""), annotations.get(CHECKSUM, ""), application,
        )  # fmt: skip


@dataclass(frozen=True)
class Deployed:
    """A server in a cluster: its variables, what earlier roles published for it, and what is there already."""

    server: Server
    cluster: Cluster
    database: Database
    store: Store
    reference: Image = field(default_factory=Image)
    #: The values of the server's Secret, by SECRET_KEYS.
    secrets: Mapping[str, str] = field(default_factory=dict)
    #: The addresses of the Service.
    addresses: Sequence[str] = ()
    found: Found = field(default_factory=Found)
    #: The program that renews the certificate.
    renewal: str = ""
    #: The program that tells metrics.
    exporter: str = ""
    #: If the server takes tokens: the programs that verify them, and the Services of all namespaces, of which issuers may be some.
    jwt_programs: Sequence[str] = ()
    services: Sequence[Mapping[str, Any]] | None = None

    @cached_property
    def auth_ini(self) -> str:
        """The file of basic authentication, or ""."""
        return server_settings.auth_ini(self.server, self.database.auth_uri) if self.server.is_basic else ""

    @cached_property
    def secret_variables(self) -> dict[str, str]:
        """The server's environment that is secret, in the form that MLflow reads."""
        kept = self.secrets
        session = "SECRET_KEY" if self.server.is_plugin else "MLFLOW_FLASK_SERVER_SECRET_KEY"
        auth = {
            session: kept.get("flask-secret-key", ""),
            "MLFLOW_AUTH_ADMIN_USERNAME": self.server.admin_username,
            "MLFLOW_AUTH_ADMIN_PASSWORD": kept.get("admin-password", ""),
        }
        return {
            WEBHOOK_KEY: base64(kept.get("webhook-key", "")), PASSPHRASE: kept.get("crypto-passphrase", ""),
            **(auth if self.server.has_users else {}),
        }  # fmt: skip

    @cached_property
    def checksum(self) -> str:
        """What changes if the pods must restart although their specification stays the same."""
        read: list[Any] = [self.reference.hash, self.secret_variables, self.auth_ini, self.database.checksum, self.store.checksum]
        read += [server_jwt.files(self.server, self.jwt_programs)] if self.server.is_jwt else []
        read += [self.server.login.checksum] if self.server.is_plugin else []
        read += [self.exporter] if self.server.metrics_enabled else []
        return checksum(as_json(read, sort_keys=True))

    @property
    def _is_published(self) -> bool:
        """Whether the image is that of the role mlflow_image."""
        return bool(self.reference.image) and self.reference.image == self.server.image

    @cached_property
    def image(self) -> str:
        """The image. A deployment from before images were named by their content keeps its name as long as the content is the same."""
        is_kept = self._is_published and self.reference.earlier == (self.found.image or "none") and self.found.checksum == self.checksum
        return self.reference.earlier if is_kept else self.server.image

    @cached_property
    def migration(self) -> str:
        """The name of the Job that migrates, one an image and database.

        The Deployment records which one it follows, so that a run that changes neither needs no Job, and one that returns to an earlier image
        checks again.
        """
        identity = self.reference.earlier if self._is_published and self.reference.earlier else self.server.image
        auth_uri = self.database.auth_uri if self.server.has_users else ""
        plugin = [self.server.application] if self.server.is_plugin else []
        digest = checksum(as_json([identity, self.reference.hash, self.database.uri, auth_uri, *plugin]))
        return f"{self.server.name}-migrate-{digest[:10]}"

    @property
    def follows_migration(self) -> bool:
        """Whether the server that is there was deployed after the migration to this image and database."""
        return self.found.schema == self.migration

    @property
    def check(self) -> str:
        """The name of the Job that only looks whether the schema is old."""
        return f"{self.server.name}-schema-{self.migration[-10:]}"

    @property
    def replicas(self) -> int:
        """The number of pods. The autoscaler's is kept within its bounds."""
        server = self.server
        return min(max(self.found.replicas, server.replicas), server.most_replicas) if server.is_scaled else server.replicas

    @property
    def database_egress(self) -> list[Any]:
        """Where a migration must reach."""
        return [*self.cluster.dns_egress, *self.database.egress]

    @property
    def own_egress(self) -> list[Object]:
        """What lets others reach the server."""
        return workload.pods_of(self.server.identity, self.server.port)

    @property
    def client_egress(self) -> list[Any]:
        """Where its clients must reach: with presigned artifacts, the store too."""
        return [*self.cluster.dns_egress, *self.own_egress, *(self.store.egress if self.server.presigned_artifacts else [])]


def base64(text: str) -> str:
    """Return a text as a Secret has it."""
    return b64encode(text.encode()).decode()
