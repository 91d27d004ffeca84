"""Load configuration files as JupyterHub does, and print what KubeSpawner would make of them. usage: spawn.py FILE...

Runs in the environment of JupyterHub and KubeSpawner, without a cluster. A name that ends in .yaml is values of the chart of zero-to-jupyterhub,
whose ``singleuser.extraEnv``, ``singleuser.serviceAccountName`` and ``singleuser.storage`` its own configuration hands to KubeSpawner as here.
"""
from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import yaml
from jupyterhub.app import JupyterHub
from jupyterhub.objects import Hub, Server
from kubernetes_asyncio.client import ApiClient
from kubespawner import KubeSpawner
from traitlets.config import Config

CHART = (("environment", ("extraEnv",)), ("service_account", ("serviceAccountName",)), ("volumes", ("storage", "extraVolumes")),
         ("volume_mounts", ("storage", "extraVolumeMounts")))


class User:
    """What KubeSpawner asks of a user."""

    name = escaped_name = "ada"
    id = 1
    url = server_url = "/user/ada/"
    groups = ()

    def __init__(self) -> None:
        self.server = Server()
        self.settings: dict[str, object] = {}


def of_chart(text: str) -> Config:
    """The values as the chart's jupyterhub_config.py hands them on."""
    found = Config()
    for trait, path in CHART:
        value = yaml.safe_load(text)["singleuser"]
        for part in path:
            value = value.get(part, {})
        if value:
            found.KubeSpawner[trait] = value
    return found


async def spawned(paths: list[str]) -> dict[str, object]:
    """The pod of a user's server."""
    hub = JupyterHub()
    for path in paths:
        if path.endswith(".yaml"):
            hub.update_config(of_chart(Path(path).read_text()))
        else:
            hub.load_config_file(path)
    spawner = KubeSpawner(_mock=True, config=hub.config, user=User(), hub=Hub(), api_token="t")
    return dict(ApiClient().sanitize_for_serialization(await spawner.get_pod_manifest()))


print(json.dumps(asyncio.run(spawned(sys.argv[1:]))))
