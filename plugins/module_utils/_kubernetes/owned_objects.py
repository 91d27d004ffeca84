# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Reads a namespace's objects of any kind, found by API discovery, or only their metadata."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError, NotPermitted
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.cluster import METADATA, METADATA_LIST, Cluster

#: Groups that repeat the objects of other groups.
_REPEATED = {"metrics.k8s.io", "events.k8s.io"}


class OwnedObjects:
    """The objects of one namespace of a cluster."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._resources: dict[str, list[dict[str, Any]]] = {}

    def namespace(self) -> dict[str, Any] | None:
        """Return the metadata of the namespace; None if it does not exist, empty if it may not be read."""
        try:
            found = self._cluster.get(f"/api/v1/namespaces/{self._namespace}", METADATA)
        except NotPermitted:
            return {}
        return found["metadata"] if found else None

    def metadata(self, api_version: str, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        """Return an object's metadata; None if there is no such object or kind, and nothing of a definition that may not be seen."""
        path = self._path(api_version, kind, namespace)
        try:
            found = self._cluster.get(f"{path}/{name}", METADATA) if path else None
        except NotPermitted:
            # Users of a single namespace see none, and use what it defines.
            if kind == "CustomResourceDefinition":
                return {}
            raise
        return found["metadata"] if found else None

    def whole(self, api_version: str, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
        """Return an object; empty if it does not exist."""
        path = self._path(api_version, kind, namespace)
        return (self._cluster.get(f"{path}/{name}") if path else None) or {}

    def read(
        self, api_version: str, kind: str, name: str, namespace: str, label_selectors: Iterable[str], optional: bool
    ) -> list[dict[str, Any]]:
        """Return the object of that name, or without one all that have the labels. What may not be seen is not there if it is ``optional``."""
        try:
            if not name:
                return self.selected(api_version, kind, label_selectors, namespace)
            found = self.whole(api_version, kind, name, namespace)
            return [found] if found else []
        except NotPermitted:
            if not optional:
                raise
            return []

    def selected(self, api_version: str, kind: str, labels: Iterable[str], namespace: str = "") -> list[dict[str, Any]]:
        """Return the objects of a kind that have the labels, each as NAME=VALUE. In a list, the API does not say their kind; here they have it."""
        path, query = self._path(api_version, kind, namespace), urlencode({"labelSelector": ",".join(labels)})
        found = (self._cluster.get(f"{path}?{query}") if path else None) or {}
        return [{"apiVersion": api_version, "kind": kind, **item} for item in found.get("items") or ()]

    def listed(self, api_version: str, kind: str) -> list[dict[str, Any]]:
        """The metadata of all objects of a kind."""
        path = self._path(api_version, kind)
        found = self._cluster.get(path, METADATA_LIST) if path else None
        return [item["metadata"] for item in (found or {}).get("items") or ()]

    def everywhere(self, api_version: str, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind, in every namespace; none if they may not be seen."""
        found = next((each for each in self._known(api_version) if each["kind"] == kind and "/" not in each["name"]), None)
        try:
            listed = self._cluster.get(f"{_group(api_version)}/{found['name']}") if found else None
        except NotPermitted:
            return []
        return list((listed or {}).get("items") or ())

    def all(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Every object of the namespace that can be listed: its API version, its kind, its metadata."""
        groups = (self._cluster.get("/apis") or {}).get("groups") or ()
        versions = ["v1"] + [group["preferredVersion"]["groupVersion"] for group in groups if group["name"] not in _REPEATED]
        for version in versions:
            for resource in self._known(version):
                if resource["namespaced"] and "list" in resource["verbs"] and "delete" in resource["verbs"]:
                    for metadata in self.listed(version, resource["kind"]):
                        yield version, resource["kind"], metadata

    def _path(self, api_version: str, kind: str, namespace: str = "") -> str | None:
        for resource in self._known(api_version):
            if resource["kind"] == kind and "/" not in resource["name"]:
                place = f"/namespaces/{namespace or self._namespace}" if resource["namespaced"] else ""
                return f"{_group(api_version)}{place}/{resource['name']}"
        return None

    def _known(self, api_version: str) -> list[dict[str, Any]]:
        """Return the kinds of that group and version; none if the cluster does not have it, or its API server is down."""
        if api_version not in self._resources:
            try:
                found = self._cluster.get(_group(api_version))
            except ApiError:
                found = None
            self._resources[api_version] = list((found or {}).get("resources") or ())
        return self._resources[api_version]


def _group(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
