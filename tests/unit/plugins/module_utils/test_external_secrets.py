"""What is said of the objects of External Secrets while they are waited for; conditions and messages are its own."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes import rollout
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.external_secrets import ASKED
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.pod_trouble import seconds

START, NOW = "2026-11-30T09:00:00Z", seconds("2026-11-30T09:02:00Z")
VERSION = "2-0a1b"


def ready(status: str = "True", message: str = "secret synced") -> list[dict[str, str]]:
    return [{"type": "Ready", "status": status, "message": message}]


def judged(kind: str, waited: float = 0, events: list[dict[str, Any]] | None = None, asked: str = "", **status: Any) -> rollout.Verdict:
    annotations = {"annotations": {ASKED: asked}} if asked else {}
    thing = {"metadata": {"name": "mlflow", "uid": "a", "generation": 2, "creationTimestamp": START, **annotations}, "status": status}
    seen = {"objects": {f"{kind}/mlflow": thing}, "replica_sets": [], "pods": [], "events": events or [], "claims": [], "now": NOW}
    return rollout.verdicts([{"kind": kind, "name": "mlflow"}], seen, waited)[0]


@pytest.mark.parametrize("kind", ["ExternalSecret", "PushSecret"])
def test_what_is_read_and_written_is_done_in_its_current_generation(kind: str) -> None:
    assert judged(kind, conditions=ready(), syncedResourceVersion=VERSION).state == "done"
    assert judged(kind, conditions=ready(), syncedResourceVersion="1-0a1b").state == "waiting"
    assert judged(kind, conditions=ready()).state == "waiting"


def test_what_was_asked_for_again_is_done_once_it_is_another_version() -> None:
    assert judged("ExternalSecret", asked=f"{VERSION} 12:00", conditions=ready(), syncedResourceVersion=VERSION).state == "waiting"
    assert judged("ExternalSecret", asked="2-ffff 12:00", conditions=ready(), syncedResourceVersion=VERSION).state == "done"


@pytest.mark.parametrize("kind", ["SecretStore", "ClusterSecretStore"])
def test_a_store_is_done_when_it_is_valid(kind: str) -> None:
    assert (judged(kind, conditions=ready()).state, judged(kind, conditions=ready("False", "x")).state) == ("done", "waiting")


def test_a_failure_is_told_in_the_words_of_the_event_with_a_remedy_once_it_does_not_pass() -> None:
    told = "error processing spec.data[0] (key: mlflow/mlflow), err: Secret does not exist"
    event = {
        "involvedObject": {"kind": "ExternalSecret", "name": "mlflow"}, "reason": "UpdateFailed", "message": told,
        "metadata": {}, "lastTimestamp": START,
    }  # fmt: skip
    condition = ready("False", "could not get secret data from provider")
    assert judged("ExternalSecret", events=[event], conditions=condition).state == "waiting"
    verdict = judged("ExternalSecret", waited=16, events=[event], conditions=condition)
    assert (verdict.state, verdict.reason) == ("failed", told)
    assert rollout.failure(verdict, 16, "") == (
        f"ExternalSecret mlflow failed after 16 seconds: {told}; write it into Vault, or set credentials_create_missing: true"
    )
    assert judged("ExternalSecret", waited=16, conditions=condition).reason == "could not get secret data from provider"


@pytest.mark.parametrize(("told", "remedy"), [
    ("set secret failed: could not write remote ref password to target secretstore credentials: secret not managed by external-secrets", "somebody"),
    ("unable to log in with Kubernetes auth: Error making API request. Code: 403. Errors: * permission denied", "policy"),
    ("Code: 503. Errors: * Vault is sealed", "unseal"),
    ("something else", "correct what it names"),
])
def test_each_failure_has_a_remedy(told: str, remedy: str) -> None:
    assert remedy in judged("PushSecret", waited=16, conditions=ready("False", told)).remedy


def test_an_operator_that_does_nothing_is_named() -> None:
    assert [judged("SecretStore", waited=waited).state for waited in (10, 30, 61)] == ["waiting", "waiting", "failed"]
    verdict = judged("SecretStore", waited=30)
    assert verdict.reason == "External Secrets has not acted on it"
    assert "external-secrets" in verdict.remedy


@pytest.mark.parametrize(("kind", "place"), [("ClusterSecretStore", "cluster"), ("SecretStore", "namespace")])
def test_a_store_that_is_not_there_is_looked_for_where_it_belongs(kind: str, place: str) -> None:
    seen = {"objects": {f"{kind}/vault": None}, "replica_sets": [], "pods": [], "events": [], "claims": [], "now": NOW}
    verdict = rollout.verdicts([{"kind": kind, "name": "vault"}], seen)[0]
    assert (verdict.state, verdict.reason) == ("failed", f"there is none in the {place}")
