# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What Prometheus alerts of: the rules of an MLflow server, each with its section in docs/alerts.md. No I/O."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object

RUNBOOK = "https://github.com/mlops-mlflow/mlops.mlflow/blob/main/docs/alerts.md"


@dataclass(frozen=True)
class Watched:
    """A server whose scrapes have its name as their job; without a namespace, it is of the embedded stack."""

    name: str = "mlflow"
    namespace: str = ""
    #: How old the newest backup may be.
    backup_hours: int = 26

    @property
    def labels(self) -> str:
        """What selects the series of its scrapes.

        >>> Watched(namespace="ml").labels, Watched().labels
        ('{job="mlflow", namespace="ml"}', '{job="mlflow"}')
        """
        return self.selector()

    def selector(self, *more: str) -> str:
        """The same, with further matchers."""
        namespace = [f'namespace="{self.namespace}"'] if self.namespace else []
        return "{" + ", ".join([f'job="{self.name}"', *namespace, *more]) + "}"

    @property
    def title(self) -> str:
        """The server, for people."""
        return f"MLflow {self.namespace}/{self.name}" if self.namespace else f"MLflow {self.name}"


def groups(watched: Watched) -> list[Object]:
    """Return the groups of rules, as a PrometheusRule and a file of rules have them."""
    rules = [*_of_server(watched), *_of_database(watched), *(_of_cluster(watched) if watched.namespace else _of_stack(watched))]
    return [{"name": f"mlflow-{watched.namespace}-{watched.name}" if watched.namespace else f"mlflow-{watched.name}", "rules": rules}]


def _rule(name: str, expression: str, minutes: int, severity: str, summary: str, description: str) -> Object:
    return {
        "alert": name, "expr": expression, "for": f"{minutes}m", "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": description, "runbook_url": f"{RUNBOOK}#{name.lower()}"},
    }  # fmt: skip


def _of_server(watched: Watched) -> Iterator[Object]:
    labels, title = watched.labels, watched.title
    yield _rule(
        "MLflowDown", f"max(mlflow_up{labels}) == 0 or absent(mlflow_up{labels})", 5, "critical",
        f"{title} is down", "None of its servers has answered for 5 minutes, or Prometheus cannot scrape their metrics.",
    )  # fmt: skip
    failed, all_requests = (f"sum(rate(mlflow_http_request_total{each}[5m]))" for each in (watched.selector('status=~"5.."'), labels))
    yield _rule(
        "MLflowErrors", f"{failed} / {all_requests} > 0.05", 10, "warning",
        f"{title} fails to answer requests",
        "{{ $value | humanizePercentage }} of the requests of the last 5 minutes were answered with a status of 500 or more.",
    )  # fmt: skip
    buckets = f"sum by (le) (rate(mlflow_http_request_duration_seconds_bucket{labels}[5m]))"
    yield _rule(
        "MLflowSlow", f"histogram_quantile(0.95, {buckets}) > 2", 10, "warning",
        f"{title} is slow", "One request in twenty takes longer than {{ $value | humanizeDuration }}.",
    )  # fmt: skip


def _of_database(watched: Watched) -> Iterator[Object]:
    labels, title = watched.labels, watched.title
    yield _rule(
        "MLflowDatabaseUnreachable", f"max(mlflow_database_up{labels}) == 0", 2, "critical",
        f"{title} cannot reach its database", "The database takes no connection of MLflow's user. MLflow answers its health check, and no request.",
    )  # fmt: skip
    yield _rule(
        "MLflowDatabaseConnections", f"max(mlflow_database_connections{labels}) / max(mlflow_database_max_connections{labels}) > 0.8", 10, "warning",
        f"The database of {title} runs out of connections", "{{ $value | humanizePercentage }} of its connections are open.",
    )  # fmt: skip
    yield _rule(
        "MLflowSchemaMismatch", f"max(mlflow_schema_current{labels}) == 0", 15, "critical",
        f"The database of {title} is not of its version", "The revision of the schema is not the one that the installed MLflow expects.",
    )  # fmt: skip


def _of_cluster(watched: Watched) -> Iterator[Object]:
    """What the kubelet and kube-state-metrics tell."""
    title, of_namespace = watched.title, f'{{namespace="{watched.namespace}"}}'
    free, size = (f"kubelet_volume_stats_{each}_bytes{of_namespace}" for each in ("available", "capacity"))
    yield _rule(
        "MLflowVolumeFull", f"{free} / {size} < 0.15", 10, "warning",
        f"A volume of {title} is nearly full", "{{ $value | humanizePercentage }} of the volume {{ $labels.persistentvolumeclaim }} is free.",
    )  # fmt: skip
    backup = f'{{namespace="{watched.namespace}", cronjob="{watched.name}-backup"}}'
    last, created = (f"max(kube_cronjob_{each}{backup})" for each in ("status_last_successful_time", "created"))
    # One that has never succeeded has no time of it.
    yield _too_old(watched, f"({last} or {created})")
    # Those by hand have the CronJob's name. Jobs that failed stay for a while after one that did not.
    jobs = f'{{namespace="{watched.namespace}", job_name=~"{watched.name}-backup(-[0-9]+)?"}}'
    failed = f"max by (namespace, job_name) (kube_job_status_failed{jobs}) > 0"
    started = f"max by (namespace, job_name) (kube_job_status_start_time{jobs})"
    yield _failed(watched, f"max({started} and ({failed})) > ({last} or vector(0))", "The log of its Job has the reason.")


def _of_stack(watched: Watched) -> Iterator[Object]:
    """What the folder of an embedded stack tells."""
    labels, title = watched.labels, watched.title
    yield _rule(
        "MLflowVolumeFull", f"mlflow_disk_free_bytes{labels} / mlflow_disk_size_bytes{labels} < 0.15", 10, "warning",
        f"The disk of {title} is nearly full", "{{ $value | humanizePercentage }} of the disk with the stack's folder is free.",
    )  # fmt: skip
    yield _too_old(watched, f"max(mlflow_backup_last_success_timestamp_seconds{labels})")
    yield _failed(watched, f"max(mlflow_backup_failed{labels}) == 1", "`make status` has the reason.")
    yield _rule(
        "MLflowDrillFailed", f"max(mlflow_backup_drill_problems{labels}) > 0", 0, "critical",
        f"The last backup of {title} that was tried is not whole",
        "{{ $value }} things were wrong with the set that was restored. `make status` has them.",
    )  # fmt: skip


def _failed(watched: Watched, expression: str, reason: str) -> Object:
    return _rule("MLflowBackupFailed", expression, 0, "warning", f"The last backup of {watched.title} failed", f"There is no new set. {reason}")


def _too_old(watched: Watched, last: str) -> Object:
    return _rule(
        "MLflowBackupTooOld", f"time() - {last} > {watched.backup_hours * 3600}", 5, "warning",
        f"The last backup of {watched.title} is too old",
        f"It was made {{{{ $value | humanizeDuration }}}} ago, and {watched.backup_hours} hours are allowed.",
    )  # fmt: skip
