"""What holds for every object of every option: its pods are restricted, one policy is about them, and what is made was claimed."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import deployments
import variants

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import server_objects, sso
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server import Server
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_decisions import DECISIONS

OBJECTS = variants.distinct()


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The templates of pods, each with the title of its object."""
    for made in objects:
        spec = made.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            yield f"{made['kind']}/{made['metadata']['name']}", template


def containers(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [*template["spec"]["containers"], *template["spec"].get("initContainers", [])]


def test_there_is_something_to_look_at() -> None:
    kinds = {made["kind"] for made in OBJECTS}
    assert kinds >= {"Deployment", "StatefulSet", "Job", "CronJob", "Ingress", "HTTPRoute", "HorizontalPodAutoscaler", "ServiceMonitor", "Secret"}
    assert len(OBJECTS) > 200


def test_every_pod_meets_the_restricted_standard() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted."""
    for title, template in pods(OBJECTS):
        security = template["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True, title
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, title
        assert template["spec"]["automountServiceAccountToken"] is False, title
        for container in containers(template):
            expected = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
            given = {key: value for key, value in container["securityContext"].items() if key not in ("runAsUser", "runAsGroup")}
            assert given == expected, title
            assert container["securityContext"].get("runAsUser", 1) != 0, title
        assert not [volume for volume in template["spec"]["volumes"] if "hostPath" in volume], title


def test_every_mount_has_its_volume_and_every_volume_is_mounted() -> None:
    for title, template in pods(OBJECTS):
        mounted = {mount["name"] for container in containers(template) for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in template["spec"]["volumes"]}, title


def test_one_policy_for_both_directions_is_about_each_pod() -> None:
    for given in variants.servers():
        made = variants.of_server(given)
        policies = {each["metadata"]["name"]: each["spec"] for each in made if each["kind"] == "NetworkPolicy"}
        assert all(spec["policyTypes"] == ["Ingress", "Egress"] for spec in policies.values())
        for title, template in pods(made):
            about = [name for name, spec in policies.items() if spec["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()]
            assert len(about) == 1, (title, about)


def test_what_is_made_was_claimed_and_what_is_not_wanted_is_removed() -> None:
    for given in variants.servers():
        given_now = deployments.server(**given)
        plan, claims = DECISIONS["deployment"](given_now), DECISIONS["claims"](given_now)
        made = {(each["kind"], each["apiVersion"], each["metadata"]["name"]) for each in plan["objects"]}
        assert made <= {(each["kind"], each.get("api_version", "v1"), each["name"]) for each in claims if each.get("wanted", True)}
        absent = {(each["kind"], each.get("api_version", "v1"), each["name"]) for each in plan["absent"]}
        assert not made & absent
        # What the role sso has made in front of the route is removed here, too.
        login = given.get("sso", {})
        kept = sso.values_named("mlflow-login") if login.get("application") else []
        former = [] if login.get("policies") else [each for each in sso.policies_named("mlflow-login") if each not in kept]
        assert len(made) + len(absent) == len(server_objects.parts(Server())) + len(former)


def test_the_claims_depend_on_few_variables_alone() -> None:
    """The role gives them before the others can be rendered (roles/mlflow_server/vars/main.yml)."""
    early = "runtime auth name previous_name host gateways ingress_class ingress_auth tls http_redirect replicas max_replicas metrics_enabled"
    names = [f"mlflow_server_{name}" for name in (*early.split(), "service_monitor_enabled")]
    for given in variants.servers():
        every = deployments.server(**given)["variables"]
        sso = given.get("sso", {})
        few = DECISIONS["claims"]({"variables": {name: every[name] for name in names}, "sso": sso})
        assert few == DECISIONS["claims"]({"variables": every, "sso": sso})


def test_no_secret_is_in_an_object_that_is_no_secret() -> None:
    given = deployments.server(auth="basic", **variants.ENTRANCE | {"tls": "provided", "tls_key": "the-private-key"})
    given["secrets"] = {key: f"secret-{key}" for key in given["secrets"]}
    for made in DECISIONS["deployment"](given)["objects"]:
        assert made["kind"] == "Secret" or not [value for value in (*given["secrets"].values(), "the-private-key") if value in str(made)]


def test_a_probe_asks_for_health_unless_it_says_what_to_ask() -> None:
    probes = {"liveness_probe": {"periodSeconds": 3}, "startup_probe": {"exec": {"command": ["true"]}}, "readiness_probe": {"tcpSocket": {"port": 1}}}
    container = next(made for made in variants.of_server(probes) if made["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert container["livenessProbe"] == {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 3}
    assert container["startupProbe"] == probes["startup_probe"]
    assert container["readinessProbe"] == probes["readiness_probe"]
