"""The reconciler, with faults that a real server cannot be made to show when a test wants them."""
from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.mlops.mlflow.plugins.module_utils import _module
from ansible_collections.mlops.mlflow.plugins.module_utils._errors import Conflict, MissingLibrary, Unreachable, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Step
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import Plan, State, make_plan
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.step import ATTEMPTS


class Failed(Exception):
    """What ``fail_json`` does here."""


@dataclass
class Module:
    """As much of AnsibleModule as the reconciler uses."""

    check_mode: bool = False
    warnings: list[str] = field(default_factory=list)

    def fail_json(self, msg: str, **more: Any) -> None:
        raise Failed(msg, more)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@dataclass
class Memory:
    """A resource in memory. ``faults`` are raised by ``apply``, one a call, before or after it writes."""

    state: State | None = None
    faults: list[Exception] = field(default_factory=list)
    writes_first: bool = False
    refusal: Exception | None = None
    calls: list[str] = field(default_factory=list)
    immutable: frozenset[str] = frozenset({"owner"})
    read_only: frozenset[str] = frozenset({"stamp"})

    def read(self) -> State | None:
        self.calls.append("read")
        return self.state and dict(self.state)

    def check(self, plan: Plan) -> None:
        self.calls.append("check")
        if self.refusal:
            raise self.refusal

    def apply(self, plan: Plan) -> None:
        self.calls.append("apply")
        if self.writes_first or not self.faults:
            self.state = plan.after and {**plan.after, "stamp": len(self.calls)}
        if self.faults:
            raise self.faults.pop(0)


def step(resource: Memory, desired: State | None, name: str = "iris") -> Step:
    return Step("thing", name, resource, lambda current: desired)


def reconcile(*steps: Step, check_mode: bool = False) -> tuple[dict[str, Any], list[State]]:
    return _module.reconcile(Module(check_mode), steps)  # type: ignore[arg-type]


def test_it_creates_and_then_has_nothing_to_do() -> None:
    resource = Memory()
    result, states = reconcile(step(resource, {"name": "iris"}))
    assert result == {
        "changed": True,
        "actions": ["create thing iris"],
        "diff": [{"before_header": "thing iris", "after_header": "thing iris", "before": {}, "after": {"name": "iris"}}],
    }
    assert states == [{"name": "iris", "stamp": 3}]
    resource.calls.clear()
    again, states = reconcile(step(resource, {"name": "iris"}))
    assert again == {"changed": False, "actions": [], "diff": []}
    assert states == [{"name": "iris", "stamp": 3}]
    assert resource.calls == ["read"]


def test_an_update_names_each_change_and_a_deletion_leaves_an_empty_state() -> None:
    resource = Memory({"name": "iris", "tags": {"a": "1", "b": "2"}})
    result, states = reconcile(step(resource, {"tags": {"a": "0", "c": "3"}}))
    assert result["actions"] == ["update thing iris tags.a", "update thing iris tags.c"]
    assert states[0]["tags"] == {"a": "0", "b": "2", "c": "3"}
    result, states = reconcile(step(resource, None))
    assert (result["actions"], states, resource.state) == (["delete thing iris"], [{}], None)


@pytest.mark.parametrize("current", [None, {"name": "iris", "a": "0"}])
def test_check_mode_predicts_and_applies_nothing(current: State | None) -> None:
    desired = {"name": "iris", "a": "1"}
    resource, real = Memory(current), Memory(current)
    predicted, states = reconcile(step(resource, desired), check_mode=True)
    assert resource.calls == ["read", "check"]
    assert resource.state == current
    assert predicted["changed"] is True
    done, _now = reconcile(step(real, desired))
    assert predicted == done
    assert states == [desired]


def test_after_one_conflict_it_reads_and_plans_again() -> None:
    resource = Memory(faults=[Conflict("cut off")])
    result, states = reconcile(step(resource, {"name": "iris"}))
    assert resource.calls == ["read", "check", "apply", "read", "check", "apply", "read"]
    assert result["actions"] == ["create thing iris"]
    assert states[0]["name"] == "iris"


def test_a_write_that_was_cut_off_but_carried_out_is_not_repeated_and_counts_as_a_change() -> None:
    resource = Memory(faults=[Conflict("cut off")], writes_first=True)
    result, states = reconcile(step(resource, {"name": "iris"}))
    assert resource.calls == ["read", "check", "apply", "read"]
    assert (result["changed"], result["actions"], states[0]["name"]) == (True, ["create thing iris"], "iris")


def test_conflicts_for_ever_fail_after_some_attempts() -> None:
    resource = Memory(faults=[Conflict(f"conflict {number}") for number in range(100)])
    with pytest.raises(Conflict, match=f"conflict {ATTEMPTS - 1}$"):
        reconcile(step(resource, {"name": "iris"}))
    assert resource.calls.count("apply") == ATTEMPTS


def test_another_error_is_not_tried_again() -> None:
    resource = Memory(faults=[Unreachable("gone")])
    with pytest.raises(Unreachable, match="gone"):
        reconcile(step(resource, {"name": "iris"}))
    assert resource.calls.count("apply") == 1


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_step_that_cannot_be_done_keeps_every_step_from_being_applied(check_mode: bool) -> None:
    first, second = Memory(), Memory(refusal=Unsupported("too old"))
    with pytest.raises(Unsupported, match="too old"):
        reconcile(step(first, {"name": "a"}), step(second, {"name": "b"}), check_mode=check_mode)
    assert "apply" not in first.calls + second.calls


def test_steps_are_applied_in_order_and_reported_alike() -> None:
    there = Memory({"name": "there"})
    result, states = reconcile(step(Memory(), {"name": "a"}, "a"), step(there, {"name": "there"}, "b"), step(Memory(), {"name": "c"}, "c"))
    assert result["actions"] == ["create thing a", "create thing c"]
    assert [state["name"] for state in states] == ["a", "there", "c"]
    assert "apply" not in there.calls


def test_warnings_are_given_once() -> None:
    module = Module()
    _module.reconcile(module, [step(Memory(), None)], ["mind this"])  # type: ignore[arg-type]
    assert module.warnings == ["mind this"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InvalidOption("name", "x", "is bad", "use another"), "name: 'x' is bad; use another"),
        (Unreachable("no answer"), "no answer"),
        (MissingLibrary("psycopg2", "No module named 'psycopg2'"), "Failed to import the required Python library \\(psycopg2\\)"),
    ],
)
def test_a_foreseen_error_ends_the_module_with_its_own_words(error: Exception, message: str) -> None:
    with pytest.raises(Failed, match=message), _module.errors_as_failures(Module()):  # type: ignore[arg-type]
        raise error


def test_a_field_that_cannot_change_is_named() -> None:
    with pytest.raises(Failed, match="owner: cannot be changed from 'a' to 'b'"), _module.errors_as_failures(Module()):  # type: ignore[arg-type]
        make_plan({"owner": "a"}, {"owner": "b"}, ["owner"])


def test_an_unforeseen_error_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), _module.errors_as_failures(Module()):  # type: ignore[arg-type]
        raise ZeroDivisionError


def test_text_that_no_server_can_take_is_refused_in_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    spec: dict[str, Any] = {"name": {"type": "str"}, "password": {"type": "str", "no_log": True}}
    for option, shown in (("name", r"'a\x00b'"), ("password", "'…'")):
        with patch_module_args({option: "a\0b"}), pytest.raises(SystemExit):
            _module.Module(argument_spec=spec)
        message = json.loads(capsys.readouterr().out)["msg"]
        assert message == rf"{option}: {shown} contains a character that databases cannot store; remove '\x00'"


def test_what_a_misspelt_option_or_an_address_holds_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    users = {"type": "list", "elements": "dict", "options": {"name": {"type": "str"}}}
    spec: dict[str, Any] = {"uri": {"type": "str"}, "password": {"type": "str", "no_log": True}, "users": users}
    given = {"uri": "http://ann:hunter2@host/", "password": "hunter2", "users": [{"name": "a"}, {"name": "b"}]}
    with patch_module_args({**given, "pasword": "hunter2"}), pytest.raises(SystemExit):
        _module.Module(argument_spec=spec)
    said = capsys.readouterr().out
    assert "Unsupported parameters" in said
    assert "hunter2" not in said
    with patch_module_args(given), pytest.raises(SystemExit):
        _module.Module(argument_spec=spec).exit_json(changed=False)
    shown = json.loads(capsys.readouterr().out)["invocation"]["module_args"]
    assert shown == {"uri": "http://…@host/", "password": "(not shown)", "users": "2 entries"}
