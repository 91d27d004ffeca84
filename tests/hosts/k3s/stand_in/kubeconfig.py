"""Kubeconfig files."""
from __future__ import annotations

import base64
from pathlib import Path

import yaml


def inline(path: Path) -> str:
    """A file's content in base64, as kubeconfig files embed it."""
    return base64.b64encode(path.read_bytes()).decode()


def kubeconfig(server: str, authority: Path, user: dict[str, str], name: str = "default") -> str:
    """A kubeconfig with one cluster, one user and one context.

    Args:
        server: the API server's address, such as https://127.0.0.1:6443.
        authority: the certificate of the authority that signed the server's.
        user: the keys of the kubeconfig's user, such as client-certificate-data or token.
        name: of cluster, user and context; k3s says default.

    """
    document = {
        "apiVersion": "v1",
        "clusters": [{"cluster": {"certificate-authority-data": inline(authority), "server": server}, "name": name}],
        "contexts": [{"context": {"cluster": name, "user": name}, "name": name}],
        "current-context": name,
        "kind": "Config",
        "users": [{"name": name, "user": user}],
    }
    text: str = yaml.safe_dump(document)
    return text


def client(path: Path) -> dict[str, str]:
    """The user of a kubeconfig that has the certificate `path`.crt and the key `path`.key."""
    return {"client-certificate-data": inline(path.with_suffix(".crt")), "client-key-data": inline(path.with_suffix(".key"))}
