# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""JupyterHub with KubeSpawner: the notebook servers are clients. No I/O.

KubeSpawner expands braces in every text of ``environment``, so that a password with one breaks the spawn. All variables are references, which it
leaves alone, and which are read when a server is spawned.
"""
from __future__ import annotations

from pprint import pformat
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.client import Client, Kind


def environment(client: Client) -> dict[str, Any]:
    """Return the notebook servers' variables, as KubeSpawner's ``environment`` has them."""
    return {name: {"valueFrom": place} for name, place in client.references.items()}


def chart_values(client: Client) -> dict[str, Any]:
    """Return values for the chart of zero-to-jupyterhub, whose own policy refuses notebooks all private addresses."""
    account = {"serviceAccountName": client.entry.service_account} if client.entry.service_account else {}
    # The chart's own policy lets them reach DNS.
    egress = [rule for rule in client.egress if rule not in client.cluster.dns_egress]
    storage = {
        "extraVolumes": [volume.volume for volume in client.volumes],
        "extraVolumeMounts": [volume.mount for volume in client.volumes],
    }
    return {
        "singleuser": {
            "extraEnv": environment(client),
            "networkPolicy": {"egress": egress},
            **account,
            **({"storage": storage} if client.volumes else {}),
        }
    }


def config_file(client: Client) -> str:
    """Return a file for jupyterhub_config.d, which says the same to KubeSpawner."""
    lines = [
        "# KubeSpawner says nothing of networks: a policy that confines the notebooks has to let them reach MLflow.",
        "c = get_config()  # noqa: F821",
        f"c.KubeSpawner.environment.update({_python(environment(client))})",
    ]
    if client.entry.service_account:
        lines.append(f"c.KubeSpawner.service_account = {client.entry.service_account!r}")
    for volume in client.volumes:
        lines += [
            "# Each may be a dictionary, a list, or not known yet, which takes what is for both.",
            f"for have, name, each in (\n    (c.KubeSpawner.volumes, {volume.name!r}, {volume.volume!r}),"
            f"\n    (c.KubeSpawner.volume_mounts, {volume.name!r}, {volume.mount!r}),\n):",
            "    if not isinstance(have, dict):\n        have.append(each)",
            "    if not isinstance(have, list):\n        have.update({name: each})",
        ]
    return "".join(f"{line}\n" for line in lines)


def _python(value: Any) -> str:
    return pformat(value, width=150, sort_dicts=False)


KIND = Kind(
    pods={"app": "jupyterhub", "component": "singleuser-server"},
    files=lambda client: {"jupyterhub-values.yaml": chart_values(client), "jupyterhub_config.py": config_file(client)},
    arrival="notebook servers get it when they are started again, by their users from the hub's control panel for instance",
)
