"""Servers with mlflow-oidc-auth on this machine, as the roles deploy them: their settings come from the roles' decisions."""
from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from ssl import SSLContext
from typing import Any
from urllib.parse import urlencode, urlsplit

import psycopg2
from harness import ROOT
from installations import installation
from postgresql import PostgreSQL
from tracking_servers import FOREIGN, _free_port, _is_alive, _stop

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import oidc_plugin, server_objects, server_settings
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster, Database, Login, Store
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server import Server
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import Deployed
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import read

#: Seconds until a server must answer: about twenty of CPU, on a machine that may be busy.
STARTS_WITHIN = 600
VERSION, FILES = "oidc-3.17.2", ROOT / "roles/mlflow_server/files"
#: The server's Secret.
SECRETS = {"flask-secret-key": "f" * 40, "webhook-key": "w" * 32, "crypto-passphrase": "c" * 32, "admin-password": "the-password-of-admin"}


@dataclass
class Answer:
    """What a server has answered."""

    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def json(self) -> Any:
        """Its JSON."""
        return json.loads(self.text)

    @property
    def location(self) -> str:
        """Where it sends a browser."""
        return self.headers["Location"] or ""


@dataclass
class Person:
    """A browser: it keeps cookies, and comes by Traefik, which says that the way from outside was HTTPS."""

    host: str
    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    #: The address that it comes from.
    address: str = "127.0.0.1"

    def __call__(self, path: str, body: Any = None, method: str = "", **headers: str) -> Answer:
        """Ask the server at the port for a path."""
        sent = {"Host": self.host, "X-Forwarded-Proto": "https", "X-Forwarded-Host": self.host, "Accept": "*/*", **self.headers}
        sent |= {name.replace("_", "-"): text for name, text in headers.items()}
        sent |= {"Cookie": "; ".join(f"{name}={text}" for name, text in self.cookies.items())} if self.cookies else {}
        sent |= {"Content-Type": "application/json"} if body is not None else {}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60, source_address=(self.address, 0))) as connection:
            connection.request(method or ("GET" if body is None else "POST"), path, None if body is None else json.dumps(body), sent)
            return _received(connection, self.cookies)

    def open(self, path: str = "/") -> Answer:
        """Open a page of it."""
        return self(path, Accept="text/html", Sec_Fetch_Dest="document")

    def experiment(self, name: str) -> int:
        """The status of reading an experiment."""
        return self(f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}").status


def _received(connection: http.client.HTTPConnection, cookies: dict[str, str]) -> Answer:
    answer = connection.getresponse()
    for each in answer.headers.get_all("Set-Cookie") or []:
        name, _sign, rest = each.partition("=")
        cookies[name] = rest.partition(";")[0]
    return Answer(answer.status, answer.headers, answer.read().decode(errors="replace"))


def log_in(person: Person, name: str, password: str, issuer: SSLContext, comes_back_to: Person | None = None) -> Answer:
    """Log in at Keycloak from where the server sends the browser; what the server answers to the browser that comes back, maybe to another pod."""
    started = person.open(urlsplit(person.open("/").location).path)
    cookies: dict[str, str] = {}
    form = _at(started.location, issuer, cookies)
    action = unescape(re.findall('action="([^"]+)"', form.text)[0])
    back = urlsplit(_at(action, issuer, cookies, urlencode({"username": name, "password": password})).location)
    assert f"{back.scheme}://{back.netloc}{back.path}" == f"https://{person.host}{oidc_plugin.CALLBACK}"
    return (comes_back_to or person).open(f"{back.path}?{back.query}")


def _at(url: str, issuer: SSLContext, cookies: dict[str, str], form: str | None = None) -> Answer:
    where = urlsplit(url)
    headers = {"Cookie": "; ".join(f"{name}={text}" for name, text in cookies.items())}
    headers |= {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
    with closing(http.client.HTTPSConnection(where.hostname or "", where.port, timeout=60, context=issuer)) as connection:
        connection.request("POST" if form else "GET", f"{where.path}?{where.query}", form, headers)
        return _received(connection, cookies)


@dataclass(frozen=True)
class Plugin:
    """A deployment of them, of which each process is a pod."""

    folder: Path
    postgresql: PostgreSQL
    uris: tuple[str, str]
    given: Mapping[str, Any]

    def deployed(self, port: int = 5000, **variables: Any) -> Deployed:
        """The server as the role has it."""
        host = self.given["server"]["host"]
        server = Server(host=host, port=port, login=read(Login, oidc_plugin.connection(self.given), ""), **variables)
        where = [f"postgresql+psycopg2://{self.postgresql.user}@{uri.rpartition('@')[2]}" for uri in self.uris]
        database = Database(uri=where[0], auth_uri=where[1])
        store = Store(destination=str(self.folder / "artifacts"))
        return Deployed(server, Cluster(namespace="mlflow"), database, store, secrets=SECRETS)

    def environment(self, deployed: Deployed) -> dict[str, str]:
        """The environment of a pod, here."""
        [container] = server_objects.deployment(deployed)["spec"]["template"]["spec"]["containers"]
        plain = {each["name"]: str(each["value"]).replace(oidc_plugin.FOLDER, str(self.folder)) for each in container["env"] if "value" in each}
        kept = {name: text for name, text in os.environ.items() if not name.startswith(FOREIGN) and not name.lower().endswith("_proxy")}
        client = {"OIDC_CLIENT_SECRET": self.given["variables"]["sso_client_secret"]}
        return {**kept, **plain, **deployed.secret_variables, **client, "PGPASSWORD": self.postgresql.password, "POD_IP": "127.0.0.1"}

    def program(self, name: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one of the role's programs, as a pod does."""
        deployed = self.deployed()
        own = {name: str(value) for name, value in server_settings.schema_settings(deployed.server, deployed.database).items()}
        command = [str(installation(VERSION).python), str(FILES / name), *words]
        return subprocess.run(command, env={**self.environment(deployed), **own, **variables}, capture_output=True, text=True, check=False)

    def tables(self, uri: str) -> set[str]:
        """The tables of a database."""
        with closing(psycopg2.connect(uri.replace("+psycopg2", ""))) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            return {name for (name,) in cursor.fetchall()}

    @contextmanager
    def pod(self, **variables: Any) -> Iterator[int]:
        """One process, while the block lasts; its port."""
        port = _free_port(0)
        deployed = self.deployed(port, **variables)
        words = [each.replace("0.0.0.0", "127.0.0.1") for each in deployed.server.arguments]
        log = self.folder / f"mlflow-{port}.log"
        with log.open("wb") as output, ExitStack() as stack:
            command = [str(installation(VERSION).python), str(FILES / "serve.py"), *words]
            process = subprocess.Popen(
                command, env=self.environment(deployed), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
            stack.callback(_stop, process)
            deadline = time.monotonic() + STARTS_WITHIN
            while not _is_alive(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
            yield port
