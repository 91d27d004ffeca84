"""The login with an HTTPRoute in the place of the Ingress: a Traefik of somebody else's serves a Gateway, and MLflow is attached to it.

The provider, its users and their ways in are those of test_sso.py. This Traefik stands beside the cluster's own, which knows no Gateways.
"""
from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import test_sso
from browser import Browser
from cluster import Cluster
from keycloak_server import KeycloakServer
from login_realm import GROUP, SECRET
from loopback import Authority
from others import SECURITY, apply, thing
from playbook import play
from test_sso import API

# Not for what they break, but for the minutes that they take.
pytestmark = [pytest.mark.outage, pytest.mark.line("(beyond) a login with an HTTPRoute")]
NAMESPACE, GATEWAY, HOST, PORT = "route-sso", "route-gateway", "route.akko.local", 8745
CLUSTER_WIDE = "clusterrole,clusterrolebinding,gatewayclass"


def gateway(image: str, certificate: str, key: str) -> list[dict[str, Any]]:
    """Traefik with its provider for the Gateway API, in a namespace of its own, and a Gateway that takes routes of all namespaces."""
    names = {"app.kubernetes.io/name": "traefik"}
    read = ["get", "list", "watch"]
    status = [f"{kind}/status" for kind in ("gatewayclasses", "gateways", "httproutes")]
    rules = [
        {"apiGroups": [""], "resources": ["services", "secrets", "configmaps", "nodes", "namespaces"], "verbs": read},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
        {"apiGroups": ["traefik.io", "gateway.networking.k8s.io"], "resources": ["*"], "verbs": read},
        {"apiGroups": ["gateway.networking.k8s.io"], "resources": status, "verbs": ["update"]},
    ]  # fmt: skip
    words = ["--providers.kubernetesgateway", "--providers.kubernetescrd", "--providers.kubernetescrd.ingressclass=nobody", "--ping=true",
             "--entryPoints.websecure.address=:8443/tcp", "--entryPoints.traefik.address=:8080/tcp"]
    container = {
        "name": "traefik", "image": image, "command": ["traefik"], "args": words, "securityContext": {**SECURITY, "runAsUser": 65532},
        "ports": [{"containerPort": 8443}], "readinessProbe": {"httpGet": {"path": "/ping", "port": 8080}, "periodSeconds": 1},
    }  # fmt: skip
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": GATEWAY}
    rbac, api = "rbac.authorization.k8s.io/v1", "gateway.networking.k8s.io/v1"
    listener = {
        "name": "https", "protocol": "HTTPS", "port": 8443, "hostname": HOST, "tls": {"certificateRefs": [{"name": "certificate"}]},
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }  # fmt: skip
    ports = [{"port": 443, "targetPort": 8443}]
    return [
        thing("Namespace", GATEWAY), thing("ServiceAccount", "traefik", GATEWAY),
        thing("ClusterRole", GATEWAY, api_version=rbac, rules=rules),
        thing("ClusterRoleBinding", GATEWAY, api_version=rbac, roleRef=role,
              subjects=[{"kind": "ServiceAccount", "name": "traefik", "namespace": GATEWAY}]),
        thing("Secret", "certificate", GATEWAY, type="kubernetes.io/tls", stringData={"tls.crt": certificate, "tls.key": key}),
        thing("GatewayClass", GATEWAY, api_version=api, spec={"controllerName": "traefik.io/gateway-controller"}),
        thing("Gateway", "theirs", GATEWAY, api, spec={"gatewayClassName": GATEWAY, "listeners": [listener]}),
        thing("Service", "traefik", GATEWAY, spec={"type": "NodePort", "selector": names, "ports": ports}),
        thing("Pod", "traefik", GATEWAY, labels=names, spec={"serviceAccountName": "traefik", "containers": [container]}),
    ]  # fmt: skip


@dataclass
class Routed(test_sso.Behind):
    """The deployment behind the login, which is reached through the Gateway."""

    port: str = ""
    authority: str = ""

    def browser(self) -> Browser:
        """A browser without a session."""
        context = ssl.create_default_context(cadata=self.authority + self.keycloak.place.authority)
        return Browser({HOST: f"{self.cluster.address}:{self.port}"}, context)


@pytest.fixture(scope="module")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeycloakServer]:
    """The provider of this server."""
    with test_sso.provider(tmp_path_factory.mktemp("keycloak"), HOST, PORT) as server:
        yield server


@pytest.fixture(scope="module")
def routed(cluster: Cluster, keycloak: KeycloakServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routed]:
    """The Gateway, and a server that is attached to it with the lines of docs/own-parts.md."""
    folder = tmp_path_factory.mktemp("route")
    (folder / "authority").mkdir()
    authority = Authority(folder / "authority")
    both = authority.issue("gateway", [HOST]).read_text()
    certificate, begin, key = both.partition("-----BEGIN PRIVATE KEY-----")
    ca = authority.path.read_text().partition("-----BEGIN PRIVATE KEY-----")[0]
    of_container = "jsonpath={.spec.template.spec.containers[0].image}"
    traefik = cluster.run(f"k3s kubectl -n kube-system get deployment traefik -o '{of_container}'")
    server = cluster.kubectl("get", "deployment", cluster.name, "-o", of_container)
    try:
        apply(cluster, gateway(traefik, certificate, begin + key))
        ours = f"k3s kubectl --namespace {GATEWAY}"
        cluster.run(f"{ours} wait pod traefik --for=condition=Ready --timeout=120s", timeout=130)
        address, port = cluster.run(f"{ours} get service traefik -o 'jsonpath={{.spec.clusterIP}} {{.spec.ports[0].nodePort}}'").split()
        peers = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": GATEWAY}}}
        variables: dict[str, Any] = {
            **test_sso.VARIABLES, "kubernetes_namespace": NAMESPACE, "mlflow_server_host": HOST, "mlflow_server_image": server,
            "sso_provider": "oauth2_proxy", "sso_issuer_url": keycloak.issuer, "sso_client_id": "mlflow", "sso_client_secret": SECRET,
            "sso_issuer_ca": keycloak.place.authority, "sso_allowed_groups": [GROUP], "sso_callers": [peers],
            "mlflow_server_gateways": [{"name": "theirs", "namespace": GATEWAY}], "mlflow_server_ingress_namespace": GATEWAY,
            "mlflow_verify_public_address": address, "mlflow_verify_public_ca": ca,
        }  # fmt: skip
        made = Routed(cluster.apart(variables), keycloak, folder, variables, port, ca)
        made.predicted = made.run(["--check"])
        made.happened = made.run()
        assert made.happened.status == 0, made.happened.output
        yield made
        removed = play("mlops.mlflow.remove", {**variables, "remove_confirmed": "yes"})
        assert removed.status == 0, removed.output
    finally:
        cluster.delete_namespace(NAMESPACE)
        cluster.delete_namespace(GATEWAY)
        cluster.run(f"k3s kubectl delete {CLUSTER_WIDE} {GATEWAY} --ignore-not-found")


def test_check_mode_predicts_it_and_a_second_run_changes_nothing(routed: Routed) -> None:
    """Task by task; an HTTPRoute that the Gateway has accepted, with all that it refers to, and no Ingress."""
    assert routed.predicted.status == 0, routed.predicted.output
    assert routed.predicted.changes == routed.happened.changes != []
    again = routed.run()
    assert (again.status, again.changed) == (0, 0), again.output
    [parent] = routed.cluster.get("httproute", routed.cluster.name)["status"]["parents"]
    assert {each["type"]: each["status"] for each in parent["conditions"]}.items() >= {"Accepted": "True", "ResolvedRefs": "True"}.items()
    assert routed.cluster.get("ingress") == []


def test_a_browser_logs_in_and_out(routed: Routed) -> None:
    """302 to Keycloak, and back to the page that was asked for with a session, which a logout ends."""
    browser, page = routed.log_in("alice", "/?from=here")
    assert (page.status, page.url) == (200, f"{routed.url}/?from=here")
    assert "<title>MLflow</title>" in page.body
    assert browser.open(f"{routed.url}{API.replace('/api/', '/ajax-api/')}").status == 200
    assert 'name="password"' in browser.visit(f"{routed.url}/oauth2/sign_out").body
    assert routed.keycloak.issuer in browser.visit(f"{routed.url}/").url


def test_somebody_outside_of_the_group_is_refused(routed: Routed) -> None:
    """A person with a page that says so, a program with 403."""
    assert routed.log_in("mallory")[1].status == 403
    assert routed.with_token(routed.keycloak.token("outsider", SECRET)).status == 403


@pytest.mark.parametrize("which", [*test_sso.TOKENS])
def test_a_program_needs_a_good_token(routed: Routed, which: str) -> None:
    """401 with words that help, also for a good one beside forged headers that name somebody."""
    assert routed.with_token(routed.keycloak.token("training", SECRET)).status == 200
    refused = routed.with_token(test_sso.TOKENS[which](routed.keycloak), **{"X-Auth-Request-User": "alice", "X-Forwarded-Uri": "/ping"})
    assert (refused.status, json.loads(refused.body)["error_code"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("path", ["/oauth2/../api/2.0/mlflow/experiments/search?max_results=1", f"/oauth2{API}", f"//{API}", f"/OAuth2/..{API}",
                                  "/oauth2/%2e%2e/api/2.0/mlflow/experiments/search?max_results=1", "/oauth2/..%2fapi/2.0/mlflow/experiments/search"])
def test_no_path_leads_around_it(routed: Routed, path: str) -> None:
    """The proxy's own paths, which need no login, are not a way to MLflow's."""
    answer = routed.get(path)
    assert answer.status in (301, 302, 400, 401, 403, 404), answer
    assert "experiments" not in answer.body
