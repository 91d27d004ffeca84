# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What the role artifact_store asks for. No I/O."""
from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import artifact_store, minio, nfs, nfs_check, seaweedfs
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.artifact_store import PROVIDER, ArtifactStore, Server, secrets_of
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.artifact_store_problems import problem_of_folder, problems
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import read
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object

Given = Mapping[str, Any]


def _store(given: Given) -> ArtifactStore:
    return read(ArtifactStore, given["variables"], "artifact_store_")


def _server(given: Given) -> Server:
    store, cluster = _store(given), read(Cluster, given["kubernetes"], "")
    if store.provider == "minio":
        return minio.server(store, cluster, given["secrets"], given["script"])
    return seaweedfs.server(store, cluster, given["secrets"])


def _decide_claims(given: Given) -> list[Object]:
    """The objects that the role may create or change, checked before the first change of a run."""
    name, provider = given["name"], given["provider"]
    secrets, volume = secrets_of(name), f"PersistentVolumeClaim/{name}"
    in_cluster = [
        {"kind": "Secret", "name": secrets["admin"], "keys": ["access-key", "secret-key"], "needed_by": [volume]},
        {"kind": "Secret", "name": secrets["user"], "keys": ["access-key", "secret-key"], "needed_by": [volume]},
        *({"kind": kind, "name": name} for kind in ("PersistentVolumeClaim", "ServiceAccount", "ConfigMap", "Service")),
        {"kind": "NetworkPolicy", "api_version": "networking.k8s.io/v1", "name": name},
        # Previous is the store that the artifacts are moved from.
        {"kind": "Deployment", "api_version": "apps/v1", "name": name, "component": "artifacts", "previous": given["previous"]},
    ]
    certificate = secrets["certificate"]
    claims: dict[str, list[Object]] = {
        "minio": in_cluster,
        "seaweedfs": [*in_cluster, *({"kind": "Secret", "name": each} for each in (secrets["identities"], certificate, f"{certificate}-ca"))],
        "external_s3": [
            {"kind": "Secret", "name": name, "wanted": not given["existing_secret"]},
            {"kind": "Secret", "name": f"{name}-ca", "wanted": bool(given["ca"])},
        ],
    }
    if provider == "nfs":
        return nfs.claims(name, read(ArtifactStore, given, ""))
    return [{**claim, "option": "artifact_store_name"} for claim in claims.get(provider, [])]


def _decide_access(given: Given) -> Object:
    """What the provider adds to the connection."""
    store = _store(given)
    home = given["embedded"].get("home", "")
    if store.provider == "embedded":
        return artifact_store.embedded_access(home)
    if store.provider != "external_s3":
        return artifact_store.cluster_access(store, given["address"], given["secrets"][secrets_of(store.name)["user"]])
    if given["is_on_kubernetes"]:
        return artifact_store.external_cluster_access(store, _decide_credentials(given), given["egress"])
    return artifact_store.external_access(store, home)


def _decide_credentials(given: Given) -> dict[str, str]:
    """Those of an external server, from the existing Secret if there is one."""
    store = _store(given)
    if not store.existing_secret:
        return {"access_key": store.access_key, "secret_key": store.secret_key}
    data = _existing(given)
    return {name: b64decode(data.get(store.secret[f"{name}_key"]) or "").decode() for name in ("access_key", "secret_key")}


def _existing(given: Given) -> Mapping[str, str]:
    """What the existing Secret with the credentials of an external server has, encoded."""
    return _first(given["found"].get("resources") or []).get("data") or {}


def _decide_missing_key(given: Given) -> Object:
    """The first key that the existing Secret lacks, and the option that names it; {} where there is none."""
    secret = _store(given).secret
    data = _existing(given)
    found: Object = _first({"option": option, "key": secret[option]} for option in ("access_key_key", "secret_key_key") if secret[option] not in data)
    return found


def _decide_problems(given: Given) -> list[str]:
    own = {name.removeprefix("artifact_store_"): value for name, value in given["variables"].items()}
    return problems({**own, "is_on_kubernetes": given["is_on_kubernetes"]})


def _decide_identities(given: Given) -> str:
    """SeaweedFS's users and what they may do, as it reads them."""
    store = _store(given)
    if store.provider == "seaweedfs":
        return seaweedfs.identities(store, given["secrets"])
    known = given["embedded_secrets"]
    return seaweedfs.embedded_identities(store.bucket, known["artifact_store_admin_secret_key"], known["artifact_store_secret_key"])


def _decide_other_provider(given: Given) -> str:
    """The provider of a Deployment of the same name that runs the other server, whose data this one could not read; empty where there is none."""
    store = _store(given)
    there = [each for each in read(Cluster, given["kubernetes"], "").workloads if (each.get("kind"), each.get("name")) == ("Deployment", store.name)]
    found = [(each.get("annotations") or {}).get(PROVIDER, "minio") for each in there[:1]]
    return next((provider for provider in found if provider != store.provider), "")


def _decide_move(given: Given) -> Object:
    """Which store is moved from and whose artifacts: the name of its Deployment, and that of the server."""
    kept = [given["name"]] if given["provider"] in ("minio", "seaweedfs") else []
    by_component = [(each.get("component"), each["name"]) for each in given["workloads"]]
    return {
        "server": next((name for component, name in by_component if component == "server"), ""),
        "previous": next((name for component, name in by_component if component == "artifacts" and name not in kept), ""),
    }


def _decide_move_lines(given: Given) -> list[str]:
    """What was moved, for people."""
    moved, what = given["moved"], f"{given['moved']['objects']} objects, {given['size']},"
    if moved["already"]:
        return [f"The artifacts are in {given['destination']} already; nothing was moved"]
    if given["check_mode"]:
        return [f"{what} would be copied"]
    old = f": Deployment/{given['previous']}" if given["previous"] else ""
    return [
        f"{what} were copied from {moved['source']} to {moved['target']}, read back and compared; SHA-256 of all: {moved['sha256']}",
        f"The old store still has them. Once you no longer need it, remove it as docs/move-artifacts.md shows{old}",
    ]


# A volume that many pods write to


def _decide_volume(given: Given) -> Object:
    """The claim that MLflow mounts, its objects, what is wrong with the one that is there, and whether this one was checked before."""
    store, claim = _store(given), _first(given["found"].get("resources") or [])
    uid = str((claim.get("metadata") or {}).get("uid") or given["applied_uid"])
    checked = nfs.digest(store, uid, given["probe"]) if uid else ""
    recorded = _first(given["recorded"].get("resources") or []).get("metadata") or {}
    return {
        "claim": nfs.claim_name(store),
        "problem": nfs_check.claim_problem(store, claim),
        "objects": nfs.volume(store, given["kubernetes"]["namespace"]),
        "is_checked": bool(checked) and (recorded.get("annotations") or {}).get(nfs.CHECKED) == checked,
        "record": nfs.record(store, given["probe"], checked),
    }


def _decide_volume_check(given: Given) -> list[Object]:
    """The Job that uses the volume as the server does, and what it needs."""
    return nfs.check(_store(given), given["probe"], given["pull_policy"])


def _decide_volume_connection(given: Given) -> Object:
    """What the role publishes, and whether the check, if there was one, has found no artifacts."""
    reports = [nfs_check.message(pod) for pod in given["pods"]]
    return nfs.connection(_store(given), any(each.get("empty") is True for each in reports))


def _decide_volume_problem(given: Given) -> str:
    """Why the check failed."""
    return nfs_check.diagnosis(_store(given), given["pods"], given["events"], given["otherwise"])


def _first(found: Iterable[Any]) -> Any:
    return next(iter(found), {})


DECISIONS: Mapping[str, Callable[[Given], Any]] = {
    "abort_multipart_days": lambda given: artifact_store.abort_multipart_days(given["provider"], given["endpoint_url"]),
    "access": _decide_access,
    "arguments": lambda given: seaweedfs.arguments(seaweedfs.on_machine(f"{given['embedded']['home']}/artifact-store", _store(given).port)),
    "claims": _decide_claims,
    "connection": lambda given: artifact_store.connection(_store(given), given["endpoint_url"], bool(given["is_empty"])),
    "credentials": _decide_credentials,
    "endpoint": lambda given: artifact_store.endpoint(_store(given).endpoint_url),
    "folder_problem": lambda given: problem_of_folder(given["inspected"], given["path"], given["runtime"]),
    "growth": lambda _given: seaweedfs.GROWTH,
    "identities": _decide_identities,
    "is_frozen": lambda given: minio.is_frozen(_store(given).image),
    "missing_key": _decide_missing_key,
    "move": _decide_move,
    "move_lines": _decide_move_lines,
    "objects": lambda given: artifact_store.objects(_server(given)),
    "other_provider": _decide_other_provider,
    "problems": _decide_problems,
    "secret_names": lambda given: secrets_of(given["name"]),
    "sockets": lambda given: seaweedfs.sockets(_store(given).port),
    "volume": _decide_volume,
    "volume_check": _decide_volume_check,
    "volume_connection": _decide_volume_connection,
    "volume_problem": _decide_volume_problem,
    "user": lambda given: minio.user(_store(given), given["user_state"]),
}
