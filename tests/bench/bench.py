"""Measure, in one run and as ratios: what a module costs, a second run of the playbook, and the stack in memory.

It brings up a deployment of its own, from nothing, and removes it at the end.
"""
from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from deployment import Deployment  # noqa: E402 - lies beside this folder
from harness import Stack  # noqa: E402
from payloads import payload, run  # noqa: E402
from resources import resources  # noqa: E402

ROUNDS = 30
#: A module, the arguments by which it makes what it then finds right, and those by which it takes it away.
MODULES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "empty": ({}, {}),
    "mlops.mlflow.mlflow_registered_model": (
        {"name": "bench", "description": "a", "tags": {"team": "risk", "tier": "1"}},
        {"name": "bench", "state": "absent"},
    ),
    "mlops.mlflow.mlflow_database": (
        {"name": "bench", "owner_password": "for-the-bench-alone", "grants": {}},
        {"name": "bench", "state": "absent", "remove_owner": True},
    ),
    "mlops.mlflow.mlflow_bucket": ({"name": "bench", "tags": {"team": "risk"}}, {"name": "bench", "state": "absent"}),
}


def module_costs(stack: Stack) -> Iterator[tuple[str, str]]:
    """The CPU time of each module that finds everything right, over that of an empty one. Their runs take turns."""
    environment = {**os.environ, **stack.environment()}
    with tempfile.TemporaryDirectory() as folder:
        payloads = {name: payload(name, present, stack, Path(folder)) for name, (present, _absent) in MODULES.items()}
        costs: dict[str, list[float]] = {name: [] for name in payloads}
        for number in range(ROUNDS + 1):
            for name, path in payloads.items():
                done = run(stack.python, path, environment)
                if done.result.get("changed"):
                    sys.exit(f"bench: {name} found something to change: {done.result}")
                if number:  # the first round warms the caches
                    costs[name].append(done.cpu)
        for name, (_present, absent) in MODULES.items():
            payload(name, absent, stack, Path(folder, "end"))
    empty = statistics.median(costs["empty"])
    yield "CPU of an empty module", f"{empty * 1000:.0f} ms"
    for name, each in costs.items():
        if name != "empty":
            middle = statistics.median(each)
            yield f"CPU of {name.split('.')[2]} over that", f"{middle / empty:.2f}  ({middle * 1000:.0f} ms)"


def runs(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """The time of a second run of the playbook over that of the first, which starts from nothing but pip's cache."""
    times = []
    for _number in range(2):
        start = time.monotonic()
        deployment.up()
        times.append(time.monotonic() - start)
    yield "second run of site.yml over the first", f"{times[1] / times[0]:.2f}  ({times[1]:.0f} s, {times[0]:.0f} s)"


def memory(stack: Stack) -> Iterator[tuple[str, str]]:
    """The resident memory of the supervisor and everything under it."""
    supervisor = int((Path(stack.python).parents[2] / "run" / "supervisord.pid").read_text())
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):  # has ended since
            continue
    family, grown = {supervisor}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        grown = bool(more)
        family |= more
    sums = {"Rss": 0, "Pss": 0}
    for pid in family:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            key, _colon, value = line.partition(":")
            if key in sums:
                sums[key] += int(value.split()[0])
    yield f"memory of the stack's {len(family)} processes", f"{sums['Pss'] / 1024:.0f} MiB proportional, {sums['Rss'] / 1024:.0f} MiB resident"


def main() -> None:
    """Measure, and print one table."""
    deployment = Deployment("bench", 28600)
    deployment.remove()
    try:
        rows = [*runs(deployment), *memory(deployment.stack()), *module_costs(deployment.stack()), *resources(deployment.stack())]
    finally:
        deployment.remove()
    for what, figure in rows:
        print(f"{what:<48}{figure}")


if __name__ == "__main__":
    main()
