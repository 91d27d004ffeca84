# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The maintenance of an MLflow server, with its archive of traces: what is wrong with the variables, and what the program is given. No I/O."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_AGE = re.compile(r"(\d+)([mhd])")
_MILLISECONDS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
#: Where the archive may be: in S3, in a bucket or below, or in a folder. No path leads upwards.
_LOCATION = re.compile(r"(s3://[^/\s?#]+|(?=/[^/]))(?!.*/[.]{1,2}(/|$))(/[^/?#]+)*/?")
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
    return [*_of_variables(given["variables"]), *_of_archive(given["variables"])]


def _of_variables(variables: Mapping[str, Any]) -> Iterator[str]:
    if variables["mlflow_maintenance_deleted_for"] == "never":
        yield "mlflow_maintenance_deleted_for: is 'never', so that there is nothing to do; set an age such as 30d"
    yield from _of_age("mlflow_maintenance_deleted_for", variables["mlflow_maintenance_deleted_for"])
    for name in ("mlflow_maintenance_traces_for", "mlflow_maintenance_traces_archived_after"):
        yield from _of_age(name, variables[name])
    names = [each["name"] for each in variables["mlflow_maintenance_experiments"]]
    for position, each in enumerate(variables["mlflow_maintenance_experiments"]):
        for key in ("deleted_for", "traces_for", "traces_archived_after"):
            if each.get(key) is not None:
                yield from _of_age(f"mlflow_maintenance_experiments[{position}].{key}", each[key])
        if each["name"] in names[:position]:
            yield f"mlflow_maintenance_experiments[{position}].name: '{each['name']}' is there twice; merge the entries"


def _of_archive(variables: Mapping[str, Any]) -> Iterator[str]:
    location, schedule = variables["mlflow_maintenance_archive_location"], variables["mlflow_maintenance_archive_schedule"]
    if location and not _LOCATION.fullmatch(location):
        yield (
            f"mlflow_maintenance_archive_location: '{location}' is neither a place in S3 nor a folder; set one such as s3://bucket/prefix or "
            "/srv/archive, or leave it out"
        )
    if schedule and not archives(variables):
        yield (
            f"mlflow_maintenance_archive_schedule: is '{schedule}', but nothing says which traces are archived; set "
            "mlflow_maintenance_traces_archived_after, such as 30d"
        )


def place_problem(given: Mapping[str, Any]) -> str:
    """Return why the embedded stack cannot have a schedule, with its remedy; empty if it can, or needs none."""
    schedule = given["variables"]["mlflow_maintenance_archive_schedule"]
    if schedule and not given["place"]["has_systemd"]:
        return (
            f"mlflow_maintenance_archive_schedule: is '{schedule}', but systemd does not run this machine; leave it out, and let your scheduler "
            "run the playbook mlops.mlflow.maintenance"
        )
    return ""


def archives(variables: Mapping[str, Any]) -> bool:
    """Return whether traces of some experiment are archived."""
    ages = [variables["mlflow_maintenance_traces_archived_after"], *(
        each.get("traces_archived_after") or "never" for each in variables["mlflow_maintenance_experiments"]
    )]  # fmt: skip
    return any(str(age) != "never" for age in ages)


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
        "deletes": True,
        "archive": {
            "after": milliseconds(variables["mlflow_maintenance_traces_archived_after"]),
            "by_experiment": _ages(experiments, "traces_archived_after"),
            "location": variables["mlflow_maintenance_archive_location"],
        },
    }


def scheduled(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the program is given by a schedule, which archives, and deletes nothing."""
    return {**settings(given), "check": False, "deletes": False}


def _ages(experiments: list[Mapping[str, Any]], key: str) -> dict[str, int | None]:
    return {each["name"]: milliseconds(str(each[key])) for each in experiments if each.get(key) is not None}


def report(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file says of what the program has found."""
    return {key: value for key, value in found.items() if key not in ("changed", "lines")}


def failure(found: Mapping[str, Any]) -> str:
    """Return what could not be deleted or archived, in one sentence; empty if all could be."""
    deleted, archived = found["failed"], found["archived"]["failed"]
    if not deleted + archived:
        return ""
    first, others = (deleted or archived)[0], len(deleted + archived) - 1
    return (
        f"mlflow_maintenance: {first['kind']} {first['id']}{f' and {others} more' if others else ''} could not be "
        f"{'deleted' if deleted else 'archived'} ({first['why']}){', and the rest was' if deleted and not archived else ''}; remove the cause, then "
        "run this again"
    )


DECISIONS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "problems": problems, "place_problem": place_problem, "settings": settings, "scheduled": scheduled, "report": report, "failure": failure,
}  # fmt: skip
