"""mlflow_webhook and mlflow_webhook_info against a real MLflow."""
from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import loopback
import pytest
from cryptography.fernet import Fernet
from harness import ModuleRunner, Stack, Table, WriteGuard, twelve_steps
from tracking_servers import Flavour, Server, Servers

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient

MODULE = "mlflow_webhook"
WEBHOOKS = "/api/2.0/mlflow/webhooks"
#: A public address, which MLflow takes without looking a name up, and to which it delivers nothing unless a model changes.
URL = "https://192.0.0.9/hook"
EVENT = {"entity": "PROMPT", "action": "CREATED"}


def remove_all(client: RestClient) -> None:
    for entry in list(client.listed(WEBHOOKS, "webhooks")):
        if entry["name"].startswith("test."):
            client.write("DELETE", f"{WEBHOOKS}/{entry['webhook_id']}", {})


@pytest.fixture
def client(server: RestClient) -> Iterator[RestClient]:
    """Does by hand what a test needs, and removes what the test left."""
    yield server
    remove_all(server)


@pytest.fixture
def lenient(servers: Servers) -> Iterator[Server]:
    """A server without authentication that delivers to loopback."""
    server = servers(Flavour("3.17.2", "sqlite"))
    yield server
    with closing(server.client()) as client:
        remove_all(client)


def test_twelve_steps(run: ModuleRunner, stack: Stack, client: RestClient) -> None:
    table = Table(
        module=MODULE,
        create={"name": "test.twelve", "url": URL, "events": ["prompt_tag.set", "model_version.created"], "description": "d", "secret": "s3cr3t"},
        change={"name": "test.twelve", "url": f"{URL}/2", "events": ["prompt.created"], "description": "", "status": "DISABLED", "secret": "s3cr3t"},
        delete={"name": "test.twelve", "state": "absent"},
        result="webhook",
    )
    with WriteGuard(stack.tracking_uri).running() as guard:
        twelve_steps(run, table, {"MLFLOW_TRACKING_URI": guard.uri}, lambda: guard.writes)


@pytest.mark.parametrize("name", ["test.A_b-9", "test." + "n" * 58])
def test_names(run: ModuleRunner, client: RestClient, name: str) -> None:
    args = {"name": name, "url": f"{URL}?a=%20&b='\"", "events": ["prompt.created"], "description": "имя 模型 🤖 ' \" % $(x)"}
    made = run.succeed(MODULE, **args)
    again = run.succeed(MODULE, **args)
    assert (made["changed"], again["changed"]) == (True, False)
    assert {key: again["webhook"][key] for key in args} == args
    assert run.succeed(f"{MODULE}_info", name=name)["webhooks"] == [again["webhook"]]


def test_what_is_not_given_stays_and_the_order_of_events_is_none(run: ModuleRunner, client: RestClient) -> None:
    args = {"name": "test.stays", "url": URL, "events": ["prompt.created", "prompt_tag.set"], "description": "d", "status": "DISABLED"}
    made = run.succeed(MODULE, **args)["webhook"]
    again = run.succeed(MODULE, name="test.stays", events=["prompt_tag.set", "prompt.created", "prompt.created"])
    assert (again["changed"], again["webhook"]) == (False, made)
    changed = run.succeed(MODULE, name="test.stays", status="ACTIVE")
    assert changed["actions"] == ["update webhook test.stays status"]
    assert {**made, "status": "ACTIVE", "last_updated_timestamp": 0} == {**changed["webhook"], "last_updated_timestamp": 0}


def test_a_new_one_needs_an_address_and_events(run: ModuleRunner, client: RestClient) -> None:
    for check in (False, True):
        assert "name: 'test.new' does not exist yet; give url" in run.fail(MODULE, name="test.new", check=check)
        assert "give events" in run.fail(MODULE, name="test.new", url=URL, check=check)


def test_a_wrong_event_is_said_before_the_server_fails_on_it(run: ModuleRunner, client: RestClient) -> None:
    message = run.fail(MODULE, name="test.event", url=URL, events=["prompt.eaten"])
    assert message.startswith("events: 'prompt.eaten' is not an MLflow event; use registered_model.created, ")


def test_several_of_one_name(run: ModuleRunner, client: RestClient) -> None:
    numbers = []
    for _copy in range(2):
        body = {"name": "test.twin", "url": URL, "events": [EVENT]}
        numbers.append(client.write("POST", WEBHOOKS, body, idempotent=False)["webhook"]["webhook_id"])
    for check in (False, True):
        message = run.fail(MODULE, name="test.twin", status="DISABLED", check=check)
        assert message.startswith(f"2 webhooks are named 'test.twin' ({', '.join(sorted(numbers))}); remove them all with state: absent")
    found = run.succeed(f"{MODULE}_info", name="test.twin")["webhooks"]
    assert [(entry["webhook_id"], entry["namesakes"]) for entry in found] == [(numbers[0], [numbers[1]]), (numbers[1], [numbers[0]])]
    assert run.succeed(MODULE, name="test.twin", state="absent")["actions"] == ["delete webhook test.twin"]
    assert run.succeed(f"{MODULE}_info", name="test.twin")["webhooks"] == []


def test_writers_at_once_make_one(run: ModuleRunner, client: RestClient) -> None:
    results: list[dict[str, Any]] = []
    declarations: list[dict[str, Any]] = []
    hook = {"name": "test.race", "url": URL, "events": ["prompt.created"]}

    def write() -> None:
        results.append(run(MODULE, hook))

    def declare() -> None:
        declarations.append(run("mlflow_resources", {"webhooks": [hook]}))

    threads = [threading.Thread(target=target) for target in (write, write, write, declare)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.get("failed") for result in results + declarations] == [None] * 4, results + declarations
    (only,) = run.succeed(f"{MODULE}_info", name="test.race")["webhooks"]
    assert {result["webhook"]["webhook_id"] for result in results} == {only["webhook_id"]}


def signature(request: loopback.Request, secret: str) -> str:
    """What MLflow's documentation says of the header: an HMAC of id, time and body."""
    signed = f"{request.headers['x-mlflow-delivery-id']}.{request.headers['x-mlflow-timestamp']}.{json.dumps(request.body)}"
    return "v1," + base64.b64encode(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()).decode()


def test_the_secret_and_the_test_delivery(lenient: Server) -> None:
    with loopback.Server([loopback.reply(200, "thanks", "text/plain")]).running() as receiver:
        base = {"name": "test.secret", "url": f"http://127.0.0.1:{receiver.port}/hook", "events": ["prompt_tag.set", "prompt.created"], "test": True}

        def write(check: bool = False, **more: Any) -> dict[str, Any]:
            result = lenient.run(MODULE, {**base, **more}, check)
            assert not result.get("failed"), result
            assert not any(secret in result["_output"] for secret in ("opensesame1", "opensesame2"))
            return result

        made = write(secret="opensesame1")
        assert made["test_delivery"] == {"event": "prompt.created", "status": 200, "body": "thanks"}
        assert receiver.requests[-1].headers["x-mlflow-signature"] == signature(receiver.requests[-1], "opensesame1")
        assert (receiver.requests[-1].body["entity"], receiver.requests[-1].body["action"]) == ("prompt", "created")

        assert not write(secret="opensesame2")["changed"]
        assert receiver.requests[-1].headers["x-mlflow-signature"] == signature(receiver.requests[-1], "opensesame1")

        sent = len(receiver.requests)
        predicted = write(check=True, secret="opensesame2", update_secret="always")
        assert len(receiver.requests) == sent
        assert "test_delivery" not in predicted
        for _run in range(2):
            real = write(secret="opensesame2", update_secret="always")
            assert real["changed"]
            assert real["actions"] == predicted["actions"] == ["update webhook test.secret secret"]
        assert receiver.requests[-1].headers["x-mlflow-signature"] == signature(receiver.requests[-1], "opensesame2")

        write(secret="", update_secret="always")
        assert "x-mlflow-signature" not in receiver.requests[-1].headers


def test_a_delivery_that_is_not_taken(lenient: Server) -> None:
    with loopback.Server([loopback.reply(404, "nobody here", "text/plain")]).running() as receiver:
        url = f"http://127.0.0.1:{receiver.port}/hook"
        message = lenient.run.fail(MODULE, name="test.refused", url=url, events=["prompt.created"], test=True)
    assert message.startswith(f"test: webhook 'test.refused' is in place, but '{url}' did not accept a delivery: 404 'nobody here'; check")
    with loopback.Server([loopback.hang]).running() as receiver:
        message = lenient.run.fail(MODULE, name="test.refused", url=f"http://127.0.0.1:{receiver.port}/hook", test=True, timeout=5)
    assert message.startswith("test: webhook 'test.refused' is in place, but its delivery did not finish in time: ")
    assert message.endswith("raise timeout")


@pytest.fixture(scope="module")
def own(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> tuple[Server, Path]:
    """A server that delivers as MLflow does by default, and its database."""
    database = tmp_path_factory.mktemp("own") / "mlflow.db"
    settings = {
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{database}",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "false",
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "https",
    }
    return servers(Flavour("3.17.2", "sqlite", env=tuple(settings.items()))), database


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://127.0.0.1/hook", "'127.0.0.1' resolves to 127.0.0.1, which is not a public address; .*MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true"),
        ("http://192.0.0.9/hook", "MLflow delivers only to https; .*MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https"),
        ("https://nowhere.invalid/hook", "the server cannot resolve its host name; "),
    ],
)
def test_an_address_that_mlflow_does_not_deliver_to(own: tuple[Server, Path], url: str, problem: str) -> None:
    message = own[0].run.fail(MODULE, name="test.private", url=url, events=["prompt.created"])
    assert re.match(re.escape(f"url: '{url}' is refused by the server: ") + problem, message), message
    own[0].run.succeed(MODULE, name="test.moved", url=URL, events=["prompt.created"])
    assert own[0].run.fail(MODULE, name="test.moved", url=url) == message


def test_a_secret_of_another_key(own: tuple[Server, Path]) -> None:
    server, database = own
    made = server.run.succeed(MODULE, name="test.key", url=URL, events=["prompt.created"], secret="s3cr3t")["webhook"]
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        (stored,) = connection.execute("SELECT secret FROM webhooks WHERE webhook_id = ?", [made["webhook_id"]]).fetchone()
        other = Fernet(Fernet.generate_key()).encrypt(b"s3cr3t").decode()
        connection.execute("UPDATE webhooks SET secret = ? WHERE webhook_id = ?", [other, made["webhook_id"]])
    for module in (MODULE, f"{MODULE}_info"):
        message = server.run.fail(module, name="test.other")
        assert message.startswith("webhooks cannot be read, since the server cannot decrypt the secret of one of them (500); start all its processes")
        assert "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY" in message
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("UPDATE webhooks SET secret = ? WHERE webhook_id = ?", [stored, made["webhook_id"]])
    assert server.run.succeed(f"{MODULE}_info", name="test.key")["webhooks"] == [made]


def test_a_server_from_before_webhooks(servers: Servers) -> None:
    old = servers(Flavour("2.22.5", "sqlite", auth=True))
    for module in (MODULE, f"{MODULE}_info"):
        assert "runs MLflow 2.22.5, and a webhook needs 3.3.0 or later; upgrade the server" in old.run.fail(module, name="n")
