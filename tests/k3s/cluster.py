"""A deployment on k3s hosts, as its operators (kubectl over SSH) and its users (HTTPS through the ingress) reach it."""
from __future__ import annotations

import base64
import copy
import http.client
import json
import shlex
import socket
import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any


class CommandError(RuntimeError):
    """A command on a host ended with another status than 0."""


@dataclass(frozen=True)
class Answer:
    """What the ingress answered."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON; ValueError where it is none."""
        return json.loads(self.body)


class Cluster:
    """The hosts of an inventory, read from ``ansible-inventory --list``."""

    def __init__(self, inventories: list[str], variables: list[str]) -> None:
        words = ["ansible-inventory", "--list", *(word for path in inventories for word in ("--inventory", path))]
        words += [word for path in variables for word in ("--extra-vars", path)]
        listed = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        self.hosts: dict[str, dict[str, Any]] = listed["_meta"]["hostvars"]
        self.servers: list[str] = listed["k3s_server"]["hosts"]
        self.agents: list[str] = listed.get("k3s_agent", {}).get("hosts", [])
        self.variables = self.hosts[self.servers[0]]
        self.namespace = str(self.variables.get("kubernetes_namespace", "default"))
        #: That of the ingress.
        self.port = 443

    def ssh(self, host: str = "") -> list[str]:
        """The words that precede a command on a host, the first server if none is named."""
        target = self.hosts[host or self.servers[0]]
        return ["ssh", "-i", target["ansible_ssh_private_key_file"], *shlex.split(target.get("ansible_ssh_common_args", "")),
                "-o", "ConnectTimeout=10", f"root@{target['ansible_host']}"]

    def run(self, command: str, host: str = "", timeout: float = 120, stdin: str | None = None) -> str:
        """Run a shell command on a host, the first server if none is named; its standard output. CommandError if it fails."""
        words = [*self.ssh(host), command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False, input=stdin or "")
        if done.returncode != 0:
            raise CommandError(f"{command}: status {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def kubectl(self, *words: str, timeout: float = 120, stdin: str | None = None) -> str:
        """Run kubectl in the deployment's namespace; its standard output."""
        return self.run(f"k3s kubectl --namespace {self.namespace} {shlex.join(words)}", timeout=timeout, stdin=stdin)

    def get(self, kind: str, name: str = "", *words: str) -> Any:
        """An object, or the list of a kind's objects, as a dict."""
        found = json.loads(self.kubectl("get", kind, *([name] if name else []), *words, "--output", "json"))
        return found if name else found["items"]

    def secret(self, name: str) -> dict[str, str]:
        """The decoded values of a Secret."""
        return {key: base64.b64decode(value).decode() for key, value in self.get("secret", name)["data"].items()}

    def delete_namespace(self, name: str) -> None:
        """Delete a namespace with all that is in it."""
        delete = "k3s kubectl delete --ignore-not-found"
        self.run(f"{delete} namespace {name} --wait=false")
        # What they hold is not wanted any more.
        self.run(f"{delete} pods --all --namespace {name} --force --wait=false")
        self.run(f"{delete} namespace {name} --timeout=120s", timeout=130)

    def apart(self, variables: Mapping[str, Any]) -> Cluster:
        """The same hosts for another deployment beside this one, with its own variables and so its own namespace."""
        made = copy.copy(self)
        made.namespace, made.variables = str(variables["kubernetes_namespace"]), {**self.variables, **variables}
        made.__dict__.pop("ca", None)
        return made

    @property
    def name(self) -> str:
        """The name of the MLflow server's Deployment and Service."""
        return str(self.variables["mlflow_server_name"])

    @property
    def host(self) -> str:
        """The public host name."""
        return str(self.variables["mlflow_server_host"])

    @property
    def address(self) -> str:
        """The address at which the ingress listens: that of the first server."""
        return str(self.variables["ansible_host"])

    @cached_property
    def ca(self) -> str:
        """The PEM text of the certificate authority that signed the ingress' certificate."""
        return self.secret(self.get("ingress", self.name)["spec"]["tls"][0]["secretName"])["ca.crt"]

    @cached_property
    def credentials(self) -> tuple[str, str]:
        """The user name and password that the ingress asks for."""
        found = self.secret(f"{self.name}-auth")
        return found["username"], found["password"]

    def https(self, method: str, path: str, body: Any = None, *, anonymous: bool = False, host: str = "", timeout: float = 30) -> Answer:
        """Ask through the ingress, with TLS verified against the deployment's own authority. OSError where it does not answer."""
        context = ssl.create_default_context(cadata=self.ca)
        connection = _Connection(self.host, self.address, context, timeout, self.port)
        headers = {"Host": host or self.host}
        if not anonymous:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(self.credentials).encode()).decode()
        if body is not None and not isinstance(body, bytes):
            headers["Content-Type"] = "application/json"
            body = json.dumps(body).encode()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())
        finally:
            connection.close()


class _Connection(http.client.HTTPSConnection):
    """HTTPS to a name at an address that no DNS knows."""

    def __init__(self, host: str, address: str, context: ssl.SSLContext, timeout: float, port: int = 443) -> None:
        super().__init__(host, port, context=context, timeout=timeout)
        self._address, self._tls = address, context

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
