"""A client that logs metrics in a bounded loop while things break, and remembers which of them were acknowledged."""
from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from cluster import Cluster

PAUSE = 0.2  # seconds between two records


@dataclass
class Ledger:
    """One run that a thread writes to: each step is tried once, and an answer of 200 makes it an acknowledged one."""

    cluster: Cluster
    acknowledged: dict[int, float] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    #: The longest time between two steps that were acknowledged.
    pause: float = 0.0
    run_id: str = ""
    artifact_root: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Ledger:
        name = f"ledger-{time.time_ns()}"
        experiment = self._post("experiments/create", {"name": name})["experiment_id"]
        info = self._post("runs/create", {"experiment_id": experiment, "start_time": int(time.time() * 1000)})["run"]["info"]
        self.run_id = info["run_id"]
        self.artifact_root = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def wait_for_more(self, count: int, timeout: float) -> float:
        """Wait until ``count`` further steps are acknowledged; the seconds that it took. TimeoutError after ``timeout`` seconds."""
        start, before = time.monotonic(), len(self.acknowledged)
        while len(self.acknowledged) < before + count:
            if time.monotonic() - start > timeout:
                raise TimeoutError(f"{len(self.acknowledged) - before} of {count} records in {timeout:.0f} s; the last failure: {self.failures[-1:]}")
            time.sleep(0.2)
        return time.monotonic() - start

    def lost(self) -> list[str]:
        """What was acknowledged and is not there, or is there with another value."""
        found: dict[int, float] = {}
        token = ""
        while True:
            path = f"/api/2.0/mlflow/metrics/get-history?run_id={self.run_id}&metric_key=step&max_results=25000&page_token={token}"
            page = self._ask("GET", path)
            found.update({int(metric["step"]): metric["value"] for metric in page.get("metrics", [])})
            token = page.get("next_page_token", "")
            if not token:
                break
        lost = [f"metric of step {step}" for step, value in self.acknowledged.items() if found.get(step) != value]
        for name, content in self.artifacts.items():
            answer = self.cluster.https("GET", f"/api/2.0/mlflow-artifacts/artifacts/{self.artifact_root}/{name}")
            if answer.status != 200 or answer.body != content:
                lost.append(f"artifact {name}: status {answer.status}")
        return lost

    def _write(self) -> None:
        last = time.monotonic()
        for step in range(10_000):
            if self._stop.is_set():
                return
            body = {"run_id": self.run_id, "metrics": [{"key": "step", "value": step * 0.5, "timestamp": int(time.time() * 1000), "step": step}]}
            if self._tried("POST", "/api/2.0/mlflow/runs/log-batch", body):
                self.acknowledged[step] = step * 0.5
                self.pause, last = max(self.pause, time.monotonic() - last), time.monotonic()
            if step % 10 == 0:
                name, content = f"step-{step}.txt", f"content of step {step}\n".encode() * 1000
                if self._tried("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{self.artifact_root}/{name}", content):
                    self.artifacts[name] = content
            time.sleep(PAUSE)

    def _tried(self, method: str, path: str, body: object) -> bool:
        try:
            answer = self.cluster.https(method, path, body, timeout=10)
        except (OSError, ValueError) as error:
            self.failures.append(f"{type(error).__name__}: {error}")
            return False
        if answer.status != 200:
            self.failures.append(f"status {answer.status}: {answer.body[:200]!r}")
        return answer.status == 200

    def _post(self, path: str, body: object) -> Any:
        return self._ask("POST", f"/api/2.0/mlflow/{path}", body)

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        answer = self.cluster.https(method, path, body)
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: status {answer.status}: {answer.body[:500]!r}")
        return json.loads(answer.body)
