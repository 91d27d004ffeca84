# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The restore of a set into a cluster: whether it may be, which Secrets are put back, and the objects that do it. No I/O.

What was looked at is what ``backup_pod.py look`` prints: ``set``, ``manifest``, ``secrets`` by their names, ``mlflow``, the image's version, and
``occupied``, the name of a database that has other data than the set, and ``newer``, what of these is newer than the set.
"""
from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import backup_kubernetes, kubernetes
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.backup import CLUSTER_HOME
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.backup_kubernetes import read_backup
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.embedded_stack import numbers
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, described

#: The keys without which some of what is in the databases cannot be read.
ENCRYPTING = ("webhook-key", "crypto-passphrase")


def problem(name: str, looked: Mapping[str, Any], keys: Mapping[str, str], is_replaced: bool) -> str:
    """Return why the set must not be restored, with the remedy; empty if it may. ``keys`` is the data of the Secret that the server has now."""
    manifest, found, title = looked["manifest"], looked["secrets"].get(name, {}), f"set {looked['set'][:8]}"
    if manifest.get("home") != CLUSTER_HOME:
        return f"mlflow_backup_set: {title} is of an embedded stack, and this is a server in a cluster; choose another set or repository"
    if numbers(looked["mlflow"]) < numbers(manifest["mlflow"]):
        return (
            f"mlflow_image_version: {looked['mlflow']} is older than {manifest['mlflow']}, of which {title} is, and MLflow cannot migrate a database "
            f"back; set it to {manifest['mlflow']} or later, or choose an older set by mlflow_backup_set"
        )
    if not found:
        return (
            f"mlflow_server_name: {title} has no Secret '{name}', but {', '.join(sorted(looked['secrets'])) or 'none'}; set the name that the server "
            "had when it was backed up"
        )
    if looked["occupied"] and not is_replaced:
        return (
            f"postgresql_database: '{looked['occupied']}' is not empty and has not what {title} has, and nothing is restored over it; set "
            "mlflow_backup_replace to true, and what is there is moved aside, or restore into another kubernetes_namespace"
        )
    if keys and not is_replaced and any(_encoded(found.get(key, "")) != keys.get(key, "") for key in ENCRYPTING):
        return (
            f"mlflow_server_name: Secret/{name} has other keys than {title}, whose webhooks and gateway secrets could not be read with them; delete "
            "the Secret, or set mlflow_backup_replace to true, and it is replaced"
        )
    return ""


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def secrets(name: str, looked: Mapping[str, Any], present: list[str]) -> list[Object]:
    """Return the Secrets that are put back: the server's keys and, where there is none, the authority that clients trust.

    Those of the database and the store stay as they are, since their passwords are in no database of the set.
    """
    put = [kubernetes.secret(name, looked["secrets"][name])]
    authority = f"{name}-tls-ca"
    if authority in looked["secrets"] and authority not in present:
        data = {key: _encoded(value) for key, value in looked["secrets"][authority].items()}
        put.append(described("v1", "Secret", authority, kubernetes.LABELS, type="kubernetes.io/tls", data=data))
    return put


# What the role asks for


def _decide_look_objects(given: Mapping[str, Any]) -> list[Object]:
    """A restore leaves the schedule to the next backup."""
    backup = read_backup(given)
    made = [each for each in backup_kubernetes.objects(backup) if each["kind"] != "CronJob"]
    return [*made, backup_kubernetes.job(backup, "hold")]


def _decide_problem(given: Mapping[str, Any]) -> str:
    backup = read_backup(given)
    return problem(backup.source.name, given["looked"], given["keys"], backup.settings.replace)


def _decide_secrets(given: Mapping[str, Any]) -> list[Object]:
    backup = read_backup(given)
    return secrets(backup.source.name, given["looked"], list(backup.secrets))


DECISIONS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "cluster_look_objects": _decide_look_objects,
    "cluster_restore_job": lambda given: backup_kubernetes.job(read_backup(given), "restore"),
    "cluster_restore_problem": _decide_problem,
    "cluster_restored_secrets": _decide_secrets,
}
