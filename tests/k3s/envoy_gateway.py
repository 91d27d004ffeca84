"""Envoy Gateway as somebody else has it in the cluster: its controller, and a Gateway that is called as homelab's."""
from __future__ import annotations

import json
from typing import Any

from network import GATEWAY as MACHINE
from others import SECURITY, thing

#: Its namespace, its Gateway, and the port of this machine at which Keycloak listens.
GATEWAYS, PORT = "envoy-story", 8747
GATEWAY = {"name": "envoy-internal", "namespace": GATEWAYS}
#: The name by which pods reach Keycloak, of a Service that leads to this machine.
LOGIN = f"login.{GATEWAYS}.svc.cluster.local"
ROUTES, ENVOY = "gateway.networking.k8s.io/v1", "gateway.envoyproxy.io/v1alpha1"
CONTROLLER = f"gateway.envoyproxy.io/{GATEWAYS}"
CONFIGURATION = {
    "apiVersion": ENVOY, "kind": "EnvoyGateway", "gateway": {"controllerName": CONTROLLER},
    "extensionApis": {"enableBackend": True},
}  # fmt: skip


def controller(image: str) -> list[dict[str, Any]]:
    """Envoy Gateway as its chart has it, but for the rights, which are all, and for what a test does not need."""
    names, rbac = {"control-plane": "envoy-gateway"}, "rbac.authorization.k8s.io/v1"
    own = {"env": [{"name": "ENVOY_GATEWAY_NAMESPACE", "value": GATEWAYS}], "image": image, "securityContext": {**SECURITY, "runAsUser": 65532}}
    mounts = [{"name": name, "mountPath": place} for name, place in (("config", "/config"), ("certs", "/certs"), ("wasm", "/var/lib/eg/wasm"))]
    server = {
        **own, "name": "envoy-gateway", "args": ["server", "--config-path=/config/envoy-gateway.yaml"], "volumeMounts": mounts,
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8081}, "periodSeconds": 2},
    }  # fmt: skip
    volumes = [
        {"name": "config", "configMap": {"name": "envoy-gateway-config"}}, {"name": "certs", "secret": {"secretName": "envoy-gateway"}},
        {"name": "wasm", "emptyDir": {}},
    ]  # fmt: skip
    shutdown = {"type": "Kubernetes", "kubernetes": {"shutdownManager": {"image": image}}}
    certgen = {**own, "name": "certgen", "args": ["certgen", "--disable-topology-injector"]}
    pod = {"serviceAccountName": "envoy-gateway", "restartPolicy": "Never", "containers": [certgen]}
    subject = {"kind": "ServiceAccount", "name": "envoy-gateway", "namespace": GATEWAYS}
    ports = [{"name": name, "port": port} for name, port in (("grpc", 18000), ("ratelimit", 18001), ("wasm", 18002), ("metrics", 19001))]
    return [
        thing("Namespace", GATEWAYS), thing("ServiceAccount", "envoy-gateway", GATEWAYS),
        thing("ClusterRoleBinding", GATEWAYS, api_version=rbac, subjects=[subject],
              roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}),
        thing("ConfigMap", "envoy-gateway-config", GATEWAYS, data={"envoy-gateway.yaml": json.dumps(CONFIGURATION | {"provider": shutdown})}),
        thing("Job", "certgen", GATEWAYS, "batch/v1", spec={"template": {"spec": pod}}),
        thing("Service", "envoy-gateway", GATEWAYS, spec={"selector": names, "ports": ports}),
        thing("Deployment", "envoy-gateway", GATEWAYS, "apps/v1", spec={
            "selector": {"matchLabels": names},
            "template": {"metadata": {"labels": names},
                         "spec": {"serviceAccountName": "envoy-gateway", "containers": [server], "volumes": volumes}},
        }),
    ]  # fmt: skip


def gateway(image: str, certificate: str, key: str) -> list[dict[str, Any]]:
    """The Gateway, with Envoy from this image, and the name by which pods reach Keycloak."""
    kubernetes = {"envoyService": {"type": "NodePort", "externalTrafficPolicy": "Cluster"}, "envoyDeployment": {"container": {"image": image}}}
    parameters = {"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": "own"}
    listener = {
        "name": "https", "protocol": "HTTPS", "port": 443, "tls": {"certificateRefs": [{"name": "certificate"}]},
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }  # fmt: skip
    foreign = {"name": "http", "protocol": "HTTP", "port": 80}
    ports = [{"name": "https", "port": PORT}]
    return [
        thing("Secret", "certificate", GATEWAYS, type="kubernetes.io/tls", stringData={"tls.crt": certificate, "tls.key": key}),
        thing("EnvoyProxy", "own", GATEWAYS, ENVOY, spec={"provider": {"type": "Kubernetes", "kubernetes": kubernetes}}),
        thing("GatewayClass", GATEWAYS, api_version=ROUTES, spec={"controllerName": CONTROLLER}),
        thing("Gateway", GATEWAY["name"], GATEWAYS, ROUTES,
              spec={"gatewayClassName": GATEWAYS, "infrastructure": {"parametersRef": parameters}, "listeners": [listener]}),
        thing("GatewayClass", f"{GATEWAYS}-foreign", api_version=ROUTES, spec={"controllerName": "traefik.io/gateway-controller"}),
        thing("Gateway", "foreign", GATEWAYS, ROUTES, spec={"gatewayClassName": f"{GATEWAYS}-foreign", "listeners": [foreign]}),
        thing("Service", "login", GATEWAYS, spec={"ports": ports}),
        thing("EndpointSlice", "login", GATEWAYS, "discovery.k8s.io/v1", {"kubernetes.io/service-name": "login"}, addressType="IPv4", ports=ports,
              endpoints=[{"addresses": [MACHINE]}]),
    ]  # fmt: skip
