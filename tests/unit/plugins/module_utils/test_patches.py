"""What users add to objects: merged as kubectl 1.34 merges a strategic patch, by examples of its documentation and of the API's types."""
from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes import patches
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption

LABELS, ANNOTATIONS = {"cost-center": "ml"}, {"example.com/owner": "risk"}


def pod(**spec: Any) -> dict[str, Any]:
    container = {
        "name": "mlflow", "image": "x", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "args": ["--host", "0.0.0.0"],
        "ports": [{"name": "http", "containerPort": 5000}], "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    return {"metadata": {"labels": {"app": "mlflow"}}, "spec": {"containers": [container], "volumes": [{"name": "tmp", "emptyDir": {}}], **spec}}


def deployment(**spec: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": "mlflow"}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "mlflow"}, "spec": {"selector": selector, "template": pod(**spec)}}


def patched(definition: dict[str, Any], patch: dict[str, Any], name: str = "mlflow") -> dict[str, Any]:
    before = copy.deepcopy(definition)
    made = patches.extended(definition, {}, {}, [{"kind": definition["kind"], "name": name, "patch": patch}])
    assert definition == before, "what is given is not changed"
    return made


def in_pod(patch: dict[str, Any], **spec: Any) -> Any:
    """The pod's specification after a patch to it."""
    return patched(deployment(**spec), {"spec": {"template": {"spec": patch}}})["spec"]["template"]["spec"]


def test_a_sidecar_and_its_volume_come_beside_what_is_there() -> None:
    found = in_pod({"containers": [{"name": "proxy", "image": "y"}], "volumes": [{"name": "certs", "secret": {"secretName": "certs"}}]})
    assert [container["name"] for container in found["containers"]] == ["mlflow", "proxy"]
    assert [volume["name"] for volume in found["volumes"]] == ["tmp", "certs"]
    assert found["containers"][0] == pod()["spec"]["containers"][0]


def test_an_entry_of_a_name_is_changed_and_the_others_stay() -> None:
    container = in_pod({"containers": [{
        "name": "mlflow", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}], "args": ["--workers", "2"],
        "ports": [{"containerPort": 8000}], "volumeMounts": [{"name": "certs", "mountPath": "/certs"}],
    }]})["containers"][0]
    assert container["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}]
    assert container["args"] == ["--workers", "2"], "a list of texts is replaced"
    assert [port["containerPort"] for port in container["ports"]] == [5000, 8000]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp", "/certs"]
    assert container["image"] == "x"


def test_directives_remove_and_replace() -> None:
    container = {"name": "mlflow", "env": [{"name": "A", "$patch": "delete"}], "image": None}
    found = in_pod({"containers": [container], "volumes": [{"$patch": "replace"}]})
    assert found["containers"][0]["env"] == [{"name": "B", "value": "2"}]
    assert "image" not in found["containers"][0]
    assert found["volumes"] == []


@pytest.mark.parametrize(("field", "there", "patch"), [
    ("tolerations", [{"key": "a"}], [{"key": "b"}]),
    ("nodeSelector", {"a": "b"}, {"$patch": "replace", "c": "d"}),
])
def test_what_has_no_names_is_replaced(field: str, there: Any, patch: Any) -> None:
    expected = {"c": "d"} if isinstance(patch, dict) else patch
    assert in_pod({field: patch}, **{field: there})[field] == expected


def test_lists_of_custom_kinds_are_replaced() -> None:
    """The API server knows no names in them."""
    route = {"apiVersion": "example.com/v1", "kind": "Odd", "metadata": {"name": "mlflow"}, "spec": {"env": [{"name": "A"}]}}
    assert patched(route, {"spec": {"env": [{"name": "B"}]}})["spec"]["env"] == [{"name": "B"}]


def test_only_the_target_is_changed() -> None:
    change = {"spec": {"replicas": 3}}
    assert patched(deployment(), change, "other") == deployment()
    assert patched(deployment(), change, "mlf*")["spec"]["replicas"] == 3
    entry = {"kind": "Service", "name": "mlflow", "patch": change}
    assert patches.extended(deployment(), {}, {}, [entry]) == deployment()


def test_later_patches_are_merged_into_earlier_ones() -> None:
    entries = [{"kind": "Deployment", "name": "mlflow", "patch": {"spec": {"replicas": number, f"x{number}": 1}}} for number in (2, 3)]
    spec = patches.extended(deployment(), {}, {}, entries)["spec"]
    assert (spec["replicas"], spec["x2"], spec["x3"]) == (3, 1, 1)


def test_labels_and_annotations_reach_pods_and_not_selectors() -> None:
    template = {"metadata": {}, "spec": {"template": pod()}}
    job = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "x"}, "spec": {"jobTemplate": template}}
    for thing, places in ((deployment(), 2), (job, 3), ({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {}}, 1)):
        text = str(patches.extended(thing, LABELS, ANNOTATIONS, []))
        assert (text.count("cost-center"), text.count("example.com/owner")) == (places, places)
    assert patches.extended(deployment(), LABELS, {}, [])["spec"]["selector"] == {"matchLabels": {"app": "mlflow"}}
    assert patches.extended(deployment(), {"app": "other"}, {}, [])["spec"]["template"]["metadata"]["labels"]["app"] == "mlflow"


def test_without_additions_an_object_is_what_it_was() -> None:
    """To a byte: nothing restarts."""
    for thing in (deployment(), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {}}):
        assert repr(patches.extended(thing, {}, {}, [])) == repr(thing)


@pytest.mark.parametrize(("labels", "annotations", "said"), [
    ({"app.kubernetes.io/component": "x"}, {}, "kubernetes_labels: 'app.kubernetes.io/component' is set by the roles; remove it"),
    ({}, {"mlops.mlflow/checksum": "x"}, "kubernetes_annotations: 'mlops.mlflow/checksum' is set by the roles; remove it"),
    ({"cost-center": 7}, {}, "kubernetes_labels: 'cost-center: 7' is not a text, which Kubernetes requires; put the value in quotes"),
    (["cost-center"], {}, "kubernetes_labels: 'list' is not a dictionary; write it as {key: value}"),
])
def test_metadata_that_cannot_be_is_refused(labels: Any, annotations: Any, said: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        patches.check_metadata(labels, annotations)
    assert str(refused.value) == said


@pytest.mark.parametrize(("entries", "said"), [
    ({"kind": "x"}, "is not a list"),
    ([{"kind": "Deployment", "name": "mlflow"}], "give kind, name and patch"),
    ([{"kind": "Deployment", "name": "mlflow", "patch": "spec"}], "give kind, name and patch"),
    ([{"kind": "Deployment", "name": "mlflow", "patch": {"kind": "StatefulSet"}}], "'Deployment/mlflow' would change kind; remove it"),
    ([{"kind": "Service", "name": "*", "patch": {"metadata": {"namespace": "x"}}}], "would change metadata.namespace"),
])
def test_what_is_no_patch_is_refused(entries: Any, said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        patches.check_patches(entries)


def test_an_entry_without_its_key_is_refused() -> None:
    with pytest.raises(InvalidOption, match=r"'spec\.template\.spec\.containers' has an entry without name.*; add name"):
        in_pod({"containers": [{"image": "y"}]})


def test_targets_that_are_there_pass() -> None:
    titles = ["Deployment/mlflow", "Job/mlflow-migrate-0000000000"]
    assert patches.unknown([{"kind": "Job", "name": "mlflow-migrate-*"}, {"kind": "Deployment", "name": "mlflow"}], titles) == ""
    assert "Statefulset/mlflow, only for example Deployment/mlflow" in patches.unknown([{"kind": "Statefulset", "name": "mlflow"}], titles)
    assert "no object Service/x; nothing was changed" in patches.unknown([{"kind": "Service", "name": "x"}], [])
