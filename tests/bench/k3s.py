"""Measure the deployment on k3s hosts, as ratios in one run.

Boots two test hosts, deploys akko on them from nothing, measures, and removes them. What is compared runs on the same hosts, one after the other.
"""
from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "k3s"))

import logins  # noqa: E402 - after the folder that it needs
import stores  # noqa: E402
from cluster import Cluster  # noqa: E402
from pods import memory  # noqa: E402

INVENTORIES = [str(ROOT / "inventories" / "akko"), "/var/tmp/mlops-mlflow-hosts/inventory"]
PLAIN_ARCHIVE_MB = 376  # of an image with a plain `pip install mlflow psycopg2-binary boto3`
DEFAULTS = "mlflow-defaults"
EVERYTHING, LIGHT = "log-batch search artifact", "get-experiment"
OURS = ("MLFLOW_SQLALCHEMYSTORE_", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "MLFLOW_SERVER_ALLOWED_HOSTS", "MALLOC_")


def deploy() -> tuple[float, int]:
    """Run site.yml; the seconds it took, and the tasks that ran on the first server."""
    start = time.monotonic()
    words = ["ansible-playbook", str(ROOT / "site.yml"), *(word for path in INVENTORIES for word in ("--inventory", path))]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode != 0:
        sys.exit(done.stdout[-6000:] + done.stderr[-2000:])
    tasks = re.search(r"^akko-1 +: ok=(\d+)", done.stdout, re.MULTILINE)
    return time.monotonic() - start, int(tasks[1]) if tasks else 0


def image(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """The compressed size of the server's image, as the registry keeps it."""
    reference = str(cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"])
    registry, _slash, name = reference.partition("/")
    name, _colon, tag = name.partition(":")
    accept = "-H 'Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json'"
    manifest = json.loads(cluster.run(f"curl -sf {accept} http://{registry}/v2/{name}/manifests/{tag.split('@')[0]}"))
    size = sum(layer["size"] for layer in manifest["layers"]) / 1e6
    yield "size of the image over that of a plain install", f"{size / PLAIN_ARCHIVE_MB:.2f}  ({size:.0f} MB, {PLAIN_ARCHIVE_MB} MB)"


def load(cluster: Cluster, service: str, seconds: float, connections: int = 4, operations: str = EVERYTHING) -> dict[str, dict[str, float]]:
    """Load a Service from the first server; see scripts/load.py."""
    address = cluster.get("service", service)["spec"]["clusterIP"]
    cluster.run("cat > /var/tmp/load.py", stdin=(ROOT / "tests" / "bench" / "scripts" / "load.py").read_text())
    found: dict[str, dict[str, float]] = json.loads(
        cluster.run(f"python3 /var/tmp/load.py http://{address}:5000 {seconds} {connections} {operations}", timeout=seconds + 300))
    return found


@contextmanager
def beside(cluster: Cluster, name: str, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """While it lasts, a server like ours but for what ``change`` does to its container: a Deployment and a Service of that name."""
    template = copy.deepcopy(cluster.get("deployment", cluster.name))["spec"]["template"]
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "mlflow"}
    template["metadata"] = {"labels": labels}
    container: dict[str, Any] = template["spec"]["containers"][0]
    change(container)
    for probe in ("livenessProbe", "startupProbe"):
        container.pop(probe, None)
    objects = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
         "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"selector": labels, "ports": [{"port": 5000}]}},
    ]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    cluster.run(f"k3s kubectl --namespace {cluster.namespace} apply --filename -", stdin=text)
    try:
        cluster.kubectl("rollout", "status", f"deployment/{name}", "--timeout", "300s", timeout=320)
        yield
    finally:
        cluster.kubectl("delete", "deployment,service", name)


def mlflows_own_defaults(container: dict[str, Any]) -> None:
    """The same image and CPU limit as `mlflow server` starts without a word, with room for it."""
    container["command"], container["args"] = ["mlflow", "server", "--host", "0.0.0.0"], []
    container["env"] = [entry for entry in container["env"] if not entry["name"].startswith(OURS)]
    container["resources"]["limits"]["memory"] = "4Gi"


def workers(count: int) -> Callable[[dict[str, Any]], None]:
    """So many workers with a core between them, which one connection does not use up."""
    def change(container: dict[str, Any]) -> None:
        words = container["args"]
        words[words.index("--workers") + 1] = str(count)
        # Those of our Service; MLflow's default lets private addresses in.
        container["env"] = [entry for entry in container["env"] if entry["name"] != "MLFLOW_SERVER_ALLOWED_HOSTS"]
        container["resources"]["limits"] = {"cpu": "1", "memory": "1Gi"}
    return change


def deployment() -> Iterator[tuple[str, str]]:
    """The rows of the table about site.yml."""
    first, tasks = deploy()
    second, tasks_again = deploy()
    yield "site.yml from bare hosts, seconds", f"{first:.0f}  ({tasks} tasks on the first server)"
    yield "second run of site.yml over the first", f"{second / first:.2f}  ({second:.0f} s, {tasks_again} tasks)"


def server(minutes: float) -> Iterator[tuple[str, str]]:
    """The rows about the server."""
    cluster = Cluster(INVENTORIES, [])
    app = str(cluster.variables["mlflow_server_app"])
    yield from image(cluster)
    rest = memory(cluster, app)
    yield "MLflow's memory at rest, MiB of 512", f"{rest['rss']:.0f}"
    ours = load(cluster, cluster.name, 60)
    with beside(cluster, DEFAULTS, mlflows_own_defaults):
        theirs = load(cluster, DEFAULTS, 60)
        their_memory = memory(cluster, DEFAULTS)["rss"]
    for operation in ours:
        mine, other = ours[operation], theirs[operation]
        yield (f"{operation}: our requests a second over MLflow's defaults'",
               f"{mine['per_second'] / max(other['per_second'], 0.01):.2f}  ({mine['per_second']}, {other['per_second']}; "
               f"p50 {mine['p50_ms']} ms, {other['p50_ms']} ms; failed {mine['failed']}, {other['failed']})")
    yield "MLflow's defaults, memory under load, MiB", f"{their_memory:.0f}"
    kept_alive = {}
    for count in (1, 2):
        with beside(cluster, f"mlflow-workers-{count}", workers(count)):
            kept_alive[count] = load(cluster, f"mlflow-workers-{count}", 30, 1, LIGHT)[LIGHT]["p50_ms"]
    yield (f"{LIGHT} on a kept connection, two workers over one", f"{kept_alive[2] / kept_alive[1]:.2f}  "
           f"(p50 {kept_alive[2]} ms, {kept_alive[1]} ms)")
    steady = load(cluster, cluster.name, minutes * 60)
    after = memory(cluster, app)
    yield (f"{minutes:.0f} minutes of load: memory, MiB of 512", f"{after['rss']:.0f}, restarts {after['restarts']:.0f}, "
           f"{sum(found['count'] for found in steady.values())} requests, {sum(found['failed'] for found in steady.values())} failed")


def others() -> Iterator[tuple[str, str]]:
    """The rows of further deployments beside that server."""
    cluster = Cluster(INVENTORIES, [])
    return itertools.chain(logins.rows(cluster), stores.rows(cluster))


def show(rows: Iterable[tuple[str, str]]) -> None:
    """Print each as it is known."""
    for what, figure in rows:
        print(f"{what:<60}{figure}", flush=True)


def main() -> None:
    """Measure, and print each figure as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long the steady load lasts")
    parser.add_argument("--deployed", action="store_true", help="measure the server alone, on hosts where it runs already")
    said = parser.parse_args()
    os.environ["MLFLOW_TEST_INVENTORY"] = ":".join(INVENTORIES)
    if said.deployed:
        show(itertools.chain(server(said.minutes), others()))
        return
    # With their inventory, and with akko's registry.
    subprocess.run(["molecule", "destroy", "-s", "upgrade"], check=True, cwd=ROOT)
    subprocess.run(["molecule", "create", "-s", "upgrade"], check=True, cwd=ROOT)
    try:
        show(itertools.chain(deployment(), server(said.minutes)))
        show(others())
    finally:
        subprocess.run(["molecule", "destroy", "-s", "upgrade"], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
