"""What is shown of objects that were applied, by results of kubernetes.core.k8s 6.2."""
from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes import apply_result
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption


def thing(kind: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, **more}


def result(before: dict[str, Any], after: dict[str, Any], now: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"method": "apply", "changed": True, "diff": {"before": before, "after": after}, "result": now or {}}


def test_a_new_object() -> None:
    metadata = {"name": "x", "uid": "u", "resourceVersion": "1", "managedFields": []}
    after = thing("Service", spec={"clusterIP": "10.43.0.9"}, metadata=metadata, status={})
    found = apply_result.summary(apply_result.outcomes([thing("Service")], result({}, after, after)))
    assert (found["changed"], found["actions"]) == (True, ["create Service x"])
    assert found["objects"]["Service/x"]["spec"] == {"clusterIP": "10.43.0.9"}
    assert found["diff"][0]["after"] == {"apiVersion": "v1", "kind": "Service", "spec": {"clusterIP": "10.43.0.9"}, "metadata": {"name": "x"}}


def test_what_the_cluster_does_meanwhile_is_no_change() -> None:
    before, after = ({"metadata": {"resourceVersion": version}, "status": {"ready": version}} for version in ("1", "2"))
    assert apply_result.summary(apply_result.outcomes([thing("Deployment")], result(before, after)))["changed"] is False


def test_no_value_of_a_secret_is_shown() -> None:
    now = thing("Secret", data={"password": "bmV3", "user": "bWU="})
    outcome = apply_result.outcomes([thing("Secret")], result({"data": {"password": "b2xk"}}, {"data": {"password": "bmV3"}}, now))
    found = apply_result.summary(outcome)
    assert (found["actions"], found["objects"]) == (["change Secret x"], {})
    assert not {"bmV3", "b2xk", "bWU="} & set(str(found).replace("'", " ").split())
    assert found["diff"][0]["before"] != found["diff"][0]["after"]


def test_each_of_a_set_is_told_apart() -> None:
    objects = [thing("ConfigMap"), thing("Service")]
    results = [result({}, {}), result({"spec": {"a": 1}}, {"spec": {"a": 2}})]
    assert apply_result.summary(apply_result.outcomes(objects, {"result": {"results": results}}))["actions"] == ["change Service x"]


@pytest.mark.parametrize(
    ("outcome", "actions"),
    [
        ({"method": "delete", "changed": True}, ["delete Ingress x"]),
        ({"method": "delete", "changed": False}, []),
        ({"changed": False, "error": {"msg": "Failed to find exact match for monitoring.coreos.com/v1.ServiceMonitor"}}, []),
    ],
)
def test_what_is_not_to_be_there(outcome: dict[str, Any], actions: list[str]) -> None:
    found = apply_result.summary(apply_result.outcomes([thing("Ingress")], outcome))
    assert (found["actions"], found["changed"]) == (actions, bool(actions))


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ("a: b", "definitions: 'str' is not a list"),
        ([{"kind": "Secret", "data": {"password": "aGk="}}], "definitions: {'kind': 'Secret'} is not an object"),
        ([thing("Secret", stringData={"password": "hi"})], "definitions: 'Secret x' has stringData"),
    ],
)
def test_what_is_no_object(objects: Any, message: str) -> None:
    with pytest.raises(InvalidOption, match=message) as raised:
        apply_result.definitions(objects)
    assert "aGk" not in str(raised.value)


def test_what_is_no_entry_to_remove() -> None:
    with pytest.raises(InvalidOption, match="absent: .* does not name an object"):
        apply_result.absent([{"kind": "Ingress"}])


def test_a_job_is_made_whatever_was_there() -> None:
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate"}, "spec": {"backoffLimit": 0}}
    secret, config = ({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}} for kind in ("Secret", "ConfigMap"))
    assert apply_result.parted([config, job, secret]) == ([secret], [job], [config])
    assert apply_result.summary([apply_result.made(job)]) == {
        "changed": True,
        "actions": ["create Job migrate"],
        "objects": {"Job/migrate": job},
        "diff": [{"before_header": "Job migrate", "after_header": "Job migrate", "before": {}, "after": job}],
    }


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ('namespaces "x" not found', 'Kubernetes rejects this: namespaces "x" not found'),
        ("it's \\ and \"so\" é on\nmore", "Kubernetes rejects this: it's \\ and \"so\" é on\nmore"),
        ('Job.batch "m" is invalid: spec.template: Invalid value: {"a": 1}: field is immutable', "field is immutable; it cannot be changed in place"),
    ],
)
def test_a_refusal_is_in_the_words_of_the_api_server(message: str, said: str) -> None:
    body = json.dumps({"kind": "Status", "message": message, "code": 422}, ensure_ascii=False).encode()
    for text in (f"Failed to apply object: {body!r}", f"Failed to apply object: {body.decode()}"):
        assert said in apply_result.refusal({"msg": text, "reason": "Unprocessable Entity"})


@pytest.mark.parametrize("text", ["", "timed out: 5", "Failed to apply object: b'cut off", 'Failed to apply object: b"[]"'])
def test_a_failure_that_is_no_answer_is_shown_as_it_is(text: str) -> None:
    assert apply_result.refusal({"msg": text}) == f"definitions: they cannot be applied: {text}"


PLACE = "HTTPSConnection(host='127.0.0.1', port=6443): Failed to establish a new connection: [Errno 111] "


@pytest.mark.parametrize(("result", "said"), [
    ({"msg": f"{PLACE}Connection refused"}, "https://127.0.0.1:6443 of /x does not answer: Connection refused; check that the cluster is up"),
    ({"msg": "x", "exception": "HTTPSConnectionPool(host='10.0.0.1', port=6443): Read timed out."}, "https://10.0.0.1:6443 of /x does not answer"),
    ({"msg": "MODULE FAILURE", "module_stderr": "('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))"}, "reset by peer"),
    ({"msg": "(503)\nReason: Service Unavailable\napiserver not ready"}, "apiserver not ready"),
])
def test_an_api_server_that_is_gone_is_told_in_one_sentence(result: dict[str, Any], said: str) -> None:
    told = apply_result.unreachable({"failed": True, **result}, "/x")
    assert said in told
    assert told.endswith("and run again")


@pytest.mark.parametrize("message", [
    "Deployment x: wait timed out after 180 seconds", "secrets is forbidden",
    'failed calling webhook "x": dial tcp 10.43.0.9:443: connect: connection refused',
])
def test_what_a_server_answers_is_not_taken_for_silence(message: str) -> None:
    assert apply_result.unreachable({"failed": True, "msg": message}, "/x") == ""
