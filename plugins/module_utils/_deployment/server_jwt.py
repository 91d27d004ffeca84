# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What an MLflow server that takes bearer tokens has besides: a program, whose tokens it trusts, and the way to their keys. No I/O."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import kubernetes_network, workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server import Server
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, host_and_port, is_true
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, Volume

#: The programs of roles/mlflow_server/files/jwt, in the order in which the role reads them, and what the first one reads.
PROGRAMS, CONFIGURATION = ("jwt_auth.py", "jwt_tokens.py"), "jwt.json"
#: MLflow's setting, and the variable that names the configuration.
FUNCTION, VARIABLE = "authorization_function = jwt_auth:authorize", "MLOPS_MLFLOW_JWT"
#: Where a pod has them, and the token with which it asks the API server for its keys, and that one's CA.
FOLDER, ACCOUNT_FOLDER = "/etc/mlflow/jwt", "/var/run/secrets/mlops.mlflow/jwt"
_API_SERVER = "kubernetes.default.svc"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def account_audience(server: Server) -> str:
    """Return the audience that tokens of the cluster's service accounts must have, "" if none are trusted.

    >>> keycloak, cluster = {"issuer": "https://login.example.com", "audience": "other"}, {"kubernetes": True, "audience": "mlflow"}
    >>> account_audience(Server(auth="jwt", jwt_issuers=[keycloak, cluster])), account_audience(Server(auth="jwt", jwt_issuers=[keycloak]))
    ('mlflow', '')
    """
    trusted = [each for each in server.jwt_issuers if is_true(each.get("kubernetes", False))] if server.is_jwt else []
    return str(trusted[0].get("audience") or "") if trusted else ""


def environment(server: Server, folder: str) -> dict[str, str]:
    """Return the variables by which the server finds the files. A PYTHONPATH of mlflow_server_environment stays.

    >>> environment(Server(auth="jwt", environment={"PYTHONPATH": "/own"}), "/a")
    {'PYTHONPATH': '/a:/own', 'MLOPS_MLFLOW_JWT': '/a/jwt.json'}
    """
    if not server.is_jwt:
        return {}
    path = ":".join(filter(None, (folder, str(server.environment.get("PYTHONPATH") or ""))))
    return {"PYTHONPATH": path, VARIABLE: f"{folder}/{CONFIGURATION}"}


def files(server: Server, programs: Sequence[str]) -> dict[str, str]:
    """Return the files by name; none if MLflow does not take tokens."""
    return {**dict(zip(PROGRAMS, programs)), CONFIGURATION: f"{as_json(configuration(server), sort_keys=True)}\n"} if server.is_jwt else {}


def configuration(server: Server) -> Object:
    """Return the fields of ``jwt_tokens.Settings``."""
    return {
        "issuers": [_issuer(each, server.cluster_domain) for each in server.jwt_issuers],
        "roles": [{name: str(each[name]) for name in ("value", "role", "workspace") if each.get(name)} for each in server.jwt_roles],
        "anonymous": server.jwt_anonymous,
        "algorithms": [*server.jwt_algorithms],
        "clock_skew": server.jwt_clock_skew,
        "cache_seconds": server.auth_cache_ttl,
        "administrator": server.admin_username,
    }


def _issuer(given: Mapping[str, Any], cluster_domain: str) -> Object:
    names = ("issuer", "audience", "jwks_url", "ca", "username_claim", "groups_claim")
    own = {name: str(given[name]) for name in names if given.get(name)}
    if not is_true(given.get("kubernetes", False)):
        return own
    return {
        "issuer": f"https://{_API_SERVER}.{cluster_domain}", "jwks_url": f"https://{_API_SERVER}/openid/v1/jwks",
        "ca_file": f"{ACCOUNT_FOLDER}/ca.crt", "token_file": f"{ACCOUNT_FOLDER}/token", **own, "kubernetes": True,
    }  # fmt: skip


# On Kubernetes


def name(server: Server) -> str:
    """The name of the ConfigMap."""
    return f"{server.name}-jwt"


def config_map(server: Server, programs: Sequence[str]) -> Object:
    """Return the files, none of which is secret."""
    return workload.config_map(name(server), server.identity.labels, files(server, programs))


def volumes(server: Server) -> list[Volume]:
    """Return the files, and a token of the server's own account if it asks the API server for keys. It is not that of clients, at its usual place."""
    if not server.is_jwt:
        return []
    token = {"projected": {"defaultMode": 0o440, "sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]}}  # fmt: skip
    own = [Volume("jwt-account", ACCOUNT_FOLDER, token, read_only=True)] if account_audience(server) else []
    return [workload.files("jwt", FOLDER, name(server)), *own]


def egress(server: Server, services: Sequence[Mapping[str, Any]] | None, cluster: Cluster) -> list[Any]:
    """Return where the server must reach for keys: each issuer, or what publishes its keys, and the API server."""
    if not server.is_jwt:
        return []
    found = [*cluster.api_egress] if account_audience(server) else []
    for url in (each.get("jwks_url") or each.get("issuer") for each in server.jwt_issuers if not is_true(each.get("kubernetes", False))):
        found += kubernetes_network.ways(*host_and_port(str(url)), services, cluster)
    return kubernetes_network.distinct(found)


# What is wrong


def problems(server: Server) -> Iterator[str]:
    """What is wrong with the variables of tokens, one sentence each."""
    if not server.is_jwt:
        return
    if not server.jwt_issuers:
        yield (
            "mlflow_server_jwt_issuers: it is empty, so that no token is valid; list whose tokens MLflow takes, such as {issuer: "
            "https://login.example.com/realms/akko, audience: mlflow}"
        )
    for each in server.jwt_issuers:
        yield from _of_issuer(each, server)
    if server.jwt_clock_skew < 0:
        yield f"mlflow_server_jwt_clock_skew: {server.jwt_clock_skew} seconds are none; set 0 or more"
    if not server.jwt_algorithms:
        yield "mlflow_server_jwt_algorithms: it is empty, so that no token is valid; list those by which the issuers sign, such as RS256"


def _of_issuer(given: Mapping[str, Any], server: Server) -> Iterator[str]:
    issuer, is_kubernetes = str(given.get("issuer") or ""), is_true(given.get("kubernetes", False))
    if is_kubernetes and not server.is_on_kubernetes:
        yield (
            f"mlflow_server_jwt_issuers: kubernetes stands for the cluster in which MLflow runs, but mlflow_server_runtime is {server.runtime}; name "
            "the issuer and where its keys are"
        )
    for field, url in (("issuer", issuer), ("jwks_url", str(given.get("jwks_url") or ""))):
        if not (url or (field == "issuer" and not is_kubernetes)):
            continue
        if not _is_safe(url):
            yield (
                f"mlflow_server_jwt_issuers: the {field} '{url}' is not an https:// URL, without which anyone on the way could make tokens; set one, "
                "with ca if no well-known CA signed its certificate"
            )
    if not given.get("audience"):
        yield (
            f"mlflow_server_jwt_issuers: issuer '{issuer}' has no audience, so that tokens for any other service would be valid here; set the one "
            "that its tokens for MLflow have"
        )
    if given.get("ca") and "BEGIN CERTIFICATE" not in str(given["ca"]):
        yield f"mlflow_server_jwt_issuers: the ca of issuer '{issuer}' contains no certificate; set it to the text of a PEM file"


def _is_safe(text: str) -> bool:
    """Whether what a URL answers cannot be changed on the way.

    >>> [_is_safe(each) for each in ("https://a.example/b", "http://127.0.0.1:8080/realms/a", "http://a.example", "https://", "a.example", "https://a:b")]
    [True, True, False, False, False, False]
    """
    try:
        url = urlsplit(text)
        is_right = bool(url.hostname) and (url.port or 1) > 0 and not any(each.isspace() for each in text)
    except ValueError:
        return False
    return is_right and (url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK))
