"""The checks in their order, and what they find."""
from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

#: Where each check is described, by its ID.
DOCUMENTATION: Final = "https://github.com/mlops-mlflow/mlops.mlflow/blob/main/docs/doctor.md"


class Status(str, Enum):
    """What became of a check. A skipped one needs another that failed."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """A check: its stable ID, what is true when it passes, and the check that it needs."""

    id: str
    title: str
    needs: str = ""


#: In the order in which they run.
CHECKS: Final = (
    Check("name", "The server's host name has an address"),
    Check("connection", "The server accepts connections", "name"),
    Check("certificate", "The server's certificate is trusted", "connection"),
    Check("server", "MLflow answers at this address", "certificate"),
    Check("version", "Server and client are of versions that work together", "server"),
    Check("clock", "Server and client agree on the time", "server"),
    Check("host", "MLflow allows the host name of this address", "server"),
    Check("login", "The API accepts the credentials", "host"),
    Check("database", "The server reads from its database", "login"),
    Check("experiment", "The experiment can be used", "database"),
    Check("artifacts", "Artifacts can be reached", "database"),
    Check("registry", "The model registry can be read", "database"),
)


@dataclass(frozen=True)
class Finding:
    """What a check found. ``cause`` and ``remedy`` are empty where it passed; all texts are single sentences without secrets."""

    id: str
    title: str
    status: Status
    observed: str
    expected: str = ""
    cause: str = ""
    remedy: str = ""
    link: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a rule makes of an observation, before the check's name is put to it."""

    status: Status
    observed: str
    expected: str = ""
    cause: str = ""
    remedy: str = ""


def passed(observed: str) -> Verdict:
    """The check passed."""
    return Verdict(Status.OK, observed)


def failed(observed: str, expected: str, cause: str, remedy: str) -> Verdict:
    """The check failed."""
    return Verdict(Status.FAILED, observed, expected, cause, remedy)


def warning(observed: str, expected: str, cause: str, remedy: str) -> Verdict:
    """The check found what works, and will or may not do so for long."""
    return Verdict(Status.WARNING, observed, expected, cause, remedy)


def finding(check: Check, verdict: Verdict) -> Finding:
    """The verdict under the check's name; with a link where something is to be done."""
    link = f"{DOCUMENTATION}#{check.id}" if verdict.cause else ""
    return Finding(check.id, check.title, verdict.status, verdict.observed, verdict.expected, verdict.cause, verdict.remedy, link)


def skipped(check: Check, broken: str) -> Finding:
    """The check did not run, since it needs the one of the ID ``broken``, which failed."""
    return Finding(check.id, check.title, Status.SKIPPED, f"needs the check {broken}")
