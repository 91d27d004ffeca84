"""Measure, in one run and as ratios: a second run of the playbook, the stack in memory, each module's CPU, and a whole declaration.

It brings up a deployment of its own, from nothing, and removes it at the end.
"""
from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from cpu import module_costs  # noqa: E402 - after the folder that it needs
from deployment import Deployment  # noqa: E402
from harness import Stack  # noqa: E402
from resources import resources  # noqa: E402


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


def measurements(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """The rows of the table."""
    yield from runs(deployment)
    yield from memory(deployment.stack())
    yield from module_costs(deployment.stack())
    yield from resources(deployment.stack())


def main() -> None:
    """Measure, and print each figure as it is known."""
    deployment = Deployment("bench", 28600)
    deployment.remove()
    try:
        for what, figure in measurements(deployment):
            print(f"{what:<56}{figure}", flush=True)
    finally:
        deployment.remove()


if __name__ == "__main__":
    main()
