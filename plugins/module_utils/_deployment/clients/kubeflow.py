# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""A profile of Kubeflow: its notebooks and the tasks of its pipelines are clients. No I/O.

Kubeflow Pipelines has an MLflow plugin of its own. The server of a Kubeflow has its address, and a namespace its credentials: a Secret and
settings whose names are fixed. The settings are in a ConfigMap that others have keys in too, and any other field than these fails each pipeline.
"""
from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.client import AUTH, PASSWORD, TOKEN, Client, Entry, Kind, Part, Test
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.namespace import container
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.objects import opaque
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, described

KUBEFLOW = "kubeflow.org/v1alpha1"
CREDENTIALS, LAUNCHER, SETTINGS = "kfp-mlflow-credentials", "kfp-launcher", "plugins.mlflow"


def _has_pod_default(entry: Entry) -> bool:
    return entry.pod_default


def _has_credentials(entry: Entry) -> bool:
    return entry.pipelines and bool(entry.password)


def _has_pipelines(entry: Entry) -> bool:
    return entry.pipelines


def pod_default(client: Client) -> Object | None:
    """Return what Kubeflow adds to pods with the client's label, which people choose by its description when they create a notebook."""
    if not _has_pod_default(client.entry):
        return None
    volumes = {"volumes": [volume.volume for volume in client.volumes]} if client.volumes else {}
    selector = {"matchLabels": {client.name: "true"}}
    spec = {"desc": f"Use MLflow ({client.name})", "selector": selector, **container(client), **volumes}
    return described(KUBEFLOW, "PodDefault", client.name, client.identity.labels, spec=spec)


def credentials(client: Client) -> Object | None:
    """Return the Secret that the pipelines' plugin reads, and the tasks get their variables from."""
    entry = client.entry
    return opaque(client, CREDENTIALS, {"username": entry.username, "password": entry.password}) if _has_credentials(entry) else None


def launcher(client: Client) -> Object | None:
    """Return the namespace's settings of the pipelines, as far as they are about MLflow."""
    if not _has_pipelines(client.entry):
        return None
    keys = {"credentialSecretRef": {"usernameKey": "username", "passwordKey": "password"}} if _has_credentials(client.entry) else {}
    made = workload.config_map(LAUNCHER, {}, {SETTINGS: as_json({"settings": {"injectUserEnvVars": True, **keys}})})
    return {**made, "metadata": {"name": LAUNCHER}}


def server_settings(client: Client) -> Object:
    """Return what the server of Kubeflow Pipelines must be told, for its config.json: the address is not the namespace's to set."""
    method = "basic-auth" if _has_credentials(client.entry) else "kubernetes" if AUTH in client.environment else "none"
    settings = {"authType": method, "workspacesEnabled": "MLFLOW_WORKSPACE" in client.environment, "injectUserEnvVars": True}
    return {"plugins": {"mlflow": {"endpoint": client.uri, "timeout": "30s", "settings": settings}}}


def problems(client: Client) -> Iterator[str]:
    """Yield what is wrong with an entry."""
    entry = client.entry
    elsewhere = sorted({PASSWORD, TOKEN} & {*entry.secret_environment})
    if entry.pipelines and elsewhere:
        yield (
            f"pipelines: Kubeflow Pipelines reads credentials from Secret {CREDENTIALS} alone, and {' and '.join(elsewhere)} is in another; set "
            "username and password instead, or pipelines: false"
        )
    if entry.pipelines and client.account:
        yield (
            "pipelines: Kubeflow Pipelines would log in by the token of its own server, which is not for MLflow; set username and password, or "
            "pipelines: false"
        )


KIND = Kind(
    pods={},
    files=lambda client: {"kubeflow-pipelines.yaml": server_settings(client)} if _has_pipelines(client.entry) else {},
    arrival="notebooks get it when they are started again, and the tasks of the next pipeline run",
    parts=(
        Part("PodDefault", "", pod_default, KUBEFLOW, asked=_has_pod_default),
        Part("Secret", "", credentials, fixed=CREDENTIALS, asked=_has_credentials),
        Part("ConfigMap", "", launcher, fixed=LAUNCHER, asked=_has_pipelines, is_merged=True),
    ),
    problems=problems,
    # A profile's pods get a proxy of Istio, with which a Job would not end.
    test=lambda client: Test(labels={"sidecar.istio.io/inject": "false"}),
)
