# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Why MLflow cannot use a volume, in one sentence that says which option of the export is at fault, and the remedy. No I/O.

A volume that cannot be mounted is told by the events of a pod, one that cannot be used by what roles/artifact_store/files/probe.py reports.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import nfs
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.artifact_store import ArtifactStore
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import USER
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.known_failures import remedy_for
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.pod_trouble import containers, events_of, newest, one_line

#: The user that servers map to, and are mapped to, by default.
_NOBODY = frozenset({65534, 4294967294})
_MODE_OF_OTHERS, _MODE_OF_GROUP, _MODE_OF_OWNER = 0o003, 0o030, 0o300
#: How an error reads, with the remedy, where it does not depend on whose the folder is.
_ERRORS: Mapping[str, str] = {
    "EROFS": "the export is read-only: export it with rw instead of ro, or mount it without ro",
    "ESTALE": (
        "its file handle is stale, since the exported folder was replaced while it was mounted: export it with a fixed fsid=, end the pods that have "
        "it mounted, and run again"
    ),
    "ENOSPC": "it is full: free space on the NFS server, or enlarge the exported file system",
    "EDQUOT": f"the quota of user {USER} on the NFS server is used up: raise it, or free space",
    "EIO": "the NFS server failed or did not answer in time: check the server and its log, and mount with hard instead of soft",
    "ETIMEDOUT": "the NFS server did not answer in time: check the server and the network, and mount with hard instead of soft",
    "ENOTDIR": "it is a file, not a folder: correct artifact_store_nfs_path",
    "ENOENT": "what was written was gone at once, so something else cleans up there: give MLflow a folder of its own",
}  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What probe.py says of a step that failed; -1 is what it could not see."""

    step: str
    error: str
    message: str = ""
    user: int = USER
    groups: Sequence[int] = ()
    owner: int = -1
    group: int = -1
    mode: str = "0"
    read_only: bool = False

    @property
    def may_write(self) -> bool:
        """Whether the folder's mode lets the user create files."""
        bits = int(self.mode, 8)
        if self.user == self.owner:
            return bits & _MODE_OF_OWNER == _MODE_OF_OWNER
        if self.group in self.groups:
            return bits & _MODE_OF_GROUP == _MODE_OF_GROUP
        return bits & _MODE_OF_OTHERS == _MODE_OF_OTHERS


def message(pod: Mapping[str, Any]) -> dict[str, Any]:
    r"""Return what the check's container has reported when it ended; {} if it has not, or if that is no report.

    >>> ended = {"state": {"terminated": {"message": 'Traceback\n{"empty": true}'}}}
    >>> message({"status": {"containerStatuses": [ended]}}), message({"status": {}})
    ({'empty': True}, {})
    """
    texts = [((state.get("state") or {}).get("terminated") or {}).get("message") or "" for state, _is_init in containers(pod)]
    for line in reversed("\n".join(texts).splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return {}


def problem(given: ArtifactStore, report: Report) -> str:
    """Return what is wrong with the volume that the check could mount but not use."""
    what = f"cannot {report.step} a file in it" if report.step != "list" else "cannot list its files"
    return f"{_named(given)}: MLflow's user {report.user} {what} ({report.error or 'different data'}), because {_cause(given, report)}"


def _cause(given: ArtifactStore, report: Report) -> str:
    if report.step == "compare":
        return f"{report.message}: mount it without caching options such as nocto, and check the NFS server"
    if report.read_only:
        return _ERRORS["EROFS"]
    if report.error in ("EACCES", "EPERM"):
        return _refused(given, report)
    known = _ERRORS.get(report.error)
    return known or f"the NFS server answers '{report.message}': check its log, and the mount options"


def _refused(given: ArtifactStore, report: Report) -> str:
    """Why the server refuses, from whose the folder is."""
    whose = f"belongs to {report.owner}:{report.group} with mode {report.mode}"
    own = f"chown {report.user}:{report.user} and chmod 2770 the folder on the NFS server"
    if report.owner < 0:
        return f"its owner cannot even be seen: {own}, and let others pass through the folders above it (chmod o+x)"
    if report.may_write:
        # Its mode says yes, so the server takes the user for another.
        return (
            f"the export maps the user to another one, although the folder {whose}: with all_squash, set anonuid={report.owner} and "
            f"anongid={report.group}, or export without all_squash"
        )
    why = "root_squash keeps Kubernetes from giving it the group of the pod (fsGroup)"
    if nfs.is_export(given):
        why = "Kubernetes gives an export no other owner (fsGroup)"
    if report.owner in _NOBODY or report.group in _NOBODY:
        why = "root_squash made nobody its owner"
    # To map everybody to root would be worse than what is wrong.
    mapped = f", or export it with all_squash,anonuid={report.owner},anongid={report.group}" if report.owner and report.group else ""
    return f"it {whose}, and {why}: {own}{mapped}"


def unmounted(given: ArtifactStore, pod: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> str:
    """Return what is wrong with a volume that a node could not mount, from the events of the pod; empty if they say nothing of it."""
    about = events_of("Pod", pod["metadata"]["name"], events)
    # The kubelet repeats in general terms what mount has said.
    said = newest([event for event in about if "timed out waiting" not in (event.get("message") or "")], "FailedMount", "FailedAttachVolume")
    text = said or newest(about, "FailedMount", "FailedAttachVolume")
    if not text:
        return ""
    node = f"node {pod['spec']['nodeName']}" if (pod.get("spec") or {}).get("nodeName") else "a node"
    remedy = remedy_for(text) or "check that the NFS server is up, and that its port 2049 can be reached from all nodes"
    return f"{_named(given)}: {node} cannot mount it ({_short(text)}): {remedy}"


def _short(text: str) -> str:
    """Return what mount said, without the command that the kubelet ran.

    >>> _short('MountVolume.SetUp failed for volume "a" : mount failed: exit status 32 Mounting command: mount Mounting arguments: -t nfs nas:/a /b '
    ...     'Output: mount.nfs: access denied by server while mounting nas:/a')
    'mount.nfs: access denied by server while mounting nas:/a'
    """
    return re.sub(r"^.*\bOutput: ", "", re.sub(r'^MountVolume\.\w+ failed for volume "[^"]*" : ', "", one_line(text)))


def _named(given: ArtifactStore) -> str:
    """The volume, as its variable calls it."""
    if given.existing_claim:
        return f"artifact_store_existing_claim: '{given.existing_claim}'"
    if nfs.is_export(given):
        return f"artifact_store_nfs_path: '{given.nfs_server}:{given.nfs_path}'"
    return f"artifact_store_storage_class: PersistentVolumeClaim {given.name} of class '{given.storage_class}'"


def diagnosis(given: ArtifactStore, pods: Iterable[Mapping[str, Any]], events: Sequence[Mapping[str, Any]], otherwise: str) -> str:
    """Return why the check failed: what it reported, why it could not start, or what the wait for it said."""
    for pod in pods:
        found = message(pod)
        if "step" in found:
            return problem(given, Report(**{name: value for name, value in found.items() if name in Report.__dataclass_fields__}))
        if pod["status"].get("phase") == "Pending" and (told := unmounted(given, pod, events)):
            return told
        if pod["status"].get("phase") == "Running":
            return (
                f"{_named(given)}: a file operation does not end, because the NFS server no longer answers: check that it is up, and that its port "
                "2049 can be reached from all nodes"
            )
    return f"{_named(given)}: the check of the volume failed: {otherwise}"


def claim_problem(given: ArtifactStore, claim: Mapping[str, Any]) -> str:
    """Return why a claim that is there cannot be used, with the remedy; empty if it can, or if there is none."""
    spec, name = claim.get("spec") or {}, nfs.claim_name(given)
    if not claim:
        return ""
    if (claim.get("metadata") or {}).get("deletionTimestamp"):
        return f"{_named(given)}: PersistentVolumeClaim {name} is being deleted; wait until it is gone, or end the pods that still use it"
    if (claim.get("status") or {}).get("phase") == "Lost":
        return f"{_named(given)}: PersistentVolumeClaim {name} has lost its volume {spec.get('volumeName')}; restore it, or choose another claim"
    if given.existing_claim:
        modes = [str(mode) for mode in spec.get("accessModes") or ()]
        if not {"ReadWriteMany", "ReadWriteOnce"} & {*modes} or spec.get("volumeMode") == "Block":
            what = "a block device" if spec.get("volumeMode") == "Block" else f"for {' and '.join(modes)}"
            return f"{_named(given)}: it is {what}, but MLflow's pods write files to it; choose one with the access mode ReadWriteMany"
        return ""
    wanted = nfs.volume_name(given) if nfs.is_export(given) else ""
    has = f"volume {spec.get('volumeName')}" if wanted or not spec.get("storageClassName") else f"class '{spec['storageClassName']}'"
    if (wanted and spec.get("volumeName") != wanted) or (not wanted and spec.get("storageClassName") != given.storage_class):
        return (
            f"{_named(given)}: PersistentVolumeClaim {name} is there already, with {has}, which cannot be changed; nothing was changed. Set the "
            "variables back, or choose another artifact_store_name and copy the files"
        )
    return ""
