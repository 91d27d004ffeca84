"""Uploads of artifacts through the embedded server, over those through a plain ``mlflow server`` on a folder."""
from __future__ import annotations

import http.client
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from deployment import Deployment
from processes import cpu, family

#: What the issue that asked for it measured: artifacts of 8 MiB, and as many clients as one person, a few, and a sweep have.
SIZE, CLIENTS = 8 << 20, (1, 4, 16)
ROUNDS, SECONDS = 3, 4.0


class Client(threading.Thread):
    """Uploads over one kept-alive connection until the time is over, ten names in turn."""

    def __init__(self, uri: str, number: int, until: float) -> None:
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection(urlsplit(uri).netloc, timeout=120)
        self.number, self.until, self.done = number, until, 0
        self.failure = ""

    def run(self) -> None:
        body = os.urandom(SIZE)
        while time.monotonic() < self.until and not self.failure:
            path = f"/api/2.0/mlflow-artifacts/artifacts/0/bench/artifacts/{self.number}-{self.done % 10}.bin"
            self.connection.request("PUT", path, body, {"Content-Type": "application/octet-stream"})
            answer = self.connection.getresponse()
            text = answer.read()
            if answer.status == 200:
                self.done += 1
            else:
                self.failure = f"status {answer.status}: {text[:200]!r}"


def rate(uri: str, clients: int) -> float:
    """How many artifacts a second arrive."""
    start = time.monotonic()
    working = [Client(uri, number, start + SECONDS) for number in range(clients)]
    for client in working:
        client.start()
    for client in working:
        client.join()
    failures = [client.failure for client in working if client.failure]
    if failures:
        sys.exit(f"bench: an upload failed: {failures[0]}")
    return sum(client.done for client in working) / (time.monotonic() - start)


@contextmanager
def plain_server(deployment: Deployment, port: int) -> Iterator[tuple[str, int]]:
    """A plain ``mlflow server`` of the same version with SQLite and a folder, as the same user: its address and process."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        owner = deployment.home.stat()
        os.chown(folder, owner.st_uid, owner.st_gid)
        uri = f"http://127.0.0.1:{port}"
        command = [
            str(deployment.home / "venv/bin/python"), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts",
        ]  # fmt: skip
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with Path(folder, "log").open("w") as log:
            server = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=log, stderr=log, user=owner.st_uid, group=owner.st_gid, start_new_session=True
            )
            try:
                wait(f"{uri}/health", Path(folder, "log"))
                yield uri, server.pid
            finally:
                os.killpg(server.pid, signal.SIGTERM)
                server.wait()


def wait(url: str, log: Path) -> None:
    """Wait until it answers."""
    for _try in range(600):
        with suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.5)
    sys.exit(f"bench: {url} does not answer: {log.read_text()[-1000:]}")


def compare(deployment: Deployment, what: str) -> Iterator[tuple[str, str]]:
    """The rows of one artifact store. Both servers take turns."""
    ours = deployment.stack().tracking_uri
    supervisor = int((deployment.home / "run/supervisord.pid").read_text())
    with plain_server(deployment, deployment.first_port + 20) as (plain, process):
        for uri in (ours, plain):
            rate(uri, 1)  # the first round opens connections and warms caches
        for clients in CLIENTS:
            rates: dict[str, list[float]] = {ours: [], plain: []}
            costs: dict[str, list[float]] = {ours: [], plain: []}
            for _round in range(ROUNDS):
                for uri, root in ((ours, supervisor), (plain, process)):
                    before = cpu(family(root))
                    rates[uri].append(rate(uri, clients))
                    costs[uri].append((cpu(family(root)) - before) / (rates[uri][-1] * SECONDS))
            mine, theirs = (statistics.median(rates[uri]) for uri in (ours, plain))
            spent, wanted = (statistics.median(costs[uri]) for uri in (ours, plain))
            yield (
                f"uploads of 8 MiB with {what}, {clients} at once, over plain MLflow",
                f"{mine / theirs:.2f}  ({mine:.0f} and {theirs:.0f} a second; {spent * 1000:.0f} and {wanted * 1000:.0f} ms of CPU each)",
            )


def uploads(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """The rows of the table: on S3, as deployed, and then on a folder."""
    yield from compare(deployment, "S3")
    folder = deployment.home / "artifacts"
    folder.mkdir(mode=0o700)
    owner = deployment.home.stat()
    for path in (folder, folder / ".mlops-mlflow"):
        path.touch()
        os.chown(path, owner.st_uid, owner.st_gid)
    deployment.up(artifact_store_provider="folder")
    yield from compare(deployment, "a folder")
