"""MLflow at a Gateway of Envoy Gateway, which itself asks for a login: the real controller and Envoy, built by tests/hosts, and a real Keycloak.

The provider, its users and their ways in are those of test_sso.py. The Gateway is called as homelab's.
"""
from __future__ import annotations

import json
import shlex
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import test_sso
from browser import Browser
from cluster import Cluster, CommandError
from envoy_gateway import ENVOY, GATEWAY, GATEWAYS, LOGIN, PORT, ROUTES, controller, gateway
from host_images import bring
from keycloak_server import PASSWORD, KeycloakServer
from login_realm import GROUP, SECRET, audience_mapper
from loopback import Authority
from meanwhile import meanwhile
from network import GATEWAY as MACHINE
from others import SECURITY, apply, thing
from parts import parts
from playbook import play, roles_playbook
from test_sso import API

# Not for what they break, but for the minutes that they take.
pytestmark = [pytest.mark.outage, pytest.mark.line("(homelab) access via the gateway envoy-internal")]
NAMESPACE, HOST, UNGUARDED, ECHO = "envoy-mlflow", "envoy.akko.local", "unguarded.akko.local", "echo.akko.local"
#: What Envoy ends a response after that has no other time-out, in seconds.
DEFAULT_TIMEOUT = 15
WHO = "/2.0/mlflow/users/current"
#: How long the tokens of a session are valid, so short that a test can see them end.
LIFE = 20
#: How long Envoy takes a token after its end, in seconds.
SKEW = 60
#: Tells which headers it got.
PROGRAM = """
import http.server, json
class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", 8080), Echo).serve_forever()
"""


@dataclass
class Guarded(test_sso.Behind):
    """The deployment behind the login, which is reached through the Gateway."""

    port: str = ""
    authority: str = ""
    #: The statuses that a caller without a login got while it was deployed.
    seen: set[int] = field(default_factory=set)

    def browser(self) -> Browser:
        """A browser without a session."""
        context = ssl.create_default_context(cadata=self.authority + self.keycloak.place.authority)
        at = f"{self.cluster.address}:{self.port}"
        return Browser({HOST: at, ECHO: at, UNGUARDED: at, LOGIN: MACHINE}, context)

    def curl(self, path: str, *words: str, host: str = HOST) -> subprocess.CompletedProcess[str]:
        """What curl of this machine gets by a name of the Gateway's, with the token of a service account."""
        (self.folder / "gateway.crt").write_text(self.authority)
        there = ["--connect-to", f"{host}:443:{self.cluster.address}:{self.port}", "--cacert", str(self.folder / "gateway.crt")]
        token = f"Authorization: Bearer {self.keycloak.token('training', SECRET)}"
        command = ["curl", "--silent", "--show-error", "--fail-with-body", *there, "--header", "@-", *words, f"https://{host}{path}"]
        return subprocess.run(command, input=token, capture_output=True, text=True, check=False, timeout=300)

    def watch(self) -> None:
        """Ask without a login, once."""
        try:
            self.seen.add(self.get(API).status)
        except OSError:
            time.sleep(0.1)


@pytest.fixture(scope="module")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeycloakServer]:
    """The provider of this server."""
    with test_sso.provider(tmp_path_factory.mktemp("keycloak"), HOST, PORT, LOGIN) as server:
        # Where a browser may go after a logout, and for whom access tokens are: what docs/single-sign-on.md says that it needs besides.
        [client] = server.admin("GET", "/akko/clients?clientId=mlflow")
        client["attributes"] |= {"post.logout.redirect.uris": f"https://{HOST}/*", "access.token.lifespan": str(LIFE)}
        server.admin("PUT", f"/akko/clients/{client['id']}", client)
        server.admin("POST", f"/akko/clients/{client['id']}/protocol-mappers/models", audience_mapper("mlflow"))
        yield server


@pytest.fixture(scope="module")
def guarded(cluster: Cluster, keycloak: KeycloakServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The controller, the Gateway, and a server that is attached to it with the lines of docs/single-sign-on.md."""
    folder = tmp_path_factory.mktemp("envoy")
    (folder / "authority").mkdir()
    authority = Authority(folder / "authority")
    both = authority.issue("gateway", [HOST, ECHO, UNGUARDED]).read_text()
    certificate, begin, key = both.partition("-----BEGIN PRIVATE KEY-----")
    ca = authority.path.read_text().partition("-----BEGIN PRIVATE KEY-----")[0]
    server = cluster.kubectl("get", "deployment", cluster.name, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
    definitions = (parts.part("envoy-gateway-crds") / "envoy-gateway-crds.yaml").read_text()
    ours, kubectl = f"k3s kubectl --namespace {GATEWAYS}", "k3s kubectl"
    try:
        images_of = bring(cluster, "envoy-gateway", "envoy")
        cluster.run(f"{kubectl} apply --server-side --filename -", stdin=definitions)
        apply(cluster, controller(images_of[0]))
        cluster.run(f"{ours} wait job certgen --for=condition=Complete --timeout=120s", timeout=130)
        cluster.run(f"{ours} rollout status deployment envoy-gateway --timeout=180s", timeout=190)
        apply(cluster, gateway(images_of[1], certificate, begin + key))
        cluster.run(f"{ours} wait gateway {GATEWAY['name']} --for=condition=Programmed --timeout=240s", timeout=250)
        labels = f"gateway.envoyproxy.io/owning-gateway-name={GATEWAY['name']}"
        found = cluster.run(f"{ours} get service --selector {labels} -o 'jsonpath={{.items[0].spec.clusterIP}} {{.items[0].spec.ports[0].nodePort}}'")
        address, port = found.split()
        variables: dict[str, Any] = {
            **test_sso.VARIABLES, "kubernetes_namespace": NAMESPACE, "mlflow_server_host": HOST, "mlflow_server_image": server,
            "sso_provider": "envoy_gateway", "sso_issuer_url": keycloak.issuer, "sso_client_id": "mlflow", "sso_client_secret": SECRET,
            "sso_issuer_ca": keycloak.place.authority, "sso_allowed_groups": [GROUP],
            "mlflow_server_gateways": [GATEWAY], "mlflow_server_ingress_namespace": GATEWAYS, "mlflow_server_ingress_pods": {},
            "mlflow_verify_public_address": address, "mlflow_verify_public_ca": ca,
        }  # fmt: skip
        made = Guarded(cluster.apart(variables), keycloak, folder, variables, port, ca)
        made.predicted = made.run(["--check"])
        with meanwhile(made.watch):
            made.happened = made.run()
        assert made.happened.status == 0, made.happened.output
        yield made
        removed = play("mlops.mlflow.remove", {**variables, "remove_confirmed": "yes"})
        assert removed.status == 0, removed.output
    finally:
        cluster.delete_namespace(NAMESPACE)
        cluster.run(f"{ours} delete gateway --all --ignore-not-found --timeout=60s || true")
        cluster.delete_namespace(GATEWAYS)
        cluster.run(f"{kubectl} delete clusterrolebinding,gatewayclass {GATEWAYS} {GATEWAYS}-foreign --ignore-not-found")
        cluster.run(f"{kubectl} delete --ignore-not-found --wait=false --filename -", stdin=definitions)


def conditions(answers: list[dict[str, Any]]) -> dict[str, str]:
    """The conditions of what a Gateway's controller says."""
    return {each["type"]: each["status"] for answer in answers for each in answer["conditions"]}


def test_check_mode_predicts_it_and_a_second_run_changes_nothing(guarded: Guarded) -> None:
    """Task by task; the HTTPRoute and both policies are accepted by the controller, and there is no Ingress."""
    assert guarded.predicted.status == 0, guarded.predicted.output
    assert guarded.predicted.changes == guarded.happened.changes != []
    again = guarded.run()
    assert (again.status, again.changed) == (0, 0), again.output
    name = guarded.cluster.name
    said = conditions(guarded.cluster.get("httproute", name)["status"]["parents"])
    assert said.items() >= {"Accepted": "True", "ResolvedRefs": "True"}.items()
    for kind in ("securitypolicy", "backendtrafficpolicy"):
        assert conditions(guarded.cluster.get(kind, f"{name}-login")["status"]["ancestors"]).get("Accepted") == "True"
    assert guarded.cluster.get("ingress") == []


def test_it_verifies_itself_through_the_gateway(guarded: Guarded) -> None:
    """Its certificate holds, and a caller without a token and one with a foreign host name are refused."""
    run = play(roles_playbook(guarded.folder, (*test_sso.ROLES, "mlflow_verify")), guarded.variables)
    assert run.status == 0, run.output


def test_nobody_was_let_in_while_it_was_deployed(guarded: Guarded) -> None:
    """From before there was a route until it served, a caller without a token was never answered by MLflow."""
    assert 401 in guarded.seen
    assert 200 not in guarded.seen


def test_a_browser_logs_in_and_out(guarded: Guarded) -> None:
    """302 to Keycloak, and back to the page that was asked for with a session, which a logout ends here and there."""
    first = guarded.get("/", {"Accept": "text/html"})
    assert first.leads_to.startswith(f"{guarded.keycloak.issuer}/protocol/openid-connect/auth?")
    assert "code_challenge_method=S256" in first.leads_to
    browser, page = guarded.log_in("alice", "/?from=here")
    assert (page.status, page.url) == (200, f"{guarded.url}/?from=here")
    assert "<title>MLflow</title>" in page.body
    assert "experiments" in json.loads(browser.open(f"{guarded.url}{API.replace('/api/', '/ajax-api/')}").body)
    assert all(cookie.secure and cookie.has_nonstandard_attr("HttpOnly") for cookie in browser.cookies if cookie.domain == HOST)
    browser.visit(f"{guarded.url}/oauth2/sign_out")
    assert 'name="password"' in browser.visit(f"{guarded.url}/").body
    assert guarded.keycloak.sessions("alice") == 0


def test_a_session_is_renewed_behind_the_browsers_back(guarded: Guarded) -> None:
    """When its tokens have ended, the next request gets new ones, and the page that it asked for."""
    browser, _page = guarded.log_in("alice")
    time.sleep(LIFE + 2)
    renewed = browser.open(f"{guarded.url}/")
    assert renewed.status == 200
    assert {"__Host-mlflow-id-token", "__Host-mlflow-access-token"} <= renewed.cookies
    assert browser.open(f"{guarded.url}/").status == 200


def test_somebody_outside_of_the_group_is_refused(guarded: Guarded) -> None:
    """403 for a person who has logged in and for a program, each with the groups."""
    for refused in (guarded.log_in("mallory")[1], guarded.with_token(guarded.keycloak.token("outsider", SECRET))):
        assert refused.status == 403
        assert GROUP in json.loads(refused.body)["message"]


@pytest.mark.parametrize("which", [each for each in test_sso.TOKENS if each not in ("expired", "another audience")])
def test_a_program_needs_a_good_token(guarded: Guarded, which: str) -> None:
    """401 with words that help, also for a bad token beside headers that name somebody."""
    assert guarded.with_token(guarded.keycloak.token("training", SECRET)).status == 200
    refused = guarded.with_token(test_sso.TOKENS[which](guarded.keycloak), **{"X-Auth-Request-User": "alice", "X-Forwarded-Uri": "/ping"})
    said = json.loads(refused.body)
    assert (refused.status, said["error_code"]) == (401, "UNAUTHENTICATED")
    assert f"an access token that has not expired, of {guarded.keycloak.issuer}, for the audience mlflow" in said["message"]


def test_a_token_of_another_audience_is_refused(guarded: Guarded) -> None:
    """403 with the audience: Envoy counts it as known and not let in."""
    refused = guarded.with_token(guarded.keycloak.token("elsewhere", SECRET))
    assert refused.status == 403
    assert "must be for the audience mlflow" in json.loads(refused.body)["message"]


def test_a_token_ends_a_minute_after_its_time(guarded: Guarded) -> None:
    """Envoy allows for clocks that differ by so much, and for no more."""
    token = guarded.keycloak.token("short", SECRET)
    assert guarded.with_token(token).status == 200
    time.sleep(SKEW + 5)
    assert guarded.with_token(token).status == 401


@pytest.mark.parametrize("headers", [
    {}, {"X-Auth-Request-User": "alice"}, {"X-Forwarded-User": "alice", "X-Forwarded-Groups": GROUP}, {"X-Forwarded-Uri": "/oauth2/callback"},
    {"X-Envoy-Original-Path": "/ping"}, {"X-Forwarded-For": "127.0.0.1"}, {"Cookie": "__Host-mlflow-id-token=forged"},
    {"Authorization": "Basic eDp5"}, {"Authorization": "bearer"}, {"Authorization": "Bearer "},
], ids=",".join)
def test_a_forged_header_opens_nothing(guarded: Guarded, headers: dict[str, str]) -> None:
    """401 for a program, and never MLflow's page for a browser."""
    assert guarded.get(API, headers).status == 401
    page = guarded.get("/", {"Accept": "text/html", **headers})
    assert page.status in (302, 401)


@pytest.mark.parametrize("path", [
    "/oauth2/../api/2.0/mlflow/experiments/search?max_results=1", f"/oauth2{API}", f"//{API}", f"/OAuth2/..{API}",
    "/oauth2/%2e%2e/api/2.0/mlflow/experiments/search?max_results=1", "/oauth2/..%2fapi/2.0/mlflow/experiments/search",
    "/oauth2/callback", "/oauth2/callback?code=a&state=b", "/static-files/x.js", "/health",
])
def test_no_path_leads_around_it(guarded: Guarded, path: str) -> None:
    """The login's own paths are not a way to MLflow's."""
    answer = guarded.get(path)
    assert answer.status in (301, 302, 400, 401, 403, 404, 307), answer
    assert "experiments" not in answer.body


@pytest.fixture(scope="module")
def echo(guarded: Guarded) -> Iterator[Guarded]:
    """Another server behind the same policies and the same filters, which tells what reaches it, and MLflow by a route without any."""
    cluster, name = guarded.cluster, guarded.cluster.name
    image = cluster.get("deployment", name)["spec"]["template"]["spec"]["containers"][0]["image"]
    container = {"name": "echo", "image": image, "command": ["python3", "-c", PROGRAM], "securityContext": {**SECURITY, "runAsUser": 10001}}
    route, policy = cluster.get("httproute", name)["spec"], cluster.get("securitypolicy", f"{name}-login")["spec"]
    [rule] = route["rules"]
    echoed = {**route, "hostnames": [ECHO], "rules": [{**rule, "backendRefs": [{"name": "echo", "port": 8080}]}]}
    rewrite = {"type": "URLRewrite", "urlRewrite": {"hostname": HOST}}
    plain = {**route, "hostnames": [UNGUARDED], "rules": [{"backendRefs": rule["backendRefs"], "filters": [rewrite]}]}
    policy["targetRefs"][0]["name"] = "echo"
    policy["oidc"]["redirectURL"] = f"https://{ECHO}/oauth2/callback"
    names = {"app": "echo"}
    apply(cluster, [
        thing("Pod", "echo", NAMESPACE, labels=names, spec={"containers": [container]}),
        thing("Service", "echo", NAMESPACE, spec={"selector": names, "ports": [{"port": 8080}]}),
        thing("SecurityPolicy", "echo", NAMESPACE, ENVOY, spec=policy), thing("HTTPRoute", "echo", NAMESPACE, ROUTES, spec=echoed),
        thing("HTTPRoute", "plain", NAMESPACE, ROUTES, spec=plain),
    ])  # fmt: skip
    [client] = guarded.keycloak.admin("GET", "/akko/clients?clientId=mlflow")
    client["redirectUris"].append(f"https://{ECHO}/oauth2/callback")
    guarded.keycloak.admin("PUT", f"/akko/clients/{client['id']}", client)
    cluster.kubectl("wait", "pod", "echo", "--for=condition=Ready", "--timeout=60s")
    for host in (ECHO, UNGUARDED):
        until(lambda host=host: guarded.curl(API, host=host).returncode == 0)
    yield guarded
    cluster.kubectl("delete", "httproute", "echo", "plain")
    cluster.kubectl("delete", "securitypolicy,pod,service", "echo", "--wait=false")


def until(holds: Any, seconds: float = 60) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(1)


def until_status(wanted: int, status: Callable[[], int], seconds: float = 180) -> None:
    """Wait until requests are answered with that status."""
    deadline = time.monotonic() + seconds
    while (seen := status()) != wanted:
        assert time.monotonic() < deadline, f"it is still {seen}, not {wanted}"
        time.sleep(1)


def test_nothing_that_names_somebody_reaches_the_server(echo: Guarded) -> None:
    """Neither headers of the client's, nor the token, nor a cookie: of a program, and of a browser with a session."""
    forged = {name: "alice" for name in ("X-Forwarded-User", "X-Forwarded-Groups", "X-Auth-Request-User", "X-Auth-Request-Groups",
                                         "X-Auth-Request-Access-Token")}
    words = [word for name, value in forged.items() for word in ("--header", f"{name}: {value}")]
    program = json.loads(echo.curl(API, *words, "--header", "Cookie: a=b", "--header", "X-Own: kept", host=ECHO).stdout)
    browser = echo.browser()
    form = browser.visit(f"https://{ECHO}/page")
    page = browser.submit(form, {"username": "alice", "password": PASSWORD})
    assert (page.status, page.url) == (200, f"https://{ECHO}/page")
    seen = json.loads(browser.open(f"https://{ECHO}/page", headers=forged).body)
    assert program["x-own"] == "kept"
    for got in (program, seen):
        assert not {name.lower() for name in forged} & got.keys()
        assert not {"authorization", "cookie"} & got.keys()
        assert "alice" not in json.dumps(got)


def test_transfers_take_longer_than_envoys_own_limit(echo: Guarded) -> None:
    """An upload and a download of more than fifteen seconds pass; by a route without our time-outs, the same download is cut."""
    # More than what is in flight: the rest is still to be sent when the time is over.
    key, size = f"story-{time.time_ns()}/model.bin", 40 * 1024 * 1024
    sent = echo.folder / "sent"
    sent.write_bytes(bytes(range(256)) * (size // 256))
    path, slowly = f"/api/2.0/mlflow-artifacts/artifacts/{key}", ["--http1.1", "--limit-rate", "1M"]
    began = time.monotonic()
    up = echo.curl(path, *slowly, "--upload-file", str(sent))
    assert up.returncode == 0, up
    assert time.monotonic() - began > DEFAULT_TIMEOUT + 5
    began, got = time.monotonic(), echo.folder / "got"
    down = echo.curl(path, *slowly, "--output", str(got))
    assert down.returncode == 0, down
    assert time.monotonic() - began > DEFAULT_TIMEOUT + 5
    assert got.read_bytes() == sent.read_bytes()
    cut = echo.curl(path, *slowly, "--output", str(got), host=UNGUARDED)
    assert cut.returncode != 0, cut
    assert got.stat().st_size < size


def test_nothing_is_lost_and_nobody_gets_in_when_envoy_is_killed(guarded: Guarded) -> None:
    """Each upload that was acknowledged is there once another Envoy answers, and whoever has no login has got nothing in between."""
    ours, path = f"k3s kubectl --namespace {GATEWAYS}", f"/api/2.0/mlflow-artifacts/artifacts/killed-{time.time_ns()}"
    pods = f"--selector gateway.envoyproxy.io/owning-gateway-name={GATEWAY['name']}"
    (content := guarded.folder / "content").write_bytes(b"acknowledged" * 100_000)
    kept, refused = [], 0
    guarded.seen.clear()
    with meanwhile(guarded.watch):
        for number in range(30):
            if number == 10:
                guarded.cluster.run(f"{ours} delete pods {pods} --force --grace-period=0 --wait=false")
            # A whole minute of an Envoy that is away is too much, and the client gives up.
            for _try in range(60):
                if guarded.curl(f"{path}/{number}", "--upload-file", str(content)).returncode == 0:
                    kept.append(number)
                    break
                refused += 1
                time.sleep(1)
    print(f"{refused} uploads were refused and tried again; without a login: {guarded.seen}")
    assert kept == list(range(30))
    assert [number for number in kept if guarded.curl(f"{path}/{number}").stdout != content.read_text()] == []
    assert 401 in guarded.seen
    assert not [status for status in guarded.seen if 200 <= status < 400]


def test_a_gateway_of_another_controller_is_refused(guarded: Guarded) -> None:
    """It would take no notice of the policies: one sentence, before anything is changed."""
    before = guarded.cluster.get("httproute", guarded.cluster.name)["spec"]
    refused = guarded.run(mlflow_server_gateways=[{"name": "foreign", "namespace": GATEWAYS}])
    assert refused.status != 0
    assert [f"Gateway {GATEWAYS}/foreign is of the class {GATEWAYS}-foreign, whose controller is traefik.io/gateway-controller" in message
            for _host, message in refused.failures] == [True]
    assert guarded.cluster.get("httproute", guarded.cluster.name)["spec"] == before


def test_a_policy_that_does_not_hold_closes_the_door_and_is_named(guarded: Guarded) -> None:
    """Without its client's secret, Envoy Gateway answers 500 to a good token, and 401 to none; the next run makes it good again."""
    name = f"{guarded.cluster.name}-login"
    guarded.cluster.kubectl("patch", "secret", name, "--type=json", "--patch", '[{"op": "remove", "path": "/data/client-secret"}]')
    until_status(500, lambda: guarded.with_token(guarded.keycloak.token("training", SECRET)).status)
    assert guarded.get(API).status in (401, 500)
    again = guarded.run()
    assert again.status == 0, again.output
    until_status(200, lambda: guarded.with_token(guarded.keycloak.token("training", SECRET)).status)


def test_mlflow_knows_who_has_logged_in(guarded: Guarded) -> None:
    """With mlflow_server_auth: jwt, it gets the token of the session, or the program's, and nobody's that was made up beside it."""
    keys = f"{guarded.keycloak.address}/realms/akko/protocol/openid-connect/certs"
    issuer = {"issuer": guarded.keycloak.issuer, "jwks_url": keys, "audience": "mlflow", "ca": guarded.keycloak.place.authority}
    run = guarded.run(sso_forward_token=True, mlflow_server_auth="jwt", mlflow_server_jwt_issuers=[issuer])
    assert run.status == 0, run.output
    until(lambda: guarded.get(f"/api{WHO}").status == 401)
    browser, page = guarded.log_in("alice")
    assert page.status == 200
    assert json.loads(browser.open(f"{guarded.url}/ajax-api{WHO}").body)["user"]["username"] == "alice"
    answer = guarded.get(f"/api{WHO}", {"Authorization": f"Bearer {guarded.keycloak.token('training', SECRET)}"})
    assert json.loads(answer.body)["user"]["username"] == "service-account-training"
    for which in ("tampered", "another audience", "alg none", "no token"):
        headers = {"Authorization": f"Bearer {test_sso.TOKENS[which](guarded.keycloak)}", "X-Forwarded-User": "admin"}
        assert browser.open(f"{guarded.url}/ajax-api{WHO}", headers=headers).status in (401, 403)
    as_password = browser.open(f"{guarded.url}/ajax-api{WHO}", headers={"Authorization": "Basic YWRtaW46cGFzc3dvcmQ="})
    assert json.loads(as_password.body)["user"]["username"] == "alice"


def test_without_the_login_its_policies_are_gone_after_the_route_is_another(guarded: Guarded) -> None:
    """MLflow's own passwords in its place: what was there for the login is removed, and nobody gets in without one."""
    run = guarded.run(sso_provider="none", mlflow_server_auth="basic")
    assert run.status == 0, run.output
    for kind in ("securitypolicy", "backendtrafficpolicy", "backend.gateway.envoyproxy.io"):
        assert f"{guarded.cluster.name}-login" not in {each["metadata"]["name"] for each in guarded.cluster.get(kind)}
    with pytest.raises(CommandError, match="NotFound"):
        guarded.cluster.kubectl("get", "secret", f"{guarded.cluster.name}-login")
    until(lambda: "WWW-Authenticate" in guarded.get(API).headers)
    assert guarded.get(API).status == 401
    assert shlex.quote(HOST) in json.dumps(guarded.cluster.get("httproute", guarded.cluster.name)["spec"]["hostnames"])
