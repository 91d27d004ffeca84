"""Services of type LoadBalancer get the nodes' addresses, as from k3s's ServiceLB; kube-proxy then answers at them on each node."""
from __future__ import annotations

from typing import Any

from .api import Api
from .errors import K3sError
from .log import log

CLASS = ("", "io.cattle/klipper-lb")


def addresses(nodes: list[dict[str, Any]]) -> list[str]:
    """The internal addresses of the nodes that are ready, in order."""
    found = set()
    for node in nodes:
        status = node.get("status", {})
        if any(condition["type"] == "Ready" and condition["status"] == "True" for condition in status.get("conditions", [])):
            found |= {address["address"] for address in status.get("addresses", []) if address["type"] == "InternalIP"}
    return sorted(found)


def ours(service: dict[str, Any]) -> bool:
    """Whether a Service is one for ServiceLB."""
    spec = service["spec"]
    return spec.get("type") == "LoadBalancer" and spec.get("loadBalancerClass", "") in CLASS


def step(api: Api) -> None:
    """Bring the status of each such Service up to date; what fails is logged, and done in the next step."""
    try:
        services = [item for item in api.json("GET", "/api/v1/services")["items"] if ours(item)]
        if not services:
            return
        wanted = [{"ip": address, "ipMode": "VIP"} for address in addresses(api.json("GET", "/api/v1/nodes")["items"])]
        for service in services:
            if wanted and service["status"]["loadBalancer"].get("ingress") != wanted:
                meta = service["metadata"]
                api.merge(f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}/status", {"status": {"loadBalancer": {"ingress": wanted}}})
                log(f"ServiceLB: {meta['namespace']}/{meta['name']} is at {', '.join(item['ip'] for item in wanted)}")
    except K3sError as error:
        log(f"ServiceLB: {error}", "warning")
