# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The artifact store: the connection that every provider publishes, and the objects that its servers in the cluster have in common. No I/O."""
from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import ANYWHERE, Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, checksum, memory_bytes
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import BY_INSTANCE, Container, Identity, Object, Volume, described

#: The user of the servers in the cluster, and the port of S3 in their pods.
USER, PORT = 1000, 9000
#: The administrator's access key.
ADMIN = "admin"
#: Where MLflow has the CA of an external server mounted.
CA_FOLDER = "/etc/mlflow/s3"
#: The annotation that says whose format a volume has. Those of MinIO have none.
PROVIDER = "mlops.mlflow/provider"
#: The region and the access key of the embedded server.
_EMBEDDED_REGION, _EMBEDDED_USER = "us-east-1", "mlflow"


@dataclass(frozen=True)
class ArtifactStore:
    """The variables artifact_store_*, which roles/artifact_store/meta/argument_specs.yml documents."""

    provider: str = "seaweedfs"
    bucket: str = "mlflow"
    prefix: str = "artifacts"
    port: int = PORT
    access_key: str = "mlflow"
    secret_key: str = ""
    region: str = "us-east-1"
    name: str = "seaweedfs"
    app: str = ""
    image: str = ""
    volume_size: str = "50Gi"
    storage_class: str = ""
    resources: Mapping[str, Any] = field(default_factory=dict)
    callers: Sequence[Mapping[str, Any]] = ()
    endpoint_url: str = ""
    ca: str = ""
    existing_secret: Mapping[str, Any] = field(default_factory=dict)
    nfs_server: str = ""
    nfs_path: str = ""
    nfs_mount_options: Sequence[str] = ()
    existing_claim: str = ""

    @property
    def identity(self) -> Identity:
        """Whose the objects are."""
        return Identity(self.app or self.name, self.name, "artifacts", BY_INSTANCE)

    @property
    def destination(self) -> str:
        """Where in S3 MLflow stores artifacts.

        >>> ArtifactStore(prefix="").destination
        's3://mlflow'
        """
        return f"s3://{'/'.join(filter(None, (self.bucket, self.prefix)))}"

    @property
    def secret(self) -> Object:
        """The Secret with the credentials of an external server, and its keys."""
        return {"access_key_key": "access-key", "secret_key_key": "secret-key", **(self.existing_secret or {"name": self.name})}


def secrets_of(name: str) -> dict[str, str]:
    """Return what the Secrets of a server of that name in the cluster are called."""
    return {"admin": f"{name}-root", "user": f"{name}-mlflow", "identities": f"{name}-identities", "certificate": f"{name}-grpc"}


def is_aws(endpoint_url: str) -> bool:
    """Return whether S3 is that of AWS, which is where there is no endpoint.

    >>> [is_aws(each) for each in ("", "https://s3.eu-west-1.amazonaws.com", "http://minio:9000", "https://amazonaws.com.example.com")]
    [True, True, False, False]
    """
    return bool(not endpoint_url or re.search(r"[.]amazonaws[.]com([.]cn)?([:/]|$)", endpoint_url))


def abort_multipart_days(provider: str, endpoint_url: str) -> int | None:
    """Return after how many days an unfinished upload is removed. Not all S3 servers have a rule for that: MinIO refuses it."""
    return None if provider == "external_s3" and not is_aws(endpoint_url) else 7


def policy(bucket: str, prefix: str) -> Object:
    """Return what MLflow's user may do in S3: everything that MLflow does, below its prefix of its bucket alone."""
    arn = f"arn:aws:s3:::{bucket}"
    below = {"Condition": {"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"]}}} if prefix else {}
    of_objects = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
    return {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["s3:GetBucketLocation"], "Resource": [arn]},
        {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [arn], **below},
        {"Effect": "Allow", "Action": of_objects, "Resource": ["/".join(filter(None, (arn, prefix, "*")))]},
    ]}  # fmt: skip


def policy_text(given: ArtifactStore) -> str:
    """Return the policy as servers read it. Its spelling is part of what makes a pod restart."""
    return json.dumps(policy(given.bucket, given.prefix), indent=2, sort_keys=True) + "\n"


# The connection


def connection(given: ArtifactStore, endpoint_url: str, is_empty: bool) -> Object:
    """Return what every provider of S3 publishes; each adds what MLflow needs for it. MLflow reaches the server at ``endpoint_url``, "" for AWS."""
    endpoint = {"MLFLOW_S3_ENDPOINT_URL": endpoint_url, "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path"} if endpoint_url else {}
    checksums = {"AWS_REQUEST_CHECKSUM_CALCULATION": "when_required", "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required"}
    return {
        "destination": given.destination, "bucket": given.bucket, "prefix": given.prefix, "endpoint_url": endpoint_url, "address_url": endpoint_url,
        "region": given.region, "is_empty": is_empty, "environment": {"AWS_DEFAULT_REGION": given.region, **checksums, **endpoint},
        "secret_environment": {}, "volumes": [], "egress": ANYWHERE, "checksum": "",
    }  # fmt: skip


def embedded_access(home: str) -> Object:
    """Return what the embedded server adds to the connection."""
    return {
        "region": _EMBEDDED_REGION,
        "environment": {"AWS_DEFAULT_REGION": _EMBEDDED_REGION, "AWS_ACCESS_KEY_ID": _EMBEDDED_USER},
        "secret_environment": {"AWS_SECRET_ACCESS_KEY": {"file": f"{home}/secrets/artifact_store_secret_key"}},
    }


def cluster_access(given: ArtifactStore, address: str, credentials: Mapping[str, str]) -> Object:
    """Return what a server in the cluster adds to the connection. ``address`` is the Service's, where modules reach it."""
    secret = secrets_of(given.name)["user"]
    return {
        "address_url": f"http://{address}:{given.port}",
        "secret_environment": _credentials_of(secret, "access-key", "secret-key"),
        "egress": workload.pods_of(given.identity, PORT),
        "checksum": checksum(as_json(credentials, sort_keys=True)),
    }


def external_access(given: ArtifactStore, home: str) -> Object:
    """Return what an external server adds to the connection of the embedded MLflow."""
    names = {"AWS_ACCESS_KEY_ID": "access_key", "AWS_SECRET_ACCESS_KEY": "secret_key"}
    return {
        "environment": {"AWS_CA_BUNDLE": f"{home}/s3-ca.crt"} if given.ca else {},
        "secret_environment": {name: {"file": f"{home}/secrets/artifact_store_external_{file}"} for name, file in names.items()},
    }


def external_cluster_access(given: ArtifactStore, credentials: Mapping[str, str], egress: Sequence[Any]) -> Object:
    """Return what an external server adds to the connection of MLflow in the cluster."""
    secret, has_ca = given.secret, bool(given.ca)
    source = {"secret": {"secretName": f"{given.name}-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
    return {
        "environment": {"AWS_CA_BUNDLE": f"{CA_FOLDER}/ca.crt"} if has_ca else {},
        "secret_environment": _credentials_of(secret["name"], secret["access_key_key"], secret["secret_key_key"]),
        "volumes": [{"name": "s3-ca", "mount_path": CA_FOLDER, "source": source}] if has_ca else [],
        "egress": [*egress],
        "checksum": checksum(as_json([credentials, given.ca], sort_keys=True)),
    }


def _credentials_of(secret: str, access_key: str, secret_key: str) -> Object:
    return {"AWS_ACCESS_KEY_ID": {"name": secret, "key": access_key}, "AWS_SECRET_ACCESS_KEY": {"name": secret, "key": secret_key}}


def endpoint(endpoint_url: str) -> Object:
    """Return the host and the port of an external server.

    >>> endpoint("https://s3.example.com"), endpoint("")
    ({'host': 's3.example.com', 'port': 443}, {'host': 'amazonaws.com', 'port': 443})
    """
    parts = urlsplit(endpoint_url)
    return {"host": parts.hostname or "amazonaws.com", "port": parts.port or (80 if endpoint_url.startswith("http:") else 443)}


# In the cluster


@dataclass(frozen=True)
class Server:
    """A server in the cluster, whichever it is: what its pod runs, and what it reads."""

    given: ArtifactStore
    cluster: Cluster
    command: Sequence[str]
    #: The path of its answers to probes: while it starts and runs, and before it gets requests.
    live: str
    ready: str
    #: The files of its ConfigMap, where it reads them, and what of the Secrets it reads besides, since that makes its pod restart.
    files: Mapping[str, str]
    files_path: str
    checksum: str
    environment: Sequence[Object]
    volumes: Sequence[Volume] = ()
    working_folder: str = ""
    #: How long it may take to stop, in seconds.
    stop_seconds: int = 60

    @property
    def shape(self) -> int:
        """The shape of its Deployment."""
        return workload.shape(self.cluster.workloads, "Deployment", self.given.name)


def objects(server: Server) -> list[Object]:
    """Return the objects in the order in which they are applied."""
    given, labels, identity = server.given, server.given.identity.labels, server.given.identity
    callers = [*given.callers, *workload.addresses(server.cluster.host_addresses)]
    return [
        workload.volume_claim(given.name, labels, given.volume_size, given.storage_class),
        workload.config_map(given.name, labels, server.files),
        workload.service(identity, given.name, "s3", given.port),
        # It calls no one.
        workload.network_policy(identity, given.name, [], "s3", callers),
        *([workload.service_account(given.name, labels)] if server.shape > 1 else []),
        _deployment(server),
    ]


def _deployment(server: Server) -> Object:
    given, labels = server.given, server.given.identity.labels
    pod = workload.pod(
        given.name if server.shape > 1 else "", workload.user(USER, fsGroupChangePolicy="OnRootMismatch"), [_container(server)],
        terminationGracePeriodSeconds=server.stop_seconds,
    )  # fmt: skip
    deployment = described("apps/v1", "Deployment", given.name, labels, spec={
        "replicas": 1,
        # Two servers on one volume would not do.
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": given.identity.selector},
        # Files and Secrets are read when the server starts.
        "template": {"metadata": {"labels": labels, "annotations": {"mlops.mlflow/configuration": server.checksum}}, "spec": pod},
    })  # fmt: skip
    noted = {workload.SHAPE: str(server.shape)} if server.shape > 1 else {}
    noted |= {PROVIDER: given.provider} if given.provider != "minio" else {}
    if noted:
        deployment["metadata"]["annotations"] = noted
    return deployment


def _container(server: Server) -> Container:
    given = server.given
    volumes = [
        Volume("data", "/data", {"persistentVolumeClaim": {"claimName": given.name}}),
        workload.files("configuration", server.files_path, given.name),
        *server.volumes,
        workload.scratch("tmp", "/tmp", "64Mi"),
    ]
    # Below the limit, so that memory is collected before the kernel kills the server.
    limit = memory_bytes((given.resources.get("limits") or {}).get("memory") or "1Gi") * 0.9 / 1048576
    environment = [*server.environment, workload.value("GOMEMLIMIT", f"{int(limit)}MiB")]
    # What it writes besides its volume: /tmp, and the log, which the kubelet rotates.
    resources = workload.with_storage(given.resources, "200Mi") if server.shape > 1 else given.resources

    def probe(path: str, seconds: int, failures: int) -> Object:
        return {"httpGet": {"path": path, "port": "s3"}, "periodSeconds": seconds, "timeoutSeconds": 5, "failureThreshold": failures}

    return Container(given.provider, given.image, server.command, volumes, resources, environment, {
        **({"workingDir": server.working_folder} if server.working_folder else {}),
        "ports": [{"name": "s3", "containerPort": PORT, "protocol": "TCP"}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "startupProbe": probe(server.live, 2, 60),
        "livenessProbe": probe(server.live, 20, 3),
        "readinessProbe": probe(server.ready, 5, 3),
    })  # fmt: skip
