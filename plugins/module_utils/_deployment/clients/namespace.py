# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Any pods of a namespace as clients. No I/O."""
from __future__ import annotations

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.client import Client, Kind
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object


def container(client: Client) -> Object:
    """Return what a pod needs of the client: the part of its container, and its volumes."""
    references = [{"name": name, "valueFrom": place} for name, place in client.given_references.items()]
    return {
        "envFrom": client.sources,
        **({"env": references} if references else {}),
        **({"volumeMounts": [volume.mount for volume in client.volumes]} if client.volumes else {}),
    }


def pod(client: Client) -> Object:
    """Return the part of a pod's specification that makes it a client, for a container of any name."""
    volumes = [volume.volume for volume in client.volumes]
    account = {"serviceAccountName": client.entry.service_account} if client.entry.service_account else {}
    return {"spec": {**account, "containers": [container(client)], **({"volumes": volumes} if volumes else {})}}


KIND = Kind(
    pods={},
    files=lambda client: {"pod.yaml": pod(client)},
    arrival="pods get it when they are started again, by kubectl rollout restart for instance",
)
