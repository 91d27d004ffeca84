"""Measure, in one run and as ratios: a second run of the playbook, the stack in memory, each module's CPU, a whole declaration, and uploads.

It brings up a deployment of its own, from nothing, and removes it at the end.
"""
from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from cpu import module_costs  # noqa: E402 - after the folder that it needs
from deployment import Deployment  # noqa: E402
from harness import Stack  # noqa: E402
from passwords import passwords  # noqa: E402
from processes import family  # noqa: E402
from resources import resources  # noqa: E402
from uploads import uploads  # noqa: E402


def runs(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """The time of a second run of the playbook and its check over that of the first, which starts from nothing but pip's cache."""
    times, spent, tasks = [], [], []
    for arguments in ([], [], ["--check"]):
        start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        tasks.append(len(deployment.up(*arguments)))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(time.monotonic() - start)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    for number, what in ((1, "second run of site.yml"), (2, "check mode of site.yml")):
        yield f"{what} over the first", f"{times[number] / times[0]:.2f}  ({times[number]:.0f} s, {times[0]:.0f} s)"
        yield f"CPU of {what} over that of the first", f"{spent[number] / spent[0]:.2f}  ({spent[number]:.1f} s, {spent[0]:.1f} s)"
        yield f"tasks of {what}", f"{tasks[number]} of {tasks[0]}"


def memory(stack: Stack) -> Iterator[tuple[str, str]]:
    """The resident memory of the supervisor and everything under it."""
    deployed = family(int((Path(stack.python).parents[2] / "run" / "supervisord.pid").read_text()))
    sums = {"Rss": 0, "Pss": 0}
    for pid in deployed:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            key, _colon, value = line.partition(":")
            if key in sums:
                sums[key] += int(value.split()[0])
    yield f"memory of the stack's {len(deployed)} processes", f"{sums['Pss'] / 1024:.0f} MiB proportional, {sums['Rss'] / 1024:.0f} MiB resident"


def measurements(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """The rows of the table."""
    yield from runs(deployment)
    yield from memory(deployment.stack())
    yield from module_costs(deployment.stack())
    yield from resources(deployment.stack())
    yield from passwords(deployment.stack())
    yield from uploads(deployment)  # ends with another artifact store


def main() -> None:
    """Measure, and print each figure as it is known."""
    deployment = Deployment("bench", 28600)
    deployment.remove()
    try:
        for what, figure in measurements(deployment):
            print(f"{what:<64}{figure}", flush=True)
    finally:
        deployment.remove()


if __name__ == "__main__":
    main()
