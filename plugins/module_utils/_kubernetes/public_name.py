# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Whether a host name leads to a server: what else in the cluster has it, and what Gateways say of its HTTPRoute and its policies. No I/O."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.ownership import Claim, is_own, whose

Object = Mapping[str, Any]

#: How long a Gateway's controller may take to answer, and how long a refusal may be a passing one, in seconds.
PATIENCE, GRACE = 60, 15
#: The reasons of conditions (https://gateway-api.sigs.k8s.io/reference/spec/#routeconditionreason), and what to do.
_REMEDIES = {
    "NotAllowedByListeners": "allow routes from this namespace in the listener of the Gateway (allowedRoutes.namespaces)",
    "NoMatchingListenerHostname": "give the Gateway a listener for this host name, or correct mlflow_server_host",
    "NoMatchingParent": "correct mlflow_server_gateways: the Gateway has no such listener",
    "BackendNotFound": "correct the Middlewares and the Service that the route refers to",
    "InvalidKind": "use Middlewares that the Gateway's controller supports",
    "RefNotPermitted": "refer only to objects in this namespace, or allow it with a ReferenceGrant",
}
_NO_ANSWER = "check that the Gateway exists and that its controller runs; for k3s's Traefik, set k3s_gateway_api: true"


def rivals(claim: Claim, objects: Iterable[Object], deployment: str, namespace: str) -> list[tuple[str, str, str]]:
    """Return the other objects of the claim's kind that take all requests for its host: name, namespace and owner.

    One with other entrances does not count, nor does one of the deployment itself.

    >>> path = {"path": "/", "pathType": "Prefix"}
    >>> spec = {"ingressClassName": "traefik", "rules": [{"host": "a.example", "http": {"paths": [path]}}]}
    >>> there = [{"metadata": {"name": "shop", "namespace": "shop"}, "spec": spec}]
    >>> claim = Claim("networking.k8s.io/v1", "Ingress", "mlflow", host="a.example", entrances=["traefik"])
    >>> rivals(claim, there, "akko", "akko"), rivals(Claim("v1", "Ingress", "mlflow", host="b.example"), there, "akko", "akko")
    ([('shop', 'shop', 'someone else')], [])
    """
    found = []
    kind, host = claim.kind, claim.host
    own = {each if "/" in each or kind == "Ingress" else f"{namespace}/{each}" for each in claim.entrances}
    for thing in objects:
        metadata, spec = thing["metadata"], thing.get("spec") or {}
        theirs = set(_entrances(kind, metadata, spec))
        if host in _hosts(kind, spec) and (not theirs or theirs & own) and not is_own(metadata, deployment):
            found.append((metadata["name"], metadata["namespace"], whose(metadata)))
    return found


def taken(claim: Claim, found: Iterable[tuple[str, str, str]]) -> str:
    """Return the message for a host name that others have; empty if nobody has it.

    >>> print(taken(Claim("v1", "Ingress", "mlflow", host="a.example"), [("shop", "web", "Helm release shop")]))
    mlflow_server_host: 'a.example' is the host of Ingress/shop in namespace web too, which belongs to Helm release shop; nothing was changed. \
Choose another name, or remove it there
    """
    told = [f"{claim.kind}/{name} in namespace {namespace} too, which belongs to {owner}" for name, namespace, owner in found]
    if not told:
        return ""
    return f"mlflow_server_host: '{claim.host}' is the host of {'; '.join(told)}; nothing was changed. Choose another name, or remove it there"


def route_state(route: Object, waited: float) -> tuple[str, str, str, str]:
    """Return how far the Gateways have accepted an HTTPRoute, as in rollout.Verdict: state, progress, reason and remedy.

    >>> route_state({"metadata": {"generation": 1}, "spec": {"parentRefs": [{"name": "public", "namespace": "edge"}]}}, 61)[:3]
    ('failed', '0 of 1 Gateways accept it', 'no controller has answered for Gateway edge/public')
    """
    wanted = [_parent(reference, route) for reference in route["spec"].get("parentRefs") or ()]
    parents = (route.get("status") or {}).get("parents") or []
    answers = {gateway: [each for each in parents if _parent(each["parentRef"], route) == gateway] for gateway in wanted}
    answered = [gateway for gateway, each in answers.items() if any(_current(each, route, "Accepted"))]
    accepted = [gateway for gateway in answered if not any(_refusals(answers[gateway], route))]
    count = f"{len(accepted)} of {len(answers)} Gateways accept it"
    for gateway, each in answers.items():
        for reason, message in _refusals(each, route):
            told = f"Gateway {gateway} does not accept it: {reason}: {' '.join(message.split())}"
            return "failed" if waited >= GRACE else "waiting", count, told, _REMEDIES.get(reason, "correct the route or the Gateway")
    for gateway in answers:
        if gateway not in answered:
            return "failed" if waited >= PATIENCE else "waiting", count, f"no controller has answered for Gateway {gateway}", _NO_ANSWER
    return "done", count, "", ""


def policy_state(policy: Object, waited: float) -> tuple[str, str, str, str]:
    """Return how far Gateways have accepted a policy of Envoy Gateway's, as in rollout.Verdict. Before there is its route, nobody answers.

    >>> policy_state({"metadata": {"generation": 1}, "status": {"ancestors": [{"conditions": [{"type": "Accepted", "status": "True"}]}]}}, 0)
    ('done', 'accepted', '', '')
    """
    answers = (policy.get("status") or {}).get("ancestors") or []
    for reason, message in _refusals(answers, policy):
        told = f"Envoy Gateway does not accept it: {reason}: {' '.join(message.split())}"
        return "failed" if waited >= GRACE else "waiting", "not accepted", told, _policy_remedy(message)
    if any(True for _condition in _current(answers, policy, "Accepted")):
        return "done", "accepted", "", ""
    told = "Envoy Gateway has not answered"
    return "failed" if waited >= PATIENCE else "waiting", "not accepted", told, "check that its controller runs, and that the route is at its Gateway"


def _policy_remedy(message: str) -> str:
    """What to do about a policy that is not accepted, of which the message says what is wrong. Nobody is let in meanwhile.

    >>> _policy_remedy("OIDC: resource login of type Backend cannot be used since Backend is disabled in Envoy Gateway configuration")[:45]
    'set extensionApis.enableBackend: true in the '
    """
    if "Backend is disabled" in message:
        return "set extensionApis.enableBackend: true in the configuration of Envoy Gateway, which sso_issuer_ca needs"
    return "correct the sso_ variable that it is about; until then, nobody is let in"


def _current(answers: Iterable[Object], route: Object, kind: str) -> Iterator[Object]:
    """The conditions of that type that are about the route as it is now."""
    generation = route["metadata"].get("generation", 0)
    for condition in (condition for answer in answers for condition in answer.get("conditions") or ()):
        if condition["type"] == kind and condition.get("observedGeneration", generation) >= generation:
            yield condition


def _refusals(answers: Iterable[Object], route: Object) -> Iterator[tuple[str, str]]:
    """The reason and the message of each condition that says no."""
    for kind in ("Accepted", "ResolvedRefs"):
        for condition in _current(answers, route, kind):
            if condition["status"] == "False":
                yield str(condition.get("reason", kind)), str(condition.get("message", ""))


def _parent(reference: Object, route: Object) -> str:
    section = f" ({reference['sectionName']})" if reference.get("sectionName") else ""
    return f"{reference.get('namespace') or route['metadata'].get('namespace', '')}/{reference['name']}{section}".lstrip("/")


def _hosts(kind: str, spec: Object) -> Iterator[str]:
    """The host names of which an object takes every path."""
    rules = spec.get("rules") or ()
    if kind == "Ingress":
        for rule in rules:
            if any(path.get("path", "/") in ("", "/") and path.get("pathType") != "Exact" for path in (rule.get("http") or {}).get("paths") or ()):
                yield rule.get("host", "")
        return
    matches = [match for rule in rules for match in rule.get("matches") or [{}]]
    if not rules or any((match.get("path") or {}).get("value", "/") == "/" and set(match) <= {"path"} for match in matches):
        yield from spec.get("hostnames") or ()


def _entrances(kind: str, metadata: Object, spec: Object) -> Iterator[str]:
    if kind == "Ingress":
        named = spec.get("ingressClassName") or (metadata.get("annotations") or {}).get("kubernetes.io/ingress.class")
        yield from [named] if named else []
        return
    yield from (f"{reference.get('namespace') or metadata['namespace']}/{reference['name']}" for reference in spec.get("parentRefs") or ())
