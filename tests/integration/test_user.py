"""mlflow_user and mlflow_user_info against real servers."""
from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from harness import ModuleRunner, Stack, Table, WriteGuard, twelve_steps
from kinds import bring, foresee, settled, step_of
from tracking_servers import Flavour, Server, Servers

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import Conflict, NotPermitted, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import Connection, RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.user.adapter import USER
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import Plan

MODULE = "mlflow_user"
USERS = "/api/2.0/mlflow/users"
ONE, TWO = "the first password", "the second password"
ODD = ["имя 模型 🤖", " a/b\\c 'quote' \"double\" %20 & + ; $(x) ", "n" * 250, ".@example.org", "Ann", "ann"]


@pytest.fixture
def name(server: RestClient, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a user who is not there, and will be deleted."""
    name = f"user {request.node.name}"
    bring(server, USER, username=name, state="absent")
    yield name
    bring(server, USER, username=name, state="absent")


def logs_in(stack: Stack, name: str, password: str) -> bool:
    with closing(RestClient(Connection(stack.tracking_uri, name, password))) as client:
        try:
            return bool(client.get(f"{USERS}/get", username=name))
        except NotPermitted:
            return False


def test_twelve_steps(run: ModuleRunner, stack: Stack, name: str) -> None:
    table = Table(
        module=MODULE,
        create={"username": name, "password": ONE, "is_admin": True},
        change={"username": name, "password": TWO, "is_admin": False},
        delete={"username": name, "state": "absent"},
        result="user",
    )
    with WriteGuard(stack.tracking_uri).running() as guard:
        twelve_steps(run, table, {"MLFLOW_TRACKING_URI": guard.uri}, lambda: guard.writes)


def test_no_password_is_shown(run: ModuleRunner, stack: Stack, name: str) -> None:
    run.succeed(MODULE, username=name, password=ONE)
    result = run(MODULE, {"username": name, "password": TWO})
    assert result["actions"] == [f"update user {name} password"]
    (diff,) = result["diff"]
    assert (diff["before"]["password"], diff["after"]["password"]) == ("differs", "set")
    assert ONE not in result["_output"]
    assert TWO not in result["_output"]
    assert (logs_in(stack, name, ONE), logs_in(stack, name, TWO)) == (False, True)
    for check in (False, True):
        message = run.fail(MODULE, username=name, password="short secret"[:11], check=check)
        assert message == "password: '…' has fewer than 12 characters; use 12 or more"


@pytest.mark.parametrize("odd", ODD)
def test_names_and_passwords(server: RestClient, stack: Stack, odd: str) -> None:
    password = f"pass 'word' % : {odd}"
    if not odd.isascii():
        # MLflow lets such a user in everywhere but where artifacts are uploaded.
        with pytest.raises(InvalidOption, match="password: '…' has non-ASCII characters"):
            foresee(server, USER, username=odd, password=password)
        with pytest.raises(Refused, match="username: .* has non-ASCII characters"):
            foresee(server, USER, username=odd, password=ONE)
        server.write("POST", f"{USERS}/create", {"username": odd, "password": password}, idempotent=False)
    state = settled(server, USER, username=odd, **({"password": password} if odd.isascii() else {}))
    assert (state["username"], state["is_admin"], state["password"], state["is_me"]) == (odd, False, "set", False)
    assert logs_in(stack, odd, password)
    assert bring(server, USER, username=odd, state="absent").action == "delete"


def test_a_name_with_a_colon_could_not_log_in(server: RestClient) -> None:
    with pytest.raises(InvalidOption, match="username: 'a:b' contains ':'"):
        bring(server, USER, username="a:b", password=ONE)


def test_a_password_given_once(server: RestClient, stack: Stack, name: str) -> None:
    with pytest.raises(Refused, match="a new one needs a password; give password"):
        foresee(server, USER, username=name)
    bring(server, USER, username=name, password=ONE, update_password="on_create")
    assert bring(server, USER, username=name, password=TWO, update_password="on_create").is_empty
    assert bring(server, USER, username=name, is_admin=False).is_empty
    assert logs_in(stack, name, ONE)


def test_a_password_that_somebody_else_changed(server: RestClient, stack: Stack, name: str) -> None:
    settled(server, USER, username=name, password=ONE)
    server.write("PATCH", f"{USERS}/update-password", {"username": name, "password": TWO})
    assert [change.path for change in bring(server, USER, username=name, password=ONE).changes] == [("password",)]
    assert logs_in(stack, name, ONE)


def test_the_own_account(run: ModuleRunner, server: RestClient, stack: Stack, name: str) -> None:
    settled(server, USER, username=name, password=ONE, is_admin=True)
    with closing(RestClient(Connection(stack.tracking_uri, name, ONE))) as own:
        assert bring(own, USER, username=name, password=ONE).is_empty
        with pytest.raises(Refused, match="is the connecting user, whom MLflow does not delete"):
            bring(own, USER, username=name, state="absent")
        with pytest.raises(Refused, match="is_admin: .* would lose the right"):
            bring(own, USER, username=name, is_admin=False)
        (me,) = (state for state in USER.adapter.find(own, {}) if state["is_me"])
        assert (me["username"], USER.kept(me), USER.rules.declared(me)) == (name, True, None)
        bring(own, USER, username=name, password=TWO)
        assert own.get(f"{USERS}/get", username=name)["user"]["is_admin"]
    as_me: dict[str, Any] = {"tracking_username": name, "tracking_password": TWO}
    result = run.succeed(MODULE, username=name, password=ONE, **as_me)
    assert (result["changed"], result["user"]["is_me"], result["user"]["password"]) == (True, True, "set")
    assert "refused the credentials (401)" in run.fail(MODULE, username=name, password=ONE, **as_me)


def test_one_listing_for_all(server: RestClient, name: str) -> None:
    settled(server, USER, username=name, password=ONE)
    asked: list[str] = []

    class Counting(RestClient):
        def _json(self, method: str, path: str, *rest: object, **more: object) -> dict[str, object]:
            asked.append(path)
            return super()._json(method, path, *rest, **more)  # type: ignore[arg-type]

    with closing(Counting(server.connection)) as counting:
        assert name in {state["username"] for state in USER.adapter.find(counting, {})}
    assert asked == [f"{USERS}/list"]


def test_an_export_makes_the_same_users(server: RestClient, name: str) -> None:
    settled(server, USER, username=name, password=ONE, is_admin=True)
    (entry,) = (USER.rules.declared(state) for state in USER.adapter.find(server, {}) if state["username"] == name)
    assert entry == {"username": name, "is_admin": True}
    assert bring(server, USER, **entry).is_empty
    bring(server, USER, username=name, state="absent")
    bring(server, USER, password=ONE, **entry)
    assert [USER.rules.declared(state) for state in USER.adapter.find(server, {}) if state["username"] == name] == [entry]


def test_two_at_once(stack: Stack, name: str) -> None:
    def write(number: int) -> Plan:
        with closing(RestClient(Connection(stack.tracking_uri, stack.tracking_username, stack.tracking_password))) as client:
            return bring(client, USER, username=name, password=ONE, is_admin=bool(number % 2) or None)

    with ThreadPoolExecutor(4) as pool:
        plans = list(pool.map(write, range(4)))
    assert all(plan.action in ("create", "update", "none") for plan in plans)
    with closing(RestClient(Connection(stack.tracking_uri, stack.tracking_username, stack.tracking_password))) as client:
        assert settled(client, USER, username=name, password=ONE)["is_admin"] is True


def test_what_a_database_says_shows_no_hash(server: RestClient, name: str) -> None:
    plan = foresee(server, USER, username=name, password=ONE)
    bring(server, USER, username=name, password=TWO)
    with pytest.raises(Conflict, match="already exists") as caught:
        step_of(server, USER, {"username": name, "password": ONE}).resource.apply(plan)
    assert not any(word in str(caught.value) for word in ("scrypt", "INSERT", ONE, "\n"))


def test_info(run: ModuleRunner, server: RestClient, stack: Stack, name: str) -> None:
    state = settled(server, USER, username=name, password=ONE)
    assert run.succeed(f"{MODULE}_info", username=name)["users"] == [state]
    assert run.succeed(f"{MODULE}_info", username="nobody")["users"] == []
    assert {name, stack.tracking_username} <= {entry["username"] for entry in run.succeed(f"{MODULE}_info")["users"]}


def test_who_is_no_administrator(run: ModuleRunner, server: RestClient, name: str) -> None:
    settled(server, USER, username=name, password=ONE)
    message = run.fail(MODULE, username="somebody", password=ONE, tracking_username=name, tracking_password=ONE)
    assert "is not permitted with these credentials (403)" in message


def test_other_versions(any_server: Server) -> None:
    name = "ann smith"
    with closing(any_server.client()) as client:
        if not any_server.flavour.auth:
            with pytest.raises(Unsupported, match="has no users, since it runs without authentication; start the server with --app-name basic-auth"):
                bring(client, USER, username=name, password=ONE)
            return
        options = {"username": name, "password": ONE, "is_admin": True}
        bring(client, USER, **options)
        assert bring(client, USER, **options).is_empty
        bring(client, USER, username=name, password=TWO, is_admin=False)
        state = step_of(client, USER, {"username": name, "password": ONE}).resource.read()
        assert state is not None
        assert (state["password"], state["is_admin"]) == ("differs", False)
        bring(client, USER, username=name, state="absent")
        assert bring(client, USER, username=name, state="absent").is_empty
        with pytest.raises(Refused, match="is the connecting user"):
            bring(client, USER, username=any_server.stack.tracking_username, state="absent")


def test_2_22_lists_no_users(servers: Servers) -> None:
    message = "runs an MLflow without roles, and a list of all users needs MLflow 3.16 or later; upgrade the server"
    with closing(servers(Flavour("2.22.5", "sqlite", auth=True)).client()) as client, pytest.raises(Unsupported, match=message):
        list(USER.adapter.find(client, {}))
