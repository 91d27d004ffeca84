"""Run the checks in order."""
from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from .._authorization import is_service_account
from ..client import Settings
from ..login.provider import bearer
from . import findings, probe, rules
from .findings import CHECKS, Check, Finding, Status, Verdict
from .rules import Answer


@dataclass(frozen=True)
class Diagnosis:
    """What all checks found, in their order; ``seconds`` is what they took."""

    server: str
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def is_healthy(self) -> bool:
        """Whether no check failed. Warnings do not count."""
        return all(finding.status is not Status.FAILED for finding in self.findings)

    @property
    def summary(self) -> str:
        """One sentence."""
        failed = [finding for finding in self.findings if finding.status is Status.FAILED]
        warnings = sum(finding.status is Status.WARNING for finding in self.findings)
        also = f", {warnings} warning{'s' if warnings > 1 else ''}" if warnings else ""
        if not failed:
            return f"{self.server} can be used{also}"
        return f"{self.server} cannot be used as it is: {'; '.join(finding.cause for finding in failed)}{also}"


def diagnose(settings: Settings) -> Diagnosis:
    """Run every check against the server of ``settings``; those that need one that failed are skipped.

    Nothing is written to the server, and no text holds a secret. Each question waits for ten seconds at most. It does not raise.
    """
    start = time.perf_counter()
    found: list[Finding] = []
    broken: dict[str, str] = {}  # by a check's ID, that of the one which failed: itself, or one that it needs
    with closing(_Patient(settings)) as patient:
        for check in CHECKS:
            cause = broken.get(check.needs)
            finding = findings.skipped(check, cause) if cause else findings.finding(check, patient.examine(check))
            if cause or finding.status is Status.FAILED:
                broken[check.id] = cause or check.id
            found.append(finding)
    return Diagnosis(settings.tracking_uri, tuple(found), time.perf_counter() - start)


def client_version() -> str:
    """The version of MLflow's client here, skinny or whole; empty where there is none."""
    for package in ("mlflow", "mlflow-skinny"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return ""


class _Patient:
    """One server. Each check is the method of its ID; what one asked, a later one reads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server = probe.server_of(settings)
        self._api = probe.Api(settings, settings.tracking_uri)
        self._registry = probe.Api(settings, settings.registry_uri or settings.tracking_uri)
        self._health: Answer | None = None
        self._search: Answer | None = None
        self._experiment: Answer | None = None

    def close(self) -> None:
        """Close the connections."""
        self._api.close()
        self._registry.close()

    def examine(self, check: Check) -> Verdict:
        """What the check finds."""
        examine: Callable[[], Verdict] = getattr(self, check.id)
        return examine()

    def name(self) -> Verdict:
        if self._server.proxy:
            return findings.passed(f"the proxy {self._server.proxy} looks it up")
        return rules.judge_name(self._server, *probe.addresses(self._server.host))

    def connection(self) -> Verdict:
        if self._server.proxy:
            parts = urlsplit(self._server.proxy)
            return rules.judge_connection(rules.Server(self._server.proxy), probe.connection_error(parts.hostname or "", parts.port or 80))
        return rules.judge_connection(self._server, probe.connection_error(self._server.host, self._server.port))

    def certificate(self) -> Verdict:
        if self._server.proxy and self._server.is_tls:
            return findings.passed("seen through a proxy: not checked by itself")
        days, error = probe.certificate(self._settings, self._server) if self._server.is_tls else (None, "")
        return rules.judge_certificate(self._server, days, error, probe.authorities(self._settings))

    def server(self) -> Verdict:
        self._health, error = self._api.ask("GET", "/health")
        return rules.judge_server(self._server, self._health, error)

    def version(self) -> Verdict:
        answer, _error = self._api.ask("GET", "/version")
        server = answer.body.strip() if answer and answer.status == 200 and len(answer.body) < 40 else ""
        return rules.judge_version(server, client_version())

    def clock(self) -> Verdict:
        return rules.judge_clock(probe.seconds_ahead(self._health) if self._health else None)

    def host(self) -> Verdict:
        self._search, error = self._api.ask("POST", "/api/2.0/mlflow/experiments/search", json={"max_results": 1})
        return rules.judge_host(self._server, self._search, error)

    def login(self) -> Verdict:
        assert self._search
        settings = self._settings
        if settings.username:
            gave = "the password of MLFLOW_TRACKING_USERNAME"
        elif settings.token:
            gave = "the token of MLFLOW_TRACKING_TOKEN"
        elif is_service_account():
            gave = "the service account's token of MLFLOW_TRACKING_AUTH"
        else:
            gave = "the token of mlflow-utils login" if bearer(settings.tracking_uri) else ""
        return rules.judge_login(self._search, gave)

    def database(self) -> Verdict:
        assert self._search
        return rules.judge_database(self._search)

    def experiment(self) -> Verdict:
        name = self._settings.experiment
        self._experiment, _error = self._api.ask("GET", "/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": name})
        return rules.judge_experiment(name, self._experiment)

    def artifacts(self) -> Verdict:
        found = self._experiment.content.get("experiment") if self._experiment else None
        if not found and self._search:
            found = next(iter(self._search.content.get("experiments", [])), None)
        location = str((found or {}).get("artifact_location", ""))
        if not location:
            return findings.passed("there is no experiment yet whose artifacts could be looked for")
        if location.startswith("mlflow-artifacts:"):
            path = urlsplit(location).path.strip("/")
            return rules.judge_proxied_artifacts(*self._api.ask("GET", "/api/2.0/mlflow-artifacts/artifacts", params={"path": path}))
        endpoint = urlsplit(self._settings.s3_endpoint or "")
        error = ""
        if endpoint.hostname:
            error = probe.connection_error(endpoint.hostname, endpoint.port or (443 if endpoint.scheme == "https" else 80))
        return rules.judge_direct_artifacts(
            location,
            error,
            has_library=find_spec("boto3") is not None,
            has_keys=self._settings.s3_access_key is not None,
            is_there=Path(urlsplit(location).path).exists(),
        )

    def registry(self) -> Verdict:
        answer, _error = self._registry.ask("GET", "/api/2.0/mlflow/registered-models/search", params={"max_results": 1})
        return rules.judge_registry(answer)
