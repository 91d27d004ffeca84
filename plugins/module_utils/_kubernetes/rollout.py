# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Whether Kubernetes workloads are rolled out, and if not, why, derived from objects in the API. No I/O.

The state of the cluster is one dictionary: ``objects`` by ``KIND/NAME`` (None if it does not exist), the lists
``replica_sets``, ``pods``, ``events`` and ``claims`` of the namespace, and ``now``, its clock in seconds since 1970.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes import cloudnative_pg, external_secrets
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.known_failures import remedy_for
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.pod_trouble import (
    Object,
    Scene,
    Trouble,
    containers,
    events_of,
    is_ready,
    newest,
    one_line,
    pod_trouble,
    waiting_reason,
)
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.public_name import policy_state, route_state
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption

_REVISION = "deployment.kubernetes.io/revision"
#: Lines of a stack trace: Python's frames and their introductions, Go's goroutines.
_TRACE = re.compile(r"^(\s|$|Traceback |goroutine |created by |[\w./()*-]+\.go:\d+|The above exception|During handling)")
_LOG_LINES = 12
#: How long a controller may fail to create pods, in seconds; it may just not have tried again yet.
GRACE = 15


@dataclass(frozen=True)
class Verdict:
    """The verdict on one workload.

    ``state`` is ``done``, ``waiting`` or ``failed``, ``count`` its progress, ``reason`` the cause, ``remedy`` the remedy.
    ``log`` identifies the log that tells more: pod, container, and whether it is that of the previous run. ``stale_pods`` are
    in back-off for an earlier failure.
    """

    title: str
    state: str
    count: str = ""
    reason: str = ""
    remedy: str = ""
    log: tuple[str, str, bool] | None = None
    stale_pods: tuple[str, ...] = ()


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for invalid times.

    >>> check_options({"timeout": 0, "interval": 0, "waited": 0})
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: timeout: 0 is too short; give 1 or more seconds
    """
    for option, least in (("timeout", 1), ("interval", 0), ("waited", 0)):
        if params[option] < least:
            raise InvalidOption(option, params[option], "is too short", f"give {least} or more seconds")


def verdicts(rollouts: Iterable[Mapping[str, str]], seen: Mapping[str, Any], waited: float = 0) -> list[Verdict]:
    """Return one verdict per workload, in the order of ``rollouts``, each a ``kind`` and a ``name``; ``waited`` is in seconds."""
    return [_verdict(rollout["kind"], rollout["name"], seen, waited) for rollout in rollouts]


def progress(found: Iterable[Verdict]) -> str:
    """Return what the wait is still for, on one line; empty if it is over.

    >>> progress([Verdict("Deployment a", "done"), Verdict("Job b", "waiting", "0 of 1 complete", "pod b-1: Pending")])
    'Job b: 0 of 1 complete, pod b-1: Pending'
    """
    return "; ".join(f"{one.title}: {', '.join(part for part in (one.count, one.reason) if part)}" for one in found if one.state != "done")


def culprit(found: Sequence[Verdict], timed_out: bool) -> Verdict | None:
    """Return the workload to give up on, if any: the first that failed, or is not done at the timeout."""
    failed = [verdict for verdict in found if verdict.state == "failed"]
    late = [verdict for verdict in found if verdict.state != "done"] if timed_out else []
    return next(iter(failed + late), None)


def stale_pods(found: Iterable[Verdict]) -> list[str]:
    """Return the pods in back-off for a failure before this wait began."""
    return [pod for verdict in found for pod in verdict.stale_pods]


def ready_pods(rollouts: Iterable[Mapping[str, str]], seen: Mapping[str, Any]) -> list[str]:
    """Return the names of the rollouts' pods that are ready, newest first."""
    there = [(one["kind"], seen["objects"].get(f"{one['kind']}/{one['name']}")) for one in rollouts if one["kind"] not in ACCEPTED]
    return [pod["metadata"]["name"] for kind, workload in there if workload for pod in _pods(kind, workload, seen) if is_ready(pod)]


def failure(verdict: Verdict, waited: int, log: str) -> str:
    """Return the message for a workload given up after ``waited`` seconds. ``log`` is the end of its log.

    A log that only repeats the reason is not shown.
    """
    lines = tail(log)
    state = "failed" if verdict.state == "failed" else f"was not done ({verdict.count})"
    first = f"{verdict.title} {state} after {waited} seconds: {verdict.reason or 'Kubernetes gives no reason'}"
    remedy = remedy_for("\n".join(lines)) or verdict.remedy
    head = f"{first}; {remedy}" if remedy else first
    if not verdict.log or all(line in verdict.reason for line in lines):
        return head
    return "\n".join([head, f"The end of the log of container {verdict.log[1]}:", *(f"  {line}" for line in lines)])


def tail(log: str) -> list[str]:
    r"""Return the last lines of a log, without stack traces and without passwords in URLs.

    >>> tail("starting\nTraceback (most recent call last):\n  File 'x.py', line 1\nOSError: no\n")
    ['starting', 'OSError: no']
    """
    return [one_line(line) for line in log.splitlines() if not _TRACE.match(line)][-_LOG_LINES:]


def _verdict(kind: str, name: str, seen: Mapping[str, Any], waited: float) -> Verdict:
    title, workload = f"{kind} {name}", seen["objects"].get(f"{kind}/{name}")
    if workload is None:
        place = "cluster" if kind == "ClusterSecretStore" else "namespace"
        return Verdict(title, "failed", reason=f"there is none in the {place}", remedy=f"check its name and the {place}")
    if kind in ACCEPTED:
        return Verdict(title, *ACCEPTED[kind](workload, waited))
    if kind in external_secrets.KINDS:
        return Verdict(title, *external_secrets.progress(kind, workload, seen["events"], seen["now"], waited))
    pods = _pods(kind, workload, seen)
    done, count = JUDGES[kind](workload) if kind in JUDGES else cloudnative_pg.state(kind, workload, pods)
    if done:
        return Verdict(title, "done", count)
    scene = Scene(seen["events"], {claim["metadata"]["name"]: claim for claim in seen["claims"]}, seen["now"], seen["now"] - waited)
    late = [pod for pod in pods if not is_ready(pod) and pod["status"].get("phase") != "Succeeded"]
    troubled = [(pod["metadata"]["name"], trouble) for pod in late if (trouble := pod_trouble(pod, scene))]
    own = _own_trouble(kind, workload, scene, bool(pods))
    if not troubled:
        return _slow(title, count, late, own)
    pod, trouble = sorted(troubled, key=lambda pair: not pair[1].hopeless)[0]
    # The Job itself limits how often its pods may fail, unless they do not run at all.
    hopeless = trouble.hopeless and (kind != "Job" or not trouble.container)
    failed = hopeless or (own is not None and own.hopeless)
    reason = ": ".join([*([own.what] if own else []), f"pod {pod}", trouble.what])
    log = (pod, trouble.container, trouble.previous) if trouble.container else None
    stale = tuple(name for name, each in troubled if each.stale and kind != "Job")
    return Verdict(title, "failed" if failed else "waiting", count, reason, trouble.remedy or (own.remedy if own else ""), log, stale)


def _slow(title: str, count: str, pods: Sequence[Object], own: Trouble | None) -> Verdict:
    """The verdict on a workload whose pods have no problem."""
    if own:
        return Verdict(title, "failed" if own.hopeless else "waiting", count, own.what, own.remedy)
    if not pods:
        return Verdict(title, "waiting", count)
    name = pods[0]["metadata"]["name"]
    running = [state["name"] for state, _is_init in containers(pods[0]) if (state.get("state") or {}).get("running")]
    return Verdict(title, "waiting", count, f"pod {name}: {_phase(pods[0])}", log=(name, running[0], False) if running else None)


def _phase(pod: Object) -> str:
    reason = next((reason for state, _is_init in containers(pod) if (reason := waiting_reason(state))), "")
    return reason or ("not ready yet" if pod["status"].get("phase") == "Running" else str(pod["status"].get("phase", "Pending")))


# Workloads


def _deployment(workload: Object) -> tuple[bool, str]:
    wanted, status = workload["spec"].get("replicas", 1), workload["status"]
    updated, available, total = (status.get(key, 0) for key in ("updatedReplicas", "availableReplicas", "replicas"))
    if not _is_observed(workload):
        return False, f"0 of {wanted} ready"
    old = f", {total - updated} old ones still running" if total > updated else ""
    return updated >= wanted and available >= wanted and total == updated, f"{min(available, updated)} of {wanted} ready{old}"


def _stateful_set(workload: Object) -> tuple[bool, str]:
    wanted, status = workload["spec"].get("replicas", 1), workload["status"]
    # With OnDelete, pods stay as they are until someone deletes them.
    by_hand = workload["spec"].get("updateStrategy", {}).get("type") == "OnDelete"
    is_same = by_hand or status.get("updateRevision") == status.get("currentRevision")
    right = wanted if is_same else status.get("updatedReplicas", 0)
    ready = min(right, status.get("readyReplicas", 0), status.get("availableReplicas", 0)) if _is_observed(workload) else 0
    return _is_observed(workload) and ready >= wanted, f"{ready} of {wanted} ready"


def _daemon_set(workload: Object) -> tuple[bool, str]:
    status = workload["status"]
    wanted = status.get("desiredNumberScheduled", 0)
    ready = min(status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0))
    return _is_observed(workload) and ready >= wanted, f"{ready} of {wanted} ready"


def _job(workload: Object) -> tuple[bool, str]:
    wanted, succeeded = workload["spec"].get("completions") or 1, workload["status"].get("succeeded", 0)
    return _condition(workload, "Complete") is not None, f"{succeeded} of {wanted} complete"


#: The kinds of workloads that can be waited for, each with a function that returns whether one is done, and its progress.
JUDGES = {"Deployment": _deployment, "StatefulSet": _stateful_set, "DaemonSet": _daemon_set, "Job": _job}
#: The kinds that have no pods, and are accepted by Gateways.
ACCEPTED = {"HTTPRoute": route_state, "SecurityPolicy": policy_state, "BackendTrafficPolicy": policy_state}
#: All kinds that can be waited for.
KINDS = [*JUDGES, *ACCEPTED, *cloudnative_pg.KINDS, *external_secrets.KINDS]


def _is_observed(workload: Object) -> bool:
    """Whether the status is about the current generation."""
    return bool(workload["status"].get("observedGeneration", 0) >= workload["metadata"].get("generation", 0))


def _condition(workload: Object, kind: str, status: str = "True") -> Object | None:
    return next((one for one in workload["status"].get("conditions") or () if (one["type"], one["status"]) == (kind, status)), None)


def _own_trouble(kind: str, workload: Object, scene: Scene, has_pods: bool) -> Trouble | None:
    """Return the problem that the workload or its controller reports."""
    if kind in cloudnative_pg.KINDS:
        return cloudnative_pg.trouble(kind, workload, scene)
    failed = _condition(workload, "Failed") if kind == "Job" else None
    if failed:
        text = one_line(failed.get("message"))
        # A pod that is gone tells no reason.
        gone = "" if has_pods else "its pod was deleted before it was done: run again, which starts another"
        return Trouble(f"{failed.get('reason', 'Failed')}, {text}", remedy_for(text) or gone, True)
    stuck = _condition(workload, "ReplicaFailure") if kind == "Deployment" else None
    text = one_line(stuck.get("message")) if stuck and _is_observed(workload) else ""
    if not has_pods:
        text = text or newest(events_of(kind, workload["metadata"]["name"], scene.events), "FailedCreate")
    hopeless = "forbidden" in text and scene.now - scene.since > GRACE
    return Trouble(f"its pods cannot be created: {text}", remedy_for(text), hopeless) if text else None


def _pods(kind: str, workload: Object, seen: Mapping[str, Any]) -> list[Object]:
    """Return the pods of the current revision, newest first; those of an earlier one only if there are no others."""
    owners, current = {workload["metadata"]["uid"]}, ""
    if kind == "Deployment":
        number = workload["metadata"].get("annotations", {}).get(_REVISION)
        sets = [one for one in seen["replica_sets"] if _is_owned(one, owners)]
        owners = {one["metadata"]["uid"] for one in sets if one["metadata"].get("annotations", {}).get(_REVISION) == number}
    if kind == "StatefulSet":
        current = workload["status"].get("updateRevision", "")
    of_cluster = kind == "Cluster"
    pods = [pod for pod in seen["pods"] if (cloudnative_pg.is_of(pod, workload) if of_cluster else _is_owned(pod, owners))]
    pods = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    pods.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp")), reverse=True)
    return [pod for pod in pods if pod["metadata"].get("labels", {}).get("controller-revision-hash", "") == current] or pods if current else pods


def _is_owned(thing: Object, owners: set[str]) -> bool:
    return any(reference["uid"] in owners for reference in thing["metadata"].get("ownerReferences", ()))
