"""registries.yaml of k3s, turned into containerd's hosts.toml files."""
from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from .errors import K3sError
from .layout import write


def read(path: Path) -> dict[str, Any]:
    """The content of registries.yaml; empty where there is none.

    Raises:
        K3sError: it is no YAML, has a key that k3s has not, or asks for rewriting, which only k3s's own containerd can.

    """
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise K3sError(f"failed to parse {path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or content.keys() - {"mirrors", "configs", "auths"}:
        raise K3sError(f"failed to parse {path}: it may have the keys mirrors and configs alone")
    for name, mirror in (content.get("mirrors") or {}).items():
        if (mirror or {}).get("rewrite"):
            raise K3sError(f"{path}: mirrors.{name}.rewrite needs the containerd of k3s; this stand-in has Debian's")
    return content


def _quoted(text: object) -> str:
    return json.dumps(str(text))


def _transport(config: Mapping[str, Any]) -> Iterable[str]:
    tls = config.get("tls") or {}
    if tls.get("ca_file"):
        yield f"  ca = [{_quoted(tls['ca_file'])}]"
    if tls.get("cert_file"):
        yield f"  client = [[{_quoted(tls['cert_file'])}, {_quoted(tls.get('key_file', ''))}]]"
    if tls.get("insecure_skip_verify"):
        yield "  skip_verify = true"


def hosts_toml(name: str, endpoints: Iterable[str], configs: Mapping[str, Any]) -> str:
    """The hosts.toml of the registry `name`, which is asked at `endpoints` first.

    >>> print(hosts_toml("localhost:5050", ["http://10.0.0.1:5050"], {}))
    server = "https://localhost:5050/v2"
    <BLANKLINE>
    [host."http://10.0.0.1:5050/v2"]
      capabilities = ["pull", "resolve"]
      override_path = true
    """
    lines = [] if name == "_default" else [f"server = {_quoted(f'https://{server_of(name)}/v2')}", *_top(configs.get(name) or {})]
    for endpoint in endpoints:
        parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
        path = parts.path.rstrip("/") or "/v2"
        lines += ["", f"[host.{_quoted(f'{parts.scheme}://{parts.netloc}{path}')}]", '  capabilities = ["pull", "resolve"]', "  override_path = true"]
        lines += _transport(configs.get(parts.netloc) or {})
    return "\n".join(lines)


def _top(config: Mapping[str, Any]) -> list[str]:
    return [line.strip() for line in _transport(config)]


def server_of(name: str) -> str:
    """The address of a registry, which for Docker's is not its name.

    >>> server_of("docker.io"), server_of("quay.io")
    ('registry-1.docker.io', 'quay.io')
    """
    return "registry-1.docker.io" if name == "docker.io" else name


def write_hosts(content: Mapping[str, Any], folder: Path) -> None:
    """Write a hosts.toml for each registry of registries.yaml below `folder`; folders of registries no longer there go."""
    mirrors: dict[str, Any] = content.get("mirrors") or {}
    configs: dict[str, Any] = content.get("configs") or {}
    endpoints = {name: (mirror or {}).get("endpoint") or [] for name, mirror in mirrors.items()}
    for name in configs:
        endpoints.setdefault(name, [])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, urls in endpoints.items():
        known = "_default" if name == "*" else name
        write(folder / known / "hosts.toml", hosts_toml(known, urls, configs) + "\n")


def authentication(content: Mapping[str, Any]) -> list[str]:
    """The lines of containerd's own configuration for the registries that want a password."""
    lines: list[str] = []
    for name, config in (content.get("configs") or {}).items():
        auth = (config or {}).get("auth") or {}
        if auth:
            lines.append(f'[plugins."io.containerd.grpc.v1.cri".registry.configs.{_quoted(name)}.auth]')
            lines += [f"  {key} = {_quoted(value)}" for key, value in auth.items()]
    return lines
