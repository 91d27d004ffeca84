# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Where packets of a cluster come from and go to: the addresses of its nodes, and the NetworkPolicy rules that lead to a host. No I/O."""
from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object


def node_addresses(nodes: Iterable[Mapping[str, Any]], own: str) -> dict[str, list[str]]:
    """Return the addresses from which hosts connect to pods, each as a network: ``all`` nodes, and the one on this ``host``.

    They are a node's own, and the first two of its pod network, which belong to its tunnel and its bridge. ``own`` is what ``ip -oneline address``
    prints on this host.

    >>> node = {"spec": {"podCIDRs": ["10.42.0.0/24"]}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}
    >>> node_addresses([node], "2: eth0    inet 10.0.0.1/24 scope global eth0")["host"]
    ['10.0.0.1/32', '10.42.0.0/32', '10.42.0.1/32']
    """
    here = re.findall("inet6? ([^/ ]+)", own)
    every, host = [], []
    for node in nodes:
        known = (node.get("status") or {}).get("addresses") or []
        found = [_single(each["address"]) for each in known if each["type"] == "InternalIP"]
        for network in (node.get("spec") or {}).get("podCIDRs") or []:
            first = ipaddress.ip_network(network).network_address
            found += [_single(str(first)), _single(str(first + 1))]
        every += found
        if any(each["address"] in here for each in known):
            host += found
    return {"all": sorted(every), "host": sorted(host)}


def _single(address: str) -> str:
    """The network of one address."""
    return f"{address}/{128 if ':' in address else 32}"


def ways(host: str, port: int, services: Sequence[Mapping[str, Any]] | None, cluster: Cluster) -> list[Object]:
    """Return the NetworkPolicy rules that let pods reach a host, which may be a Service of the cluster.

    ``services`` are those of all namespaces; None, without permission to list them, which leaves open whether the host is one. The address of a
    DNS name may change, so that only its port is known.
    """
    found = [rule for service in services or [] for rule in _ways_to(service, host, port, cluster)]
    if found:
        return found
    outside: Object = {"ports": [{"port": port, "protocol": "TCP"}]}
    if services is None:
        return [outside, {"to": [{"namespaceSelector": {}}]}]
    return [{**outside, "to": [{"ipBlock": {"cidr": _single(host)}}]}] if re.match("[0-9.]+$|.*:", host) else [outside]


def egress(places: Sequence[tuple[str, int]], services: Sequence[Mapping[str, Any]] | None, cluster: Cluster) -> list[Mapping[str, Any]]:
    """Return the NetworkPolicy rules that let pods reach DNS and these hosts at their ports; a place without a host is none."""
    rules = [rule for host, port in places if host for rule in ways(host, port, services, cluster)]
    return [*cluster.dns_egress, *distinct(rules)]


def distinct(rules: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rules in their order, each once."""
    return [rule for number, rule in enumerate(rules) if rule not in rules[:number]]


def _ways_to(service: Mapping[str, Any], host: str, port: int, cluster: Cluster) -> Iterator[Object]:
    """The rules for a Service. A policy applies to the pods behind it and their port, not to the Service."""
    spec, metadata = service["spec"], service["metadata"]
    if spec.get("type") == "ExternalName":
        return
    selector = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": metadata["namespace"]}},
        "podSelector": {"matchLabels": spec.get("selector")},
    }
    is_it = host in _names(metadata, cluster.namespace) or host in _addresses(service)
    is_node = any(each.startswith(f"{host}/") for each in cluster.node_addresses)
    for each in spec.get("ports") or []:
        if (is_it and each["port"] == port) or (is_node and each.get("nodePort") == port):
            target = each["port"] if spec.get("clusterIP") == "None" else each["targetPort"]
            yield {"ports": [{"port": target, "protocol": "TCP"}], **({"to": [selector]} if spec.get("selector") else {})}


def _names(metadata: Mapping[str, Any], namespace: str) -> list[str]:
    name = f"{metadata['name']}.{metadata['namespace']}"
    return [name, f"{name}.svc", f"{name}.svc.cluster.local", *([metadata["name"]] if metadata["namespace"] == namespace else [])]


def _addresses(service: Mapping[str, Any]) -> list[str]:
    spec = service["spec"]
    balanced = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return [*(spec.get("clusterIPs") or []), *(spec.get("externalIPs") or []), *(each["ip"] for each in balanced if each.get("ip"))]
