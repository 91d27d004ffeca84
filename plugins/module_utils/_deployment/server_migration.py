# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Whether a server's schema must be migrated, what has been lost, and what serves when a migration fails. No I/O."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import Deployed
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.pod_trouble import is_ready


def ready(pods: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of the pods that are ready.

    >>> ready([{"metadata": {"name": "a"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}, {"metadata": {"name": "b"}}])
    ['a']
    """
    return [pod["metadata"]["name"] for pod in pods if is_ready(pod)]


def is_done(deployed: Deployed, pods: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]) -> bool:
    """Return whether the schema is the image's. ``asked`` is the result of asking for its state in a pod, or {} where none could be asked.

    A server may not become ready because the schema is not the one that it expects.
    """
    is_served = not pods or bool(ready(pods))
    is_current = asked.get("rc", 0) == 0 and asked.get("stdout", "current") in ("current", "unreachable")
    return deployed.follows_migration and is_served and is_current


def may_ask(deployed: Deployed) -> bool:
    """Return whether a pod that is there knows the schema that the server will expect."""
    return deployed.follows_migration or deployed.found.image == deployed.image


def state(asked: Mapping[str, Any]) -> str:
    """Return what a pod has said of the schema, ``""`` where none was asked, or what it says is to be looked at by a Job, which gives the reason.

    >>> state({"rc": 0, "stdout": "old"}), state({"rc": 0, "stdout": "unreachable"}), state({"rc": 1, "stdout": "newer"}), state({})
    ('old', '', '', '')
    """
    said = str(asked.get("stdout", ""))
    return said if asked.get("rc") == 0 and said in ("current", "fresh", "old") else ""


def losses(deployed: Deployed, asked: Mapping[str, Any], models: Mapping[str, Any]) -> list[str]:
    """Return what is missing in a deployment that has served with the same database and image.

    ``models`` is what the server answers when it is asked for models, which it is if its bucket is empty.
    """
    found = []
    # One that has no users yet is about to have a schema for them.
    if deployed.cluster.has_data and deployed.follows_migration and asked.get("stdout") == "fresh":
        found.append(f"database {deployed.database.database} no longer has the MLflow schema")
    if (models.get("json") or {}).get("model_versions"):
        found.append(f"{deployed.store.destination} is empty, although the database has models")
    return found


def must_stop(deployed: Deployed, asked: Mapping[str, Any], checked: Sequence[Mapping[str, Any]], check_mode: bool) -> bool:
    """Return whether the server stops for the migration, which a pod has said, or the Job, whose pods are ``checked``.

    In check mode there is no Job, and a new image is assumed to have a new schema.
    """
    if not deployed.found.replicas:
        return False
    if said := state(asked):
        return said == "old"
    statuses = (checked[0].get("status") or {}).get("containerStatuses") if checked else []
    ended = ((statuses or [{}])[0].get("state") or {}).get("terminated") or {}
    return check_mode or ended.get("message") == "old"


def what_serves(deployed: Deployed, was_stopped: bool, started: Mapping[str, Any]) -> str:
    """Return what serves after a migration that failed; ``started`` is the result of starting the previous server again."""
    before = f"the previous server, {deployed.found.image}"
    if not deployed.found.replicas:
        return "no server was started"
    if not was_stopped:
        return f"{before}, is still serving"
    if "msg" not in started:
        return f"{before}, is serving again"
    return f"{before}, was started again but is not ready: {started['msg']}"


def endless_jobs(deployed: Deployed, jobs: Iterable[Mapping[str, Any]]) -> list[Object]:
    """Return earlier migrations that nothing removes: those of earlier versions of this collection have no end."""
    kept = (deployed.migration, deployed.check)
    names = [job["metadata"]["name"] for job in jobs if "ttlSecondsAfterFinished" not in job["spec"]]
    return [{"api_version": "batch/v1", "kind": "Job", "name": name} for name in names if name not in kept]
