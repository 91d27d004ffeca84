# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What the role mlflow_clients asks for, by name, each from what the role gives (roles/mlflow_clients/vars/main.yml). No I/O."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients import objects
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients import problems as wrong
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.client import Client, Entry, Kind, packages
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.kinds import ALL_PARTS, KINDS
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster, Store
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.kubernetes import DEPLOYMENT
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import read
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.verification import VERIFIED, Endpoint
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, described

Given = Mapping[str, Any]
_UNPUBLISHED = (
    "mlflow_server_endpoint: it is not set; run the role mlops.mlflow.mlflow_server earlier in the same play, or the playbook mlops.mlflow.site, "
    "which runs all roles in order"
)
#: What each file begins with, by which it is found when its client is gone.
_HEADER = "Written by mlops.mlflow.mlflow_clients for deployment"


def _entries(given: Given) -> list[Entry]:
    return [_with_account(read(Entry, entry, "")) for entry in given["clients"]]


def _with_account(entry: Entry) -> Entry:
    """The entry with the account that its kind makes, if it has no other."""
    made = f"{entry.name}{_kind(entry).account}" if _kind(entry).account else ""
    return replace(entry, service_account=entry.service_account or made)


def _kind(entry: Entry) -> Kind:
    """The kind; of an entry that has none that is known, which the argument spec says, any."""
    return KINDS.get(entry.kind, KINDS["namespace"])


def _clients(given: Given) -> list[Client]:
    server, cluster = read(Endpoint, given["endpoint"], ""), read(Cluster, given["kubernetes"], "")
    store, secrets, policies = read(Store, given["artifact_store"], ""), given["secrets"], _policies(given)
    return [
        Client(
            entry, _kind(entry).pods if entry.pods is None else entry.pods, server, cluster, store, secrets,
            [each for each in policies if each["metadata"]["namespace"] == entry.namespace], _kind(entry).reads_store,
        )
        for entry in _entries(given)
    ]  # fmt: skip


def _policies(given: Given) -> list[Mapping[str, Any]]:
    return [each for result in given["looked"] for each in result.get("resources") or []]


def claims(given: Given) -> list[Object]:
    """What the role may create, change or remove, and the namespaces that have to be there."""
    found: list[Object] = []
    for number, entry in enumerate(_entries(given)):
        if entry.namespace and entry.name:
            option = f"mlflow_clients[{number}]"
            if not entry.create_namespace:
                required = {"wanted": False, "required": True, "option": f"{option}.namespace"}
                found.append({"kind": "Namespace", "name": entry.namespace, **required})
            parts = _kind(entry).parts
            unasked = [part.reference(entry.namespace, entry.name) for part in parts if not part.asked(entry)]
            for each in objects.everything(entry, [*objects.PARTS, *parts]):
                found.append({**each, "option": f"{option}.name", **({"wanted": False} if each in unasked else {})})
            if entry.artifact_claim:
                claim = {"kind": "PersistentVolumeClaim", "name": entry.artifact_claim, "namespace": entry.namespace}
                found.append({**claim, "wanted": False, "required": True, "option": f"{option}.artifact_claim"})
    return found


def problems(given: Given) -> list[str]:
    """What is wrong with the variables, or lacks."""
    if not given["endpoint"]:
        return [_UNPUBLISHED]
    if not given["clients"]:
        return []
    clients = _clients(given)
    return wrong.without_cluster(given["endpoint"]["runtime"]) or [
        *wrong.problems(clients),
        *(f"mlflow_clients[{number}].{problem}" for number, client in enumerate(clients) for problem in _kind(client.entry).problems(client)),
    ]


def is_wanted(given: Given) -> bool:
    """Whether there is anything to do: clients are declared, or were, or have files."""
    return bool(given["clients"] or given["folder"] or _noted(given))


def namespaces(given: Given) -> Object:
    """The namespaces whose policies matter, and those that are to be created where they are not there."""
    entries = _entries(given)
    looked_at = dict.fromkeys([given["kubernetes"]["namespace"], *(entry.namespace for entry in entries)])
    return {
        "looked_at": [{"api_version": "networking.k8s.io/v1", "kind": "NetworkPolicy", "namespace": each} for each in looked_at],
        "created": list(dict.fromkeys(entry.namespace for entry in entries if entry.create_namespace)),
    }


def new_namespaces(given: Given) -> list[Object]:
    """Those of them that are not there. Their pods are the client's business, so that no standard is enforced there."""
    return [described("v1", "Namespace", each["item"], {}) for each in given["there"] if each.get("resources") == []]


def plan(given: Given) -> Object:
    """The objects of all clients, what is removed, and the Jobs that use MLflow as those do that changed.

    In a namespace that a run would create, nothing can be compared.
    """
    missing = _missing(given)
    clients = [client for client in _clients(given) if client.entry.namespace not in missing]
    noted = _noted(given)
    made: list[Object] = []
    merged: list[Object] = []
    absent: list[Object] = []
    tests: list[Object] = []
    for client in clients:
        inside = objects.in_namespace(client, _parts(client))
        content = objects.content(client, inside, given["program"], given["endpoint"]["deployment"])
        is_verified = noted.get(_place(client.entry)) == content
        made += [*objects.doors(client, content if is_verified else ""), *inside]
        merged += objects.merged(client, _parts(client))
        absent += _absent(client)
        if client.entry.verify and (given["always"] or not is_verified):
            tests.append({
                "title": client.entry.title, "namespace": client.entry.namespace, "job": f"{client.name}-verify",
                "objects": objects.verification_objects(client, given["program"], _kind(client.entry).test(client)),
                "record": objects.doors(client, content),
            })  # fmt: skip
    declared = {_place(entry) for entry in _entries(given)}
    for place in noted:
        if place not in declared:
            namespace, _slash, name = place.partition("/")
            absent += objects.everything(Entry(namespace=namespace, name=name), ALL_PARTS)
    # What one client does not have, another of the same namespace may, if its name is fixed.
    kept = {objects.key(each["kind"], **each["metadata"]) for each in [*made, *merged]}
    return {"objects": made, "merged": merged, "absent": [each for each in absent if objects.key(**each) not in kept], "tests": tests}


def _missing(given: Given) -> set[str]:
    """The namespaces that this run, which is a check, does not create."""
    return {each["metadata"]["name"] for each in new_namespaces(given)} if given["check_mode"] else set()


def _parts(client: Client) -> Sequence[Any]:
    return [*objects.PARTS, *_kind(client.entry).parts]


def _absent(client: Client) -> list[Object]:
    others = [part.reference(client.entry.namespace, client.name) for part in ALL_PARTS if part not in _parts(client)]
    return [*objects.unwanted(client, _parts(client)), *others]


def _place(entry: Entry) -> str:
    return f"{entry.namespace}/{entry.name}"


def _noted(given: Given) -> dict[str, str]:
    """The clients that there are, each with the checksum of what was verified, from the policies that let them in."""
    found: dict[str, str] = {}
    for policy in _policies(given):
        metadata = policy["metadata"]
        notes, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
        is_own = metadata["namespace"] == given["kubernetes"]["namespace"] and labels.get(DEPLOYMENT) == given["kubernetes"]["deployment"]
        if is_own and objects.CLIENT in notes:
            found[notes[objects.CLIENT]] = found.get(notes[objects.CLIENT]) or notes.get(VERIFIED, "")
    return found


def files(given: Given) -> list[Object]:
    """The files for whoever operates the clients, each with its name and a text, or content that is written as YAML."""
    header = f"# {_HEADER} {given['kubernetes']['deployment']}; changes are overwritten.\n"
    found = []
    for client in _clients(given):
        every = {**_kind(client.entry).files(client), "requirements.txt": "".join(f"{each}\n" for each in packages(client))}
        for ending, content in every.items():
            one: Object = {"name": f"{client.entry.namespace}.{client.name}.{ending}", "header": header}
            found.append({**one, "text": content} if isinstance(content, str) else {**one, "yaml": content})
    return found


def failures(given: Given) -> list[str]:
    """Of the clients that were verified, those that could not use MLflow, each with the reason."""
    return [f"{test['title']}: {waited['msg']}" for test, waited in _verified(given) if waited.get("msg")]


def records(given: Given) -> list[Object]:
    """The policies of the clients that could, with what was verified."""
    return [policy for test, waited in _verified(given) if not waited.get("msg") for policy in test["record"]]


def _verified(given: Given) -> Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    return zip(given["plan"]["tests"], given["waited"])


def report(given: Given) -> list[str]:
    """For people, a line a client: whether it can use MLflow, what its image needs, and what takes effect only later."""
    tested = [test["title"] for test in given["plan"]["tests"]]
    failed = [test["title"] for test, waited in _verified(given) if waited.get("msg")]
    changed = set(given["actions"])
    lines = []
    for client in _clients(given):
        entry = client.entry
        if not entry.verify:
            told = "not verified"
        elif given["check_mode"] and (entry.title in tested or entry.namespace in _missing(given)):
            told = "to be verified by a Job in its namespace"
        elif entry.title in failed:
            told = "it cannot use MLflow"
        else:
            means = f"labels, environment and own account {client.account}" if client.account else "labels and environment"
            told = f"a Job in its namespace, with its {means}, logged a run and an artifact"
        lines.append(f"Client {entry.title}: {told}; its image needs {', '.join(packages(client))}")
        own = {f"{action} {kind} {_place(entry)}" for action in ("create", "change") for kind in ("ConfigMap", "Secret")}
        if own & changed:
            lines.append(f"  Its environment changed: {_kind(entry).arrival}. Nothing was restarted")
    return lines


DECISIONS: dict[str, Callable[[Given], Any]] = {
    function.__name__: function
    for function in (claims, problems, is_wanted, namespaces, new_namespaces, plan, files, failures, records, report)
}  # fmt: skip
