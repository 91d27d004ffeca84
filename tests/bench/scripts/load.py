"""Load an MLflow server for a while over kept-alive connections, and print what it took. usage: load.py URL SECONDS CONNECTIONS OPERATION...

Standard library alone: it runs on the test hosts. Its only output is JSON: {operation: {count, per_second, p50_ms, p99_ms, failed}}.
"""
from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit

ARTIFACT = b"x" * (1 << 20)  # 1 MiB


class Client(threading.Thread):
    """One kept-alive connection that asks for one operation until the time is over."""

    def __init__(self, address: str, operation: str, run: dict[str, str], until: float) -> None:
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection(address, timeout=60)
        self.operation, self.info, self.until = operation, run, until
        self.times: list[float] = []
        self.failed = 0

    def run(self) -> None:
        step = 0
        while time.monotonic() < self.until:
            step += 1
            start = time.monotonic()
            try:
                status = self.ask(*self.request(step))
            except OSError:
                status = 0
                self.connection.close()
                time.sleep(0.2)
            if status == 200:
                self.times.append(time.monotonic() - start)
            else:
                self.failed += 1

    def request(self, step: int) -> tuple[str, str, bytes]:
        now = int(time.time() * 1000)
        if self.operation == "log-batch":
            metrics = [{"key": f"metric-{number}", "value": step, "timestamp": now, "step": step} for number in range(10)]
            return "POST", "/api/2.0/mlflow/runs/log-batch", json.dumps({"run_id": self.info["run_id"], "metrics": metrics}).encode()
        if self.operation == "search":
            body = {"experiment_ids": [self.info["experiment_id"]], "max_results": 20, "order_by": ["metrics.`metric-1` DESC"]}
            return "POST", "/api/2.0/mlflow/runs/search", json.dumps(body).encode()
        if self.operation == "get-experiment":
            return "GET", f"/api/2.0/mlflow/experiments/get?experiment_id={self.info['experiment_id']}", b""
        root = self.info["artifact_uri"].removeprefix("mlflow-artifacts:/")
        return "PUT", f"/api/2.0/mlflow-artifacts/artifacts/{root}/{self.ident}-{step % 10}.bin", ARTIFACT

    def ask(self, method: str, path: str, body: bytes) -> int:
        kind = "application/octet-stream" if method == "PUT" else "application/json"
        self.connection.request(method, path, body, {"Content-Type": kind})
        answer = self.connection.getresponse()
        answer.read()
        return answer.status


def make_runs(address: str) -> dict[str, str]:
    """An experiment of twenty runs; the last one's info."""
    def post(path: str, body: object) -> dict[str, dict[str, dict[str, str]]]:
        connection = http.client.HTTPConnection(address, timeout=60)
        connection.request("POST", f"/api/2.0/mlflow/{path}", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            sys.exit(f"{path}: status {answer.status}: {text[:300]!r}")
        return json.loads(text)  # type: ignore[no-any-return]

    experiment = post("experiments/create", {"name": f"load-{time.time_ns()}"})["experiment_id"]
    for _ in range(20):
        info = post("runs/create", {"experiment_id": experiment, "start_time": int(time.time() * 1000)})["run"]["info"]
    return info


def main() -> None:
    """Every operation (log-batch, search, artifact, get-experiment) at once, CONNECTIONS connections each."""
    address, seconds, connections, operations = urlsplit(sys.argv[1]).netloc, float(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    run, until = make_runs(address), time.monotonic() + seconds
    clients = [Client(address, operation, run, until) for operation in operations for _ in range(connections)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    found = {}
    for operation in operations:
        times = sorted(moment for client in clients if client.operation == operation for moment in client.times) or [float("nan")]
        found[operation] = {
            "count": len(times),
            "per_second": round(len(times) / seconds, 2),
            "p50_ms": round(times[len(times) // 2] * 1000, 1),
            "p99_ms": round(times[len(times) * 99 // 100] * 1000, 1),
            "failed": sum(client.failed for client in clients if client.operation == operation),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
