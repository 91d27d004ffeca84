"""k3s's options: which ones there are, and how config files, environment and command line make one set of them."""
from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from .errors import K3sError
from .layout import CONFIG
from .log import log

TEXT = frozenset(
    "agent-token bind-address cluster-cidr cluster-dns cluster-domain config data-dir flannel-backend flannel-iface https-listen-port node-ip "
    "node-name pause-image private-registry server service-cidr service-node-port-range token token-file write-kubeconfig write-kubeconfig-group "
    "write-kubeconfig-mode".split()
)
LISTS = frozenset(
    "disable kube-apiserver-arg kube-controller-manager-arg kube-proxy-arg kube-scheduler-arg kubelet-arg node-label node-taint tls-san".split()
)
IDLE_FLAGS = frozenset(
    "debug disable-cloud-controller disable-helm-controller embedded-registry etcd-expose-metrics etcd-snapshot-compress "
    "prefer-bundled-bin protect-kernel-defaults secrets-encryption selinux supervisor-metrics tls-san-security".split()
)
IDLE = IDLE_FLAGS | frozenset(
    "advertise-address default-local-storage-path egress-selector-mode etcd-snapshot-dir etcd-snapshot-retention etcd-snapshot-schedule-cron "
    "helm-job-image log node-external-ip system-default-registry v".split()
)
"""Options of k3s that change nothing here; naming one is allowed, and logged."""
FLAGS = IDLE_FLAGS | {"cluster-init", "disable-network-policy"}
SERVER_ONLY = frozenset(
    "agent-token bind-address cluster-cidr cluster-dns cluster-domain cluster-init disable disable-network-policy flannel-backend "
    "https-listen-port kube-apiserver-arg kube-controller-manager-arg kube-scheduler-arg service-cidr service-node-port-range tls-san "
    "write-kubeconfig write-kubeconfig-group write-kubeconfig-mode".split()
)
ENVIRONMENT = {
    "K3S_TOKEN": "token", "K3S_TOKEN_FILE": "token-file", "K3S_URL": "server", "K3S_NODE_NAME": "node-name", "K3S_CONFIG_FILE": "config",
    "K3S_KUBECONFIG_MODE": "write-kubeconfig-mode", "K3S_KUBECONFIG_OUTPUT": "write-kubeconfig", "K3S_KUBECONFIG_GROUP": "write-kubeconfig-group",
    "K3S_DATA_DIR": "data-dir", "K3S_CLUSTER_INIT": "cluster-init",
}
SHORT = {"-c": "config", "-t": "token", "-s": "server", "-d": "data-dir", "-l": "log", "-o": "write-kubeconfig", "-i": "node-ip", "-v": "v"}


class Options:
    """The options of one start, each with k3s's default."""

    def __init__(self, given: Mapping[str, str | bool | list[str]], hostname: str) -> None:
        self.given = dict(given)
        self.hostname = hostname

    def text(self, key: str, default: str = "") -> str:
        """An option with one value; `default` where it is absent or empty."""
        value = self.given.get(key, "")
        return value if isinstance(value, str) and value else default

    def items(self, key: str) -> list[str]:
        """A repeatable option's values, comma-separated ones split for the options where k3s does so."""
        value = self.given.get(key, [])
        values = value if isinstance(value, list) else [str(value)]
        if key.endswith("-arg"):
            return values
        return [part.strip() for item in values for part in item.split(",") if part.strip()]

    def flag(self, key: str) -> bool:
        """Whether a switch is on."""
        return self.given.get(key, False) is True

    @property
    def node_name(self) -> str:
        """The node's name: the host's own in lower case where none is given."""
        return self.text("node-name", self.hostname).lower()

    @property
    def idle(self) -> list[str]:
        """The given options that change nothing in the stand-in."""
        return sorted(IDLE & self.given.keys())


def known(key: str, command: str) -> bool:
    """Whether `k3s COMMAND` has this option.

    >>> known("tls-san", "server"), known("tls-san", "agent"), known("tls-sans", "server")
    (True, False, False)
    """
    if command == "agent" and key in SERVER_ONLY:
        return False
    return key in TEXT | LISTS | FLAGS | IDLE


def _coerced(key: str, value: object) -> str | bool | list[str]:
    if key in LISTS:
        return [_scalar(item) for item in value] if isinstance(value, list) else [_scalar(value)]
    if key in FLAGS:
        if str(value).lower() not in {"true", "false"}:
            raise K3sError(f'invalid boolean value "{value}" for -{key}')
        return str(value).lower() == "true"
    if isinstance(value, list):
        return ",".join(_scalar(item) for item in value)
    return _scalar(value)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _refuse(key: str) -> K3sError:
    return K3sError(f"flag provided but not defined: -{key}")


def from_text(text: str, source: str, command: str) -> dict[str, str | bool | list[str]]:
    r"""The options in the text of a config file. A key that ends in + is marked so in the result.

    As with k3s, a server skips an option that it has not, with a warning, and an agent refuses it.

    >>> from_text("node-name: a\ndisable: [traefik]\nwrite-kubeconfig-mode: '0640'", "config.yaml", "server")
    {'node-name': 'a', 'disable': ['traefik'], 'write-kubeconfig-mode': '0640'}

    Raises:
        K3sError: the text is no YAML mapping, or one for an agent has an option that an agent has not.

    """
    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise K3sError(f"failed to parse {source}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise K3sError(f"failed to parse {source}: it is no mapping of options")
    options: dict[str, str | bool | list[str]] = {}
    for key, value in content.items():
        name = str(key).rstrip("+").replace("_", "-")
        if not known(name, command):
            if command == "agent":
                raise _refuse(name)
            log(f"Unknown flag --{name} found in config.yaml, skipping", "warning")
            continue
        options[f"{name}+" if str(key).endswith("+") else name] = _coerced(name, value)
    return options


def merged(layers: Iterable[Mapping[str, str | bool | list[str]]]) -> dict[str, str | bool | list[str]]:
    """The layers one over the other, later ones first; a key with + appends to the list below it.

    >>> merged([{"disable": ["a"], "token": "x"}, {"disable+": ["b"], "token": "y"}])
    {'disable': ['a', 'b'], 'token': 'y'}
    """
    result: dict[str, str | bool | list[str]] = {}
    for layer in layers:
        for key, value in layer.items():
            name = key.rstrip("+")
            below = result.get(name)
            result[name] = [*below, *value] if key.endswith("+") and isinstance(below, list) and isinstance(value, list) else value
    return result


def from_arguments(arguments: list[str], command: str) -> dict[str, str | bool | list[str]]:
    """The options on the command line.

    >>> from_arguments(["--tls-san=a", "--tls-san", "b", "--cluster-init"], "server")
    {'tls-san': ['a', 'b'], 'cluster-init': True}

    Raises:
        K3sError: an option that `k3s COMMAND` has not, or one without its value.

    """
    result: dict[str, str | bool | list[str]] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        key = SHORT.get(name) or (name[2:] if name.startswith("--") else "")
        if not key or not known(key, command):
            raise _refuse(name.lstrip("-"))
        if key in FLAGS:
            result[key] = _coerced(key, value if equals else "true")
            continue
        if not equals:
            if not rest:
                raise K3sError(f"flag needs an argument: {name}")
            value = rest.pop(0)
        held = result.get(key)
        result[key] = [*held, value] if isinstance(held, list) else _coerced(key, value)
    return result


def read(arguments: list[str], command: str) -> Options:
    """The options of `k3s COMMAND ARGUMENTS`: config file, its drop-in folder, environment, command line, the last one strongest."""
    given = from_arguments(arguments, command)
    environment = {key: _coerced(key, os.environ[name]) for name, key in ENVIRONMENT.items() if os.environ.get(name) and known(key, command)}
    path = Path(str(given.get("config") or environment.get("config") or CONFIG))
    if not path.is_file() and path != CONFIG:
        raise K3sError(f"stat {path}: no such file or directory")
    files = [path, *sorted(Path(f"{path}.d").glob("*.yaml")), *sorted(Path(f"{path}.d").glob("*.yml"))]
    layers = [from_text(file.read_text(), str(file), command) for file in files if file.is_file()]
    return Options(merged([*layers, environment, given]), os.uname().nodename)
