"""What mlflow_resources costs, against listing, against MLflow's own client, and against a loop over the single modules."""
from __future__ import annotations

import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from harness import Stack
from payloads import Run, payload, play, run, turns, unchanged, unused_payload
from tracking_servers import Flavour, Servers

MODULE = "mlops.mlflow.mlflow_resources"
MANY = 1000
#: How many the slow ways make; the time is scaled.
CLIENT = 250
LOOP = 50
ROUNDS = 7
MOST = 10_000
GROWTH = (100, 1000, MOST)
SCRIPTS = Path(__file__).parent / "scripts"


def declaration(prefix: str, count: int, versions: bool = True) -> dict[str, Any]:
    """``count`` registered models with two tags, and a version with two aliases each."""
    names = [f"{prefix}-{number:05d}" for number in range(count)]
    models = [{"name": name, "tags": {"team": "risk", "tier": str(number % 3)}} for number, name in enumerate(names)]
    if not versions:
        return {"registered_models": models}
    made = [{"name": name, "source": f"s3://bench/{number}", "aliases": ["champion", "challenger"]} for number, name in enumerate(names)]
    return {"registered_models": models, "model_versions": made}


def aliases(prefix: str, count: int) -> dict[str, Any]:
    """The same models, their aliases declared by number, as what is all right already."""
    models = declaration(prefix, count)["registered_models"]
    return {"registered_models": [{**model, "aliases": {"champion": 1, "challenger": 1}} for model in models]}


def resources(stack: Stack) -> Iterator[tuple[str, str]]:
    """The rows of the table."""
    environment = {**os.environ, **stack.environment()}
    with tempfile.TemporaryDirectory() as folder, Servers() as servers:
        busy = replace(stack, tracking_uri=servers(Flavour("3.17.2", "postgresql", workers=2)).stack.tracking_uri)
        yield from _from_nothing(busy, {**os.environ, **busy.environment()}, Path(folder))
        payload(MODULE, aliases("bulk", MANY) | declaration("bulk", MANY), stack, Path(folder, "start"))
        yield from _already_right(stack, environment, Path(folder))
        yield from _growth(stack, environment, Path(folder))
        yield from _control_node(stack, environment, Path(folder, "control"))
        everything: dict[str, Any] = {"registered_models": [], "prune": ["registered_models"], "prune_limit": 100}
        payload(MODULE, everything, stack, Path(folder, "end"))


def _from_nothing(stack: Stack, environment: dict[str, str], folder: Path) -> Iterator[tuple[str, str]]:
    """On a server of two workers, as one of some use has."""
    ours = run(stack.python, unused_payload(MODULE, declaration("bulk", MANY), stack, folder / "bulk"), environment)
    assert ours.result["counts"]["created"] == 2 * MANY, ours.output
    client = run(stack.python, SCRIPTS / "client_models.py", environment, str(CLIENT)).wall * MANY / CLIENT
    loop = _loop(stack) * MANY / LOOP
    again = _loop(stack) * MANY / LOOP
    yield f"{MANY} models from nothing, MlflowClient over it", f"{client / ours.wall:.1f}  ({client:.0f} s, {ours.wall:.0f} s)"
    yield f"{MANY} models from nothing, a loop over it", f"{loop / ours.wall:.0f}  ({loop:.0f} s, {ours.wall:.0f} s)"
    right = unchanged(run(stack.python, payload(MODULE, declaration("bulk", MANY), stack, folder / "again"), environment)).wall
    yield f"{MANY} models already right, a loop over it", f"{again / right:.0f}  ({again:.0f} s, {right:.2f} s)"


def _loop(stack: Stack) -> float:
    """Seconds that a playbook takes which loops over the single modules."""
    wanted = declaration("loop", LOOP)
    tasks = [
        {"mlops.mlflow.mlflow_registered_model": {"name": "{{ item.name }}", "tags": "{{ item.tags }}"}, "loop": wanted["registered_models"]},
        {
            "mlops.mlflow.mlflow_model_version": {"name": "{{ item.name }}", "source": "{{ item.source }}", "aliases": "{{ item.aliases }}"},
            "loop": wanted["model_versions"],
        },
    ]
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        done = play(tasks, stack.environment(), stack.python, Path(folder))
        took = time.monotonic() - start
    if done.returncode:
        sys.exit(f"bench: {done.stdout}{done.stderr}")
    return took


def _already_right(stack: Stack, environment: dict[str, str], folder: Path) -> Iterator[tuple[str, str]]:
    right = payload(MODULE, aliases("bulk", MANY), stack, folder / "right")
    empty = payload("empty", {}, stack, folder / "empty")
    ways = {
        "right": lambda: unchanged(run(stack.python, right, environment)),
        "list": lambda: run(stack.python, SCRIPTS / "list_models.py", environment),
        "empty": lambda: run(stack.python, empty, environment),
    }
    costs = turns(stack, ways, ROUNDS)
    yield f"{MANY} models already right, over listing them", costs["right"].over(costs["list"])
    yield "an empty module, over the same listing", costs["empty"].over(costs["list"])


def _growth(stack: Stack, environment: dict[str, str], folder: Path) -> Iterator[tuple[str, str]]:
    """Time and memory of a run that finds everything right, as the number grows; the server holds no more than is declared."""
    for count in GROWTH:
        wanted = {**declaration("grow", count, versions=False), "prune": ["registered_models"], "prune_limit": 100}
        path = payload(MODULE, wanted, stack, folder / str(count))
        memory: list[float] = []
        ours = partial(_unchanged, stack, path, environment, memory)
        costs = turns(stack, {"ours": ours, "list": lambda: run(stack.python, SCRIPTS / "list_models.py", environment)}, 3)
        took = costs["ours"].wall
        yield f"{count} models already right", f"{took:.2f} s, {took / count * 1000:.2f} ms each, {max(memory):.0f} MiB at most"
        yield f"{count} models already right, over listing them", costs["ours"].over(costs["list"])


def _unchanged(stack: Stack, path: Path, environment: dict[str, str], memory: list[float]) -> Run:
    """A run of a payload that changes nothing, whose memory is noted."""
    done = unchanged(run(stack.python, path, environment))
    memory.append(done.memory)
    return done


def _control_node(stack: Stack, environment: dict[str, str], folder: Path) -> Iterator[tuple[str, str]]:
    """The CPU time of Ansible without the module, by the number of entries in a file."""
    folder.mkdir()
    costs: dict[int, float] = {}
    for count in (0, MOST):
        wanted = declaration("grow", count, versions=False)
        file = folder / f"{count}.yml"
        file.write_text(yaml.safe_dump(wanted, sort_keys=False))
        module = payload(MODULE, wanted, stack, folder / str(count))
        found = []
        for _round in range(3):
            before = _children()
            done = play([{MODULE: {"src": str(file)}}], stack.environment(), stack.python, folder)
            if done.returncode or "changed=0" not in done.stdout:
                sys.exit(f"bench: {done.stdout}{done.stderr}")
            found.append(_children() - before - run(stack.python, module, environment).cpu)
        costs[count] = statistics.median(found)
    each = (costs[MOST] - costs[0]) / MOST * 1000
    yield f"CPU of the control node for {MOST} entries in a file", f"{each:.2f} ms each  ({costs[MOST]:.2f} s, {costs[0]:.2f} s without an entry)"


def _children() -> float:
    """The seconds of CPU that children of this process have used, and theirs, that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
