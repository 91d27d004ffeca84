# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Why a pod is not ready, derived from the pod, its events and its volume claims in the Kubernetes API. No I/O."""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.known_failures import remedy_for

Object = Mapping[str, Any]

#: How many restarts of a container to tolerate; the back-off is then 40 seconds, and doubles with each further one
#: (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy).
_RESTARTS = 3
#: How many out-of-memory kills to tolerate.
_KILLS = 2
#: How long a pod may wait for a node or a mount, in seconds; old pods terminate within this time.
_GRACE = 60
#: Events this many seconds before the wait began still belong to the run.
_RECENT = 15
#: Registry errors that a retry does not fix.
_PULL_FINAL = re.compile(r"not found|manifest unknown|unauthorized|denied|forbidden|invalid reference|no match for platform", re.I)
_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})
#: What a retry does not fix of a mount.
_MOUNT_FINAL = re.compile(
    r"not found|access denied by server while mounting|reason given by server: no such file|mount\.<type> helper|unknown filesystem type '?nfs|"
    r"mount\.nfs.*incorrect mount option|applyfsgroup failed",
    re.I,
)
#: What ends a container from outside, by its exit code.
_SIGNALS = {137: "SIGKILL", 143: "SIGTERM"}
_CONFIG = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


@dataclass(frozen=True)
class Trouble:
    """Why a pod is not ready. ``what`` is a clause for a message; ``hopeless`` says that waiting does not help.

    ``container`` is the one whose log tells more, from its previous run if ``previous``; empty if no log does.
    ``stale`` means that Kubernetes is in back-off for a failure before this wait began.
    """

    what: str
    remedy: str = ""
    hopeless: bool = False
    container: str = ""
    previous: bool = False
    stale: bool = False


@dataclass(frozen=True)
class Scene:
    """The context of a pod: the namespace's ``events`` and its ``claims`` by name.

    ``now`` and ``since``, when the wait began, are in seconds since 1970.
    """

    events: Sequence[Object]
    claims: Mapping[str, Object]
    now: float
    since: float


def pod_trouble(pod: Object, scene: Scene) -> Trouble | None:
    """Return the worst problem of ``pod``; None if it is just starting."""
    status, events = pod["status"], events_of("Pod", pod["metadata"]["name"], scene.events)
    if status.get("phase") == "Failed" and status.get("reason") == "Evicted":
        text = one_line(status.get("message", ""))
        return Trouble(f"was evicted: {text}", remedy_for(text))
    is_new = seconds(pod["metadata"].get("creationTimestamp")) >= scene.since - _RECENT
    found = [trouble for state, is_init in containers(pod) if (trouble := _container_trouble(state, is_init, events, scene, is_new))]
    if found:
        return sorted(found, key=lambda trouble: not trouble.hopeless)[0]
    return _unscheduled(pod, scene) or _unmounted(pod, events, scene) or _unhealthy(pod, events)


def containers(pod: Object) -> Iterator[tuple[Object, bool]]:
    """Return the state of each container, and whether it is an init container."""
    for key in ("initContainerStatuses", "containerStatuses"):
        for state in pod["status"].get(key) or ():
            yield state, key == "initContainerStatuses"


def waiting_reason(state: Object) -> str:
    """Return Kubernetes' reason why a container is waiting; empty if it is not."""
    return str(_of(state, "waiting").get("reason", ""))


def is_ready(pod: Object) -> bool:
    """Whether the pod is ready. One that no node has yet may have no status."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def events_of(kind: str, name: str, events: Iterable[Object]) -> list[Object]:
    """The events about one object, the newest last."""
    about = [event for event in events if (event["involvedObject"].get("kind"), event["involvedObject"].get("name")) == (kind, name)]
    return sorted(about, key=event_time)


def event_time(event: Object) -> float:
    """When it last happened, in seconds since 1970."""
    last = event.get("lastTimestamp") or (event.get("series") or {}).get("lastObservedTime") or event.get("eventTime")
    return seconds(last or event["metadata"].get("creationTimestamp"))


def newest(events: Sequence[Object], *reasons: str) -> str:
    """The message of the newest event for one of ``reasons``, on one line; empty where there is none."""
    return next((one_line(event.get("message", "")) for event in reversed(events) if event.get("reason") in reasons), "")


def one_line(text: str | None) -> str:
    r"""``text`` without line breaks, and without passwords in URLs.

    >>> one_line("cannot reach postgresql://mlflow:secret@db/mlflow\n  now")
    'cannot reach postgresql://mlflow:…@db/mlflow now'
    """
    return re.sub(r"(://[^:/@\s]*):[^@\s]+@", r"\1:…@", " ".join((text or "").split()))


def seconds(timestamp: str | None) -> float:
    """A time of Kubernetes' API as seconds since 1970; 0 for none.

    >>> seconds("2026-11-22T09:00:00Z") - seconds("2026-11-22T08:59:59.123456Z")
    1.0
    """
    if not timestamp:
        return 0.0
    return datetime.strptime(timestamp[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc).timestamp()


def _of(state: Object, key: str, when: str = "state") -> Object:
    found: Object = (state.get(when) or {}).get(key) or {}
    return found


def _container_trouble(state: Object, is_init: bool, events: Sequence[Object], scene: Scene, is_new: bool) -> Trouble | None:
    """``is_new`` means that the pod was created for this rollout, not before."""
    reason = waiting_reason(state)
    if reason in _IMAGE:
        return _image_trouble(state, reason, events, scene, is_new)
    if reason in _CONFIG:
        text = one_line(_of(state, "waiting").get("message"))
        # The kubelet may not have seen a newly created Secret yet.
        return Trouble(f"container {state['name']}: {reason}: {text}", remedy_for(text), "sync" not in text and scene.now - scene.since > _RECENT)
    ended_now = _of(state, "terminated")
    ended = ended_now or _of(state, "terminated", "lastState")
    is_over = is_init and ended_now and not ended_now.get("exitCode")
    return _ended(state, ended, not ended_now, events, scene, is_new) if ended and not state.get("ready") and not is_over else None


def _image_trouble(state: Object, reason: str, events: Sequence[Object], scene: Scene, is_new: bool) -> Trouble:
    pulls = [event for event in events if event.get("reason") in ("Failed", "InspectFailed", "ErrImageNeverPull")]
    pulls = [event for event in pulls if state.get("image", "") in event.get("message", "")]
    text = one_line(pulls[-1]["message"]) if pulls else one_line(_of(state, "waiting").get("message"))
    # Kubernetes waits up to five minutes before it tries again.
    stale = reason == "ImagePullBackOff" and not is_new
    tried = is_new or (bool(pulls) and event_time(pulls[-1]) >= scene.since)
    hopeless = tried and (reason in ("InvalidImageName", "ErrImageNeverPull") or bool(_PULL_FINAL.search(text)))
    remedy = "check the image's name and tag, and that every node can pull it from its registry or has it imported"
    return Trouble(f"container {state['name']}: {reason}: {text}", remedy, hopeless, stale=stale)


def _ended(state: Object, ended: Object, previous: bool, events: Sequence[Object], scene: Scene, is_new: bool) -> Trouble:
    """A container that terminated, and has not been ready since."""
    name, restarts, text = state["name"], state.get("restartCount", 0), one_line(ended.get("message"))
    stale = waiting_reason(state) == "CrashLoopBackOff" and not is_new
    in_this_wait = is_new or seconds(ended.get("finishedAt")) >= scene.since
    often = f"CrashLoopBackOff after {restarts} restart{'' if restarts == 1 else 's'}, " if restarts else ""
    if ended.get("reason") == "OOMKilled":
        what, limit = f"container {name}: {often}OOMKilled: it used more memory than its limit", _KILLS
        remedy = "raise the memory limit in its resources, or reduce its load"
    else:
        killed = newest([event for event in events if "probe" in event.get("message", "")], "Killing")
        why = [f"exit code {ended.get('exitCode')}" + (f" ({ended['reason']})" if ended.get("reason") not in (None, "Error", "Completed") else "")]
        what, limit = f"container {name}: {often}{': '.join(why + [part for part in (text, killed) if part])}", _RESTARTS
        signal = _SIGNALS.get(ended.get("exitCode", 0), "")
        remedy = remedy_for(text) or ("allow more time in its startup probe, or more CPU" if killed else signal and f"{signal} ended it: run again")
    return Trouble(what, remedy, in_this_wait and restarts >= limit, name, previous, stale)


def _unscheduled(pod: Object, scene: Scene) -> Trouble | None:
    if pod["spec"].get("nodeName"):
        return None
    conditions = pod["status"].get("conditions", ())
    # There is none while the scheduler waits for a volume on the chosen node.
    condition = next((one for one in conditions if one["type"] == "PodScheduled" and one["status"] == "False"), None)
    text = one_line(condition.get("message")) if condition else ""
    began = condition.get("lastTransitionTime") if condition else pod["metadata"].get("creationTimestamp")
    late = scene.now - max(scene.since, seconds(began)) > _GRACE
    unbound = _unbound(pod, text, scene, late)
    return unbound or (Trouble(f"FailedScheduling: {text}", remedy_for(text), late) if condition else None)


def _unbound(pod: Object, text: str, scene: Scene, late: bool) -> Trouble | None:
    """Return the first of the pod's claims without a volume; ``text`` is the scheduler's message about the pod."""
    names = [str((volume.get("persistentVolumeClaim") or {}).get("claimName")) for volume in pod["spec"].get("volumes", ())]
    for name in (name for name in names if name in scene.claims and scene.claims[name]["status"].get("phase") == "Pending"):
        about = events_of("PersistentVolumeClaim", name, scene.events)
        failed = newest(about, "ProvisioningFailed", "FailedBinding")
        # A provisioner without events may still be starting, as k3s's own does after its first start.
        waits = newest(about, "Provisioning") or newest(about, "ExternalProvisioning")
        more = failed or waits
        if more or "persistentvolumeclaim" in text.lower():
            what = f"PersistentVolumeClaim {name} is Pending: {more or text}"
            return Trouble(what, remedy_for(more) or remedy_for(text), late and bool(failed or not waits))
    return None


def _unmounted(pod: Object, events: Sequence[Object], scene: Scene) -> Trouble | None:
    if not any(waiting_reason(state) in ("ContainerCreating", "PodInitializing") for state, _is_init in containers(pod)):
        return None
    for reason in ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"):
        text = newest(events, reason)
        if text:
            late = scene.now - max(scene.since, seconds(pod["metadata"].get("creationTimestamp"))) > _GRACE
            return Trouble(f"{reason}: {text}", remedy_for(text), late and bool(_MOUNT_FINAL.search(text)))
    return None


def _unhealthy(pod: Object, events: Sequence[Object]) -> Trouble | None:
    """A running container whose probe fails. It may still be starting, so it is never hopeless."""
    text = newest(events, "Unhealthy")
    running = [state["name"] for state, is_init in containers(pod) if not is_init and _of(state, "running") and not state.get("ready")]
    return Trouble(f"container {running[0]} is not ready: {text}", container=running[0]) if text and running else None
