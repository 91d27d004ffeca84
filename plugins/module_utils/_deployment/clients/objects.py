# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The Kubernetes objects of a client: in its namespace, and in MLflow's, where they let it in. No I/O."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import verification, workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.client import AUTH, Client, Entry, Part, Test
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import CHECKSUM, base64
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.verification import VERIFIED
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, described

NETWORKING = "networking.k8s.io/v1"
#: The annotation of a policy that lets a client in: NAMESPACE/NAME of the client. It is the record that there is one.
CLIENT = "mlops.mlflow/client"
#: How many of these policies a client may have: to the server and to the artifact store.
DOORS = ("", ".artifacts")


def config_map(client: Client) -> Object:
    """Return the variables that are not secret."""
    return _noted(workload.config_map(client.name, client.identity.labels, client.environment), client, client.environment)


def secret(client: Client) -> Object | None:
    """Return the secret variables, if the client has any that are not in a Secret of its own."""
    if not client.secret_values:
        return None
    return opaque(client, client.name, client.secret_values)


def opaque(client: Client, name: str, values: dict[str, str], **labels: str) -> Object:
    """Return a Secret of these values."""
    data = {key: base64(value) for key, value in values.items()}
    return _noted(described("v1", "Secret", name, {**client.identity.labels, **labels}, type="Opaque", data=data), client, values)


def authority(client: Client) -> Object | None:
    """Return the authority of the server's certificate, if it has its own. As a key of the first ConfigMap it would be taken for a variable."""
    if not client.entry.ca:
        return None
    return workload.config_map(f"{client.name}-ca", client.identity.labels, {"ca.crt": client.entry.ca})


def egress_policy(client: Client) -> Object | None:
    """Return what lets the client's pods reach MLflow, if other policies confine them."""
    if not client.is_confined:
        return None
    spec = {"podSelector": {"matchLabels": dict(client.pods)} if client.pods else {}, "policyTypes": ["Egress"], "egress": client.egress}
    return described(NETWORKING, "NetworkPolicy", client.name, client.identity.labels, spec=spec)


def _noted(made: Object, client: Client, content: Any) -> Object:
    """An object with the checksum of its content, for whatever restarts pods when that changes."""
    made["metadata"]["annotations"] = {CHECKSUM: client.checksum(content)}
    return made


#: What a client of any kind may have in its namespace.
PARTS = (
    Part("ConfigMap", "", config_map),
    Part("Secret", "", secret),
    Part("ConfigMap", "-ca", authority),
    Part("NetworkPolicy", "", egress_policy, NETWORKING),
)


def doors(client: Client, verified: str = "") -> list[Object]:
    """Return the policies of MLflow's namespace that let the client in. They add to those of the server and of the artifact store.

    The first is the record of the client, with the checksum of what was verified.
    """
    reached: list[tuple[Any, Sequence[Any]]] = list(client.reached)
    notes = {CLIENT: f"{client.entry.namespace}/{client.name}", **({VERIFIED: verified} if verified else {})}
    made = []
    for ending, (selector, ports) in zip(DOORS, reached):
        spec = {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": [{"from": [client.peer], "ports": [*ports]}]}
        policy = described(NETWORKING, "NetworkPolicy", door(client.entry, ending), client.identity.labels, spec=spec)
        policy["metadata"]["annotations"] = notes if ending == DOORS[0] else {CLIENT: notes[CLIENT]}
        made.append(policy)
    return made


def door(entry: Entry, ending: str) -> str:
    """Return the name of such a policy.

    >>> door(Entry(namespace="jupyterhub"), "")
    'mlflow-client.jupyterhub'
    """
    return f"{entry.name}.{entry.namespace}{ending}"


def verification_objects(client: Client, program: str, test: Test) -> list[Object]:
    """Return the Job that uses MLflow as the client does, with its labels, account and environment, and the program that it runs."""
    name = f"{client.name}-verify"
    user = client.entry.username or (client.entry.account if client.account else "")
    experiment = "-".join(filter(None, ("mlflow-verify", client.entry.namespace, client.name, user)))
    environment = [
        workload.value("MLFLOW_VERIFY_SCOPE", "tracking"),
        *({"name": variable, "valueFrom": place} for variable, place in client.given_references.items()),
        *test.environment,
    ]
    job = verification.client_job(
        client.server, name, client.identity.labels, client.entry.service_account, experiment, environment, [*client.volumes, *test.volumes],
        envFrom=client.sources,
    )  # fmt: skip
    template = job["spec"]["template"]
    template["metadata"]["labels"] = {**client.identity.labels, **client.pods, **test.labels}
    # If no volume has a token for MLflow, that for the API server is what it logs in with.
    template["spec"]["automountServiceAccountToken"] = client.environment.get(AUTH) == "kubernetes" and not client.account
    made = [workload.config_map(name, client.identity.labels, {"verify.py": program}), job]
    return [_in(client.entry.namespace, each) for each in made]


def in_namespace(client: Client, parts: Sequence[Part]) -> list[Object]:
    """Return the objects of the client's namespace, and what of the cluster it needs for them."""
    found = [(part, made) for part in parts if not part.is_merged and (made := part.build(client)) is not None]
    return [made if part.is_of_cluster else _in(client.entry.namespace, made) for part, made in found]


def merged(client: Client, parts: Sequence[Part]) -> list[Object]:
    """Return what is merged into objects of others there."""
    return [_in(client.entry.namespace, made) for part in parts if part.is_merged and (made := part.build(client)) is not None]


def key(kind: str, name: str, namespace: str = "", **_more: Any) -> tuple[str, str, str]:
    """Return what tells an object from others."""
    return kind, namespace, name


def _in(namespace: str, made: Object) -> Object:
    return {**made, "metadata": {**made["metadata"], "namespace": namespace}}


def unwanted(client: Client, parts: Sequence[Part]) -> list[Object]:
    """Return the objects that the client does not have, or no longer has."""
    missing = [part.reference(client.entry.namespace, client.name) for part in parts if part.build(client) is None]
    closed = DOORS[len(client.reached) :]
    return [*missing, *(_door_reference(client.entry, ending) for ending in closed)]


def everything(entry: Entry, parts: Sequence[Part]) -> list[Object]:
    """Return all objects that a client may have, those of MLflow's namespace last: as long as one is there, it is known."""
    of_test = [
        Part("Job", "-verify", lambda client: None, "batch/v1"), Part("ConfigMap", "-verify", lambda client: None),
    ]  # fmt: skip
    inside = [part.reference(entry.namespace, entry.name) for part in (*of_test, *parts)]
    return [*inside, *(_door_reference(entry, ending) for ending in reversed(DOORS))]


def _door_reference(entry: Entry, ending: str) -> Object:
    return {"api_version": NETWORKING, "kind": "NetworkPolicy", "name": door(entry, ending)}


def content(client: Client, objects: Sequence[Object], program: str, deployment: str) -> str:
    """Return the checksum of all that a verification depends on."""
    return client.checksum([as_json(list(objects), sort_keys=True), program, deployment, client.entry.service_account, dict(client.pods)])
