# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What is wrong with ``mlflow_clients``, one sentence each: the option, its value, the remedy. No I/O."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.client import AUTH, PASSWORD, TOKEN, Client, Entry

_NAME = re.compile("[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?")
_NAMESPACE = re.compile("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def without_cluster(runtime: str) -> list[str]:
    """Return what is said where the server is not in a cluster."""
    if runtime == "kubernetes":
        return []
    return [f"mlflow_clients: they are pods of a cluster, and this MLflow is not in one ({runtime}); remove the list, and see docs/clients.md"]


def problems(clients: Sequence[Client]) -> list[str]:
    """Return what is wrong with each client, and with all together."""
    found = [f"mlflow_clients[{number}].{problem}" for number, client in enumerate(clients) for problem in _of(client)]
    entries = [client.entry for client in clients]
    return [*found, *_twice(entries), *_fixed_twice(entries)]


def _of(client: Client) -> Iterator[str]:
    entry = client.entry
    yield from _of_names(entry)
    yield from _of_login(client)
    yield from _of_variables(client)
    if entry.ca and "-----BEGIN CERTIFICATE-----" not in entry.ca:
        yield "ca: it is not a certificate; give the PEM text, which begins with -----BEGIN CERTIFICATE-----"
    if entry.artifact_store_access and client.store_keys.keys() != client.store.secret_environment.keys():
        unknown = ", ".join(sorted(each.get("name", "") for each in client.store.secret_environment.values()))
        yield (
            f"artifact_store_access: the keys in Secret {unknown} are not this deployment's to copy; create a Secret in namespace {entry.namespace}, "
            "and name it in secret_environment"
        )
    if entry.artifact_store_access and "AWS_CA_BUNDLE" in client.store.environment:
        yield (
            "artifact_store_access: the artifact store's certificate is signed by artifact_store_ca, which only MLflow's pods have; remove it, since "
            "artifacts go through MLflow"
        )
    if entry.artifact_store_access and not client.store.secret_environment:
        yield "artifact_store_access: this artifact store has no keys; remove it, since artifacts go through MLflow"


def _of_names(entry: Entry) -> Iterator[str]:
    if not _NAMESPACE.fullmatch(entry.namespace):
        yield f"namespace: '{entry.namespace}' is not the name of a namespace; use at most 63 lower-case letters, digits and dashes"
    if not _NAME.fullmatch(entry.name):
        yield f"name: '{entry.name}' is not a valid name; use at most 50 lower-case letters, digits and dashes, with a letter or digit at both ends"
    if entry.connection_id and entry.kind != "airflow":
        yield f"connection_id: '{entry.connection_id}' is for Airflow, and this client is of kind {entry.kind}; remove it"
    if entry.artifact_claim and entry.kind != "kserve":
        yield f"artifact_claim: '{entry.artifact_claim}' is for KServe, and this client is of kind {entry.kind}; remove it"
    if entry.connection_id and entry.username and not entry.password:
        yield (
            f"connection_id: the connection '{entry.connection_id}' has to contain the password of {entry.username}, which is elsewhere; set "
            "password, or create the connection yourself"
        )


def _of_login(client: Client) -> Iterator[str]:
    entry, given = client.entry, {*client.entry.environment, *client.entry.secret_environment}
    has_password = bool(entry.password) or PASSWORD in given
    if client.server.username and not client.server.anonymous and not (entry.username or client.account or given & {TOKEN, AUTH}):
        if client.server.auth == "oidc_plugin":
            yield (
                f"username: MLflow asks {entry.title} for an access token of mlflow-oidc-auth; make a service account with a token on its page "
                f"/oidc/ui, and set its name as username and the token as password here, or {TOKEN} in secret_environment to a token of the issuer"
            )
        elif client.server.auth == "jwt" and not has_password:
            yield (
                f"secret_environment: MLflow asks {entry.title} for a token, and trusts none of this cluster's service accounts; add {{kubernetes: "
                f"true, audience: mlflow}} to mlflow_server_jwt_issuers, or name a Secret with {TOKEN} here"
            )
        else:
            yield (
                f"username: MLflow asks {entry.title} for a password; declare a user with mlflow_resources_declaration, and set username and "
                f"password here, or {TOKEN} in secret_environment"
            )
    if entry.username and not has_password:
        yield f"password: {entry.username} has none; set it, or name its Secret in secret_environment: {{{PASSWORD}: {{name, key}}}}"
    if has_password and not entry.username:
        yield "username: there is a password without a user name; set both"


def _of_variables(client: Client) -> Iterator[str]:
    entry = client.entry
    for name in (*entry.environment, *entry.secret_environment):
        if not _VARIABLE.fullmatch(name):
            yield f"environment: '{name}' is not the name of an environment variable; use letters, digits and underscores"
    for name, reference in entry.secret_environment.items():
        if not (isinstance(reference, Mapping) and reference.get("name") and reference.get("key")):
            yield f"secret_environment: {name} does not name a Secret; set {{name: SECRET, key: KEY}}"
    plain, own, others = {*client.environment}, {*client.secret_values}, {*entry.secret_environment}
    twice = sorted(plain & (own | others) | own & others)
    if twice:
        yield f"secret_environment: {', '.join(twice)} would be set twice; remove one of the two"


def _twice(entries: Sequence[Entry]) -> Iterator[str]:
    seen: dict[tuple[str, str], int] = {}
    for number, entry in enumerate(entries):
        first = seen.setdefault((entry.namespace, entry.name), number)
        if first != number:
            yield (
                f"mlflow_clients[{number}].name: '{entry.name}' in namespace {entry.namespace} is that of mlflow_clients[{first}] already; set "
                f"another, such as {entry.name}-{entry.kind}"
            )


def _fixed_twice(entries: Sequence[Entry]) -> Iterator[str]:
    """What a namespace has once, since whoever reads it knows it by its name."""
    once = {
        "argo": ("artifact_store_access", "the artifact repositories"), "kubeflow": ("pipelines", "the settings of the pipelines"),
    }  # fmt: skip
    seen: dict[tuple[str, str], int] = {}
    for number, entry in enumerate(entries):
        option, what = once.get(entry.kind, ("", ""))
        first = seen.setdefault((option, entry.namespace), number) if option and getattr(entry, option) else number
        if first != number:
            there = f"{what} of namespace {entry.namespace} are those of mlflow_clients[{first}] already"
            yield f"mlflow_clients[{number}].{option}: {there}; set it to false"
