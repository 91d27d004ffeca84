# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The registry of the kinds of clients: a new one is a file, and a line here and in the role's argument spec. No I/O."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients import airflow, argo, jupyterhub, kserve, kubeflow, namespace
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.client import Entry, Kind, Part
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.objects import DOORS, PARTS, door, everything
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object

KINDS: Mapping[str, Kind] = {
    "namespace": namespace.KIND, "jupyterhub": jupyterhub.KIND, "airflow": airflow.KIND, "argo": argo.KIND, "kserve": kserve.KIND,
    "kubeflow": kubeflow.KIND,
}  # fmt: skip
#: What a client of some kind may have in its namespace.
ALL_PARTS: tuple[Part, ...] = (*PARTS, *(part for kind in KINDS.values() for part in kind.parts))


def recorded(owned: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """Return the clients of a deployment, from what it has in its own namespace: the policies that let them in.

    >>> there = [{"kind": "NetworkPolicy", "name": "mlflow-client.hub", "instance": "mlflow-client"}]
    >>> [entry.namespace for entry in recorded([*there, {"kind": "NetworkPolicy", "name": "mlflow", "instance": "mlflow"}])]
    ['hub']
    """
    policies = [each for each in owned if each["kind"] == "NetworkPolicy"]
    entries = [Entry(namespace=each["name"].removeprefix(f"{each['instance']}.").split(".")[0], name=each["instance"]) for each in policies]
    return [entry for each, entry in zip(policies, entries) if each["name"] == door(entry, DOORS[0])]


def elsewhere(owned: Iterable[Mapping[str, Any]]) -> list[Object]:
    """Return what these clients may have outside of MLflow's namespace."""
    every = [each for entry in recorded(owned) for each in everything(entry, ALL_PARTS)]
    return [each for each in every if each.get("namespace") or each["kind"] == "PersistentVolume"]
