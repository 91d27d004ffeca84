# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The Kubernetes objects of an MLflow server: which it has, and what is in each. No I/O.

``parts`` is the one list of them; that of the claims, which are checked before the first change of a run, follows from it. Those of a login in
front of the HTTPRoute are the role sso's, and are only removed here.
"""
from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import (
    oidc_plugin,
    server_entrance,
    server_jwt,
    server_metrics,
    server_renewal,
    server_settings,
    sso,
    workload,
)
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server import SECRET_KEYS, Server
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import CHECKSUM, SCHEMA, USER, Deployed, base64
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_entrance import NETWORKING, TRAEFIK
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_renewal import RBAC
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, checksum
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Container, Object, Volume, described

AUTH_FOLDER = "/etc/mlflow/auth"
#: The kinds that lead to a server from outside.
_ENTRANCE = frozenset({"Ingress", "HTTPRoute", "Middleware"})
#: The fields of a probe that say what is asked.
_HANDLERS = frozenset({"exec", "grpc", "httpGet", "tcpSocket"})


@dataclass(frozen=True)
class Part:
    """An object that a server has or does not have."""

    kind: str
    name: str
    build: Callable[[Deployed], Object]
    api_version: str = "v1"
    is_wanted: bool = True
    #: What is said of it where the owner of existing objects is checked (kubernetes_preflight).
    claim: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reference(self) -> Object:
        """What identifies it, as kubernetes_apply takes it."""
        return {"kind": self.kind, "name": self.name, **({} if self.api_version == "v1" else {"api_version": self.api_version})}


def parts(server: Server) -> list[Part]:
    """Return each object that a server may have, and whether this one has it."""
    name, certificate, is_certified = server.name, server.certificate, server.is_certified
    entrance = {"host": server.host, "entrances": [server.ingress_class]}
    gateways = ["/".join(filter(None, (each.get("namespace", ""), each.get("name", "")))) for each in server.gateways]
    of_deployment = {"component": "server", "previous": server.previous_name}
    return [
        Part("ServiceAccount", name, service_account),
        Part("Secret", f"{name}-env", secret),
        Part("ConfigMap", server_jwt.name(server), jwt_programs, is_wanted=server.is_jwt),
        Part("Service", name, service),
        Part("NetworkPolicy", name, network_policy, NETWORKING),
        Part("NetworkPolicy", f"{name}-migration", migration_network_policy, NETWORKING),
        Part("Deployment", name, deployment, "apps/v1", claim=of_deployment),
        Part("PodDisruptionBudget", name, pod_disruption_budget, "policy/v1", server.most_replicas > 1),
        Part("HorizontalPodAutoscaler", name, autoscaler, "autoscaling/v2", server.is_scaled),
        Part("Secret", f"{name}-given-tls", server_entrance.given_certificate, is_wanted=server.is_ingress and server.tls == "provided"),
        Part("Secret", server.middleware, server_entrance.ingress_password, is_wanted=server.is_ingress_basic),
        Part("Middleware", server.middleware, server_entrance.ingress_authentication, TRAEFIK, server.is_ingress_basic),
        Part("Ingress", name, server_entrance.ingress, NETWORKING, server.is_ingress, entrance),
        Part("Ingress", f"{name}-routes", server_entrance.routed_ingress, NETWORKING, server.has_routes),
        Part("Middleware", f"{name}-https", server_entrance.redirection, TRAEFIK, server.is_redirected),
        Part("Ingress", f"{name}-http", server_entrance.redirected_ingress, NETWORKING, server.is_redirected),
        Part("HTTPRoute", name, server_entrance.route, "gateway.networking.k8s.io/v1", server.is_route, {"host": server.host, "entrances": gateways}),
        Part("ConfigMap", f"{name}-metrics", server_metrics.config_map, is_wanted=server.metrics_enabled),
        Part("ConfigMap", f"{name}-dashboard", server_metrics.dashboard_config_map, is_wanted=server.metrics_enabled),
        Part("ServiceMonitor", name, server_metrics.service_monitor, server_metrics.API, server.service_monitor_enabled),
        Part("PrometheusRule", name, server_metrics.prometheus_rule, server_metrics.API, server.service_monitor_enabled),
        Part("ServiceAccount", certificate, server_renewal.account, is_wanted=is_certified),
        Part("Role", certificate, server_renewal.role, RBAC, is_certified),
        Part("RoleBinding", certificate, server_renewal.role_binding, RBAC, is_certified),
        Part("ConfigMap", certificate, server_renewal.program, is_wanted=is_certified),
        Part("NetworkPolicy", certificate, server_renewal.network_policy, NETWORKING, is_certified),
        Part("CronJob", certificate, server_renewal.cron_job, "batch/v1", is_certified),
    ]


def claims(server: Server) -> list[Object]:
    """Return the objects that the role and the verification after it may create, change or remove.

    Schema Jobs, whose names depend on the database, are checked when they are created.
    """
    name, is_certified = server.name, server.is_certified
    beside: list[Object] = [
        {"kind": "Secret", "name": name, "keys": [*SECRET_KEYS], "needed_by": [f"Deployment/{name}", f"Secret/{name}-env"]},
        {"kind": "Secret", "name": f"{name}-tls", "wanted": is_certified},
        # Clients have a copy of this CA's certificate.
        {"kind": "Secret", "name": f"{name}-tls-ca", "wanted": is_certified, "keys": ["tls.crt", "tls.key"],
         "needed_by": [f"Secret/{name}-tls", f"Ingress/{name}"]},
        {"kind": "ConfigMap", "name": f"{name}-verify"},
        {"kind": "NetworkPolicy", "api_version": NETWORKING, "name": f"{name}-verify"},
        {"kind": "Job", "api_version": "batch/v1", "name": f"{name}-verify"},
    ]  # fmt: skip
    own: list[Object] = [{**part.reference, "wanted": part.is_wanted, **part.claim} for part in parts(server)]
    own += [{**each, "wanted": False} for each in _former_policies(server)]
    return [{**each, "option": "mlflow_server_name"} for each in [*own, *beside]]


def unwanted(server: Server) -> list[Object]:
    """Return the objects that are removed if they are there."""
    return [*(part.reference for part in parts(server) if not part.is_wanted), *_former_policies(server)]


def _former_policies(server: Server) -> list[Object]:
    """What stood in front of the HTTPRoute until now, or was the plugin's. The role sso, which comes earlier, would open the route."""
    name = sso.policy_name(server.name)
    kept = sso.policies_named(name) if server.login.policies else sso.values_named(name) if server.is_plugin else []
    return [each for each in sso.policies_named(name) if each not in kept]


def objects(deployed: Deployed) -> list[Object]:
    """Return the objects, in the order in which they are applied."""
    return [part.build(deployed) for part in parts(deployed.server) if part.is_wanted]


def before_the_entrance(deployed: Deployed) -> list[Object]:
    """Return what is applied, and waited for, before the way from outside changes: pods that ask for a login, where the present ones do not.

    What has stood in front of these until now goes with that way, unless another login stays or comes there.
    """
    server, found = deployed.server, deployed.found
    is_alone = server.is_plugin or (server.has_users and not server.login)
    is_open = is_alone and server.is_public and server.ingress_auth != "external" and found.replicas > 0 and not found.application
    return [each for each in objects(deployed) if each["kind"] not in _ENTRANCE] if is_open else []


def left_behind(server: Server, owned: Iterable[Mapping[str, str]]) -> list[Object]:
    """Return what is left of the server under its previous name, of the objects that kubernetes_owned_info has found."""
    secrets = [f"{server.previous_name}{suffix}" for suffix in ("", "-tls", "-tls-ca")]
    return [
        {key: value for key, value in each.items() if key != "instance"}
        for each in owned
        if each.get("instance") == server.previous_name or (each["kind"] == "Secret" and each["name"] in secrets)
    ]


def secret_keys(previous: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the server's Secret: those of the server under its previous name, base64 as in a Secret, or "" to make them once."""
    return {**dict.fromkeys(SECRET_KEYS, ""), **{key: b64decode(text).decode() for key, text in previous.items()}}


def deployed_checksum(deployed: Deployed) -> str:
    """Return what a verification depends on: everything except the number of pods, and who may connect."""
    made = objects(deployed)
    rest = [each for each in made if each["kind"] not in ("Deployment", "NetworkPolicy")]
    template = [each["spec"]["template"] for each in made if each["kind"] == "Deployment"]
    additions = [deployed.cluster.additions] if any(deployed.cluster.additions.values()) else []
    return checksum(as_json([*rest, *template, *additions], sort_keys=True))


# The server


def service_account(deployed: Deployed) -> Object:
    """Return the server's account, which its Jobs have too."""
    return workload.service_account(deployed.server.name, deployed.server.identity.labels)


def secret(deployed: Deployed) -> Object:
    """The server's environment that is secret."""
    data = {name: base64(value) for name, value in deployed.secret_variables.items()}
    data |= {"auth.ini": base64(deployed.auth_ini)} if deployed.server.is_basic else {}
    return described("v1", "Secret", f"{deployed.server.name}-env", deployed.server.identity.labels, type="Opaque", data=data)


def jwt_programs(deployed: Deployed) -> Object:
    """Return what verifies tokens."""
    return server_jwt.config_map(deployed.server, deployed.jwt_programs)


def service(deployed: Deployed) -> Object:
    """Return the server's Service."""
    made = workload.service(deployed.server.identity, deployed.server.name, "http", deployed.server.port)
    made["spec"]["ports"] += server_metrics.service_ports(deployed.server)
    return made


def network_policy(deployed: Deployed) -> Object:
    """Who may connect: the callers, the verification, the ingress controller, and the hosts, where the modules run; to the metrics, Prometheus."""
    server = deployed.server
    callers: list[Any] = [
        *server.callers,
        *server.login.callers,
        {"podSelector": {"matchLabels": {"app.kubernetes.io/component": "verification", "app.kubernetes.io/part-of": "mlflow"}}},
    ]
    if server.is_public:
        pods = {"podSelector": {"matchLabels": dict(server.ingress_pods)}} if server.ingress_pods else {}
        callers.append({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": server.ingress_namespace}}, **pods})
    callers += workload.addresses(deployed.cluster.node_addresses)
    issuers = server_jwt.egress(server, deployed.services, deployed.cluster)
    egress = [*deployed.database_egress, *deployed.store.egress, *deployed.own_egress, *server.login.egress, *issuers, *server.egress]
    made = workload.network_policy(server.identity, server.name, egress, server.port, callers)
    made["spec"]["ingress"] += server_metrics.ingress_rules(server)
    return made


def deployment(deployed: Deployed) -> Object:
    """Return the server's Deployment."""
    server = deployed.server
    pod = workload.pod(
        server.name, workload.user(USER, **deployed.store.pod_security), [_server_container(deployed), *server_metrics.containers(deployed)],
        terminationGracePeriodSeconds=server.stop_seconds, **workload.spread(server.identity, server.most_replicas),
    )  # fmt: skip
    made = described("apps/v1", "Deployment", server.name, server.identity.labels, spec={
        "replicas": deployed.replicas,
        "revisionHistoryLimit": 3,
        "progressDeadlineSeconds": 600,
        "strategy": workload.ROLLING_UPDATE if server.strategy == "RollingUpdate" else {"type": "Recreate"},
        "selector": {"matchLabels": server.identity.selector},
        "template": {
            "metadata": {"labels": server.identity.labels, "annotations": {CHECKSUM: deployed.checksum}},
            "spec": {**pod, **server.pod_spec},
        },
    })  # fmt: skip
    made["metadata"]["annotations"] = {SCHEMA: deployed.migration}
    return made


def _server_container(deployed: Deployed) -> Container:
    server = deployed.server
    volumes = [workload.scratch("tmp", "/tmp", server.tmp_size), *server_metrics.volumes(server)]
    if server.is_basic:
        source = {"secretName": f"{server.name}-env", "defaultMode": 0o440, "items": [{"key": "auth.ini", "path": "auth.ini"}]}
        volumes.append(Volume("auth", AUTH_FOLDER, {"secret": source}, read_only=True))
    volumes += [*server_jwt.volumes(server), *server.login.mounts, *deployed.database.mounts, *deployed.store.mounts]
    return Container("mlflow", deployed.image, ["mlflow-server"], volumes, server.resources, _environment(deployed), {
        "args": server.arguments,
        "imagePullPolicy": server.image_pull_policy,
        "ports": [{"name": "http", "containerPort": server.port, "protocol": "TCP"}],
        "envFrom": [*server.environment_from],
        "startupProbe": _probe(server.startup_probe),
        "livenessProbe": _probe(server.liveness_probe),
        "readinessProbe": _probe(server.readiness_probe),
        # Requests come for a moment after the pod is told to stop.
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
    })  # fmt: skip


def _environment(deployed: Deployed) -> list[Object]:
    """The container's variables. Those of mlflow_server_environment come last, and in the place of others of their names."""
    server = deployed.server
    plain = {
        **server_settings.settings(server, deployed.database, deployed.store, deployed.cluster.namespace, deployed.addresses),
        **({"MLFLOW_AUTH_CONFIG_PATH": f"{AUTH_FOLDER}/auth.ini"} if server.is_basic else {}),
        **(oidc_plugin.database_environment(server, deployed.database) if server.is_plugin else {}),
        **server.login.environment,
        **({"MLFLOW_EXPOSE_PROMETHEUS": server_metrics.FOLDER} if server.metrics_enabled else {}),
        "MLFLOW_UVICORN_OPTS": "--timeout-keep-alive 120",
        **server.environment,
        **server_jwt.environment(server, server_jwt.FOLDER),
    }
    referred = {**server_settings.references(deployed.database, deployed.store), **server.login.secret_environment}
    return [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        *({"name": name, "valueFrom": {"secretKeyRef": dict(reference)}} for name, reference in referred.items() if name not in server.environment),
        *(workload.secret_value(name, f"{server.name}-env", name) for name in deployed.secret_variables if name not in server.environment),
        *(workload.value(name, each) for name, each in plain.items()),
    ]


def _probe(given: Mapping[str, Any]) -> Object:
    """A probe, which asks MLflow's /health unless the fields say what to ask."""
    handler = {} if _HANDLERS & given.keys() else {"httpGet": {"path": "/health", "port": "http"}}
    return {**handler, **given}


def pod_disruption_budget(deployed: Deployed) -> Object:
    """Return what keeps all but one pod during a drain."""
    return workload.disruption_budget(deployed.server.identity, deployed.server.name)


def autoscaler(deployed: Deployed) -> Object:
    """Return the autoscaler."""
    server = deployed.server
    return described("autoscaling/v2", "HorizontalPodAutoscaler", server.name, server.identity.labels, spec={
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": server.name},
        "minReplicas": server.replicas,
        "maxReplicas": server.max_replicas,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": server.target_cpu}}}],
    })  # fmt: skip


# The migration


def schema_job(deployed: Deployed, name: str, action: str) -> Object:
    """Return the Job that checks the schema (``action`` check) or migrates it (upgrade).

    It is kept for its log alone, since the Deployment records which migration it follows. A pod that is evicted is replaced: the migration is one
    transaction, under a lock.
    """
    server = deployed.server
    environment = [
        *deployed.database.secret_variables,
        *(workload.value(each, text) for each, text in server_settings.schema_settings(server, deployed.database).items()),
    ]
    volumes = [workload.scratch("tmp", "/tmp", "100Mi"), *deployed.database.mounts]
    more = {"args": [action], "imagePullPolicy": server.image_pull_policy}
    container = Container("schema", deployed.image, ["mlflow-schema"], volumes, server.migration_resources, environment, more)
    pod = {**workload.pod(server.name, workload.user(USER), [container]), **server.pod_spec}
    evicted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    return workload.job(
        name, server.identity.of("migration").labels, pod, backoffLimit=0, activeDeadlineSeconds=server.migration_timeout,
        ttlSecondsAfterFinished=600 if action == "check" else 86400, podFailurePolicy={"rules": [evicted]},
    )  # fmt: skip


def migration_network_policy(deployed: Deployed) -> Object:
    """Return the policy of both schema Jobs: they reach the database, and nobody calls them."""
    server = deployed.server
    return workload.network_policy(server.identity.of("migration"), f"{server.name}-migration", deployed.database_egress)
