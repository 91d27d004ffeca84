# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What the role mlflow_server asks for, by name, each from what the role gives (roles/mlflow_server/vars/main.yml). No I/O."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import (
    server_embedded,
    server_endpoint,
    server_migration,
    server_objects,
    server_problems,
    server_settings,
)
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster, Database, Image, Login, Store
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server import Server
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import Deployed, Found
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import read
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object

Given = Mapping[str, Any]


def _server(given: Given) -> Server:
    return replace(read(Server, given["variables"], "mlflow_server_"), login=read(Login, given["sso"], ""))


def _database(given: Given) -> Database:
    return read(Database, given["postgresql"], "")


def found(given: Given) -> dict[str, list[Mapping[str, Any]]]:
    """What is there, from the results of reading the Deployment, the Service and the pods."""
    resources = [each.get("resources") or [] for each in given["looked"]] or [[], [], []]
    return dict(zip(("deployments", "services", "pods"), resources))


def _deployed(given: Given) -> Deployed:
    there = found(given)
    service = next(iter(there["services"]), given["made_service"])
    return Deployed(
        _server(given), read(Cluster, given["kubernetes"], ""), _database(given), read(Store, given["artifact_store"], ""),
        read(Image, given["image"], ""), given["secrets"], (service.get("spec") or {}).get("clusterIPs") or [],
        Found.of(next(iter(there["deployments"]), {})), given["renewal"], given["exporter"], _jwt_programs(given),
        given.get("jwt_services"),
    )  # fmt: skip


def _jwt_programs(given: Given) -> list[str]:
    return given["jwt_programs"] if _server(given).is_jwt else []


def _embedded(given: Given) -> server_embedded.Embedded:
    return server_embedded.Embedded(
        _server(given), read(server_embedded.Stack, given["embedded"], ""), _database(given), read(Store, given["artifact_store"], ""),
        given["embedded_secrets"], _jwt_programs(given), given["exporter"],
    )  # fmt: skip


def runtime(given: Given) -> str:
    """Where the server runs: as given, or in a cluster if the inventory has one."""
    return given.get("runtime") or ("kubernetes" if given["groups"].get("k3s_server") else "embedded")


def claims(given: Given) -> list[Object]:
    """What the role may create, change or remove on Kubernetes."""
    server = _server(given)
    return server_objects.claims(server) if server.is_on_kubernetes else []


def problems(given: Given) -> list[str]:
    """What is wrong with the variables."""
    lacks = server_problems.unpublished({"postgresql": given["postgresql"], "artifact_store": given["artifact_store"]})
    return lacks or server_problems.problems(_server(given), _database(given))


def needs(given: Given) -> Object:
    """What it needs besides its own objects: a certificate, provided or of the deployment's own, and kinds that not every cluster has."""
    server = _server(given)
    if not server.is_on_kubernetes:
        return {"provided_certificate": False, "own_certificate": False, "kinds": []}
    return {
        "provided_certificate": server.is_ingress and server.tls == "provided",
        "own_certificate": server.is_certified,
        "kinds": server_problems.kinds(server),
    }


def certificate_problems(given: Given) -> list[str]:
    """What is wrong with the provided certificate."""
    return server_problems.certificate_problems(_server(given), given["certificate"], given["certificate_key"])


def pod_selectors(given: Given) -> list[str]:
    """The labels of the server's pods."""
    return _selectors(_server(given), "server")


def _selectors(server: Server, component: str) -> list[str]:
    return [f"{name}={value}" for name, value in server.identity.of(component).selector.items()]


def schema_environment(given: Given) -> dict[str, Any]:
    """The environment of the program that checks and migrates the schema, without the password."""
    return server_settings.schema_settings(_server(given), _database(given))


def secret_keys(given: Given) -> dict[str, str]:
    """The values of the server's Secret, "" where one is to be made."""
    return server_objects.secret_keys(given["previous_secret"])


def service(given: Given) -> Object:
    """The Service, which exists before the other objects: its address is among the hosts that the server accepts."""
    return server_objects.service(_deployed(given))


def deployment(given: Given) -> Object:
    """Everything about the server in the cluster that is known before the schema is looked at."""
    deployed = _deployed(given)
    server = deployed.server
    before = [server_objects.service_account(deployed), server_objects.migration_network_policy(deployed)]
    jobs = {"check": deployed.check, "upgrade": deployed.migration}
    return {
        "objects": server_objects.objects(deployed),
        "before_the_entrance": server_objects.before_the_entrance(deployed),
        "absent": server_objects.unwanted(server),
        "rollouts": _rollouts(server),
        "ready_pods": server_migration.ready(found(given)["pods"]),
        "replicas": deployed.found.replicas,
        "may_ask": server_migration.may_ask(deployed),
        "migration_selectors": _selectors(server, "migration"),
        "jobs": jobs,
        "job_objects": {action: [*before, server_objects.schema_job(deployed, name, action)] for action, name in jobs.items()},
        "address_uri": server_endpoint.address_uri(deployed),
        "endpoint": {
            **server_endpoint.endpoint(deployed, read(server_endpoint.Host, given["host"], "")),
            "deployment": server_objects.deployed_checksum(deployed),
        },
    }


def _rollouts(server: Server) -> list[Object]:
    """What is waited for. A policy is not accepted before the route is there that it is for."""
    route = [{"kind": "HTTPRoute", "name": server.name}, *(dict(each) for each in server.login.policies)] if server.is_route else []
    return [{"kind": "Deployment", "name": server.name}, *route]


def is_migrated(given: Given) -> bool:
    """Whether the schema is the image's."""
    return server_migration.is_done(_deployed(given), found(given)["pods"], given["schema"])


def losses(given: Given) -> list[str]:
    """What is missing in a deployment that has served."""
    return server_migration.losses(_deployed(given), given["schema"], given["models"])


def must_stop(given: Given) -> bool:
    """Whether the server stops for the migration."""
    return server_migration.must_stop(_deployed(given), given["schema"], given["checked"], given["check_mode"])


def must_check(given: Given) -> bool:
    """Whether a Job looks if the schema is old. Where nothing is served, there is nothing to stop."""
    return _deployed(given).found.replicas > 0 and not server_migration.state(given["schema"])


def what_serves(given: Given) -> str:
    """What serves after a migration that failed."""
    return server_migration.what_serves(_deployed(given), must_stop(given), given["started_again"])


def endless_jobs(given: Given) -> list[Object]:
    """Earlier migrations that nothing removes."""
    return server_migration.endless_jobs(_deployed(given), given["jobs"])


def left_behind(given: Given) -> list[Object]:
    """What is left of the server under its previous name."""
    return server_objects.left_behind(_server(given), given["owned"])


def no_answer(given: Given) -> str:
    """Why the server does not answer."""
    return server_endpoint.no_answer(_deployed(given), given["answer"], given["administrator"], given["log"])


def embedded_schema_environment(given: Given) -> dict[str, Any]:
    """The same, embedded: there the program that sets the administrator's password reads it too."""
    own = {"MLFLOW_SCHEMA_AUTH_URI": "", "MLFLOW_AUTH_ADMIN_USERNAME": _server(given).admin_username}
    return {**own, **schema_environment(given)}


def embedded(given: Given) -> Object:
    """Everything about the server in the embedded stack."""
    made = _embedded(given)
    return {name: getattr(made, name) for name in ("service_files", "metrics_files", "metrics_command", "with_password", "dump")}


DECISIONS: dict[str, Callable[[Given], Any]] = {
    function.__name__: function
    for function in (
        runtime, claims, problems, needs, certificate_problems, found, pod_selectors, secret_keys, service, deployment, schema_environment,
        is_migrated, losses, must_check, must_stop, what_serves, endless_jobs, left_behind, no_answer, embedded_schema_environment, embedded,
    )
}  # fmt: skip
