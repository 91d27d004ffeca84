"""What stands in the way in the cluster is named before the first change; an API server that restarts meanwhile is waited for."""
from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from playbook import Run, play, roles_playbook

# Not for what they break, but for the minutes that they take.
pytestmark = [pytest.mark.outage, pytest.mark.line("(beyond) mishaps: one message that names the remedy, and a run after it converges")]


@contextmanager
def there(cluster: Cluster, *objects: dict[str, Any]) -> Iterator[None]:
    """These objects, which are removed afterwards, whatever holds them."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    cluster.run("k3s kubectl apply --filename -", stdin=text)
    try:
        yield
    finally:
        for thing in reversed(objects):
            name, namespace = thing["metadata"]["name"], thing["metadata"].get("namespace", "default")
            place = f"{thing['kind'].lower()} {name} --namespace {namespace}"
            if thing["metadata"].get("finalizers"):
                cluster.run(f"k3s kubectl patch {place} --type merge --patch '{{\"metadata\": {{\"finalizers\": []}}}}' || true")
            cluster.run(f"k3s kubectl delete {place} --ignore-not-found --timeout=90s", timeout=100)


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def assert_refused(run: Run, *words: str) -> None:
    assert (run.status, run.changed) == (2, 0), run.output
    for word in words:
        assert word in run.failures[-1][1]


def test_a_namespace_that_is_being_deleted(cluster: Cluster, tmp_path: Path) -> None:
    """What holds it is told."""
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "namespace": "ending", "finalizers": ["example.com/held"]}}
    with there(cluster, namespace("ending"), held):
        cluster.run("k3s kubectl delete namespace ending --wait=false")
        run = play(roles_playbook(tmp_path, ["postgresql"]), {"kubernetes_namespace": "ending", "postgresql_name": "database"})
        assert_refused(run, "kubernetes_namespace: 'ending' is being deleted since", "nothing was changed", "Wait until it is gone")


def test_the_host_of_another_ingress(cluster: Cluster, tmp_path: Path) -> None:
    """In another namespace, by its name."""
    backend = {"service": {"name": "shop", "port": {"number": 80}}}
    rule = {"host": cluster.host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    metadata = {"name": "shop", "namespace": "rival", "annotations": {"meta.helm.sh/release-name": "shop"}}
    shop = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": {"rules": [rule]}}
    with there(cluster, namespace("rival"), shop):
        run = play(roles_playbook(tmp_path, ["mlflow_image", "postgresql", "artifact_store", "mlflow_server"]))
        assert_refused(run, f"mlflow_server_host: '{cluster.host}' is the host of Ingress/shop in namespace rival too", "Helm release shop")


def test_an_api_server_that_restarts_during_a_run(cluster: Cluster, tmp_path: Path) -> None:
    """The run ends as if nothing had happened."""
    roles = roles_playbook(tmp_path, ["mlflow_image", "postgresql", "artifact_store", "mlflow_server"])
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(play, roles)
        for _ in range(2):
            cluster.run("sleep 15; systemctl restart k3s", timeout=120)
        run = running.result()
    assert (run.status, run.changed) == (0, 0), run.output
