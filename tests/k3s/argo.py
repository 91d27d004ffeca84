"""Argo Workflows as somebody else has it in a namespace: its controller, with the rights of its own manifests, and workflows."""
from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from cluster import Cluster
from others import SECURITY, account, apply, thing

API = "argoproj.io/v1alpha1"
#: How long a workflow may take, in seconds: each step is a pod that imports MLflow.
PATIENCE = 900
#: What its manifests for a single namespace let the controller do, but for leases, events and what this story has none of.
CONTROLLER = [
    ([""], "pods pods/exec", "create get list watch update patch delete"), ([""], "configmaps", "get watch list"), ([""], "secrets", "get"),
    ([""], "serviceaccounts", "get list"), ([""], "events", "create patch"), (["coordination.k8s.io"], "leases", "create get update"),
    (["argoproj.io"], "workflows workflows/finalizers workflowtasksets workflowtasksets/finalizers workflowartifactgctasks",
     "get list watch update patch delete create"),
    (["argoproj.io"], "workflowtemplates workflowtemplates/finalizers cronworkflows", "get list watch"),
    (["argoproj.io"], "workflowtaskresults", "list watch deletecollection"),
]  # fmt: skip


def controller(namespace: str, image: str, executor: str) -> list[dict[str, Any]]:
    """The controller of one namespace, whose pods meet the restricted standard."""
    rules = [{"apiGroups": groups, "resources": resources.split(), "verbs": verbs.split()} for groups, resources, verbs in CONTROLLER]
    labels, name = {"app": "workflow-controller"}, {"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    container = {
        "name": "workflow-controller", "image": image, "securityContext": {**SECURITY, "readOnlyRootFilesystem": True},
        "args": ["--namespaced", f"--executor-image={executor}", "--executor-image-pull-policy=IfNotPresent"],
        "env": [{"name": "LEADER_ELECTION_IDENTITY", **name}],
        "readinessProbe": {"httpGet": {"port": 6060, "path": "/healthz"}, "periodSeconds": 2},
    }  # fmt: skip
    settings = {"executor": json.dumps({"imagePullPolicy": "IfNotPresent", "securityContext": {**SECURITY, "runAsUser": 8737}})}
    return [
        *account(namespace, "argo", rules), thing("ConfigMap", "workflow-controller-configmap", namespace, data=settings),
        thing("Deployment", "workflow-controller", namespace, "apps/v1", spec={
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"serviceAccountName": "argo", "containers": [container]}},
        }),
    ]  # fmt: skip


@dataclass(frozen=True)
class Workflow:
    """A workflow as its controller tells it."""

    uid: str
    phase: str
    #: The phase of each step, by its name.
    steps: dict[str, str]
    message: str


def run(cluster: Cluster, namespace: str, name: str, spec: dict[str, Any]) -> Workflow:
    """Have the controller run a workflow; what it came to."""
    apply(cluster, [thing("Workflow", name, namespace, API, spec=spec)])
    deadline = time.monotonic() + PATIENCE
    while True:
        found = json.loads(cluster.run(f"k3s kubectl --namespace {namespace} get workflow {name} --output json"))
        status = found.get("status") or {}
        nodes = (status.get("nodes") or {}).values()
        steps = {node["displayName"]: node["phase"] for node in nodes if node["type"] == "Pod"}
        said = "; ".join(f"{node['displayName']}: {node['message']}" for node in nodes if node.get("message"))
        told = Workflow(found["metadata"]["uid"], status.get("phase", ""), steps, said)
        if told.phase in ("Succeeded", "Failed", "Error"):
            return told
        assert time.monotonic() < deadline, told
        time.sleep(3)
