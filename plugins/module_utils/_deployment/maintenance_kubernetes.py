# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The archive of traces of a server in a cluster: what is wrong with its variables there, and the objects of the CronJob. No I/O.

As with backups, what the pod reads and writes is what the server's own Deployment names.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import kubernetes_network, maintenance, workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.backup_kubernetes import CRON
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.backup_kubernetes_given import Source, deployed
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import USER
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, read
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Container, Identity, Object, Volume

#: Where the pod has its programs.
PROGRAMS = "/program"
#: A pass ends after six hours, and the next goes on.
_LONGEST_SECONDS = 21600
#: The kinds of its objects, each with its version.
_KINDS = {"ServiceAccount": "v1", "ConfigMap": "v1", "NetworkPolicy": "networking.k8s.io/v1", "CronJob": "batch/v1"}


@dataclass(frozen=True)
class Settings:
    """The variables mlflow_maintenance_archive_*, which roles/mlflow_maintenance/meta/argument_specs.yml documents."""

    location: str = ""
    schedule: str = ""
    resources: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Archive:
    """The archive of a server: its variables, the server, the cluster, and what the pod runs."""

    settings: Settings
    source: Source
    cluster: Cluster
    #: The Services of the cluster; None if they may not be listed.
    services: Sequence[Mapping[str, Any]] | None = None
    #: The programs and their settings, by the names of their files.
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the objects."""
        return named(self.source.name)

    @property
    def identity(self) -> Identity:
        """Whose they are."""
        return Identity(self.source.app, self.source.name, "archive")

    @property
    def environment(self) -> list[Object]:
        """How the pod reaches the database and the artifacts; not how the server asks who somebody is."""
        return [dict(each) for each in self.source.environment if each["name"] != "MLFLOW_AUTH_CONFIG_PATH"]

    @property
    def volumes(self) -> list[Volume]:
        """The certificates that the environment names, and the artifacts, if they are on a volume, which the pod writes to."""
        named_ = [str(each.get("value", "")) for each in self.environment]
        return [
            volume if "secret" in volume.source else replace(volume, read_only=None)
            for volume in self.source.volumes
            if "secret" not in volume.source or any(text.startswith(f"{volume.mount_path.rstrip('/')}/") for text in named_)
        ]

    @property
    def egress(self) -> list[Mapping[str, Any]]:
        """Where it must reach: names, the database and the artifacts."""
        return kubernetes_network.egress(self.source.places, self.services, self.cluster)


def named(server: str) -> str:
    """Return the name of the objects of a server's archive."""
    return f"{server}-archive"


def problems(archive: Archive) -> Iterator[str]:
    """Return a sentence with its remedy for each problem that only a cluster has."""
    given, source = archive.settings, archive.source
    if given.schedule and not CRON.fullmatch(given.schedule):
        yield (
            f"mlflow_maintenance_archive_schedule: '{given.schedule}' is no schedule of a CronJob; set five fields, such as 0 4 * * *, for four at "
            "night"
        )
    if given.location.startswith("/"):
        yield (
            f"mlflow_maintenance_archive_location: '{given.location}' is a folder, which a pod of Deployment/{source.name} would lose when it ends; "
            "name a place in S3, or leave it out"
        )


def objects(archive: Archive) -> list[Object]:
    """Return the CronJob and what its pods need, in the order in which they are applied; nothing without a schedule."""
    labels = archive.identity.labels
    if not archive.settings.schedule:
        return []
    return [
        workload.service_account(archive.name, labels),
        workload.config_map(archive.name, labels, archive.files),
        workload.network_policy(archive.identity, archive.name, archive.egress),
        cron_job(archive),
    ]


def cron_job(archive: Archive) -> Object:
    """Return the CronJob, which archives what is due at each time of the schedule. A pod that fails is not repeated, but one that is evicted."""
    return workload.cron_job(archive.name, archive.identity.labels, pod(archive), archive.settings.schedule, _LONGEST_SECONDS)


def pod(archive: Archive) -> Object:
    """Return the specification of the pod: MLflow's image, with the programs."""
    source = archive.source
    volumes = [workload.files("program", PROGRAMS, archive.name), workload.scratch("tmp", "/tmp", "1Gi"), *archive.volumes]
    environment = [workload.value("HOME", "/tmp"), *archive.environment]
    more = {
        "imagePullPolicy": source.pull_policy, "workingDir": "/tmp", "envFrom": [*source.environment_from],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }  # fmt: skip
    command = ["python", f"{PROGRAMS}/archive_run.py"]
    container = Container("archive", source.image, command, volumes, archive.settings.resources, environment, more)
    return {**workload.pod(archive.name, workload.user(USER, fsGroupChangePolicy="OnRootMismatch"), [container]), **source.placement}


def owned(server: str) -> list[Object]:
    """Return the objects that there may be for the server of that name.

    >>> [each["kind"] + "/" + each["name"] for each in owned("mlflow")][-1]
    'CronJob/mlflow-archive'
    """
    return [{"kind": kind, "api_version": version, "name": named(server)} for kind, version in _KINDS.items()]


# What the role asks for


def read_archive(given: Mapping[str, Any]) -> Archive:
    """Return the archive of the server that is there."""
    settings = as_json(maintenance.scheduled(given), sort_keys=True)
    return Archive(
        read(Settings, given["variables"], "mlflow_maintenance_archive_"), deployed(given["deployment"]), read(Cluster, given["kubernetes"], ""),
        given["services"], {**given["programs"], "settings.json": settings},
    )  # fmt: skip


def _decide_objects(given: Mapping[str, Any]) -> Object:
    archive = read_archive(given)
    made = objects(archive)
    return {"objects": made, "absent": [] if made else owned(archive.source.name)}


def _decide_problems(given: Mapping[str, Any]) -> list[str]:
    # The cluster has not been looked at yet.
    archive = Archive(read(Settings, given["variables"], "mlflow_maintenance_archive_"), deployed(given["deployment"]), Cluster())
    return list(problems(archive))


DECISIONS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "cluster_claims": lambda given: [{**each, "option": "mlflow_server_name"} for each in owned(given["name"])],
    "cluster_objects": _decide_objects,
    "cluster_problems": _decide_problems,
}
