"""The REST client against servers that misbehave."""
from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import pytest
from loopback import Answer, Authority, Server, cut_off, error, hang, reply

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError, Conflict, NotPermitted, Unreachable, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import rest
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import Connection, RestClient

OK = reply(200, {"fine": True})
S3_DENIED = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>'
PAGE = "<html><head><title>Oops</title><style>p {}</style></head><body><h1>Bad Gateway</h1></body></html>"


class Talk(Protocol):
    """Makes a server with these answers and a client of it."""

    def __call__(self, *answers: Answer, **settings: Any) -> tuple[RestClient, Server]: ...


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, which are not waited for."""
    taken: list[float] = []
    monkeypatch.setattr(rest, "time", SimpleNamespace(sleep=taken.append))
    return taken


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def talk(cleanup: ExitStack, pauses: list[float]) -> Talk:
    def make(*answers: Answer, tls: Any = None, uri: str = "", path: str = "", **settings: Any) -> tuple[RestClient, Server]:
        server = cleanup.enter_context(Server(list(answers)).running(tls))
        address = uri or f"{'https' if tls else 'http'}://127.0.0.1:{server.port}{path}"
        client = RestClient(Connection(**{"tracking_uri": address, "timeout": 10.0, **settings}))
        cleanup.callback(client.close)
        return client, server

    return make


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# What is sent


def test_requests_share_one_connection(talk: Talk) -> None:
    client, server = talk(OK)
    for _number in range(5):
        assert client.get("/api/x", name="a b&c") == {"fine": True}
    client.write("DELETE", "/api/x", {"key": "клю́ч"})
    assert server.connections == 1
    assert [request.target for request in server.requests] == ["/api/x?name=a+b%26c"] * 5 + ["/api/x"]
    assert server.requests[-1].method == "DELETE"
    assert server.requests[-1].body == {"key": "клю́ч"}
    assert server.requests[-1].headers["content-type"] == "application/json"


def test_a_closed_client_opens_another_connection(talk: Talk) -> None:
    client, server = talk(OK)
    client.get("/a")
    client.close()
    client.get("/b")
    assert server.connections == 2


@pytest.mark.parametrize("path", ["/mlflow", "/mlflow/", "/"])
def test_the_path_of_the_address_goes_before_every_path(talk: Talk, path: str) -> None:
    client, server = talk(OK, path=path)
    client.get("/api/x")
    assert server.requests[0].target == f"{path.rstrip('/')}/api/x"


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        ({}, None),
        ({"username": "ann", "password": "p:ä"}, "Basic " + base64.b64encode("ann:p:ä".encode()).decode()),
        ({"username": "ann"}, "Basic " + base64.b64encode(b"ann:").decode()),
        ({"username": "ann", "password": "p", "token": "t0"}, "Bearer t0"),
    ],
)
def test_credentials_are_sent(talk: Talk, settings: dict[str, str], header: str | None) -> None:
    client, server = talk(OK, **settings)
    client.get("/x")
    assert server.requests[0].headers.get("authorization") == header


@pytest.mark.parametrize(("answer", "accepts"), [(OK, True), (reply(401, "who are you?", "text/plain"), False)])
def test_credentials_of_another_are_tried_over_the_same_connection(talk: Talk, answer: Answer, accepts: bool) -> None:
    client, server = talk(OK, answer, OK, token="ours")
    client.get("/x")
    assert client.accepts("ann", "p:ä", "/users/get", username="ann") == accepts
    client.get("/x")
    assert server.requests[1].target == "/users/get?username=ann"
    theirs = "Basic " + base64.b64encode("ann:p:ä".encode()).decode()
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer ours", theirs, "Bearer ours"]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (error(404, "RESOURCE_DOES_NOT_EXIST", "User with username=ann not found"), ApiError, "User with username=ann not found"),
        (reply(200, "<html>log in</html>", "text/html"), Unreachable, "where MLflow answers JSON"),
        (reply(403, "not from here", "text/html"), NotPermitted, "is not permitted"),
    ],
)
def test_an_answer_that_tells_nothing_of_the_credentials_is_an_error(talk: Talk, answer: Answer, kind: type[Exception], message: str) -> None:
    client, _server = talk(answer)
    with pytest.raises(kind, match=message):
        client.accepts("ann", "p", "/users/get", username="ann")


# What is tried again


@pytest.mark.parametrize("fault", [cut_off, reply(429, "slow down", "text/plain"), reply(502, PAGE, "text/html"), reply(503, ""), reply(504, "")])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_idempotent_request_is_sent_again(talk: Talk, pauses: list[float], fault: Answer, method: str) -> None:
    client, server = talk(fault, fault, OK)
    answer = client.get("/x") if method == "GET" else client.write(method, "/x", {})
    assert answer == {"fine": True}
    assert len(server.requests) == 3
    assert pauses == sorted(set(pauses))
    assert len(pauses) == 2


def test_it_gives_up_after_its_retries(talk: Talk) -> None:
    client, server = talk(cut_off, retries=2)
    with pytest.raises(Unreachable, match=r"GET http://127.0.0.1:\d+/x got no answer in 3 tries: .+; check tracking_uri"):
        client.get("/x")
    assert len(server.requests) == 3


def test_a_busy_server_is_reported_with_its_last_answer(talk: Talk) -> None:
    client, server = talk(reply(502, PAGE, "text/html"), retries=2)
    with pytest.raises(Unreachable, match="answered 502 with text/html where MLflow answers JSON: 'Oops Bad Gateway'"):
        client.get("/x")
    assert len(server.requests) == 3


def test_other_server_errors_are_not_tried_again(talk: Talk) -> None:
    client, server = talk(error(500, "INTERNAL_ERROR"))
    with pytest.raises(ApiError, match=r"failed \(500 INTERNAL_ERROR\): because"):
        client.get("/x")
    assert len(server.requests) == 1


def test_a_write_that_could_happen_twice_is_sent_once_when_it_is_cut_off(talk: Talk) -> None:
    client, server = talk(cut_off)
    with pytest.raises(Conflict, match="POST .*/x was cut off"):
        client.write("POST", "/x", {}, idempotent=False)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_write_that_could_happen_twice_is_sent_once_when_a_gateway_fails(talk: Talk, status: int) -> None:
    client, server = talk(reply(status, PAGE, "text/html"))
    with pytest.raises(Conflict, match=f"answered {status}"):
        client.write("POST", "/x", {}, idempotent=False)
    assert len(server.requests) == 1


def test_a_write_that_could_happen_twice_is_looked_up_when_its_answer_is_broken(talk: Talk) -> None:
    client, server = talk(reply(200, '{"half": '))
    with pytest.raises(Conflict, match="invalid JSON"):
        client.write("POST", "/x", {}, idempotent=False)
    assert len(server.requests) == 1


def test_a_write_that_was_turned_away_is_sent_again(talk: Talk) -> None:
    client, server = talk(reply(429, ""), OK)
    assert client.write("POST", "/x", {}, idempotent=False) == {"fine": True}
    assert len(server.requests) == 2


def test_a_late_answer_times_out(talk: Talk) -> None:
    client, server = talk(hang, timeout=0.1, retries=1)
    with pytest.raises(Unreachable, match="in 2 tries: timed out"):
        client.get("/x")
    assert server.connections == 2


def test_an_answer_to_an_earlier_request_is_never_taken_for_this_one(talk: Talk) -> None:
    client, server = talk(hang, reply(200, {"second": True}), timeout=0.5, retries=1)
    assert client.get("/x") == {"second": True}
    assert [request.connection for request in server.requests] == [1, 2]


def test_a_connection_that_the_server_dropped_is_replaced(talk: Talk) -> None:
    client, server = talk(reply(200, {}, close=True), OK)
    client.get("/x")
    assert client.get("/x") == {"fine": True}
    assert server.connections == 2


def test_a_connection_that_the_server_says_it_closes_is_not_used_again(talk: Talk, pauses: list[float]) -> None:
    client, server = talk(reply(200, {}, close=True, Connection="close"), OK)
    client.get("/x")
    assert client.write("POST", "/x", {}, idempotent=False) == {"fine": True}
    assert server.connections == 2
    assert pauses == []


def test_a_write_on_a_closed_connection_has_not_happened_when_no_other_can_be_opened(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    client, _server = talk(reply(200, {}, close=True, Connection="close"), retries=0)
    client.get("/x")

    def refuse(*args: Any, **more: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(Unreachable):
        client.write("POST", "/x", {}, idempotent=False)


def test_nobody_listens(talk: Talk) -> None:
    client, _server = talk(OK, uri=f"http://127.0.0.1:{free_port()}", retries=0)
    with pytest.raises(Unreachable, match="in 1 tries: Connection refused; check tracking_uri"):
        client.write("POST", "/x", {}, idempotent=False)


def test_a_proxy_that_is_dead_is_named(talk: Talk) -> None:
    proxy = f"http://ann:secret@127.0.0.1:{free_port()}"
    for uri in ("http://mlflow.example.com", "https://mlflow.example.com"):
        client, _server = talk(OK, uri=uri, proxy=proxy, retries=0)
        with pytest.raises(Unreachable, match=r"Connection refused; it goes through the proxy 'http://127.0.0.1:\d+', which the environment names"):
            client.get("/x")


def test_tls_where_none_is_spoken(talk: Talk, pauses: list[float]) -> None:
    _client, server = talk(OK)
    client, _server = talk(OK, uri=f"https://127.0.0.1:{server.port}")
    with pytest.raises(Unreachable, match=r"^https://127.0.0.1:\d+: the server does not speak TLS there; give http:// in tracking_uri"):
        client.get("/x")
    assert pauses == []


def test_no_such_host(talk: Talk) -> None:
    client, _server = talk(OK, uri="http://mlflow.invalid", retries=0)
    with pytest.raises(Unreachable, match="the host name does not resolve"):
        client.get("/x")


@pytest.mark.parametrize(("uri", "address"), [("http://[::1]", ("::1", 80)), ("https://[::1]:8443", ("::1", 8443)), ("https://h", ("h", 443))])
def test_the_port_is_that_of_the_scheme(talk: Talk, monkeypatch: pytest.MonkeyPatch, uri: str, address: tuple[str, int]) -> None:
    tried: list[tuple[str, int]] = []

    def refuse(to: tuple[str, int], *args: Any, **more: Any) -> None:
        tried.append(to)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    client, _server = talk(OK, uri=uri, retries=0)
    with pytest.raises(Unreachable):
        client.get("/x")
    assert tried == [address]


# What answers mean


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (reply(200, PAGE, "text/html; charset=utf-8"), Unreachable, "answered 200 with text/html where MLflow answers JSON: 'Oops Bad Gateway'"),
        (reply(200, "", "text/plain"), Unreachable, "answered 200 with text/plain .*: an empty body"),
        (reply(200, '{"half": '), Unreachable, r"returned invalid JSON: '\{\"half\":'"),
        (reply(200, '["a list"]'), Unreachable, "answered 200 with application/json"),
        (reply(200, "x" * 500, "text/plain"), Unreachable, "x{200}…'"),
        (reply(302, "", "text/html", Location="http://login/"), Unreachable, r"was redirected \(302\).*without a login page"),
        (reply(401, "You are not authenticated.", "text/plain"), NotPermitted, r"refused the credentials \(401\); check tracking_username"),
        (error(401, "UNAUTHENTICATED"), NotPermitted, "refused the credentials"),
        (reply(403, "Invalid Host header", "text/plain"), NotPermitted, r"does not accept the host name '127.0.0.1:\d+' .*--allowed-hosts"),
        (reply(403, "Permission denied", "text/plain"), NotPermitted, r"not permitted with these credentials \(403\): 'Permission denied'"),
        (error(403, "PERMISSION_DENIED"), NotPermitted, r"not permitted with these credentials \(403\): because"),
        (reply(404, PAGE, "text/html"), Unsupported, r"does not exist on this server \(404\)"),
        (error(400, "RESOURCE_ALREADY_EXISTS"), Conflict, "because"),
        (error(409, "RESOURCE_CONFLICT"), Conflict, "because"),
        (error(409, "ABORTED"), Conflict, "because"),
        (error(400, "INVALID_PARAMETER_VALUE"), ApiError, r"failed \(400 INVALID_PARAMETER_VALUE\): because"),
        (error(404, "RESOURCE_DOES_NOT_EXIST"), Conflict, "because"),
        (reply(400, {"detail": "not MLflow's"}), Unreachable, "answered 400 with application/json"),
        (reply(403, S3_DENIED, "application/xml"), Unreachable, r"was answered by an S3 server \(403\); give the address of the tracking server"),
        (reply(200, "<ListAllMyBucketsResult/>", "text/xml"), Unreachable, r"was answered by an S3 server \(200\)"),
        (reply(400, "<h1>400</h1>The plain HTTP request was sent to HTTPS port", "text/html"), Unreachable, r"TLS is spoken there \(400\); give https://"),
        (reply(400, "Client sent an HTTP request to an HTTPS server.\n", "text/plain"), Unreachable, r"TLS is spoken there \(400\); give https://"),
    ],
)
def test_each_answer_has_one_meaning(talk: Talk, answer: Answer, kind: type[Exception], message: str) -> None:
    client, server = talk(answer)
    with pytest.raises(kind, match=rf"POST http://127.0.0.1:\d+/x.*{message}"):
        client.write("POST", "/x", {})
    assert len(server.requests) == 1


WITH_WORKSPACES = reply(200, {"workspaces_enabled": True})
NONE_THERE = "workspace: 'team-a' cannot be used, since .* has no workspaces; .*--enable-workspaces"


@pytest.mark.parametrize("answer", [reply(200, {"workspaces_enabled": False}), reply(404, PAGE, "text/html")])
def test_a_workspace_where_there_are_none(talk: Talk, answer: Answer) -> None:
    client, server = talk(answer, workspace="team-a")
    with pytest.raises(Unsupported, match=NONE_THERE):
        client.write("POST", "/x", {})
    assert [request.target for request in server.requests] == ["/api/3.0/mlflow/server-info"]


def test_a_workspace_is_named_where_it_matters(talk: Talk) -> None:
    client, server = talk(WITH_WORKSPACES, OK, workspace="team-a")
    client.get("/x")
    client.get("/api/3.0/mlflow/workspaces")
    client.write("POST", "/y", {})
    named = [(request.target, request.headers.get("x-mlflow-workspace")) for request in server.requests]
    assert named == [("/api/3.0/mlflow/server-info", None), ("/x", "team-a"), ("/api/3.0/mlflow/workspaces", None), ("/y", "team-a")]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_workspace_that_is_not_there(talk: Talk, method: str) -> None:
    client, _server = talk(WITH_WORKSPACES, error(404, "RESOURCE_DOES_NOT_EXIST", "Workspace 'team-a' not found"), workspace="team-a")
    with pytest.raises(Unsupported, match="workspace: 'team-a' does not exist on .*; create it with mlflow_workspace"):
        client.get_or_none("/x") if method == "GET" else client.write(method, "/x", {})


def test_the_workspace_that_one_is_about_to_make(talk: Talk) -> None:
    client, _server = talk(error(404, "RESOURCE_DOES_NOT_EXIST", "Workspace 'team-a' not found"), workspace="team-a")
    assert client.get_or_none("/api/3.0/mlflow/workspaces/team-a") is None


def test_another_workspace_of_the_same_server(talk: Talk) -> None:
    client, server = talk(WITH_WORKSPACES, OK)
    other = client.within("team-b")
    other.get("/x")
    other.close()
    client.get("/x")
    assert [request.headers.get("x-mlflow-workspace") for request in server.requests] == [None, "team-b", None]


def test_an_answer_without_content(talk: Talk) -> None:
    client, _server = talk(reply(204, "", "text/html"))
    assert client.write("DELETE", "/x", {}) == {}


def test_a_reading_of_what_is_not_there(talk: Talk) -> None:
    client, _server = talk(error(404, "RESOURCE_DOES_NOT_EXIST"))
    assert client.get_or_none("/x") is None
    with pytest.raises(ApiError, match=r"failed \(404 RESOURCE_DOES_NOT_EXIST\): because"):
        client.get("/x")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_listing_reads_every_page(talk: Talk, method: str) -> None:
    first = reply(200, {"things": [{"n": 1}, {"n": 2}], "next_page_token": "a b"})
    client, server = talk(first, reply(200, {"next_page_token": "c"}), reply(200, {}))
    assert list(client.listed("/x", "things", method, max_results=2)) == [{"n": 1}, {"n": 2}]
    if method == "GET":
        assert [request.target for request in server.requests] == [f"/x?max_results=2{more}" for more in ("", "&page_token=a+b", "&page_token=c")]
    else:
        tokens: tuple[dict[str, str], ...] = ({}, {"page_token": "a b"}, {"page_token": "c"})
        assert [request.body for request in server.requests] == [{"max_results": 2, **token} for token in tokens]


def test_a_listing_that_turns_in_a_circle_ends(talk: Talk) -> None:
    client, server = talk(reply(200, {"things": [{}], "next_page_token": "again"}))
    with pytest.raises(Unreachable, match="returned the same page twice"):
        list(client.listed("/x", "things"))
    assert len(server.requests) == 2


def test_an_error_keeps_its_status_and_code(talk: Talk) -> None:
    client, _server = talk(error(400, "INVALID_PARAMETER_VALUE"))
    with pytest.raises(ApiError) as raised:
        client.get("/x")
    assert (raised.value.status, raised.value.code) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("code", ["RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"])
def test_what_is_not_there_is_none(talk: Talk, code: str) -> None:
    client, _server = talk(error(404, code))
    assert client.get_or_none("/x", name="a") is None


def test_a_server_without_the_call_is_not_a_missing_resource(talk: Talk) -> None:
    client, _server = talk(reply(404, PAGE, "text/html"))
    with pytest.raises(Unsupported):
        client.get_or_none("/x")


def test_another_error_is_not_a_missing_resource(talk: Talk) -> None:
    client, _server = talk(error(500, "INTERNAL_ERROR"))
    with pytest.raises(ApiError):
        client.get_or_none("/x")


# The version


def test_a_new_server_will_do_and_is_asked_once(talk: Talk) -> None:
    client, server = talk(reply(200, "2.3.0", "text/plain"))
    client.require((2, 3, 0), "an alias")
    client.require((2, 3), "an alias")
    assert [request.target for request in server.requests] == ["/version"]


@pytest.mark.parametrize("version", ["2.2.9", "1.30.0", "2.2.0.dev0"])
def test_an_old_server_will_not_do(talk: Talk, version: str) -> None:
    client, _server = talk(reply(200, version, "text/plain"))
    with pytest.raises(Unsupported, match=rf"runs MLflow {version[:5]}.*, and an alias needs 2.3.0 or later; upgrade the server"):
        client.require((2, 3, 0), "an alias")


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (reply(200, PAGE, "text/html"), Unsupported, "returned no version: 'Oops Bad Gateway'"),
        (reply(401, "no", "text/plain"), NotPermitted, "refused the credentials"),
        (reply(302, "", Location="http://login/"), Unreachable, "was redirected"),
    ],
)
def test_a_server_that_tells_no_version(talk: Talk, answer: Answer, kind: type[Exception], message: str) -> None:
    client, _server = talk(answer)
    with pytest.raises(kind, match=message):
        client.require((2, 3, 0), "an alias")


# TLS


def test_a_certificate_of_an_unknown_authority_is_not_trusted(talk: Talk, authority: Authority) -> None:
    client, server = talk(OK, tls=authority.context("127.0.0.1"))
    with pytest.raises(Unreachable, match="certificate is not trusted: .*issuer.*; give the CA that signed it as ca_path"):
        client.get("/x")
    assert server.requests == []


def test_a_certificate_of_the_given_authority_is_trusted(talk: Talk, authority: Authority) -> None:
    client, server = talk(OK, tls=authority.context("127.0.0.1"), ca_path=str(authority.path))
    assert client.get("/x") == client.get("/x") == {"fine": True}
    assert server.connections == 1


def test_a_certificate_for_another_name_is_not_trusted(talk: Talk, authority: Authority) -> None:
    client, server = talk(OK, tls=authority.context("other.example"), ca_path=str(authority.path))
    with pytest.raises(Unreachable, match="certificate is not trusted: .*mismatch.*; give a name that it is for in tracking_uri"):
        client.get("/x")
    assert server.requests == []


def test_verification_can_be_turned_off(talk: Talk, authority: Authority) -> None:
    client, _server = talk(OK, tls=authority.context("other.example"), validate_certs=False)
    assert client.get("/x") == {"fine": True}


def test_a_client_certificate_is_shown(talk: Talk, authority: Authority) -> None:
    context, certificate = authority.context("127.0.0.1", clients=True), authority.issue("client", [])
    known, _server = talk(OK, tls=context, ca_path=str(authority.path), client_cert=str(certificate), client_key=str(certificate))
    assert known.get("/x") == {"fine": True}
    unknown, server = talk(OK, tls=context, ca_path=str(authority.path), retries=0)
    with pytest.raises(Unreachable, match="got no answer"):
        unknown.get("/x")
    assert server.requests == []


@pytest.mark.parametrize("option", ["ca_path", "client_cert"])
@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_a_file_that_is_no_certificate_is_named(talk: Talk, authority: Authority, tmp_path: Path, option: str, content: str | None) -> None:
    path = tmp_path / "some.pem"
    if content:
        path.write_text(content)
    client, server = talk(OK, tls=authority.context("127.0.0.1"), **{option: str(path)})
    with pytest.raises(Unreachable, match=f"^{option}: '{path}' cannot be"):
        client.get("/x")
    assert server.connections == 0


# Proxies


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_plain_http_goes_through_the_proxy_with_the_whole_address(talk: Talk, scheme: str) -> None:
    _direct, proxy = talk(OK)
    client, _server = talk(OK, uri="http://mlflow.invalid:5000/base", proxy=f"{scheme}127.0.0.1:{proxy.port}")
    assert client.get("/api/x", a="1") == client.get("/api/x", a="1") == {"fine": True}
    assert [request.target for request in proxy.requests] == ["http://mlflow.invalid:5000/base/api/x?a=1"] * 2
    assert proxy.requests[0].headers["host"] == "mlflow.invalid:5000"
    assert "proxy-authorization" not in proxy.requests[0].headers
    assert proxy.connections == 1


def test_https_goes_through_a_tunnel(talk: Talk, authority: Authority) -> None:
    _direct, proxy = talk(OK)
    client, server = talk(OK, tls=authority.context("127.0.0.1"), ca_path=str(authority.path), token="t0", proxy=f"http://127.0.0.1:{proxy.port}")
    assert client.get("/x") == client.get("/x") == {"fine": True}
    assert [(request.method, request.target) for request in proxy.requests] == [("CONNECT", f"127.0.0.1:{server.port}")]
    assert [request.target for request in server.requests] == ["/x", "/x"]
    assert "authorization" not in proxy.requests[0].headers


def test_the_proxy_gets_its_own_credentials_and_the_server_does_not(talk: Talk, authority: Authority) -> None:
    _direct, proxy = talk(OK)
    address = f"http://ann:p%40ss@127.0.0.1:{proxy.port}"
    header = "Basic " + base64.b64encode(b"ann:p@ss").decode()
    plain, _server = talk(OK, uri="http://mlflow.invalid", proxy=address)
    plain.get("/x")
    secure, server = talk(OK, tls=authority.context("127.0.0.1"), ca_path=str(authority.path), proxy=address)
    secure.get("/x")
    assert [request.headers.get("proxy-authorization") for request in proxy.requests] == [header, header]
    assert "proxy-authorization" not in server.requests[0].headers


@pytest.mark.parametrize("proxy", ["socks5://ann:secret@proxy:1080", "https://proxy", "http://proxy:port", "http://"])
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(proxy: str) -> None:
    with pytest.raises(Unreachable, match="the proxy configured in the environment, .* is not http://HOST:PORT") as raised:
        RestClient(Connection("http://mlflow", proxy=proxy))
    assert "secret" not in str(raised.value)


def test_a_proxy_that_refuses_is_reported(talk: Talk, authority: Authority) -> None:
    client, _server = talk(OK, tls=authority.context("127.0.0.1"), proxy=f"http://127.0.0.1:{free_port()}", retries=0)
    with pytest.raises(Unreachable, match="Connection refused"):
        client.get("/x")
