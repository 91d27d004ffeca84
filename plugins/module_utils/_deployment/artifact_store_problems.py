# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What is wrong with the variables of the role artifact_store. No I/O."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import nfs

#: A Service's name of which others can be made (https://kubernetes.io/docs/concepts/overview/working-with-objects/names/).
_SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,51}[a-z0-9])?$")
#: What MinIO takes as the name and the secret key of a user; SeaweedFS takes more.
_USER, _SECRET = re.compile(r"[A-Za-z0-9_.-]{3,20}$"), re.compile(r"([A-Za-z0-9_.~-]{8,40})?$")
_ADMIN = "admin"
#: The highest first port of SeaweedFS, which has seven more above it.
_HIGHEST_PORT = 65528


def problems(variables: Mapping[str, Any]) -> list[str]:
    """A sentence with its remedy for each problem.

    ``variables`` are those of the role, by their names without ``artifact_store_``, and ``is_on_kubernetes``, whether the server is.
    """
    in_cluster = dict.fromkeys(("minio", "seaweedfs"), _in_cluster)
    ways = {"embedded": _embedded, **in_cluster, "folder": _folder, "external_s3": _external_s3, "nfs": nfs.problems}
    way = ways.get(variables["provider"])
    return list(_common(variables)) + (list(way(variables)) if way else [])


def _common(variables: Mapping[str, Any]) -> Iterator[str]:
    prefix, name = str(variables["prefix"]), str(variables["name"])
    if prefix.startswith("/") or prefix.endswith("/"):
        yield f"artifact_store_prefix: '{prefix}' starts or ends with a slash; remove it"
    if not _SERVICE.match(name):
        yield (
            f"artifact_store_name: '{name}' is not a valid Service name; use at most 53 lower-case letters, digits and dashes, starting with a "
            "letter and not ending with a dash"
        )


def _embedded(variables: Mapping[str, Any]) -> Iterator[str]:
    port = int(variables["port"])
    if not 1 <= port <= _HIGHEST_PORT:
        yield f"artifact_store_port: {port} leaves no room for the seven ports above it; choose one from 1 to {_HIGHEST_PORT}"


def _in_cluster(variables: Mapping[str, Any]) -> Iterator[str]:
    user = str(variables["access_key"])
    if not _USER.match(user) or user == _ADMIN:
        yield (
            f"artifact_store_access_key: '{user}' is not a name that the server accepts, or is its administrator's; use 3 to 20 letters, digits, "
            "dots, dashes and underscores"
        )
    for name in ("secret_key", "admin_secret_key"):
        if not _SECRET.match(str(variables[name])):
            yield (
                f"artifact_store_{name}: the server does not accept this value; use 8 to 40 letters, digits, dots, dashes, tildes and "
                "underscores, or leave it out"
            )
    if not variables["callers"]:
        yield "artifact_store_callers: is empty, which Kubernetes treats as everyone; list at least MLflow's pods"


def _folder(variables: Mapping[str, Any]) -> Iterator[str]:
    path = str(variables["path"])
    if path and not path.startswith("/"):
        yield f"artifact_store_path: '{path}' is not absolute; set the full path of the folder"
    if variables["is_on_kubernetes"]:
        yield (
            "artifact_store_provider: folder is for the embedded server, because a folder of one node cannot follow a pod to another; use seaweedfs, "
            "minio, external_s3 or nfs"
        )


def _external_s3(variables: Mapping[str, Any]) -> Iterator[str]:
    existing = variables["existing_secret"] or {}
    if bool(existing.get("name")) == bool(variables["secret_key"]):
        yield (
            "artifact_store_secret_key: artifact_store_provider is external_s3, which needs either artifact_store_access_key and "
            "artifact_store_secret_key, or the name of a Secret in artifact_store_existing_secret; set one of them, not both"
        )
    if existing and not variables["is_on_kubernetes"]:
        yield (
            "artifact_store_existing_secret: the embedded server has no Kubernetes Secrets; set artifact_store_access_key and "
            "artifact_store_secret_key instead"
        )
    if variables["ca"] and "BEGIN CERTIFICATE" not in variables["ca"]:
        yield "artifact_store_ca: contains no certificate; set it to the text of a PEM file, or leave it empty if a well-known CA signed"


def problem_of_folder(inspected: str, path: str, runtime: Mapping[str, Any]) -> str:
    """Why MLflow must not store artifacts in the folder ``path``, with the remedy; empty if it may.

    ``inspected`` is ``absent``, ``empty``, ``filled`` or ``used`` (by an MLflow server), and ``unwritable`` after it where the user may not write.
    ``runtime`` is what the role embedded publishes. A folder that is not mounted looks like an empty one.
    """
    state = inspected.split(maxsplit=1)[0]
    if runtime["has_run"] and state != "used":
        lack = "does not exist" if state == "absent" else "is not a folder that it has used: it has no file .mlops-mlflow"
        return (
            f"MLflow has run here before, but '{path}' {lack}; mount it or restore it from a backup or, if you have copied the artifacts to a new "
            "folder, create that file in it"
        )
    if "unwritable" in inspected:
        return f"user '{runtime['user']}' cannot write to '{path}'; make it the owner, or choose another folder"
    return ""
