# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Backups of a server in a cluster: what is wrong with the variables, and the objects of the Job and the CronJob that make sets. No I/O.

What is backed up is what the server's own Deployment names, as a pod of it sees it, and not what an inventory says that may have changed since.
"""
from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import rotation_kubernetes, workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.backup import CLUSTER_HOME, problems_of_restic
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.backup_kubernetes_given import (
    REPOSITORY,
    Backup,
    Settings,
    deployed,
    published,
)
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import USER
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, read
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Container, Object, Volume

#: In the pod: where a set is put together, and what the programs take for the server's folder.
WORK, HOME = "/backup", CLUSTER_HOME
#: What the pod runs, and what it reads.
PROGRAMS, TOOLS, SETTINGS, SECRETS, ROTATION = "/program", "/tools", "/settings", "/secrets", "/rotation"
#: The key of the Secret with what the programs are given, and the one that says in which repository a set was made.
SETTINGS_KEY, MADE_IN = "settings.json", "made-in"
#: Where the PostgreSQL of a drill has its data, and leaves its password for the other container, which has the group of the volumes.
POSTGRESQL = "/postgresql"
_EMPTY_DATABASE = f"""set -eu
umask 027
cd {POSTGRESQL}
head -c 24 /dev/urandom | base64 | tr -d '\\n' >new
initdb --pgdata=data --username=postgres --pwfile=new --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync --no-instructions >/dev/null
mv new password
exec postgres -D {POSTGRESQL}/data -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=50
"""
_FEW_OF_DATABASE = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
#: A schedule of a CronJob.
CRON = re.compile(r"@(hourly|daily|midnight|weekly|monthly|yearly|annually)|[0-9*/,-]+ [0-9*/,-]+ [0-9*/,?-]+ [0-9A-Za-z*/,-]+ [0-9A-Za-z*/,?-]+")


def problems(backup: Backup) -> list[str]:
    """Return a sentence with its remedy for each problem, of the variables and of the server."""
    return [*_of_repository(backup.settings), *_of_settings(backup.settings), *_of_server(backup)]


def _of_repository(given: Settings) -> Iterator[str]:
    if bool(given.repository) == bool(given.claim):
        yield (
            f"mlflow_backup_repository: is '{given.repository}', and mlflow_backup_claim is '{given.claim}'; set one of them: an address that restic "
            "knows, such as s3:https://s3.example.com/backups, or the name of a PersistentVolumeClaim in MLflow's namespace"
        )
    elif (given.repository and not given.endpoint[0]) or given.repository.startswith("/"):
        yield (
            f"mlflow_backup_repository: '{given.repository}' is no address that a pod reaches; set one such as s3:https://s3.example.com/backups, or "
            "put the sets on a volume by mlflow_backup_claim"
        )


def _of_settings(given: Settings) -> Iterator[str]:
    yield from problems_of_restic(given.keep, given.environment)
    if given.schedule and not CRON.fullmatch(given.schedule):
        yield f"mlflow_backup_schedule: '{given.schedule}' is no schedule of a CronJob; set five fields, such as 0 3 * * *, for three at night"
    if given.timeout < 1:
        yield f"mlflow_backup_timeout: {given.timeout} is too short; set the number of seconds that a backup may take, such as 21600"


def _of_server(backup: Backup) -> Iterator[str]:
    source = backup.source
    if "MLFLOW_BACKEND_STORE_URI" not in source.plain:
        yield f"mlflow_server_environment: Deployment/{source.name} does not say which database it has; deploy it again by mlops.mlflow.site"
    if not source.store.startswith("s3://") and not source.has_volume:
        yield (
            f"artifact_store_provider: the artifacts of Deployment/{source.name} are in '{source.store}', which is neither S3 nor on a volume of its "
            "pods, so that they cannot be read; move them by mlops.mlflow.move_artifacts"
        )
    claims_ = [(each.source.get("persistentVolumeClaim") or {}).get("claimName") for each in source.volumes]
    for option, claim in (("claim", backup.settings.claim), ("work_claim", backup.settings.work_claim)):
        if claim and claim in claims_:
            yield f"mlflow_backup_{option}: '{claim}' is the volume of the artifacts, which a set would become part of; name another claim"
    if not backup.image_of_database:
        yield (
            "mlflow_backup_postgresql_image: is empty, and the database is not the deployment's own; set an image that has pg_dump of its major "
            "version or a later one, such as docker.io/library/postgres:17"
        )


# Objects


def request(backup: Backup, password: str) -> Object:
    """Return what the programs in the pod are given."""
    given = backup.settings
    certificate = {"RESTIC_CACERT": f"{SETTINGS}/ca.crt"} if given.ca else {}
    return {
        "home": HOME, "repository": given.where, "password": password, "restic": [f"{TOOLS}/restic"],
        "environment": {**certificate, **{name: str(each) for name, each in given.environment.items()}},
        "keep": given.keep,
        "set": given.set, "replace": given.replace,
    }  # fmt: skip


def objects(backup: Backup) -> list[Object]:
    """Return what is there before the first set is made, in the order in which it is applied."""
    labels = backup.identity.labels
    return [
        workload.service_account(backup.name, labels),
        workload.config_map(backup.name, labels, backup.programs),
        workload.network_policy(backup.identity, backup.name, backup.egress),
        *([cron_job(backup)] if backup.settings.schedule else []),
    ]


def unwanted(backup: Backup) -> list[Object]:
    """Return what is removed if it is there."""
    return [] if backup.settings.schedule else [{"api_version": "batch/v1", "kind": "CronJob", "name": backup.name}]


def claims(name: str) -> list[Object]:
    """Return what the role may create, change or remove for the server of that name."""
    kinds = {
        "Secret": "v1", "ServiceAccount": "v1", "ConfigMap": "v1", "NetworkPolicy": "networking.k8s.io/v1", "CronJob": "batch/v1", "Job": "batch/v1",
    }  # fmt: skip
    own = [(kind, f"{name}-backup") for kind in kinds] + [(kind, f"{name}-drill") for kind in ("NetworkPolicy", "Job")]
    return [{"kind": kind, "api_version": kinds[kind], "name": each, "option": "mlflow_server_name"} for kind, each in own]


def job(backup: Backup, action: str = "backup") -> Object:
    """Return the Job that makes a set now. Its log is kept for a day."""
    limits = workload.once(backup.settings.timeout)
    return workload.job(backup.name, backup.identity.labels, pod(backup, action), **limits, ttlSecondsAfterFinished=86400)


def cron_job(backup: Backup) -> Object:
    """Return the CronJob that makes a set at each time of the schedule, and none while one is made."""
    given, labels = backup.settings, backup.identity.labels
    return workload.cron_job(backup.name, labels, pod(backup, "backup"), given.schedule, given.timeout, suspend=given.suspended)


def pod(backup: Backup, action: str) -> Object:
    """Return the specification of the pod: two containers that copy programs from their images, and MLflow's image, which runs them."""
    given, source, rotated = backup.settings, backup.source, rotation_kubernetes.named(backup.source.name)
    tools, programs = workload.scratch("tools", TOOLS, "500Mi"), workload.files("program", PROGRAMS, backup.name)
    few = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}
    ended = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    copied = [
        Container("restic", given.restic_image, ["cp", "/usr/bin/restic", f"{TOOLS}/restic"], [tools], few, more=ended),
        Container("postgresql", backup.image_of_database, ["sh", f"{PROGRAMS}/tools.sh", TOOLS], [tools, programs], few, more=ended),
    ]
    volumes = [
        tools, programs, _work(given), *_repository(given), workload.scratch("tmp", "/tmp", "2Gi"),
        Volume("settings", SETTINGS, {"secret": {"secretName": backup.name, "defaultMode": 0o440}}, read_only=True),
        # Of the role mlflow_rotation, while it works.
        Volume("rotation", ROTATION, {"secret": {"secretName": rotated, "defaultMode": 0o440, "optional": True}}, read_only=True),
        *_held(backup), *source.volumes,
    ]  # fmt: skip
    environment = [workload.value("HOME", "/tmp"), *map(dict, source.environment), *backup.access]
    more = {"imagePullPolicy": source.pull_policy, "workingDir": "/tmp", "envFrom": [*source.environment_from], **ended}
    command = ["python", f"{PROGRAMS}/backup_pod.py", action]
    container = Container("backup", source.image, command, volumes, given.resources, environment, more)
    security = workload.user(USER, fsGroupChangePolicy="OnRootMismatch")
    return {**workload.pod(backup.name, security, [container], initContainers=[each.spec for each in copied]), **source.placement}


def _work(given: Settings) -> Volume:
    """Where the artifacts are mirrored: for this set alone, or on a volume, so that the next one fetches what is new."""
    if given.work_claim:
        return Volume("work", WORK, {"persistentVolumeClaim": {"claimName": given.work_claim}})
    return workload.scratch("work", WORK, given.work_size)


def _repository(given: Settings) -> list[Volume]:
    return [Volume("repository", REPOSITORY, {"persistentVolumeClaim": {"claimName": given.claim}})] if given.claim else []


def _held(backup: Backup) -> list[Volume]:
    """The deployment's own Secrets, which are part of a set, but for those of the backups."""
    others = (backup.name, rotation_kubernetes.named(backup.source.name))
    names = sorted(name for name in backup.secrets if name not in others)
    return [
        Volume(f"secret-{number}", f"{SECRETS}/{name}", {"secret": {"secretName": name, "defaultMode": 0o440, "optional": True}}, read_only=True)
        for number, name in enumerate(names)
    ]


# The drill


def drill(backup: Backup) -> list[Object]:
    """Return what tries a set: a Job, and the policy that lets its pod reach the repository alone."""
    identity, name = backup.identity.of("drill"), f"{backup.source.name}-drill"
    policy = workload.network_policy(identity, name, backup.drill_egress)
    return [policy, workload.job(name, identity.labels, _drill_pod(backup), **workload.once(backup.settings.timeout), ttlSecondsAfterFinished=86400)]


def _drill_pod(backup: Backup) -> Object:
    """The pod of a backup, with a PostgreSQL in the place of what leads to the server's database and store."""
    made, data = pod(backup, "drill"), workload.scratch("postgresql", POSTGRESQL, backup.settings.work_size)
    own = {"rotation", *(each.name for each in [*_held(backup), *backup.source.volumes])}
    (container,) = made["containers"]
    container = {
        **container, "env": [workload.value("HOME", "/tmp"), *backup.access], "envFrom": [],
        "volumeMounts": [*(each for each in container["volumeMounts"] if each["name"] not in own), data.mount],
    }  # fmt: skip
    beside = Container("postgresql-server", backup.image_of_database, ["sh", "-c", _EMPTY_DATABASE], [data], _FEW_OF_DATABASE)
    security = {**beside.spec["securityContext"], "runAsUser": backup.database_user, "runAsGroup": backup.database_user}
    # It ends with the other container.
    server = {**beside.spec, "restartPolicy": "Always", "securityContext": security}
    volumes = [*(each for each in made["volumes"] if each["name"] not in own), data.volume]
    return {**made, "containers": [container], "initContainers": [*made["initContainers"], server], "volumes": volumes}


# What the role asks for


def read_backup(given: Mapping[str, Any]) -> Backup:
    """Return the backups that the role mlflow_backup asks for: of the server that is there, or, for a restore, of the one that will be."""
    cluster = read(Cluster, given["kubernetes"], "")
    own, by_operator = (
        [each for each in given[kind] if _owner(each) == given["kubernetes"]["deployment"]] for kind in ("stateful_sets", "clusters")
    )
    images = [container["image"] for each in own for container in each["spec"]["template"]["spec"]["containers"]]
    # That of one of CloudNativePG, which may have it from a catalog.
    images += [(each.get("status") or {}).get("image") or each["spec"].get("imageName", "") for each in by_operator]
    secrets = [each["name"] for each in given["owned"] if each["kind"] == "Secret" and not each.get("namespace")]
    source = published(given["published"]) if given["published"] else deployed(given["deployment"])
    return Backup(
        read(Settings, given["variables"], "mlflow_backup_"), source, cluster, given["services"], secrets,
        next(iter(images), ""), given["programs"], is_of_operator=bool(by_operator) and not own,
    )  # fmt: skip


def _owner(made: Mapping[str, Any]) -> str:
    return str((made["metadata"].get("labels") or {}).get("mlops.mlflow/deployment", ""))


def _decide_objects(given: Mapping[str, Any]) -> Object:
    backup = read_backup(given)
    return {"objects": objects(backup), "absent": unwanted(backup)}


def _decide_problems(given: Mapping[str, Any]) -> list[str]:
    backup = read_backup(given)
    held = {key: b64decode(value).decode() for key, value in given["held"].items()}
    password = json.loads(held.get(SETTINGS_KEY, "{}")).get("password", "")
    differs = bool(password and given["password"]) and password != given["password"] and held.get(MADE_IN) == backup.settings.where
    return [*problems(backup), *([(
        f"mlflow_backup_password: is not the passphrase in Secret/{backup.name}, with which the sets in this repository were made; set that one, as "
        "mlflow_backup_password or in the file that mlflow_backup_password_file names, or choose another repository"
    )] if differs else [])]  # fmt: skip


def _decide_secret(given: Mapping[str, Any]) -> dict[str, str]:
    """The values of the backups' Secret; in which repository a set was made is kept if this does not say."""
    backup = read_backup(given)
    values = {SETTINGS_KEY: as_json(request(backup, given["password"]), sort_keys=True)}
    values |= {"ca.crt": backup.settings.ca} if backup.settings.ca else {}
    return {**values, **({MADE_IN: backup.settings.where} if given["is_made"] else {})}


def volumes(given: Settings) -> list[Object]:
    """Return the claims that must be there, each with the option that names it.

    >>> volumes(Settings(claim="sets"))
    [{'option': 'mlflow_backup_claim', 'name': 'sets'}]
    """
    named = {"mlflow_backup_claim": given.claim, "mlflow_backup_work_claim": given.work_claim}
    return [{"option": option, "name": name} for option, name in named.items() if name]


def warnings(backup: Backup) -> list[str]:
    """Return what is said of a repository that does not survive what it is for."""
    if backup.is_in_own_store:
        return ["The repository is in the artifact store that it is a backup of: set mlflow_backup_repository to another place"]
    return []


DECISIONS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "cluster_claims": lambda given: claims(given["name"]),
    "cluster_drill": lambda given: drill(read_backup(given)),
    "cluster_job": lambda given: job(read_backup(given)),
    "cluster_objects": _decide_objects,
    "cluster_problems": _decide_problems,
    "cluster_secret": _decide_secret,
    "cluster_volumes": lambda given: volumes(read(Settings, given["variables"], "mlflow_backup_")),
    "cluster_warnings": lambda given: warnings(read_backup(given)),
}
