# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The maintenance of an MLflow server: what is wrong with its variables, and what the program on the host is given. No I/O."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_AGE = re.compile(r"(\d+)([mhd])")
_MILLISECONDS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
#: What the program takes for an age that is never reached.
_NEVER = -1


def milliseconds(age: str) -> int | None:
    """Return an age in milliseconds, -1 for ``never``; None if it is no age.

    >>> milliseconds("30d"), milliseconds("90m"), milliseconds("0d"), milliseconds("never"), milliseconds("30"), milliseconds("1.5d")
    (2592000000, 5400000, 0, -1, None, None)
    """
    if age == "never":
        return _NEVER
    match = _AGE.fullmatch(age)
    return int(match[1]) * _MILLISECONDS[match[2]] if match else None


def problems(given: Mapping[str, Any]) -> list[str]:
    """Return a sentence with its remedy for each problem of the variables."""
    return list(_of_variables(given["variables"]))


def _of_variables(variables: Mapping[str, Any]) -> Iterator[str]:
    if variables["mlflow_maintenance_deleted_for"] == "never":
        yield "mlflow_maintenance_deleted_for: is 'never', so that there is nothing to do; set an age such as 30d"
    yield from _of_age("mlflow_maintenance_deleted_for", variables["mlflow_maintenance_deleted_for"])
    yield from _of_age("mlflow_maintenance_traces_for", variables["mlflow_maintenance_traces_for"])
    names = [each["name"] for each in variables["mlflow_maintenance_experiments"]]
    for position, each in enumerate(variables["mlflow_maintenance_experiments"]):
        for key in ("deleted_for", "traces_for"):
            if each.get(key) is not None:
                yield from _of_age(f"mlflow_maintenance_experiments[{position}].{key}", each[key])
        if each["name"] in names[:position]:
            yield f"mlflow_maintenance_experiments[{position}].name: '{each['name']}' is there twice; merge the entries"


def _of_age(option: str, age: Any) -> Iterator[str]:
    if milliseconds(str(age)) is None:
        yield f"{option}: '{age}' is not an age; write a whole number of days, hours or minutes, such as 30d, 12h or 45m, or never"


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the program is given; in a container of the server, it has the server's environment, and no folder."""
    variables, home = given["variables"], given["place"].get("home", "")
    experiments = variables["mlflow_maintenance_experiments"]
    return {
        "check": bool(given["check_mode"]),
        "environment_file": f"{home}/mlflow/server.env" if home else "",
        "home": home,
        "deleted_for": milliseconds(variables["mlflow_maintenance_deleted_for"]),
        "by_experiment": _ages(experiments, "deleted_for"),
        "traces_for": milliseconds(variables["mlflow_maintenance_traces_for"]),
        "traces_by_experiment": _ages(experiments, "traces_for"),
        "orphans": variables["mlflow_maintenance_orphans"],
    }


def _ages(experiments: list[Mapping[str, Any]], key: str) -> dict[str, int | None]:
    return {each["name"]: milliseconds(str(each[key])) for each in experiments if each.get(key) is not None}


def report(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file says of what the program has found."""
    return {key: value for key, value in found.items() if key not in ("changed", "lines")}


def failure(found: Mapping[str, Any]) -> str:
    """Return what could not be deleted, in one sentence; empty if all could be."""
    failed = found["failed"]
    if not failed:
        return ""
    first = failed[0]
    others = f" and {len(failed) - 1} more" if failed[1:] else ""
    return (
        f"mlflow_maintenance: {first['kind']} {first['id']}{others} could not be deleted ({first['why']}), and the rest was; remove the cause, then "
        "run this again"
    )


DECISIONS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {"problems": problems, "settings": settings, "report": report, "failure": failure}
