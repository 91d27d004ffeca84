# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Backups of an MLflow server: what is wrong with the variables, what the programs on the host are given, and what may be restored where. No I/O."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.embedded_stack import numbers

#: The release of restic that is downloaded where there is none, with the checksums of its archives by machine (https://restic.net).
RESTIC = "0.18.1"
CHECKSUMS = {
    "x86_64": ("amd64", "680838f19d67151adba227e1570cdd8af12c19cf1735783ed1ba928bc41f363d"),
    "aarch64": ("arm64", "87f53fddde38764095e9c058a3b31834052c37e5826d2acf34e18923c006bd45"),
}
PERIODS = ("daily", "weekly", "monthly")
#: What programs in a pod take for the folder of the stack, by which a set of a server in a cluster is known.
CLUSTER_HOME = "/backup/home"
#: What restic reads from its environment, and what this collection sets there itself.
_OWN = ("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND", "RESTIC_REPOSITORY", "RESTIC_REPOSITORY_FILE")


def problems(given: Mapping[str, Any]) -> list[str]:
    """Return a sentence with its remedy for each problem of the variables."""
    return list(_of_place(given)) + list(_of_settings(given))


def _of_place(given: Mapping[str, Any]) -> Iterator[str]:
    repository, home = _repository(given), str(given["place"]["home"])
    if repository.startswith("/"):
        if f"{repository.rstrip('/')}/".startswith(f"{home.rstrip('/')}/"):
            yield f"mlflow_backup_repository: '{repository}' is in embedded_home, and would be lost with it; choose a folder elsewhere"
    elif ":" not in repository:
        yield (
            f"mlflow_backup_repository: '{repository}' is neither an absolute path nor an address that restic knows; set one of them, such as "
            "s3:https://s3.example.com/backups"
        )


def _of_settings(given: Mapping[str, Any]) -> Iterator[str]:
    variables = given["variables"]
    keep = {period: int(variables[f"mlflow_backup_keep_{period}"]) for period in PERIODS}
    yield from problems_of_restic(keep, variables["mlflow_backup_environment"])
    if variables["mlflow_backup_schedule"] and not given["place"]["has_systemd"]:
        yield (
            f"mlflow_backup_schedule: is '{variables['mlflow_backup_schedule']}', but systemd does not run this machine; leave it empty, and run "
            "this playbook by a scheduler that you have"
        )


def problems_of_restic(keep: Mapping[str, int], environment: Mapping[str, Any]) -> Iterator[str]:
    """Return what is wrong with the sets to keep and with restic's environment, wherever restic runs."""
    for period, count in keep.items():
        if count < 0:
            yield f"mlflow_backup_keep_{period}: {count} is negative; set the number of sets to keep, or 0"
    for name in _OWN:
        if name in environment:
            yield f"mlflow_backup_environment: {name} is set by mlflow_backup_password and mlflow_backup_repository; remove it"


def request(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the programs on the host are given."""
    variables = given["variables"]
    return {
        "home": given["place"]["home"],
        "repository": _repository(given),
        "password": given["password"],
        "environment": dict(variables["mlflow_backup_environment"]),
        "restic": _candidates(given),
        "keep": {period: int(variables[f"mlflow_backup_keep_{period}"]) for period in PERIODS},
        "set": variables["mlflow_backup_set"],
        "replace": bool(variables["mlflow_backup_replace"]),
    }


def _repository(given: Mapping[str, Any]) -> str:
    return str(given["variables"]["mlflow_backup_repository"] or f"{given['place']['home']}-backups")


def _downloaded(given: Mapping[str, Any]) -> str:
    return f"{given['place']['home']}/backup/restic-{RESTIC}"


def _candidates(given: Mapping[str, Any]) -> list[str]:
    named = given["variables"]["mlflow_backup_restic"]
    return [named] if named else ["restic", _downloaded(given)]


def ready(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the program is given that downloads restic, unless one is named, and opens the repository."""
    base = f"https://github.com/restic/restic/releases/download/v{RESTIC}/restic_{RESTIC}_linux"
    archives = {machine: {"url": f"{base}_{name}.bz2", "sha256": checksum} for machine, (name, checksum) in CHECKSUMS.items()}
    return {
        **request(given),
        "archives": {} if given["variables"]["mlflow_backup_restic"] else archives,
        "path": _downloaded(given),
        "check": bool(given["check_mode"]),
    }


def backup_problem(given: Mapping[str, Any]) -> str:
    """Return why there is nothing to back up, with the remedy; empty if there is."""
    home = given["place"]["home"]
    if given["place"]["is_being_restored"]:
        return f"embedded_home: '{home}' is half restored, and no set is made of it; run the playbook mlops.mlflow.restore again"
    return "" if given["place"]["has_run"] else f"embedded_home: no MLflow server has run in '{home}'; deploy it first (in a checkout: make up)"


def restore_problem(given: Mapping[str, Any]) -> str:
    """Return why the set must not be restored, with the remedy; empty if it may. ``looked`` is what ``backup_repository.py look`` prints."""
    looked, home, wanted = given["looked"], given["place"]["home"], given["place"]["mlflow_version"]
    made_by = looked["manifest"]["mlflow"]
    if looked["manifest"].get("home") == CLUSTER_HOME:
        return f"mlflow_backup_set: set {looked['set'][:8]} is of a server in a cluster, and this is an embedded stack; restore it into a cluster"
    if wanted and numbers(wanted) < numbers(made_by):
        return (
            f"embedded_mlflow_version: {wanted} is older than {made_by}, of which set {looked['set'][:8]} is, and MLflow cannot migrate a database "
            f"back; set it to {made_by} or later, or choose an older set by mlflow_backup_set"
        )
    if looked["occupied"] and not given["variables"]["mlflow_backup_replace"]:
        return (
            f"embedded_home: '{home}' holds data already ({', '.join(looked['occupied'])}); choose another embedded_home, remove the stack first, or "
            "set mlflow_backup_replace to true, and the stack is moved aside after a question"
        )
    return ""


def data_request(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the program that fills the databases and the store is given."""
    database, store = given["database"], given["store"]
    return {
        **request(given),
        "database": {
            "uris": {"tracking": database["uri"], "authentication": database["auth_uri"]},
            "environment": database["environment"],
            "secret_environment": database["secret_environment"],
        },
        "store": {name: store[name] for name in ("destination", "environment", "secret_environment")},
    }


DECISIONS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "problems": problems,
    "request": request,
    "backup_problem": backup_problem,
    "ready": ready,
    "restore_problem": restore_problem,
    "data_request": data_request,
}
