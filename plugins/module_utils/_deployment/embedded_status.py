# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What is said of a running embedded stack, and what is wrong with it. No I/O."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

#: Less free space than that is worth a word: SeaweedFS starts a new volume only if there is a gibibyte.
_LITTLE = 1 << 30
#: A backup that is older than that is worth a word.
_OLD_HOURS = 48
#: How to make it run, and how to make a backup.
_UP, _BACKUP = "run the site playbook (in a checkout: make up)", "run the playbook mlops.mlflow.backup (in a checkout: make backup)"


def amount(count: float) -> str:
    """Return a number of bytes for people.

    >>> amount(512), amount(1536 * 1024), amount(5 * 1024**3)
    ('512 bytes', '1.5 MiB', '5.0 GiB')
    """
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def span(seconds: float) -> str:
    """Return a length of time for people.

    >>> span(59), span(3600), span(100000), span(10 * 86400)
    ('59 seconds', '60 minutes', '28 hours', '10 days')
    """
    for unit, length, most in (("seconds", 1, 120), ("minutes", 60, 7200), ("hours", 3600, 172800)):
        if seconds < most:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


def _age(time: str, now: float) -> float:
    return now - datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()


def report(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return lines, and the problems among them.

    ``found`` is what ``stack.py look`` prints, ``measured`` what ``status.py`` prints, ``home`` the folder.
    """
    measured = given["measured"]
    if not measured["there"] or not given["found"]["has_run"]:
        return {"lines": [], "problems": [f"No MLflow server has run in {given['home']}; {_UP}"]}
    now = float(measured["now"])
    return {"lines": [*_running(given, now), *_room(measured), *_saved(measured["backups"], now)], "problems": list(_problems(given, now))}


def _running(given: Mapping[str, Any], now: float) -> Iterator[str]:
    yield f"MLflow {given['found']['mlflow_version']} in {given['home']}, at {given['measured']['uri']}"
    for process in given["measured"]["processes"]:
        since = f" for {span(now - process['since'])}" if process["state"] == "RUNNING" else ""
        yield f"  {process['name']}: {process['state']}{since}"


def _room(measured: Mapping[str, Any]) -> Iterator[str]:
    yield "  " + ", ".join(f"{what} {amount(count)}" for what, count in measured["sizes"].items()) + f"; {amount(measured['free'])} free"


def _saved(backups: Mapping[str, Any], now: float) -> Iterator[str]:
    made, drill = backups.get("backup"), backups.get("drill")
    if not made:
        yield f"  no backup yet; {_BACKUP}"
    else:
        yield (
            f"  last backup {span(_age(made['time'], now))} ago, set {made['set'][:8]}, {amount(made['bytes'])} in {made['seconds']} seconds; "
            f"{made['sets']} sets in {backups['repository']}"
        )
    if drill:
        yield f"  last drill {span(_age(drill['time'], now))} ago, of set {drill['set'][:8]}, in {drill['seconds']} seconds"


def _problems(given: Mapping[str, Any], now: float) -> Iterator[str]:
    found, measured = given["found"], given["measured"]
    yield from found["problems"]
    yield from found["losses"]
    if not measured["processes"]:
        yield f"No supervisor answers, so that nothing runs; {_UP}"
    for process in measured["processes"]:
        if process["state"] != "RUNNING":
            yield f"{process['name']} is {process['state']}; see {given['home']}/log/{process['name']}.log, then {_UP}"
    if measured["processes"] and measured["silence"]:
        yield f"MLflow does not answer at {measured['uri']}: {measured['silence']}; see {given['home']}/log/mlflow.log"
    if measured["free"] < _LITTLE:
        yield f"The disk of {given['home']} has {amount(measured['free'])} free; free some space"
    yield from problems_of_backups(measured["backups"], now)


def problems_of_backups(backups: Mapping[str, Any], now: float) -> Iterator[str]:
    """Return what is wrong with the backups that ``status.py`` has seen."""
    made, failed, drill = backups.get("backup"), backups.get("failed"), backups.get("drill")
    if failed:
        yield f"The backup of {failed['time']} failed: {failed['problem']}"
    if made and _age(made["time"], now) > _OLD_HOURS * 3600:
        yield f"The last backup is {span(_age(made['time'], now))} old; {_BACKUP}"
    if backups.get("gone"):
        yield f"The repository of the backups, {backups['repository']}, is not there; mount or reach it"
    if drill and drill["problems"]:
        yield f"The drill of {drill['time']} has found that set {drill['set'][:8]} is not whole: {drill['problems'][0]}"


DECISIONS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {"status": report}
