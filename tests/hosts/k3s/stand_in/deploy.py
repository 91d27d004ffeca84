"""The manifests folder of a server: its files are applied at start and whenever they change."""
from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import yaml

from . import payload, traefik
from .api import Api
from .errors import K3sError
from .layout import Layout, write
from .log import log

PACKAGED = {"coredns.yaml": "coredns", "local-storage.yaml": "local-storage", "traefik.yaml": "traefik", "traefik-crds.yaml": "traefik",
            "gateway-api-crds.yaml": "traefik"}
"""Shipped manifests by the name under which `disable` knows them; the others are always there."""
CHART = "/apis/helm.cattle.io/v1/namespaces/kube-system/helmchartconfigs/traefik"
FIELD_MANAGER = "deploy@k3s"


class Deployer:
    """Applies what the manifests folder holds; remembers, over restarts too, what it has applied."""

    def __init__(self, layout: Layout, api: Api, disabled: list[str], texts: dict[str, str]) -> None:
        self.layout, self._api, self._disabled, self._texts = layout, api, disabled, texts
        self._mark = layout.server / "cred" / "applied.json"
        self._applied: dict[str, str] = json.loads(self._mark.read_text()) if self._mark.is_file() else {}
        self._refused: dict[str, str] = {}
        self._chart = ""

    def ship(self) -> None:
        """Write the shipped manifests; remove those that are disabled, with their objects."""
        for name in payload.manifests():
            path = self.layout.manifests / name
            if PACKAGED.get(name, "") in self._disabled:
                self._withdraw(path)
            else:
                write(path, self._filled(name))

    def _filled(self, name: str) -> str:
        text = payload.manifest(name)
        for key, value in self._texts.items():
            text = text.replace(f"%{{{key}}}%", value)
        return traefik.configured(text, self._chart) if name == "traefik.yaml" else text

    def _withdraw(self, path: Path) -> None:
        if path.name in self._applied and path.is_file():
            log(f"Removing disabled {path.name}")
            self._kubectl("delete", "--ignore-not-found", "--wait=false", "-f", str(path))
            self._forget(path.name)
        path.unlink(missing_ok=True)

    def _forget(self, name: str) -> None:
        self._applied.pop(name, None)
        write(self._mark, json.dumps(self._applied))

    def step(self) -> None:
        """Apply what has changed since the last step; what cannot be applied is logged and tried again."""
        try:
            self._follow_chart()
        except K3sError as error:
            log(f"HelmChartConfig kube-system/traefik cannot be read: {error}", "warning")
            return
        for path in sorted(self.layout.manifests.rglob("*")):
            if path.suffix in {".yaml", ".yml", ".json"} and path.is_file() and not Path(f"{path}.skip").exists():
                self.apply(str(path.relative_to(self.layout.manifests)))

    def apply(self, name: str) -> None:
        """Apply one file of the manifests folder, where it has changed since."""
        path = self.layout.manifests / name
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if self._applied.get(name) == digest:
            return
        try:
            self._kubectl("apply", "--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}", "-f", str(path))
        except K3sError as error:
            if self._refused.get(name) != str(error):
                log(f"Failed to process {path}: {error}", "error")
            self._refused[name] = str(error)
            return
        log(f"Applied manifest {path}")
        self._applied[name] = digest
        write(self._mark, json.dumps(self._applied))

    def _follow_chart(self) -> None:
        """Carry a HelmChartConfig for Traefik into the shipped manifest."""
        if "traefik" in self._disabled or not (self.layout.manifests / "traefik.yaml").is_file():
            return
        found = self._api.get(CHART)
        values = str(found["spec"].get("valuesContent", "")) if found else ""
        if values == self._chart:
            return
        self._chart = values
        try:
            write(self.layout.manifests / "traefik.yaml", self._filled("traefik.yaml"))
        except yaml.YAMLError as error:
            log(f"HelmChartConfig kube-system/traefik cannot be used: {error}", "error")

    def _kubectl(self, *arguments: str) -> None:
        kubeconfig = self.layout.server / "cred" / "admin.kubeconfig"
        command = ["kubectl", f"--kubeconfig={kubeconfig}", "--request-timeout=60s", *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
        except subprocess.TimeoutExpired as error:
            raise K3sError(f"kubectl {arguments[0]} did not end within 180 s") from error
        if done.returncode:
            raise K3sError(done.stderr.strip())
