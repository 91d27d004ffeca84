"""What is shown of objects that were applied, by results of kubernetes.core.k8s 6.2."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._core import applied
from ansible_collections.mlops.mlflow.plugins.module_utils._core.options import InvalidOption


def thing(kind: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, **more}


def result(before: dict[str, Any], after: dict[str, Any], now: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"method": "apply", "changed": True, "diff": {"before": before, "after": after}, "result": now or {}}


def test_a_new_object() -> None:
    metadata = {"name": "x", "uid": "u", "resourceVersion": "1", "managedFields": []}
    after = thing("Service", spec={"clusterIP": "10.43.0.9"}, metadata=metadata, status={})
    found = applied.summary(applied.outcomes([thing("Service")], result({}, after, after)))
    assert (found["changed"], found["actions"]) == (True, ["create Service x"])
    assert found["objects"]["Service/x"]["spec"] == {"clusterIP": "10.43.0.9"}
    assert found["diff"][0]["after"] == {"apiVersion": "v1", "kind": "Service", "spec": {"clusterIP": "10.43.0.9"}, "metadata": {"name": "x"}}


def test_what_the_cluster_does_meanwhile_is_no_change() -> None:
    before, after = ({"metadata": {"resourceVersion": version}, "status": {"ready": version}} for version in ("1", "2"))
    assert applied.summary(applied.outcomes([thing("Deployment")], result(before, after)))["changed"] is False


def test_no_value_of_a_secret_is_shown() -> None:
    now = thing("Secret", data={"password": "bmV3", "user": "bWU="})
    outcome = applied.outcomes([thing("Secret")], result({"data": {"password": "b2xk"}}, {"data": {"password": "bmV3"}}, now))
    found = applied.summary(outcome)
    assert (found["actions"], found["objects"]) == (["change Secret x"], {})
    assert not {"bmV3", "b2xk", "bWU="} & set(str(found).replace("'", " ").split())
    assert found["diff"][0]["before"] != found["diff"][0]["after"]


def test_each_of_a_set_is_told_apart() -> None:
    objects = [thing("ConfigMap"), thing("Service")]
    results = [result({}, {}), result({"spec": {"a": 1}}, {"spec": {"a": 2}})]
    assert applied.summary(applied.outcomes(objects, {"result": {"results": results}}))["actions"] == ["change Service x"]


@pytest.mark.parametrize(
    ("outcome", "actions"),
    [
        ({"method": "delete", "changed": True}, ["delete Ingress x"]),
        ({"method": "delete", "changed": False}, []),
        ({"changed": False, "error": {"msg": "Failed to find exact match for monitoring.coreos.com/v1.ServiceMonitor"}}, []),
    ],
)
def test_what_is_not_to_be_there(outcome: dict[str, Any], actions: list[str]) -> None:
    found = applied.summary(applied.outcomes([thing("Ingress")], outcome))
    assert (found["actions"], found["changed"]) == (actions, bool(actions))


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ("a: b", "definitions: 'str' is not a list"),
        ([{"kind": "Secret", "data": {"password": "aGk="}}], "definitions: {'kind': 'Secret'} is no object"),
        ([thing("Secret", stringData={"password": "hi"})], "definitions: 'Secret x' has stringData"),
    ],
)
def test_what_is_no_object(objects: Any, message: str) -> None:
    with pytest.raises(InvalidOption, match=message) as raised:
        applied.definitions(objects)
    assert "aGk" not in str(raised.value)


def test_what_is_no_entry_to_remove() -> None:
    with pytest.raises(InvalidOption, match="absent: .* does not name an object"):
        applied.absent([{"kind": "Ingress"}])


def test_a_job_is_made_whatever_was_there() -> None:
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate"}, "spec": {"backoffLimit": 0}}
    secret, config = ({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}} for kind in ("Secret", "ConfigMap"))
    assert applied.parted([config, job, secret]) == ([secret], [job], [config])
    assert applied.summary([applied.made(job)]) == {
        "changed": True,
        "actions": ["create Job migrate"],
        "objects": {"Job/migrate": job},
        "diff": [{"before_header": "Job migrate", "after_header": "Job migrate", "before": {}, "after": job}],
    }
