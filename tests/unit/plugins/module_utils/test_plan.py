"""The reconcile core, for any states."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import (
    ABSENT,
    Change,
    ImmutableField,
    Plan,
    State,
    apply_changes,
    make_plan,
    purged,
)

# Which keys hold a dictionary is the resource's own shape: the same in what is there and in what is wanted.
KEYS = ("name", "description", "owner")
DICT_KEYS = ("tags", "aliases")
LEAVES = st.one_of(st.none(), st.text("xyé", max_size=3), st.integers(2, 5), st.lists(st.text("x", max_size=2), max_size=2))
WANTED = st.one_of(LEAVES, st.just(ABSENT))


def states(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[State]:
    """States with some of the keys, dictionaries in dictionaries among them."""
    entries = st.dictionaries(st.sampled_from(["a", "b", "c", "d.e"]), leaves)
    nested = st.fixed_dictionaries({}, optional={"a": leaves, "inner": entries})
    return st.fixed_dictionaries({}, optional={**dict.fromkeys(KEYS, leaves), **dict.fromkeys(DICT_KEYS, entries), "settings": nested})


CURRENT = st.one_of(st.none(), states(LEAVES))
DESIRED = st.one_of(st.none(), states(WANTED))


def satisfies(state: State, desired: State) -> bool:
    """Whether every key of ``desired`` is as it is wanted, by the core's own definition of a desired state."""
    for key, want in desired.items():
        have = state.get(key, ABSENT)
        if isinstance(want, dict):
            if not satisfies({} if have is ABSENT else have, want):
                return False
        elif (have is not ABSENT) if want is ABSENT else (have is ABSENT or have != want):
            return False
    return True


def unmanaged(state: State, desired: State) -> State:
    """What ``state`` says beyond ``desired``."""
    rest: State = {}
    for key, value in state.items():
        if key not in desired:
            rest[key] = value
        elif isinstance(desired[key], dict) and unmanaged(value, desired[key]):
            rest[key] = unmanaged(value, desired[key])
    return rest


@given(CURRENT, DESIRED)
def test_after_is_what_was_desired_and_planning_again_is_empty(current: State | None, desired: State | None) -> None:
    plan = make_plan(current, desired)
    if desired is None:
        assert plan.after is None
    else:
        assert plan.after is not None
        assert satisfies(plan.after, desired)
    again = make_plan(plan.after, desired)
    assert again.is_empty
    assert again.changes == ()


@given(states(LEAVES), states(WANTED))
def test_after_is_current_with_the_changes_applied(current: State, desired: State) -> None:
    plan = make_plan(current, desired)
    assert plan.before == current
    assert plan.after == apply_changes(current, plan.changes)
    assert (plan.after == current) == plan.is_empty == (plan.changes == ())


@given(states(LEAVES), states(WANTED))
def test_what_is_not_desired_is_not_touched(current: State, desired: State) -> None:
    after = make_plan(current, desired).after
    assert after is not None
    assert unmanaged(after, desired) == unmanaged(current, desired)


@given(CURRENT, DESIRED)
def test_the_action_is_told_by_what_is_there_and_what_is_wanted(current: State | None, desired: State | None) -> None:
    plan = make_plan(current, desired)
    if desired is None:
        assert plan.action == ("none" if current is None else "delete")
    elif current is None:
        assert plan.action == "create"
    else:
        assert plan.action == ("none" if satisfies(current, desired) else "update")


@given(CURRENT, DESIRED)
def test_the_inputs_stay_as_they_are(current: State | None, desired: State | None) -> None:
    before = repr((current, desired))
    make_plan(current, desired)
    assert repr((current, desired)) == before


@given(CURRENT, states(WANTED))
def test_every_change_says_what_was_there(current: State | None, desired: State) -> None:
    plan = make_plan(current, desired)
    assert len({change.path for change in plan.changes}) == len(plan.changes)
    for change in plan.changes:
        have: Any = current or {}
        for key in change.path:
            have = have.get(key, ABSENT) if isinstance(have, dict) else ABSENT
        assert change.before is have or change.before == have


@given(states(LEAVES), states(WANTED))
def test_an_immutable_key_is_never_changed(current: State, desired: State) -> None:
    differs = [change.path[0] for change in make_plan(current, desired).changes]
    if "owner" in differs:
        with pytest.raises(ImmutableField, match="owner"):
            make_plan(current, desired, immutable=["owner"])
    else:
        assert make_plan(current, desired, immutable=["owner"]) == make_plan(current, desired)


@given(states(WANTED))
def test_an_immutable_key_is_set_at_creation(desired: State) -> None:
    assert make_plan(None, desired, immutable=[*KEYS, *DICT_KEYS]).action == "create"


@given(st.dictionaries(st.text("ab.", max_size=3), st.integers()), st.dictionaries(st.text("ab.", max_size=3), st.integers()))
def test_purged_leaves_what_is_wanted_and_what_is_kept(current: State, wanted: State) -> None:
    def kept(key: str) -> bool:
        return key.startswith("a")

    after = make_plan({"tags": current}, {"tags": purged(current, wanted, kept)}).after
    assert after is not None
    assert after["tags"] == {**{key: value for key, value in current.items() if kept(key)}, **wanted}


def test_changes_are_found_by_their_key() -> None:
    plan = make_plan({"name": "a", "tags": {"name": "x"}}, {"name": "b", "tags": {"name": "y"}})
    assert plan.change_of("name") == Change(("name",), "a", "b")
    assert plan.change_of("tags") is None
    assert plan.changes_under("tags") == (Change(("tags", "name"), "x", "y"),)


LATE = frozenset({"aliases", "owner"})


@given(CURRENT, DESIRED)
def test_the_two_parts_of_a_plan_make_the_whole(current: State | None, desired: State | None) -> None:
    plan = make_plan(current, desired)
    first, second = plan.without(LATE), plan.only(LATE)
    assert first.changes_under("aliases") == first.changes_under("owner") == ()
    assert {change.path[0] for change in second.changes} <= LATE
    assert sorted([*first.changes, *second.changes], key=str) == sorted(plan.changes, key=str)
    assert second.action in ("none", "update")
    assert second.after == plan.after
    assert second.is_empty or second.before == first.after


def test_the_lines_of_a_plan() -> None:
    change = Change(("tags", "a"), "1", "2")
    assert list(Plan("update", {}, {}, (change,)).lines("thing", "x")) == ["update thing x tags.a"]
    assert list(Plan("create", None, {}, (change,)).lines("thing", "x")) == ["create thing x"]
    assert list(Plan("delete", {}, None).lines("thing", "x")) == ["delete thing x"]
    assert list(Plan("none", {}, {}).lines("thing", "x")) == []
