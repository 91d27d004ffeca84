#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check who owns the objects that a run would change, before it changes any."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: kubernetes_preflight
short_description: Check who owns the Kubernetes objects that a run would change, before it changes any
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Fails if a name is taken by an object of another owner, if a Secret that existing objects depend on is missing, if a host name leads to
    something else, or if the namespace belongs to someone else or is being
    deleted. One message names the object, its owner and the remedy. Changes nothing.
  - The labels C(app.kubernetes.io/managed-by=mlops.mlflow) and C(mlops.mlflow/deployment) mark an object as a deployment's own. One
    without the second label that field manager C(mlops.mlflow) applied predates that label, and counts as the deployment's own.
  - Reads only metadata and, of Secrets, the names of their keys.
requirements:
  - kubernetes 24.2.0 or later
extends_documentation_fragment:
  - mlops.mlflow.attributes
attributes:
  diff_mode:
    description: The module manages no state that could differ.
    support: none
options:
  kubeconfig:
    description: The path of the cluster's kubeconfig file on the host.
    type: path
    default: /etc/rancher/k3s/k3s.yaml
  namespace:
    description: The namespace of objects that do not specify one.
    type: str
    required: true
  deployment:
    description: The name of the deployment. Defaults to O(namespace).
    type: str
  namespace_policy:
    description:
      - With V(own), the namespace must not exist or be the deployment's own; with V(shared), it may be any but the cluster's own;
        with V(any), it is not checked.
    type: str
    choices: [own, shared, any]
    default: any
  adopt:
    description: Objects of other owners that may be taken over, each as C(KIND/NAME), or C(KIND/NAMESPACE/NAME) if the claim has a namespace.
    type: list
    elements: str
    default: []
  fresh_start:
    description: Whether missing Secrets may be generated again, and an empty database or store may replace one that has data.
    type: bool
    default: false
  labels:
    description: Labels for all objects. Those that the roles set themselves are refused.
    type: dict
    default: {}
  annotations:
    description: Annotations for all objects.
    type: dict
    default: {}
  patches:
    description: Changes to objects, as in M(mlops.mlflow.kubernetes_apply).
    type: list
    elements: dict
    default: []
  targets:
    description:
      - Objects, each as C(KIND/NAME), that O(patches) may be for, in addition to those of O(claims). If given, a patch for any other object is
        an error.
    type: list
    elements: str
  claims:
    description: The objects that the run may create, change or remove.
    type: list
    elements: dict
    default: []
    suboptions:
      api_version:
        description: The API group and version.
        type: str
        default: v1
      kind:
        description: The kind. A kind that the cluster does not know has no objects.
        type: str
        required: true
      name:
        description: The name.
        type: str
        required: true
      namespace:
        description: The namespace, if it is not O(namespace).
        type: str
        default: ""
      option:
        description: The variable that sets the name, for the error message.
        type: str
        default: ""
      keys:
        description: Keys of a Secret that must not be generated again while an object in O(claims[].needed_by) exists.
        type: list
        elements: str
        default: []
      needed_by:
        description: Objects that depend on the Secret, each as C(KIND/NAME) of another claim. An Ingress counts only if it uses the Secret.
        type: list
        elements: str
        default: []
      component:
        description:
          - The component that a workload is. A deployment has one workload per component, so another of its own workloads with the same
            C(app.kubernetes.io/component) is this one under an earlier name.
        type: str
        default: ""
      previous:
        description: The earlier name that the workload is renamed from.
        type: str
        default: ""
      host:
        description: The host name of which an Ingress or HTTPRoute takes all requests. No other object in the cluster may do so.
        type: str
        default: ""
      entrances:
        description: Where the requests arrive, the class of an Ingress, or the Gateways of an HTTPRoute, each as C(NAMESPACE/NAME).
        type: list
        elements: str
        default: []
      wanted:
        description: Whether the object should exist. If not, one of another owner is left alone and is not an error.
        type: bool
        default: true
      required:
        description: Whether the object, whoever owns it, must exist already. Combine with O(claims[].wanted=false).
        type: bool
        default: false
      merged:
        description: Whether the object may be anybody's, since the run only adds fields to it.
        type: bool
        default: false
      remedy:
        description: What to do if a required object does not exist, for the error message.
        type: str
        default: ""
"""

EXAMPLES = r"""
- name: Check that the names are not taken
  mlops.mlflow.kubernetes_preflight:
    namespace: akko
    namespace_policy: own
    claims:
      - kind: Service
        name: mlflow
        option: mlflow_server_name
"""

RETURN = r"""
namespace:
  description: The namespace's C(labels), its C(annotations) and whether it is C(own); empty if it does not exist.
  returned: success
  type: dict
  sample: {labels: {kubernetes.io/metadata.name: akko}, annotations: {}, own: false}
workloads:
  description: The deployment's own Deployments and StatefulSets, each with C(kind), C(name), C(component) and C(annotations).
  returned: success
  type: list
  elements: dict
  sample: [{kind: Deployment, name: mlflow, component: server, annotations: {mlops.mlflow/schema: mlflow-migrate-1f0c9a1b2c}}]
addresses:
  description: What C(ip -oneline address) says of the host itself, if the namespace is checked.
  returned: success
  type: str
  sample: "2: eth0    inet 10.0.0.11/24 brd 10.0.0.255 scope global eth0"
there:
  description: The claims that exist, each as C(KIND/NAME) or C(KIND/NAMESPACE/NAME), except unwanted ones of another owner, and, of those that are
    C(merged), ones without fields of the deployment.
  returned: success
  type: list
  elements: str
  sample: [Service/mlflow]
alone:
  description: Those of the C(merged) claims that exist and have nothing but the deployment's fields.
  returned: success
  type: list
  elements: str
  sample: [ConfigMap/profile/kfp-launcher]
reachable:
  description: V(false) if the cluster did not answer.
  returned: failure
  type: bool
  sample: true
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes import ownership, patches, public_name
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.owned_objects import OwnedObjects

WORKLOADS = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"))
#: The kinds that show that a namespace is in use.
INHABITANTS = (*WORKLOADS, ("apps/v1", "DaemonSet"), ("v1", "PersistentVolumeClaim"))


def check(module: AnsibleModule) -> None:
    """Read what exists, and exit with the first kind of problem, or with what was found."""
    params = module.params
    namespace, policy = params["namespace"], params["namespace_policy"]
    deployment = params["deployment"] or namespace
    claims = [ownership.Claim(**claim) for claim in params["claims"]]
    if policy != "any":
        ownership.check_namespace(namespace)
    patches.check_metadata(params["labels"], params["annotations"])
    patches.check_patches(params["patches"])
    if params["targets"] is not None:
        refuse(module, patches.unknown(params["patches"], [claim.target for claim in claims if claim.wanted] + params["targets"]))
    objects = OwnedObjects(Cluster(params["kubeconfig"], namespace), namespace)
    there = objects.namespace()
    if there is not None and there.get("deletionTimestamp"):
        refuse(module, ownership.ending(namespace, objects.whole("v1", "Namespace", namespace) or {"metadata": there}))
    own = there is not None and ownership.is_own(there, deployment)
    if policy == "own" and there is not None and not own:
        others = [f"{kind}/{metadata['name']}" for version, kind in INHABITANTS for metadata in objects.listed(version, kind)]
        refuse(module, ownership.crowded(namespace, there, others))

    found = {claim.title: metadata for claim in claims if (metadata := read(objects, claim)) is not None}
    foreign = ownership.foreign(claims, found, deployment, params["adopt"])
    if foreign:
        refuse(module, ownership.taken(foreign, namespace))
    refuse(module, ownership.missing(claims, found, namespace))
    for claim in claims:
        if claim.host and claim.wanted:
            rivals = public_name.rivals(claim, objects.everywhere(claim.api_version, claim.kind), deployment, namespace)
            refuse(module, public_name.taken(claim, rivals))
    workloads = [(kind, metadata) for version, kind in WORKLOADS for metadata in objects.listed(version, kind)] if policy != "any" else []
    if not params["fresh_start"]:
        secrets = [claim for claim in claims if claim.keys]
        keys = {claim.name: list(objects.whole("v1", "Secret", claim.name).get("data") or ()) for claim in secrets if claim.title in found}
        depended = {title: metadata for title, metadata in found.items() if not title.startswith("Ingress/")}
        for claim in secrets:
            depended.update(used_by_ingresses(objects, claim, found))
        refuse(module, ownership.lost(claims, depended, keys, namespace))
        refuse(module, ownership.renamed(claims, workloads, deployment))
    module.exit_json(
        changed=False,
        namespace={} if there is None else described_namespace(there, own),
        there=[claim.title for claim in claims if claim.title in found and ownership.concerns(claim, found[claim.title], deployment)],
        alone=[claim.title for claim in claims if claim.merged and claim.title in found and ownership.is_all_of(found[claim.title], deployment)],
        addresses=own_addresses(module) if policy != "any" else "",
        workloads=[described(kind, metadata) for kind, metadata in workloads if ownership.is_own(metadata, deployment)],
    )


def read(objects: OwnedObjects, claim: ownership.Claim) -> dict[str, Any] | None:
    """The metadata of what has the claim's name."""
    return objects.metadata(claim.api_version, claim.kind, claim.name, claim.namespace)


def own_addresses(module: AnsibleModule) -> str:
    """What ip says of this host's addresses; nothing where there is no ip."""
    ip = module.get_bin_path("ip")
    return str(module.run_command([ip, "-oneline", "address"])[1]) if ip else ""


def used_by_ingresses(objects: OwnedObjects, claim: ownership.Claim, found: dict[str, Any]) -> dict[str, Any]:
    """Those of the Ingresses that the claim's Secret, or the certificate that it has signed, is for."""
    titles = [title for title in claim.needed_by if title.startswith("Ingress/") and title in found]
    used: dict[str, Any] = {}
    for title in titles:
        spec = objects.whole("networking.k8s.io/v1", "Ingress", title.partition("/")[2]).get("spec") or {}
        if claim.name.removesuffix("-ca") in [entry.get("secretName") for entry in spec.get("tls") or ()]:
            used[title] = found[title]
    return used


def described(kind: str, metadata: dict[str, Any]) -> dict[str, Any]:
    """One of the deployment's own workloads, as returned."""
    labels = metadata.get("labels") or {}
    return {
        "kind": kind,
        "name": metadata["name"],
        "component": labels.get(ownership.COMPONENT, ""),
        "annotations": {key: value for key, value in (metadata.get("annotations") or {}).items() if key.startswith("mlops.mlflow/")},
    }


def described_namespace(metadata: dict[str, Any], own: bool) -> dict[str, Any]:
    """The namespace, as returned."""
    return {"labels": metadata.get("labels") or {}, "annotations": metadata.get("annotations") or {}, "own": own}


def refuse(module: AnsibleModule, message: str) -> None:
    """Fail the module if there is a message."""
    if message:
        module.fail_json(msg=message, reachable=True)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "default": "/etc/rancher/k3s/k3s.yaml"},
            "namespace": {"type": "str", "required": True},
            "deployment": {"type": "str"},
            "namespace_policy": {"type": "str", "choices": ["own", "shared", "any"], "default": "any"},
            "adopt": {"type": "list", "elements": "str", "default": []},
            "fresh_start": {"type": "bool", "default": False},
            "labels": {"type": "dict", "default": {}},
            "annotations": {"type": "dict", "default": {}},
            "patches": {"type": "list", "elements": "dict", "default": []},
            "targets": {"type": "list", "elements": "str"},
            "claims": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "api_version": {"type": "str", "default": "v1"},
                    "kind": {"type": "str", "required": True},
                    "name": {"type": "str", "required": True},
                    "namespace": {"type": "str", "default": ""},
                    "option": {"type": "str", "default": ""},
                    "keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
                    "needed_by": {"type": "list", "elements": "str", "default": []},
                    "component": {"type": "str", "default": ""},
                    "previous": {"type": "str", "default": ""},
                    "host": {"type": "str", "default": ""},
                    "entrances": {"type": "list", "elements": "str", "default": []},
                    "wanted": {"type": "bool", "default": True},
                    "required": {"type": "bool", "default": False},
                    "merged": {"type": "bool", "default": False},
                    "remedy": {"type": "str", "default": ""},
                },
            },
        },
        supports_check_mode=True,
    )
    with _module.errors_as_failures(module, _module.reachable):
        check(module)


if __name__ == "__main__":
    main()
