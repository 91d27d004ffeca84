# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""A volume that many pods write to as the artifact store: an export of an NFS server, a storage class, or a claim that is there. No I/O.

What is wrong with the volume itself is in nfs_check.py.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.artifact_store import ArtifactStore
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import USER
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, checksum
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import BY_COMPONENT, Container, Identity, Object, Volume, described

#: Where MLflow has the volume mounted.
MOUNT_PATH = "/mlflow/artifacts"
#: The annotation of the ConfigMap that says which claim was checked, and with which program.
CHECKED = "mlops.mlflow/checked"
#: What the kubelet does to a volume whose owner is not the server's group. By default, it would change each file at each start of a pod.
CHANGE_POLICY = "OnRootMismatch"
#: When the Job of the check gives up. The wait for it ends before, while its pod is there and can say what is wrong.
_CHECK_SECONDS = 3600
_VOLUME = re.compile(r"mlflow-nfs-[0-9a-f]{10}")


def is_export(given: ArtifactStore) -> bool:
    """Return whether the variables name an export."""
    return bool(given.nfs_server or given.nfs_path)


def volume_name(given: ArtifactStore) -> str:
    """Return the name of the export's PersistentVolume. Volumes have no namespace, and no two deployments get the same export.

    >>> volume_name(ArtifactStore(nfs_server="nas.lan", nfs_path="/export/mlflow/")) == volume_name(ArtifactStore(nfs_server="NAS.lan",
    ...     nfs_path="/export/mlflow"))
    True
    """
    export = f"{given.nfs_server.lower()}:{given.nfs_path.rstrip('/')}"
    return f"mlflow-nfs-{checksum(export)[:10]}"


def volumes_of(owned: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of the PersistentVolumes of a deployment, from what it has in its namespace: the claim of an export has its instance.

    >>> volumes_of([{"kind": "PersistentVolumeClaim", "name": "a", "instance": "mlflow-nfs-0123456789"},
    ...     {"kind": "PersistentVolumeClaim", "name": "data-postgresql-0", "instance": "postgresql"}])
    ['mlflow-nfs-0123456789']
    """
    instances = [str(each.get("instance", "")) for each in owned if each["kind"] == "PersistentVolumeClaim"]
    return sorted({each for each in instances if _VOLUME.fullmatch(each)})


def claim_name(given: ArtifactStore) -> str:
    """Return the claim that MLflow has mounted."""
    return given.existing_claim or given.name


def check_name(name: str) -> str:
    """Return what the objects of the check are called."""
    return f"{name}-check"


def claims(name: str, variables: ArtifactStore) -> list[Object]:
    """Return the objects that the role may create or change, or needs: those that kubernetes_preflight checks."""
    check, has_claim = check_name(name), not variables.existing_claim
    own: list[Object] = [{"kind": "PersistentVolumeClaim", "name": name, "option": "artifact_store_name"}] if has_claim else []
    if is_export(variables) and has_claim:
        own.append({"kind": "PersistentVolume", "name": volume_name(variables), "option": "artifact_store_nfs_path"})
    given = {"kind": "PersistentVolumeClaim", "name": variables.existing_claim, "option": "artifact_store_existing_claim"}
    beside = [
        {"kind": "ServiceAccount", "name": check}, {"kind": "ConfigMap", "name": check},
        {"kind": "NetworkPolicy", "api_version": "networking.k8s.io/v1", "name": check}, {"kind": "Job", "api_version": "batch/v1", "name": check},
    ]  # fmt: skip
    return [
        *own, *({"option": "artifact_store_name", **each} for each in beside),
        *([] if has_claim else [{**given, "wanted": False, "required": True}]),
    ]  # fmt: skip


def problems(variables: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence with its remedy for each problem of the variables, which are named without ``artifact_store_``."""
    server, path = str(variables["nfs_server"]), str(variables["nfs_path"])
    ways = {"nfs_server": server or path, "storage_class": variables["storage_class"], "existing_claim": variables["existing_claim"]}
    chosen = [f"artifact_store_{name}" for name, value in ways.items() if value]
    if not variables["is_on_kubernetes"]:
        yield (
            "artifact_store_provider: nfs is for a server on Kubernetes; for the embedded server, mount the export on its machine, and set "
            "artifact_store_provider: folder with artifact_store_path"
        )
    elif not variables["image"]:
        yield (
            "artifact_store_image: nothing says in which image the volume is checked; run the role mlops.mlflow.mlflow_image earlier in the same "
            "play, or set it to MLflow's image"
        )
    if len(chosen) != 1:
        found = f"{' and '.join(chosen)} are both set" if chosen else "nothing says where the volume comes from"
        yield (
            f"artifact_store_provider: is nfs, but {found}; set one of artifact_store_nfs_server with artifact_store_nfs_path, "
            "artifact_store_storage_class and artifact_store_existing_claim"
        )
    if bool(server) != bool(path):
        lacks, has = ("nfs_path", "nfs_server") if server else ("nfs_server", "nfs_path")
        yield f"artifact_store_{lacks}: is empty, although artifact_store_{has} is set; an export has both"
    if path and not path.startswith("/"):
        yield f"artifact_store_nfs_path: '{path}' is not absolute; set the path as the NFS server exports it (showmount --exports SERVER)"
    if re.search(r"[\s/]|://", server):
        yield f"artifact_store_nfs_server: '{server}' is not a host; set its name or address alone, and the path in artifact_store_nfs_path"


# The objects


def _identity(given: ArtifactStore, instance: str = "") -> Identity:
    return Identity(given.app or given.name, instance or given.name, "artifacts", BY_COMPONENT)


def volume(given: ArtifactStore, namespace: str) -> list[Object]:
    """Return the claim, and before it the volume of an export; nothing where a claim is given, which is used as it is."""
    if given.existing_claim:
        return []
    if not is_export(given):
        return [_claim(given, given.name, {"storageClassName": given.storage_class})]
    name = volume_name(given)
    spec = {
        "capacity": {"storage": given.volume_size}, "accessModes": ["ReadWriteMany"], "volumeMode": "Filesystem",
        # The files are the export's, not the cluster's.
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": given.name},
        **({"mountOptions": [*given.nfs_mount_options]} if given.nfs_mount_options else {}),
        "nfs": {name: _export(given)[name] for name in ("server", "path")},
    }  # fmt: skip
    made = described("v1", "PersistentVolume", name, _identity(given, name).labels, spec=spec)
    # Without this empty text, the claim would be of the cluster's default class.
    return [made, _claim(given, name, {"storageClassName": "", "volumeName": name})]


def _claim(given: ArtifactStore, instance: str, of: Mapping[str, str]) -> Object:
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": given.volume_size}}, **of}
    return described("v1", "PersistentVolumeClaim", given.name, _identity(given, instance).labels, spec=spec)


def mounted(given: ArtifactStore) -> Volume:
    """Return the volume as pods have it."""
    return Volume("artifacts", MOUNT_PATH, {"persistentVolumeClaim": {"claimName": claim_name(given)}}, read_only=False)


def connection(given: ArtifactStore, is_empty: bool) -> Object:
    """Return what the role publishes. The kubelet mounts the volume, so that pods need not reach the NFS server."""
    volume_, path = mounted(given), MOUNT_PATH
    return {
        "destination": path, "is_empty": is_empty, "environment": {}, "secret_environment": {}, "egress": [], "checksum": "",
        "volumes": [{"name": volume_.name, "mount_path": path, "source": dict(volume_.source), "read_only": False}],
        "fs_group_change_policy": CHANGE_POLICY, **({"export": _export(given)} if is_export(given) and not given.existing_claim else {}),
    }  # fmt: skip


def _export(given: ArtifactStore) -> Object:
    """What somebody else needs to mount the export too."""
    return {
        "server": given.nfs_server, "path": given.nfs_path.rstrip("/") or "/", "mount_options": [*given.nfs_mount_options], "size": given.volume_size,
    }  # fmt: skip


def digest(given: ArtifactStore, uid: str, program: str) -> str:
    """Return what the check is recorded for: this claim, which has another uid once it was deleted and made again, and this program."""
    return checksum(as_json([claim_name(given), uid, program, USER]))


def record(given: ArtifactStore, program: str, checked: str = "") -> Object:
    """Return the ConfigMap with the program, and what it has checked."""
    made = workload.config_map(check_name(given.name), _identity(given).of("artifacts-check").labels, {"probe.py": program})
    if checked:
        made["metadata"]["annotations"] = {CHECKED: checked}
    return made


def check(given: ArtifactStore, program: str, pull_policy: str) -> list[Object]:
    """Return the Job that uses the volume as the server does, as the same user and group, and what it needs."""
    name, identity = check_name(given.name), _identity(given).of("artifacts-check")
    resources = {"requests": {"cpu": "50m", "memory": "64Mi", "ephemeral-storage": "10Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}}
    container = Container(
        "check", given.image, ["python", "-I", "/check/probe.py", MOUNT_PATH], [workload.files("program", "/check", name), mounted(given)], resources,
        more={"imagePullPolicy": pull_policy, "terminationMessagePolicy": "FallbackToLogsOnError"},
    )  # fmt: skip
    pod = workload.pod(name, security(), [container], terminationGracePeriodSeconds=5)
    return [
        workload.service_account(name, identity.labels),
        record(given, program),
        # It calls no one, and no one calls it.
        workload.network_policy(identity, name, []),
        workload.job(name, identity.labels, pod, backoffLimit=0, activeDeadlineSeconds=_CHECK_SECONDS, ttlSecondsAfterFinished=3600),
    ]


def security() -> Object:
    """Return the security context of the server's pods with this store."""
    return workload.user(USER, fsGroupChangePolicy=CHANGE_POLICY)
