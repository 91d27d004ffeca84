"""What MLflow's authorization function does with a request's header, and with MLflow's users and roles."""
from __future__ import annotations

import base64
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import jwt_auth
import pytest
from jwt_auth import Door, admit
from jwt_tokens import Identity, Keys, Refused, Settings, Verifier
from tokens import AUDIENCE, ISSUER, Signer

SIGNER = Signer("one")
SEARCH = "/api/2.0/mlflow/experiments/search"
TRUSTED = [{"issuer": ISSUER, "audience": AUDIENCE}, {"issuer": "https://cluster", "audience": "pods", "kubernetes": True}]
ROLES = [{"value": "/risk", "role": "editor"}, {"value": "/lunch", "role": "reader"}, {"value": "/gone", "role": "missing"}]


class MlflowError(Exception):
    """MLflow's exception, as its store raises it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.error_code = code


@dataclass
class Store:
    """MLflow's store of users and roles, with the methods that are called, and a list of what was changed."""

    users: dict[str, Any] = field(default_factory=dict)
    roles: dict[tuple[str, str], int] = field(default_factory=lambda: {("default", "editor"): 1, ("default", "reader"): 2, ("default", "own"): 3})
    assigned: set[tuple[int, int]] = field(default_factory=set)
    changes: list[str] = field(default_factory=list)
    #: Called before each change: another worker, which may be faster.
    other: Callable[[Store], None] = lambda _store: None

    def has_user(self, username: str) -> bool:
        return username in self.users

    def create_user(self, username: str, password: str, is_admin: bool = False) -> None:
        assert len(password) > 40
        self.other(self)
        if username in self.users:
            raise MlflowError("RESOURCE_ALREADY_EXISTS")
        self.users[username] = SimpleNamespace(id=len(self.users) + 1, username=username, is_admin=is_admin)
        self.changes.append(f"create {username}")

    def get_user(self, username: str) -> Any:
        return self.users[username]

    def update_user(self, username: str, is_admin: bool) -> None:
        self.users[username].is_admin = is_admin
        self.changes.append(f"update {username}")

    def list_user_roles(self, user_id: int) -> list[Any]:
        return [
            SimpleNamespace(id=role, workspace=workspace, name=name)
            for (workspace, name), role in self.roles.items() if (user_id, role) in self.assigned
        ]  # fmt: skip

    def get_role_by_name(self, workspace: str, name: str) -> Any:
        if (workspace, name) not in self.roles:
            raise MlflowError("RESOURCE_DOES_NOT_EXIST")
        return SimpleNamespace(id=self.roles[workspace, name])

    def assign_role_to_user(self, user_id: int, role_id: int) -> None:
        self.other(self)
        if (user_id, role_id) in self.assigned:
            raise MlflowError("RESOURCE_ALREADY_EXISTS")
        self.assigned.add((user_id, role_id))
        self.changes.append(f"assign {role_id}")

    def unassign_role_from_user(self, user_id: int, role_id: int) -> None:
        self.other(self)
        if (user_id, role_id) not in self.assigned:
            raise MlflowError("RESOURCE_DOES_NOT_EXIST")
        self.assigned.remove((user_id, role_id))
        self.changes.append(f"unassign {role_id}")


class Moving:
    """A clock that is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def door(store: Store, clock: Moving | None = None, fetch: Callable[[], Any] = lambda: {"keys": [SIGNER.jwk]}, **settings: Any) -> Door:
    given = Settings(**{"issuers": TRUSTED, "roles": ROLES, "administrator": "admin", **settings})
    ticks = clock or Moving()
    return Door(given, store, Verifier(given, lambda issuer: Keys(issuer.issuer, fetch, ticks), ticks), ticks, ticks)


def bearer(**claims: Any) -> str:
    return f"Bearer {SIGNER.token(**{'iat': 1000, 'exp': 1300, **claims})}"


def basic(password: str) -> str:
    return f"Basic {base64.b64encode(f'ann:{password}'.encode()).decode()}"


def refused(at: Door, header: str, method: str = "GET", path: str = SEARCH) -> Refused:
    with pytest.raises(Refused) as found:
        at.caller(header, method, path)
    return found.value


def test_a_user_is_created_at_first_sight_with_the_roles_of_its_groups() -> None:
    store = Store()
    at = door(store)
    for _again in range(3):
        assert at.caller(bearer(groups=["/risk"]), "GET", SEARCH) == "ann"
    assert at.caller(bearer(groups=["/risk"]).replace("Bearer", "bearer "), "GET", SEARCH) == "ann"
    assert store.changes == ["create ann", "assign 1"]
    assert not store.users["ann"].is_admin


def test_roles_follow_the_groups_and_others_stay() -> None:
    store = Store(users={"ann": SimpleNamespace(id=1, is_admin=True)}, assigned={(1, 2), (1, 3)})
    assert door(store).caller(bearer(groups=["/risk"]), "GET", SEARCH) == "ann"
    assert store.assigned == {(1, 1), (1, 3)}
    # An identity provider leaves out the claim of somebody without groups.
    assert door(store).caller(bearer(), "GET", SEARCH) == "ann"
    assert store.assigned == {(1, 3)}
    assert store.users["ann"].is_admin


def test_without_a_mapping_no_role_is_touched() -> None:
    store = Store(users={"ann": SimpleNamespace(id=1, is_admin=False)}, assigned={(1, 1), (1, 2), (1, 3)})
    assert door(store, roles=[]).caller(bearer(groups=["/risk"]), "GET", SEARCH) == "ann"
    assert store.changes == []


def test_a_role_that_is_declared_later_is_given_when_it_is_there(caplog: pytest.LogCaptureFixture) -> None:
    store, clock = Store(), Moving()
    at, header = door(store, clock), bearer(groups=["/gone", "/risk"])
    at.caller(header, "GET", SEARCH)
    assert store.changes == ["create ann", "assign 1"]
    assert "the role 'missing' of the workspace 'default', which MLflow does not have" in caplog.text
    store.roles["default", "missing"] = 9
    at.caller(header, "GET", SEARCH)
    clock.now += 60
    at.caller(header, "GET", SEARCH)
    assert store.changes == ["create ann", "assign 1", "assign 9"]


def test_another_worker_may_be_faster() -> None:
    def faster(store: Store) -> None:
        store.users.setdefault("ann", SimpleNamespace(id=1, username="ann", is_admin=False))
        store.assigned |= {(1, 1)}
        store.assigned -= {(1, 2)}

    store = Store(other=faster)
    admit(store, Identity("ann", frozenset({("default", "editor")})), Settings([], ROLES).managed)
    assert store.changes == []
    store = Store(users={"ann": SimpleNamespace(id=1, is_admin=False)}, assigned={(1, 2)}, other=faster)
    admit(store, Identity("ann"), Settings([], ROLES).managed)
    assert (store.changes, store.assigned) == ([], {(1, 1)})


def test_an_error_of_the_store_is_not_swallowed() -> None:
    class Broken(Store):
        def create_user(self, *_args: Any, **_more: Any) -> None:
            raise MlflowError("INTERNAL_ERROR")

    store = Broken()
    at = door(store)
    for _again in range(2):
        with pytest.raises(MlflowError, match="INTERNAL_ERROR"):
            at.caller(bearer(), "GET", SEARCH)


def test_a_token_that_was_seen_ends_when_it_says_so() -> None:
    clock = Moving()
    at, header = door(Store(), clock, cache_seconds=1e9), bearer()
    assert at.caller(header, "GET", SEARCH) == "ann"
    clock.now = 1329
    assert at.caller(header, "GET", SEARCH) == "ann"
    clock.now = 1330
    assert "the token has expired" in refused(at, header).message


def test_a_token_that_was_seen_is_verified_again_after_a_while() -> None:
    """So that a key that the issuer no longer publishes ends it."""
    clock, published = Moving(), [SIGNER]
    at = door(Store(), clock, lambda: {"keys": [each.jwk for each in published]}, cache_seconds=400)
    header = bearer(exp=9000)
    assert at.caller(header, "GET", SEARCH) == "ann"
    published[:] = [Signer("two")]
    clock.now += 399
    assert at.caller(header, "GET", SEARCH) == "ann"
    clock.now += 1
    assert "not signed by a key" in refused(at, header).message


def test_verified_tokens_go_on_while_the_issuer_is_down() -> None:
    clock, answers = Moving(), [{"keys": [SIGNER.jwk]}]

    def fetch() -> Any:
        if not answers:
            raise OSError("connection refused")
        return answers.pop()

    at = door(Store(), clock, fetch)
    assert at.caller(bearer(), "GET", SEARCH) == "ann"
    clock.now += 310
    assert at.caller(bearer(exp=2000, preferred_username="bob"), "GET", SEARCH) == "bob"


def test_keys_that_were_never_there_are_no_fault_of_the_caller() -> None:
    def fetch() -> Any:
        raise OSError("connection refused")

    found = refused(door(Store(), fetch=fetch), bearer())
    assert (found.status, found.challenges) == (503, ())


def test_only_so_many_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwt_auth, "REMEMBERED", 3)
    store, verified = Store(), itertools.count(1)
    at = door(store)
    verify = at._verifier.identity

    def counted(token: str) -> Identity:
        next(verified)
        return verify(token)

    monkeypatch.setattr(at._verifier, "identity", counted)
    headers = [bearer(preferred_username=f"u{number}") for number in range(4)]
    for header in [*headers, *headers[1:]]:
        at.caller(header, "GET", SEARCH)
    assert next(verified) == 5
    at.caller(headers[0], "GET", SEARCH)
    assert next(verified) == 7
    assert len(at._known) == 3


def test_many_at_once_make_one_user() -> None:
    store, header, names = Store(), bearer(groups=["/risk"]), []
    at, barrier = door(store), threading.Barrier(16)

    def call() -> None:
        barrier.wait()
        names.append(at.caller(header, "GET", SEARCH))

    threads = [threading.Thread(target=call) for _each in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (names, store.changes) == (["ann"] * 16, ["create ann", "assign 1"])


# Without a token


def test_who_has_no_token_is_told_what_helps() -> None:
    store = Store()
    found = refused(door(store), "")
    assert found.status == 401
    assert found.challenges == ('Bearer realm="mlflow"', 'Basic realm="mlflow"')
    assert found.message == (
        f"The request has no token. Set MLFLOW_TRACKING_TOKEN to an access token of {ISSUER} for the audience mlflow or https://cluster for the "
        "audience pods, or MLFLOW_TRACKING_AUTH=kubernetes in a pod, and unset MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, which take "
        "precedence over it."
    )
    assert store.changes == []


def test_they_may_be_a_user_of_their_own() -> None:
    store = Store()
    at = door(store, anonymous="user")
    assert [at.caller("", "POST", path) for path in (SEARCH, "/api/2.0/mlflow/users/create")] == ["anonymous"] * 2
    assert store.changes == ["create anonymous"]
    assert not store.users["anonymous"].is_admin


def test_they_may_do_everything_but_manage_users() -> None:
    store = Store(users={"anonymous": SimpleNamespace(id=1, is_admin=False)})
    at = door(store, anonymous="everything")
    for method, path in (("POST", "/api/2.0/mlflow/runs/create"), ("GET", "/"), ("GET", "/ajax-api/2.0/mlflow/users/current")):
        assert at.caller("", method, path) == "anonymous"
    assert store.changes == ["update anonymous"]
    assert store.users["anonymous"].is_admin
    for method, path in (
        ("POST", "/api/2.0/mlflow/users/create"), ("PATCH", "/api/2.0/mlflow/users/update-admin"), ("GET", "/ajax-api/2.0/mlflow/users/list"),
        ("POST", "/api/3.0/mlflow/roles/assign"), ("POST", "/prefix/api/3.0/mlflow//users/permissions/grant"), ("GET", "/signup"),
        ("POST", "/api/2.0/mlflow/users/current"),
    ):  # fmt: skip
        assert "has no token" in refused(at, "", method, path).message


def test_a_wrong_token_is_not_no_token() -> None:
    found = refused(door(Store(), anonymous="everything"), bearer(aud="account"))
    assert found.message.startswith("MLflow does not take this token: the token is not for the audience mlflow. Set MLFLOW_TRACKING_TOKEN to ")
    assert found.challenges == ('Bearer realm="mlflow", error="invalid_token"',)


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer  x", "Negotiate abc", "Token abc", "x"])
def test_other_headers_are_refused(header: str) -> None:
    assert refused(door(Store(), anonymous="everything"), header).status == 401


# Passwords


@pytest.mark.parametrize("header", [basic("secret"), basic("a.b"), basic(""), "basic ???", "Basic", "Basic \xff"])
def test_passwords_are_left_to_mlflow(header: str) -> None:
    store = Store()
    assert door(store).caller(header, "GET", SEARCH) is None
    assert store.changes == []


def test_a_token_is_no_password() -> None:
    token = bearer().removeprefix("Bearer ")
    assert refused(door(Store()), basic(token)).message.startswith("A token is no password: send it as MLFLOW_TRACKING_TOKEN.")
