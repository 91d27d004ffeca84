# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""A diagnosis: checks in the order of dependency, what each has found, and the page that describes them. No I/O."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"
_DOCS = "https://github.com/mlops-mlflow/mlops.mlflow/blob/main/docs"


@dataclass(frozen=True)
class Verdict:
    """What a check has found. ``cause`` and ``remedy`` are empty where it passed or was skipped."""

    status: str
    observed: str
    expected: str = ""
    cause: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """A check: its stable identifier, what is true when it passes, the checks that it needs, and what a page says of it."""

    id: str
    title: str
    needs: tuple[str, ...]
    rule: Callable[[Mapping[str, Any]], Verdict]
    about: str


def passed(observed: str) -> Verdict:
    """Return that a check has passed, and what was seen."""
    return Verdict(OK, observed)


def failed(observed: str, expected: str, cause: str, remedy: str) -> Verdict:
    """Return that a check has failed."""
    return Verdict(FAILED, observed, expected, cause, remedy)


def diagnosis(checks: Sequence[Check], given: Mapping[str, Any], page: str) -> dict[str, Any]:
    """Return what each check has found, lines for people, and the failures. ``page`` is the page of docs that describes the checks."""
    found = list(_findings(checks, given, page))
    wrong = [each for each in found if each["status"] == FAILED]
    return {"checks": found, "lines": list(_lines(found)), "failed": [f"{each['id']}: {each['cause']}; {each['remedy']}" for each in wrong]}


def _findings(checks: Sequence[Check], given: Mapping[str, Any], page: str) -> Iterator[dict[str, str]]:
    broken: dict[str, str] = {}
    for check in checks:
        cause = next((broken[need] for need in check.needs if need in broken), "")
        verdict = Verdict(SKIPPED, f"needs the check {cause}") if cause else check.rule(given)
        # What could not be asked, without a check that says why, keeps nothing else from being asked.
        if cause or verdict.status == FAILED:
            broken[check.id] = cause or check.id
        link = f"{_DOCS}/{page}#{check.id}" if verdict.cause else ""
        yield {"id": check.id, "title": check.title, **asdict(verdict), "link": link}


def _lines(found: Sequence[Mapping[str, str]]) -> Iterator[str]:
    for each in found:
        yield f"{each['status']:8} {each['id']:11} {each['title']}: {each['observed']}"
        if each["cause"]:
            yield f"         expected: {each['expected']}"
            yield f"         cause: {each['cause']}"
            yield f"         cure: {each['remedy']}"
    counts = {status: sum(each["status"] == status for each in found) for status in (FAILED, WARNING, SKIPPED)}
    yield ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "All checks passed"


def runbook(checks: Sequence[Check]) -> str:
    """Return a section of a page a check."""
    parts = []
    for check in checks:
        needs = f" Skipped if {' or '.join(f'`{each}`' for each in check.needs)} fails." if check.needs else ""
        parts.append(f"## {check.id}\n\n{check.title}. {check.about}{needs}\n")
    return "\n".join(parts)
