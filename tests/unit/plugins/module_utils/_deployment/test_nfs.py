"""A volume as the artifact store: what is claimed and made, what the server gets, what is refused, and what is said of each fault of an export."""
from __future__ import annotations

import json
from typing import Any

import deployments
import pytest
import variants

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import nfs, nfs_check
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.artifact_store import ArtifactStore
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.artifact_store_decisions import DECISIONS
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.kubernetes import DECISIONS as KUBERNETES

EXPORT: dict[str, Any] = {"nfs_server": "nas.lan", "nfs_path": "/export/mlflow"}
NAMED = "artifact_store_nfs_path: 'nas.lan:/export/mlflow'"
STORE = ArtifactStore(provider="nfs", name="mlflow-artifacts", **EXPORT)
CLASS = ArtifactStore(provider="nfs", name="mlflow-artifacts", storage_class="nfs-slow")
GIVEN = ArtifactStore(provider="nfs", name="mlflow-artifacts", existing_claim="shared")


def claims(**given: Any) -> list[dict[str, Any]]:
    early = {"provider": "nfs", "name": "mlflow-artifacts", "endpoint_url": "", "existing_secret": {}, "ca": "", "previous": ""}
    made: list[dict[str, Any]] = DECISIONS["claims"](early | {"nfs_server": "", "nfs_path": "", "existing_claim": ""} | given)
    return made


@pytest.mark.parametrize("source", variants.VOLUME)
def test_what_is_made_was_claimed(source: dict[str, Any]) -> None:
    asked = deployments.volume(**source)
    made = [*DECISIONS["volume"](asked)["objects"], *DECISIONS["volume_check"](asked)]
    early = {name: value for name, value in source.items() if name in ("nfs_server", "nfs_path", "existing_claim")}
    wanted = [each for each in claims(**early) if each.get("wanted", True)]
    assert sorted((each["kind"], each["metadata"]["name"]) for each in made) == sorted((each["kind"], each["name"]) for each in wanted)


def test_an_export_is_a_volume_that_outlives_its_claim_and_that_no_other_claim_gets() -> None:
    volume, claim = DECISIONS["volume"](deployments.volume(**EXPORT))["objects"]
    assert volume["spec"]["nfs"] == {"server": "nas.lan", "path": "/export/mlflow"}
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert (volume["spec"]["claimRef"]["namespace"], volume["spec"]["claimRef"]["name"]) == ("mlflow", claim["metadata"]["name"])
    assert volume["spec"]["mountOptions"] == ["nfsvers=4.1", "hard", "noatime"]
    # An empty class, or the claim would be of the cluster's default one.
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "50Gi"}}, "storageClassName": "",
        "volumeName": volume["metadata"]["name"],
    }  # fmt: skip


def test_a_class_gets_a_claim_and_a_claim_nothing() -> None:
    (claim,) = DECISIONS["volume"](deployments.volume(storage_class="nfs-slow"))["objects"]
    assert (claim["kind"], claim["spec"]["storageClassName"]) == ("PersistentVolumeClaim", "nfs-slow")
    decided = DECISIONS["volume"](deployments.volume(existing_claim="shared"))
    assert (decided["objects"], decided["claim"]) == ([], "shared")
    found = [each for each in claims(existing_claim="shared") if each["kind"].startswith("PersistentVolume")]
    assert found == [
        {"kind": "PersistentVolumeClaim", "name": "shared", "option": "artifact_store_existing_claim", "wanted": False, "required": True}
    ]  # fmt: skip


@pytest.mark.parametrize("source", variants.VOLUME)
def test_the_check_uses_the_volume_as_the_server_does(source: dict[str, Any]) -> None:
    connection = DECISIONS["volume_connection"](deployments.volume(**source))
    server = next(each for each in variants.of_server({"store": connection, "replicas": 2}) if each["kind"] == "Deployment")
    job = next(each for each in DECISIONS["volume_check"](deployments.volume(**source)) if each["kind"] == "Job")
    pods = [each["spec"]["template"]["spec"] for each in (server, job)]
    assert pods[0]["securityContext"] == pods[1]["securityContext"]
    assert pods[0]["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
    for part, name in (("containers", "artifacts"), ("volumes", "artifacts")):
        found = [
            next(each for each in (pod["containers"][0]["volumeMounts"] if part == "containers" else pod["volumes"]) if each["name"] == name)
            for pod in pods
        ]
        assert found[0] == found[1]
    environment = {each["name"]: each.get("value") for each in pods[0]["containers"][0]["env"]}
    assert (environment["MLFLOW_ARTIFACTS_DESTINATION"], environment["MLFLOW_SERVE_ARTIFACTS"]) == ("/mlflow/artifacts", "true")
    assert {"name": "artifacts", "mountPath": "/mlflow/artifacts", "readOnly": False} in pods[0]["containers"][0]["volumeMounts"]


def test_other_stores_leave_the_server_s_security_context_as_it_was() -> None:
    server = next(each for each in variants.of_server({}) if each["kind"] == "Deployment")
    assert "fsGroupChangePolicy" not in server["spec"]["template"]["spec"]["securityContext"]


def test_a_claim_is_checked_once_and_again_when_it_is_another() -> None:
    claim = {"metadata": {"uid": "1"}, "spec": {"storageClassName": "nfs-slow"}}
    asked = deployments.volume(claim=claim, storage_class="nfs-slow")
    first = DECISIONS["volume"](asked)
    assert first["is_checked"] is False
    recorded = {"recorded": {"resources": [{"metadata": first["record"]["metadata"]}]}}
    assert DECISIONS["volume"](asked | recorded)["is_checked"] is True
    assert DECISIONS["volume"](asked | recorded | {"probe": "print(1)\n"})["is_checked"] is False
    again = deployments.volume(claim=claim | {"metadata": {"uid": "2"}}, storage_class="nfs-slow")
    assert DECISIONS["volume"](again | recorded)["is_checked"] is False
    # Before the claim is there, as in check mode, nothing was checked.
    nothing = DECISIONS["volume"](deployments.volume(storage_class="nfs-slow"))
    assert (nothing["is_checked"], "annotations" in nothing["record"]["metadata"]) == (False, False)


def ended(text: str) -> dict[str, Any]:
    state = {"name": "check", "state": {"terminated": {"exitCode": 1, "message": text}}}
    return {"metadata": {"name": "check-1"}, "spec": {"nodeName": "b"}, "status": {"phase": "Failed", "containerStatuses": [state]}}


@pytest.mark.parametrize(("pods", "is_empty"), [([], False), ([ended('{"empty": true}')], True), ([ended('{"empty": false}')], False)])
def test_the_connection_says_whether_the_check_has_found_no_artifacts(pods: list[dict[str, Any]], is_empty: bool) -> None:
    assert DECISIONS["volume_connection"](deployments.volume(**EXPORT) | {"pods": pods})["is_empty"] is is_empty


@pytest.mark.parametrize(("given", "told"), [
    (EXPORT, []),
    ({"storage_class": "nfs-slow"}, []),
    ({"existing_claim": "shared"}, []),
    (EXPORT | {"image": ""}, ["artifact_store_image: nothing says in which image"]),
    ({}, ["nothing says where the volume comes from"]),
    (EXPORT | {"storage_class": "nfs-slow"}, ["artifact_store_nfs_server and artifact_store_storage_class are both set"]),
    ({"nfs_server": "nas.lan"}, ["artifact_store_nfs_path: is empty"]),
    ({"nfs_path": "/export"}, ["artifact_store_nfs_server: is empty"]),
    (EXPORT | {"nfs_path": "export"}, ["'export' is not absolute"]),
    (EXPORT | {"nfs_server": "nfs://nas.lan"}, ["'nfs://nas.lan' is not a host"]),
    (EXPORT | {"nfs_server": "nas.lan:/export"}, ["'nas.lan:/export' is not a host"]),
])
def test_variables_that_name_no_volume_or_several_are_refused(given: dict[str, Any], told: list[str]) -> None:
    found = DECISIONS["problems"](deployments.volume(**given) | {"is_on_kubernetes": True})
    assert len(found) == len(told)
    assert all(part in problem for part, problem in zip(told, found))


def test_the_embedded_server_is_told_of_the_folder() -> None:
    (found,) = DECISIONS["problems"](deployments.volume(**EXPORT) | {"is_on_kubernetes": False})
    assert "artifact_store_provider: folder" in found


BOUND: dict[str, Any] = {"volumeName": nfs.volume_name(STORE), "storageClassName": "", "accessModes": ["ReadWriteMany"]}


@pytest.mark.parametrize(("store", "claim", "part"), [
    (STORE, {}, ""),
    (STORE, {"spec": BOUND}, ""),
    (STORE, {"spec": BOUND | {"volumeName": "pvc-1"}}, "with volume pvc-1, which cannot be changed"),
    (CLASS, {"spec": {"storageClassName": "nfs-slow", "volumeName": "pvc-1"}}, ""),
    (CLASS, {"spec": {"storageClassName": "longhorn"}}, "with class 'longhorn', which cannot be changed"),
    (CLASS, {"spec": BOUND}, f"with volume {BOUND['volumeName']}, which cannot be changed"),
    (GIVEN, {"spec": {"accessModes": ["ReadWriteMany"]}}, ""),
    (GIVEN, {"spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Pending"}}, ""),
    (GIVEN, {"spec": {"accessModes": ["ReadOnlyMany"]}}, "it is for ReadOnlyMany"),
    (GIVEN, {"spec": {"accessModes": ["ReadWriteMany"], "volumeMode": "Block"}}, "it is a block device"),
    (GIVEN, {"spec": {"volumeName": "pvc-1"}, "status": {"phase": "Lost"}}, "has lost its volume pvc-1"),
    (GIVEN, {"metadata": {"deletionTimestamp": "2026-11-30T00:00:00Z"}}, "is being deleted"),
])
def test_a_claim_that_is_there_is_used_or_refused_before_anything_changes(store: ArtifactStore, claim: dict[str, Any], part: str) -> None:
    found = nfs_check.claim_problem(store, claim)
    assert part in found
    assert bool(found) is bool(part)


def report(error: str, step: str = "create", **more: Any) -> str:
    """What is said of a report of the check."""
    seen = {"user": 10001, "groups": [10001], "owner": 10001, "group": 10001, "mode": "2770", "read_only": False}
    pod = ended(json.dumps({"step": step, "error": error, "message": "x", **seen, **more}))
    return nfs_check.diagnosis(STORE, [pod], [], "BackoffLimitExceeded")


@pytest.mark.parametrize(("error", "more", "parts"), [
    ("EROFS", {}, ["cannot create a file", "read-only", "rw instead of ro"]),
    ("EACCES", {"read_only": True}, ["read-only", "rw instead of ro"]),
    ("EACCES", {"owner": 0, "group": 0, "mode": "755"}, ["belongs to 0:0 with mode 755", "chown 10001:10001 and chmod 2770"]),
    ("EACCES", {"owner": 65534, "group": 65534, "mode": "755"}, ["root_squash made nobody its owner", "all_squash,anonuid=65534,anongid=65534"]),
    ("EPERM", {"owner": 1000, "group": 1000, "mode": "755"}, ["fsGroup", "all_squash,anonuid=1000,anongid=1000"]),
    ("EACCES", {}, ["maps the user to another one", "anonuid=10001", "anongid=10001"]),
    ("EACCES", {"owner": 1000, "group": 10001, "mode": "2770"}, ["maps the user to another one"]),
    ("EACCES", {"owner": 1000, "group": 1000, "mode": "777"}, ["maps the user to another one", "anonuid=1000"]),
    ("EACCES", {"step": "list", "owner": -1}, ["cannot list its files", "owner cannot even be seen", "chmod o+x"]),
    ("ESTALE", {"step": "write"}, ["cannot write a file", "stale", "fsid="]),
    ("ENOSPC", {"step": "sync"}, ["cannot sync a file", "full"]),
    ("EDQUOT", {"step": "close"}, ["quota of user 10001"]),
    ("EIO", {}, ["failed or did not answer in time", "hard instead of soft"]),
    ("ETIMEDOUT", {}, ["did not answer in time"]),
    ("ENOTDIR", {"step": "list"}, ["is a file, not a folder"]),
    ("ENOENT", {"step": "read"}, ["gone at once"]),
    ("EINVAL", {"step": "rename"}, ["cannot rename a file", "answers 'x'"]),
    ("", {"step": "compare", "message": "3 bytes were read that differ from the 4 that were written"}, ["different data", "3 bytes were read"]),
])
def test_each_error_is_one_sentence_that_names_what_is_at_fault(error: str, more: dict[str, Any], parts: list[str]) -> None:
    found = report(error, **more)
    assert found.startswith(f"{NAMED}: MLflow's user 10001 ")
    assert [part for part in parts if part not in found] == []
    assert "\n" not in found


def test_nobody_is_told_to_map_everybody_to_root() -> None:
    assert "anonuid" not in report("EACCES", owner=0, group=0, mode="755")


def test_a_driver_that_does_not_change_the_owner_is_told_from_an_export() -> None:
    pod = ended(json.dumps({"step": "create", "error": "EACCES", "message": "", "owner": 0, "group": 0, "mode": "755", "groups": [10001]}))
    found = nfs_check.diagnosis(CLASS, [pod], [], "")
    assert found.startswith("artifact_store_storage_class: PersistentVolumeClaim mlflow-artifacts of class 'nfs-slow': ")
    assert "root_squash keeps Kubernetes from giving it the group" in found
    assert nfs_check.diagnosis(GIVEN, [pod], [], "").startswith("artifact_store_existing_claim: 'shared': ")


PENDING = {"metadata": {"name": "check-1"}, "spec": {"nodeName": "b"}, "status": {"phase": "Pending"}}
MOUNT = (
    'MountVolume.SetUp failed for volume "mlflow-nfs-0123456789" : mount failed: exit status 32\nMounting command: mount\nMounting arguments: -t nfs '
    "-o hard,nfsvers=4.1 nas.lan:/export/mlflow /var/lib/kubelet/pods/x/volumes/kubernetes.io~nfs/a\nOutput: "
)
HELPER = (
    "mount: /var/lib/kubelet/pods/x: bad option; for several filesystems (e.g. nfs, cifs) you might need a /sbin/mount.<type> helper program."
)
FS_GROUP = 'MountVolume.SetUp failed for volume "pvc-1" : applyFSGroup failed for vol nas#export#pvc-1: lchown /var/lib/x: operation not permitted'
WAITED = "Unable to attach or mount volumes: unmounted volumes=[artifacts], unattached volumes=[]: timed out waiting for the condition"


def event(message: str, last: str = "2026-11-30T09:00:00Z", reason: str = "FailedMount") -> dict[str, Any]:
    about = {"kind": "Pod", "name": "check-1"}
    return {"metadata": {}, "involvedObject": about, "reason": reason, "message": message, "lastTimestamp": last}


@pytest.mark.parametrize(("text", "parts"), [
    (MOUNT + "mount.nfs: access denied by server while mounting nas.lan:/export/mlflow", ["(mount.nfs: access denied by server", "add the node"]),
    (MOUNT + "mount.nfs: mounting nas.lan:/x failed, reason given by server: No such file or directory", ["has no such path"]),
    (MOUNT + HELPER, ["no NFS client", "nfs-common", "nfs-utils"]),
    (MOUNT + "mount: unknown filesystem type 'nfs'", ["no NFS client"]),
    (MOUNT + "mount.nfs: Connection timed out", ["(mount.nfs: Connection timed out)", "port 2049"]),
    (MOUNT + "mount.nfs: Connection refused", ["NFS server is up"]),
    (MOUNT + "mount.nfs: Failed to resolve server nas.lan: Name or service not known", ["check the NFS server's name"]),
    (MOUNT + "mount.nfs: requested NFS version or transport protocol is not supported", ["nfsvers"]),
    (MOUNT + "mount.nfs: Protocol not supported", ["nfsvers"]),
    (MOUNT + "mount.nfs: an incorrect mount option was specified", ["a mount option is wrong"]),
    (MOUNT + "mount.nfs: rpc.statd is not running but is required for remote locking.", ["nfsvers=4.1"]),
    (MOUNT + "mount.nfs: Stale file handle", ["fsid="]),
    (FS_GROUP, ["root_squash", "fsGroup", "2770", "no_root_squash"]),
    (FS_GROUP.replace("operation not permitted", "read-only file system"), ["rw instead of ro"]),
    ("kubernetes.io/csi: mounter.SetUpAt failed: driver name nfs.csi.k8s.io not found in the list of registered CSI drivers", ["CSI driver"]),
    (WAITED, ["port 2049"]),
])
def test_a_mount_that_fails_is_one_sentence_with_what_to_do_on_which_node_or_server(text: str, parts: list[str]) -> None:
    found = nfs_check.diagnosis(STORE, [PENDING], [event(text)], "timeout")
    assert found.startswith(f"{NAMED}: node b cannot mount it (")
    assert [part for part in parts if part not in found] == []
    assert "Mounting arguments" not in found


def test_what_mount_said_comes_before_what_the_kubelet_says_later() -> None:
    events = [event(MOUNT + "mount.nfs: Connection refused"), event(WAITED, "2026-11-30T09:02:00Z")]
    assert "(mount.nfs: Connection refused)" in nfs_check.diagnosis(STORE, [PENDING], events, "timeout")


def test_what_is_no_fault_of_the_volume_stays_what_the_wait_has_said() -> None:
    unscheduled = {"metadata": {"name": "check-1"}, "spec": {}, "status": {"phase": "Pending"}}
    for pods in ([], [unscheduled], [ended("Traceback")]):
        assert nfs_check.diagnosis(STORE, pods, [], "no node has room") == f"{NAMED}: the check of the volume failed: no node has room"


def test_a_server_that_hangs_is_said_to_hang() -> None:
    running = {"metadata": {"name": "check-1"}, "spec": {"nodeName": "b"}, "status": {"phase": "Running"}}
    assert "the NFS server no longer answers" in nfs_check.diagnosis(STORE, [running], [], "timeout")


def test_a_removal_takes_the_volume_of_an_export_and_no_other() -> None:
    made = [each for source in variants.VOLUME[:2] for each in DECISIONS["volume"](deployments.volume(**source))["objects"]]
    mine = [
        {"api_version": "v1", "kind": each["kind"], "name": metadata["name"], "instance": metadata["labels"]["app.kubernetes.io/instance"]}
        for each in made
        if (metadata := each["metadata"]) and each["kind"] == "PersistentVolumeClaim"
    ]
    others = [{"api_version": "v1", "kind": "PersistentVolumeClaim", "name": "data-postgresql-0", "instance": "postgresql"}]
    decided = KUBERNETES["removal"]({"name": "mlflow", "owned": {"namespace": "own", "owned": [*mine, *others], "foreign": []}})
    volumes = [each["name"] for each in decided["absent"] if each["kind"] == "PersistentVolume"]
    assert volumes == [nfs.volume_name(ArtifactStore(nfs_server="nas.example.com", nfs_path="/export/mlflow"))]
    assert f"to be removed: PersistentVolume {volumes[0]}, but not the files of its NFS export" in decided["lines"]
