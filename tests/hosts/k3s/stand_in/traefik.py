"""Traefik's arguments, from those values of its chart that k3s users set by a HelmChartConfig."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from .log import log

PROVIDERS = {"kubernetesCRD": "kubernetescrd", "kubernetesIngress": "kubernetesingress", "kubernetesGateway": "kubernetesgateway"}


def configured(text: str, values: str) -> str:
    """The manifest `text` with the Deployment's arguments extended by the chart's `values` (YAML).

    Raises:
        yaml.YAMLError: the values are no YAML.

    """
    wanted = yaml.safe_load(values) or {}
    documents = [document for document in yaml.safe_load_all(text) if document]
    for document in documents:
        if document["kind"] == "Deployment":
            container = document["spec"]["template"]["spec"]["containers"][0]
            container["args"] = [*container["args"], *arguments(wanted)]
    return yaml.safe_dump_all(documents, sort_keys=False)


def arguments(values: Mapping[str, Any]) -> list[str]:
    """Traefik's arguments for the values of its chart; values that have none here are logged.

    >>> arguments({"ports": {"web": {"transport": {"respondingTimeouts": {"readTimeout": "600s"}}}}, "additionalArguments": ["--log.level=INFO"]})
    ['--entryPoints.web.transport.respondingTimeouts.readTimeout=600s', '--log.level=INFO']
    """
    result: list[str] = []
    for key, value in values.items():
        if key == "ports":
            for port, settings in value.items():
                result += _port(port, settings)
        elif key == "providers":
            result += _providers(value)
        elif key == "logs":
            result += _logs(value)
        elif key != "additionalArguments":
            _unknown(key)
    return [*result, *values.get("additionalArguments", [])]


def _port(port: str, settings: Mapping[str, Any]) -> Iterator[str]:
    for key, value in settings.items():
        if key == "transport":
            for name, timeout in value.get("respondingTimeouts", {}).items():
                yield f"--entryPoints.{port}.transport.respondingTimeouts.{name}={timeout}"
            for name in value.keys() - {"respondingTimeouts"}:
                _unknown(f"ports.{port}.transport.{name}")
        elif key in {"redirections", "http"} and _redirect(value):
            target = _redirect(value)
            yield f"--entryPoints.{port}.http.redirections.entryPoint.to=:{443 if target.get('to') == 'websecure' else target.get('to')}"
            yield f"--entryPoints.{port}.http.redirections.entryPoint.scheme={target.get('scheme', 'https')}"
            yield f"--entryPoints.{port}.http.redirections.entryPoint.permanent={str(target.get('permanent', False)).lower()}"
        else:
            _unknown(f"ports.{port}.{key}")


def _redirect(value: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = value.get("redirections", value).get("entryPoint", {})
    return found


def _providers(value: Mapping[str, Any]) -> Iterator[str]:
    for name, settings in value.items():
        if name not in PROVIDERS:
            _unknown(f"providers.{name}")
            continue
        for key, setting in settings.items():
            if key == "enabled":
                yield f"--providers.{PROVIDERS[name]}={str(setting).lower()}"
            else:
                yield f"--providers.{PROVIDERS[name]}.{key}={str(setting).lower() if isinstance(setting, bool) else setting}"


def _logs(value: Mapping[str, Any]) -> Iterator[str]:
    if "level" in value.get("general", {}):
        yield f"--log.level={value['general']['level']}"
    if value.get("access", {}).get("enabled"):
        yield "--accesslog=true"


def _unknown(key: str) -> None:
    log(f"HelmChartConfig kube-system/traefik: the stand-in leaves the value {key} out of account", "warning")
