"""Who else has a host name, and what Gateways say of a route; conditions are those of Traefik 3 and of the Gateway API's reference."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes import ownership, rollout
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.public_name import rivals, taken

HOST = "mlflow.example.com"
INGRESS = ownership.Claim("networking.k8s.io/v1", "Ingress", "mlflow", host=HOST, entrances=["traefik"])
ROUTE = ownership.Claim("gateway.networking.k8s.io/v1", "HTTPRoute", "mlflow", host=HOST, entrances=["edge/public", "own"])


def ingress(path: str = "/", kind: str = "Prefix", host: str = HOST, metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    rules = [{"host": "other.example.com", "http": {"paths": [{"path": "/"}]}}, {"host": host, "http": {"paths": [{"path": path, "pathType": kind}]}}]
    return {"metadata": {"name": "shop", "namespace": "shop", **(metadata or {})}, "spec": {"rules": rules, **spec}}


def route(parents: list[dict[str, str]], rules: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {"parentRefs": parents, "hostnames": [HOST], "rules": rules or []}
    return {"metadata": {"name": "shop", "namespace": "shop"}, "spec": spec}


def who(claim: ownership.Claim, *objects: dict[str, Any]) -> list[str]:
    return [owner for _name, _namespace, owner in rivals(claim, objects, "akko", "akko")]


@pytest.mark.parametrize("other", [
    ingress(), ingress(ingressClassName="traefik"), ingress(path="", kind="ImplementationSpecific"),
    ingress(metadata={"annotations": {"kubernetes.io/ingress.class": "traefik"}}), ingress(metadata={"labels": ownership.mark("homelab")}),
])
def test_an_ingress_that_takes_everything_of_the_host_is_a_rival(other: dict[str, Any]) -> None:
    assert len(who(INGRESS, other)) == 1


@pytest.mark.parametrize("other", [
    ingress(host="another.example.com"), ingress(path="/.well-known/acme-challenge/x"), ingress(kind="Exact"), ingress(ingressClassName="nginx"),
    ingress(metadata={"labels": ownership.mark("akko")}), ingress(metadata={"annotations": {"kubernetes.io/ingress.class": "nginx"}}),
    {"metadata": {"name": "default", "namespace": "shop"}, "spec": {"defaultBackend": {}}},
])
def test_one_that_leads_elsewhere_or_is_the_deployments_own_is_none(other: dict[str, Any]) -> None:
    assert who(INGRESS, other) == []


@pytest.mark.parametrize(("other", "count"), [
    (route([{"name": "public", "namespace": "edge"}]), 1),
    (route([{"name": "own", "namespace": "akko"}], [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}]), 1),
    (route([{"name": "own"}]), 0),  # of its own namespace
    (route([{"name": "public", "namespace": "edge"}], [{"matches": [{"path": {"value": "/docs"}}]}]), 0),
    (route([{"name": "public", "namespace": "edge"}], [{"matches": [{"path": {"value": "/"}, "headers": [{"name": "x", "value": "y"}]}]}]), 0),
])
def test_a_route_at_the_same_gateway_is_a_rival(other: dict[str, Any], count: int) -> None:
    assert len(who(ROUTE, other)) == count


def test_the_message_names_the_object_its_owner_and_the_way_out() -> None:
    said = taken(INGRESS, rivals(INGRESS, [ingress(metadata={"annotations": {"meta.helm.sh/release-name": "shop"}})], "akko", "akko"))
    for word in ("mlflow_server_host: 'mlflow.example.com'", "Ingress/shop in namespace shop", "Helm release shop", "nothing was changed"):
        assert word in said
    assert taken(INGRESS, []) == ""


def condition(kind: str, status: str, reason: str, message: str = "", generation: int = 2) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": generation}


TRUE = [condition("Accepted", "True", "Accepted"), condition("ResolvedRefs", "True", "ResolvedRefs")]
REFUSED = [condition("Accepted", "False", "NotAllowedByListeners", "No matching listener:\n  namespace not allowed"), TRUE[1]]
UNRESOLVED = [TRUE[0], condition("ResolvedRefs", "False", "InvalidKind", "unsupported filter")]


@pytest.mark.parametrize(("answers", "waited", "state", "reason", "remedy"), [
    ([TRUE], 0, "done", "", ""),
    ([REFUSED], 5, "waiting", "NotAllowedByListeners", "allowedRoutes.namespaces"),
    ([REFUSED], 20, "failed", "edge/public does not accept it: NotAllowedByListeners: No matching listener: namespace not", "allow routes"),
    ([UNRESOLVED], 20, "failed", "InvalidKind: unsupported filter", "use Middlewares"),
    ([[condition("Accepted", "False", "Odd")]], 20, "failed", "Odd", "correct the route or the Gateway"),
    ([], 20, "waiting", "no controller has answered for Gateway edge/public", "k3s_gateway_api: true"),
    ([], 60, "failed", "no controller has answered", "check that the Gateway exists"),
    ([[condition("Accepted", "False", "NotAllowedByListeners", generation=1)]], 20, "waiting", "no controller has answered", ""),
])
def test_what_gateways_say_of_a_route(answers: list[list[dict[str, Any]]], waited: float, state: str, reason: str, remedy: str) -> None:
    parent = {"name": "public", "namespace": "edge"}
    status = {"parents": [{"parentRef": parent, "controllerName": "traefik.io/gateway-controller", "conditions": each} for each in answers]}
    thing = {"metadata": {"name": "mlflow", "namespace": "akko", "generation": 2}, "spec": {"parentRefs": [parent]}, "status": status}
    seen = {"objects": {"HTTPRoute/mlflow": thing}, "replica_sets": [], "pods": [], "events": [], "claims": [], "now": 100.0}
    verdict = rollout.verdicts([{"kind": "HTTPRoute", "name": "mlflow"}], seen, waited)[0]
    assert verdict.state == state
    assert reason in verdict.reason
    assert remedy in verdict.remedy


def test_every_gateway_has_to_accept_it() -> None:
    parents = [{"name": "public", "namespace": "edge"}, {"name": "own", "sectionName": "https"}]
    status = {"parents": [{"parentRef": parents[0], "conditions": TRUE}]}
    thing = {"metadata": {"name": "mlflow", "namespace": "akko", "generation": 1}, "spec": {"parentRefs": parents}, "status": status}
    seen = {"objects": {"HTTPRoute/mlflow": thing}, "replica_sets": [], "pods": [], "events": [], "claims": [], "now": 100.0}
    verdict = rollout.verdicts([{"kind": "HTTPRoute", "name": "mlflow"}], seen, 61)[0]
    assert (verdict.state, verdict.count) == ("failed", "1 of 2 Gateways accept it")
    assert "akko/own (https)" in verdict.reason


SAID = {"Accepted": condition("Accepted", "True", "Accepted"), "Invalid": condition("Accepted", "False", "Invalid", "OIDC: secret x not found")}
DISABLED = condition("Accepted", "False", "Invalid", "OIDC: resource login of type Backend cannot be used since Backend is disabled in Envoy")


@pytest.mark.parametrize("kind", ["SecurityPolicy", "BackendTrafficPolicy"])
@pytest.mark.parametrize(("answers", "waited", "state", "reason", "remedy"), [
    ([[SAID["Accepted"]]], 0, "done", "", ""),
    ([[SAID["Accepted"]], [SAID["Invalid"]]], 20, "failed", "Invalid: OIDC: secret x not found", "correct the sso_ variable"),
    ([[SAID["Invalid"]]], 5, "waiting", "Invalid: OIDC: secret x not found", "until then, nobody is let in"),
    ([[DISABLED]], 20, "failed", "Backend is disabled", "set extensionApis.enableBackend: true"),
    ([[SAID["Accepted"] | {"observedGeneration": 1}]], 20, "waiting", "Envoy Gateway has not answered", ""),
    ([], 61, "failed", "Envoy Gateway has not answered", "check that its controller runs"),
])
def test_a_policy_is_waited_for_until_its_controller_accepts_it(
    kind: str, answers: list[list[dict[str, Any]]], waited: float, state: str, reason: str, remedy: str
) -> None:
    thing = {"metadata": {"name": "mlflow", "generation": 2}, "status": {"ancestors": [{"conditions": each} for each in answers]}}
    seen = {"objects": {f"{kind}/mlflow": thing}, "replica_sets": [], "pods": [], "events": [], "claims": [], "now": 100.0}
    verdict = rollout.verdicts([{"kind": kind, "name": "mlflow"}], seen, waited)[0]
    assert verdict.state == state
    assert reason in verdict.reason
    assert remedy in verdict.remedy
