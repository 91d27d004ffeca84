# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Whether CloudNativePG has done what its Clusters and Databases say, and if not, why. No I/O.

The API: https://cloudnative-pg.io/documentation/current/cloudnative-pg.v1/
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.pod_trouble import Scene, Trouble, one_line, seconds

Object = Mapping[str, Any]

KINDS = ("Cluster", "Database")
#: The label of all pods of a Cluster, and that of those that run PostgreSQL.
_OF_CLUSTER, _ROLE = "cnpg.io/cluster", "cnpg.io/podRole"
_HEALTHY = "Cluster in healthy state"
#: How long a failure may be a passing one, in seconds.
GRACE = 15
#: The phases that no waiting ends, and what to do.
_FINAL = {
    "Cluster is unrecoverable and needs manual intervention": "restore it from its backup into another Cluster",
    "Waiting for user action": "its primaryUpdateStrategy is supervised: let its primary restart or switch over (kubectl cnpg restart)",
    "Cluster has incomplete or invalid image catalog": "correct its image catalog",
    "Cluster cannot proceed to reconciliation due to an unknown plugin being required": "install the plugin, or take it out of the Cluster",
    "Cluster cannot execute instance online upgrade due to missing architecture binary": "use an operator image for the architecture of its nodes",
    "Unable to create required cluster objects": "correct what it names, and see the operator's log",
}
_OPERATOR = "check that its operator runs: kubectl get pods --all-namespaces --selector app.kubernetes.io/name=cloudnative-pg"


def is_of(pod: Object, cluster: Object) -> bool:
    """Whether the pod is one of the Cluster's: an instance, or a Job's that makes one.

    >>> is_of({"metadata": {"labels": {"cnpg.io/cluster": "db"}}}, {"metadata": {"name": "db"}})
    True
    """
    return bool((pod["metadata"].get("labels") or {}).get(_OF_CLUSTER) == cluster["metadata"]["name"])


def state(kind: str, thing: Object, pods: Sequence[Object]) -> tuple[bool, str]:
    """Return whether it is done, and its progress. ``pods`` are those of a Cluster."""
    return _database(thing) if kind == "Database" else _cluster(thing, pods)


def _cluster(cluster: Object, pods: Sequence[Object]) -> tuple[bool, str]:
    """A Cluster does not say which generation its status is about. So it is done only once its pods have its image."""
    spec, status = cluster["spec"], cluster.get("status") or {}
    wanted, ready = spec.get("instances", 1), status.get("readyInstances", 0)
    is_ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ())
    instances = [pod for pod in pods if pod["metadata"]["labels"].get(_ROLE) == "instance" and not pod["metadata"].get("deletionTimestamp")]
    images = {each["image"] for pod in instances for each in pod["spec"]["containers"] if each["name"] == "postgres"}
    has_image = not spec.get("imageName") or images == {spec["imageName"]}
    done = status.get("phase") == _HEALTHY and is_ready and ready >= wanted and has_image and not _missing_roles(cluster)
    return done, f"{ready} of {wanted} ready" + ("" if done or not status.get("phase") else f", {status['phase']}")


def _missing_roles(cluster: Object) -> list[str]:
    """The roles that the deployment has added, and that are not there yet."""
    there = ((cluster.get("status") or {}).get("managedRolesStatus") or {}).get("byStatus") or {}
    return [name for name in _own_roles(cluster) if name not in (there.get("reconciled") or ())]


def _own_roles(cluster: Object) -> list[str]:
    """The names of the roles whose password is in the deployment's Secret."""
    roles, secret = (cluster["spec"].get("managed") or {}).get("roles") or (), f"{cluster['metadata']['name']}-user"
    return [role["name"] for role in roles if (role.get("passwordSecret") or {}).get("name") == secret]


def _database(database: Object) -> tuple[bool, str]:
    status = database.get("status") or {}
    done = status.get("applied") is True and status.get("observedGeneration") == database["metadata"].get("generation")
    return done, "applied" if done else "not applied yet"


def trouble(kind: str, thing: Object, scene: Scene) -> Trouble | None:
    """Return the problem that CloudNativePG reports."""
    status, late = thing.get("status") or {}, scene.now - scene.since > GRACE
    return _database_trouble(thing, status) if kind == "Database" else _cluster_trouble(thing, status, scene, late)


def _cluster_trouble(cluster: Object, status: Object, scene: Scene, late: bool) -> Trouble | None:
    phase, reason = status.get("phase") or "", one_line(status.get("phaseReason"))
    name = cluster["metadata"]["name"]
    if not phase:
        is_old = scene.now - max(scene.since, seconds(cluster["metadata"].get("creationTimestamp"))) > GRACE
        return Trouble("CloudNativePG has not acted on it", _OPERATOR) if is_old else None
    if phase in _FINAL:
        return Trouble(f"{phase}{f': {reason}' if reason else ''}", _FINAL[phase], late)
    if any(each["type"] == "cnpg.io/hibernation" and each["status"] == "True" for each in status.get("conditions") or ()):
        return Trouble("it is hibernated", f"wake it: kubectl annotate cluster {name} cnpg.io/hibernation=off --overwrite", True)
    refused = (status.get("managedRolesStatus") or {}).get("cannotReconcile") or {}
    for role in _own_roles(cluster):
        if role in refused:
            return Trouble(f"role {role}: {one_line('; '.join(refused[role]))}", "correct postgresql_user, or drop what holds the role", late)
    return None


def _database_trouble(database: Object, status: Object) -> Trouble | None:
    text = one_line(status.get("message"))
    if status.get("applied") is not False or not text:
        return None
    name = database["spec"].get("name")
    if "already managed" in text:
        remedy = "delete the other Database object, if its databaseReclaimPolicy is retain, or choose another name"
        return Trouble(f"database {name}: {text}", remedy, True)
    return Trouble(f"database {name}: {text}")
