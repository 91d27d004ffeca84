"""What a webhook may be called and deliver, and what its options ask for."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.webhook.adapter import WEBHOOK, Webhook
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.webhook.rules import (
    EVENTS,
    NEW_SECRET,
    check_options,
    declared,
    desired_state,
)
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State, make_plan

GOOD: list[dict[str, Any]] = [
    {"name": "a"},
    {"name": "A.b_c-9"},
    {"name": "n" * 63, "url": "https://h/" + "u" * 490, "description": "d" * 1000, "events": list(EVENTS)},
    {"name": "a", "url": "http://[fd00::1]:8080/hook?x=1"},
    {"name": "a", "secret": "", "update_secret": "always"},
    {"name": "a", "secret": "s" * 687},
]
BAD: list[tuple[dict[str, Any], str]] = [
    *(({"name": name}, "name: .* is not a valid webhook name") for name in ("", "n" * 64, "-a", "a.", "a b", "a/b", "имя", "a\n")),
    *(({"name": "a", "url": url}, "url: .* is not an HTTP address") for url in ("", "ftp://h/", "https://", "h/x", "https://[::1", "https://h/a b")),
    ({"name": "a", "url": "https://h/" + "u" * 491}, "url: .* has 501 characters; MLflow stores at most 500"),
    ({"name": "a", "events": []}, "events: .* is empty"),
    ({"name": "a", "events": ["prompt.created", "prompt.deleted"]}, "events: 'prompt.deleted' is not an MLflow event; use registered_model"),
    ({"name": "a", "events": ["PROMPT.CREATED"]}, "events: 'PROMPT.CREATED' is not an MLflow event"),
    ({"name": "a", "description": "d" * 1001}, "description: .* has 1001 characters; MLflow stores at most 1000"),
    ({"name": "a", "secret": "s" * 688}, "secret: '…' has 688 bytes; MLflow stores at most 687, encrypted"),
    ({"name": "a", "secret": "ü" * 344}, "secret: '…' has 688 bytes"),
    ({"name": "a", "update_secret": "always"}, "update_secret: 'always' needs a secret to write; give secret"),
]


@pytest.mark.parametrize("params", GOOD)
def test_what_mlflow_takes(params: dict[str, Any]) -> None:
    check_options(params)


@pytest.mark.parametrize(("params", "message"), BAD)
def test_what_mlflow_refuses(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        check_options(params)


class Listing:
    """A client of a server whose list of webhooks is another at each look, and the last one from then on."""

    def __init__(self, *lists: list[str]) -> None:
        self.lists = list(lists)

    def listed(self, _path: str, _key: str, **_query: Any) -> list[dict[str, Any]]:
        numbers = self.lists.pop(0) if self.lists[1:] else self.lists[0]
        given = {"name": "ci", "url": "https://h/", "events": [], "status": "ACTIVE"}
        return [{**given, "webhook_id": number, "creation_timestamp": int(number), "last_updated_timestamp": int(number)} for number in numbers]


def test_two_of_one_name_that_are_one_in_a_moment_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    read = [
        Webhook(Listing(["1", "2"], ["1", "2"], ["1"]), {"name": "ci", "state": "present"}).read(),  # type: ignore[arg-type]
        Webhook(Listing(["1", "2"]), {"name": "ci", "state": "present"}).read(),  # type: ignore[arg-type]
        Webhook(Listing(["1", "2"], ["1"]), {"name": "ci", "state": "absent"}).read(),  # type: ignore[arg-type]
    ]
    assert [state and state["namesakes"] for state in read] == [[], ["2"], ["2"]]


def wanted(current: State | None = None, **params: Any) -> State | None:
    return desired_state({"name": "ci", "state": "present", **params}, current)


def hook(**more: Any) -> State:
    state = {"name": "ci", "webhook_id": "1", "url": "https://h/", "events": ["prompt.created"], "description": "", "status": "ACTIVE"}
    return {**state, "namesakes": [], **more}


def test_a_new_one_needs_an_address_and_events() -> None:
    with pytest.raises(InvalidOption, match="name: 'ci' does not exist yet; give url"):
        wanted(events=["prompt.created"])
    with pytest.raises(InvalidOption, match="name: 'ci' does not exist yet; give events"):
        wanted(url="https://h/")
    made = wanted(url="https://h/", events=["prompt.created"], secret="s", update_secret="always")
    assert made == {"name": "ci", "url": "https://h/", "events": ["prompt.created"], "description": "", "status": "ACTIVE"}


def test_what_is_not_given_is_left_alone() -> None:
    assert make_plan(hook(status="DISABLED", description="d"), wanted(hook(status="DISABLED", description="d"))).is_empty
    assert make_plan(hook(), wanted(hook(), events=["prompt.created"] * 2)).is_empty


@pytest.mark.parametrize(("update_secret", "changed"), [("on_create", []), ("always", [("secret",)])])
def test_a_secret_is_marked_and_never_shown(update_secret: str, changed: list[tuple[str]]) -> None:
    plan = make_plan(hook(), wanted(hook(), secret="opensesame", update_secret=update_secret))
    assert [change.path for change in plan.changes] == changed
    assert all(change.after == NEW_SECRET for change in plan.changes)
    assert "opensesame" not in repr(plan)


def test_several_of_one_name_are_removed_and_not_changed() -> None:
    with pytest.raises(Refused, match=r"3 webhooks are named 'ci' \(1, 2, 3\); remove them all with state: absent"):
        wanted(hook(namesakes=["3", "2"]))
    assert wanted(hook(namesakes=["3", "2"]), state="absent") is None


def test_an_export_leaves_out_what_another_server_makes_itself() -> None:
    assert declared(hook()) == {"name": "ci", "url": "https://h/", "events": ["prompt.created"]}
    assert declared(hook(status="DISABLED", description="d")) == {**(declared(hook()) or {}), "description": "d", "status": "DISABLED"}
    assert not WEBHOOK.kept(hook())
