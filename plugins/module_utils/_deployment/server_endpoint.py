# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What others are told of a server in a cluster: its endpoint, and for people, how to use it. No I/O."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import server_jwt, server_settings
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import Deployed
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, minute, url_host
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object

_ADDRESS = re.compile("[0-9.]+|[0-9a-f:]+")


@dataclass(frozen=True)
class Host:
    """The host that the modules run on: its name in the inventory, and the address at which Ansible reaches it."""

    name: str
    address: str
    #: The day on which the deployment's own certificate ends, and the moment at which the one in the variables does, YYYYMMDDhhmmssZ.
    own_certificate_ends: str = ""
    given_certificate_ends: str = ""


def address_uri(deployed: Deployed) -> str:
    """Return the server's URI for modules on a host of the cluster, which does not know its names."""
    address = next(iter(deployed.addresses), deployed.server.name)
    return f"http://{url_host(address)}:{deployed.server.port}"


def login(deployed: Deployed) -> Mapping[str, Any]:
    """Return who logs in from outside, and the Secret with the password; {} if nothing asks."""
    server = deployed.server
    if server.has_users:
        return {"username": server.admin_username, "password_secret": {"name": server.name, "key": "admin-password"}}
    if server.is_ingress_basic:
        return {"username": server.ingress_username, "password_secret": {"name": server.name, "key": "ingress-password"}}
    return {}


def public(deployed: Deployed) -> Object:
    """Return the way from outside, for the verification; {} if there is none."""
    server = deployed.server
    if not server.is_public:
        return {}
    return {
        "host": server.host,
        "object": {"kind": "HTTPRoute" if server.is_route else "Ingress", "name": server.name},
        "tls_secret": server.tls_secret if server.has_own_tls else "",
        **{"username": "", "password_secret": {}}, **login(deployed),
    }  # fmt: skip


def endpoint(deployed: Deployed, host: Host) -> Object:
    """Return ``mlflow_server_endpoint`` without the checksum of the deployment."""
    server, namespace = deployed.server, deployed.cluster.namespace
    return {
        "runtime": "kubernetes",
        "has_served": deployed.cluster.has_data,
        "name": server.name,
        "hosts": server_settings.told_hosts(server, namespace),
        "uri": server.uri(namespace),
        "address_uri": address_uri(deployed),
        "public_uri": server.public_uri,
        "health_uri": f"{server.uri(namespace)}/health",
        "username": server.admin_username if server.has_users else "",
        "auth": "oidc_plugin" if server.is_plugin else server.auth,
        "account_audience": server_jwt.account_audience(server),
        "anonymous": server.is_anonymous,
        "password_secret": {"name": server.name, "key": "admin-password"} if server.has_users else {},
        "public": public(deployed),
        "image": deployed.image,
        "image_pull_policy": server.image_pull_policy,
        "egress": deployed.client_egress,
        "how_to_use": how_to_use(deployed, host),
    }


def how_to_use(deployed: Deployed, host: Host) -> list[str]:
    """Return lines for people. Commands are indented, and name the kubeconfig, since a host may have another kubectl than k3s's."""
    server, as_root = deployed.server, f", as root on {host.name}:"
    read = f"  kubectl --kubeconfig {deployed.cluster.kubeconfig} -n {deployed.cluster.namespace} get secret"
    lines = []
    if server.is_public:
        lines.append(f"Open {server.public_uri}")
    if server.is_ingress and _ADDRESS.fullmatch(host.address):
        lines += ["If DNS does not know that name, as root on each client:", f"  echo {host.address} {server.host} >>/etc/hosts"]
    person = login(deployed)
    if person:
        lines += [
            f"The user is {person['username']}, the password{as_root}",
            f"{read} {server.name} -o jsonpath='{{.data.{person['password_secret']['key']}}}' | base64 -d; echo",
        ]
    lines += server.login.how_to_use if server.is_public else []
    if server.is_certified:
        lines += [
            f"The CA of its certificate, for browsers and MLFLOW_TRACKING_SERVER_CERT_PATH{as_root}",
            f"{read} {server.tls_secret} -o jsonpath='{{.data.ca\\.crt}}' | base64 -d",
        ]
    lines += [
        f"In the cluster: MLFLOW_TRACKING_URI={server.uri(deployed.cluster.namespace)}",
        f"mlflow_server_callers lists who may call it there, now {as_json(list(server.callers))}; to allow pods of another namespace, declare"
        " them in mlflow_clients, or add {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}}",
    ]
    ends = certificate_ends(deployed, host)
    return [*lines, *([f"Certificates expire: {'; '.join(ends)}"] if ends else [])]


def certificate_ends(deployed: Deployed, host: Host) -> list[str]:
    """Return when each certificate ends, and who renews it."""
    server, ends = deployed.server, []
    if deployed.database.certificate_ends:
        ends.append(f"PostgreSQL {deployed.database.certificate_ends}, renewed by a run")
    if server.is_certified and host.own_certificate_ends:
        ends.append(f"{server.host} {host.own_certificate_ends}, renewed by the CronJob {server.certificate}")
    if server.is_ingress and server.tls == "provided":
        ends.append(f"{server.host} {minute(host.given_certificate_ends)[:10]}, to be renewed in mlflow_server_tls_certificate")
    return ends


def no_answer(deployed: Deployed, answer: Mapping[str, Any], administrator: Mapping[str, Any], log: Sequence[str]) -> str:
    """Return why a server that runs does not answer: its last answer, the last error in its log, and what to do.

    ``administrator`` is the result of setting the administrator's password, which is tried where MLflow refuses it.
    """
    error = last_error(log)
    told = f"{answer.get('msg', 'no answer')}{f'; its log: {error}' if error else ''}"
    if answer.get("status") == 401:
        server, reason = deployed.server, (administrator.get("stderr_lines") or ["no pod is ready"])[-1]
        what = f"the password of {server.admin_username} could not be set to the one in Secret {server.name}, key admin-password: {reason}"
    else:
        what = f"check that PostgreSQL is running and accepts the password in Secret {deployed.database.secret_environment['PGPASSWORD']['name']}"
    return f"MLflow is running, but {address_uri(deployed)} did not answer from the database within a minute: {told}; {what}"


def last_error(log: Sequence[str]) -> str:
    """Return the last error in a log, without its stack trace, or "".

    >>> last_error(["INFO: x", "psycopg2.OperationalError: no route", "  at y"])
    'psycopg2.OperationalError: no route'
    """
    found = [line.strip() for line in log if re.search(r"(Error|Exception|FATAL)\b.*: ", line)]
    return found[-1] if found else ""
