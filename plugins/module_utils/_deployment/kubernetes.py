# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What the role kubernetes decides: whose objects are whose, the values of Secrets, and what a removal takes. No I/O."""
from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import kubernetes_network, nfs
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients import kinds as clients
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.kubernetes_certificate import CHECKSUM, Certificate
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import read
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, described
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.pod_trouble import is_ready

MANAGED_BY, DEPLOYMENT = "app.kubernetes.io/managed-by", "mlops.mlflow/deployment"
#: What a Deployment is marked with while the database may have keys that are in no Secret of the server yet.
ROTATION = "mlops.mlflow/rotation"
#: The labels of the objects that belong to the whole deployment.
LABELS = {MANAGED_BY: "mlops.mlflow", "app.kubernetes.io/part-of": "mlflow"}
_LABEL = re.compile("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
Given = Mapping[str, Any]


def problems(namespace_name: str, deployment: str, timeout: int) -> list[str]:
    """Return what is wrong with the variables.

    >>> problems("ml", "ml", 0)
    ['kubernetes_timeout: 0 is too short; set the number of seconds that a rollout may take, such as 300']
    """
    found = []
    if not _LABEL.fullmatch(namespace_name):
        found.append(
            f"kubernetes_namespace: '{namespace_name}' is not a valid namespace name; use at most 63 lower-case letters, digits and dashes, with a "
            "letter or digit at both ends"
        )
    if not _LABEL.fullmatch(deployment):
        found.append(
            f"kubernetes_deployment: '{deployment}' is not a valid label value; use at most 63 lower-case letters, digits and dashes, with a letter "
            "or digit at both ends"
        )
    if timeout < 1:
        found.append(f"kubernetes_timeout: {timeout} is too short; set the number of seconds that a rollout may take, such as 300")
    return found


def namespace(name: str, deployment: str) -> Object:
    """Return the Namespace, whose pods meet the restricted Pod Security Standard."""
    labels = {MANAGED_BY: "mlops.mlflow", DEPLOYMENT: deployment, "pod-security.kubernetes.io/enforce": "restricted"}
    return described("v1", "Namespace", name, labels)


def is_namespace_to_apply(found: Mapping[str, Any], wanted: Object, additions: Mapping[str, Any]) -> bool:
    """Return whether the Namespace is applied: where there is none, or the deployment's own lacks something. One of others is left alone."""
    if not found:
        return True
    labels = {**wanted["metadata"]["labels"], **additions["labels"]}
    is_patched = any(patch.get("kind") == "Namespace" for patch in additions["patches"])
    lacks = not _has(found, "labels", labels) or not _has(found, "annotations", additions["annotations"])
    return bool(found.get("own")) and (is_patched or lacks)


def _has(metadata: Mapping[str, Any], part: str, wanted: Mapping[str, Any]) -> bool:
    return wanted.items() <= (metadata.get(part) or {}).items()


def targets(claims: Iterable[Mapping[str, Any]], earlier: Iterable[Mapping[str, Any]], namespace_name: str) -> list[str] | None:
    """Return what patches may be for besides the claims; None as long as not all objects are known, which they are with the server's.

    No role claims the namespace, nor the Jobs whose names contain a checksum; and earlier roles of the run have claimed theirs.
    """
    servers = [claim["name"] for claim in claims if claim.get("component") == "server"]
    if not servers:
        return None
    jobs = [f"Job/{name}{suffix}" for name in servers for suffix in ("-migrate-0000000000", "-schema-0000000000")]
    return [f"Namespace/{namespace_name}", *jobs, *(f"{claim['kind']}/{claim['name']}" for claim in earlier)]


def has_served(workloads: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether a server was ever deployed here, whose database and bucket contain data."""
    return any(each["component"] == "server" and "mlops.mlflow/schema" in each["annotations"] for each in workloads)


def own(deployments: Iterable[Mapping[str, Any]], deployment: str) -> list[Mapping[str, Any]]:
    """Return those that are the deployment's. Those of early versions do not say whose they are."""
    return [each for each in deployments if each["metadata"]["labels"].get(DEPLOYMENT, deployment) == deployment]


def workloads(deployments: Iterable[Mapping[str, Any]], deployment: str) -> list[dict[str, Any]]:
    """Return what is published of the deployment's own Deployments.

    >>> found = [{"metadata": {"name": name, "labels": labels}} for name, labels in (("a", {}), ("b", {DEPLOYMENT: "ml"}), ("c", {DEPLOYMENT: "x"}))]
    >>> [each["name"] for each in workloads(found, "ml")]
    ['a', 'b']
    """
    found = [each["metadata"] for each in own(deployments, deployment)]
    return [{"kind": "Deployment", "name": each["name"], "annotations": each.get("annotations") or {}} for each in found]


def server_pod(deployments: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]], deployment: str) -> str:
    """Return the name of a pod of the deployment's server that is ready and stays, or ""."""
    selectors = [each["spec"]["selector"]["matchLabels"] for each in own(deployments, deployment)]
    for pod in pods:
        metadata = pod["metadata"]
        if is_ready(pod) and "deletionTimestamp" not in metadata and any(each.items() <= metadata["labels"].items() for each in selectors):
            return str(metadata["name"])
    return ""


def checked(claims: Iterable[Mapping[str, Any]], there: Iterable[str], earlier: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return ``all`` objects of which the run has checked whose they are, and those that were ``there``, each as the apply action calls it.

    >>> checked([{"kind": "Secret", "name": "a"}, {"kind": "Role", "name": "b", "namespace": "c"}], ["Secret/a"], {"all": ["Job/d"], "there": []})
    {'all': ['Job/d', 'Secret/a', 'Role/c/b'], 'there': ['Secret/a']}
    """
    titles = ["/".join(filter(None, (each["kind"], each.get("namespace"), each["name"]))) for each in claims]
    return {"all": [*earlier.get("all", []), *titles], "there": [*earlier.get("there", []), *there]}


def unseen_kinds(kinds: Iterable[Mapping[str, Any]], there: Iterable[str]) -> list[Mapping[str, Any]]:
    """Return the kinds of which no object is there, so that the cluster may not know them.

    >>> unseen_kinds([{"kind": "Middleware"}, {"kind": "ServiceMonitor"}], ["Middleware/mlflow-redirect", "Service/mlflow"])
    [{'kind': 'ServiceMonitor'}]
    """
    seen = {title.partition("/")[0] for title in there}
    return [each for each in kinds if each["kind"] not in seen]


def interrupted(workloads: Iterable[Mapping[str, Any]]) -> str:
    """Return that a rotation was interrupted, if one was, with what finishes it.

    >>> interrupted([{"name": "mlflow", "annotations": {}}])
    ''
    """
    for each in workloads:
        if ROTATION in each["annotations"]:
            return (
                f"kubernetes_deployment: a rotation of the keys of {each['kind']}/{each['name']} was interrupted, and its database may have new keys "
                "already; finish it first with ansible-playbook mlops.mlflow.rotate -e rotate=all, which begins no other one"
            )
    return ""


# Secrets


def secret(name: str, values: Mapping[str, str], kind: str = "Opaque", labels: Mapping[str, str] | None = None) -> Object:
    """Return a Secret with all its values, since server-side apply removes those that its owner omits."""
    return described("v1", "Secret", name, {**LABELS, **(labels or {})}, type=kind, data={key: _encoded(value) for key, value in values.items()})


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def certificate_secrets(name: str, signed: Mapping[str, str], checksum: str) -> list[Object]:
    """Return the Secrets of a certificate and of the authority that signed it."""
    authority = {"tls.crt": _encoded(signed.get("authority", "")), "tls.key": _encoded(signed.get("authority_key", ""))}
    own = {part: _encoded(signed.get(key, "")) for part, key in (("ca.crt", "authority"), ("tls.crt", "certificate"), ("tls.key", "key"))}
    made = described("v1", "Secret", name, LABELS, type="kubernetes.io/tls", data=own)
    made["metadata"]["annotations"] = {CHECKSUM: checksum}
    return [described("v1", "Secret", f"{name}-ca", LABELS, type="kubernetes.io/tls", data=authority), made]


def held(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a Secret as it is, {} where there is none."""
    return {key: b64decode(value).decode() for key, value in (found.get("data") or {}).items()}


def is_extended(found: Mapping[str, Any], additions: Mapping[str, Any]) -> bool:
    """Return whether an object has the labels and annotations that users want on all."""
    metadata = found.get("metadata") or {}
    return _has(metadata, "labels", additions["labels"]) and _has(metadata, "annotations", additions["annotations"])


def is_secret_right(found: Mapping[str, Any], values: Mapping[str, str], deployment: str, additions: Mapping[str, Any]) -> bool:
    """Return whether a Secret need not be applied: it has the values, the owner, which those of early versions lack, and what users add."""
    labels = (found.get("metadata") or {}).get("labels") or {}
    is_patched = any(patch.get("kind") == "Secret" for patch in additions["patches"])
    return held(found) == values and labels.get(DEPLOYMENT) == deployment and is_extended(found, additions) and not is_patched


# Removal


def goes(owned: Mapping[str, Any]) -> bool:
    """Return whether the namespace is removed: this deployment has made it, and nobody else has anything in it."""
    return owned["namespace"] == "own" and not owned["foreign"]


def kept_databases(owned: Mapping[str, Any], with_databases: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what is owned without Clusters of CloudNativePG and what they need, and these: their volumes would go with them.

    >>> cluster = {"api_version": "postgresql.cnpg.io/v1", "kind": "Cluster", "name": "db", "instance": "db"}
    >>> others = [{"kind": "Secret", "name": "db-user", "instance": "db"}, {"kind": "Service", "name": "mlflow", "instance": "mlflow"}]
    >>> found = {"owned": [cluster, *others], "foreign": [], "namespace": "own"}
    >>> [[each["name"] for each in part] for part in (kept_databases(found, False)[0]["owned"], kept_databases(found, False)[1])]
    [['mlflow'], ['db', 'db-user']]
    >>> kept_databases(found, True)[1]
    []
    """
    clusters = [each["name"] for each in owned["owned"] if each["kind"] == "Cluster" and each["api_version"].startswith("postgresql.cnpg.io/")]
    names = [] if with_databases else clusters
    kept = [each for each in owned["owned"] if each.get("instance") in names or (each["kind"] == "Cluster" and each["name"] in names)]
    return {**owned, "owned": [each for each in owned["owned"] if each not in kept]}, kept


def removal(owned: Mapping[str, Any], namespace_name: str, kept: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    """Return what is removed and what is kept, a line each."""
    lines = [f"to be removed: what client {entry.name} has in namespace {entry.namespace}" for entry in clients.recorded(owned["owned"])]
    lines += [f"to be removed: {each['kind']} {each['name']}" for each in owned["owned"]]
    lines += [f"to be removed: PersistentVolume {name}, but not the files of its NFS export" for name in nfs.volumes_of(owned["owned"])]
    lines += [f"kept with its data: {each['kind']} {each['name']} (-e remove_databases=yes removes it)" for each in kept]
    if goes(owned) and not kept:
        lines.append(f"to be removed: Namespace {namespace_name}")
    elif owned["namespace"] == "absent":
        lines.append(f"there is no Namespace {namespace_name}")
    else:
        lines.append(f"kept: Namespace {namespace_name}")
    return [*lines, *(f"kept: {each['kind']} {each['name']} of {each['owner']}" for each in owned["foreign"])]


# What the role asks for


def _certificate(given: Given) -> Certificate:
    found = given["secret"]
    noted = ((found.get("metadata") or {}).get("annotations") or {}).get(CHECKSUM, "")
    return Certificate(
        given["hosts"], held(found), noted, given["certificate"], given["authority"], given["signed"], bool(given["check_mode"])
    )  # fmt: skip


def _decide_certificate(given: Given) -> Object:
    certificate = _certificate(given)
    names = ("names", "stays", "has_authority", "ends_with_authority", "published")
    return {
        **{name: getattr(certificate, name) for name in names},
        "secrets": certificate_secrets(given["name"], given["signed"], certificate.checksum),
        "is_extended": is_extended(given["secret"], given["additions"]),
    }


def _decide_egress(given: Given) -> list[Object]:
    return kubernetes_network.ways(given["host"], int(given["port"]), given["services"], read(Cluster, given["kubernetes"], ""))


def _decide_namespace(given: Given) -> Object:
    wanted = namespace(given["name"], given["deployment"])
    return {"object": wanted, "is_applied": is_namespace_to_apply(given["found"], wanted, given["additions"])}


def _decide_runtime(given: Given) -> Object:
    read_nodes: Sequence[Mapping[str, Any]] = [node for result in given["read"][:1] for node in result["resources"]]
    addresses = kubernetes_network.node_addresses(read_nodes, given["own_addresses"])
    return {
        "node_addresses": addresses["all"],
        "host_addresses": addresses["host"] or addresses["all"],
        "has_served": has_served(given["workloads"]),
        "checked": checked(given["claims"], given["there"], given["earlier_checked"]),
    }


def _decide_secret_values(given: Given) -> dict[str, str]:
    """Given values come before those that are held, and these before new ones, which check mode does not make."""
    kept, keys = held(given["secret"]), given["keys"]
    new = {} if given["check_mode"] else dict(zip(keys, given["new"]))
    return {**{key: new.get(key, "") for key in keys if key not in kept}, **kept, **{key: value for key, value in keys.items() if value != ""}}


def _decide_secret(given: Given) -> Object:
    labels, additions = given.get("labels") or {}, given["additions"]
    wanted = {**additions, "labels": {**additions["labels"], **labels}}
    is_right = is_secret_right(given["secret"], given["values"], given["deployment"], wanted)
    return {"object": secret(given["name"], given["values"], given.get("type") or "Opaque", labels), "is_right": is_right}


def reads(claims: Iterable[Mapping[str, Any]], once: bool) -> list[dict[str, Any]]:
    """Return what is read at once: the nodes, which users who can only see their own namespace may not, and the Secrets, if they are read ``once``.

    The key of an authority is read only where it signs.

    >>> claims = [{"kind": "Secret", "name": "db"}, {"kind": "Secret", "name": "db-tls-ca"}, {"kind": "Secret", "name": "a", "wanted": False}]
    >>> others = [{"kind": "Secret", "name": "b", "namespace": "other"}, {"kind": "Service", "name": "db"}]
    >>> [[each.get("name") for each in reads([*claims, *others], once)] for once in (True, False)]
    [[None, 'db'], [None]]
    """
    names = [each["name"] for each in claims if once and each["kind"] == "Secret" and each.get("wanted", True) and not each.get("namespace")]
    return [{"kind": "Node", "optional": True}, *({"kind": "Secret", "name": name} for name in names if not name.endswith("-ca"))]


def found_secrets(claims: Iterable[Mapping[str, Any]], results: Sequence[Mapping[str, Any]], once: bool) -> dict[str, Any]:
    """Return the Secrets that were read, by their names, {} where there is none."""
    pairs = zip(reads(claims, once), results)
    return {each["name"]: next(iter(result["resources"]), {}) for each, result in pairs if each["kind"] == "Secret"}


def _decide_removal(given: Given) -> Object:
    owned, kept = kept_databases(given["owned"], bool(given.get("with_databases")))
    own = [{key: value for key, value in each.items() if key != "instance"} for each in owned["owned"]]
    volumes = [{"api_version": "v1", "kind": "PersistentVolume", "name": name} for name in nfs.volumes_of(owned["owned"])]
    absent = [*clients.elsewhere(owned["owned"]), *own, *volumes]
    return {"lines": removal(owned, given["name"], kept), "namespace_goes": goes(owned) and not kept, "absent": absent}


DECISIONS: dict[str, Callable[[Given], Any]] = {
    "certificate": _decide_certificate,
    "egress": _decide_egress,
    "given_keys": lambda given: [key for key, value in given["keys"].items() if value != ""],
    "interrupted": lambda given: interrupted(given["workloads"]),
    "namespace": _decide_namespace,
    "problems": lambda given: problems(given["name"], given["deployment"], int(given["timeout"])),
    "reads": lambda given: reads(given["claims"], bool(given["reads_once"])),
    "removal": _decide_removal,
    "runtime": _decide_runtime,
    "found_secrets": lambda given: found_secrets(given["claims"], given["read"], bool(given["reads_once"])),
    "secret": _decide_secret,
    "secret_values": _decide_secret_values,
    "server_pod": lambda given: server_pod(given["results"][0]["resources"], given["results"][1]["resources"], given["deployment"]),
    "unseen_kinds": lambda given: unseen_kinds(given["kinds"], given["checked"].get("there", [])),
    "workloads": lambda given: workloads(given["deployments"], given["deployment"]),
    "targets": lambda given: targets(given["claims"], given["earlier_claims"], given["name"]),
}
