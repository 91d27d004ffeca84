# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What users add to the Kubernetes objects of the roles: labels and annotations for all, patches for single ones. No I/O.

A patch is merged as kubectl does it, by strategic merge: https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/
"""
from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.ownership import DEPLOYMENT, MANAGED_BY
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption

Object = Mapping[str, Any]

#: The lists that are merged, by the key that identifies an entry (patchMergeKey in the API's types); all others are replaced.
_KEYS = {
    "containers": "name", "initContainers": "name", "ephemeralContainers": "name", "env": "name", "volumes": "name", "imagePullSecrets": "name",
    "resourceClaims": "name", "secrets": "name", "volumeMounts": "mountPath", "volumeDevices": "devicePath", "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey", "ownerReferences": "uid",
}  # fmt: skip
#: The groups whose types have merge keys. In objects of others, lists are replaced, as kubectl does it for custom resources.
_GROUPS = frozenset({"", "apps", "autoscaling", "batch", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io"})
_DIRECTIVE = "$patch"
#: What identifies an object, or whose it is.
_FIXED = (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"))
#: Labels by which selectors and the roles find objects.
_OWN_LABELS = frozenset({MANAGED_BY, DEPLOYMENT, *(f"app.kubernetes.io/{each}" for each in ("name", "instance", "component", "part-of"))})


def check_metadata(labels: Any, annotations: Any) -> None:
    """Raise InvalidOption for labels and annotations that the roles set themselves, or that are not texts.

    >>> check_metadata({"cost-center": "ml"}, {})
    >>> check_metadata({"app.kubernetes.io/name": "x"}, {})
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: kubernetes_labels: 'app.kubernetes.io/name' is set by the roles; remove it
    """
    for option, given, own in (("kubernetes_labels", labels, _OWN_LABELS), ("kubernetes_annotations", annotations, frozenset())):
        if not isinstance(given, Mapping):
            raise InvalidOption(option, type(given).__name__, "is not a dictionary", "write it as {key: value}")
        for key, value in given.items():
            if key in own or str(key).startswith("mlops.mlflow/"):
                raise InvalidOption(option, str(key), "is set by the roles", "remove it")
            if not isinstance(value, str):
                raise InvalidOption(option, f"{key}: {value}", "is not a text, which Kubernetes requires", "put the value in quotes")


def check_patches(patches: Any) -> None:
    """Raise InvalidOption for an entry that is not a patch, or that would make another object of its target.

    >>> check_patches([{"kind": "Deployment", "name": "mlflow", "patch": {"metadata": {"name": "x"}}}])
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: kubernetes_patches: 'Deployment/mlflow' would change metadata.name; remove it from the patch
    """
    if not isinstance(patches, Sequence) or isinstance(patches, str):
        raise InvalidOption("kubernetes_patches", type(patches).__name__, "is not a list", "give a list of entries with kind, name and patch")
    for entry in patches:
        if not isinstance(entry, Mapping) or set(entry) != {"kind", "name", "patch"} or not isinstance(entry["patch"], Mapping):
            shown = sorted(map(str, entry)) if isinstance(entry, Mapping) else entry
            raise InvalidOption("kubernetes_patches", shown, "is not an entry", "give kind, name and patch, the part of the object that changes")
        for path in _FIXED:
            inside: Any = entry["patch"]
            for key in path:
                inside = inside.get(key) if isinstance(inside, Mapping) else None
            if inside is not None:
                raise InvalidOption("kubernetes_patches", target(entry), f"would change {'.'.join(path)}", "remove it from the patch")


def target(entry: Object) -> str:
    """What a patch is for, as C(KIND/NAME); the name may contain wildcards."""
    return f"{entry['kind']}/{entry['name']}"


def unknown(patches: Iterable[Object], titles: Iterable[str]) -> str:
    """Return the message for a patch whose target no object of the roles is; empty if there is none.

    >>> print(unknown([{"kind": "Deployment", "name": "mlfow"}, {"kind": "Job", "name": "*"}], ["Deployment/mlflow", "Job/mlflow-verify"]))
    kubernetes_patches: the roles have no object Deployment/mlfow, only for example Deployment/mlflow; nothing was changed. Correct its kind and \
name, or remove it
    """
    known = list(dict.fromkeys(titles))
    strange = [each for each in map(target, patches) if not any(fnmatchcase(title, each) for title in known)]
    if not strange:
        return ""
    near = difflib.get_close_matches(strange[0], known, 1, 0.5) or known[:1]
    only = f", only for example {near[0]}" if near else ""
    return f"kubernetes_patches: the roles have no object {strange[0]}{only}; nothing was changed. Correct its kind and name, or remove it"


def extended(definition: Object, labels: Mapping[str, str], annotations: Mapping[str, str], patches: Sequence[Object]) -> dict[str, Any]:
    """Return an object with the labels and annotations, also in the templates that it contains, and with the patches that are for it.

    What the object has itself takes precedence over labels and annotations; patches take precedence over both.

    >>> pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x"}]}}
    >>> thing = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "mlflow"}, "spec": {"template": pod}}
    >>> extended(thing, {"cost-center": "ml"}, {}, [])["spec"]["template"]["metadata"]
    {'labels': {'cost-center': 'ml', 'a': 'b'}}
    """
    made = _templated(definition, labels, annotations)
    for entry in patches:
        if fnmatchcase(f"{definition['kind']}/{definition['metadata']['name']}", target(entry)):
            group = definition["apiVersion"].rpartition("/")[0]
            made = _merged(made, entry["patch"], (), group in _GROUPS)
    return made


def _templated(part: Object, labels: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, Any]:
    """The object, or a template in it, with labels and annotations."""
    made = dict(part)
    metadata = dict(made.get("metadata") or {})
    for key, more in (("labels", labels), ("annotations", annotations)):
        if more:
            metadata[key] = {**more, **(metadata.get(key) or {})}
    if metadata:
        made["metadata"] = metadata
    for key in ("jobTemplate", "template"):
        inner = (made.get("spec") or {}).get(key) if isinstance(made.get("spec"), Mapping) else None
        if isinstance(inner, Mapping) and isinstance(inner.get("spec"), Mapping):
            made["spec"] = {**made["spec"], key: _templated(inner, labels, annotations)}
    return made


def _merged(there: Object, patch: Object, path: tuple[str, ...], by_key: bool) -> dict[str, Any]:
    r"""Return a dictionary with a patch: null removes a key, C($patch: replace) replaces the dictionary.

    >>> _merged({"a": 1, "b": {"c": 2, "d": 3}}, {"a": None, "b": {"c": 4}}, (), True)
    {'b': {'c': 4, 'd': 3}}
    >>> _merged({"b": {"c": 2}}, {"b": {"$patch": "replace", "d": 3}}, (), True)
    {'b': {'d': 3}}
    """
    if patch.get(_DIRECTIVE) == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    made = dict(there)
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, Mapping):
            inner = made.get(key)
            made[key] = _merged(inner if isinstance(inner, Mapping) else {}, value, (*path, key), by_key)
        elif isinstance(value, list) and by_key and _key(path, key) and isinstance(made.get(key), list):
            made[key] = _merged_list(made[key], value, _key(path, key), (*path, key))
        else:
            made[key] = value
    return made


def _merged_list(there: list[Any], patch: list[Any], key: str, path: tuple[str, ...]) -> list[Any]:
    """Return a list with a patch: entries with the same key are merged, others are appended; C($patch) deletes one, or replaces the list.

    >>> _merged_list([{"name": "a", "x": 1}, {"name": "b"}], [{"name": "a", "y": 2}, {"name": "c"}], "name", ())
    [{'name': 'a', 'x': 1, 'y': 2}, {'name': 'b'}, {'name': 'c'}]
    >>> _merged_list([{"name": "a"}, {"name": "b"}], [{"name": "a", "$patch": "delete"}], "name", ())
    [{'name': 'b'}]
    """
    if any(entry.get(_DIRECTIVE) == "replace" for entry in patch):
        return [entry for entry in patch if _DIRECTIVE not in entry]
    made = list(there)
    for entry in patch:
        if key not in entry:
            raise InvalidOption("kubernetes_patches", ".".join(path), f"has an entry without {key}, by which its entries are merged", f"add {key}")
        index = next((index for index, each in enumerate(made) if each.get(key) == entry[key]), None)
        if entry.get(_DIRECTIVE) == "delete":
            made = [each for each in made if each.get(key) != entry[key]]
        elif index is None:
            made.append(dict(entry))
        else:
            made[index] = _merged(made[index], entry, path, True)
    return made


def _key(path: tuple[str, ...], name: str) -> str:
    """The key by which the entries of a list are told apart; empty for a list that is replaced.

    >>> _key(("spec",), "ports"), _key(("spec", "template", "spec", "containers"), "ports"), _key(("spec",), "tolerations")
    ('port', 'containerPort', '')
    """
    if name == "ports" and path:
        return "containerPort" if path[-1].lower().endswith("containers") else "port" if path == ("spec",) else ""
    return _KEYS.get(name, "")
