# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Who owns a Kubernetes object: this deployment, by the object's labels, or someone else.

Server-side apply with forced conflicts takes over any object of that name, so ownership is checked first. Helm does the same with
C(app.kubernetes.io/managed-by) and its release annotations (https://helm.sh/docs/topics/chart_best_practices/labels/).
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption

Object = Mapping[str, Any]

#: https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
MANAGED_BY = "app.kubernetes.io/managed-by"
COLLECTION = "mlops.mlflow"
#: The label that names the deployment; together with the one above it marks ownership.
DEPLOYMENT = "mlops.mlflow/deployment"
COMPONENT = "app.kubernetes.io/component"
#: The field manager of the collection, which identifies objects from before the labels.
FIELD_MANAGER = "mlops.mlflow"
#: Objects that Kubernetes creates in every namespace.
_KUBERNETES_OWN = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
_KUBERNETES_KINDS = {"Endpoints", "EndpointSlice", "Event", "Lease", "PodMetrics"}
#: Namespaces that belong to the cluster itself.
_RESERVED = re.compile(r"kube-.*|default")
#: Kinds that run pods.
WORKLOAD_KINDS = ("CronJob", "DaemonSet", "Deployment", "Job", "StatefulSet")
#: The maximum number of objects that a message names.
_NAMED = 5


def mark(deployment: str) -> dict[str, str]:
    """Return the ownership labels."""
    return {MANAGED_BY: COLLECTION, DEPLOYMENT: deployment}


def marked(definition: Mapping[str, Any], deployment: str) -> dict[str, Any]:
    """Return the object with the ownership labels. A workload's pod template gets none: its pods belong to the workload.

    >>> marked({"kind": "Service", "metadata": {"name": "mlflow", "labels": {"a": "b"}}}, "akko")["metadata"]["labels"]
    {'a': 'b', 'app.kubernetes.io/managed-by': 'mlops.mlflow', 'mlops.mlflow/deployment': 'akko'}
    """
    metadata = dict(definition["metadata"])
    metadata["labels"] = {**(metadata.get("labels") or {}), **mark(deployment)}
    return {**definition, "metadata": metadata}


def is_own(metadata: Mapping[str, Any], deployment: str) -> bool:
    """Whether the object is this deployment's: it has its labels, or the collection created it before they existed.

    >>> is_own({"labels": mark("akko")}, "akko"), is_own({"labels": mark("akko")}, "homelab")
    (True, False)
    >>> is_own({"labels": {MANAGED_BY: COLLECTION}, "managedFields": [{"manager": "mlops.mlflow", "operation": "Apply"}]}, "akko")
    True
    >>> is_own({"labels": {MANAGED_BY: COLLECTION}}, "akko")  # a copy of one, put there by hand
    False
    """
    labels = metadata.get("labels") or {}
    if labels.get(MANAGED_BY) != COLLECTION:
        return False
    if DEPLOYMENT in labels:
        return bool(labels[DEPLOYMENT] == deployment)
    return any(entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" for entry in metadata.get("managedFields") or ())


def manager(deployment: str) -> str:
    """Return the field manager of what a deployment merges into objects of others. Each has its own, so that two do not set the same field."""
    return f"{FIELD_MANAGER}/{deployment}"


def has_fields_of(metadata: Mapping[str, Any], deployment: str) -> bool:
    """Whether the deployment has merged fields into the object.

    >>> metadata = {"managedFields": [{"manager": "mlops.mlflow/akko", "operation": "Apply"}, {"manager": "kubectl", "operation": "Update"}]}
    >>> has_fields_of(metadata, "akko"), has_fields_of(metadata, "homelab"), is_all_of(metadata, "akko")
    (True, False, False)
    """
    return manager(deployment) in _managers(metadata)


def is_all_of(metadata: Mapping[str, Any], deployment: str) -> bool:
    """Whether the object has nothing but what the deployment has merged into it."""
    return set(_managers(metadata)) == {manager(deployment)}


def _managers(metadata: Mapping[str, Any]) -> list[str]:
    return [str(entry.get("manager", "")) for entry in metadata.get("managedFields") or ()]


def concerns(claim: Claim, metadata: Mapping[str, Any], deployment: str) -> bool:
    """Whether an existing object is one to change or remove: one that is not wanted only if it is the deployment's."""
    if claim.merged:
        return has_fields_of(metadata, deployment)
    return claim.wanted or is_own(metadata, deployment)


def whose(metadata: Mapping[str, Any]) -> str:
    """Return the owner of an object that is not this deployment's, as far as its metadata tells.

    >>> whose({"annotations": {"meta.helm.sh/release-name": "tracking", "meta.helm.sh/release-namespace": "shared"}})
    'Helm release tracking'
    >>> whose({"labels": {MANAGED_BY: COLLECTION, DEPLOYMENT: "homelab"}})
    'deployment homelab of mlops.mlflow'
    >>> whose({"ownerReferences": [{"kind": "Certificate", "name": "page"}]})
    'Certificate page'
    >>> whose({"managedFields": [{"manager": "kubectl-create", "operation": "Update"}]})
    'someone using kubectl-create'
    >>> whose({"managedFields": [{"manager": "kube-controller-manager", "subresource": "status"}, {"manager": "kubectl-create"}]})
    'someone using kubectl-create'
    >>> whose({})
    'someone else'
    """
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if labels.get(MANAGED_BY) == COLLECTION and DEPLOYMENT in labels:
        return f"deployment {labels[DEPLOYMENT]} of {COLLECTION}"
    if annotations.get("meta.helm.sh/release-name"):
        return f"Helm release {annotations['meta.helm.sh/release-name']}"
    for reference in metadata.get("ownerReferences") or ():
        return f"{reference['kind']} {reference['name']}"
    if labels.get(MANAGED_BY, COLLECTION) != COLLECTION:
        return str(labels[MANAGED_BY])
    # Those who declare it, not the controllers that report on it.
    managers = [entry["manager"] for entry in metadata.get("managedFields") or () if entry.get("manager") and entry.get("subresource") != "status"]
    return f"someone using {managers[0]}" if managers else "someone else"


def is_cluster_made(kind: str, metadata: Mapping[str, Any]) -> bool:
    """Whether Kubernetes or another object created it, so it neither conflicts nor has an owner of its own.

    >>> is_cluster_made("ConfigMap", {"name": "kube-root-ca.crt"}), is_cluster_made("ConfigMap", {"name": "mlflow"})
    (True, False)
    """
    return kind in _KUBERNETES_KINDS or (kind, metadata.get("name")) in _KUBERNETES_OWN or bool(metadata.get("ownerReferences"))


def check_namespace(name: str) -> None:
    """Raise InvalidOption for a namespace of the cluster itself.

    >>> check_namespace("mlflow")
    >>> check_namespace("kube-system")
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: kubernetes_namespace: 'kube-system' is the cluster's own; give one for MLflow, which need not exist yet
    """
    if _RESERVED.fullmatch(name):
        raise InvalidOption("kubernetes_namespace", name, "is the cluster's own", "give one for MLflow, which need not exist yet")


@dataclass(frozen=True)
class Claim:
    """An object that a run may create, change or remove.

    ``option`` is what names it. ``keys`` are those of a Secret on which the objects of ``needed_by``, each ``KIND/NAME``, depend once they are
    there. A workload's ``component`` is what it is to the deployment, which has one of each; ``previous`` is the name that it gives up.
    One that is not ``wanted`` is to be removed where it is the deployment's own, and otherwise none of its business. ``host`` is the host name
    that it takes all requests for, at its ``entrances``: an Ingress class, or Gateways. One that is ``required`` is anybody's, and has to be there;
    ``remedy`` is what to do if it is not. One that is ``merged`` is anybody's too, and gets fields from the deployment.
    """

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    option: str = ""
    keys: Sequence[str] = ()
    needed_by: Sequence[str] = ()
    component: str = ""
    previous: str = ""
    wanted: bool = True
    host: str = ""
    entrances: Sequence[str] = ()
    required: bool = False
    merged: bool = False
    remedy: str = ""

    @property
    def title(self) -> str:
        """What the object is called in messages and in ``adopt``; with its namespace if that is not the deployment's."""
        return f"{self.kind}/{self.namespace}/{self.name}" if self.namespace else self.target

    @property
    def target(self) -> str:
        """What patches call it."""
        return f"{self.kind}/{self.name}"


def foreign(claims: Iterable[Claim], found: Mapping[str, Object], deployment: str, adopt: Sequence[str] = ()) -> list[tuple[Claim, str]]:
    """Return the claims whose names are taken, each with the owner. ``found`` has the metadata of existing objects, by ``KIND/NAME``."""
    wanted = [claim for claim in claims if claim.wanted and not claim.merged and claim.title not in adopt]
    there = [(claim, found[claim.title]) for claim in wanted if claim.title in found]
    return [(claim, whose(metadata)) for claim, metadata in there if not is_own(metadata, deployment)]


def taken(claims: Sequence[tuple[Claim, str]], namespace: str) -> str:
    """Return one message for all taken names: each object, its owner, and the two remedies.

    >>> print(taken([(Claim("v1", "Service", "mlflow", option="mlflow_server_name"), "Helm release tracking")], "shared"))
    mlflow_server_name: Service/mlflow in namespace shared belongs to Helm release tracking, not to this deployment; nothing was changed. Choose \
another mlflow_server_name, or, if this deployment should take it over, list it in kubernetes_adopt: [Service/mlflow]
    """
    options = sorted({claim.option for claim, _owner in claims if claim.option})
    listed = "; ".join(f"{claim.target} in namespace {claim.namespace or namespace} belongs to {owner}" for claim, owner in claims[:_NAMED])
    more = f"; and {len(claims) - _NAMED} more" if len(claims) > _NAMED else ""
    titles = ", ".join(claim.title for claim, _owner in claims)
    them = "it" if len(claims) == 1 else "them"
    way = f"Choose another {' and '.join(options)}, or, if" if options else "If"
    return (
        f"{', '.join(options) or 'kubernetes_namespace'}: {listed}{more}, not to this deployment; nothing was changed. "
        f"{way} this deployment should take {them} over, list {them} in kubernetes_adopt: [{titles}]"
    )


def missing(claims: Iterable[Claim], found: Mapping[str, Object], namespace: str) -> str:
    """Return which objects that others have to make are not there, or ''. The deployment makes its own ``namespace``.

    >>> print(missing([Claim("v1", "Namespace", "shop", option="mlflow_clients[0].namespace", required=True)], {}, "akko"))
    mlflow_clients[0].namespace: there is no Namespace shop; nothing was changed. Create it first, or correct its name
    """
    absent = [claim for claim in claims if claim.required and claim.title not in (*found, f"Namespace/{namespace}")]
    options = ", ".join(dict.fromkeys(claim.option for claim in absent if claim.option))
    named = ", ".join(dict.fromkeys(f"{claim.kind} {claim.name}" for claim in absent))
    them = "it first, or correct its name" if len(absent) == 1 else "them first, or correct their names"
    remedy = next((claim.remedy for claim in absent if claim.remedy), f"Create {them}")
    return f"{options}: there is no {named}; nothing was changed. {remedy}" if absent else ""


def lost(claims: Iterable[Claim], found: Mapping[str, Object], keys: Mapping[str, Iterable[str]], namespace: str) -> str:
    """Return what is missing although existing objects depend on it, or ''. ``keys`` has the keys of existing Secrets, by name.

    >>> claim = Claim("v1", "Secret", "mlflow", keys=["webhook-key"], needed_by=["Deployment/mlflow"])
    >>> lost([claim], {}, {}, "akko")
    ''
    >>> print(lost([claim], {"Deployment/mlflow": {}}, {}, "akko"))
    Secret mlflow in namespace akko does not exist, but Deployment mlflow depends on its webhook-key; nothing was changed. Restore it from a \
backup (kubectl --namespace akko apply --filename BACKUP), and run again. If it is lost for good, together with everything encrypted with it, set \
kubernetes_fresh_start: true to generate it again
    """
    problems = []
    for claim in claims:
        depending = [title.replace("/", " ") for title in claim.needed_by if title in found]
        there = claim.name in keys
        missing = [key for key in claim.keys if key not in keys.get(claim.name, ())]
        if depending and (missing or not there):
            what = f"Secret {claim.name} in namespace {namespace} " + ("no longer has" if there else "does not exist, but")
            told = f"{what} {', '.join(missing)}, on which {' and '.join(depending)} depend" + ("s" if len(depending) == 1 else "")
            if not there:
                told = f"{what} {' and '.join(depending)} depend{'s' if len(depending) == 1 else ''} on its {', '.join(missing)}"
            problems.append(told)
    if not problems:
        return ""
    return (
        f"{'; '.join(problems)}; nothing was changed. Restore it from a backup (kubectl --namespace {namespace} apply --filename BACKUP), and run "
        "again. If it is lost for good, together with everything encrypted with it, set kubernetes_fresh_start: true to generate it again"
    )


def renamed(claims: Iterable[Claim], workloads: Iterable[tuple[str, Object]], deployment: str) -> str:
    """Return which workload a run would leave behind under its earlier name, or ''. ``workloads`` are kinds and metadata.

    >>> there = [("Deployment", {"name": "mlflow", "labels": {**mark("akko"), "app.kubernetes.io/component": "server"}})]
    >>> renamed([Claim("apps/v1", "Deployment", "mlflow", component="server")], there, "akko")
    ''
    >>> claim = Claim("apps/v1", "Deployment", "tracking", option="mlflow_server_name", component="server")
    >>> print(renamed([claim], there, "akko"))
    mlflow_server_name: 'tracking' would be a second server next to Deployment/mlflow of this deployment, with its own keys on the same \
database; nothing was changed. To rename it, set mlflow_server_previous_name: mlflow, which carries its keys over, and removes it once the new \
one is ready. For a second server on other databases, set another kubernetes_deployment
    """
    own = [(kind, metadata) for kind, metadata in workloads if is_own(metadata, deployment)]
    for claim in claims:
        for kind, metadata in own:
            name, component = metadata["name"], (metadata.get("labels") or {}).get(COMPONENT)
            if not claim.component or component != claim.component or name in (claim.name, claim.previous):
                continue
            if component == "server":
                return (
                    f"{claim.option}: '{claim.name}' would be a second server next to {kind}/{name} of this deployment, with its own keys on the "
                    f"same database; nothing was changed. To rename it, set mlflow_server_previous_name: {name}, which carries its keys over, and "
                    "removes it once the new one is ready. For a second server on other databases, set another kubernetes_deployment"
                )
            return (
                f"{claim.option}: '{claim.name}' would be a new, empty {component} next to {kind}/{name}, which has the data of this deployment; "
                f"nothing was changed. Change the name back to {name}, or, if its data is no longer needed, set kubernetes_fresh_start: true"
            )
    return ""


def ending(name: str, namespace: Object) -> str:
    """Return why a namespace that is being deleted cannot be used, and what holds it; empty if it is not.

    >>> conditions = [{"type": "NamespaceContentRemaining", "status": "True", "message": "Some resources are remaining: pods. has 1 resource"}]
    >>> print(ending("akko", {"metadata": {"deletionTimestamp": "2026-11-29T09:00:00Z"}, "status": {"conditions": conditions}}))
    kubernetes_namespace: 'akko' is being deleted since 2026-11-29T09:00:00Z (Some resources are remaining: pods. has 1 resource); nothing was \
changed. Wait until it is gone, or remove what holds it, and run again: kubectl get namespace akko -o yaml
    >>> ending("akko", {"metadata": {}})
    ''
    """
    since = namespace["metadata"].get("deletionTimestamp")
    if not since:
        return ""
    conditions = (namespace.get("status") or {}).get("conditions") or ()
    told = [str(one.get("message", "")) for one in conditions if one.get("status") == "True" and one.get("message")]
    held = f" ({'; '.join(told)})" if told else ""
    return (
        f"kubernetes_namespace: '{name}' is being deleted since {since}{held}; nothing was changed. "
        f"Wait until it is gone, or remove what holds it, and run again: kubectl get namespace {name} -o yaml"
    )


def crowded(namespace: str, metadata: Mapping[str, Any], others: Sequence[str]) -> str:
    """Return why a namespace that this deployment did not create is not used, and what it contains.

    >>> print(crowded("shared", {}, ["Deployment/shop", "PersistentVolumeClaim/shop"]))
    kubernetes_namespace: 'shared' was not created by this deployment, but by someone else, and contains Deployment/shop, PersistentVolumeClaim/shop\
; nothing was changed. Choose another, which need not exist yet, or set kubernetes_namespace_shared: true to share it with others; \
it is then neither labelled nor removed
    """
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    holds = f"contains {', '.join(others[:_NAMED])}{more}" if others else "contains no workload"
    return (
        f"kubernetes_namespace: '{namespace}' was not created by this deployment, but by {whose(metadata)}, and {holds}; nothing was changed. "
        "Choose another, which need not exist yet, or set kubernetes_namespace_shared: true to share it with others; "
        "it is then neither labelled nor removed"
    )
