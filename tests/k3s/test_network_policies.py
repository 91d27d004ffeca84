"""Each NetworkPolicy lets through what it names, and refuses the rest: asked from inside the network of each pod, by its node.

A pod that is unknown to the policy controller for a moment is not what is tried here: probes begin two seconds after the last pod has started.
"""
from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from cluster import Cluster

pytestmark = pytest.mark.akko
line = pytest.mark.line("(beyond) least network policies, enforced")
#: The namespace of which mlflow_server_callers names some pods: molecule/create.yml.
ELSEWHERE = "network-policies"
DOES_NOTHING = "docker.io/rancher/mirrored-pause:3.6"  # k3s's own, which is on each node
PART = {"app.kubernetes.io/part-of": "mlflow"}
TIMEOUT = 5
#: Each target's outcome on a line: open, refused, which comes at once, or silent.
PROBE = """
for target in {targets}; do
  (
    host=${{target%:*}} port=${{target##*:}}
    said=$(timeout {timeout} bash -c "exec 3<>/dev/tcp/$host/$port" 2>&1) && outcome=open || outcome=silent
    case $said in *refused*|*'No route'*) outcome=refused ;; esac
    echo "$target $outcome"
  ) &
done
wait
"""


@dataclass(frozen=True)
class Caller:
    """A pod that does nothing, and where it may go."""

    name: str
    reaches: set[str]
    labels: dict[str, str]
    namespace: str = ""


def callers(cluster: Cluster) -> list[Caller]:
    """Those who are tried, by what makes the difference: their namespace and labels. Without a policy of its own a pod may go anywhere."""
    ours = PART | {"app.kubernetes.io/name": str(cluster.variables["mlflow_server_app"]), "app.kubernetes.io/instance": cluster.name}
    anywhere = {"host", "api", "dns"}
    return [
        Caller("neighbour", {"server"} | anywhere, {}),
        Caller("migration", {"database", "dns"}, ours | {"app.kubernetes.io/component": "migration"}),
        Caller("certificate", {"api"}, ours | {"app.kubernetes.io/component": "certificate"}),
        Caller("verification", {"server", "dns"}, ours | {"app.kubernetes.io/name": "verify", "app.kubernetes.io/component": "verification"}),
        Caller("stranger", anywhere, {}, ELSEWHERE),
        Caller("impostor", anywhere, ours | {"app.kubernetes.io/component": "server"}, ELSEWHERE),
        Caller("notebook", {"server"} | anywhere, {"named": "yes"}, ELSEWHERE),
        Caller("traefik-of-tests", {"server"} | anywhere, {"app.kubernetes.io/name": "traefik"}, "kube-system"),
        Caller("system", anywhere, {}, "kube-system"),
    ]


def pod(caller: Caller) -> dict[str, Any]:
    security = {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "runAsUser": 65534, "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"}}
    container = {"name": "nothing", "image": DOES_NOTHING, "imagePullPolicy": "IfNotPresent", "securityContext": security}
    spec = {"containers": [container], "automountServiceAccountToken": False, "enableServiceLinks": False, "terminationGracePeriodSeconds": 0}
    metadata = {"name": caller.name, "namespace": caller.namespace, "labels": {"network-policies": "probe", **caller.labels}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


class Network:
    """The cluster's pods by their nodes, and what is to be reached."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        names = {"server": "mlflow_server_name", "database": "postgresql_name", "store": "artifact_store_name"}
        self.targets = {target: self.service(str(cluster.variables[name]), cluster.namespace) for target, name in names.items()}
        self.targets |= {"api": self.service("kubernetes", "default"), "dns": self.service("kube-dns", "kube-system")}
        self.targets["host"] = f"{cluster.address}:22"

    def service(self, name: str, namespace: str) -> str:
        """Address and port of a Service."""
        spec = json.loads(self.cluster.run(f"k3s kubectl -n {namespace} get service {name} -o json"))["spec"]
        return f"{spec['clusterIP']}:{spec['ports'][0]['port']}"

    def places(self) -> dict[tuple[str, str], tuple[str, str]]:
        """By namespace and name of a running pod, its node and the ID of its first container."""
        pods = json.loads(self.cluster.run("k3s kubectl get pods -A --field-selector status.phase=Running -o json"))["items"]
        return {
            (found["metadata"]["namespace"], found["metadata"]["name"]):
            (found["spec"]["nodeName"], found["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://"))
            for found in pods if "running" in found["status"].get("containerStatuses", [{"state": {}}])[0]["state"]
        }

    def outcomes(self, node: str, container: str = "") -> dict[str, str]:
        """What became of a connection to each target, from a container's network, or from the host itself."""
        probe = PROBE.format(targets=" ".join(self.targets.values()), timeout=TIMEOUT)
        enter = f"nsenter -n -t $(k3s ctr -n k8s.io task ls | awk '$1 == \"{container}\" {{print $2}}') " if container else ""
        said = dict(line.split() for line in self.cluster.run(f"{enter}bash -c {shlex.quote(probe)}", host=node).splitlines())
        return {target: said[address] for target, address in self.targets.items()}

    def of(self, namespace: str, label: str) -> dict[str, str]:
        """The outcomes for the one pod that has the label."""
        found = self.cluster.run(f"k3s kubectl -n {namespace} get pods -l {label} --field-selector status.phase=Running -o name").split()
        assert len(found) == 1
        return self.outcomes(*self.places()[namespace, found[0].removeprefix("pod/")])


def reached(outcomes: dict[str, str]) -> set[str]:
    """What was reached; everything else has to have been refused at once, so that no client waits."""
    assert {outcome for outcome in outcomes.values() if outcome != "open"} <= {"refused"}, outcomes
    return {target for target, outcome in outcomes.items() if outcome == "open"}


@pytest.fixture(scope="module")
def network(cluster: Cluster) -> Iterator[Network]:
    """With all callers there, in the cluster's namespaces and one more."""
    wanted = [pod(caller) for caller in callers(cluster)]
    for made in wanted:
        made["metadata"]["namespace"] = made["metadata"]["namespace"] or cluster.namespace
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ELSEWHERE}}
    objects = json.dumps({"apiVersion": "v1", "kind": "List", "items": [space, *wanted]})
    cluster.run("k3s kubectl apply -f -", stdin=objects)
    try:
        cluster.run("k3s kubectl wait pod -A -l network-policies=probe --for=condition=Ready --timeout=60s")
        time.sleep(2)
        yield Network(cluster)
    finally:
        cluster.run(f"k3s kubectl delete pod -A -l network-policies=probe --now; k3s kubectl delete namespace {ELSEWHERE}")


@line
def test_callers(cluster: Cluster, network: Network) -> None:
    """Nine pods in three namespaces, each to server, database, store, DNS, API server and a host's SSH."""
    wanted, places = callers(cluster), network.places()
    with ThreadPoolExecutor(4) as pool:
        seen = dict(zip((caller.name for caller in wanted),
                        pool.map(lambda caller: reached(network.outcomes(*places[caller.namespace or cluster.namespace, caller.name])), wanted),
                        strict=True))
    assert seen == {caller.name: caller.reaches for caller in wanted}


@line
@pytest.mark.parametrize(("label", "reaches"), [
    ("app.kubernetes.io/component=server", {"server", "database", "store", "dns"}),
    ("app.kubernetes.io/component=database", set()),
    ("app.kubernetes.io/component=artifacts", set()),
], ids=["server", "database", "store"])
def test_what_is_deployed(cluster: Cluster, network: Network, label: str, reaches: set[str]) -> None:
    """MLflow goes to database, store and DNS; database and store call nobody. A pod's own Service leads to itself, whom no policy is between."""
    found = reached(network.of(cluster.namespace, label))
    own = {"app.kubernetes.io/component=database": "database", "app.kubernetes.io/component=artifacts": "store"}.get(label, "server")
    assert found - {own} == reaches - {own}


@line
def test_hosts(cluster: Cluster, network: Network) -> None:
    """The first server, on which the modules run, reaches all; another host MLflow alone, beside what runs on it."""
    assert set(network.targets) == reached(network.outcomes(cluster.servers[0]))
    others = [host for host in (*cluster.servers[1:], *cluster.agents)]
    components = {"database": "database", "artifacts": "store"}
    pods = cluster.get("pods", "", "--selector", f"app.kubernetes.io/component in ({','.join(components)})")
    for other in others:
        own = {components[found["metadata"]["labels"]["app.kubernetes.io/component"]] for found in pods if found["spec"]["nodeName"] == other}
        assert reached(network.outcomes(other)) == {"server", "api", "dns", "host"} | own


@line
def test_a_named_caller(cluster: Cluster, network: Network) -> None:
    """The MLFLOW_TRACKING_URI that a run prints answers a pod of another namespace that `mlflow_server_callers` names."""
    host = f"{cluster.name}.{cluster.namespace}.svc"
    address, port = network.targets["server"].split(":")
    url = f"http://{host}:{port}/api/2.0/mlflow/experiments/search?max_results=1"
    node, container = network.places()[ELSEWHERE, "notebook"]
    enter = f"nsenter -n -t $(k3s ctr -n k8s.io task ls | awk '$1 == \"{container}\" {{print $2}}')"
    answer = cluster.run(f"{enter} curl -sm 20 --resolve {host}:{port}:{address} '{url}'", host=node)
    assert "experiments" in json.loads(answer)
