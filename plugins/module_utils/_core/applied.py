# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What kubernetes.core.k8s says of a set of objects, in the words of this collection: what changed, and nothing of a Secret."""
from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._core.options import InvalidOption
from ansible_collections.mlops.mlflow.plugins.module_utils._core.remedies import remedy_for

Object = Mapping[str, Any]

#: What the cluster keeps in an object by itself.
_OWN = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
_NOT_SHOWN = "(not shown)"


@dataclass(frozen=True)
class Outcome:
    """What became of one object: ``action`` is ``create``, ``change``, ``delete`` or empty; ``now`` is the object, empty of a Secret."""

    title: str
    action: str
    before: Object = field(default_factory=dict)
    after: Object = field(default_factory=dict)
    now: Object = field(default_factory=dict)


def definitions(objects: Any) -> list[dict[str, Any]]:
    """The objects to apply. Raises InvalidOption for what is none.

    >>> definitions([{"kind": "Service"}])
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: definitions: {'kind': 'Service'} is no object; give apiVersion, kind and metadata.name
    """
    for each in _list("definitions", objects):
        if not (isinstance(each, Mapping) and each.get("apiVersion") and each.get("kind") and (each.get("metadata") or {}).get("name")):
            raise InvalidOption("definitions", _without_values(each), "is no object", "give apiVersion, kind and metadata.name")
        if each["kind"] == "Secret" and each.get("stringData"):
            raise InvalidOption("definitions", title(each), "has stringData, which Kubernetes changes each time", "give data, in base64")
    return list(objects)


def absent(entries: Any) -> list[dict[str, Any]]:
    """The objects to remove, from entries with ``kind``, ``name`` and ``api_version`` (``v1`` if not given). Raises InvalidOption.

    >>> absent([{"kind": "Ingress", "name": "mlflow", "api_version": "networking.k8s.io/v1"}])
    [{'apiVersion': 'networking.k8s.io/v1', 'kind': 'Ingress', 'metadata': {'name': 'mlflow'}}]
    """
    for each in _list("absent", entries):
        if not (isinstance(each, Mapping) and each.get("kind") and each.get("name") and each.keys() <= {"kind", "name", "api_version"}):
            raise InvalidOption("absent", each, "does not name an object", "give kind, name and api_version")
    return [{"apiVersion": each.get("api_version", "v1"), "kind": each["kind"], "metadata": {"name": each["name"]}} for each in entries]


def parted(objects: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """The Secrets, the Jobs, and the others."""
    secrets, jobs = ([each for each in objects if each["kind"] == kind] for kind in ("Secret", "Job"))
    return secrets, jobs, [each for each in objects if each["kind"] not in ("Secret", "Job")]


def named(definition: Object) -> dict[str, Any]:
    """What names an object, and says nothing else of it.

    >>> named({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate", "labels": {}}, "spec": {}})
    {'apiVersion': 'batch/v1', 'kind': 'Job', 'metadata': {'name': 'migrate'}}
    """
    metadata = {key: value for key, value in definition["metadata"].items() if key in ("name", "namespace")}
    return {"apiVersion": definition["apiVersion"], "kind": definition["kind"], "metadata": metadata}


def made(definition: Object) -> Outcome:
    """What becomes of an object that is made, whatever was there before."""
    return Outcome(title(definition), "create", after=definition, now=definition)


def title(definition: Object) -> str:
    """What an object is called in messages.

    >>> title({"kind": "Service", "metadata": {"name": "mlflow"}})
    'Service mlflow'
    """
    return f"{definition['kind']} {definition['metadata']['name']}"


def outcomes(objects: Sequence[Object], result: Mapping[str, Any]) -> list[Outcome]:
    """What became of ``objects``, by the result that kubernetes.core.k8s gives of them in diff mode."""
    single = len(objects) == 1
    results = [result] if single else (result.get("result") or {}).get("results") or []
    return [_outcome(definition, each) for definition, each in zip(objects, results)]


def refusal(result: Mapping[str, Any]) -> str:
    r"""Why kubernetes.core.k8s failed, in the API server's own words where it has some, and what helps where that is known.

    >>> refusal({"msg": 'Failed to apply object: b\'{"kind":"Status","message":"namespaces \\\\"x\\\\" not found","code":404}\\n\''})
    'Kubernetes refuses: namespaces "x" not found'
    >>> refusal({"msg": "Failed to find exact match for a/v1.B by [kind, name, singularName, shortNames]"}).split("; ")[1]
    'the cluster does not know this kind: install what brings it, or turn off what needs it'
    """
    text = str(result.get("msg", ""))
    found = re.search(r'"message":("(?:[^"\\]|\\.)*")', text.replace('\\\\"', '\\"').replace("\\\\n", "\\n").replace("\\'", "'"))
    try:
        told = f"Kubernetes refuses: {json.loads(found[1])}" if found else f"definitions: they cannot be applied: {text}"
    except ValueError:
        told = f"Kubernetes refuses: {found[1] if found else text}"
    told = _brief(told)
    remedy = remedy_for(told)
    # What follows the first line is a diff of the API server's own.
    return f"{told.splitlines()[0]}; {remedy}" if remedy else told


def _brief(text: str) -> str:
    """``text`` without the objects that the API server repeats: they say nothing new, are pages long, and may hold what is not to be shown.

    >>> _brief('spec.template: Invalid value: {"a": {"b": "}: "}}: field is immutable')
    'spec.template: field is immutable'
    """
    head, found, rest = text.partition("Invalid value: {")
    if not found:
        return text
    try:
        end = json.JSONDecoder().raw_decode("{" + rest)[1] - 1
    except ValueError:
        return text
    return head + _brief(rest[end:].removeprefix(": "))


def summary(found: Sequence[Outcome]) -> dict[str, Any]:
    """The result of the task: ``changed``, ``actions``, ``objects`` by ``KIND/NAME``, and the ``diff`` of what changed."""
    touched = [outcome for outcome in found if outcome.action]
    return {
        "changed": bool(touched),
        "actions": [f"{outcome.action} {outcome.title}" for outcome in touched],
        "objects": {outcome.title.replace(" ", "/", 1): outcome.now for outcome in found if outcome.now},
        "diff": [
            {"before_header": outcome.title, "after_header": outcome.title, "before": outcome.before, "after": outcome.after} for outcome in touched
        ],
    }


def _list(option: str, value: Any) -> Sequence[Any]:
    if isinstance(value, (list, tuple)):
        return value
    raise InvalidOption(option, type(value).__name__, "is not a list", "give a list; from_yaml_all needs a filter list after it")


def _without_values(definition: Any) -> Any:
    return {key: value for key, value in definition.items() if key in ("apiVersion", "kind", "metadata")} if isinstance(definition, Mapping) else "…"


def _outcome(definition: Object, result: Mapping[str, Any]) -> Outcome:
    name = title(definition)
    if result.get("method") == "delete" or "error" in result:
        # An API that the cluster does not have holds no object of it either.
        return Outcome(name, "delete" if result.get("changed") else "", before={"kind": definition["kind"]} if result.get("changed") else {})
    diff = result.get("diff") or {}
    before, after = (_declared(diff.get(side) or {}) for side in ("before", "after"))
    # What the cluster changes in the meantime, a status for instance, is no change of this run.
    is_new = not (diff.get("before") or {}).get("metadata", {}).get("resourceVersion") and bool((diff.get("after") or {}).get("kind"))
    action = "create" if is_new else "change" if before or after else ""
    if definition["kind"] == "Secret":
        return Outcome(name, action, _hidden(before), _hidden(after, "(not shown, another)"))
    return Outcome(name, action, before, after, dict(result.get("result") or {}))


def _declared(thing: Object) -> dict[str, Any]:
    """``thing`` without what the cluster keeps in it by itself."""
    metadata = {key: value for key, value in (thing.get("metadata") or {}).items() if key not in _OWN}
    rest = {key: value for key, value in thing.items() if key not in ("metadata", "status")}
    return {**rest, **({"metadata": metadata} if metadata else {})}


def _hidden(secret: Object, text: str = _NOT_SHOWN) -> dict[str, Any]:
    return {key: dict.fromkeys(value, text) if key == "data" and isinstance(value, Mapping) else value for key, value in secret.items()}
