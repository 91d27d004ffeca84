# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What a diagnosis sees of a deployment in the cluster, and of the way to it from outside. Reads alone, and returns no value of a Secret."""
from __future__ import annotations

import http.client
import socket
import ssl
from base64 import b64decode
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes import ownership, rollout
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.known_failures import remedy_for
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.pod_trouble import Object, events_of, is_ready, newest

#: Seconds for one answer from outside.
_PATIENCE = 5
#: For how long a workload counts as not having become ready, in seconds, so that what does not get better is told as it is.
_WAITED = 600
_NETWORKING = "/apis/networking.k8s.io/v1"
#: What runs pods, each with its kind, its plural and its group; the last is CloudNativePG's, whose operator runs them.
_WORKLOADS = (
    ("Deployment", "deployments", "/apis/apps/v1"), ("StatefulSet", "statefulsets", "/apis/apps/v1"),
    ("Cluster", "clusters", "/apis/postgresql.cnpg.io/v1"),
)  # fmt: skip


class Overview:
    """A deployment in one namespace of a cluster."""

    def __init__(self, cluster: Cluster, namespace: str, deployment: str) -> None:
        self._cluster, self._namespace, self._deployment = cluster, namespace, deployment

    def seen(self) -> dict[str, Any]:
        """Return everything; the keys are those that the checks in _deployment/cluster_diagnosis.py read."""
        nodes = (self._cluster.get("/api/v1/nodes") or {}).get("items") or []
        found = [{**each, "kind": kind} for kind, plural, group in _WORKLOADS for each in self._own(plural, group)]
        rollouts = [{"kind": each["kind"], "name": each["metadata"]["name"]} for each in found]
        look = self._cluster.look(rollouts)
        server = next((each for each in found if _component(each) == "server"), None)
        return {
            "nodes": [_node(each) for each in nodes],
            "workloads": [self._workload(each, verdict) for each, verdict in zip(found, rollout.verdicts(rollouts, look, _WAITED))],
            "claims": [_claim(each, look["events"]) for each in look["claims"]],
            "references": [reference for each in found if "template" in each["spec"] for reference in _references(each)],
            "secrets": {name: sorted(data) for name, data in self._secrets.items()},
            "server": self._server(server, look["pods"]) if server else {},
            "clients": self._clients(),
            "backups": [_backup(each) for each in self._own("cronjobs", "/apis/batch/v1") if _component(each) == "backup"],
            "now": look["now"],
        }

    def _listed(self, path: str) -> list[dict[str, Any]]:
        return list((self._cluster.get(path) or {}).get("items") or ())

    def _own(self, plural: str, group: str) -> list[dict[str, Any]]:
        """The deployment's own objects of a kind."""
        listed = self._listed(f"{group}/namespaces/{self._namespace}/{plural}")
        return [each for each in listed if ownership.is_own(each["metadata"], self._deployment)]

    @cached_property
    def _secrets(self) -> dict[str, dict[str, str]]:
        return {each["metadata"]["name"]: each.get("data") or {} for each in self._listed(f"/api/v1/namespaces/{self._namespace}/secrets")}

    def _workload(self, workload: Object, verdict: rollout.Verdict) -> dict[str, Any]:
        log = rollout.tail(self._cluster.log(*verdict.log)) if verdict.log else []
        return {
            "component": _component(workload), "kind": workload["kind"], "name": workload["metadata"]["name"],
            "wanted": workload["spec"].get("replicas", 1), "is_ready": verdict.state == "done", "count": verdict.count, "reason": verdict.reason,
            "remedy": remedy_for("\n".join(log)) or verdict.remedy, "log": log,
        }  # fmt: skip

    def _server(self, server: Object, pods: list[Object]) -> dict[str, Any]:
        """The server's pod that can be asked, its Service, and the way from outside."""
        name, selector = server["metadata"]["name"], server["spec"]["selector"]["matchLabels"]
        own = [pod for pod in pods if selector.items() <= (pod["metadata"].get("labels") or {}).items()]
        service = self._cluster.get(f"/api/v1/namespaces/{self._namespace}/services/{name}")
        slices = self._listed(
            f"/apis/discovery.k8s.io/v1/namespaces/{self._namespace}/endpointslices?labelSelector=kubernetes.io/service-name%3D{name}"
        )
        ready = [each for one in slices for each in one.get("endpoints") or () if (each.get("conditions") or {}).get("ready")]
        ingress = self._cluster.get(f"{_NETWORKING}/namespaces/{self._namespace}/ingresses/{name}")
        return {
            "name": name,
            "pod": next((pod["metadata"]["name"] for pod in own if is_ready(pod)), ""),
            "port": service["spec"]["ports"][0]["port"] if service else 0,
            "service": bool(service),
            "endpoints": len(ready),
            "ingress": self._ingress(ingress) if ingress else {},
        }

    def _ingress(self, ingress: Object) -> dict[str, Any]:
        balanced = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        address, host = next((each["ip"] for each in balanced if each.get("ip")), ""), ingress["spec"]["rules"][0]["host"]
        tls = ingress["spec"].get("tls") or []
        data = self._secrets.get(tls[0]["secretName"], {}) if tls else {}
        trusted = "\n".join(b64decode(data[key]).decode() for key in ("ca.crt", "tls.crt") if key in data)
        answer = asked(host, address, "/health", bool(tls)) if address else {"status": 0, "says": ""}
        trouble = certificate_trouble(host, address, trusted) if address and tls else ""
        return {"host": host, "address": address, "class": ingress["spec"].get("ingressClassName", ""), "certificate": trouble, **answer}

    def _clients(self) -> list[dict[str, str]]:
        """The address that each declared client has."""
        listed = self._listed("/api/v1/configmaps?labelSelector=app.kubernetes.io/component%3Dclient")
        return [
            {
                "namespace": each["metadata"]["namespace"],
                "name": each["metadata"]["name"],
                "uri": str((each.get("data") or {})["MLFLOW_TRACKING_URI"]),
            }
            for each in listed
            if ownership.is_own(each["metadata"], self._deployment) and "MLFLOW_TRACKING_URI" in (each.get("data") or {})
        ]


def asked(host: str, address: str, path: str, is_tls: bool) -> dict[str, Any]:
    """Return what answers for a host at an address, whatever its certificate: ``status``, 0 if nothing, and what it says."""
    connection = http.client.HTTPConnection(host, timeout=_PATIENCE)
    # It is told nothing, and what it says is not believed: the certificate is a question of its own.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        plain = socket.create_connection((address, 443 if is_tls else 80), _PATIENCE)
        connection.sock = context.wrap_socket(plain, server_hostname=host) if is_tls else plain
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        return {"status": answer.status, "says": answer.read(300).decode(errors="replace").strip()}
    except (OSError, http.client.HTTPException) as error:
        return {"status": 0, "says": str(error)}
    finally:
        connection.close()


def certificate_trouble(host: str, address: str, trusted: str) -> str:
    """Return why a certificate is not valid for a host, or "". ``trusted`` are certificates as text, beside the well-known ones."""
    context = ssl.create_default_context()
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        if trusted:
            context.load_verify_locations(cadata=trusted)
        with socket.create_connection((address, 443), _PATIENCE) as plain, context.wrap_socket(plain, server_hostname=host):
            return ""
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except OSError as error:
        return str(error)


def _component(thing: Object) -> str:
    return str((thing["metadata"].get("labels") or {}).get(ownership.COMPONENT, ""))


def _node(node: Object) -> dict[str, Any]:
    conditions = {each["type"]: each for each in node["status"].get("conditions") or ()}
    return {
        "name": node["metadata"]["name"], "is_ready": conditions.get("Ready", {}).get("status") == "True",
        "pressure": [name for name in ("DiskPressure", "MemoryPressure", "PIDPressure") if conditions.get(name, {}).get("status") == "True"],
        "says": str(conditions.get("Ready", {}).get("message", "")),
    }  # fmt: skip


def _claim(claim: Object, events: list[Object]) -> dict[str, str]:
    name = claim["metadata"]["name"]
    says = newest(events_of("PersistentVolumeClaim", name, events), "ProvisioningFailed", "FailedBinding", "Provisioning", "ExternalProvisioning")
    return {"name": name, "phase": claim["status"].get("phase", ""), "says": says}


def _references(workload: Object) -> Iterator[dict[str, str]]:
    """The Secrets and the keys that a workload's pods need."""
    pod = workload["spec"]["template"]["spec"]
    name = f"{workload['kind']} {workload['metadata']['name']}"
    for container in [*(pod.get("initContainers") or ()), *pod["containers"]]:
        wanted = [(each.get("valueFrom") or {}).get("secretKeyRef") for each in container.get("env") or ()]
        wanted += [each.get("secretRef") for each in container.get("envFrom") or ()]
        yield from ({"workload": name, "secret": one["name"], "key": one.get("key", "")} for one in wanted if one and not one.get("optional"))
    for volume in pod.get("volumes") or ():
        secret = volume.get("secret")
        if secret and not secret.get("optional"):
            for item in secret.get("items") or [{"key": ""}]:
                yield {"workload": name, "secret": secret["secretName"], "key": item["key"]}


def _backup(job: Mapping[str, Any]) -> dict[str, Any]:
    status = job.get("status") or {}
    return {
        "name": job["metadata"]["name"], "suspended": bool(job["spec"].get("suspend")), "made": job["metadata"].get("creationTimestamp", ""),
        "succeeded": status.get("lastSuccessfulTime", ""),
    }  # fmt: skip
