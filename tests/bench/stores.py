"""Compare stores of artifacts behind MLflow's proxy in a cluster: an NFS export that the kubelet mounts, over akko's MinIO.

Its rows are among those of k3s.py; alone, it measures on hosts where akko runs already. What is transferred is timed on the first host.
"""
from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("tests/k3s", "tests/helper", "tests/hosts", "tests/unit/helpers")]

from cluster import Cluster  # noqa: E402 - after the folders that it needs
from test_nfs_export import artifact, exported  # noqa: E402

MEBIBYTES, ROUNDS = (1, 64), 7


def timed(cluster: Cluster, size: int, url: str) -> tuple[float, float]:
    """The seconds of an upload and of a download."""
    cluster.run(f"head -c {size}M /dev/urandom >/var/tmp/sent")
    curl = "curl -sSf --max-time 300 -w '%{time_total} '"
    told = cluster.run(f"{curl} -T /var/tmp/sent {url} -o /dev/null && {curl} {url} -o /var/tmp/got && cmp /var/tmp/sent /var/tmp/got", timeout=620)
    up, down = told.split()
    return float(up), float(down)


def rows(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """The rows of the table. AssertionError where a run fails."""
    akko = f"http://{cluster.get('service', cluster.name)['spec']['clusterIP']}:5000"
    with tempfile.TemporaryDirectory() as folder, exported(cluster, Path(folder)) as export:
        run = export.deploy("postgresql", "artifact_store", "mlflow_server", mlflow_server_replicas=1)
        assert run.status == 0, run.output
        for size in MEBIBYTES:
            found: dict[str, list[tuple[float, float]]] = {export.url: [], akko: []}
            for number in range(ROUNDS):
                for url, times in found.items():
                    times.append(timed(cluster, size, artifact(url, f"bench-{time.time_ns()}/{number}.bin")))
            for way, what in enumerate(("upload", "download")):
                nfs, minio = (statistics.median(each[way] for each in times) for times in found.values())
                yield f"{what} of {size} MiB: seconds by NFS over MinIO", f"{nfs / minio:.2f}  ({nfs:.2f} s, {minio:.2f} s)"


def main() -> None:
    """Measure, and print each figure as it is known."""
    for what, figures in rows(Cluster(os.environ["MLFLOW_TEST_INVENTORY"].split(":"), [])):
        print(f"{what:<60}{figures}", flush=True)


if __name__ == "__main__":
    main()
