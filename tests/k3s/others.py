"""What somebody else has in the cluster: the least of objects, as their operators make them with kubectl."""
from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cluster import Cluster

SECURITY = {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}


def apply(cluster: Cluster, objects: list[dict[str, Any]]) -> None:
    """Have somebody else apply objects."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    cluster.run("k3s kubectl apply --field-manager=kubectl-create -f -", stdin=text)


def thing(kind: str, name: str, namespace: str = "", api_version: str = "v1", labels: Mapping[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """An object."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **({"labels": labels} if labels else {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def confined(namespace: str, *free: str) -> list[dict[str, Any]]:
    """Policies by which pods reach only one another and DNS, but for the components that are named."""
    inside: list[dict[str, Any]] = [{"podSelector": {}}]
    dns: dict[str, Any] = {"to": [{"namespaceSelector": {}}], "ports": [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]}
    policies: dict[str, dict[str, Any]] = {"inside": {"podSelector": {}, "ingress": [{"from": inside}], "egress": [{"to": inside}, dns]}}
    for each in free:
        policies[each] = {"podSelector": {"matchLabels": {"component": each}}, "ingress": [{}], "egress": [{}]}
    kinds = {"policyTypes": ["Ingress", "Egress"]}
    return [thing("NetworkPolicy", name, namespace, "networking.k8s.io/v1", spec=spec | kinds) for name, spec in policies.items()]


def account(namespace: str, name: str, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A service account that may do that in its namespace."""
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    return [
        thing("ServiceAccount", name, namespace), thing("Role", name, namespace, f"{group}/v1", rules=rules),
        thing("RoleBinding", name, namespace, f"{group}/v1", subjects=[subject], roleRef={"apiGroup": group, "kind": "Role", "name": name}),
    ]  # fmt: skip


def service(namespace: str, component: str, *ports: int) -> dict[str, Any]:
    """A Service that is reached at a port of each host too."""
    listed = [{"name": f"p{port}", "port": port} for port in ports]
    return thing("Service", component, namespace, spec={"type": "NodePort", "selector": {"component": component}, "ports": listed})


def rule(verbs: str, *resources: str) -> dict[str, Any]:
    """A rule of a Role."""
    return {"apiGroups": [""], "resources": list(resources), "verbs": verbs.split()}
