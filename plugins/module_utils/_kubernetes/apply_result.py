# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Results of kubernetes.core.k8s for a set of objects, translated: what changed, without the values of Secrets."""
from __future__ import annotations

import ast
import json
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.known_failures import remedy_for
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption

Object = Mapping[str, Any]

#: Metadata that the cluster itself sets.
_OWN = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
#: What Python's HTTP clients say of a server that is not reached; one that starts answers 503.
_PLACE = re.compile(r"HTTPSConnection(?:Pool)?\(host='([^']+)', port=(\d+)\)")
_REASON = re.compile(
    r"Connection refused|Connection reset by peer|No route to host|Network is unreachable|Remote end closed connection without response"
    r"|apiserver not ready|Service Unavailable"
)
_NOT_SHOWN = "(not shown)"


@dataclass(frozen=True)
class Outcome:
    """The outcome for one object: ``action`` is ``create``, ``change``, ``delete`` or empty; ``now`` is the object, empty for a Secret."""

    title: str
    action: str
    before: Object = field(default_factory=dict)
    after: Object = field(default_factory=dict)
    now: Object = field(default_factory=dict)


def definitions(objects: Any) -> list[dict[str, Any]]:
    """Return the objects to apply. Raises InvalidOption for anything else.

    >>> definitions([{"kind": "Service"}])
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: definitions: {'kind': 'Service'} is not an object; give apiVersion, kind and metadata.name
    """
    for each in _list("definitions", objects):
        if not (isinstance(each, Mapping) and each.get("apiVersion") and each.get("kind") and (each.get("metadata") or {}).get("name")):
            raise InvalidOption("definitions", _without_values(each), "is not an object", "give apiVersion, kind and metadata.name")
        if each["kind"] == "Secret" and each.get("stringData"):
            raise InvalidOption("definitions", title(each), "has stringData, which Kubernetes converts, so it always differs", "give data, in base64")
    return list(objects)


def absent(entries: Any, merged: bool = False) -> list[dict[str, Any]]:
    """The objects to remove, from entries with ``kind``, ``name`` and optionally ``api_version`` and ``namespace``. Raises InvalidOption.

    With ``merged``, those of which only merged fields are removed.

    >>> absent([{"kind": "Ingress", "name": "mlflow", "api_version": "networking.k8s.io/v1"}])
    [{'apiVersion': 'networking.k8s.io/v1', 'kind': 'Ingress', 'metadata': {'name': 'mlflow'}}]
    """
    for each in _list("absent", entries):
        keys = {"kind", "name", "api_version", "namespace", "merged"}
        if not (isinstance(each, Mapping) and each.get("kind") and each.get("name") and each.keys() <= keys):
            raise InvalidOption("absent", each, "does not name an object", "give kind, name, api_version and namespace")
    chosen = [each for each in entries if bool(each.get("merged")) is merged]
    return [{"apiVersion": each.get("api_version", "v1"), "kind": each["kind"], "metadata": _place(each)} for each in chosen]


def _place(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The name, and the namespace if there is one."""
    return {name: metadata[name] for name in ("name", "namespace") if metadata.get(name)}


def deployment(arguments: Mapping[str, Any]) -> str:
    """Return the owner of the objects. Raises InvalidOption if neither it nor a namespace is given.

    >>> deployment({"namespace": "akko"})
    'akko'
    """
    named = str(arguments.get("deployment") or arguments.get("namespace") or "")
    if not named:
        raise InvalidOption("deployment", named, "does not name the owner of the objects", "give deployment or namespace")
    return named


def key(definition: Object) -> str:
    """What an object is called in results and in the option ``adopt``.

    >>> key({"kind": "Service", "metadata": {"name": "mlflow"}})
    'Service/mlflow'
    """
    return title(definition).replace(" ", "/", 1)


def claim(definition: Object, wanted: bool, merged: bool = False) -> dict[str, Any]:
    """Return the object as a claim for kubernetes_preflight."""
    more = {"merged": True} if merged else {}
    return {"api_version": definition["apiVersion"], "kind": definition["kind"], "wanted": wanted, **_place(definition["metadata"]), **more}


def known(checked: Mapping[str, Any], wanted: Sequence[Object], gone: Sequence[Object], merged: Sequence[Object]) -> list[str] | None:
    """Return which of the objects exist if a check of ``all`` objects of the run has said so, and nothing but to apply existing ones is to be done.

    Otherwise None: a new object may have got another owner in the meantime, and who has fields in a merged one is not known.

    >>> service, ingress = ({"kind": kind, "metadata": {"name": "mlflow"}} for kind in ("Service", "Ingress"))
    >>> checked = {"all": ["Service/mlflow", "Ingress/mlflow"], "there": ["Service/mlflow"]}
    >>> known(checked, [service], [ingress], [])
    ['Service/mlflow']
    >>> [known(checked, [ingress], [], []), known(checked, [service], [service], []), known({}, [], [ingress], []), known(checked, [], [], [service])]
    [None, None, None, None]
    """
    there, every = set(checked.get("there") or ()), set(checked.get("all") or ())
    exist = {key(each) for each in wanted} <= there and not there & {key(each) for each in gone}
    return sorted(map(key, wanted)) if exist and {key(each) for each in gone} <= every and not merged else None


def by_presence(objects: Sequence[dict[str, Any]], there: Container[str]) -> list[tuple[list[dict[str, Any]], bool]]:
    """Return missing and existing objects, in order; empty parts are left out.

    >>> service = {"kind": "Service", "metadata": {"name": "mlflow"}}
    >>> [is_there for _part, is_there in by_presence([service], ["Service/mlflow"])]
    [True]
    """
    parts = [([each for each in objects if (key(each) in there) is is_there], is_there) for is_there in (False, True)]
    return [(part, is_there) for part, is_there in parts if part]


def parted(objects: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """The Secrets, the Jobs, and the others."""
    secrets, jobs = ([each for each in objects if each["kind"] == kind] for kind in ("Secret", "Job"))
    return secrets, jobs, [each for each in objects if each["kind"] not in ("Secret", "Job")]


def named(definition: Object) -> dict[str, Any]:
    """Return only what identifies an object.

    >>> named({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate", "labels": {}}, "spec": {}})
    {'apiVersion': 'batch/v1', 'kind': 'Job', 'metadata': {'name': 'migrate'}}
    """
    return {"apiVersion": definition["apiVersion"], "kind": definition["kind"], "metadata": _place(definition["metadata"])}


def made(definition: Object) -> Outcome:
    """Return the outcome for an object that is created, whatever existed before."""
    return Outcome(title(definition), "create", after=definition, now=definition)


def title(definition: Object) -> str:
    """What an object is called in messages; with its namespace if the definition has one.

    >>> title({"kind": "Service", "metadata": {"name": "mlflow"}}), title({"kind": "Secret", "metadata": {"name": "a", "namespace": "b"}})
    ('Service mlflow', 'Secret b/a')
    """
    metadata = definition["metadata"]
    return f"{definition['kind']} {metadata['namespace'] + '/' if metadata.get('namespace') else ''}{metadata['name']}"


def outcomes(objects: Sequence[Object], result: Mapping[str, Any]) -> list[Outcome]:
    """Return the outcomes for ``objects`` from the result of kubernetes.core.k8s in diff mode."""
    single = len(objects) == 1
    results = [result] if single else (result.get("result") or {}).get("results") or []
    return [_outcome(definition, each) for definition, each in zip(objects, results)]


def refusal(result: Mapping[str, Any]) -> str:
    r"""Return why kubernetes.core.k8s failed, in the API server's own words if possible, and a remedy if known.

    >>> refusal({"msg": 'Failed to apply object: b\'{"kind":"Status","message":"namespaces \\\\"x\\\\" not found","code":404}\\n\''})
    'Kubernetes rejects this: namespaces "x" not found'
    >>> refusal({"msg": "Failed to find exact match for a/v1.B by [kind, name, singularName, shortNames]"}).split("; ")[1]
    'the cluster does not know this kind: install its CRD, or disable what needs it'
    """
    text = str(result.get("msg", ""))
    message = _answer(text).get("message")
    told = f"Kubernetes rejects this: {message}" if message else f"definitions: they cannot be applied: {text}"
    told = _brief(told)
    remedy = remedy_for(told)
    # What follows the first line is a diff by the API server.
    return f"{told.splitlines()[0]}; {remedy}" if remedy else told


def _answer(text: str) -> dict[str, Any]:
    """Return the API server's answer, which kubernetes.core 6.2 gives only in its message, as Python writes bytes; empty if there is none."""
    body = text.partition(": ")[2]
    try:
        found = json.loads(ast.literal_eval(body) if body.startswith(("b'", 'b"')) else body)
    except (SyntaxError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def unreachable(result: Mapping[str, Any], kubeconfig: str) -> str:
    """Return why the API server was not reached, if that is why a module of kubernetes.core failed; empty otherwise.

    >>> text = "HTTPSConnectionPool(host='127.0.0.1', port=6443): Max retries exceeded with url: /version (Caused by NewConnectionError('<urllib3\
.connection.HTTPSConnection object at 0x7f>: Failed to establish a new connection: [Errno 111] Connection refused'))"
    >>> print(unreachable({"failed": True, "msg": text}, "/etc/rancher/k3s/k3s.yaml"))
    kubeconfig: the API server https://127.0.0.1:6443 of /etc/rancher/k3s/k3s.yaml does not answer: Connection refused; check that the cluster is \
up (systemctl status k3s), and run again
    >>> unreachable({"failed": True, "msg": "Forbidden"}, "")
    ''
    """
    if not result.get("failed"):
        return ""
    text = "\n".join(str(result.get(key) or "") for key in ("msg", "module_stderr", "exception"))
    place = _PLACE.search(text)
    reasons: list[str] = _REASON.findall(text) or (["it timed out"] if place and "timed out" in text else [])
    if not place and not reasons:
        return ""
    where = f"https://{place[1]}:{place[2]}" if place else "of the cluster"
    of = f" of {kubeconfig}" if kubeconfig else ""
    return (
        f"kubeconfig: the API server {where}{of} does not answer: {reasons[-1] if reasons else 'no connection'}; "
        "check that the cluster is up (systemctl status k3s), and run again"
    )


def _brief(text: str) -> str:
    """Return ``text`` without the objects that the API server repeats: they are redundant, long, and may contain secrets.

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
    raise InvalidOption(option, type(value).__name__, "is not a list", "give a list; use from_yaml_all | list")


def _without_values(definition: Any) -> Any:
    return {key: value for key, value in definition.items() if key in ("apiVersion", "kind", "metadata")} if isinstance(definition, Mapping) else "…"


def _outcome(definition: Object, result: Mapping[str, Any]) -> Outcome:
    name = title(definition)
    if result.get("method") == "delete" or "error" in result:
        # An API that the cluster does not have has no objects.
        return Outcome(name, "delete" if result.get("changed") else "", before={"kind": definition["kind"]} if result.get("changed") else {})
    diff = result.get("diff") or {}
    before, after = (_declared(diff.get(side) or {}) for side in ("before", "after"))
    # What the cluster itself changes, such as a status, is not a change of this run.
    is_new = not (diff.get("before") or {}).get("metadata", {}).get("resourceVersion") and bool((diff.get("after") or {}).get("kind"))
    action = "create" if is_new else "change" if before or after else ""
    if definition["kind"] == "Secret":
        return Outcome(name, action, _hidden(before), _hidden(after, "(not shown, another)"))
    return Outcome(name, action, before, after, dict(result.get("result") or {}))


def _declared(thing: Object) -> dict[str, Any]:
    """Return ``thing`` without what the cluster itself sets."""
    metadata = {key: value for key, value in (thing.get("metadata") or {}).items() if key not in _OWN}
    rest = {key: value for key, value in thing.items() if key not in ("metadata", "status")}
    return {**rest, **({"metadata": metadata} if metadata else {})}


def _hidden(secret: Object, text: str = _NOT_SHOWN) -> dict[str, Any]:
    return {key: dict.fromkeys(value, text) if key == "data" and isinstance(value, Mapping) else value for key, value in secret.items()}
