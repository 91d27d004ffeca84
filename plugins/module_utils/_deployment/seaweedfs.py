# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""SeaweedFS, on a machine and in a pod: its arguments, its users, and the server in the cluster. No I/O."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.artifact_store import (
    ADMIN,
    PORT,
    ArtifactStore,
    Server,
    policy_text,
    secrets_of,
)
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, checksum
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, Volume

#: One volume a bucket, not seven.
GROWTH = "[master.volume_growth]\ncopy_1 = 1\n"
#: The gRPC port of S3 listens where S3 does. It is for other parts of SeaweedFS, of which there are none: it asks for a certificate that nobody has.
_SECURITY = """\
[grpc]
ca = "/etc/artifact-store-certificate/ca.crt"
[grpc.s3]
cert = "/etc/artifact-store-certificate/tls.crt"
key = "/etc/artifact-store-certificate/tls.key"
"""
_OF_ADMIN = ["Admin", "Read", "Write", "List", "Tagging"]
#: The parts whose gRPC ports have sockets, and how far these ports are above the port of S3.
_GRPC = {"master": 2, "volume": 4, "filer": 6, "s3": 7}


@dataclass(frozen=True)
class Place:
    """Where SeaweedFS has its data, the file with its users and its sockets, and the port of S3."""

    data: str = "/data"
    identities: str = "/etc/artifact-store/s3.json"
    run: str = "/tmp"
    port: int = PORT


def on_machine(home: str, port: int) -> Place:
    """Return where the embedded server has them, in its folder ``home``."""
    return Place(f"{home}/data", f"{home}/s3.json", home, port)


def arguments(place: Place) -> list[str]:
    """Return the server's arguments. Master, volume, filer and their gRPC ports are the seven ports above the port of S3, on loopback.

    >>> [each for each in arguments(Place()) if "s3.port" in each]
    ['-s3.port=9000', '-s3.port.grpc=9007', '-s3.port.iceberg=0', '-s3.port.lance=0']
    """
    ports = {part: place.port + above for part, above in _GRPC.items()}
    return [
        f"-dir={place.data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-master.port={place.port + 1}", f"-master.port.grpc={ports['master']}",
        # Usage reports are on by default.
        "-master.telemetry=false",
        # A single-node cluster does not need to wait for peers: a restart takes 3 seconds instead of 11.
        "-master.electionTimeout=1s", "-master.volumeSizeLimitMB=1024",
        f"-volume.port={place.port + 3}", f"-volume.port.grpc={ports['volume']}", "-volume.max=0", "-volume.preStopSeconds=1",
        "-filer", "-filer.exposeDirectoryData=false", f"-filer.port={place.port + 5}", f"-filer.port.grpc={ports['filer']}",
        "-s3", f"-s3.port={place.port}", f"-s3.port.grpc={ports['s3']}", f"-s3.config={place.identities}", "-s3.iam=false",
        f"-filer.localSocket={place.run}/filer.sock", f"-s3.localSocket={place.run}/s3.sock", "-s3.port.iceberg=0", "-s3.port.lance=0",
        # By default, writing to a misspelt bucket creates it, and deleting a bucket deletes its contents.
        "-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false",
    ]  # fmt: skip


def sockets(port: int) -> list[str]:
    """Return the sockets that it creates for its gRPC ports in /tmp, which no option changes."""
    return [f"/tmp/seaweedfs-{part}-grpc-{port + above}.sock" for part, above in _GRPC.items()]


def embedded_identities(bucket: str, admin_key: str, user_key: str) -> str:
    """Return the users of the embedded server: its administrator, and MLflow, for the bucket alone."""
    of_user = [f"{action}:{bucket}" for action in _OF_ADMIN[1:]]
    users = [_user(ADMIN, ADMIN, admin_key, actions=_OF_ADMIN), _user("mlflow", "mlflow", user_key, actions=of_user)]
    return as_json({"identities": users}, sort_keys=True)


def identities(given: ArtifactStore, secrets: Mapping[str, Mapping[str, str]]) -> str:
    """Return the users of the server in the cluster: its administrator, and MLflow, for its prefix alone."""
    admin, user = (secrets[secrets_of(given.name)[whose]] for whose in ("admin", "user"))
    users = [
        _user(ADMIN, admin["access-key"], admin["secret-key"], actions=_OF_ADMIN),
        _user("mlflow", user["access-key"], user["secret-key"], policyNames=["mlflow"]),
    ]
    return as_json({"identities": users, "policies": [{"name": "mlflow", "content": policy_text(given)}]}, sort_keys=True)


def _user(name: str, access_key: str, secret_key: str, **may: Any) -> Object:
    return {"name": name, "credentials": [{"accessKey": access_key, "secretKey": secret_key}], **may}


def server(given: ArtifactStore, cluster: Cluster, secrets: Mapping[str, Mapping[str, str]]) -> Server:
    """Return the server in the cluster. ``secrets`` are the values of its Secrets, by name and key."""
    names, files = secrets_of(given.name), {"master.toml": GROWTH, "security.toml": _SECURITY}

    def secret(name: str, path: str, whose: str) -> Volume:
        return Volume(name, path, {"secret": {"secretName": names[whose], "defaultMode": 0o440}}, read_only=True)

    return Server(
        given, cluster,
        # S3 and its gRPC listen on all of the pod's addresses, everything else on its loopback alone.
        ["weed", "-logtostderr=true", "server", *arguments(Place()), "-s3.ip.bind=0.0.0.0"], "/healthz", "/healthz", files, "/etc/seaweedfs",
        checksum(as_json([files, secrets[names["identities"]]], sort_keys=True)),
        [workload.value("HOME", "/tmp")],
        [secret("identities", "/etc/artifact-store", "identities"), secret("certificate", "/etc/artifact-store-certificate", "certificate")],
        # It looks here for configuration, too.
        working_folder="/etc/seaweedfs",
        # A stop in order takes sixteen seconds.
        stop_seconds=30,
    )  # fmt: skip
