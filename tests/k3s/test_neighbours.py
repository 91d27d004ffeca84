"""A cluster full of other people's things: nothing of it is changed or removed by any playbook, and each name that is taken is refused.

What others have bears every name that the deployment under test has, of every kind: as objects of a Helm release of another chart, as objects
made by hand, and as those of a second team of ours.
"""
from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cluster import Cluster
from playbook import Run, play

pytestmark = [pytest.mark.akko, pytest.mark.alters]
line = pytest.mark.line("(beyond) neighbours: what others have in the cluster and on its hosts stays as it is")
SHARED, CLAIMED = "neighbours", "neighbours-by-name"
MARK = "app.kubernetes.io/managed-by=mlops.mlflow"
#: What the collection may make or remove beside what akko has: group and version, kind, and what its name ends in.
FURTHER = (
    ("policy/v1", "PodDisruptionBudget", ""), ("autoscaling/v2", "HorizontalPodAutoscaler", ""),
    ("gateway.networking.k8s.io/v1", "HTTPRoute", ""), ("v1", "Secret", "-given-tls"),
)
HELM = {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/part-of": "mlflow", "helm.sh/chart": "mlflow-1.8.1"}
RELEASE = {"meta.helm.sh/release-name": "tracking", "meta.helm.sh/release-namespace": CLAIMED}
POD: dict[str, Any] = {"metadata": {"labels": {"app": "theirs"}}, "spec": {"containers": [{"name": "theirs", "image": "theirs:1"}]}}
SELECTOR = {"matchLabels": {"app": "theirs"}}
JOB = {"suspend": True, "template": {**POD, "spec": {**POD["spec"], "restartPolicy": "Never"}}}
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "theirs"}
BACKEND = {"service": {"name": "theirs", "port": {"number": 80}}}
#: The least of each kind, without pods that would have to run.
LEAST: dict[str, dict[str, Any]] = {
    "ConfigMap": {"data": {"whose": "theirs"}},
    "CronJob": {"spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": {"template": JOB["template"]}}}},
    "Deployment": {"spec": {"replicas": 0, "selector": SELECTOR, "template": POD}},
    "HTTPRoute": {"spec": {"hostnames": ["theirs.example.com"]}},
    "HorizontalPodAutoscaler": {"spec": {"maxReplicas": 2, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"}}},
    "Ingress": {"spec": {"defaultBackend": BACKEND}},
    "Job": {"spec": JOB},
    "Middleware": {"spec": {"stripPrefix": {"prefixes": ["/theirs"]}}},
    "NetworkPolicy": {"spec": {"podSelector": SELECTOR}},
    "PersistentVolumeClaim": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}, "storageClassName": "none"}},
    "PodDisruptionBudget": {"spec": {"maxUnavailable": 1, "selector": SELECTOR}},
    "Role": {"rules": []},
    "RoleBinding": {"roleRef": ROLE, "subjects": []},
    "Secret": {"type": "Opaque", "data": {"whose": "dGhlaXJz"}},
    "Service": {"spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80}]}},
    "ServiceAccount": {"automountServiceAccountToken": False},
    "StatefulSet": {"spec": {"replicas": 0, "selector": SELECTOR, "serviceName": "theirs", "template": POD}},
}
#: Files of others beside those of the roles, in the folders that these write to.
FILES = ("/etc/systemd/system/theirs.service", "/etc/sysctl.d/91-theirs.conf", "/usr/local/bin/theirs", "/opt/theirs/file",
         "/run/mlops-theirs-ca.crt", "/var/lib/theirs/file")


def apply(cluster: Cluster, objects: list[dict[str, Any]], manager: str) -> None:
    """Make objects as others would, with kubectl."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    cluster.run(f"k3s kubectl apply --field-manager={manager} --filename -", stdin=text)


def thing(api_version: str, kind: str, name: str, **metadata: Any) -> dict[str, Any]:
    """The least object of a kind."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **metadata}, **LEAST.get(kind, {})}


def listed(cluster: Cluster, namespace: str, *words: str) -> list[Any]:
    """The objects of a namespace, of every kind but what the cluster renews by itself."""
    kinds = cluster.run("k3s kubectl api-resources --namespaced --verbs=list,delete --output=name").split()
    wanted = ",".join(kind for kind in kinds if not kind.startswith(("events", "leases", "pods.metrics")))
    command = f"k3s kubectl --namespace {namespace} get {wanted} {' '.join(words)} --output json"
    return list(json.loads(cluster.run(command))["items"])


def settled(cluster: Cluster, namespace: str) -> dict[str, str]:
    """The versions, once the cluster's controllers have said what they have to say of new objects."""
    before: dict[str, str] = {}
    for _ in range(20):
        now = versions(cluster, namespace)
        if now == before:
            return now
        before = now
        time.sleep(3)
    raise TimeoutError(f"the objects of {namespace} do not come to rest")


def own(cluster: Cluster) -> list[tuple[str, str, str]]:
    """Group and version, kind and name of everything that bears the deployment's mark."""
    marked = [item for item in listed(cluster, cluster.namespace, f"--selector={MARK}") if not item["metadata"].get("ownerReferences")]
    return sorted((item["apiVersion"], item["kind"], item["metadata"]["name"]) for item in marked)


def versions(cluster: Cluster, namespace: str) -> dict[str, str]:
    """The version of each object of a namespace, and of the namespace, by KIND/NAME."""
    found = [*listed(cluster, namespace), json.loads(cluster.run(f"k3s kubectl get namespace {namespace} --output json"))]
    return {f"{item['kind']}/{item['metadata']['name']}": version(item) for item in found}


def version(item: dict[str, Any]) -> str:
    """The resourceVersion; of an autoscaler, whose status the cluster goes on writing, what has been declared."""
    if item["kind"] == "HorizontalPodAutoscaler":
        return json.dumps([item["spec"], item["metadata"].get("labels"), item["metadata"].get("annotations")], sort_keys=True)
    return str(item["metadata"]["resourceVersion"])


def sums(cluster: Cluster) -> str:
    """The checksums of the files of others on every host."""
    return "".join(cluster.run(f"sha256sum {' '.join(FILES)}", host) for host in [*cluster.servers, *cluster.agents])


@pytest.fixture(scope="module")
def names(cluster: Cluster) -> list[tuple[str, str, str]]:
    """Each kind and name that the deployment has, or could have."""
    made = ("Pod", "ReplicaSet", "ControllerRevision", "Endpoints", "EndpointSlice")
    found = [(version, kind, name) for version, kind, name in own(cluster) if kind not in made]
    return found + [(version, kind, f"{cluster.name}{ending}") for version, kind, ending in FURTHER]


@pytest.fixture(scope="module")
def neighbours(cluster: Cluster, names: list[tuple[str, str, str]]) -> Iterator[dict[str, dict[str, str]]]:
    """Things of others, in the cluster and on its hosts; the versions of all objects, by namespace."""
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in (SHARED, CLAIMED)]
    shop = [thing("apps/v1", "Deployment", "shop", namespace=SHARED), thing("v1", "PersistentVolumeClaim", "shop", namespace=SHARED)]
    theirs = [thing(version, kind, name, namespace=CLAIMED, labels=HELM, annotations=RELEASE) for version, kind, name in names]
    files = " && ".join(f"install -D -m 644 /etc/hostname {path}" for path in FILES)
    try:
        for host in [*cluster.servers, *cluster.agents]:
            cluster.run(files, host)
        apply(cluster, [*spaces, *shop, *theirs], "helm")
        # What is turned off at akko, made by hand in its own namespace.
        off = [thing(version, kind, f"{cluster.name}{ending}", namespace=cluster.namespace) for version, kind, ending in FURTHER]
        apply(cluster, off, "kubectl-create")
        yield {name: settled(cluster, name) for name in (SHARED, CLAIMED)}
    finally:
        cluster.run(f"k3s kubectl delete namespace {SHARED} {CLAIMED} --ignore-not-found --timeout=60s", timeout=90)
        for _version, kind, ending in FURTHER:
            cluster.kubectl("delete", kind, f"{cluster.name}{ending}", "--ignore-not-found")
        for host in [*cluster.servers, *cluster.agents]:
            cluster.run(f"rm -rf {' '.join(FILES)} /opt/theirs /var/lib/theirs", host)


def hand_made(cluster: Cluster) -> dict[str, str]:
    """The versions of what others have in the deployment's own namespace."""
    return {f"{kind}/{cluster.name}{ending}": version(cluster.get(kind, f"{cluster.name}{ending}")) for _v, kind, ending in FURTHER}


def message(run: Run) -> str:
    """What the one task that failed says."""
    assert run.status == 2, run.output
    assert run.changed == 0, run.output
    assert "Traceback" not in run.output
    return run.failures[-1][1]


@line
def test_a_namespace_of_others_is_neither_labelled_nor_used(cluster: Cluster, neighbours: dict[str, dict[str, str]]) -> None:
    """The run ends before its first change, and says what is there, and by which variable one lives beside it."""
    said = message(play(variables={"kubernetes_namespace": SHARED}))
    print(said)
    assert "kubernetes_namespace: 'neighbours' was not created by this deployment" in said
    assert "Deployment/shop, PersistentVolumeClaim/shop" in said
    assert "kubernetes_namespace_shared: true" in said
    assert versions(cluster, SHARED) == neighbours[SHARED]


@line
@pytest.mark.parametrize("namespace", ["kube-system", "default"])
def test_the_clusters_own_namespaces_are_refused(namespace: str) -> None:
    """Even where it is said that the namespace is shared."""
    said = message(play(variables={"kubernetes_namespace": namespace, "kubernetes_namespace_shared": True}))
    assert f"kubernetes_namespace: '{namespace}' is the cluster's own" in said


@line
def test_each_name_that_others_have_is_refused(cluster: Cluster, neighbours: dict[str, dict[str, str]], names: list[tuple[str, str, str]]) -> None:
    """Of each kind that the deployment has: the run ends before its first change, and names them all, their owner and the two ways out."""
    said = message(play(variables={"kubernetes_namespace": CLAIMED, "kubernetes_namespace_shared": True}))
    print(f"{len(names)} objects of {len({kind for _v, kind, _n in names})} kinds: {said[:200]}")
    assert "belongs to Helm release tracking" in said
    adoptable = said.partition("kubernetes_adopt: [")[2].rstrip("]").split(", ")
    # A Job of the schema is named after what it migrates, and is looked at when it is made.
    wanted = {f"{kind}/{name}" for _v, kind, name in names if "-migrate-" not in name and "-schema-" not in name}
    off = {f"{kind}/{cluster.name}{ending}" for _v, kind, ending in FURTHER}
    assert set(adoptable) == wanted - off
    assert versions(cluster, CLAIMED) == neighbours[CLAIMED]


@line
def test_a_removal_leaves_what_others_have(cluster: Cluster, neighbours: dict[str, dict[str, str]]) -> None:
    """In a namespace of others nothing is removed, and the list says what is left and whose it is."""
    run = play("mlops.mlflow.remove", {"kubernetes_namespace": CLAIMED, "remove_confirmed": "yes"})
    assert (run.status, run.changed) == (0, 0), run.output
    assert f"kept: Namespace {CLAIMED}" in run.output
    assert f"kept: Service {cluster.name} of Helm release tracking" in run.output
    assert versions(cluster, CLAIMED) == neighbours[CLAIMED]


@line
def test_a_removal_is_asked_for_with_a_list(cluster: Cluster, neighbours: dict[str, dict[str, str]]) -> None:
    """Without an answer nothing is removed; what would have been is listed first, and what others have in the namespace keeps it there."""
    assert set(neighbours) == {SHARED, CLAIMED}
    before = versions(cluster, cluster.namespace)
    run = play("mlops.mlflow.remove")
    assert "to be removed: Deployment" in run.output
    assert f"kept: Namespace {cluster.namespace}" in run.output
    # Ansible breaks long lines.
    assert f"kept: PodDisruptionBudget {cluster.name} of someone using kubectl-create" in " ".join(run.output.split())
    assert "Nothing is removed: the answer was '', not 'yes'" in message(run)
    after = versions(cluster, cluster.namespace)
    assert {name for name in before if name.split("/")[0] not in ("Pod", "EndpointSlice")} <= after.keys()


@line
def test_what_is_off_and_somebody_elses_stays(cluster: Cluster, neighbours: dict[str, dict[str, str]]) -> None:
    """A run over the deployment changes nothing: neither what it would remove if it were its own, nor anything else of others, nor their files."""
    before, files = hand_made(cluster), sums(cluster)
    run = play()
    assert (run.status, run.changed) == (0, 0), run.output
    assert hand_made(cluster) == before
    assert sums(cluster) == files
    assert {name: versions(cluster, name) for name in (SHARED, CLAIMED)} == neighbours


@pytest.mark.slow
@line
def test_a_second_team_beside_others(cluster: Cluster, neighbours: dict[str, dict[str, str]]) -> None:
    """A whole deployment in the namespace of others, with another image; it goes again, and leaves them as they were, and akko too."""
    team = {
        "kubernetes_namespace": SHARED, "kubernetes_namespace_shared": True, "kubernetes_deployment": "team-b",
        "postgresql_name": "team-b-database", "artifact_store_name": "team-b-store", "artifact_store_app": "team-b-store",
        "mlflow_server_name": "team-b", "mlflow_server_app": "team-b", "mlflow_server_host": "team-b.akko.local",
        "mlflow_image_extra_packages": ["python-json-logger==4.0.0"],
    }
    akko = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    first = play(variables=team, timeout=1500)
    assert first.status == 0, first.output
    beside = copy.copy(cluster)
    beside.namespace = SHARED
    assert beside.get("deployment", "team-b")["spec"]["template"]["spec"]["containers"][0]["image"] != akko
    again, theirs = play(variables=team), play()
    assert (again.status, again.changed, theirs.status, theirs.changed) == (0, 0, 0, 0), again.output + theirs.output
    now = versions(cluster, SHARED)
    assert {name: now[name] for name in neighbours[SHARED]} == neighbours[SHARED]
    removed = play("mlops.mlflow.remove", {**team, "remove_confirmed": "yes"})
    assert removed.status == 0, removed.output
    assert versions(cluster, SHARED) == neighbours[SHARED]
