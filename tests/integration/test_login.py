"""The login as a person has it: Chromium, Keycloak, and Traefik and oauth2-proxy with what the role sso gives them, in front of MLflow.

No cluster is needed: the Middlewares are given to Traefik in a file, in which they have the same shape.
"""
from __future__ import annotations

import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import chromium
import pytest
import yaml
from chromium import Chromium
from harness import ROOT
from keycloak_server import PASSWORD, KeycloakServer, Place
from login_realm import GROUP, SECRET, realm
from loopback import Authority
from parts import parts
from tracking_servers import Flavour, Servers

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import oauth2_proxy
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.sso import PORT, Sso

pytestmark = [pytest.mark.slow, chromium.needed]
HOST, KEYCLOAK, PROXY, TRAEFIK = "experiments.akko.local", 27543, 27544, 27545
#: Logs a run with the session that a page of MLflow's has.
LOG_A_RUN = """
(async () => {
  const said = [];
  const send = async (method, path, body) => {
    const headers = {'Content-Type': typeof body === 'string' ? 'text/plain' : 'application/json'};
    const answer = await fetch('/ajax-api/2.0/' + path, {method, headers, body: typeof body === 'string' ? body : JSON.stringify(body)});
    said.push(answer.status);
    const text = await answer.text();
    return text ? JSON.parse(text) : {};
  };
  const experiment = (await send('POST', 'mlflow/experiments/create', {name: 'of-a-desk'})).experiment_id;
  const made = {experiment_id: experiment, run_name: 'tidy-desk', start_time: Date.now()};
  const run = (await send('POST', 'mlflow/runs/create', made)).run.info.run_id;
  await send('POST', 'mlflow/runs/log-metric', {run_id: run, key: 'accuracy', value: 0.94, timestamp: Date.now()});
  await send('PUT', `mlflow-artifacts/artifacts/${experiment}/${run}/artifacts/notes.txt`, 'what the desk has written');
  return {experiment, run, status: said};
})()
"""


def certificate(folder: Path, name: str) -> tuple[str, Path, Path]:
    """An authority, and a certificate for the name with its key."""
    (folder / name).mkdir()
    authority = Authority(folder / name)
    issued, begin, key = authority.issue("server", [name]).read_text().partition("-----BEGIN PRIVATE KEY-----")
    paths = folder / name / "tls.crt", folder / name / "tls.key"
    paths[0].write_text(issued)
    paths[1].write_text(begin + key)
    return authority.path.read_text().partition("-----BEGIN PRIVATE KEY-----")[0], *paths


@contextmanager
def running(folder: Path, *words: str | Path, **environment: str) -> Iterator[None]:
    """A program that runs while the block lasts."""
    with (folder / f"{Path(words[0]).name}.log").open("w") as log:
        process = subprocess.Popen([*words], stdout=log, stderr=log, env=os.environ | environment)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def answers(port: int) -> None:
    """Wait until something listens there. ConnectionError if nothing does within a minute."""
    end = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except ConnectionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


def middlewares(given: Sso) -> dict[str, Any]:
    """The role's Middlewares, with the proxy's address here."""
    found = {}
    for each in oauth2_proxy._middlewares(oauth2_proxy.Proxy(given, Cluster(namespace="mlflow"))):
        spec = {what: dict(how) for what, how in each["spec"].items()}
        spec.get("errors", {}).update({"service": "login"} if "errors" in spec else {})
        spec.get("forwardAuth", {}).update({"address": f"http://127.0.0.1:{PROXY}/"} if "forwardAuth" in spec else {})
        found[each["metadata"]["name"]] = spec
    return found


@dataclass(frozen=True)
class Door:
    """Where the login stands, and what a browser has to trust."""

    addresses: Mapping[str, str]
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def door(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """MLflow behind the login."""
    folder = tmp_path_factory.mktemp("login")
    login_ca, *login_pair = certificate(folder, "localhost")
    ca, shown, key = certificate(folder, HOST)
    names = (("MLFLOW_SERVER_ALLOWED_HOSTS", HOST), ("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", f"https://{HOST}"))
    mlflow = servers(Flavour("3.17.2", "sqlite", env=names))
    with ExitStack() as stack:
        place = Place("localhost", KEYCLOAK, login_pair, login_ca)
        keycloak = stack.enter_context(KeycloakServer(folder, place, realm(HOST)))
        given = Sso(provider="oauth2_proxy", issuer_url=keycloak.issuer, client_id="mlflow", issuer_ca=login_ca, allowed_groups=[GROUP],
                    trusted_proxies=["127.0.0.1/32"])
        for name, text in oauth2_proxy.files(given, (ROOT / "roles/sso/files/error.html").read_text()).items():
            (folder / name).write_text(text)
        here = {f"0.0.0.0:{PORT}": f"127.0.0.1:{PROXY}", oauth2_proxy.FOLDER: str(folder)}
        words = [next((each.replace(old, new) for old, new in here.items() if old in each), each) for each in oauth2_proxy.arguments(given)]
        secrets = {"OAUTH2_PROXY_CLIENT_SECRET": SECRET, "OAUTH2_PROXY_COOKIE_SECRET": "0" * 32, "SSL_CERT_DIR": str(folder)}
        stack.enter_context(running(folder, parts.part("oauth2-proxy") / "oauth2-proxy", *words, **secrets))
        server = f"http://{urlsplit(mlflow.stack.tracking_uri).netloc}"
        config = {
            "http": {
                "middlewares": middlewares(given),
                "services": {name: {"loadBalancer": {"servers": [{"url": url}]}}
                             for name, url in (("login", f"http://127.0.0.1:{PROXY}"), ("mlflow", server))},
                "routers": {
                    "login": {"rule": "PathPrefix(`/oauth2`)", "service": "login", "tls": {}},
                    "mlflow": {"rule": "PathPrefix(`/`)", "service": "mlflow", "tls": {}, "middlewares": [*given.middlewares.values()]},
                },
            },
            "tls": {"stores": {"default": {"defaultCertificate": {"certFile": str(shown), "keyFile": str(key)}}}},
        }  # fmt: skip
        (folder / "traefik.yml").write_text(yaml.safe_dump(config))
        options = [f"--entryPoints.websecure.address=127.0.0.1:{TRAEFIK}", f"--providers.file.filename={folder / 'traefik.yml'}"]
        stack.enter_context(running(folder, parts.part("traefik") / "traefik", *options))
        context = ssl.create_default_context(cadata=ca + login_ca)
        for port in (PROXY, TRAEFIK):
            answers(port)
        yield Door({HOST: f"127.0.0.1:{TRAEFIK}", "localhost": f"127.0.0.1:{KEYCLOAK}"}, context)


def test_somebody_at_a_desk_opens_a_runs_artifact_and_logs_out(door: Door, tmp_path: Path) -> None:
    """Logs in at Keycloak, clicks through to what a run has logged, logs out, and is asked again; somebody of another group is told so."""
    with Chromium(tmp_path, door.addresses, door.context) as page:
        page.open(f"https://{HOST}/")
        page.read(["Sign in to your account"])
        page.picture("login")
        page.fill({"username": "alice", "password": PASSWORD}, "kc-login")
        page.read(["Experiments"])
        run = page.script(LOG_A_RUN)
        assert run["status"] == [200, 200, 200, 200], run
        page.open(f"https://{HOST}/#/experiments")
        page.click("Model training")
        page.click("of-a-desk")
        page.click("tidy-desk")
        page.read(["tidy-desk", "accuracy"])
        page.picture("run")
        page.click("Artifacts")
        page.click("notes.txt")
        page.read(["what the desk has written"])
        page.picture("artifact")
        page.open(f"https://{HOST}/oauth2/sign_out")
        page.read(["Sign in to your account"])
        page.open(f"https://{HOST}/#/experiments/{run['experiment']}/runs/{run['run']}/artifacts")
        page.read(["Sign in to your account"])
        page.fill({"username": "mallory", "password": PASSWORD}, "kc-login")
        page.read([f"a member of one of these groups: {GROUP}"])
        page.picture("refused")
