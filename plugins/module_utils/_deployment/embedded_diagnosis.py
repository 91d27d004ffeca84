# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What is wrong with an embedded stack: checks in the order of dependency, from what was seen of it. No I/O."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.diagnosis import WARNING, Check, Verdict, diagnosis, failed, passed
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.embedded_status import amount, problems_of_backups

#: Less free space than the first is a failure, less than the second a warning, in bytes; free files likewise.
FULL, LITTLE, FEW_FILES = 64 << 20, 1 << 30, 1000
_UP = "run the site playbook (in a checkout: make up)"


def _folder(given: Mapping[str, Any]) -> Verdict:
    home = given["home"]
    if given["seen"]["there"] and given["found"]["has_run"]:
        return passed(home)
    observed = "no MLflow server has run in it" if given["seen"]["there"] else "it does not exist"
    cause = "nothing was deployed there, or embedded_home names another folder"
    return failed(observed, f"a stack in '{home}'", cause, f"set embedded_home, or {_UP}")


def _disk(given: Mapping[str, Any]) -> Verdict:
    disk, home = given["seen"]["disk"], given["home"]
    observed = f"{amount(disk['free'])} free" + (f", {disk['files']} files" if 0 <= disk["files"] < FEW_FILES else "")
    if disk["read_only"]:
        return failed("read-only", "a disk that can be written", f"the disk of '{home}' is mounted read-only", f"mount it writable, then {_UP}")
    if disk["free"] < FULL or 0 <= disk["files"] < FEW_FILES:
        return failed(observed, f"{amount(LITTLE)} free", f"the disk of '{home}' is full", f"free some space, then {_UP}")
    if disk["free"] < LITTLE:
        return Verdict(WARNING, observed, f"{amount(LITTLE)} free", f"the disk of '{home}' is nearly full", "free some space")
    return passed(observed)


def _packages(given: Mapping[str, Any]) -> Verdict:
    inside = given["seen"]["inside"]
    if "broken" in inside:
        return failed(inside["broken"], "a Python that finds its packages", "the stack's packages are damaged or missing", _UP)
    return passed(f"MLflow {inside['mlflow']}")


def _secrets(given: Mapping[str, Any]) -> Verdict:
    wrong = [*given["found"]["problems"], *given["found"]["losses"]]
    if wrong:
        cause, _semicolon, remedy = wrong[0].partition("; ")
        return failed(f"{len(wrong)} of them wrong", "all secrets and data", cause, remedy or _UP)
    unreadable = given["seen"]["inside"].get("unreadable")
    if unreadable:
        return failed(unreadable, "files that the stack's user can read", "somebody has changed an owner or a mode", _UP)
    return passed("all are there")


def _supervisor(given: Mapping[str, Any]) -> Verdict:
    processes = given["seen"]["processes"]
    if not processes:
        return failed("no answer", "a supervisor", "the stack is stopped, or the machine was restarted", _UP)
    return passed(", ".join(f"{each['name']} {each['state']}" for each in processes))


def _process(given: Mapping[str, Any], name: str) -> Verdict | None:
    """What is wrong with a process; None if it runs."""
    state = next((each["state"] for each in given["seen"]["processes"] if each["name"] == name), "unknown to the supervisor")
    if state == "RUNNING":
        return None
    holder, port = given["seen"]["foreign"].get(name), given["seen"]["ports"].get(name)
    if holder:
        option = {"mlflow": "mlflow_server_port"}.get(name, f"{name}_port")
        return failed(f"{name} is {state}", "RUNNING", f"port {port} is held by {holder}", f"end that process or set another {option}, then {_UP}")
    cause = "it was stopped" if state == "STOPPED" else f"its log says why: {given['home']}/log/{name}.log"
    return failed(f"{name} is {state}", "RUNNING", cause, _UP)


def _postgresql(given: Mapping[str, Any]) -> Verdict:
    return _process(given, "postgresql") or passed(f"runs on port {given['seen']['ports']['postgresql']}")


#: What PostgreSQL says, its cause, and what to do.
_ERRORS = (
    ("password authentication failed", "the password in secrets/postgresql_password is not the one that PostgreSQL has", _UP),
    ("does not exist", "the database or its user is missing", "restore a backup (in a checkout: make restore)"),
    ("Connection refused", "nothing listens there, since it starts, or on another port", f"wait a minute; otherwise {_UP}"),
    ("too many c", "all connections are in use", "raise postgresql_max_connections, or lower mlflow_server_workers"),
    ("timeout", "PostgreSQL is too busy to answer", "look at what else this machine does"),
)


def _database(given: Mapping[str, Any]) -> Verdict:
    for each in given["seen"]["inside"]["databases"]:
        if each["error"]:
            known = ((cause, remedy) for says, cause, remedy in _ERRORS if says in each["error"])
            cause, remedy = next(known, ("PostgreSQL refuses the server", _UP))
            return failed(each["error"], f"user {each['user']} can read the database '{each['name']}'", cause, remedy)
    return passed(", ".join(each["name"] for each in given["seen"]["inside"]["databases"]))


def _schema(given: Mapping[str, Any]) -> Verdict:
    has, wanted = given["seen"]["inside"]["databases"][0]["revision"], given["seen"]["head"]
    if not wanted or has == wanted:
        return passed(f"revision {has}")
    if not has:
        return failed("no revision", wanted, "the database is empty", "restore a backup (in a checkout: make restore)")
    return failed(has, wanted, "the schema is of another version of MLflow than the installed one", f"{_UP}, which migrates an older one")


def _store(given: Mapping[str, Any]) -> Verdict:
    inside = given["seen"]["inside"]
    stopped = [each["name"] for each in given["seen"]["processes"] if each["state"] != "RUNNING" and each["name"] not in ("mlflow", "postgresql")]
    if inside["store"] and stopped:
        return failed(inside["store"], inside["destination"], f"{stopped[0]} does not run", _UP)
    if inside["store"]:
        lost = "there is no folder" in inside["store"] or "NoSuchBucket" in inside["store"]
        cause = "the artifacts were moved or deleted" if lost else "the server has no right to it, or its address or keys are wrong"
        remedy = "put them back from a backup" if lost else f"mend that, or {_UP}"
        return failed(inside["store"], f"artifacts in {inside['destination']}", cause, remedy)
    return passed(inside["destination"])


def _server(given: Mapping[str, Any]) -> Verdict:
    seen = given["seen"]
    wrong = _process(given, "mlflow")
    if wrong:
        return wrong
    health = seen["health"]
    if (health["status"], health["says"]) != (200, "OK"):
        observed = f"HTTP {health['status']}" if health["status"] else health["says"]
        return failed(observed, f"OK from {seen['uri']}/health", "it is still starting, or is stuck", f"see {given['home']}/log/mlflow.log")
    return passed(seen["uri"])


def _login(given: Mapping[str, Any]) -> Verdict:
    api = given["seen"]["api"]
    if api["status"] == 200:
        return passed("the API answers")
    if api["status"] == 401:
        cause = "the administrator's password was changed in MLflow, and client.env has the old one"
        return failed("HTTP 401", "an answer to the administrator", cause, "write the password into secrets/mlflow_admin_password, then " + _UP)
    if api["status"] == 403:
        return failed("HTTP 403", "an answer to the administrator", "the host of the address is not allowed", "add it to mlflow_server_extra_hosts")
    observed = f"HTTP {api['status']}: {api['says']}" if api["status"] else api["says"]
    return failed(observed, "an answer of the API", "the server cannot read its database", f"see {given['home']}/log/mlflow.log")


def _artifacts(given: Mapping[str, Any]) -> Verdict:
    artifacts = given["seen"]["artifacts"]
    if artifacts["status"] == 200:
        return passed("the server lists them")
    observed = f"HTTP {artifacts['status']}" if artifacts["status"] else artifacts["says"]
    return failed(observed, "a list of artifacts from the server", "the server uses another store than its files say", _UP)


def _backup(given: Mapping[str, Any]) -> Verdict:
    backups = given["seen"]["backups"]
    if not backups.get("backup"):
        return Verdict(WARNING, "none", "a backup", "nobody has made one yet", "run the playbook mlops.mlflow.backup (in a checkout: make backup)")
    wrong = list(problems_of_backups(backups, float(given["seen"]["now"])))
    if wrong:
        cause, _semicolon, remedy = wrong[0].partition("; ")
        return Verdict(WARNING, f"{len(wrong)} things are wrong", "a recent backup that is whole", cause, remedy or "make another one")
    return passed(f"set {backups['backup']['set'][:8]}")


#: In the order in which they are told.
CHECKS = (
    Check(
        "folder", "There is a stack", (), _folder,
        "Everything else depends on the folder `embedded_home`, and on a server that has run in it.",
    ),
    Check(
        "disk", "The disk has room", ("folder",), _disk,
        "It can be written, and has space and files left. PostgreSQL ends when it is full.",
    ),
    Check(
        "packages", "The packages work", ("folder",), _packages,
        "The stack's own Python starts, and finds MLflow and the driver of PostgreSQL.",
    ),
    Check(
        "secrets", "Secrets and data are complete", ("packages",), _secrets,
        "No file of a key or of data is missing, empty or unreadable, and the keys fit the data.",
    ),
    Check(
        "supervisor", "The supervisor answers", ("packages",), _supervisor,
        "It starts the processes. After a restart of the machine it runs if `embedded_service` is `systemd`.",
    ),
    Check(
        "postgresql", "PostgreSQL runs", ("supervisor", "disk"), _postgresql,
        "If another process holds its port, that is named.",
    ),
    Check(
        "database", "The server can read its databases", ("postgresql", "secrets"), _database,
        "With the address, the user and the password that the server has.",
    ),
    Check(
        "schema", "The schema is MLflow's", ("database",), _schema,
        "The database has the revision that the installed MLflow needs.",
    ),
    Check(
        "store", "The artifact store can be reached", ("supervisor", "secrets"), _store,
        "The stack's user can read and write the folder, or list the bucket with the server's keys.",
    ),
    Check(
        "server", "MLflow answers", ("supervisor", "schema"), _server,
        "Its process runs, and `/health` answers `OK`. If another process holds its port, that is named.",
    ),
    Check(
        "login", "Clients can use the API", ("server",), _login,
        "With the variables that `make env` prints. `/health` needs neither a password nor the database.",
    ),
    Check(
        "artifacts", "Clients can reach artifacts", ("login", "store"), _artifacts,
        "Through the server, as clients do.",
    ),
    Check(
        "backup", "There is a recent backup", ("folder",), _backup,
        "It is less than two days old, and its last drill has found it whole. This is a warning, never a failure.",
    ),
)  # fmt: skip


def _decided(given: Mapping[str, Any]) -> dict[str, Any]:
    """From ``found``, what ``stack.py look`` prints, ``seen``, what ``diagnose.py`` prints, and ``home``, the folder."""
    return diagnosis(CHECKS, given, "diagnose.md")


DECISIONS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"diagnosis": _decided}
