"""What is said of workloads and pods, each as Kubernetes 1.34 describes it; messages are its own."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes import rollout
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.pod_trouble import seconds

START = "2026-11-22T09:00:00Z"
NOW = seconds("2026-11-22T09:02:00Z")
WEB = {"kind": "Deployment", "name": "web"}


def deployment(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "uid": "d", "generation": 2, "annotations": {"deployment.kubernetes.io/revision": "2"}},
        "spec": {"replicas": 1},
        "status": {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, **status},
    }


def replica_set(revision: str) -> dict[str, Any]:
    owners = [{"uid": "d"}]
    return {"metadata": {"uid": f"r{revision}", "ownerReferences": owners, "annotations": {"deployment.kubernetes.io/revision": revision}}}


def pod(name: str = "web-1", owner: str = "r2", states: list[dict[str, Any]] | None = None, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": name, "creationTimestamp": START, "ownerReferences": [{"uid": owner}]},
        "spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]},
        "status": {"phase": "Pending", "containerStatuses": states or [], **status},
    }


def container(waiting: dict[str, str] | None = None, restarts: int = 0, last: dict[str, Any] | None = None, **state: Any) -> dict[str, Any]:
    return {
        "name": "main",
        "image": "registry/web:1",
        "ready": False,
        "restartCount": restarts,
        "state": {"waiting": waiting} if waiting else state,
        "lastState": {"terminated": last} if last else {},
    }


def event(reason: str, message: str, kind: str = "Pod", name: str = "web-1", last: str = "2026-11-22T09:01:30Z") -> dict[str, Any]:
    return {"metadata": {}, "involvedObject": {"kind": kind, "name": name}, "reason": reason, "message": message, "lastTimestamp": last}


def seen(workload: dict[str, Any] | None, pods: list[dict[str, Any]], events: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "objects": {"Deployment/web": workload},
        "replica_sets": [replica_set("1"), replica_set("2")],
        "pods": pods,
        "events": events or [],
        "claims": [],
        "now": NOW,
        **more,
    }


def judged(pods: list[dict[str, Any]], events: list[dict[str, Any]] | None = None, waited: float = 120, **more: Any) -> rollout.Verdict:
    return rollout.verdicts([WEB], seen(deployment(), pods, events, **more), waited)[0]


RUNNING = {"startedAt": START}
ENDED = {"exitCode": 1, "reason": "Error", "finishedAt": "2026-11-22T09:01:50Z"}
CRASHING = {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}
UNSCHEDULED = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": START}
NOT_FOUND = 'Failed to pull image "registry/web:1": rpc error: code = NotFound desc = failed to resolve reference "registry/web:1": not found'
NO_ROUTE = 'Failed to pull image "registry/web:1": dial tcp: lookup registry: no such host'


@pytest.mark.parametrize(
    ("states", "status", "events", "state", "reason", "remedy"),
    [
        ([container({"reason": "ContainerCreating"})], {}, [], "waiting", "pod web-1: ContainerCreating", ""),
        ([container({"reason": "ImagePullBackOff"})], {}, [event("Failed", NOT_FOUND)], "failed", f"ImagePullBackOff: {NOT_FOUND}", "name and tag"),
        ([container({"reason": "ErrImagePull"})], {}, [event("Failed", NO_ROUTE)], "waiting", "no such host", "name and tag"),
        ([container({"reason": "ErrImageNeverPull", "message": "not present"})], {}, [], "failed", "ErrImageNeverPull: not present", "imported"),
        ([container(CRASHING, 2, ENDED)], {}, [], "waiting", "CrashLoopBackOff after 2 restarts, exit code 1", ""),
        ([container(CRASHING, 3, ENDED)], {}, [], "failed", "container main: CrashLoopBackOff after 3 restarts, exit code 1", ""),
        ([container(CRASHING, 2, {**ENDED, "exitCode": 137, "reason": "OOMKilled"})], {}, [], "failed", "OOMKilled", "raise the memory limit"),
        ([container(terminated={**ENDED, "message": "FATAL: No space left on device"})], {}, [], "waiting", "No space left", "the volume is full"),
        (
            [container(CRASHING, 1, {**ENDED, "exitCode": 143})],
            {},
            [event("Killing", "Container main failed liveness probe, will be restarted")],
            "waiting",
            "exit code 143: Container main failed liveness probe",
            "startup probe",
        ),
        ([container(running=RUNNING)], {"phase": "Running"}, [event("Unhealthy", "Readiness probe failed: 503")], "waiting", "probe failed: 503", ""),
        ([container(running=RUNNING)], {"phase": "Running"}, [], "waiting", "pod web-1: not ready yet", ""),
        (
            [container({"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'})],
            {},
            [],
            "failed",
            'CreateContainerConfigError: secret "keys" not found',
            "create what is missing",
        ),
        (
            [container({"reason": "CreateContainerConfigError", "message": "container has runAsNonRoot and image will run as root"})],
            {},
            [],
            "failed",
            "will run as root",
            "the image runs as root",
        ),
        (
            [container({"reason": "ContainerCreating"})],
            {},
            [event("FailedMount", 'MountVolume.SetUp failed for volume "tls" : secret "tls" not found')],
            "failed",
            "FailedMount: MountVolume.SetUp failed",
            "create what is missing",
        ),
        (
            [container({"reason": "ContainerCreating"})],
            {},
            [event("FailedMount", "Output: mount.nfs: access denied by server while mounting nas:/export")],
            "failed",
            "FailedMount: Output: mount.nfs: access denied",
            "add the node to the export",
        ),
        (
            [container({"reason": "ContainerCreating"})],
            {},
            [event("FailedMount", "Output: mount.nfs: Connection timed out")],
            "waiting",
            "FailedMount: Output: mount.nfs: Connection timed out",
            "port 2049",
        ),
        (
            [],
            {"conditions": [{**UNSCHEDULED, "message": "0/2 nodes are available: 2 Insufficient memory."}]},
            [],
            "failed",
            "FailedScheduling: 0/2 nodes are available: 2 Insufficient memory.",
            "lower the requests",
        ),
        ([], {"phase": "Failed", "reason": "Evicted", "message": "low on resource: ephemeral-storage"}, [], "waiting", "was evicted", "disk is full"),
    ],
)
def test_what_keeps_a_pod(states: list[Any], status: dict[str, Any], events: list[Any], state: str, reason: str, remedy: str) -> None:
    verdict = judged([pod(states=states, **status)], events)
    assert (verdict.state, verdict.count) == (state, "0 of 1 ready")
    assert reason in verdict.reason
    assert remedy in verdict.remedy
    assert bool(remedy) == bool(verdict.remedy)


PENDING = {"metadata": {"name": "data"}, "status": {"phase": "Pending"}}
UNBOUND = {**UNSCHEDULED, "message": "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."}
NO_CLASS = 'storageclass.storage.k8s.io "fast" not found'
NO_VOLUME = "no persistent volumes available for this claim and no storage class is set"
NO_PROVISIONER = (
    "Waiting for a volume to be created either by the external provisioner 'example.com/fast' or manually by the system administrator. "
    "If volume creation is delayed, please verify that the provisioner is running and correctly registered."
)
AT_WORK = 'External provisioner is provisioning volume for claim "mlflow/data"'


@pytest.mark.parametrize(
    ("conditions", "events", "state", "why", "remedy"),
    [
        ([UNBOUND], [], "failed", UNBOUND["message"], "check the claim's storage class"),
        ([UNBOUND], [("ProvisioningFailed", NO_CLASS)], "failed", NO_CLASS, "use a storage class that the cluster has"),
        ([UNBOUND], [("FailedBinding", NO_VOLUME)], "failed", NO_VOLUME, "no default storage class"),
        # Whose volume is made where the pod is to run: the scheduler waits for it, and says nothing of the pod.
        ([], [("WaitForFirstConsumer", "waiting"), ("ExternalProvisioning", NO_PROVISIONER)], "waiting", NO_PROVISIONER, "provisioner runs"),
        ([UNBOUND], [("ExternalProvisioning", NO_PROVISIONER)], "waiting", NO_PROVISIONER, "provisioner runs"),
        ([], [("Provisioning", AT_WORK), ("ExternalProvisioning", NO_PROVISIONER)], "waiting", AT_WORK, ""),
        ([], [("Provisioning", AT_WORK), ("ProvisioningFailed", "quota exceeded")], "failed", "quota exceeded", ""),
    ],
)
def test_a_claim_that_nobody_binds(conditions: list[Any], events: list[tuple[str, str]], state: str, why: str, remedy: str) -> None:
    about = [event(reason, message, "PersistentVolumeClaim", "data") for reason, message in events]
    verdict = judged([pod(conditions=conditions)], about, claims=[PENDING])
    assert verdict.reason == f"pod web-1: PersistentVolumeClaim data is Pending: {why}"
    assert (verdict.state, remedy in verdict.remedy, bool(verdict.remedy)) == (state, True, bool(remedy))


def test_a_claim_that_waits_for_its_pod_is_no_trouble() -> None:
    waits = event("WaitForFirstConsumer", "waiting for first consumer to be created before binding", "PersistentVolumeClaim", "data")
    assert judged([pod()], [waits], claims=[PENDING]).reason == "pod web-1: Pending"


@pytest.mark.parametrize(
    ("broken", "events"),
    [
        (container(CRASHING, 7, {**ENDED, "finishedAt": "2026-11-22T08:00:00Z"}), []),
        (container({"reason": "ImagePullBackOff"}), [event("Failed", NOT_FOUND, last="2026-11-22T08:00:00Z")]),
    ],
)
def test_what_failed_before_the_wait_began_is_tried_anew(broken: dict[str, Any], events: list[dict[str, Any]]) -> None:
    verdict = judged([pod(states=[broken])], events, waited=0)
    assert (verdict.state, rollout.stale_pods([verdict])) == ("waiting", ["web-1"])


def test_an_old_pod_that_ends_in_this_wait_is_given_up() -> None:
    assert judged([pod(states=[container(CRASHING, 7, ENDED)])], waited=20).state == "failed"


@pytest.mark.parametrize("waited", [0, 30])
def test_a_pod_without_a_node_is_given_time_from_when_the_wait_began(waited: int) -> None:
    assert judged([pod(conditions=[{**UNSCHEDULED, "message": "Insufficient cpu"}])], waited=waited).state == "waiting"


def test_pods_of_a_revision_before_are_nobodys_trouble() -> None:
    old = pod("web-0", "r1", [container(CRASHING, 9, ENDED)])
    assert judged([old, pod(states=[container({"reason": "ContainerCreating"})])]).reason == "pod web-1: ContainerCreating"


@pytest.mark.parametrize(
    ("kind", "spec", "status", "done", "count"),
    [
        ("Deployment", {"replicas": 1}, {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}, True, "1 of 1 ready"),
        ("Deployment", {}, {"replicas": 2, "updatedReplicas": 1, "availableReplicas": 1}, False, "1 of 1 ready, 1 old ones still running"),
        ("Deployment", {"replicas": 0}, {}, True, "0 of 0 ready"),
        ("StatefulSet", {}, {"readyReplicas": 1, "availableReplicas": 1, "updateRevision": "b", "currentRevision": "a"}, False, "0 of 1 ready"),
        ("StatefulSet", {}, {"readyReplicas": 1, "availableReplicas": 1, "updateRevision": "b", "currentRevision": "b"}, True, "1 of 1 ready"),
        ("DaemonSet", {}, {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 1}, False, "1 of 2 ready"),
        ("DaemonSet", {}, {"desiredNumberScheduled": 0}, True, "0 of 0 ready"),
        ("Job", {}, {"active": 1}, False, "0 of 1 complete"),
        ("Job", {}, {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}, True, "1 of 1 complete"),
    ],
)
def test_when_a_workload_is_done(kind: str, spec: dict[str, Any], status: dict[str, Any], done: bool, count: str) -> None:
    metadata = {"name": "web", "uid": "d", "generation": 1}
    workload = {"metadata": metadata, "spec": spec, "status": {"observedGeneration": 1, **status}}
    found = rollout.verdicts([{"kind": kind, "name": "web"}], seen(None, [], objects={f"{kind}/web": workload}))
    assert (found[0].state == "done", found[0].count) == (done, count)
    unseen = {**workload, "metadata": {**metadata, "generation": 2}}
    again = rollout.verdicts([{"kind": kind, "name": "web"}], seen(None, [], objects={f"{kind}/web": unseen}))
    assert again[0].state == ("done" if kind == "Job" and done else "waiting")


def test_a_failed_job_says_what_its_pod_said() -> None:
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}
    job = {"metadata": {"name": "migrate", "uid": "j"}, "spec": {}, "status": {"failed": 1, "conditions": [failed]}}
    ended = container(terminated={**ENDED, "exitCode": 12, "message": "Can't locate revision identified by 'abc'"})
    found = rollout.verdicts([{"kind": "Job", "name": "migrate"}], seen(None, [pod("migrate-1", "j", [ended])], objects={"Job/migrate": job}), 10)
    culprit = rollout.culprit(found, timed_out=False)
    assert culprit is not None
    assert rollout.failure(culprit, 10, "") == (
        "Job migrate failed after 10 seconds: BackoffLimitExceeded, Job has reached the specified backoff limit: pod migrate-1: "
        "container main: exit code 12: Can't locate revision identified by 'abc'; "
        "the database's schema is newer than this MLflow: deploy the newer version, or restore a backup"
    )
    assert culprit.log == ("migrate-1", "main", False)


@pytest.mark.parametrize(("pods", "said"), [
    ([], "BackoffLimitExceeded, Job has reached the specified backoff limit; its pod was deleted before it was done: run again, which"),
    ([137], "container main: exit code 137; SIGKILL ended it: run again"),
    ([143], "container main: exit code 143; SIGTERM ended it: run again"),
])
def test_a_job_that_someone_ended_is_to_be_run_again(pods: list[int], said: str) -> None:
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}
    job = {"metadata": {"name": "migrate", "uid": "j"}, "spec": {}, "status": {"failed": 1, "conditions": [failed]}}
    left = [pod("migrate-1", "j", [container(terminated={**ENDED, "exitCode": code})]) for code in pods]
    found = rollout.verdicts([{"kind": "Job", "name": "migrate"}], seen(None, left, objects={"Job/migrate": job}), 10)
    assert said in rollout.failure(found[0], 10, "")


def test_a_job_that_took_too_long_needs_more_time() -> None:
    failed = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "Job was active longer than specified deadline"}
    job = {"metadata": {"name": "migrate", "uid": "j"}, "spec": {}, "status": {"failed": 1, "conditions": [failed]}}
    found = rollout.verdicts([{"kind": "Job", "name": "migrate"}], seen(None, [], objects={"Job/migrate": job}), 10)
    assert "raise its timeout" in rollout.failure(found[0], 10, "")


def test_a_job_that_may_try_again_has_not_failed() -> None:
    job = {"metadata": {"name": "migrate", "uid": "j"}, "spec": {}, "status": {"failed": 3}}
    states = [container(CRASHING, 5, ENDED)]
    found = rollout.verdicts([{"kind": "Job", "name": "migrate"}], seen(None, [pod("migrate-1", "j", states)], objects={"Job/migrate": job}), 100)
    assert (found[0].state, rollout.culprit(found, timed_out=False)) == ("waiting", None)


@pytest.mark.parametrize(("waited", "state"), [(0, "waiting"), (100, "failed")])
def test_pods_that_may_not_be_made(waited: int, state: str) -> None:
    refused = 'pods "web-1" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false'
    workload = deployment(conditions=[{"type": "ReplicaFailure", "status": "True", "message": refused}], replicas=0, updatedReplicas=0)
    verdict = rollout.verdicts([WEB], seen(workload, []), waited)[0]
    assert (verdict.state, verdict.reason) == (state, f"its pods cannot be created: {refused}")
    assert "securityContext" in verdict.remedy


def test_what_is_not_there() -> None:
    verdict = rollout.verdicts([WEB], seen(None, []))[0]
    assert (verdict.state, verdict.reason) == ("failed", "there is none in the namespace")


def test_a_failure_shows_the_end_of_the_log_and_takes_its_remedy() -> None:
    verdict = judged([pod(states=[container(CRASHING, 3, ENDED)])])
    log = "starting\nTraceback (most recent call last):\n  File 'a.py', line 1\nModuleNotFoundError: No module named 'psycopg2'\n"
    first, *rest = rollout.failure(verdict, 60, log).splitlines()
    said = "pod web-1: container main: CrashLoopBackOff after 3 restarts, exit code 1; the image lacks a driver"
    assert first.startswith(f"Deployment web failed after 60 seconds: {said}")
    assert rest == ["The end of the log of container main:", "  starting", "  ModuleNotFoundError: No module named 'psycopg2'"]
    assert verdict.log == ("web-1", "main", True)


def test_a_log_that_says_no_more_than_the_reason_is_not_shown() -> None:
    log = ("migrate-1", "main", False)
    verdict = rollout.Verdict("Job migrate", "failed", reason="pod migrate-1: container main: exit code 1: no driver", log=log)
    assert rollout.failure(verdict, 5, "no driver\n") == "Job migrate failed after 5 seconds: pod migrate-1: container main: exit code 1: no driver"
    assert rollout.failure(verdict, 5, "starting\nno driver\n").endswith("\nThe end of the log of container main:\n  starting\n  no driver")


def test_who_is_given_up_on() -> None:
    done, waits, failed = rollout.Verdict("a", "done"), rollout.Verdict("b", "waiting", "0 of 1 ready"), rollout.Verdict("c", "failed")
    assert rollout.culprit([done, waits, failed], timed_out=False) is failed
    assert rollout.culprit([done, waits], timed_out=False) is None
    assert rollout.culprit([done, waits], timed_out=True) is waits
    assert rollout.failure(waits, 300, "") == "b was not done (0 of 1 ready) after 300 seconds: Kubernetes gives no reason"
    assert rollout.progress([done]) == ""
