# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The shape of every workload of this collection: labels, pod security, volumes, Service and NetworkPolicy, written once. No I/O.

The functions return Kubernetes objects and parts of them, as dictionaries. What a workload has of its own it adds, as server_objects.py does.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Object = dict[str, Any]

_NAME, _INSTANCE, _COMPONENT = (f"app.kubernetes.io/{each}" for each in ("name", "instance", "component"))
#: The annotation that says which shape a workload was created with (docs/adr/0024-what-a-linter-asks.md), and the newest shape.
SHAPE, NEWEST_SHAPE = "mlops.mlflow/shape", 2


@dataclass(frozen=True)
class Identity:
    """Whose an object is: the values of the labels that Kubernetes recommends, and by which of them its pods are selected."""

    app: str
    instance: str
    component: str
    selected_by: tuple[str, ...] = (_NAME, _INSTANCE, _COMPONENT)

    @property
    def labels(self) -> dict[str, str]:
        """The labels of each object of the workload, and of its pods."""
        return {
            _NAME: self.app, _INSTANCE: self.instance, _COMPONENT: self.component,
            "app.kubernetes.io/part-of": "mlflow", "app.kubernetes.io/managed-by": "mlops.mlflow",
        }  # fmt: skip

    @property
    def selector(self) -> dict[str, str]:
        """The labels by which its pods are selected. Kubernetes does not let them be changed.

        >>> Identity("postgres", "db", "database", BY_INSTANCE).selector
        {'app.kubernetes.io/name': 'postgres', 'app.kubernetes.io/instance': 'db'}
        """
        return {name: value for name, value in self.labels.items() if name in self.selected_by}

    def of(self, component: str) -> Identity:
        """Return the identity of another component of the same instance."""
        return replace(self, component=component)


#: For workloads that are alone in their instance, and for those that share it under different names.
BY_INSTANCE, BY_COMPONENT = (_NAME, _INSTANCE), (_INSTANCE, _COMPONENT)


@dataclass(frozen=True)
class Volume:
    """A volume and where a container has it mounted: said once, for the pod and for the container."""

    name: str
    mount_path: str
    source: Mapping[str, Any]
    #: None leaves it to Kubernetes, which means false.
    read_only: bool | None = None

    @property
    def mount(self) -> Object:
        """What the container has of it."""
        return {"name": self.name, "mountPath": self.mount_path, **({} if self.read_only is None else {"readOnly": self.read_only})}

    @property
    def volume(self) -> Object:
        """What the pod has of it."""
        return {**self.source, "name": self.name}


def scratch(name: str, mount_path: str, size_limit: Any, **more: Any) -> Volume:
    """Return an empty folder of the pod's, which is evicted if it holds more than ``size_limit``, a quantity such as 100Mi."""
    return Volume(name, mount_path, {"emptyDir": {"sizeLimit": size_limit, **more}})


def files(name: str, mount_path: str, config_map: str) -> Volume:
    """Return the files of a ConfigMap."""
    return Volume(name, mount_path, {"configMap": {"name": config_map}}, read_only=True)


@dataclass(frozen=True)
class Container:
    """A container under the restricted Pod Security Standard, with a root file system that it cannot write to."""

    name: str
    image: str
    command: Sequence[str]
    volumes: Sequence[Volume]
    resources: Mapping[str, Any]
    env: Sequence[Mapping[str, Any]] = ()
    #: Further fields: args, ports, probes.
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def spec(self) -> Object:
        """The container, as a pod has it."""
        return {
            "name": self.name, "image": self.image, "command": list(self.command), "resources": self.resources,
            "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [volume.mount for volume in self.volumes],
            **({"env": [*self.env]} if self.env else {}), **self.more,
        }  # fmt: skip


def user(number: int, group_of_volumes: bool = True, **more: Any) -> Object:
    """Return a pod's security context: who it runs as, and whether its volumes belong to that group."""
    group = {"fsGroup": number} if group_of_volumes else {}
    return {"runAsNonRoot": True, "runAsUser": number, "runAsGroup": number, **group, "seccompProfile": {"type": "RuntimeDefault"}, **more}


def pod(account: str, security: Mapping[str, Any], containers: Sequence[Container], **more: Any) -> Object:
    """Return a pod's specification, without a token of its ServiceAccount. ``account`` "" is the one that Kubernetes takes by default.

    Services' environment variables are off: one of a Service named mlflow would be MLFLOW_PORT, which MLflow takes for its own.
    """
    volumes = {volume.name: volume.volume for container in containers for volume in container.volumes}
    return {
        **({"serviceAccountName": account} if account else {}),
        "automountServiceAccountToken": False, "enableServiceLinks": False, "securityContext": dict(security),
        "containers": [container.spec for container in containers], "volumes": list(volumes.values()), **more,
    }  # fmt: skip


def value(name: str, text: Any) -> Object:
    """Return an environment variable. Kubernetes takes texts alone."""
    return {"name": name, "value": str(text)}


def secret_value(name: str, secret: str, key: str) -> Object:
    """Return an environment variable whose value is in a Secret."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def described(api_version: str, kind: str, name: str, labels: Mapping[str, str], **more: Any) -> Object:
    """Return an object with its metadata."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "labels": dict(labels)}, **more}


def service_account(name: str, labels: Mapping[str, str]) -> Object:
    """Return a ServiceAccount whose pods get no token unless they mount one."""
    return described("v1", "ServiceAccount", name, labels, automountServiceAccountToken=False)


def config_map(name: str, labels: Mapping[str, str], data: Mapping[str, str]) -> Object:
    """Return a ConfigMap."""
    return described("v1", "ConfigMap", name, labels, data=dict(data))


def volume_claim(name: str, labels: Mapping[str, str], size: Any, storage_class: str) -> Object:
    """Return a claim of a volume that one pod writes to. Without a storage class it is of the cluster's default."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return described("v1", "PersistentVolumeClaim", name, labels, spec={**spec, **({"storageClassName": storage_class} if storage_class else {})})


def service(identity: Identity, name: str, port_name: str, port: int, is_headless: bool = False) -> Object:
    """Return a Service for the pods' port of that name. A headless one has no address of its own."""
    kind = {"clusterIP": "None"} if is_headless else {"type": "ClusterIP"}
    ports = [{"name": port_name, "port": port, "targetPort": port_name, "protocol": "TCP"}]
    return described("v1", "Service", name, identity.labels, spec={**kind, "selector": identity.selector, "ports": ports})


def network_policy(
    identity: Identity, name: str, egress: Sequence[Any], port: int | str | None = None, callers: Sequence[Mapping[str, Any]] = ()
) -> Object:
    """Return a NetworkPolicy for both directions. Without a port, nobody may connect to the pods; with one, the callers may connect to it alone."""
    ingress = [] if port is None else [{"ports": [{"port": port, "protocol": "TCP"}], "from": [*callers]}]
    # The API server drops an empty list, and would take it for a change each time. What is missing lets nothing through, by policyTypes.
    rules = {way: found for way, found in (("ingress", ingress), ("egress", [*egress])) if found}
    spec = {"podSelector": {"matchLabels": identity.selector}, "policyTypes": ["Ingress", "Egress"], **rules}
    return described("networking.k8s.io/v1", "NetworkPolicy", name, identity.labels, spec=spec)


def disruption_budget(identity: Identity, name: str) -> Object:
    """Return what keeps all but one of several pods during a drain."""
    spec = {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow", "selector": {"matchLabels": identity.selector}}
    return described("policy/v1", "PodDisruptionBudget", name, identity.labels, spec=spec)


def spread(identity: Identity, pods: int) -> Object:
    """Return what spreads several pods over the hosts, for a pod's specification."""
    constraint = {
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": identity.selector}, "matchLabelKeys": ["pod-template-hash"],
    }  # fmt: skip
    return {"topologySpreadConstraints": [constraint]} if pods > 1 else {}


#: How pods are replaced: none ends before its successor is ready.
ROLLING_UPDATE: Object = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def job(name: str, labels: Mapping[str, str], pod_spec: Mapping[str, Any], **more: Any) -> Object:
    """Return a Job whose pod is not repeated."""
    template = {"metadata": {"labels": dict(labels)}, "spec": {"restartPolicy": "Never", **pod_spec}}
    return described("batch/v1", "Job", name, labels, spec={"template": template, **more})


def once(seconds: int) -> Object:
    """Return the limits of a Job that says itself what to do about a failure: no second pod, but for one that is evicted, and no later end."""
    evicted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    return {"backoffLimit": 0, "activeDeadlineSeconds": seconds, "podFailurePolicy": {"rules": [evicted]}}


def cron_job(name: str, labels: Mapping[str, str], pod_spec: Mapping[str, Any], schedule: str, seconds: int, **more: Any) -> Object:
    """Return a CronJob of such Jobs, one at a time. One that comes late, since the cluster was off, runs within half a day."""
    return described("batch/v1", "CronJob", name, labels, spec={
        "schedule": schedule,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 43200,
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 3,
        "jobTemplate": {"metadata": {"labels": dict(labels)}, "spec": job("", labels, pod_spec, **once(seconds))["spec"]},
        **more,
    })  # fmt: skip


def addresses(blocks: Sequence[str]) -> list[Object]:
    """Return callers that are addresses, such as 10.0.0.1/32: those of hosts."""
    return [{"ipBlock": {"cidr": block}} for block in blocks]


def pods_of(identity: Identity, port: int) -> list[Object]:
    """Return the egress rules that let others reach the workload's pods."""
    return [{"to": [{"podSelector": {"matchLabels": identity.selector}}], "ports": [{"port": port, "protocol": "TCP"}]}]


def shape(workloads: Sequence[Mapping[str, Any]], kind: str, name: str) -> int:
    """Return which shape the workload has or gets. One from before it was noted keeps what it has, since a change would restart it.

    >>> there = {"kind": "StatefulSet", "name": "db", "annotations": {}}
    >>> noted = {**there, "annotations": {SHAPE: "2"}}
    >>> shape([there], "StatefulSet", "db"), shape([there], "StatefulSet", "other"), shape([noted], "StatefulSet", "db")
    (1, 2, 2)
    """
    found = [each for each in workloads if (each.get("kind"), each.get("name")) == (kind, name)]
    return 1 if any(SHAPE not in (each.get("annotations") or {}) for each in found) else NEWEST_SHAPE


def with_storage(resources: Mapping[str, Any], size: str) -> Object:
    """Return a container's resources with a request for what it writes outside its volumes, unless they have one.

    >>> with_storage({"limits": {"memory": "1Gi"}, "requests": {"cpu": "1"}}, "100Mi")["requests"]
    {'ephemeral-storage': '100Mi', 'cpu': '1'}
    """
    return {**resources, "requests": {"ephemeral-storage": size, **(resources.get("requests") or {})}}
